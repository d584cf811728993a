//! Why a copy of a store was not made.

use std::path::PathBuf;

use kith_profiles::error::Cause;

use crate::error::{OpenError, ReadError};
use crate::verify::Checked;

/// Why a copy was not made. What was to be copied is as it was, and nothing has the name that the copy was to have.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// There is something where the copy is to be. Name a directory that is not there, or move this one aside.
    #[error("{} is not empty; name a directory that is not there yet, or move this one aside", .dir.display())]
    NotEmpty {
        /// The directory that was named.
        dir: PathBuf,
    },
    /// The copy would be in the data directory, whose content belongs to the engine alone.
    #[error("{} is in the data directory itself; name a directory outside of it", .dir.display())]
    Inside {
        /// The directory that was named.
        dir: PathBuf,
    },
    /// There is no store to be copied or checked.
    #[error("{} holds no store; name a data directory or a backup", .dir.display())]
    NoStore {
        /// The directory that was named.
        dir: PathBuf,
    },
    /// The files are as they were written, but rows in them contradict each other or are none of ours.
    #[error(
        "{} is read without an error and is wrong in {} places, the first: {}",
        .dir.display(),
        .checked.wrong,
        .checked.findings.first().map_or("none", String::as_str)
    )]
    Wrong {
        /// The directory that was named.
        dir: PathBuf,
        /// All of it.
        checked: Box<Checked>,
    },
    /// Whoever asked for it is gone, or the engine is closing.
    #[error("the copy was given up: the process is ending, or whoever asked for it has gone")]
    GivenUp,
    /// The store that is copied could not be read.
    #[error("the store cannot be read: {source}")]
    Read {
        /// What is wrong.
        source: Cause,
    },
    /// Files could not be read or written, or are not what they should be.
    #[error(transparent)]
    Files(#[from] OpenError),
}

impl From<ReadError> for CopyError {
    fn from(error: ReadError) -> Self {
        Self::Read {
            source: std::sync::Arc::new(error),
        }
    }
}
