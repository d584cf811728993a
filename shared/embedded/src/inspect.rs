//! A look at a data directory from outside, for whoever wants to know before it is opened. Changes nothing.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::Path;

use crate::audit;
use crate::error::OpenError;
use crate::open::{Paths, check_stamp};

/// What a look at a data directory found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inspection {
    /// There is no store yet: the first start makes one.
    Empty,
    /// A store, and every file of it is as it was written.
    Sound,
}

/// Looks at the store in `dir` as [`Embedded::open`](crate::Embedded::open) would before it lets the storage engine at it, but
/// reads the content of every table, however long that takes. Holds the lock meanwhile, if there is one: a process that starts
/// beside is told that the directory is in use.
///
/// # Errors
/// [`OpenError`]: why it would not open.
pub fn inspect(dir: &Path) -> Result<Inspection, OpenError> {
    let store = dir.join("store");
    let is_there = store
        .try_exists()
        .map_err(|error| OpenError::io(&store, error))?;
    // Not made here: a directory that was only looked at is as it was.
    let _held = lock(dir)?;
    if !is_there {
        return Ok(Inspection::Empty);
    }
    let paths = Paths::of(dir);
    check_stamp(&paths)?;
    audit::audit(&paths, u64::MAX)?;
    Ok(Inspection::Sound)
}

/// Takes the lock, if a process ever made one.
fn lock(dir: &Path) -> Result<Option<File>, OpenError> {
    let path = dir.join("lock");
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(OpenError::io(path, error)),
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse {
            dir: dir.to_owned(),
        }),
        Err(TryLockError::Error(error)) => Err(OpenError::io(path, error)),
    }
}
