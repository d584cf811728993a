//! Which records of each partition are done, and how far it is safe to commit. Pure.
//!
//! An offset is committed when it and everything before it in its partition is done, in whatever order that came about. A
//! ledger of a partition lives for one assignment and has an epoch: after a rebalance the log delivers again what was not
//! committed, so what comes late from an older epoch says nothing about this one, and is dropped.

use std::collections::{BTreeMap, VecDeque};

use kith_domain::time::Micros;
use kith_profiles::ports::{LogRecord, NextOffset, Offset, Partition};

/// One assignment of one partition. Never the same twice in the life of a ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Epoch(u64);

/// The place of a record, under the assignment that it was read in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) partition: Partition,
    pub(crate) offset: Offset,
    pub(crate) epoch: Epoch,
}

/// The bookkeeping is broken: nothing may be committed any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// The log delivered a record of a partition that is not assigned, or is being handed back.
    #[error("record of partition {partition} at {offset}: not assigned")]
    NotAssigned {
        /// The partition.
        partition: i32,
        /// The offset.
        offset: i64,
    },
    /// The log delivered a record that does not come after the one before.
    #[error("record of partition {partition} at {offset}: not after the one before")]
    OutOfOrder {
        /// The partition.
        partition: i32,
        /// The offset.
        offset: i64,
    },
    /// A record was done that was not in flight: never read, or done before.
    #[error("record of partition {partition} at {offset}: not in flight")]
    NotInFlight {
        /// The partition.
        partition: i32,
        /// The offset.
        offset: i64,
    },
}

/// What became of saying that a record is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closed {
    /// It counts, and the frontier passed this many records.
    Counted { passed: usize },
    /// It was of an older assignment.
    Stale,
}

/// What was given up with a partition.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Dropped {
    /// Records in flight: read, and not done.
    pub(crate) open: usize,
    /// Records that the frontier had not passed, those in flight among them.
    pub(crate) held: usize,
}

/// The partitions of this worker.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    partitions: BTreeMap<Partition, Track>,
    epochs: u64,
}

#[derive(Debug)]
struct Track {
    epoch: Epoch,
    /// Being handed back: nothing more is read of it.
    leaving: bool,
    /// What the frontier has not passed, by offset. The first one is open.
    entries: VecDeque<Entry>,
    open: usize,
    frontier: Option<NextOffset>,
    committed: Option<NextOffset>,
    last: Option<Offset>,
}

#[derive(Debug)]
struct Entry {
    offset: Offset,
    published_at: Micros,
    done: bool,
}

impl Track {
    fn new(epoch: Epoch) -> Self {
        Self {
            epoch,
            leaving: false,
            entries: VecDeque::new(),
            open: 0,
            frontier: None,
            committed: None,
            last: None,
        }
    }

    /// Moves the frontier over what is done, and says how many records it passed.
    fn advance(&mut self) -> usize {
        let passed = self.entries.iter().take_while(|entry| entry.done).count();
        if let Some(last) = self.entries.drain(..passed).next_back() {
            self.frontier = Some(last.offset.next());
        }
        passed
    }
}

impl Ledger {
    /// A partition is this worker's from now on. Gives back what an assignment before, not ended, still held.
    pub(crate) fn assign(&mut self, partition: Partition) -> Dropped {
        let dropped = self.remove(partition);
        self.epochs += 1;
        let epoch = Epoch(self.epochs);
        self.partitions.insert(partition, Track::new(epoch));
        dropped
    }

    /// A partition is being handed back: what is in flight may still be done, and nothing more comes. False if it is not
    /// ours.
    pub(crate) fn leave(&mut self, partition: Partition) -> bool {
        let track = self.partitions.get_mut(&partition);
        track.map(|track| track.leaving = true).is_some()
    }

    /// A partition is not ours any more.
    pub(crate) fn remove(&mut self, partition: Partition) -> Dropped {
        self.partitions
            .remove(&partition)
            .map(|track| Dropped {
                open: track.open,
                held: track.entries.len(),
            })
            .unwrap_or_default()
    }

    /// A record was read. Gaps are no records: the log removed what stood there.
    pub(crate) fn admit(&mut self, record: &LogRecord) -> Result<Position, LedgerError> {
        let (partition, offset) = (record.partition, record.offset);
        let track = self
            .partitions
            .get_mut(&partition)
            .filter(|track| !track.leaving)
            .ok_or(LedgerError::NotAssigned {
                partition: partition.0,
                offset: offset.as_i64(),
            })?;
        if track.last.is_some_and(|last| offset <= last) {
            return Err(LedgerError::OutOfOrder {
                partition: partition.0,
                offset: offset.as_i64(),
            });
        }
        track.last = Some(offset);
        track.open += 1;
        track.entries.push_back(Entry {
            offset,
            published_at: record.published_at,
            done: false,
        });
        Ok(Position {
            partition,
            offset,
            epoch: track.epoch,
        })
    }

    /// A record is done: what it asks for is durable.
    pub(crate) fn close(&mut self, position: Position) -> Result<Closed, LedgerError> {
        let Some(track) = self.current(position) else {
            return Ok(Closed::Stale);
        };
        let found = track
            .entries
            .binary_search_by_key(&position.offset, |entry| entry.offset)
            .ok()
            .and_then(|at| track.entries.get_mut(at))
            .filter(|entry| !entry.done)
            .ok_or(LedgerError::NotInFlight {
                partition: position.partition.0,
                offset: position.offset.as_i64(),
            })?;
        found.done = true;
        track.open -= 1;
        let passed = track.advance();
        Ok(Closed::Counted { passed })
    }

    fn current(&mut self, position: Position) -> Option<&mut Track> {
        self.partitions
            .get_mut(&position.partition)
            .filter(|track| track.epoch == position.epoch)
    }

    /// Whether the assignment that a record was read in lasts.
    pub(crate) fn is_current(&self, position: Position) -> bool {
        self.partitions
            .get(&position.partition)
            .is_some_and(|track| track.epoch == position.epoch)
    }

    /// The frontiers that moved since they were committed.
    pub(crate) fn uncommitted(&self) -> Vec<(Partition, NextOffset)> {
        self.partitions
            .iter()
            .filter(|(_, track)| track.frontier != track.committed)
            .filter_map(|(partition, track)| Some((*partition, track.frontier?)))
            .collect()
    }

    /// These frontiers were committed.
    pub(crate) fn committed(&mut self, frontiers: &[(Partition, NextOffset)]) {
        for (partition, frontier) in frontiers {
            if let Some(track) = self.partitions.get_mut(partition) {
                track.committed = Some(*frontier);
            }
        }
    }

    /// Partitions that records may come from.
    pub(crate) fn active(&self) -> impl Iterator<Item = Partition> + '_ {
        self.partitions
            .iter()
            .filter(|(_, track)| !track.leaving)
            .map(|(partition, _)| *partition)
    }

    /// All partitions, those being handed back among them.
    pub(crate) fn assigned(&self) -> impl Iterator<Item = Partition> + '_ {
        self.partitions.keys().copied()
    }

    /// Whether nothing of a partition is in flight.
    pub(crate) fn is_idle(&self, partition: Partition) -> bool {
        self.partitions
            .get(&partition)
            .is_none_or(|track| track.open == 0)
    }

    /// When the log took the oldest record that the frontier has not passed.
    pub(crate) fn oldest(&self, partition: Partition) -> Option<Micros> {
        let track = self.partitions.get(&partition)?;
        track.entries.front().map(|entry| entry.published_at)
    }
}

#[cfg(test)]
mod tests;
