//! Why the engine does not open, and why it stops.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use kith_profiles::error::{Cause, PortError};
use tokio::sync::watch;

use crate::layout::{CorruptRow, Space};

/// Why a data directory was not opened. Whatever it says, nothing in the directory was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open. Stop that one, or give this one a directory of its own.
    #[error("{} is in use by another process; stop that process, or choose another data directory", .dir.display())]
    InUse {
        /// The data directory.
        dir: PathBuf,
    },
    /// It was written by a newer version. Use that version, or restore a backup that an older one wrote.
    #[error(
        "{} says layout {found}, and this version reads layouts up to {supported}; start the version that wrote it, or \
         restore a backup from before the upgrade; nothing was changed",
        .file.display()
    )]
    Newer {
        /// The file with the stamp.
        file: PathBuf,
        /// What it says.
        found: u32,
        /// The newest that this version reads.
        supported: u32,
    },
    /// A file is missing or is not as it was written. Going on would lose or bend acknowledged data.
    #[error(
        "{} is damaged: {detail}; check the disk, then restore the whole data directory from a backup or a healthy copy of \
         the disk; nothing was changed",
        .file.display()
    )]
    Damaged {
        /// The file, or the directory where one is missing.
        file: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// The end of the journal is gone: commits that were acknowledged as durable are not there.
    #[error(
        "{} ends at commit {found}, but commit {acknowledged} was acknowledged as durable; the disk lost what it had \
         confirmed, or an older copy of this file was put back; restore the whole data directory, never single files; \
         nothing was changed",
        .file.display()
    )]
    LostTail {
        /// The last journal.
        file: PathBuf,
        /// The last acknowledged commit.
        acknowledged: u64,
        /// The last commit that is there.
        found: u64,
    },
    /// The directory cannot be read or written: permissions, space, or the disk itself.
    #[error("{}: {source}; check permissions, free space and the disk; then start again", .file.display())]
    Io {
        /// Which file or directory.
        file: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The files are sound, but the storage engine refuses them.
    #[error("the storage engine does not open {}: {source}", .dir.display())]
    Engine {
        /// The database's directory.
        dir: PathBuf,
        /// What it says.
        source: fjall::Error,
    },
}

impl OpenError {
    pub(crate) fn io(file: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Io {
            file: file.into(),
            source,
        }
    }

    pub(crate) fn damaged(file: impl Into<PathBuf>, detail: impl Into<String>) -> Self {
        Self::Damaged {
            file: file.into(),
            detail: detail.into(),
        }
    }
}

/// Why a running engine stopped for good. The process must end and start anew: what was acknowledged is safe, and the check
/// at the next start says if the disk is not.
#[derive(Debug, Clone, thiserror::Error)]
#[error("embedded engine stopped: {during}")]
pub struct Failure {
    during: &'static str,
    #[source]
    cause: Option<Cause>,
}

impl Failure {
    pub(crate) fn new(
        during: &'static str,
        cause: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        Self {
            during,
            cause: Some(Arc::new(cause)),
        }
    }

    pub(crate) const fn plain(during: &'static str) -> Self {
        Self {
            during,
            cause: None,
        }
    }
}

/// Whether the engine has failed, for everybody who wants to know. Set once.
#[derive(Debug)]
pub(crate) struct FailureCell {
    failure: OnceLock<Failure>,
    changed: watch::Sender<bool>,
}

impl FailureCell {
    pub(crate) fn new() -> Self {
        Self {
            failure: OnceLock::new(),
            changed: watch::Sender::new(false),
        }
    }

    /// Notes the first failure; later ones follow from it and say nothing new.
    pub(crate) fn set(&self, failure: Failure) {
        if self.failure.set(failure).is_ok() {
            if let Some(failure) = self.get() {
                let cause = failure.cause.as_deref().map(tracing::field::display);
                tracing::error!(during = failure.during, cause, "embedded engine failed");
            }
            self.changed.send_replace(true);
        }
    }

    pub(crate) fn get(&self) -> Option<&Failure> {
        self.failure.get()
    }

    /// A port error, if the engine has failed.
    pub(crate) fn port(&self, operation: &'static str) -> Option<PortError> {
        self.get()
            .map(|failure| PortError::fatal(operation, failure.clone()))
    }

    /// Waits for a failure; for ever if there is none.
    pub(crate) async fn wait(&self) -> Failure {
        let mut changed = self.changed.subscribe();
        loop {
            if let Some(failure) = self.get() {
                return failure.clone();
            }
            // The sender lives in `self`, so this cannot say that it is gone.
            let _ = changed.changed().await;
        }
    }
}

/// Why a row could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// The row is there, and is none of ours.
    #[error("corrupt row in keyspace {}", .0.name())]
    Row(Space),
    /// fjall could not read it.
    #[error(transparent)]
    Engine(#[from] fjall::Error),
}

impl ReadError {
    /// For [`Result::map_err`] on decoding.
    pub(crate) const fn row(space: Space) -> impl Fn(CorruptRow) -> Self {
        move |_| Self::Row(space)
    }

    /// The error of a port. A block that fails its checksum will fail it again; the disk may answer the next time.
    pub(crate) fn port(self, operation: &'static str) -> PortError {
        use fjall::{Error, LsmError};
        match self {
            Self::Engine(error @ (Error::Io(_) | Error::Storage(LsmError::Io(_)))) => {
                PortError::unavailable(operation, error)
            }
            error @ (Self::Row(_) | Self::Engine(_)) => {
                metrics::counter!("kith_corrupt_rows_total", "kind" => "row").increment(1);
                PortError::Corrupt {
                    operation,
                    detail: error.to_string(),
                }
            }
        }
    }
}

/// The queue in front of the engine is full.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the queue of the embedded engine is full")]
pub(crate) struct Overloaded;

/// Only the reserve is left of the disk.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the disk of the embedded engine is full")]
pub(crate) struct NoRoom;

/// The engine was closed in order.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the embedded engine is closed")]
pub(crate) struct Closed;
