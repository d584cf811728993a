//! The log: records of the service, with its settings of the client library, into a topic of ours and out of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
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

use super::{Sample, kafka};
use crate::population::internal;
use crate::step_loop::closed_loop;

/// Which internal id is the key of a record.
const KEY: u64 = 21;
/// How long one record may take to come.
const PATIENCE: Duration = Duration::from_secs(20);

/// A topic, and what goes into it.
#[derive(Debug)]
pub(super) struct Topic {
    place: Place,
    producer: Producer,
    sample: Sample,
    next: Arc<AtomicU64>,
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
        Ok(Self {
            producer: Producer(settings.create()?),
            place,
            sample,
            next: Arc::default(),
        })
    }

    /// Sends records for so long, each waiting for its acknowledgement; how many a second.
    pub(super) async fn produce(&self, at_once: usize, limit: Duration) -> Result<f64> {
        let (producer, next) = (self.producer.clone(), Arc::clone(&self.next));
        let (topic, sample) = (
            Arc::<str>::from(self.place.topic.as_str()),
            self.sample.clone(),
        );
        let done = closed_loop(vec![(); at_once], limit, move |()| {
            let key = internal(next.fetch_add(1, Ordering::Relaxed), KEY);
            let (producer, topic, sample) = (producer.clone(), Arc::clone(&topic), sample.clone());
            async move {
                let record = FutureRecord::to(&topic)
                    .key(key.as_bytes())
                    .payload(&sample.payload[..])
                    .headers(headers(&sample.headers));
                let sent = producer.0.send_result(record);
                let delivery = sent.map_err(|(error, _)| error)?.await?;
                delivery.map_err(|(error, _)| error)?;
                Ok(((), Some(())))
            }
        });
        Ok(done.await?.rate())
    }

    /// Reads all that is in the topic; how many records a second, from the first on.
    pub(super) async fn consume(&self) -> Result<f64> {
        let ends = ends(&self.place, &self.place.topic).await?;
        let place = self.place.clone();
        tokio::task::spawn_blocking(move || {
            let settings = consumer_settings(&kafka(&place))?;
            let consumer: BaseConsumer = ClientConfig::from_iter(settings).create()?;
            let mut from = TopicPartitionList::new();
            for partition in ends.keys() {
                from.add_partition_offset(&place.topic, *partition, Offset::Beginning)?;
            }
            consumer.assign(&from)?;
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
