//! A backup becomes a data directory.

use std::fs;
use std::io;
use std::path::Path;

use crate::backup::is_inside;
use crate::beside::Beside;
use crate::copy_error::CopyError;
use crate::error::OpenError;
use crate::open::{self, Paths};
use crate::verify::{self, Checked};

/// Makes a data directory of a backup, which stays as it is. The backup is checked before it is copied, and the copy before it has
/// its name: file by file, then row by row. Blocks for as long as it takes to read everything three times.
///
/// # Errors
/// [`CopyError`], and nothing is in `place` then.
pub fn restore(backup: &Path, place: &Path) -> Result<Checked, CopyError> {
    let source = Paths::of(backup);
    verify::must_be_there(backup)?;
    if is_inside(place, backup) {
        return Err(CopyError::Inside {
            dir: place.to_owned(),
        });
    }
    // A process that serves there is to be stopped first, whatever else is to be said of it.
    if place.join(open::LOCK).exists() {
        drop(open::lock(place)?);
    }
    let lock = match open::lock(backup) {
        Ok(lock) => Some(lock),
        // Nobody writes to a backup on a disk that is mounted for reading only, nor on one of somebody else's.
        Err(OpenError::Io { source, .. })
            if matches!(
                source.kind(),
                io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied
            ) =>
        {
            None
        }
        Err(error) => return Err(error.into()),
    };
    // First the backup itself, so that an error names its file and not the copy's.
    open::check_files(&source, u64::MAX)?;
    let beside = Beside::begin(place)?;
    let made = Paths::of(beside.dir());
    let checked = copy_tree(source.store(), made.store())
        .map_err(CopyError::from)
        .and_then(|()| verify::check(&made));
    drop(lock);
    match checked {
        Ok(checked) if checked.wrong == 0 => beside.put_in_place().map(|()| checked),
        Ok(checked) => {
            beside.give_up();
            Err(CopyError::Wrong {
                dir: backup.to_owned(),
                checked: Box::new(checked),
            })
        }
        Err(error) => {
            beside.give_up();
            Err(error)
        }
    }
}

fn copy_tree(from: &Path, to: &Path) -> Result<(), OpenError> {
    open::make_dir(to).map_err(|error| OpenError::io(to, error))?;
    let io_error = |error| OpenError::io(from, error);
    for entry in fs::read_dir(from).map_err(io_error)? {
        let entry = entry.map_err(io_error)?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().map_err(io_error)?.is_dir() {
            copy_tree(&path, &target)?;
        } else {
            fs::copy(&path, &target).map_err(|error| OpenError::io(&path, error))?;
        }
    }
    Ok(())
}
