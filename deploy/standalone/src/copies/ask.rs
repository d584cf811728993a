//! `backup` and `dead-letters`: ask the process that serves the data directory, or do it by themselves if there is none.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::ops::ControlFlow;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kith_embedded::{Copied, CopyError, Embedded, OpenError};
use kith_runtime::clock::SystemClock;
use kith_runtime::config::{Settings, table};
use kith_runtime::lifecycle::Exit;

use super::say::{amount, seconds};
use super::wire::{self, Answer, Question};
use crate::letters::Letters;
use crate::{refuse, say, serve};

/// How often somebody who waits is told how far it is.
const TELL_EVERY: Duration = Duration::from_secs(2);

/// Makes a backup of `data` in `target`.
pub(super) fn run(settings: &Settings, data: &Path, target: &Path) -> Exit {
    let began = Instant::now();
    let result = connect(data).and_then(|stream| match stream {
        Some(stream) => ask(stream, target),
        None => by_itself(settings, data, target),
    });
    match result {
        Ok(copied) => {
            let (amount, time) = (amount(copied), seconds(began.elapsed()));
            say(&format!(
                "{} holds a backup: {amount}, in {time}",
                target.display()
            ));
            Exit::Clean
        }
        Err(reason) => refuse(&reason),
    }
}

/// Answers what this command line asks about dead letters.
pub(crate) fn letters(
    settings: &Settings,
    asked: &Letters,
    arguments: impl Iterator<Item = OsString>,
) -> Exit {
    let told = || -> Result<(), String> {
        let data: PathBuf = settings
            .get(&table::DATA_DIR)
            .map_err(|error| error.to_string())?;
        match connect(&data)? {
            Some(stream) => ask_letters(stream, arguments),
            None => letters_by_itself(settings, &data, asked),
        }
    };
    match told() {
        Ok(()) => Exit::Clean,
        Err(reason) => refuse(&reason),
    }
}

/// Whoever serves the data directory, if somebody does.
fn connect(data: &Path) -> Result<Option<UnixStream>, String> {
    match UnixStream::connect(wire::place(data)) {
        Ok(stream) => Ok(Some(stream)),
        // Nobody listens: the file is not there, or was left by a process that was killed.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(format!(
            "{}: {error}; run this as the user that kith runs as",
            wire::place(data).display()
        )),
    }
}

/// Asks, and waits for the last answer.
fn ask(stream: UnixStream, target: &Path) -> Result<Copied, String> {
    let target = std::path::absolute(target).map_err(|error| error.to_string())?;
    let mut progress = Progress::new();
    converse(stream, &Question::Backup(target), |answer| match answer {
        Answer::Copied(amount) => {
            progress.tell(amount.into());
            Ok(None)
        }
        Answer::Done(amount) => Ok(Some(amount.into())),
        Answer::Failed(reason) => Err(reason),
        Answer::Text(_) | Answer::Told => Err(strange()),
    })
}

fn ask_letters(
    stream: UnixStream,
    arguments: impl Iterator<Item = OsString>,
) -> Result<(), String> {
    let arguments = arguments.map(OsString::into_string);
    let arguments: Result<Vec<String>, OsString> = arguments.collect();
    let arguments = arguments.map_err(|_| "an argument is not UTF-8".to_owned())?;
    let question = Question::DeadLetters(arguments);
    converse(stream, &question, |answer| match answer {
        Answer::Text(text) => {
            print(&text).map_err(|error| error.to_string())?;
            Ok(None)
        }
        Answer::Told => Ok(Some(())),
        Answer::Failed(reason) => Err(reason),
        Answer::Copied(_) | Answer::Done(_) => Err(strange()),
    })
}

fn strange() -> String {
    "the process that serves answers something else".to_owned()
}

fn print(text: &str) -> io::Result<()> {
    io::stdout().lock().write_all(text.as_bytes())
}

/// Asks, and takes answers until one is the last.
fn converse<T>(
    mut stream: UnixStream,
    question: &Question,
    mut take: impl FnMut(Answer) -> Result<Option<T>, String>,
) -> Result<T, String> {
    let gone = |error: io::Error| format!("the process that serves has gone: {error}");
    let question = wire::line(question).map_err(|error| error.to_string())?;
    stream.write_all(&question).map_err(gone)?;
    let mut answers = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        let mut one = answers.by_ref().take(wire::LINE_BYTES_MAX);
        one.read_until(b'\n', &mut line).map_err(gone)?;
        if line.is_empty() {
            return Err("the process that serves ended before all of it was done".into());
        }
        match serde_json::from_slice(&line) {
            Ok(answer) => {
                if let Some(last) = take(answer)? {
                    return Ok(last);
                }
            }
            Err(error) => {
                return Err(format!(
                    "the process that serves is of another version: {error}"
                ));
            }
        }
    }
}

/// Opens the data directory for as long as it takes.
fn by_itself(settings: &Settings, data: &Path, target: &Path) -> Result<Copied, String> {
    let engine = open(settings, data)?;
    let mut progress = Progress::new();
    let copied = engine.backup(target, |copied| {
        progress.tell(copied);
        ControlFlow::Continue(())
    });
    copied.map_err(|error| error.to_string())
}

fn letters_by_itself(settings: &Settings, data: &Path, asked: &Letters) -> Result<(), String> {
    let engine = open(settings, data)?;
    // The engine has threads of its own: the runtime only waits for them.
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let printed = crate::letters::answer(
        asked,
        &engine.log(),
        runtime.handle(),
        |line| match print(&line).and_then(|()| print("\n")) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        },
    );
    printed.map_err(|error| error.to_string())
}

fn open(settings: &Settings, data: &Path) -> Result<Embedded, String> {
    if !kith_embedded::is_there(data) {
        return Err(CopyError::NoStore { dir: data.into() }.to_string());
    }
    let options =
        serve::options(settings, &SystemClock::new()).map_err(|error| error.to_string())?;
    Embedded::open(options).map_err(|error| match error {
        OpenError::InUse { dir } => format!(
            "{} is in use by a process that does not listen at {}: it is starting or ending, or says in its log why not",
            dir.display(),
            wire::place(data).display()
        ),
        error @ (OpenError::Newer { .. }
        | OpenError::Damaged { .. }
        | OpenError::LostTail { .. }
        | OpenError::Io { .. }
        | OpenError::Engine { .. }) => error.to_string(),
    })
}

/// Tells now and then.
struct Progress(Instant);

impl Progress {
    fn new() -> Self {
        Self(Instant::now() + TELL_EVERY)
    }

    fn tell(&mut self, copied: Copied) {
        let now = Instant::now();
        if now >= self.0 {
            self.0 = now + TELL_EVERY;
            say(&format!("copied {}", amount(copied)));
        }
    }
}
