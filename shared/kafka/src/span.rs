//! Which part of a topic is read: from where somebody says to where the topic ends when he says it.

use std::collections::BTreeMap;
use std::time::Duration;

use kith_domain::time::Micros;
use kith_profiles::ports::Partition;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use crate::error::SetupError;
use crate::reader::Client;
use crate::topics::unreachable;

/// For one question to the cluster.
pub(crate) const LIMIT: Duration = Duration::from_secs(10);

/// Where reading begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadFrom {
    /// With the oldest record of each partition.
    Earliest,
    /// With the first record of each partition that the log took at this time or later, by the record's own time.
    Time(Micros),
    /// At this offset of each partition.
    Offset(i64),
    /// At these offsets; other partitions are not read.
    Offsets(BTreeMap<Partition, i64>),
}

/// A part of a partition: the records from one offset on, and before another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first offset of it.
    pub from: i64,
    /// The first offset behind it.
    pub to: i64,
}

impl Span {
    /// Records in it at most: the log may have removed some.
    #[must_use]
    pub fn records(self) -> u64 {
        u64::try_from(self.to.saturating_sub(self.from)).unwrap_or(0)
    }
}

/// Finds the spans, which may wait for the cluster. What is older than the oldest record begins with that one, what is
/// younger than the youngest is empty.
pub(crate) fn find(
    client: &Client,
    topic: &str,
    from: &ReadFrom,
) -> Result<BTreeMap<Partition, Span>, SetupError> {
    let partitions = partitions(client, topic)?;
    let wanted: BTreeMap<i32, i64> = match from {
        ReadFrom::Earliest => partitions.into_iter().map(|p| (p, 0)).collect(),
        ReadFrom::Offset(offset) => partitions.into_iter().map(|p| (p, *offset)).collect(),
        ReadFrom::Time(at) => since(client, topic, &partitions, *at)?,
        ReadFrom::Offsets(offsets) => {
            if offsets.keys().any(|p| !partitions.contains(&p.0)) {
                return Err(refused(topic, RDKafkaErrorCode::UnknownPartition));
            }
            offsets.iter().map(|(p, offset)| (p.0, *offset)).collect()
        }
    };
    let mut spans = BTreeMap::new();
    for (partition, wanted) in wanted {
        let (low, high) = client
            .fetch_watermarks(topic, partition, LIMIT)
            .map_err(unreachable)?;
        let from = wanted.clamp(low, high);
        spans.insert(Partition(partition), Span { from, to: high });
    }
    Ok(spans)
}

fn partitions(client: &Client, topic: &str) -> Result<Vec<i32>, SetupError> {
    let metadata = client
        .fetch_metadata(Some(topic), LIMIT)
        .map_err(unreachable)?;
    let found = metadata.topics().iter().find(|one| one.name() == topic);
    let found = found.ok_or_else(|| refused(topic, RDKafkaErrorCode::UnknownTopicOrPartition))?;
    if let Some(error) = found.error() {
        return Err(refused(topic, error.into()));
    }
    Ok(found.partitions().iter().map(|one| one.id()).collect())
}

/// The offset of the first record at a time or later; behind the last one if there is none.
fn since(
    client: &Client,
    topic: &str,
    partitions: &[i32],
    at: Micros,
) -> Result<BTreeMap<i32, i64>, SetupError> {
    // The log counts milliseconds, and a negative time is none to it.
    let millis = at.as_micros().div_euclid(1000).max(0);
    let mut asked = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        asked
            .add_partition_offset(topic, *partition, Offset::Offset(millis))
            .map_err(unreachable)?;
    }
    let found = client
        .offsets_for_times(asked, LIMIT)
        .map_err(unreachable)?;
    let mut offsets = BTreeMap::new();
    for element in found.elements_for_topic(topic) {
        element.error().map_err(unreachable)?;
        let offset = match element.offset() {
            Offset::Offset(offset) => offset,
            Offset::Beginning
            | Offset::End
            | Offset::Stored
            | Offset::Invalid
            | Offset::OffsetTail(_) => i64::MAX,
        };
        offsets.insert(element.partition(), offset);
    }
    Ok(offsets)
}

fn refused(topic: &str, code: RDKafkaErrorCode) -> SetupError {
    SetupError::Refused {
        topic: topic.to_owned(),
        code,
    }
}

/// Nobody is left to answer.
pub(crate) fn canceled() -> SetupError {
    unreachable(KafkaError::Canceled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_counts_what_is_in_it() {
        assert_eq!(Span { from: 3, to: 10 }.records(), 7);
        assert_eq!(Span { from: 10, to: 10 }.records(), 0);
    }
}
