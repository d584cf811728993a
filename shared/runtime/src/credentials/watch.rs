//! Follows the credentials file, so that a change of it needs no restart.
//!
//! The text is read and compared every time: what the file system tells about a file is not enough, as a secret that an
//! orchestrator mounts is a link to another directory after each change, and two writes within a tick of the clock look like
//! one. A text is taken once it was read twice in a row, because editors write in place, and half a file may well be valid:
//! taken, it would lock out whoever stands in the other half.

use std::path::PathBuf;
use std::time::Duration;

use metrics::gauge;
use tracing::{info, warn};

use super::{Credentials, SecretDigest, Users, file};
use crate::lifecycle::{ComponentError, Shutdown};
use crate::looks::look_every;
use crate::metrics::names;

#[cfg(test)]
mod tests;

/// How often a process looks at the file. A change is in force after two looks.
pub const WATCH_EVERY: Duration = Duration::from_secs(2);

impl Credentials {
    /// Goes by what the file says, looking at it `every` so often, until the stage is shut down. A file that cannot be read or
    /// is malformed changes nothing: what was in force stays so, and a log line and a metric say it.
    ///
    /// # Errors
    /// Never, but for a bug.
    pub async fn watch(self, every: Duration, shutdown: Shutdown) -> Result<(), ComponentError> {
        let Some(path) = self.file.clone() else {
            shutdown.requested().await;
            return Ok(());
        };
        gauge!(names::CREDENTIALS_STALE).set(0.0);
        look_every(every, shutdown, Watched::new(self, path), Watched::look).await
    }
}

/// The file between two looks.
struct Watched {
    credentials: Credentials,
    path: PathBuf,
    /// What the last look found: the text's digest, or why there is none. `None` before the first.
    seen: Option<Result<SecretDigest, String>>,
    /// Whether that was acted on.
    judged: bool,
}

impl Watched {
    fn new(credentials: Credentials, path: PathBuf) -> Self {
        let in_force = credentials.users.load().text;
        Self {
            credentials,
            path,
            seen: in_force.map(Ok),
            judged: true,
        }
    }

    /// Looks once.
    fn look(&mut self) {
        let read = file::read(&self.path);
        let seen = match &read {
            Ok(text) => Ok(text.digest()),
            Err(reason) => Err(reason.clone()),
        };
        if self.seen.as_ref() != Some(&seen) {
            self.seen = Some(seen);
            self.judged = false;
        } else if !self.judged {
            self.judged = true;
            self.judge(read.and_then(|text| text.parse()));
        }
    }

    fn judge(&self, users: Result<Users, String>) {
        match users {
            Ok(users) => {
                let (accounts, users_len) = (users.accounts().len(), users.by_name.len());
                self.credentials.users.store(users.into());
                gauge!(names::CREDENTIALS_STALE).set(0.0);
                info!(accounts, users = users_len, "credentials file is in force");
            }
            Err(reason) => {
                gauge!(names::CREDENTIALS_STALE).set(1.0);
                warn!(
                    error = reason,
                    "credentials file is refused, what it said before stays in force"
                );
            }
        }
    }
}
