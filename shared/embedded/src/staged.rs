//! The writes of one group before they are committed, and the state as it will be after them.
//!
//! Statements of a group run one after another, each on what the ones before it left: that is what makes each of them
//! atomic. Every key is written once in the end, whatever happened to it on the way.

use std::collections::BTreeMap;

use fjall::Slice;

use crate::database::Store;
use crate::error::ReadError;
use crate::layout::row::Row;
use crate::layout::{Space, key};
use crate::seal::{Checksum, Seal, Tip, bit};
use crate::versions::Versions;

/// Writes by keyspace and key; `None` removes.
pub(crate) struct Staged<'a> {
    store: &'a Store,
    writes: [BTreeMap<Vec<u8>, Option<Slice>>; Space::COUNT],
}

impl<'a> Staged<'a> {
    pub(crate) fn new(store: &'a Store) -> Self {
        Self {
            store,
            writes: Default::default(),
        }
    }

    /// A row as it is after the writes so far.
    pub(crate) fn get(&self, space: Space, key: &[u8]) -> Result<Option<Slice>, ReadError> {
        if let Some(staged) = self.writes[space.index()].get(key) {
            return Ok(staged.clone());
        }
        Ok(self.store.latest(space, key)?)
    }

    /// A decoded row.
    pub(crate) fn row<R: Row>(&self, space: Space, key: &[u8]) -> Result<Option<R>, ReadError> {
        self.get(space, key)?
            .map(|bytes| R::decode(&bytes))
            .transpose()
            .map_err(ReadError::row(space))
    }

    /// The rows of a prefix as they are after the writes so far, in order.
    pub(crate) fn prefix(
        &self,
        space: Space,
        prefix: &[u8],
    ) -> Result<BTreeMap<Vec<u8>, Slice>, ReadError> {
        // The leader asks, between two commits, and the last one is published: nothing newer is there.
        let mut rows = self
            .store
            .view()
            .prefix(space, prefix)
            .map(|row| row.map(|(key, value)| (key.to_vec(), value)))
            .collect::<Result<BTreeMap<_, _>, _>>()?;
        let staged = self.writes[space.index()].range(prefix.to_vec()..);
        for (key, value) in staged.take_while(|(key, _)| key.starts_with(prefix)) {
            match value {
                Some(value) => rows.insert(key.clone(), value.clone()),
                None => rows.remove(key),
            };
        }
        Ok(rows)
    }

    /// The first committed rows of a prefix, in order.
    pub(crate) fn first(
        &self,
        space: Space,
        prefix: &[u8],
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Slice)>, ReadError> {
        let view = self.store.view();
        let rows = view.prefix(space, prefix).take(limit);
        rows.map(|row| {
            let (key, value) = row?;
            Ok((key.to_vec(), value))
        })
        .collect()
    }

    /// Writes a row.
    pub(crate) fn put(&mut self, space: Space, key: Vec<u8>, value: impl Into<Slice>) {
        self.writes[space.index()].insert(key, Some(value.into()));
    }

    /// Writes a row from its fields.
    pub(crate) fn put_row(&mut self, space: Space, key: Vec<u8>, row: &impl Row) {
        self.put(space, key, row.encode());
    }

    /// Writes what becomes of a row, unless that is what is there: much is written again, as records are read again, and have what
    /// was written before them.
    pub(crate) fn update<R: Row + Clone + PartialEq>(
        &mut self,
        space: Space,
        key: Vec<u8>,
        merge: impl FnOnce(Option<R>) -> R,
    ) -> Result<(), ReadError> {
        let before = self.row(space, &key)?;
        self.change(space, key, before, merge);
        Ok(())
    }

    /// The same, for a row that was read since it was last written.
    pub(crate) fn change<R: Row + Clone + PartialEq>(
        &mut self,
        space: Space,
        key: Vec<u8>,
        before: Option<R>,
        merge: impl FnOnce(Option<R>) -> R,
    ) {
        let after = merge(before.clone());
        if before.as_ref() != Some(&after) {
            self.put_row(space, key, &after);
        }
    }

    /// Removes a row.
    pub(crate) fn remove(&mut self, space: Space, key: Vec<u8>) {
        self.writes[space.index()].insert(key, None);
    }

    /// Counts the cells that are written.
    pub(crate) fn count(&self, versions: &mut Versions) {
        versions.count(self.writes[Space::Cells.index()].keys());
    }

    /// The batch; `None` if there is nothing to commit.
    pub(crate) fn prepare(mut self) -> Option<Prepared> {
        let count: usize = self.writes.iter().map(BTreeMap::len).sum();
        if count == 0 {
            return None;
        }
        let mut batch = self.store.batch(count + Space::COUNT);
        let mut checksum = Checksum::default();
        let mut touched = 0;
        for space in Space::ALL {
            let mut writes = std::mem::take(&mut self.writes[space.index()]);
            if writes.is_empty() {
                continue;
            }
            touched |= bit(space);
            // Compaction forgets removals at the last level, and with them the highest number of the tables, against which
            // floors are held (`seal`). So a removal always comes with a row that stays.
            if writes.values().all(Option::is_none) {
                writes.insert(key::ANCHOR.to_vec(), Some(Slice::from([0u8; 0])));
            }
            let keyspace = self.store.keyspace(space);
            for (key, value) in writes {
                checksum.item(space.id(), &key, value.as_deref());
                match value {
                    Some(value) => batch.insert(keyspace, key, value),
                    None => batch.remove(keyspace, key),
                }
            }
        }
        Some(Prepared {
            batch,
            checksum: checksum.finish(),
            touched,
        })
    }
}

/// A batch that has everything but its seal.
pub(crate) struct Prepared {
    batch: fjall::OwnedWriteBatch,
    /// Over its items.
    checksum: u64,
    /// The keyspaces it writes to (`Seal::touched`).
    touched: u8,
}

impl Prepared {
    /// Commits it, with the seal that follows a tip. Says where the database stands then.
    pub(crate) fn commit(mut self, store: &Store, after: &Tip) -> fjall::Result<Tip> {
        let seal = Seal::following(
            after,
            self.checksum,
            store.next_number(),
            self.touched | bit(Space::Meta),
        );
        self.batch
            .insert(store.keyspace(Space::Meta), key::COMMIT, seal.encode());
        self.batch.commit()?;
        Ok(seal.tip())
    }
}
