//! Who owns which partition, by the library's rules.
//!
//! What everything here rests on (librdkafka 2.12, `rdkafka_cgrp.c`; classic protocol):
//!
//! - A change is an event on the consumer's queue. The library then waits for an assign or unassign call, at any later time
//!   and from any thread, and reports no other change before. Meanwhile it keeps the membership (heartbeats go on), commits
//!   nothing by itself, and holds back **every** partition, also those that stay ours.
//! - The cooperative protocol takes only the incremental calls, an eager one only the absolute ones. An empty cooperative
//!   assignment must be answered, too, or the group waits.
//! - Unassigning sends what was stored of these partitions, and a partition that is assigned starts with nothing stored. So
//!   an offset of an earlier assignment cannot be sent in a later one.
//! - If the broker has already thrown us out, `assignment_lost` is true until the answer. Partitions may belong to others,
//!   and nothing is gained by finishing anything: the callback answers at once. The unassign then tries to send what was
//!   stored in the last half second; a broker that knows other members refuses it, and in an empty group it is true.
//! - Commits during a rebalance made versions before 2.10 lose their assignment (librdkafka issue 4059, pull request 4908).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use tokio::sync::oneshot;

use crate::context::{log, note};
use crate::inbox::{Due, Inbox};
use crate::metrics;

/// How long the broker may take to say how far the group is.
const LIMIT: Duration = Duration::from_secs(2);

pub(crate) type Client = BaseConsumer<SourceContext>;

pub(crate) struct SourceContext {
    pub(crate) topic: Arc<str>,
    pub(crate) inbox: Arc<Inbox>,
    /// Resolves, by being dropped, when the client is gone: the library's memory is freed before its context.
    pub(crate) _gone: oneshot::Sender<()>,
}

impl ClientContext for SourceContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log("consumer", level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        note("consumer", &error, reason);
    }
}

impl ConsumerContext for SourceContext {
    /// Not `pre_rebalance` and `post_rebalance`: between those the bindings answer at once, whatever is in flight.
    fn rebalance(&self, client: &Client, event: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let partitions: Vec<i32> = list.elements().iter().map(|e| e.partition()).collect();
        if event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            self.on_assign(client, partitions);
        } else {
            self.on_revoke(client, partitions);
        }
    }
}

impl SourceContext {
    fn on_assign(&self, client: &Client, partitions: Vec<i32>) {
        if !partitions.is_empty() {
            self.inbox
                .begin_at(committed(client, &self.topic, &partitions));
        }
        if partitions.is_empty() || !self.inbox.offer(Due::Assign(partitions.clone())) {
            self.answered(assign(client, &self.topic, &partitions));
        }
    }

    fn on_revoke(&self, client: &Client, partitions: Vec<i32>) {
        let lost = client.assignment_lost();
        if lost || partitions.is_empty() || !self.inbox.offer(Due::Revoke(partitions.clone())) {
            self.answered(unassign(client, &self.topic, &partitions));
            if lost && !partitions.is_empty() {
                self.inbox.lost(partitions);
            }
        }
    }

    fn answered(&self, result: KafkaResult<()>) {
        if let Err(error) = result {
            self.inbox.fatal(Arc::new(error));
        }
    }
}

/// How far the group is in these partitions, where the broker says so in time and it ever committed. The thread that asks may
/// wait, and nobody else may commit there before it is answered.
fn committed(client: &Client, topic: &str, partitions: &[i32]) -> BTreeMap<i32, i64> {
    let found = match client.committed_offsets(list(topic, partitions), LIMIT) {
        Ok(found) => found,
        Err(error) => {
            tracing::debug!(%error, "offsets of the group not found");
            return BTreeMap::new();
        }
    };
    let known = found.elements().into_iter().filter_map(|element| {
        let Offset::Offset(offset) = element.offset() else {
            return None;
        };
        Some((element.partition(), offset))
    });
    known.collect()
}

/// Takes partitions, each from the group's committed offset on.
pub(crate) fn assign(client: &Client, topic: &str, partitions: &[i32]) -> KafkaResult<()> {
    let list = list(topic, partitions);
    match client.rebalance_protocol() {
        RebalanceProtocol::Cooperative => client.incremental_assign(&list),
        RebalanceProtocol::Eager | RebalanceProtocol::None => client.assign(&list),
    }
}

/// Gives partitions back; under an eager protocol all there are, which is what was asked for.
pub(crate) fn unassign(client: &Client, topic: &str, partitions: &[i32]) -> KafkaResult<()> {
    match client.rebalance_protocol() {
        RebalanceProtocol::Cooperative => client.incremental_unassign(&list(topic, partitions)),
        RebalanceProtocol::Eager | RebalanceProtocol::None => client.unassign(),
    }
}

fn list(topic: &str, partitions: &[i32]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        list.add_partition(topic, *partition);
    }
    list
}

/// Partitions with offsets.
pub(crate) fn offsets(
    topic: &str,
    offsets: impl IntoIterator<Item = (i32, i64)>,
) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in offsets {
        list.add_partition_offset(topic, partition, Offset::Offset(offset))?;
    }
    Ok(list)
}

/// A line and a count for each change that the owner is told.
pub(crate) fn record(kind: &'static str, group: &str, partitions: &[i32]) {
    metrics::rebalanced(kind);
    tracing::info!(kind, group, ?partitions, "rebalance");
}
