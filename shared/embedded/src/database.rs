//! fjall, as this crate uses it: eight keyspaces, one writer, readers of whole commits.

use std::ops::RangeBounds;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use fjall::compaction::Leveled;
use fjall::config::PartitioningPolicy;
use fjall::{
    AbstractTree as _, CompressionType, Database, Keyspace, KeyspaceCreateOptions, Readable, Slice,
    Snapshot,
};

use crate::error::ReadError;
use crate::layout::Space;
use crate::layout::row::Row;
use crate::retired::InUse;
use crate::versions::Versions;

/// fjall's own least. Journals are replayed at start, so the bound is one on the time to start, too.
const JOURNALS_BYTES: u64 = 64 * 1024 * 1024;

/// How large a table is made. A compaction takes a table and the ten below it, and the first level holds four of them: with fjall's
/// 64 MiB that is hundreds of MiB in one go, and whoever syncs or reads meanwhile waits for longer.
const TABLE_BYTES: u64 = 8 * 1024 * 1024;

/// The open database.
pub(crate) struct Store {
    db: Database,
    spaces: Spaces,
    /// What readers see: the state after the last whole commit. fjall's own "latest" can, for the moment in which a flush
    /// ends beside a commit, show half a batch; a snapshot that the leader takes between commits cannot.
    view: RwLock<View>,
}

type Spaces = Arc<[Keyspace; Space::COUNT]>;

/// A state of the database between two commits. Cheap to clone.
#[derive(Clone)]
pub(crate) struct View {
    snapshot: Arc<Snapshot>,
    spaces: Spaces,
}

impl Store {
    /// Makes an empty database. The order of the keyspaces gives them their ids (`Space::id`).
    pub(crate) fn create(dir: &Path) -> fjall::Result<()> {
        let db = builder(dir, JOURNALS_BYTES / 8).open()?;
        for space in Space::ALL {
            keyspace(&db, space)?;
        }
        Ok(())
    }

    /// Opens a database that has passed the check.
    pub(crate) fn open(dir: &Path, cache_bytes: u64) -> fjall::Result<Self> {
        let db = builder(dir, cache_bytes).open()?;
        let mut spaces = Vec::with_capacity(Space::COUNT);
        for space in Space::ALL {
            let keyspace = keyspace(&db, space)?;
            if keyspace.id() != space.id() {
                return Err(fjall::Error::Unrecoverable);
            }
            spaces.push(keyspace);
        }
        let spaces: Box<[Keyspace; Space::COUNT]> = spaces
            .into_boxed_slice()
            .try_into()
            .map_err(|_| fjall::Error::Unrecoverable)?;
        let spaces = Arc::from(spaces);
        let view = RwLock::new(View {
            snapshot: Arc::new(db.snapshot()),
            spaces: Arc::clone(&spaces),
        });
        Ok(Self { db, spaces, view })
    }

    /// What readers see now.
    pub(crate) fn view(&self) -> View {
        self.view
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Shows readers the commit that was just made. Between commits only, so for the leader only.
    pub(crate) fn publish(&self) {
        let view = View {
            snapshot: Arc::new(self.db.snapshot()),
            spaces: Arc::clone(&self.spaces),
        };
        let before = std::mem::replace(
            &mut *self.view.write().unwrap_or_else(PoisonError::into_inner),
            view,
        );
        // Outside the lock: the last holder of a snapshot may tidy up.
        drop(before);
    }

    /// A row as it is now, for the leader, who alone writes.
    pub(crate) fn latest(&self, space: Space, key: &[u8]) -> fjall::Result<Option<Slice>> {
        self.spaces[space.index()].get(key)
    }

    /// A batch to be filled and committed.
    pub(crate) fn batch(&self, items: usize) -> fjall::OwnedWriteBatch {
        // `Buffer`: a commit has been handed to the system when it returns, so it survives the process.
        fjall::OwnedWriteBatch::with_capacity(self.db.clone(), items)
            .durability(Some(fjall::PersistMode::Buffer))
    }

    /// The keyspace behind a space.
    pub(crate) fn keyspace(&self, space: Space) -> &Keyspace {
        &self.spaces[space.index()]
    }

    /// fjall's next sequence number (`seal`).
    pub(crate) fn next_number(&self) -> u64 {
        self.db.seqno()
    }

    /// Puts everything on disk: what [`Store::batch`] leaves to the system.
    pub(crate) fn sync(&self) -> fjall::Result<()> {
        self.db.persist(fjall::PersistMode::SyncAll)
    }

    /// How many journals there are, the one that is written among them.
    pub(crate) fn journals(&self) -> usize {
        self.db.journal_count()
    }

    /// Has every keyspace put what it has in memory into its tables, so that the journals that are full can go. fjall keeps them
    /// for the keyspace that is written least, until the next one is full, too: a start would replay both.
    pub(crate) fn release_journals(&self, versions: &mut Versions) -> fjall::Result<()> {
        for space in Space::ALL {
            self.rotate(space, versions)?;
        }
        Ok(())
    }

    /// Has keyspaces that hold more in memory than they may put it into tables. fjall asks its worker for that with every commit
    /// until it is done. While the worker compacts, that fills its queue; then it waits for room in the queue to ask for the
    /// flush, room that nobody but itself makes: nothing is put into tables any more, and memory, journal and the time to start
    /// grow (seen with fjall 3.1 and one worker). So it is done here, after the commit that was too much, and asked for once at most.
    /// The same for cells of which one profile has too many versions.
    pub(crate) fn rotate_full(
        &self,
        versions: &mut Versions,
        in_use: &mut InUse,
    ) -> fjall::Result<()> {
        for space in Space::ALL {
            let memtable = self.keyspace(space).tree.active_memtable();
            let is_full = memtable.size() > space.memtable_bytes();
            in_use.note_memtable(space, memtable);
            let is_crowded = space == Space::Cells && versions.is_crowded();
            if is_full || is_crowded {
                self.rotate(space, versions)?;
            }
        }
        Ok(())
    }

    /// Takes note of the tables that the keyspaces have now.
    pub(crate) fn note_tables(&self, in_use: &mut InUse, now: Instant) {
        for space in Space::ALL {
            let tables = self.keyspace(space).tree.current_version();
            in_use.note_tables(space, tables.id(), now, || Box::new(tables));
        }
    }

    /// Has what a keyspace has in memory put into a table. What is counted of cells in memory begins anew with it.
    fn rotate(&self, space: Space, versions: &mut Versions) -> fjall::Result<()> {
        self.keyspace(space).rotate_memtable()?;
        if space == Space::Cells {
            versions.clear();
        }
        Ok(())
    }

    /// What the keyspaces hold in memory that is not on its way into a table, in bytes.
    #[cfg(test)]
    pub(crate) fn in_memory(&self) -> [(Space, u64); Space::COUNT] {
        Space::ALL.map(|space| {
            let keyspace = self.keyspace(space);
            (space, keyspace.tree.active_memtable().size())
        })
    }

    /// Says whether fjall still works; its background threads fail in silence otherwise.
    pub(crate) fn check_health(&self) -> fjall::Result<()> {
        self.db.persist(fjall::PersistMode::Buffer)
    }
}

impl View {
    /// A row.
    pub(crate) fn get(&self, space: Space, key: &[u8]) -> Result<Option<Slice>, ReadError> {
        Ok(self.snapshot.get(&self.spaces[space.index()], key)?)
    }

    /// A decoded row.
    pub(crate) fn row<R: Row>(&self, space: Space, key: &[u8]) -> Result<Option<R>, ReadError> {
        self.get(space, key)?
            .map(|bytes| R::decode(&bytes))
            .transpose()
            .map_err(ReadError::row(space))
    }

    /// All rows whose keys start like this, in order.
    pub(crate) fn prefix(&self, space: Space, prefix: &[u8]) -> Rows {
        Rows(self.snapshot.prefix(&self.spaces[space.index()], prefix))
    }

    /// All rows of a range, in order.
    pub(crate) fn range(&self, space: Space, range: impl RangeBounds<Vec<u8>>) -> Rows {
        Rows(self.snapshot.range(&self.spaces[space.index()], range))
    }
}

/// Rows, each with its key, from either end.
pub(crate) struct Rows(fjall::Iter);

impl Iterator for Rows {
    type Item = Result<(Slice, Slice), ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|row| Ok(row.into_inner()?))
    }
}

impl DoubleEndedIterator for Rows {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.0.next_back().map(|row| Ok(row.into_inner()?))
    }
}

fn builder(dir: &Path, cache_bytes: u64) -> fjall::DatabaseBuilder<Database> {
    Database::builder(dir)
        .cache_size(cache_bytes)
        .max_journaling_size(JOURNALS_BYTES)
        // The check at start reads journals without decompressing anything.
        .journal_compression(CompressionType::None)
        // With two, fjall keeps one of them free for flushes by having it hand a compaction back to the queue, and take it again,
        // for as long as the other one compacts: a whole core, on a machine that may have two. Measured: a fifth less work with
        // one, and no more waiting.
        .worker_threads(1)
}

fn keyspace(db: &Database, space: Space) -> fjall::Result<Keyspace> {
    db.keyspace(space.name(), || {
        // Filters and indices of tables are read in blocks of some KiB, but for those that stay in memory (filters of the first level,
        // indices of the first two). As fjall has it, they are whole on the level after these, too, and once they are more than the cache
        // holds, a row that is looked up costs the reading and checking of several.
        KeyspaceCreateOptions::default()
            .max_memtable_size(space.memtable_bytes())
            .compaction_strategy(Arc::new(
                Leveled::default().with_table_target_size(TABLE_BYTES),
            ))
            .filter_block_partitioning_policy(PartitioningPolicy::new([false, true]))
            .index_block_partitioning_policy(PartitioningPolicy::new([false, false, true]))
    })
}
