//! A directory that is made beside its place and moved there when it is whole: whatever ends the process on the way, what has the
//! name is complete.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::copy_error::CopyError;
use crate::error::OpenError;
use crate::open::{self, Paths};

/// What a directory that is being made is called, after the name that it will have.
const SUFFIX: &str = ".making";

/// A data directory that is being made, locked against a second one of the same name.
pub(crate) struct Beside {
    place: PathBuf,
    making: PathBuf,
    /// Goes with the directory to its place, and is let go there.
    #[expect(dead_code, reason = "held, not read")]
    lock: File,
}

impl Beside {
    /// Begins one. What an earlier try of the same name has left is removed.
    ///
    /// # Errors
    /// [`CopyError::NotEmpty`] if there is something in its place, [`CopyError::Files`] otherwise.
    pub(crate) fn begin(place: &Path) -> Result<Self, CopyError> {
        let place = std::path::absolute(place).map_err(|error| OpenError::io(place, error))?;
        if !is_free(&place).map_err(|error| OpenError::io(&place, error))? {
            return Err(CopyError::NotEmpty { dir: place });
        }
        let mut name = place.file_name().map_or_else(OsString::new, OsString::from);
        name.push(SUFFIX);
        let making = place.with_file_name(name);
        let lock = open::lock(&making)?;
        let beside = Self {
            place,
            making,
            lock,
        };
        beside
            .clear()
            .map_err(|error| OpenError::io(&beside.making, error))?;
        Ok(beside)
    }

    /// Where it is made.
    pub(crate) fn dir(&self) -> &Path {
        &self.making
    }

    /// Puts everything in it on disk, and moves it to its place.
    ///
    /// # Errors
    /// [`CopyError::Files`].
    pub(crate) fn put_in_place(self) -> Result<(), CopyError> {
        sync_tree(&self.making).map_err(|error| OpenError::io(&self.making, error))?;
        // An empty directory is replaced; one that was filled meanwhile is not.
        fs::rename(&self.making, &self.place)
            .and_then(|()| open::sync_dir(self.place.parent().unwrap_or(Path::new("/"))))
            .map_err(|error| OpenError::io(&self.place, error))?;
        Ok(())
    }

    /// Removes what was made so far; what cannot be removed is left to the next try.
    pub(crate) fn give_up(self) {
        let removed = self
            .clear()
            .and_then(|()| fs::remove_file(self.making.join(open::LOCK)))
            .and_then(|()| fs::remove_dir(&self.making));
        if let Err(error) = removed {
            tracing::warn!(dir = %self.making.display(), %error, "an unfinished copy is left");
        }
    }

    /// Removes what an engine makes in a directory. Anything else there is somebody's, and stays.
    fn clear(&self) -> io::Result<()> {
        let paths = Paths::of(&self.making);
        for dir in [paths.store(), Paths::making(&self.making).store()] {
            match fs::remove_dir_all(dir) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Whether nothing is there, or an empty directory.
fn is_free(place: &Path) -> io::Result<bool> {
    match fs::read_dir(place) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

/// Puts a directory on disk, with everything below it.
fn sync_tree(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_tree(&entry.path())?;
        } else {
            File::open(entry.path())?.sync_all()?;
        }
    }
    open::sync_dir(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_has_its_name_only_at_the_end() {
        let home = tempfile::tempdir().unwrap();
        let place = home.path().join("copy");
        let beside = Beside::begin(&place).unwrap();
        fs::create_dir_all(Paths::of(beside.dir()).store()).unwrap();
        assert!(!place.exists());
        assert!(
            matches!(
                Beside::begin(&place),
                Err(CopyError::Files(OpenError::InUse { .. }))
            ),
            "two at once"
        );
        // As if the process had died: the lock goes, the files stay, and the next try takes them away.
        drop(beside);
        let again = Beside::begin(&place).unwrap();
        assert!(!Paths::of(again.dir()).store().exists());
        again.put_in_place().unwrap();
        assert!(place.is_dir());
    }

    #[test]
    fn a_place_that_is_taken_is_left_alone() {
        let home = tempfile::tempdir().unwrap();
        let place = home.path().join("copy");
        fs::create_dir(&place).unwrap();
        Beside::begin(&place).unwrap().give_up();
        fs::write(place.join("notes"), "mine").unwrap();
        let refused = Beside::begin(&place);
        assert!(matches!(refused, Err(CopyError::NotEmpty { .. })));
        let names: Vec<_> = fs::read_dir(home.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, ["copy"], "nothing is left beside it");
    }
}
