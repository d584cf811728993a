//! The log as consumers see it: partitions, what the group has committed, and who owns what.
//!
//! It keeps the promises of `TraitSource`, and checks those of the worker: nothing is committed that was not delivered, or
//! that is known to be somebody else's by now.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use kith_domain::time::Micros;
use kith_profiles::ports::{Lag, LogEvent, LogRecord, NewRecord, NextOffset, Offset, Partition};

/// Partitions of a run's log.
pub const PARTITIONS: usize = 3;
/// Offsets start anywhere.
const FIRST_OFFSET: i64 = 10;
/// Records delivered at once at most.
const BATCH_MAX: usize = 3;

/// The log and its one group.
#[derive(Debug, Clone, Default)]
pub struct Topic {
    partitions: Vec<Lane>,
    members: BTreeMap<usize, Member>,
    /// Where the next record goes.
    pub route: usize,
    /// Whether consumers are told to end.
    pub is_over: bool,
    /// Promises that a consumer broke.
    pub findings: Vec<String>,
}

#[derive(Debug, Clone, Default)]
struct Lane {
    records: Vec<LogRecord>,
    committed: usize,
    owner: Option<usize>,
    /// Whom it was asked back for.
    promised: Option<usize>,
}

/// A consumer, as far as the log goes.
#[derive(Debug, Clone, Default)]
struct Member {
    notices: VecDeque<Notice>,
    /// What it was told is its own, and how far each was delivered.
    told: BTreeMap<usize, usize>,
    /// Of those, what it is asked back.
    leaving: BTreeSet<usize>,
    paused: BTreeSet<usize>,
    /// Committed and not yet sent on.
    kept: BTreeMap<usize, usize>,
}

#[derive(Debug, Clone, Copy)]
enum Notice {
    Assigned(usize),
    Revoked(usize),
    Lost(usize),
}

fn lane_of(partition: Partition) -> usize {
    usize::try_from(partition.0).unwrap_or(0)
}

fn partition(lane: usize) -> Partition {
    Partition(i32::try_from(lane).unwrap_or(0))
}

fn place_of(next: NextOffset) -> usize {
    usize::try_from(next.as_i64() - FIRST_OFFSET).unwrap_or(0)
}

impl Topic {
    /// A log with partitions.
    #[must_use]
    pub fn new() -> Self {
        Self {
            partitions: vec![Lane::default(); PARTITIONS],
            ..Self::default()
        }
    }

    /// Takes a record. A topic without partitions keeps nothing.
    pub fn append(&mut self, record: &NewRecord) {
        let route = self.route;
        let Some(lane) = self.partitions.get_mut(route) else {
            return;
        };
        let place = i64::try_from(lane.records.len()).unwrap_or(0);
        lane.records.push(LogRecord {
            partition: partition(route),
            offset: Offset::new(FIRST_OFFSET + place),
            published_at: Micros::EPOCH,
            key: record.key.clone(),
            payload: record.payload.clone(),
            headers: record.headers.clone(),
        });
    }

    /// A consumer comes.
    pub fn join(&mut self, member: usize) {
        self.members.insert(member, Member::default());
    }

    /// A consumer is gone, however it went. What it kept back is lost.
    pub fn leave(&mut self, member: usize) {
        self.members.remove(&member);
        for lane in &mut self.partitions {
            if lane.owner == Some(member) {
                (lane.owner, lane.promised) = (None, None);
            }
        }
    }

    /// Partitions that nobody owns.
    #[must_use]
    pub fn unowned(&self) -> Vec<usize> {
        let lanes = self.partitions.iter().enumerate();
        let unowned = lanes.filter(|(_, lane)| lane.owner.is_none());
        unowned.map(|(lane, _)| lane).collect()
    }

    /// Gives a partition to a consumer. Whoever has it is told some time that it lost it, and until then goes on.
    pub fn assign(&mut self, lane: usize, to: usize) {
        let entry = &mut self.partitions[lane];
        let before = entry.owner.replace(to);
        entry.promised = None;
        if before == Some(to) {
            return;
        }
        if let Some(before) = before.and_then(|before| self.members.get_mut(&before)) {
            before.kept.remove(&lane);
            before.notices.push_back(Notice::Lost(lane));
        }
        if let Some(member) = self.members.get_mut(&to) {
            member.notices.push_back(Notice::Assigned(lane));
        }
    }

    /// Asks a partition back for another consumer. Whoever has it finishes first.
    pub fn ask_back(&mut self, lane: usize, to: usize) {
        let entry = &mut self.partitions[lane];
        let owner = entry.owner.filter(|owner| *owner != to);
        let Some(owner) = owner.and_then(|owner| self.members.get_mut(&owner)) else {
            return;
        };
        if entry.promised.replace(to).is_none() {
            owner.notices.push_back(Notice::Revoked(lane));
        }
    }

    /// Hands partitions back.
    pub fn release(&mut self, member: usize, partitions: &[Partition]) {
        self.flush(member);
        for lane in partitions.iter().map(|partition| lane_of(*partition)) {
            if let Some(member) = self.members.get_mut(&member) {
                member.forget(lane);
            }
            if self.partitions[lane].owner != Some(member) {
                continue;
            }
            self.partitions[lane].owner = None;
            match self.partitions[lane].promised.take() {
                Some(to) if self.members.contains_key(&to) => self.assign(lane, to),
                Some(_) | None => {}
            }
        }
    }

    /// Whether there is something to tell a consumer.
    #[must_use]
    pub fn has_event(&self, member: usize) -> bool {
        let Some(entry) = self.members.get(&member) else {
            return false;
        };
        !entry.notices.is_empty() || self.readable(member, entry).is_some()
    }

    /// The first partition from which a consumer can be given something.
    fn readable(&self, member: usize, entry: &Member) -> Option<usize> {
        let mut told = entry.told.iter().filter(|(lane, at)| {
            let owned = &self.partitions[**lane];
            owned.owner == Some(member)
                && **at < owned.records.len()
                && !entry.paused.contains(*lane)
                && !entry.leaving.contains(*lane)
        });
        told.next().map(|(lane, _)| *lane)
    }

    /// What there is to tell.
    pub fn event(&mut self, member: usize) -> Option<LogEvent> {
        self.flush(member);
        let entry = self.members.get(&member)?;
        let readable = self.readable(member, entry);
        let entry = self.members.get_mut(&member)?;
        match entry.notices.pop_front() {
            Some(Notice::Assigned(lane)) => {
                entry.forget(lane);
                entry.told.insert(lane, self.partitions[lane].committed);
                Some(LogEvent::Assigned(vec![partition(lane)]))
            }
            Some(Notice::Revoked(lane)) => {
                entry.leaving.insert(lane);
                Some(LogEvent::Revoked(vec![partition(lane)]))
            }
            Some(Notice::Lost(lane)) => {
                entry.forget(lane);
                Some(LogEvent::Lost(vec![partition(lane)]))
            }
            None => {
                let lane = readable?;
                let at = entry.told.get_mut(&lane)?;
                let rest = &self.partitions[lane].records[*at..];
                let records: Vec<_> = rest.iter().take(BATCH_MAX).cloned().collect();
                *at += records.len();
                Some(LogEvent::Records(records))
            }
        }
    }

    /// The records that a commit says are done; `None` if it is refused, because somebody else owns a partition by now.
    pub fn commit(
        &mut self,
        member: usize,
        offsets: &[(Partition, NextOffset)],
    ) -> Option<Vec<LogRecord>> {
        let entry = self.members.get_mut(&member)?;
        let mut done = Vec::new();
        for (of, next) in offsets {
            let (lane, next) = (lane_of(*of), place_of(*next));
            let Some(delivered) = entry.told.get(&lane) else {
                let finding = format!("{of:?} is committed by whoever knows that it lost it");
                self.findings.push(finding);
                return None;
            };
            if next > *delivered {
                let finding = format!("{of:?} is committed further than it was delivered");
                self.findings.push(finding);
            }
            let owned = &self.partitions[lane];
            if owned.owner != Some(member) {
                return None;
            }
            done.extend(
                owned
                    .records
                    .iter()
                    .take(next)
                    .skip(owned.committed)
                    .cloned(),
            );
        }
        for (of, next) in offsets {
            entry.kept.insert(lane_of(*of), place_of(*next));
        }
        Some(done)
    }

    /// Sends on what a consumer committed.
    pub fn flush(&mut self, member: usize) {
        let Some(entry) = self.members.get_mut(&member) else {
            return;
        };
        for (lane, next) in std::mem::take(&mut entry.kept) {
            let owned = &mut self.partitions[lane];
            if owned.owner == Some(member) {
                owned.committed = owned.committed.max(next);
            }
        }
    }

    /// Sends on what everybody committed.
    pub fn flush_all(&mut self) {
        let members: Vec<usize> = self.members.keys().copied().collect();
        members.into_iter().for_each(|member| self.flush(member));
    }

    /// Stops delivery, or goes on with it.
    pub fn pause(&mut self, member: usize, partitions: &[Partition], is_paused: bool) {
        let Some(entry) = self.members.get_mut(&member) else {
            return;
        };
        for lane in partitions.iter().map(|partition| lane_of(*partition)) {
            if is_paused {
                entry.paused.insert(lane);
            } else {
                entry.paused.remove(&lane);
            }
        }
    }

    /// How far behind the group is on what a consumer owns.
    #[must_use]
    pub fn lag(&self, member: usize) -> Vec<Lag> {
        let lanes = self.partitions.iter().enumerate();
        let owned = lanes.filter(|(_, lane)| lane.owner == Some(member));
        owned
            .map(|(number, lane)| Lag {
                partition: partition(number),
                records: u64::try_from(lane.records.len() - lane.committed).unwrap_or(0),
            })
            .collect()
    }

    /// Whether everything is committed.
    #[must_use]
    pub fn is_done(&self) -> bool {
        let mut lanes = self.partitions.iter();
        lanes.all(|lane| lane.committed == lane.records.len())
    }

    /// Everything is to be read again, from its start.
    pub fn rewind(&mut self) {
        for lane in &mut self.partitions {
            lane.committed = 0;
        }
    }
}

impl Member {
    fn forget(&mut self, lane: usize) {
        self.told.remove(&lane);
        self.leaving.remove(&lane);
        self.paused.remove(&lane);
        self.kept.remove(&lane);
    }
}
