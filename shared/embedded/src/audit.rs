//! The check at open: reads everything that the database consists of, and writes nothing.
//!
//! fjall trusts its files, and repairs what it takes for the leftovers of a crash: it truncates journals, and deletes
//! keyspaces that look unfinished. After that it is too late to ask. So this runs first, on the files themselves, with readers
//! of our own for the few formats that matter (versioned on disk, and checked here):
//!
//! 1. Every file that a manifest names is there and is as it was written ([`table`]); the journals have no gap.
//! 2. Every batch in the journals carries the seal that follows the one before ([`journal`], `seal`).
//! 3. What is in the tables reaches at least to where the journals begin, in every keyspace.
//! 4. The last acknowledged commit is there, and it is the one that was acknowledged (`acknowledged`).
//!
//! Only what comes after the last acknowledged commit may end in the middle: that is what a crash leaves, and it is cut off.

mod archive;
mod journal;
mod table;

use std::path::PathBuf;

use crate::acknowledged::{self, Found};
use crate::error::OpenError;
use crate::journal_file;
use crate::layout::Space;
use crate::open::Paths;
use crate::seal::{Floors, Tip};

pub(crate) use table::{Table, check_content};

/// What the check found, when all is well.
pub(crate) struct Audit {
    /// What was acknowledged.
    pub(crate) acknowledged: Found,
    /// Where the journals end; `None` if they hold no commit.
    pub(crate) tip: Option<Tip>,
    /// A journal with a torn end, and how many bytes of it are sound.
    pub(crate) torn: Option<(PathBuf, u64)>,
    /// Tables whose content was not read yet.
    pub(crate) unchecked: Vec<Table>,
}

const FJALL_VERSION: &[u8] = b"FJL\x03";

/// Checks a database. Reads the content of up to `check_bytes` of tables.
pub(crate) fn audit(paths: &Paths, check_bytes: u64) -> Result<Audit, OpenError> {
    let acknowledged_path = paths.acknowledged();
    let acknowledged = acknowledged::read(&acknowledged_path)
        .map_err(|error| missing_or(&acknowledged_path, error))?
        .ok_or_else(|| OpenError::damaged(&acknowledged_path, "no part of it is sound"))?;

    check_markers(paths)?;
    let mut persisted = Floors::default();
    let mut tables = table::list(paths, 0)?.tables;
    for space in Space::ALL {
        let found = table::list(paths, space.id())?;
        persisted[space.index()] = found.highest_number;
        tables.extend(found.tables);
    }
    let unchecked = check_tables(tables, check_bytes)?;

    let journals = journal_file::list(&paths.database())
        .map_err(|error| OpenError::io(paths.database(), error))?;
    let scan = journal::scan(paths, &journals)?;
    let audit = Audit {
        acknowledged,
        tip: scan.tip,
        torn: scan.torn.clone(),
        unchecked,
    };
    check_reach(paths, &scan, &persisted, &acknowledged.tip)?;
    Ok(audit)
}

fn check_markers(paths: &Paths) -> Result<(), OpenError> {
    let version = paths.database().join("version");
    let found = std::fs::read(&version).map_err(|error| missing_or(&version, error))?;
    if found != FJALL_VERSION {
        return Err(OpenError::damaged(
            version,
            "it does not name the storage format of this version",
        ));
    }
    let lock = paths.database().join("lock");
    lock.symlink_metadata()
        .map(|_| ())
        .map_err(|error| missing_or(&lock, error))
}

/// Reads tables, newest first, up to a budget. Gives back the rest.
fn check_tables(mut tables: Vec<Table>, budget: u64) -> Result<Vec<Table>, OpenError> {
    tables.sort_by_key(|table| std::cmp::Reverse(table.number));
    let mut left = budget;
    let mut unchecked = Vec::new();
    for table in tables {
        if table.bytes > left {
            unchecked.push(table);
            continue;
        }
        left -= table.bytes;
        check_content(&table)?;
    }
    Ok(unchecked)
}

/// Checks that tables and journals together reach from the first commit to the last acknowledged one.
fn check_reach(
    paths: &Paths,
    scan: &journal::Scan,
    persisted: &Floors,
    acknowledged: &Tip,
) -> Result<(), OpenError> {
    if let Some(first) = &scan.first
        && Space::ALL
            .iter()
            .any(|space| first.before[space.index()] > persisted[space.index()])
    {
        return Err(OpenError::damaged(
            paths.database(),
            format!(
                "the journals begin at commit {}, and the tables do not hold all that came before: an older journal, or \
                 newer tables, are missing",
                first.sequence
            ),
        ));
    }
    if let Some(tip) = &scan.tip {
        scan.check_acknowledged(tip, acknowledged)?;
    }
    let lost = Space::ALL.iter().find(|space| {
        let place = space.index();
        acknowledged.floors[place] > persisted[place].max(scan.highest[place])
    });
    if lost.is_some() {
        return Err(scan.lost(acknowledged.sequence));
    }
    Ok(())
}

/// The error for a file that should be there.
fn missing_or(file: &std::path::Path, error: std::io::Error) -> OpenError {
    if error.kind() == std::io::ErrorKind::NotFound {
        OpenError::damaged(file, "it is missing")
    } else {
        OpenError::io(file, error)
    }
}
