//! A log with partitions and one consumer, whose membership the test decides.
//!
//! It keeps the promises of the port, and checks those of the worker: nothing is committed that is not durable, that is
//! not assigned, or behind what was committed before.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use kith_domain::event::Event;
use kith_domain::id::ProfileKey;
use kith_domain::traits::TraitCell;
use kith_profiles::error::PortError;
use kith_profiles::ports::{
    Clock, Lag, LogEvent, LogRecord, NewRecord, NextOffset, Offset, Partition, TraitSource,
};

use crate::database::{Database, unavailable};
use crate::letters::Letters;
use crate::sim::TestClock;

/// What the worker did with the log, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Call {
    Commit(i32, i64),
    Pause(Vec<i32>),
    Resume(Vec<i32>),
    Release(Vec<i32>),
    Close,
}

#[derive(Clone)]
pub(crate) struct Log {
    clock: TestClock,
    database: Database,
    letters: Letters,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    partitions: BTreeMap<i32, Lane>,
    notices: VecDeque<Notice>,
    batch: usize,
    commits_fail: usize,
    release_takes: Duration,
    waker: Option<Waker>,
    calls: Vec<Call>,
    polls: usize,
    delivered: usize,
    most_unwritten: usize,
}

#[derive(Default)]
struct Lane {
    records: Vec<LogRecord>,
    /// The index of what is delivered next.
    at: usize,
    committed: usize,
    ownership: Ownership,
    paused: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Ownership {
    #[default]
    Elsewhere,
    Ours,
    Leaving,
}

enum Notice {
    Assigned(Vec<i32>),
    Revoked(Vec<i32>),
    Lost(Vec<i32>),
    Failure(PortError),
}

impl Log {
    pub(crate) fn new(clock: TestClock, database: Database, letters: Letters) -> Self {
        let state = State {
            batch: 100,
            ..State::default()
        };
        Self {
            clock,
            database,
            letters,
            state: Arc::new(Mutex::new(state)),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes whoever waits for an event.
    pub(crate) fn nudge(&self) {
        if let Some(waker) = self.state().waker.take() {
            waker.wake();
        }
    }

    pub(crate) fn set_batch(&self, records: usize) {
        self.state().batch = records;
    }

    /// So many commits fail.
    pub(crate) fn fail_commits(&self, times: usize) {
        self.state().commits_fail = times;
    }

    pub(crate) fn set_release_takes(&self, duration: Duration) {
        self.state().release_takes = duration;
    }

    pub(crate) fn append(&self, partition: i32, records: impl IntoIterator<Item = NewRecord>) {
        let now = self.clock.now().unwrap_or(crate::sim::START);
        let mut state = self.state();
        let lane = state.partitions.entry(partition).or_default();
        for record in records {
            // Offsets start anywhere.
            let offset = 10 + i64::try_from(lane.records.len()).unwrap();
            lane.records.push(LogRecord {
                partition: Partition(partition),
                offset: Offset::new(offset),
                published_at: now,
                key: record.key,
                payload: record.payload,
                headers: record.headers,
            });
        }
        drop(state);
        self.nudge();
    }

    fn notify(&self, notice: Notice) {
        self.state().notices.push_back(notice);
        self.nudge();
    }

    pub(crate) fn assign(&self, partitions: &[i32]) {
        self.notify(Notice::Assigned(partitions.to_vec()));
    }

    pub(crate) fn revoke(&self, partitions: &[i32]) {
        self.notify(Notice::Revoked(partitions.to_vec()));
    }

    pub(crate) fn lose(&self, partitions: &[i32]) {
        self.notify(Notice::Lost(partitions.to_vec()));
    }

    /// Breaks the port's promise.
    pub(crate) fn deliver_unassigned(&self, partition: i32) {
        let mut state = self.state();
        let lane = state.partitions.entry(partition).or_default();
        lane.ownership = Ownership::Ours;
        drop(state);
        self.nudge();
    }

    /// Whether nobody here has this partition, as far as the log knows.
    pub(crate) fn is_elsewhere(&self, partition: i32) -> bool {
        let state = self.state();
        let lane = state.partitions.get(&partition);
        lane.is_none_or(|lane| lane.ownership == Ownership::Elsewhere)
    }

    pub(crate) fn fail(&self, error: PortError) {
        self.notify(Notice::Failure(error));
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    pub(crate) fn has(&self, call: &Call) -> bool {
        self.state().calls.contains(call)
    }

    /// Records committed of one partition.
    pub(crate) fn committed(&self, partition: i32) -> usize {
        let state = self.state();
        state
            .partitions
            .get(&partition)
            .map_or(0, |lane| lane.committed)
    }

    pub(crate) fn is_paused(&self, partition: i32) -> bool {
        self.state().partitions[&partition].paused
    }

    pub(crate) fn polls(&self) -> usize {
        self.state().polls
    }

    pub(crate) fn delivered(&self) -> usize {
        self.state().delivered
    }

    /// The most records that were delivered and not yet written, where each is a write of its own.
    pub(crate) fn most_unwritten(&self) -> usize {
        self.state().most_unwritten
    }

    /// Records not committed, over all partitions.
    pub(crate) fn lag_records(&self) -> usize {
        let state = self.state();
        let lag = |lane: &Lane| lane.records.len() - lane.committed;
        state.partitions.values().map(lag).sum()
    }

    pub(crate) fn records(&self) -> Vec<LogRecord> {
        let state = self.state();
        let lanes = state.partitions.values();
        lanes.flat_map(|lane| lane.records.clone()).collect()
    }

    fn is_durable(&self, record: &LogRecord) -> bool {
        let event = match Event::decode(&record.payload) {
            Ok(Event::Traits(event)) => event,
            Ok(Event::Purge(event)) => return self.database.is_purged(event.key().unwrap()),
            Err(_) => return self.letters.has(record.partition.0, record.offset.as_i64()),
        };
        let at = ProfileKey {
            store: event.store,
            profile: event.profile,
        };
        event.traits.into_iter().all(|(definition, value)| {
            let time = event.stamp;
            self.database.covers(
                at,
                &TraitCell {
                    definition,
                    value,
                    time,
                },
            )
        })
    }
}

impl State {
    fn event(&mut self) -> Option<Result<LogEvent, PortError>> {
        if let Some(notice) = self.notices.pop_front() {
            return Some(self.obey(notice));
        }
        let mut records = Vec::new();
        for lane in self.partitions.values_mut() {
            if lane.ownership != Ownership::Ours || lane.paused {
                continue;
            }
            let rest = &lane.records[lane.at..];
            let taken = rest.len().min(self.batch - records.len());
            records.extend(rest[..taken].iter().cloned());
            lane.at += taken;
            if records.len() >= self.batch {
                break;
            }
        }
        if records.is_empty() {
            return None;
        }
        self.delivered += records.len();
        Some(Ok(LogEvent::Records(records)))
    }

    fn obey(&mut self, notice: Notice) -> Result<LogEvent, PortError> {
        let mut own = |partitions: &[i32], ownership| {
            for partition in partitions {
                let lane = self.partitions.entry(*partition).or_default();
                lane.ownership = ownership;
                if ownership != Ownership::Leaving {
                    lane.paused = false;
                    lane.at = lane.committed;
                }
            }
        };
        let wrapped = |partitions: Vec<i32>| partitions.into_iter().map(Partition).collect();
        match notice {
            Notice::Assigned(partitions) => {
                own(&partitions, Ownership::Ours);
                Ok(LogEvent::Assigned(wrapped(partitions)))
            }
            Notice::Revoked(partitions) => {
                own(&partitions, Ownership::Leaving);
                Ok(LogEvent::Revoked(wrapped(partitions)))
            }
            Notice::Lost(partitions) => {
                own(&partitions, Ownership::Elsewhere);
                Ok(LogEvent::Lost(wrapped(partitions)))
            }
            Notice::Failure(error) => Err(error),
        }
    }
}

/// The consumer.
pub(crate) struct Source(Log);

impl Source {
    pub(crate) fn new(log: &Log) -> Self {
        Self(log.clone())
    }

    fn set_paused(&self, partitions: &[Partition], paused: bool) -> Vec<i32> {
        let mut state = self.0.state();
        for partition in partitions {
            let lane = state.partitions.get_mut(&partition.0).expect("known");
            assert_eq!(
                lane.ownership,
                Ownership::Ours,
                "paused or resumed: {partition:?}"
            );
            assert_ne!(lane.paused, paused, "told twice: {partition:?}");
            lane.paused = paused;
        }
        partitions.iter().map(|partition| partition.0).collect()
    }
}

/// A consumer that is gone has nothing, however it went.
impl Drop for Source {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.notices.clear();
        for lane in state.partitions.values_mut() {
            lane.ownership = Ownership::Elsewhere;
        }
    }
}

impl TraitSource for Source {
    async fn next(&mut self) -> Result<LogEvent, PortError> {
        poll_fn(|context| {
            let mut state = self.0.state();
            state.polls += 1;
            if let Some(event) = state.event() {
                let unwritten = state
                    .delivered
                    .saturating_sub(self.0.database.writes().len());
                state.most_unwritten = state.most_unwritten.max(unwritten);
                return Poll::Ready(event);
            }
            state.waker = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }

    fn commit(&mut self, offsets: &[(Partition, NextOffset)]) -> Result<(), PortError> {
        let mut state = self.0.state();
        if state.commits_fail > 0 {
            state.commits_fail -= 1;
            return Err(unavailable("commit"));
        }
        for (partition, next) in offsets {
            let lane = state.partitions.get_mut(&partition.0).expect("known");
            assert_ne!(
                lane.ownership,
                Ownership::Elsewhere,
                "committed: {partition:?}"
            );
            let done = usize::try_from(next.as_i64() - 10).unwrap();
            assert!(
                done > lane.committed,
                "{partition:?} committed again or behind"
            );
            assert!(done <= lane.at, "{partition:?} committed and not delivered");
            for record in &lane.records[lane.committed..done] {
                assert!(
                    self.0.is_durable(record),
                    "committed and not durable: {:?}",
                    record.offset
                );
            }
            lane.committed = done;
            state.calls.push(Call::Commit(partition.0, next.as_i64()));
        }
        Ok(())
    }

    fn pause(&mut self, partitions: &[Partition]) -> Result<(), PortError> {
        let paused = self.set_paused(partitions, true);
        self.0.state().calls.push(Call::Pause(paused));
        Ok(())
    }

    fn resume(&mut self, partitions: &[Partition]) -> Result<(), PortError> {
        let resumed = self.set_paused(partitions, false);
        self.0.state().calls.push(Call::Resume(resumed));
        Ok(())
    }

    async fn release(&mut self, partitions: &[Partition]) -> Result<(), PortError> {
        let takes = self.0.state().release_takes;
        self.0.clock.sleep(takes).await;
        let mut state = self.0.state();
        for partition in partitions {
            let lane = state.partitions.get_mut(&partition.0).expect("known");
            assert_eq!(
                lane.ownership,
                Ownership::Leaving,
                "released: {partition:?}"
            );
            lane.ownership = Ownership::Elsewhere;
        }
        let released = partitions.iter().map(|partition| partition.0).collect();
        state.calls.push(Call::Release(released));
        Ok(())
    }

    fn lag(&self) -> Vec<Lag> {
        let state = self.0.state();
        let ours = state
            .partitions
            .iter()
            .filter(|(_, lane)| lane.ownership == Ownership::Ours);
        ours.map(|(partition, lane)| Lag {
            partition: Partition(*partition),
            records: u64::try_from(lane.records.len() - lane.committed).unwrap(),
        })
        .collect()
    }

    async fn close(self, _: Duration) -> Result<(), PortError> {
        self.0.state().calls.push(Call::Close);
        Ok(())
    }
}
