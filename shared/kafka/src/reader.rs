//! Reads a part of a topic once, for a command of the operator: no group is joined, no offset is committed, so nobody who
//! consumes the topic hears of it and nothing is left behind.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use kith_profiles::error::PortError;
use kith_profiles::ports::{LogRecord, Partition};
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{Consumer, ConsumerContext, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tracing::warn;

use crate::config::KafkaConfig;
use crate::context::{log, note};
use crate::error::{SetupError, TooSlow};
use crate::span::{self, ReadFrom, Span};
use crate::{client, probe, rebalance, record};

pub(crate) type Client = StreamConsumer<ReaderContext>;

/// A part of a topic that is being read, each partition in its order. Needs a runtime with time enabled.
pub struct TopicReader {
    client: Arc<Client>,
    topic: Arc<str>,
    spans: BTreeMap<Partition, Span>,
    /// The next offset of each partition that is not read to its end.
    left: BTreeMap<i32, i64>,
    missed: u64,
    /// An error that came behind records.
    trouble: Option<PortError>,
}

impl TopicReader {
    /// Finds out what there is to read, and begins to fetch it. What is written later is not read.
    ///
    /// # Errors
    /// [`SetupError`]; [`SetupError::Refused`] if there is no such topic, or no such partition.
    pub async fn open(
        config: &KafkaConfig,
        topic: &str,
        from: &ReadFrom,
    ) -> Result<Self, SetupError> {
        probe::reach(config, span::LIMIT).await?;
        let client: Client = client::reader(config)?
            .create_with_context(ReaderContext)
            .map_err(client::refused)?;
        let client = Arc::new(client);
        let (asked, topic, from) = (Arc::clone(&client), Arc::<str>::from(topic), from.clone());
        let name = Arc::clone(&topic);
        let spans = tokio::task::spawn_blocking(move || span::find(&asked, &name, &from))
            .await
            .unwrap_or_else(|_| Err(span::canceled()))?;
        let left: BTreeMap<i32, i64> = spans
            .iter()
            .filter(|(_, span)| span.records() > 0)
            .map(|(partition, span)| (partition.0, span.from))
            .collect();
        let begin = left.iter().map(|(partition, offset)| (*partition, *offset));
        let begin = rebalance::offsets(&topic, begin).map_err(client::refused)?;
        client.assign(&begin).map_err(client::refused)?;
        Ok(Self {
            client,
            topic,
            spans,
            left,
            missed: 0,
            trouble: None,
        })
    }

    /// What is read, by partition; also of partitions where that is nothing.
    #[must_use]
    pub fn spans(&self) -> &BTreeMap<Partition, Span> {
        &self.spans
    }

    /// Records that were gone from the log before they were read.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.missed
    }

    /// The next record; none when everything is read. Cancel safe.
    ///
    /// # Errors
    /// [`PortError::Unavailable`]: call again. [`PortError::Fatal`]: the client is broken.
    pub async fn next(&mut self) -> Result<Option<LogRecord>, PortError> {
        if let Some(error) = self.trouble.take() {
            return Err(error);
        }
        while !self.left.is_empty() {
            let taken = self
                .client
                .recv()
                .await
                .map(|message| record::taken(&message));
            if let Some(record) = self.admit(taken)? {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    /// The next records, as many as are there, up to a number, and until there are so many bytes. Waits for the first.
    /// None only when everything is read. Cancel safe.
    ///
    /// # Errors
    /// As [`TopicReader::next`].
    pub async fn batch(
        &mut self,
        records_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<LogRecord>, PortError> {
        let mut batch = Vec::new();
        let Some(first) = self.next().await? else {
            return Ok(batch);
        };
        let mut bytes = first.key.len() + first.payload.len();
        batch.push(first);
        while batch.len() < records_max && bytes < bytes_max && !self.left.is_empty() {
            let taken = self.client.recv().now_or_never();
            let Some(taken) = taken.map(|taken| taken.map(|message| record::taken(&message)))
            else {
                break;
            };
            match self.admit(taken) {
                Ok(Some(record)) => {
                    bytes += record.key.len() + record.payload.len();
                    batch.push(record);
                }
                Ok(None) => {}
                Err(error) => {
                    self.trouble = Some(error);
                    break;
                }
            }
        }
        Ok(batch)
    }

    /// Gives the client up, within `limit`.
    ///
    /// # Errors
    /// [`PortError::Unavailable`] if it took longer; it goes on behind the caller's back.
    pub async fn close(self, limit: Duration) -> Result<(), PortError> {
        // Dropping the client waits for its threads.
        let gone = tokio::task::spawn_blocking(move || drop(self.client));
        match tokio::time::timeout(limit, gone).await {
            Ok(_) => Ok(()),
            Err(_) => Err(PortError::unavailable("close", TooSlow)),
        }
    }

    fn admit(
        &mut self,
        taken: Result<LogRecord, KafkaError>,
    ) -> Result<Option<LogRecord>, PortError> {
        let error = match taken {
            Ok(record) => return Ok(self.within(record)),
            Err(error) => error,
        };
        if let KafkaError::PartitionEOF(partition) = error {
            self.finish(partition);
            return Ok(None);
        }
        if let KafkaError::MessageConsumptionFatal(_) = error {
            return Err(PortError::fatal("read", error));
        }
        match error.rdkafka_error_code() {
            // The library connects again by itself; and no group is asked for anything, so what it may do is of no matter.
            Some(
                RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::Resolve
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::GroupAuthorizationFailed,
            ) => Ok(None),
            Some(RDKafkaErrorCode::Fatal) => Err(PortError::fatal("read", error)),
            None | Some(_) => Err(PortError::unavailable("read", error)),
        }
    }

    /// The record, if it is the next one or a later one of its span.
    fn within(&mut self, record: LogRecord) -> Option<LogRecord> {
        let (partition, offset) = (record.partition, record.offset.as_i64());
        let to = self.spans.get(&partition)?.to;
        let next = self.left.get_mut(&partition.0)?;
        if offset < *next {
            return None;
        }
        if offset >= to {
            self.finish(partition.0);
            return None;
        }
        let gap = offset - *next;
        *next = record.offset.next().as_i64();
        let is_last = *next >= to;
        self.miss(partition.0, gap);
        if is_last {
            self.finish(partition.0);
        }
        Some(record)
    }

    /// A partition is read to its end. It is paused, so that nothing more of it is fetched.
    fn finish(&mut self, partition: i32) {
        let Some(next) = self.left.remove(&partition) else {
            return;
        };
        let to = self
            .spans
            .get(&Partition(partition))
            .map_or(next, |span| span.to);
        self.miss(partition, to - next);
        let paused = rebalance::offsets(&self.topic, [(partition, to)])
            .and_then(|list| self.client.pause(&list));
        if let Err(error) = paused {
            // What comes of it all the same is not taken.
            tracing::debug!(%error, partition, "a partition that is read was not paused");
        }
    }

    fn miss(&mut self, partition: i32, records: i64) {
        if let Ok(missed @ 1..) = u64::try_from(records) {
            self.missed += missed;
            warn!(partition, missed, "records are not in the log any more");
        }
    }
}

pub(crate) struct ReaderContext;

impl ClientContext for ReaderContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log("reader", level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        note("reader", &error, reason);
    }
}

impl ConsumerContext for ReaderContext {}
