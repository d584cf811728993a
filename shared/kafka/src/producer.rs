//! The producing half, and dead letters: done means acknowledged by every replica in sync.

use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kith_profiles::error::{PortError, PublishError};
use kith_profiles::ports::{DeadLetter, DeadLetters, Header, NewRecord, Partition, TraitLog};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::future_producer::DeliveryFuture;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use tokio::sync::watch;

use crate::config::KafkaConfig;
use crate::context::{ProducerContext, ProducerState};
use crate::error::{ClientFailed, SetupError};
use crate::{client, letters, metrics, record};

/// Publishes to the traits topic and to the dead-letter topic. A handle: clones share one client, one queue and one link to
/// each broker.
///
/// Dropping the last clone throws away what waits in the queue; [`KafkaLog::flush`] first.
#[derive(Clone)]
pub struct KafkaLog {
    pub(crate) producer: FutureProducer<ProducerContext>,
    pub(crate) traits_topic: Arc<str>,
    dead_letter_topic: Arc<str>,
    record_bytes_max: usize,
    dead_letter_bytes_max: usize,
    pub(crate) state: Arc<watch::Sender<ProducerState>>,
    /// Probes one at a time: each holds a thread for as long as the broker is silent.
    pub(crate) probing: Arc<tokio::sync::Mutex<()>>,
}

impl KafkaLog {
    /// Makes the client, which starts to connect by itself. Waits for nothing: see [`KafkaLog::warm`].
    ///
    /// # Errors
    /// [`SetupError::Config`] and [`SetupError::Client`].
    pub fn new(config: &KafkaConfig) -> Result<Self, SetupError> {
        let state = Arc::new(watch::Sender::new(ProducerState::default()));
        let context = ProducerContext {
            state: Arc::clone(&state),
        };
        Ok(Self {
            producer: client::producer(config)?
                .create_with_context(context)
                .map_err(client::refused)?,
            traits_topic: config.traits_topic.as_str().into(),
            dead_letter_topic: config.dead_letter_topic().into(),
            record_bytes_max: config.topics.record_bytes_max,
            dead_letter_bytes_max: config.topics.dead_letter_bytes_max(),
            state,
            probing: Arc::default(),
        })
    }

    /// Ends only if the client is broken for good (an idempotent producer that can no longer vouch for its order, or may
    /// not be one); from then on every publish is `Unavailable`. The process must end and start anew.
    pub async fn failed(&self) -> PortError {
        let mut state = self.state.subscribe();
        loop {
            if let Some(error) = self.fatal("publish") {
                return error;
            }
            if state.changed().await.is_err() {
                pending::<()>().await; // Not before `self`, which has the sender, is gone.
            }
        }
    }

    /// Whether the client is broken for good.
    pub(crate) fn fatal(&self, operation: &'static str) -> Option<PortError> {
        let (_, reason) = self.producer.client().fatal_error()?;
        Some(PortError::fatal(operation, ClientFailed(reason)))
    }

    /// Records handed over and not yet acknowledged.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        u64::try_from(self.producer.in_flight_count()).unwrap_or(0)
    }

    /// Waits until everything handed over is acknowledged or refused.
    ///
    /// # Errors
    /// [`PortError::Unavailable`] if something still waits after `limit`.
    pub async fn flush(&self, limit: Duration) -> Result<(), PortError> {
        let producer = self.producer.clone();
        tokio::task::spawn_blocking(move || producer.flush(limit))
            .await
            .map_err(|error| PortError::unavailable("flush", error))?
            .map_err(|error| PortError::unavailable("flush", error))
    }

    /// The traits topic, in the partition of the key.
    pub(crate) fn to_traits(&self) -> To<'_> {
        To {
            topic: &self.traits_topic,
            bytes_max: self.record_bytes_max,
            partition: None,
            millis: None,
        }
    }

    /// The dead-letter topic, likewise.
    pub(crate) fn to_letters(&self) -> To<'_> {
        To {
            topic: &self.dead_letter_topic,
            bytes_max: self.dead_letter_bytes_max,
            partition: None,
            millis: None,
        }
    }

    /// Hands a record over; the library has its own copy then.
    pub(crate) fn enqueue(
        &self,
        to: To<'_>,
        key: &[u8],
        payload: &[u8],
        headers: &[Header],
    ) -> Result<DeliveryFuture, PublishError> {
        // The broker would say so, too, after all of it went over the wire.
        if record::size(key, payload, headers) > to.bytes_max {
            return Err(PublishError::TooLarge);
        }
        let mut record = FutureRecord::to(to.topic)
            .payload(payload)
            .headers(record::headers(headers));
        if !key.is_empty() {
            record = record.key(key);
        }
        if let Some(Partition(partition)) = to.partition {
            record = record.partition(partition);
        }
        if let Some(millis) = to.millis {
            record = record.timestamp(millis);
        }
        // Not `send`: that one sleeps while the queue is full.
        self.producer
            .send_result(record)
            .map_err(|(error, _)| unsent(error))
    }
}

/// Where a record goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct To<'a> {
    pub(crate) topic: &'a str,
    pub(crate) bytes_max: usize,
    /// `None`: that of the key.
    pub(crate) partition: Option<Partition>,
    /// The record's time, in milliseconds since 1970; `None`: now.
    pub(crate) millis: Option<i64>,
}

pub(crate) async fn acknowledged(
    queued: Result<DeliveryFuture, PublishError>,
) -> Result<(), PublishError> {
    match queued?.await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err((error, _))) => Err(unsent(error)),
        Err(canceled) => Err(PublishError::Unavailable(Some(Arc::new(canceled)))),
    }
}

/// Which of the library's errors means what. All but two may be over in a moment, and none but those two says that the
/// record is not there.
fn unsent(error: KafkaError) -> PublishError {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::QueueFull) => PublishError::Full,
        // The second: larger than the topic's segments.
        Some(RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::MessageBatchTooLarge) => {
            PublishError::TooLarge
        }
        None | Some(_) => PublishError::Unavailable(Some(Arc::new(error))),
    }
}

impl TraitLog for KafkaLog {
    async fn publish(&self, record: NewRecord) -> Result<(), PublishError> {
        let start = Instant::now();
        let queued = self.enqueue(
            self.to_traits(),
            &record.key,
            &record.payload,
            &record.headers,
        );
        drop(record);
        let outcome = acknowledged(queued).await;
        metrics::sent(metrics::PUBLISH_SECONDS, &outcome, start.elapsed());
        outcome
    }
}

impl DeadLetters for KafkaLog {
    async fn bury(&self, letter: DeadLetter) -> Result<(), PublishError> {
        let start = Instant::now();
        let DeadLetter {
            mut record,
            topic,
            reason,
        } = letter;
        let added = letters::added(&record, topic, reason);
        record.headers.extend(added);
        let queued = self.enqueue(
            self.to_letters(),
            &record.key,
            &record.payload,
            &record.headers,
        );
        drop(record);
        let outcome = acknowledged(queued).await;
        metrics::sent(metrics::DEAD_LETTER_SECONDS, &outcome, start.elapsed());
        outcome
    }
}
