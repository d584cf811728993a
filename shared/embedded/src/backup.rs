//! A copy of the store as it is between two commits, made while others read and write.
//!
//! What readers see is such a state, and holds everything that was acknowledged before ([`Store::publish`] comes before any
//! answer): so a view is all that the copy takes from the running engine, and nobody waits for it. The rows of the view go into a new
//! store of the same layout, through the journal and with seals like every commit, so that it opens and is checked like any
//! store. It is read back whole before it gets its name.

use std::ops::ControlFlow;
use std::path::Path;

use crate::acknowledged::{self, Acknowledged};
use crate::beside::Beside;
use crate::copy_error::CopyError;
use crate::database::{Store, View};
use crate::engine::Embedded;
use crate::error::OpenError;
use crate::layout::{Space, key};
use crate::open::{self, Paths};
use crate::seal::Tip;
use crate::staged::Staged;

/// What one commit of the copy holds at most: the memory that it takes, and how often somebody is told.
const COMMIT_BYTES: u64 = 4 * 1024 * 1024;
const COMMIT_ROWS: u64 = 16 * 1024;
/// Nothing of the copy is read again but by its check, which reads files.
const CACHE_BYTES: u64 = 8 * 1024 * 1024;

/// How much was copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Copied {
    /// Rows.
    pub rows: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
}

impl Embedded {
    /// Copies the store into a new directory: a data directory of its own, in which everything is that was acknowledged before
    /// the call, and of every commit after it all or nothing. Reads and writes go on beside it. Blocks, for as long as
    /// it takes to write all rows and to read them back; `progress` is told now and then, and may give it up.
    ///
    /// Until the copy is whole and on disk it has another name (`.making` at its end), so that a crash on the way leaves nothing
    /// that looks like one; the next try takes that away.
    ///
    /// # Errors
    /// [`CopyError`]. It is given up, too, when the engine closes or has failed.
    pub fn backup(
        &self,
        target: &Path,
        mut progress: impl FnMut(Copied) -> ControlFlow<()>,
    ) -> Result<Copied, CopyError> {
        let shared = &self.engine.shared;
        if is_inside(target, &shared.options.dir) {
            return Err(CopyError::Inside {
                dir: target.to_owned(),
            });
        }
        let beside = Beside::begin(target)?;
        let copied = copy(&self.view(), beside.dir(), &mut |copied| {
            // A failed engine has closed its queue, too.
            if shared.queue.is_closed() {
                return ControlFlow::Break(());
            }
            progress(copied)
        });
        match copied {
            Ok(copied) => beside.put_in_place().map(|()| copied),
            Err(error) => {
                beside.give_up();
                Err(error)
            }
        }
    }
}

/// Whether a path lies in a directory, as far as it is there.
pub(crate) fn is_inside(path: &Path, dir: &Path) -> bool {
    let (Ok(path), Ok(dir)) = (std::path::absolute(path), dir.canonicalize()) else {
        return false;
    };
    path.ancestors()
        .filter_map(|ancestor| ancestor.canonicalize().ok())
        .any(|ancestor| ancestor == dir)
}

/// Makes a store of a view's rows, and checks it.
fn copy(
    view: &View,
    dir: &Path,
    progress: &mut dyn FnMut(Copied) -> ControlFlow<()>,
) -> Result<Copied, CopyError> {
    let paths = Paths::of(dir);
    open::make(dir, &paths)?;
    let engine_error = |source| OpenError::Engine {
        dir: paths.database(),
        source,
    };
    let store = Store::open(&paths.database(), CACHE_BYTES).map_err(engine_error)?;
    let mut copy = Copy {
        store: &store,
        tip: Tip::default(),
        copied: Copied::default(),
    };
    for space in Space::ALL {
        copy.space(view, space, &paths, progress)?;
    }
    let Copy { tip, copied, .. } = copy;
    store.sync().map_err(engine_error)?;
    // Its background work ends before its files are read.
    drop(store);
    acknowledge(&paths, &tip)?;
    open::check_files(&paths, u64::MAX)?;
    Ok(copied)
}

/// Notes what is in the copy as acknowledged, so that a loss of its end is seen.
fn acknowledge(paths: &Paths, tip: &Tip) -> Result<(), OpenError> {
    let file = paths.acknowledged();
    let note = || {
        let Some(found) = acknowledged::read(&file)? else {
            return Err(std::io::ErrorKind::InvalidData.into());
        };
        let mut acknowledged = Acknowledged::open(&file, &found)?;
        acknowledged.write(tip)?;
        acknowledged.sync()
    };
    note().map_err(|error| OpenError::io(&file, error))
}

/// A copy on its way.
struct Copy<'a> {
    store: &'a Store,
    tip: Tip,
    copied: Copied,
}

impl Copy<'_> {
    fn space(
        &mut self,
        view: &View,
        space: Space,
        paths: &Paths,
        progress: &mut dyn FnMut(Copied) -> ControlFlow<()>,
    ) -> Result<(), CopyError> {
        let mut rows = view.range(space, ..).peekable();
        while rows.peek().is_some() {
            let mut staged = Staged::new(self.store);
            let begun = self.copied;
            for row in rows.by_ref() {
                let (name, value) = row?;
                // The copy has seals of its own.
                if space == Space::Meta && *name == *key::COMMIT {
                    continue;
                }
                self.copied.rows += 1;
                self.copied.bytes += (name.len() + value.len()) as u64;
                staged.put(space, name.to_vec(), value);
                if self.copied.rows - begun.rows >= COMMIT_ROWS
                    || self.copied.bytes - begun.bytes >= COMMIT_BYTES
                {
                    break;
                }
            }
            if let Some(prepared) = staged.prepare() {
                self.tip =
                    prepared
                        .commit(self.store, &self.tip)
                        .map_err(|source| OpenError::Engine {
                            dir: paths.database(),
                            source,
                        })?;
            }
            if progress(self.copied).is_break() {
                return Err(CopyError::GivenUp);
            }
        }
        Ok(())
    }
}
