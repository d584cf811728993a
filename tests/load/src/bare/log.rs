//! The log: records of the service, with its settings of the client library, into a topic of ours and out of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use kith_kafka::{consumer_settings, ensure_topics, producer_settings};
use kith_profiles::ports::Header;
use kith_tests::servers::Place;
use kith_tests::topics::ends;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{self, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};
use tokio::task::JoinHandle;

use super::{Sample, kafka};
use crate::population::internal;
use crate::step_loop::closed_loop;

/// Which internal id is the key of a record.
const KEY: u64 = 21;
/// How long one record may take to come.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long one that follows the topic waits before it looks whether it is over.
const PAUSE: Duration = Duration::from_millis(100);

/// A topic, and what goes into it.
#[derive(Debug)]
pub(super) struct Topic {
    place: Place,
    records: Records,
}

/// Records for a topic.
#[derive(Debug, Clone)]
pub(super) struct Records {
    producer: Producer,
    topic: Arc<str>,
    sample: Sample,
    next: Arc<AtomicU64>,
}

impl Records {
    /// Sends one, and waits for its acknowledgement.
    pub(super) async fn produce_one(&self) -> Result<()> {
        let key = internal(self.next.fetch_add(1, Ordering::Relaxed), KEY);
        let record = FutureRecord::to(&self.topic)
            .key(key.as_bytes())
            .payload(&self.sample.payload[..])
            .headers(headers(&self.sample.headers));
        let sent = self.producer.0.send_result(record);
        let delivery = sent.map_err(|(error, _)| error)?.await?;
        delivery.map_err(|(error, _)| error)?;
        Ok(())
    }
}

/// The library's producer, which has no `Debug`.
#[derive(Clone)]
struct Producer(FutureProducer);

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Producer(..)")
    }
}

impl Topic {
    /// Makes a topic beside the service's, of the same shape.
    pub(super) async fn new(place: &Place, sample: Sample) -> Result<Self> {
        let mut place = place.clone();
        place.topic = format!("{}.bare", place.topic);
        place.group = format!("{}.bare", place.group);
        let kafka = kafka(&place);
        ensure_topics(&kafka).await?;
        let settings = ClientConfig::from_iter(producer_settings(&kafka)?);
        let records = Records {
            producer: Producer(settings.create()?),
            topic: Arc::from(place.topic.as_str()),
            sample,
            next: Arc::default(),
        };
        Ok(Self { place, records })
    }

    /// What goes into it.
    pub(super) fn records(&self) -> Records {
        self.records.clone()
    }

    /// Sends records for so long, each waiting for its acknowledgement; how many a second.
    pub(super) async fn produce(&self, at_once: usize, limit: Duration) -> Result<f64> {
        let records = self.records();
        let done = closed_loop(vec![(); at_once], limit, move |()| {
            let records = records.clone();
            async move {
                records.produce_one().await?;
                Ok(((), Some(())))
            }
        });
        Ok(done.await?.rate())
    }

    /// Reads all that is in the topic; how many records a second, from the first on.
    pub(super) async fn consume(&self) -> Result<f64> {
        let ends = ends(&self.place, &self.place.topic).await?;
        let from = ends.keys().map(|partition| (*partition, Offset::Beginning));
        let consumer = self.consumer(from)?;
        tokio::task::spawn_blocking(move || {
            let wanted: i64 = ends.values().sum();
            let mut bytes = taken(&consumer)?;
            let began = Instant::now();
            for _ in 1..wanted {
                bytes += taken(&consumer)?;
            }
            anyhow::ensure!(bytes > 0, "nothing was in the records");
            Ok((wanted - 1).max(1) as f64 / began.elapsed().as_secs_f64())
        })
        .await?
    }

    /// Reads what comes from now on until it is over; how many records.
    pub(super) async fn follow(&self, is_over: Arc<AtomicBool>) -> Result<JoinHandle<Result<u64>>> {
        let ends = ends(&self.place, &self.place.topic).await?;
        let from = ends
            .into_iter()
            .map(|(partition, end)| (partition, Offset::Offset(end)));
        let consumer = self.consumer(from)?;
        Ok(tokio::task::spawn_blocking(move || {
            let mut records = 0;
            while !is_over.load(Ordering::Relaxed) {
                if let Some(record) = consumer.poll(PAUSE) {
                    let record = record?;
                    records += u64::from(record.payload().map(Bytes::copy_from_slice).is_some());
                }
            }
            Ok(records)
        }))
    }

    /// A consumer with the service's settings, at these places.
    fn consumer(&self, from: impl Iterator<Item = (i32, Offset)>) -> Result<BaseConsumer> {
        let settings = consumer_settings(&kafka(&self.place))?;
        let consumer: BaseConsumer = ClientConfig::from_iter(settings).create()?;
        let mut places = TopicPartitionList::new();
        for (partition, offset) in from {
            places.add_partition_offset(&self.place.topic, partition, offset)?;
        }
        consumer.assign(&places)?;
        Ok(consumer)
    }
}

/// Takes a record, copied out of the library as an owner of it would.
fn taken(consumer: &BaseConsumer) -> Result<usize> {
    let polled = consumer.poll(PATIENCE).context("no record in time")?;
    let record = polled.map_err(|error| anyhow!(error))?;
    let payload = record.payload().map(Bytes::copy_from_slice);
    Ok(payload.unwrap_or_default().len())
}

fn headers(pairs: &[Header]) -> OwnedHeaders {
    let start = OwnedHeaders::new_with_capacity(pairs.len());
    pairs.iter().fold(start, |headers, (key, value)| {
        let value = Some(&value[..]);
        headers.insert(message::Header { key, value })
    })
}
