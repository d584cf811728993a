//! The full check of a store that nobody has open: every file, as at a start and without its limit, and then every row.
//!
//! Rows are held against what holds in every state, crashes included: what may be half done at a crash (a claim without its identifier row, a
//! link without its settled mark) is no finding.

mod log;
mod rows;

use std::path::Path;

use crate::copy_error::CopyError;
use crate::layout::Space;
use crate::open::{self, Paths};

/// Blocks that are read again: those of nodes, which are looked up from one another.
const CACHE_BYTES: u64 = 32 * 1024 * 1024;
/// Findings that are told in words.
const FINDINGS_MAX: usize = 100;

/// What a check of all rows found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Checked {
    /// Rows of all kinds.
    pub rows: u64,
    /// Profiles in the listings of their stores.
    pub profiles: u64,
    /// Claims and owners of identifiers, released ones included.
    pub claims: u64,
    /// Profiles that were merged into another one.
    pub links: u64,
    /// Traits, removed ones included.
    pub traits: u64,
    /// Stores, deleted ones included.
    pub stores: u64,
    /// Records in the log.
    pub records: u64,
    /// Dead letters.
    pub dead_letters: u64,
    /// How many things are wrong.
    pub wrong: u64,
    /// The first hundred of them in words: ids of profiles, and never values.
    pub findings: Vec<String>,
}

impl Checked {
    fn finding(&mut self, text: impl FnOnce() -> String) {
        self.wrong += 1;
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(text());
        }
    }
}

/// Checks a data directory or a backup that no process has open: all of its files, then all of its rows. Like a start, it cuts off an
/// unfinished commit that a crash left at the end of the journal; otherwise it changes nothing that the store says. Blocks.
///
/// # Errors
/// [`CopyError::NoStore`], and [`CopyError::Files`] if a process has it open or a file of it is damaged. Rows that are wrong are
/// no error but findings.
pub fn verify(dir: &Path) -> Result<Checked, CopyError> {
    must_be_there(dir)?;
    let lock = open::lock(dir)?;
    let checked = check(&Paths::of(dir));
    drop(lock);
    checked
}

/// Whether a directory holds a store, of whatever condition.
#[must_use]
pub fn is_there(dir: &Path) -> bool {
    Paths::of(dir).store().is_dir()
}

/// Refuses a directory without a store, so that none is made by asking.
pub(crate) fn must_be_there(dir: &Path) -> Result<(), CopyError> {
    if is_there(dir) {
        Ok(())
    } else {
        Err(CopyError::NoStore {
            dir: dir.to_owned(),
        })
    }
}

/// The check itself, of files that nobody else has open.
pub(crate) fn check(paths: &Paths) -> Result<Checked, CopyError> {
    let (store, _, _) = open::checked(paths, u64::MAX, CACHE_BYTES)?;
    let view = store.view();
    let mut checked = Checked::default();
    let mut log = log::Ends::default();
    for space in Space::ALL {
        for row in view.range(space, ..) {
            let (key, value) = row?;
            checked.rows += 1;
            if *key == *crate::layout::key::ANCHOR {
                continue;
            }
            let looked_at = match space {
                Space::Log => log.record(&mut checked, &key, &value),
                Space::Groups => log.group(&mut checked, &key, &value),
                Space::Claims
                | Space::Nodes
                | Space::Cells
                | Space::Listing
                | Space::Control
                | Space::Meta => rows::row(&view, &mut checked, space, &key, &value),
            };
            if looked_at?.is_err() {
                checked.finding(|| format!("a row of {} is none of this layout", space.name()));
            }
        }
    }
    Ok(checked)
}
