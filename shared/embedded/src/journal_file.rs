//! The journal's files, as far as syncing them goes.
//!
//! fjall's own sync holds the lock of its journal for as long as the disk takes, and every commit waits behind it. The
//! syncer uses a handle of its own on the same file instead: the system writes out the file, not the handle, so this is the same
//! sync without the lock. fjall syncs a journal itself before it starts the next one, so the newest is the only one that can have
//! anything unsynced.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// The extension of journals.
const EXTENSION: &str = "jnl";

/// A journal and its number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Journal {
    /// Its number: each new one has the next.
    pub(crate) number: u64,
    /// Where it is.
    pub(crate) path: PathBuf,
}

/// The journals of a database, oldest first.
pub(crate) fn list(database: &Path) -> io::Result<Vec<Journal>> {
    let mut journals = Vec::new();
    for entry in std::fs::read_dir(database)? {
        let path = entry?.path();
        let number = path
            .file_stem()
            .filter(|_| path.extension().is_some_and(|found| found == EXTENSION))
            .and_then(|stem| stem.to_str()?.parse().ok());
        if let Some(number) = number {
            journals.push(Journal { number, path });
        }
    }
    journals.sort();
    Ok(journals)
}

/// Syncs the journal that is being written.
pub(crate) struct JournalSync {
    database: PathBuf,
    number: u64,
    file: File,
}

impl JournalSync {
    /// Starts with the newest journal of an open database.
    pub(crate) fn open(database: &Path) -> io::Result<Self> {
        let newest = list(database)?
            .pop()
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no journal"))?;
        Ok(Self {
            database: database.to_owned(),
            number: newest.number,
            file: open(&newest.path)?,
        })
    }

    /// Puts every commit on disk that was made before this call.
    ///
    /// A journal's successor exists before anything is written to it, and after the journal was synced: so if a commit made
    /// before is in a newer journal, that one is found here.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        while let Some((number, file)) = self.newer()? {
            self.number = number;
            self.file = file;
        }
        self.file.sync_data()
    }

    fn newer(&self) -> io::Result<Option<(u64, File)>> {
        let next = self.number + 1;
        match open(&self.path(next)) {
            Ok(file) => return Ok(Some((next, file))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        // Journals are deleted oldest first: while ours is there, a missing successor was never made.
        if self.path(self.number).try_exists()? {
            return Ok(None);
        }
        let newest = Self::open(&self.database)?;
        Ok(Some((newest.number, newest.file)))
    }

    fn path(&self, number: u64) -> PathBuf {
        self.database.join(format!("{number}.{EXTENSION}"))
    }
}

fn open(path: &Path) -> io::Result<File> {
    // For writing, because some systems sync only such handles; nothing is ever written through it.
    File::options().write(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_moves_on_to_newer_journals() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["3.jnl", "10.jnl", "notes", "x.jnl"] {
            std::fs::write(dir.path().join(name), b"").unwrap();
        }
        let numbers: Vec<_> = list(dir.path()).unwrap().iter().map(|j| j.number).collect();
        assert_eq!(numbers, [3, 10]);
        let mut sync = JournalSync::open(dir.path()).unwrap();
        sync.sync().unwrap();
        assert_eq!(sync.number, 10);
        for name in ["11.jnl", "12.jnl"] {
            std::fs::write(dir.path().join(name), b"").unwrap();
        }
        sync.sync().unwrap();
        assert_eq!(sync.number, 12);
        // Two more came, and all but the last went, before the next sync.
        std::fs::write(dir.path().join("14.jnl"), b"").unwrap();
        for name in ["3.jnl", "10.jnl", "11.jnl", "12.jnl"] {
            std::fs::remove_file(dir.path().join(name)).unwrap();
        }
        sync.sync().unwrap();
        assert_eq!(sync.number, 14);
    }
}
