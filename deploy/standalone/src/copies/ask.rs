//! `backup`: asks the process that serves the data directory, or does it by itself if there is none.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::ops::ControlFlow;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use kith_embedded::{Copied, CopyError, Embedded, OpenError};
use kith_runtime::clock::SystemClock;
use kith_runtime::config::Settings;
use kith_runtime::lifecycle::Exit;

use super::say::{amount, seconds};
use super::wire::{self, Answer, Question};
use crate::{refuse, say, serve};

/// How often somebody who waits is told how far it is.
const TELL_EVERY: Duration = Duration::from_secs(2);

/// Makes a backup of `data` in `target`.
pub(super) fn run(settings: &Settings, data: &Path, target: &Path) -> Exit {
    let began = Instant::now();
    let result = match UnixStream::connect(wire::place(data)) {
        Ok(stream) => ask(stream, target),
        // Nobody listens: the file is not there, or was left by a process that was killed.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            by_itself(settings, data, target)
        }
        Err(error) => Err(format!(
            "{}: {error}; run this as the user that kith runs as",
            wire::place(data).display()
        )),
    };
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

/// Asks, and waits for the last answer.
fn ask(mut stream: UnixStream, target: &Path) -> Result<Copied, String> {
    let gone = |error: io::Error| format!("the process that serves has gone: {error}");
    let target = std::path::absolute(target).map_err(|error| error.to_string())?;
    let question = wire::line(&Question::Backup(target)).map_err(|error| error.to_string())?;
    stream.write_all(&question).map_err(gone)?;
    let mut answers = BufReader::new(stream);
    let mut progress = Progress::new();
    loop {
        let mut line = Vec::new();
        let mut one = answers.by_ref().take(wire::LINE_BYTES_MAX);
        one.read_until(b'\n', &mut line).map_err(gone)?;
        if line.is_empty() {
            return Err(
                "the process that serves ended before the backup was whole; there is none".into(),
            );
        }
        match serde_json::from_slice(&line) {
            Ok(Answer::Copied(amount)) => progress.tell(amount.into()),
            Ok(Answer::Done(amount)) => return Ok(amount.into()),
            Ok(Answer::Failed(reason)) => return Err(reason),
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
    if !kith_embedded::is_there(data) {
        return Err(CopyError::NoStore { dir: data.into() }.to_string());
    }
    let options =
        serve::options(settings, &SystemClock::new()).map_err(|error| error.to_string())?;
    let engine = Embedded::open(options).map_err(|error| match error {
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
    })?;
    let mut progress = Progress::new();
    let copied = engine.backup(target, |copied| {
        progress.tell(copied);
        ControlFlow::Continue(())
    });
    copied.map_err(|error| error.to_string())
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
