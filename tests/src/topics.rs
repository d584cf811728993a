//! Topics as a test sees them, past the adapter: how far they go, what a group has committed, and records of any kind.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::poll::until;
use crate::servers::Place;

/// For one question to the broker, and for catching up.
const LIMIT: Duration = Duration::from_secs(20);
const PATIENCE: Duration = Duration::from_secs(90);

/// A record as it stands in a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its partition.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// Its time, in milliseconds since 1970.
    pub millis: i64,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its value.
    pub payload: Option<Bytes>,
    /// Its headers, in order.
    pub headers: Vec<(String, Bytes)>,
}

impl Kept {
    /// The last header of this name, as text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().rfind(|(one, _)| one == name)?;
        std::str::from_utf8(&found.1).ok()
    }
}

fn consumer(place: &Place) -> Result<BaseConsumer> {
    Ok(ClientConfig::new()
        .set("bootstrap.servers", &place.bootstrap)
        .set("group.id", &place.group)
        .set("enable.auto.commit", "false")
        .create()?)
}

fn ends_of(consumer: &BaseConsumer, topic: &str) -> Result<BTreeMap<i32, i64>> {
    let metadata = consumer.fetch_metadata(Some(topic), LIMIT)?;
    let found = metadata.topics().first().context("no topic")?;
    let partitions = found.partitions().iter();
    partitions
        .map(|one| {
            let (_, high) = consumer.fetch_watermarks(topic, one.id(), LIMIT)?;
            Ok((one.id(), high))
        })
        .collect()
}

/// How far each partition of a topic goes.
///
/// # Errors
/// When the broker does not answer.
pub async fn ends(place: &Place, topic: &str) -> Result<BTreeMap<i32, i64>> {
    let (place, topic) = (place.clone(), topic.to_owned());
    tokio::task::spawn_blocking(move || ends_of(&consumer(&place)?, &topic)).await?
}

/// What the workers' group has committed; 0 where that is nothing.
///
/// # Errors
/// When the broker does not answer.
pub async fn committed(place: &Place) -> Result<BTreeMap<i32, i64>> {
    let place = place.clone();
    tokio::task::spawn_blocking(move || {
        let consumer = consumer(&place)?;
        let mut asked = TopicPartitionList::new();
        for partition in ends_of(&consumer, &place.topic)?.keys() {
            asked.add_partition(&place.topic, *partition);
        }
        let found = consumer.committed_offsets(asked, LIMIT)?;
        let offset = |at: Offset| match at {
            Offset::Offset(offset) => offset,
            _ => 0,
        };
        let elements = found.elements();
        let offsets = elements.iter();
        Ok(offsets
            .map(|one| (one.partition(), offset(one.offset())))
            .collect())
    })
    .await?
}

/// Waits until the workers have committed everything that the topic has by now.
///
/// # Errors
/// When they do not in time.
pub async fn caught_up(place: &Place) -> Result<()> {
    let wanted = ends(place, &place.topic).await?;
    until(PATIENCE, "everything is committed", || async {
        let committed = committed(place).await?;
        let done = wanted
            .iter()
            .all(|(partition, end)| committed.get(partition).is_some_and(|at| at >= end));
        Ok(done.then_some(()))
    })
    .await
}

/// Everything that is in a topic, each partition in its order.
///
/// # Errors
/// When the broker does not answer.
pub async fn read(place: &Place, topic: &str) -> Result<Vec<Kept>> {
    let (place, topic) = (place.clone(), topic.to_owned());
    tokio::task::spawn_blocking(move || {
        let consumer = consumer(&place)?;
        let ends = ends_of(&consumer, &topic)?;
        let mut from = TopicPartitionList::new();
        for partition in ends.keys() {
            from.add_partition_offset(&topic, *partition, Offset::Beginning)?;
        }
        consumer.assign(&from)?;
        let wanted: i64 = ends.values().sum();
        let mut kept = Vec::new();
        while i64::try_from(kept.len())? < wanted {
            let message = consumer.poll(LIMIT).context("no record in time")??;
            kept.push(Kept {
                partition: message.partition(),
                offset: message.offset(),
                millis: message.timestamp().to_millis().context("no time")?,
                key: message.key().map(Bytes::copy_from_slice),
                payload: message.payload().map(Bytes::copy_from_slice),
                headers: message.headers().map_or_else(Vec::new, |headers| {
                    let value = |header: Header<'_, &[u8]>| {
                        let value = header.value.unwrap_or_default();
                        (header.key.to_owned(), Bytes::copy_from_slice(value))
                    };
                    headers.iter().map(value).collect()
                }),
            });
        }
        kept.sort_by_key(|one| (one.partition, one.offset));
        Ok(kept)
    })
    .await?
}

/// Puts a record into a topic as it is; its place. Without a time: now.
///
/// # Errors
/// When it is not acknowledged.
pub async fn put(
    place: &Place,
    topic: &str,
    key: &[u8],
    payload: &[u8],
    headers: &[(String, Bytes)],
    millis: Option<i64>,
) -> Result<(i32, i64)> {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", &place.bootstrap)
        .create()?;
    let mut all = OwnedHeaders::new();
    for (name, value) in headers {
        all = all.insert(Header {
            key: name,
            value: Some(&value[..]),
        });
    }
    let mut record = FutureRecord::to(topic)
        .key(key)
        .payload(payload)
        .headers(all);
    if let Some(millis) = millis {
        record = record.timestamp(millis);
    }
    let put = producer.send(record, LIMIT).await;
    let put = put.map_err(|(error, _)| error)?;
    Ok((put.partition, put.offset))
}
