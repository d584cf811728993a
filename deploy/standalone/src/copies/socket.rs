//! The socket at which a process that serves is asked for a backup, or about its dead letters.
//!
//! It is a file in the data directory, which only its owner may enter, with rights for its owner only; and who connects must be that user,
//! or root. So whoever can ask for a backup could read the data directory anyway, and write wherever the process can. An endpoint of
//! the operator's server would have let anybody on the machine do both.

use std::fs::{self, Permissions};
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use kith_embedded::Embedded;
use kith_runtime::lifecycle::Shutdown;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::wire::{self, Answer, Question};
use crate::{letters, letters_of};

/// A question is one line of a program of ours.
const QUESTION_MAX: Duration = Duration::from_secs(5);
/// A pause after a connection could not be taken, which more of them would not change.
const AFTER_TROUBLE: Duration = Duration::from_secs(1);
/// Answers on their way to somebody who is slow to read them.
const ANSWERS: usize = 16;

/// The socket, bound.
pub(crate) struct Socket {
    listener: UnixListener,
    place: PathBuf,
    /// Who may ask.
    owner: u32,
}

impl Socket {
    /// Binds it. For whoever has the engine open: a file that is there was left by a process that is gone. Without it everything
    /// else goes on, so that it cannot be bound is only told.
    pub(crate) fn bind(engine: &Embedded) -> Option<Self> {
        let place = wire::place(&engine.dir());
        let bound = || {
            match fs::remove_file(&place) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let listener = UnixListener::bind(&place)?;
            fs::set_permissions(&place, Permissions::from_mode(0o600))?;
            let owner = fs::metadata(&place)?.uid();
            Ok((listener, owner))
        };
        match bound() {
            Ok((listener, owner)) => Some(Self {
                listener,
                place,
                owner,
            }),
            Err(error) => {
                warn!(socket = %place.display(), %error, "no backups and no dead-letters while this process runs: its socket cannot be bound");
                None
            }
        }
    }

    /// Answers one after another until the stage is shut down. A backup that is under way then is given up by the engine, which
    /// is closing.
    pub(crate) async fn serve(self, engine: Embedded, shutdown: Shutdown) {
        tokio::select! {
            () = shutdown.requested() => {}
            () = self.answer_all(&engine) => {}
        }
        // Whoever finds none knows that nobody serves. What is left by a process that was killed says so, too, by refusing.
        if let Err(error) = fs::remove_file(&self.place) {
            warn!(socket = %self.place.display(), %error, "the socket is left");
        }
    }

    async fn answer_all(&self, engine: &Embedded) {
        loop {
            let answered = match self.listener.accept().await {
                Ok((stream, _)) => self.answer(stream, engine).await,
                Err(error) => {
                    tokio::time::sleep(AFTER_TROUBLE).await;
                    Err(error)
                }
            };
            if let Err(error) = answered {
                warn!(%error, "a question at the socket got no answer");
            }
        }
    }

    async fn answer(&self, stream: UnixStream, engine: &Embedded) -> io::Result<()> {
        let asks = stream.peer_cred()?.uid();
        if asks != self.owner && asks != 0 {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let mut stream = BufReader::new(stream);
        let question = tokio::time::timeout(QUESTION_MAX, question(&mut stream)).await??;
        let (sender, mut answers) = mpsc::channel(ANSWERS);
        let engine = engine.clone();
        let made = tokio::task::spawn_blocking(move || match question {
            Question::Backup(target) => backup(&engine, target, &sender),
            Question::DeadLetters(arguments) => dead_letters(&engine, &arguments, &sender),
        });
        while let Some(answer) = answers.recv().await {
            stream.write_all(&wire::line(&answer)?).await?;
        }
        made.await.map_err(io::Error::other)
    }
}

async fn question(stream: &mut BufReader<UnixStream>) -> io::Result<Question> {
    let mut line = Vec::new();
    let mut stream = stream.take(wire::LINE_BYTES_MAX);
    stream.read_until(b'\n', &mut line).await?;
    Ok(serde_json::from_slice(&line)?)
}

/// Makes a backup, and says how it goes until nobody listens.
fn backup(engine: &Embedded, target: PathBuf, answers: &mpsc::Sender<Answer>) {
    let began = Instant::now();
    info!(dir = %target.display(), "a backup begins");
    let made = engine.backup(&target, |copied| {
        match answers.blocking_send(Answer::Copied(copied.into())) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    });
    let last = match made {
        Ok(copied) => {
            let seconds = began.elapsed().as_secs_f64();
            info!(dir = %target.display(), rows = copied.rows, bytes = copied.bytes, seconds, "a backup is whole");
            Answer::Done(copied.into())
        }
        Err(error) => {
            warn!(dir = %target.display(), %error, "there is no backup");
            Answer::Failed(error.to_string())
        }
    };
    // Whoever asked may have gone; the log has it.
    drop(answers.blocking_send(last));
}

/// Tells of the dead letters until nobody listens.
fn dead_letters(engine: &Embedded, arguments: &[String], answers: &mpsc::Sender<Answer>) {
    let told = letters_of(arguments).and_then(|asked| {
        letters::answer(&asked, &engine.log(), &Handle::current(), |line| {
            for text in wire::texts(line) {
                if answers.blocking_send(text).is_err() {
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        })
        .map_err(|error| error.to_string())
    });
    let last = match told {
        Ok(()) => Answer::Told,
        Err(reason) => {
            warn!(
                reason,
                "a question about dead letters was not answered whole"
            );
            Answer::Failed(reason)
        }
    };
    // Whoever asked may have gone.
    drop(answers.blocking_send(last));
}
