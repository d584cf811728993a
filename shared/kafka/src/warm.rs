//! Getting a producer ready, and asking whether the log can be reached, without a record that anybody could read.
//!
//! The first publish of an idempotent producer waits for three things, up to a second together: the topic's metadata, the
//! link to the partition's leader, and the producer's id from the cluster. The library asks for the id by itself, half a
//! second after it was made or as soon as it hears of a new broker, and says that it has it nowhere but in its statistics.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kith_profiles::error::PortError;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;
use rdkafka::producer::Producer;

use crate::error::{TooSlow, TopicMissing};
use crate::producer::KafkaLog;

/// Between two tries.
const AGAIN: Duration = Duration::from_millis(100);

impl KafkaLog {
    /// Makes the next publish as fast as any: metadata, a link to the leader of every partition, the producer's id. Writes
    /// nothing. For readiness, once; takes about a second.
    ///
    /// # Errors
    /// [`PortError::Unavailable`]: not within `limit`, or the topic does not exist. [`PortError::Fatal`]: the cluster does
    /// not let this client be an idempotent producer.
    pub async fn warm(&self, limit: Duration) -> Result<(), PortError> {
        let deadline = Instant::now() + limit;
        while let Err(error) = self.connect(deadline).await {
            // A broker that has just started knows no topic yet, and one that is about to has no link.
            if Instant::now() + AGAIN > deadline {
                return Err(error);
            }
            tokio::time::sleep(AGAIN).await;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let mut state = self.state.subscribe();
        let settled = state.wait_for(|state| state.ready || self.fatal("warm").is_some());
        match tokio::time::timeout(left, settled).await {
            Ok(_) => self.fatal("warm").map_or(Ok(()), Err),
            Err(_) => Err(PortError::unavailable("warm", TooSlow)),
        }
    }

    /// Asks a broker for the traits topic: the log can be reached, it knows the topic, and each of its partitions has a
    /// leader to write to. For readiness, and for a breaker that wants to know whether to close. One question at a time;
    /// the others wait, off the runtime's threads.
    ///
    /// # Errors
    /// [`PortError::Unavailable`]: no, or not within `limit`.
    pub async fn reachable(&self, limit: Duration) -> Result<(), PortError> {
        self.ask("reach", limit).await.map(|_| ())
    }

    /// Some partition of each leader.
    async fn ask(
        &self,
        operation: &'static str,
        limit: Duration,
    ) -> Result<BTreeMap<i32, i32>, PortError> {
        let deadline = Instant::now() + limit;
        let asking = async {
            let turn = Arc::clone(&self.probing).lock_owned().await;
            let left = deadline.saturating_duration_since(Instant::now());
            let (producer, topic) = (self.producer.clone(), Arc::clone(&self.traits_topic));
            tokio::task::spawn_blocking(move || {
                let _turn = turn; // Until the thread is free, also when nobody waits for the answer any more.
                let metadata = producer
                    .client()
                    .fetch_metadata(Some(&topic), left)
                    .map_err(|error| PortError::unavailable(operation, error))?;
                leaders(operation, &metadata, &topic)
            })
            .await
        };
        // The library's own limit is not exact.
        tokio::time::timeout(limit + Duration::from_millis(100), asking)
            .await
            .map_err(|_| PortError::unavailable(operation, TooSlow))?
            .map_err(|error| PortError::unavailable(operation, error))?
    }

    /// Asks for the topic and opens a link to each leader. The watermarks are of no interest, but they must be asked of the
    /// leader itself.
    async fn connect(&self, deadline: Instant) -> Result<(), PortError> {
        let left = deadline.saturating_duration_since(Instant::now());
        let leaders = self.ask("warm", left).await?;
        let (producer, topic) = (self.producer.clone(), Arc::clone(&self.traits_topic));
        let opening = move || {
            leaders.values().try_for_each(|partition| {
                let left = deadline.saturating_duration_since(Instant::now());
                let asked = producer.client().fetch_watermarks(&topic, *partition, left);
                asked.map(drop)
            })
        };
        tokio::task::spawn_blocking(opening)
            .await
            .map_err(|error| PortError::unavailable("warm", error))?
            .map_err(|error| PortError::unavailable("warm", error))
    }
}

/// Some partition of each leader. An error if a partition has none: what hashes to it could not be written.
fn leaders(
    operation: &'static str,
    metadata: &Metadata,
    topic: &str,
) -> Result<BTreeMap<i32, i32>, PortError> {
    let missing = || PortError::unavailable(operation, TopicMissing(topic.to_owned()));
    let failed = |code| PortError::unavailable(operation, KafkaError::MetadataFetch(code));
    let found = metadata
        .topics()
        .iter()
        .find(|found| found.name() == topic)
        .ok_or_else(missing)?;
    match found.error().map(RDKafkaErrorCode::from) {
        None => {}
        Some(RDKafkaErrorCode::UnknownTopicOrPartition) => return Err(missing()),
        Some(code) => return Err(failed(code)),
    }
    let mut leaders = BTreeMap::new();
    for partition in found.partitions() {
        if partition.leader() < 0 {
            return Err(failed(RDKafkaErrorCode::LeaderNotAvailable));
        }
        leaders.insert(partition.leader(), partition.id());
    }
    Ok(leaders)
}
