//! The queues that records are taken from, one for each partition that is ours.
//!
//! Each partition has its fetched records in a queue of the library's that nobody but the owner reads ("split" from the
//! common one). So back-pressure is not reading: the library stops fetching a partition whose queue is full, and membership
//! does not depend on it. And pausing a partition is not reading its queue: nothing is dropped, nothing is fetched twice,
//! and it goes on exactly where it stopped. The library's own pause throws away what it has fetched.
//!
//! A queue must be split before its partition is assigned; split later, what was fetched in between would be in the common
//! queue and overtake or be overtaken.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kith_profiles::ports::LogRecord;
use rdkafka::consumer::base_consumer::PartitionQueue;

use crate::inbox::Inbox;
use crate::poller;
use crate::rebalance::{Client, SourceContext};
use crate::{metrics, record};

struct Lane {
    partition: i32,
    queue: PartitionQueue<SourceContext>,
    paused: bool,
    /// The offset that the group had committed when this was assigned, if that is known.
    begin: Option<i64>,
    /// The offset after the last record handed out.
    next: Option<i64>,
    /// The offset that was last committed under this assignment.
    finished: Option<i64>,
}

/// The queues of the partitions that are ours.
pub(crate) struct Lanes {
    topic: Arc<str>,
    inbox: Arc<Inbox>,
    /// In the order in which they get their turn.
    lanes: Vec<Lane>,
    /// Whose turn it is to be read first, so that one busy partition does not starve the others.
    turn: usize,
}

impl Lanes {
    pub(crate) fn new(topic: Arc<str>, inbox: Arc<Inbox>) -> Self {
        Self {
            topic,
            inbox,
            lanes: Vec::new(),
            turn: 0,
        }
    }

    /// Opens queues, before their partitions are assigned, which begin at these offsets as far as that is known. `false` if the
    /// library gives none.
    pub(crate) fn open(
        &mut self,
        client: &Arc<Client>,
        partitions: &[i32],
        begins: &BTreeMap<i32, i64>,
    ) -> bool {
        partitions
            .iter()
            .all(|partition| self.open_one(client, *partition, begins.get(partition).copied()))
    }

    fn open_one(&mut self, client: &Arc<Client>, partition: i32, begin: Option<i64>) -> bool {
        // An old one would take the new one's wake-ups with it when it is dropped.
        self.close(&[partition]);
        let Some(mut queue) = client.split_partition_queue(&self.topic, partition) else {
            return false;
        };
        let inbox = Arc::clone(&self.inbox);
        queue.set_nonempty_callback(move || inbox.wake());
        self.lanes.push(Lane {
            partition,
            queue,
            paused: false,
            begin,
            next: None,
            finished: None,
        });
        true
    }

    /// Closes queues, with what is in them. Returns what was last committed of each that was open.
    pub(crate) fn close(&mut self, partitions: &[i32]) -> BTreeMap<i32, Option<i64>> {
        self.lanes
            .extract_if(.., |lane| partitions.contains(&lane.partition))
            .map(|lane| (lane.partition, lane.finished))
            .collect()
    }

    pub(crate) fn clear(&mut self) {
        self.lanes.clear();
    }

    pub(crate) fn contains(&self, partition: i32) -> bool {
        self.lanes.iter().any(|lane| lane.partition == partition)
    }

    /// Notes what was committed. `false` if the partition is not ours.
    pub(crate) fn finish(&mut self, partition: i32, offset: i64) -> bool {
        let lane = self.lane(partition);
        let known = lane.is_some();
        if let Some(lane) = lane {
            lane.finished = Some(offset);
        }
        known
    }

    /// Stops or goes on with a partition, if it is ours.
    pub(crate) fn set_paused(&mut self, partition: i32, paused: bool) {
        if let Some(lane) = self.lane(partition) {
            lane.paused = paused;
        }
    }

    fn lane(&mut self, partition: i32) -> Option<&mut Lane> {
        self.lanes
            .iter_mut()
            .find(|lane| lane.partition == partition)
    }

    /// Takes what is there, up to a number of records, and until there are so many bytes. Never waits. Empty only if every
    /// queue that is not paused was seen empty.
    pub(crate) fn gather(&mut self, records_max: usize, bytes_max: usize) -> Vec<LogRecord> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        let count = self.lanes.len();
        for step in 0..count {
            let lane = &mut self.lanes[(self.turn + step) % count];
            if lane.paused {
                continue;
            }
            while batch.len() < records_max && bytes < bytes_max {
                match lane.queue.poll(Duration::ZERO) {
                    None => break,
                    Some(Err(error)) => poller::report(&self.inbox, error),
                    Some(Ok(message)) => {
                        let record = record::taken(&message);
                        if lane.in_order(&record) {
                            bytes += record.key.len() + record.payload.len();
                            batch.push(record);
                        }
                    }
                }
            }
        }
        if count > 0 {
            self.turn = (self.turn + 1) % count;
        }
        batch
    }
}

impl Lane {
    /// Whether the record is the next one. A rebalance holds partitions back and goes on after the last record that the
    /// library knows to be handed out; one that is being handed out in that moment comes a second time. And what retention
    /// removed before it was read leaves a gap, which is a loss that somebody should hear of: also one that is older than this
    /// assignment, as when nobody was there to read.
    fn in_order(&mut self, record: &LogRecord) -> bool {
        let offset = record.offset.as_i64();
        if self.next.is_some_and(|next| offset < next) {
            return false;
        }
        if let Some(expected) = self.next.or(self.begin) {
            if let Ok(gap @ 1..) = u64::try_from(offset - expected) {
                metrics::missed(gap);
                tracing::error!(
                    partition = self.partition,
                    offset,
                    missed = gap,
                    "records were removed from the log before they were read"
                );
            }
        }
        self.next = Some(record.offset.next().as_i64());
        true
    }
}
