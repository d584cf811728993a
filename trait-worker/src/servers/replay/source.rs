//! A part of the topic as the source of a worker: all of it is assigned at once, and never asked back.

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::time::Duration;

use kith_kafka::TopicReader;
use kith_profiles::error::PortError;
use kith_profiles::ports::{Lag, LogEvent, NextOffset, Partition, TraitSource};
use kith_runtime::output::Progress;
use tokio::sync::watch;

use crate::servers::pace::Pace;

/// Most records and bytes of one event.
const BATCH_RECORDS: usize = 500;
const BATCH_BYTES: usize = 1 << 20;

/// How far a replay is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reached {
    /// Everything is read, and what was read is done.
    pub(crate) is_end: bool,
    /// The first offset of each partition that is not done; partitions that are done are not among them.
    pub(crate) left: BTreeMap<Partition, NextOffset>,
    /// Records that were gone before they were read.
    pub(crate) missed: u64,
    /// How long it took, once it is over.
    pub(crate) took: Option<Duration>,
}

impl Reached {
    /// Where to begin for the rest, as `--from` takes it.
    pub(crate) fn rest(&self) -> Option<String> {
        let places = self
            .left
            .iter()
            .map(|(partition, next)| format!("{}:{}", partition.0, next.as_i64()));
        let places: Vec<_> = places.collect();
        (!places.is_empty()).then(|| places.join(","))
    }
}

/// A part of the topic.
pub(crate) struct ReplaySource {
    reader: TopicReader,
    pace: Pace,
    progress: Progress,
    told: watch::Sender<Reached>,
    is_assigned: bool,
    /// While any is, nothing is delivered: a worker pauses all it has, or nothing.
    paused: BTreeSet<Partition>,
    /// Everything was handed out.
    is_read: bool,
    /// Behind the last record that was handed out.
    handed_out: BTreeMap<Partition, NextOffset>,
    /// Everything before these is done.
    finished: BTreeMap<Partition, NextOffset>,
}

impl ReplaySource {
    /// What this reader has, at this pace. Whoever listens is told how far it is.
    pub(crate) fn new(
        reader: TopicReader,
        pace: Pace,
        progress: Progress,
        told: watch::Sender<Reached>,
    ) -> Self {
        let finished = reader
            .spans()
            .iter()
            .map(|(partition, span)| (*partition, NextOffset::new(span.from)))
            .collect();
        let source = Self {
            reader,
            pace,
            progress,
            told,
            is_assigned: false,
            paused: BTreeSet::new(),
            is_read: false,
            handed_out: BTreeMap::new(),
            finished,
        };
        source.tell();
        source
    }

    fn is_end(&self) -> bool {
        let is_done = |(partition, next): (&Partition, &NextOffset)| {
            self.finished.get(partition).is_some_and(|at| at >= next)
        };
        self.is_read && self.handed_out.iter().all(is_done)
    }

    fn tell(&self) {
        let is_end = self.is_end();
        let spans = self.reader.spans();
        let left = self.finished.iter().filter(|(partition, at)| {
            spans
                .get(partition)
                .is_some_and(|span| at.as_i64() < span.to)
        });
        let left = left.map(|(partition, at)| (*partition, *at)).collect();
        let missed = self.reader.missed();
        self.told.send_modify(|reached| {
            reached.is_end = is_end;
            reached.left = left;
            reached.missed = missed;
        });
    }

    fn done(&self) -> u64 {
        let spans = self.reader.spans();
        self.finished
            .iter()
            .filter_map(|(partition, at)| {
                let begin = spans.get(partition)?.from;
                u64::try_from(at.as_i64() - begin).ok()
            })
            .sum()
    }
}

impl TraitSource for ReplaySource {
    async fn next(&mut self) -> Result<LogEvent, PortError> {
        if !self.is_assigned {
            self.is_assigned = true;
            return Ok(LogEvent::Assigned(
                self.reader.spans().keys().copied().collect(),
            ));
        }
        if self.is_read || !self.paused.is_empty() {
            return pending().await;
        }
        self.pace.wait().await;
        let records_max = self.pace.batch(BATCH_RECORDS);
        let records = self.reader.batch(records_max, BATCH_BYTES).await?;
        if records.is_empty() {
            self.is_read = true;
            self.tell();
            return pending().await;
        }
        self.pace.took(records.len());
        for record in &records {
            self.handed_out
                .insert(record.partition, record.offset.next());
        }
        Ok(LogEvent::Records(records))
    }

    /// Nothing is sent anywhere: it is how a replay knows how far it is.
    fn commit(&mut self, offsets: &[(Partition, NextOffset)]) -> Result<(), PortError> {
        self.finished.extend(offsets.iter().copied());
        let done = self.done();
        self.progress.at(done, done);
        self.tell();
        Ok(())
    }

    fn pause(&mut self, partitions: &[Partition]) -> Result<(), PortError> {
        self.paused.extend(partitions);
        Ok(())
    }

    fn resume(&mut self, partitions: &[Partition]) -> Result<(), PortError> {
        for partition in partitions {
            self.paused.remove(partition);
        }
        Ok(())
    }

    async fn release(&mut self, _: &[Partition]) -> Result<(), PortError> {
        Ok(())
    }

    fn lag(&self) -> Vec<Lag> {
        let spans = self.reader.spans();
        let lag = |(partition, at): (&Partition, &NextOffset)| {
            let to = spans.get(partition)?.to;
            Some(Lag {
                partition: *partition,
                records: u64::try_from(to - at.as_i64()).unwrap_or(0),
            })
        };
        self.finished.iter().filter_map(lag).collect()
    }

    async fn close(self, limit: Duration) -> Result<(), PortError> {
        let took = self.progress.finish();
        self.told.send_modify(|reached| reached.took = Some(took));
        self.reader.close(limit).await
    }
}
