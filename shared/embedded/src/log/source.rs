//! The consuming half of the log.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use kith_profiles::error::PortError;
use kith_profiles::ports::{
    Durability, Lag, LogEvent, LogRecord, NextOffset, Offset, Partition, TraitSource,
};
use tokio::sync::watch;
use tokio::time::Instant;

use super::record;
use super::{Topic, groups::Groups};
use crate::database::View;
use crate::engine::{Embedded, Unanswered};
use crate::error::ReadError;
use crate::layout::{Space, key};

/// What one event holds at most: one record may exceed the bytes.
const EVENT_RECORDS: usize = 500;
const EVENT_BYTES: usize = 1024 * 1024;
/// The least time between two looks, so that records that come one by one are worked on together. A record that comes after a
/// pause is delivered at once, and so is what is behind a full event.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// How long a commit that found the queue full waits for its next chance.
const COMMIT_AGAIN: Duration = Duration::from_millis(250);

/// A consumer of one group. While it lives, no other consumer of the group gets anything.
#[derive(Debug)]
pub struct EmbeddedSource {
    engine: Embedded,
    group: String,
    standing: Standing,
    /// By partition.
    assigned: Vec<Option<Place>>,
    paused: BTreeSet<u16>,
    /// Where the next look begins, so that no partition is always last.
    turn: usize,
    look_at: Instant,
    grown: watch::Receiver<()>,
}

/// How this consumer stands to its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It was told nothing yet.
    New,
    /// Another consumer has the group, and this one was told so.
    Waiting,
    /// It has the group, but was not told its partitions.
    Taken,
    /// It was told its partitions.
    Assigned,
}

/// A partition's place in the reading of it.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// The next offset to deliver.
    next: u64,
    /// The next offset that was committed last.
    committed: u64,
}

impl EmbeddedSource {
    pub(super) fn new(engine: Embedded, group: &str) -> Self {
        let grown = engine.engine.shared.heads.subscribe();
        Self {
            engine,
            group: group.to_owned(),
            standing: Standing::New,
            assigned: Vec::new(),
            paused: BTreeSet::new(),
            turn: 0,
            look_at: Instant::now(),
            grown,
        }
    }

    fn groups(&self) -> &Groups {
        &self.engine.engine.shared.groups
    }

    /// Gets the group, once nobody else has it. True if there is nothing to tell yet.
    async fn take(&mut self) -> bool {
        let shared = Arc::clone(&self.engine.engine.shared);
        loop {
            let mut freed = std::pin::pin!(shared.groups.freed.notified());
            // Before the attempt, so that a release right after it is not missed.
            freed.as_mut().enable();
            if shared.groups.take(&self.group) {
                self.standing = Standing::Taken;
                return true;
            }
            if self.standing == Standing::New {
                self.standing = Standing::Waiting;
                return false;
            }
            freed.await;
        }
    }

    /// Learns where to go on. Asked again, it gets the same answer.
    async fn assign(&mut self) -> Result<LogEvent, PortError> {
        const OPERATION: &str = "join group";
        let shared = Arc::clone(&self.engine.engine.shared);
        let name = self.group.clone();
        let positions = self
            .engine
            .submit_from_reserve(Durability::Ordered, 64, move |group| {
                shared.groups.positions(&name, group)
            })
            .await
            .map_err(|error| error.port(OPERATION))?;
        self.assigned = positions
            .into_iter()
            .map(|next| {
                Some(Place {
                    next,
                    committed: next,
                })
            })
            .collect();
        self.standing = Standing::Assigned;
        Ok(LogEvent::Assigned(
            (0..self.assigned.len()).map(partition_of).collect(),
        ))
    }

    /// The next records, if there are any. Nothing is waited for between the reading and the moving on.
    fn poll(&mut self) -> Result<Vec<LogRecord>, PortError> {
        let view = self.engine.view();
        let mut records = Vec::new();
        let mut bytes = 0;
        let count = self.assigned.len();
        for step in 0..count {
            let index = (self.turn + step) % count;
            let partition = u16::try_from(index).unwrap_or(u16::MAX);
            let Some(place) = &mut self.assigned[index] else {
                continue;
            };
            if self.paused.contains(&partition)
                || place.next >= self.engine.engine.shared.heads.next(partition)
            {
                continue;
            }
            let before = records.len();
            read(&view, partition, place.next, &mut records, &mut bytes)
                .map_err(|error| error.port("read log"))?;
            if let Some(last) = records.get(before..).and_then(<[_]>::last) {
                place.next = number(last.offset.next());
            }
            if records.len() >= EVENT_RECORDS || bytes >= EVENT_BYTES {
                self.turn = (index + 1) % count;
                return Ok(records);
            }
        }
        self.look_at = Instant::now() + LOOK_EVERY;
        Ok(records)
    }

    /// Hands what waits of the group's commits to the leader, unless a job that does so waits already.
    fn send_commits(&self, commits: impl IntoIterator<Item = (u16, u64)>) -> Result<(), PortError> {
        if !self.groups().note(&self.group, commits) {
            return Ok(());
        }
        let shared = Arc::clone(&self.engine.engine.shared);
        let name = self.group.clone();
        let pushed = self.engine.push(Durability::Ordered, 64, move |group| {
            shared.groups.write(&name, group);
            Box::new(|| ())
        });
        pushed.or_else(|error| {
            self.groups().not_queued(&self.group);
            match error {
                // It goes with the next one, or when `next` looks again.
                Unanswered::Full => Ok(()),
                Unanswered::NoRoom | Unanswered::Closed | Unanswered::Failed(..) => {
                    Err(error.port("commit offsets"))
                }
            }
        })
    }

    /// Writes what waits of the group's commits, and waits for it.
    async fn flush_commits(&self, durability: Durability) -> Result<(), PortError> {
        const OPERATION: &str = "commit offsets";
        let shared = Arc::clone(&self.engine.engine.shared);
        let name = self.group.clone();
        self.engine
            .submit_from_reserve(durability, 64, move |group| {
                shared.groups.write(&name, group);
            })
            .await
            .map_err(|error| error.port(OPERATION))
    }

    fn has_group(&self) -> bool {
        matches!(self.standing, Standing::Taken | Standing::Assigned)
    }

    fn leave(&mut self) {
        if self.has_group() {
            self.standing = Standing::New;
            self.assigned.clear();
            self.groups().free(&self.group);
        }
    }
}

impl TraitSource for EmbeddedSource {
    async fn next(&mut self) -> Result<LogEvent, PortError> {
        let failure = Arc::clone(&self.engine.engine.shared.failure);
        loop {
            self.engine.check("read log")?;
            if !self.has_group() {
                let told = tokio::select! {
                    biased;
                    _ = failure.wait() => continue,
                    taken = self.take() => !taken,
                };
                if told {
                    return Ok(LogEvent::Assigned(Vec::new()));
                }
            }
            if self.standing == Standing::Taken {
                return self.assign().await;
            }
            tokio::time::sleep_until(self.look_at).await;
            self.grown.mark_unchanged();
            let records = self.poll()?;
            if !records.is_empty() {
                return Ok(LogEvent::Records(records));
            }
            let stuck = self.groups().is_stuck(&self.group);
            tokio::select! {
                _ = failure.wait() => {}
                // The sender lives as long as the engine.
                _ = self.grown.changed() => {}
                () = tokio::time::sleep(COMMIT_AGAIN), if stuck => self.send_commits([])?,
            }
        }
    }

    fn commit(&mut self, offsets: &[(Partition, NextOffset)]) -> Result<(), PortError> {
        let mut commits = Vec::with_capacity(offsets.len());
        for &(partition, next) in offsets {
            // Not ours, or never assigned: there is nothing of it to have been finished.
            if let Some(index) = index_of(partition)
                && let Some(Some(place)) = self.assigned.get_mut(usize::from(index))
            {
                place.committed = number(next);
                commits.push((index, place.committed));
            }
        }
        self.send_commits(commits)
    }

    fn pause(&mut self, partitions: &[Partition]) -> Result<(), PortError> {
        self.paused
            .extend(partitions.iter().copied().filter_map(index_of));
        Ok(())
    }

    fn resume(&mut self, partitions: &[Partition]) -> Result<(), PortError> {
        for partition in partitions.iter().copied().filter_map(index_of) {
            self.paused.remove(&partition);
        }
        Ok(())
    }

    async fn release(&mut self, partitions: &[Partition]) -> Result<(), PortError> {
        // This engine never asks for partitions back; whoever gives some up anyway is not served with them any more.
        for partition in partitions.iter().copied().filter_map(index_of) {
            if let Some(place) = self.assigned.get_mut(usize::from(partition)) {
                *place = None;
            }
        }
        self.flush_commits(Durability::Ordered).await
    }

    fn lag(&self) -> Vec<Lag> {
        let heads = &self.engine.engine.shared.heads;
        self.assigned
            .iter()
            .enumerate()
            .filter_map(|(index, place)| {
                let partition = partition_of(index);
                let head = heads.next(index_of(partition)?);
                Some(Lag {
                    partition,
                    records: head.saturating_sub((*place)?.committed),
                })
            })
            .collect()
    }

    async fn close(mut self, limit: Duration) -> Result<(), PortError> {
        if !self.has_group() {
            return Ok(());
        }
        let flushed = tokio::time::timeout(limit, self.flush_commits(Durability::Durable)).await;
        self.leave();
        flushed.unwrap_or_else(|elapsed| Err(PortError::unavailable("close consumer", elapsed)))
    }
}

impl Drop for EmbeddedSource {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Reads on in a partition until the event is full.
fn read(
    view: &View,
    partition: u16,
    from: u64,
    records: &mut Vec<LogRecord>,
    bytes: &mut usize,
) -> Result<(), ReadError> {
    let topic = Topic::Traits.number();
    let range = (
        Bound::Included(key::record(topic, partition, from)),
        Bound::Included(key::record(topic, partition, u64::MAX)),
    );
    for row in view.range(Space::Log, range) {
        let (name, value) = row?;
        let record = log_record(partition, &name, &value).map_err(ReadError::row(Space::Log))?;
        records.push(record);
        *bytes += value.len();
        if records.len() >= EVENT_RECORDS || *bytes >= EVENT_BYTES {
            break;
        }
    }
    Ok(())
}

fn log_record(
    partition: u16,
    name: &[u8],
    value: &[u8],
) -> Result<LogRecord, crate::layout::CorruptRow> {
    let body = record::body(value)?;
    let offset = key::offset_of(name)?;
    Ok(LogRecord {
        partition: Partition(i32::from(partition)),
        // Counted up from 0: it would take 2^63 records to leave the range.
        offset: Offset::new(i64::try_from(offset).unwrap_or(i64::MAX)),
        published_at: record::head(value)?.published_at,
        key: body.key,
        payload: body.payload,
        headers: body.headers,
    })
}

fn partition_of(index: usize) -> Partition {
    Partition(i32::try_from(index).unwrap_or(i32::MAX))
}

fn index_of(partition: Partition) -> Option<u16> {
    u16::try_from(partition.0).ok()
}

fn number(next: NextOffset) -> u64 {
    u64::try_from(next.as_i64()).unwrap_or(0)
}
