//! Topics and groups of a test's own, and a consumer that is driven by hand.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kith_kafka::{KafkaConfig, KafkaLog, KafkaSource, ensure_topics};
use kith_profiles::error::PortError;
use kith_profiles::ports::{
    LogEvent, LogRecord, NewRecord, NextOffset, Partition, TraitLog, TraitSource,
};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, TopicPartitionList};
use uuid::Uuid;

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The shortest that a broker allows by default.
pub(crate) const SESSION: Duration = Duration::from_secs(6);

pub(crate) fn bootstrap() -> String {
    std::env::var("KITH_TEST_KAFKA_BOOTSTRAP")
        .expect("KITH_TEST_KAFKA_BOOTSTRAP names a running broker (deploy/local)")
}

/// Settings with names of their own, for one broker.
pub(crate) fn config(partitions: u16) -> KafkaConfig {
    let unique = Uuid::new_v4().simple().to_string();
    let mut config = KafkaConfig {
        bootstrap: bootstrap(),
        traits_topic: format!("test.kafka.{unique}"),
        ..KafkaConfig::default()
    };
    config.topics.partitions = partitions;
    config.topics.replication_factor = 1;
    config.topics.min_insync_replicas = 1;
    config.consumer.group = format!("test.kafka.{unique}");
    config.consumer.session_timeout = SESSION;
    config
}

/// The same with topics, and a producer that is ready.
pub(crate) async fn log(config: &KafkaConfig) -> KafkaLog {
    ensure_topics(config).await.expect("topics");
    let log = KafkaLog::new(config).expect("a producer");
    log.warm(PATIENCE).await.expect("a warm producer");
    log
}

pub(crate) fn record(key: &str, payload: impl Into<Bytes>) -> NewRecord {
    NewRecord {
        key: Bytes::copy_from_slice(key.as_bytes()),
        payload: payload.into(),
        headers: Vec::new(),
    }
}

/// Publishes payloads `from..to` under keys `0..keys`, each key's in order; payload `n` has key `n % keys`.
pub(crate) async fn publish_numbers(log: &KafkaLog, keys: u32, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let record = record(&format!("key-{}", number % keys), number.to_string());
        log.publish(record).await.expect("published");
    }
}

pub(crate) fn number(record: &LogRecord) -> u32 {
    std::str::from_utf8(&record.payload)
        .ok()
        .and_then(|text| text.parse().ok())
        .expect("a number")
}

/// A consumer with what it was told.
pub(crate) struct Member {
    pub(crate) source: KafkaSource,
    pub(crate) assigned: Vec<Partition>,
    pub(crate) records: Vec<LogRecord>,
    pub(crate) revoked: Vec<Partition>,
    pub(crate) lost: Vec<Partition>,
    /// Commits every record as it comes.
    pub(crate) commits: bool,
}

impl Member {
    pub(crate) fn join(config: &KafkaConfig) -> Self {
        Self {
            source: KafkaSource::new(config).expect("a consumer"),
            assigned: Vec::new(),
            records: Vec::new(),
            revoked: Vec::new(),
            lost: Vec::new(),
            commits: false,
        }
    }

    /// Waits so long for an event and does what a worker with nothing in flight would. Only the waiting is given up, never
    /// what comes of an event. `None`: there was no event.
    pub(crate) async fn step(&mut self, limit: Duration) -> Option<Result<(), PortError>> {
        match tokio::time::timeout(limit, self.source.next()).await {
            Ok(Ok(event)) => Some(self.obey(event).await),
            Ok(Err(error)) => Some(Err(error)),
            Err(_) => None,
        }
    }

    async fn obey(&mut self, event: LogEvent) -> Result<(), PortError> {
        match event {
            LogEvent::Records(records) => {
                for record in &records {
                    assert!(
                        self.assigned.contains(&record.partition),
                        "a record of {:?}, which is not assigned",
                        record.partition
                    );
                }
                if self.commits {
                    self.source.commit(&frontier(&records))?;
                }
                self.records.extend(records);
            }
            LogEvent::Assigned(partitions) => self.assigned.extend(partitions),
            LogEvent::Revoked(partitions) => {
                self.assigned.retain(|p| !partitions.contains(p));
                self.revoked.extend(&partitions);
                self.source.release(&partitions).await?;
            }
            LogEvent::Lost(partitions) => {
                self.assigned.retain(|p| !partitions.contains(p));
                self.lost.extend(&partitions);
            }
        }
        Ok(())
    }

    /// Waits for a revocation, and does not release it.
    pub(crate) async fn revoked_and_held(&mut self) -> Vec<Partition> {
        let event = tokio::time::timeout(PATIENCE, self.source.next()).await;
        let Ok(Ok(LogEvent::Revoked(partitions))) = event else {
            panic!("no revocation: {event:?}");
        };
        self.assigned.retain(|p| !partitions.contains(p));
        partitions
    }

    /// Takes events until something holds. Troubles that pass, pass.
    pub(crate) async fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds(self) {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.step(left).await {
                Some(Ok(()) | Err(PortError::Unavailable { .. })) => {}
                Some(Err(error)) => panic!("waiting until {what}: {error:?}"),
                None => panic!(
                    "waited too long until {what}: assigned {:?}, {} records",
                    self.assigned,
                    self.records.len()
                ),
            }
        }
    }

    pub(crate) async fn until_assigned(&mut self, partitions: usize) {
        self.until("partitions are assigned", |m| {
            m.assigned.len() == partitions
        })
        .await;
    }

    pub(crate) async fn until_records(&mut self, records: usize) {
        self.until("records are there", |m| m.records.len() >= records)
            .await;
    }

    /// Takes events for a while.
    pub(crate) async fn run_for(&mut self, time: Duration) {
        let deadline = Instant::now() + time;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.step(left).await {
                Some(Ok(()) | Err(PortError::Unavailable { .. })) => {}
                Some(Err(error)) => panic!("{error:?}"),
                None => return,
            }
        }
    }

    pub(crate) fn commit_all(&mut self) {
        self.source
            .commit(&frontier(&self.records))
            .expect("committed");
    }

    pub(crate) async fn close(self) {
        self.source.close(PATIENCE).await.expect("closed");
    }

    pub(crate) fn numbers(&self) -> Vec<u32> {
        self.records.iter().map(number).collect()
    }
}

/// Drives two members until something holds of both: a rebalance takes several rounds, and each needs both.
pub(crate) async fn until_both(
    first: &mut Member,
    second: &mut Member,
    holds: impl Fn(&Member, &Member) -> bool,
) {
    let deadline = Instant::now() + PATIENCE;
    while !holds(first, second) {
        assert!(
            Instant::now() < deadline,
            "waited too long: assigned {:?} and {:?}, {} and {} records",
            first.assigned,
            second.assigned,
            first.records.len(),
            second.records.len()
        );
        let turn = Duration::from_millis(50);
        tokio::join!(first.run_for(turn), second.run_for(turn));
    }
}

/// Drives two members until they have so many partitions.
pub(crate) async fn until_shared(first: &mut Member, second: &mut Member, shares: (usize, usize)) {
    until_both(first, second, |first, second| {
        (first.assigned.len(), second.assigned.len()) == shares
    })
    .await;
}

/// The offset after the last record of each partition.
pub(crate) fn frontier(records: &[LogRecord]) -> Vec<(Partition, NextOffset)> {
    let mut frontier = BTreeMap::new();
    for record in records {
        frontier.insert(record.partition, record.offset.next());
    }
    frontier.into_iter().collect()
}

/// Fails unless every partition's offsets follow one another without a gap.
pub(crate) fn assert_contiguous(records: &[LogRecord]) {
    let mut last = BTreeMap::new();
    for record in records {
        if let Some(before) = last.insert(record.partition, record.offset.as_i64()) {
            assert_eq!(
                before + 1,
                record.offset.as_i64(),
                "{:?}: lost, repeated or out of order",
                record.partition
            );
        }
    }
}

/// What the group has committed, from the broker itself; partitions without a commit are absent.
pub(crate) fn committed(config: &KafkaConfig) -> BTreeMap<i32, i64> {
    let client: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &config.bootstrap)
        .set("group.id", &config.consumer.group)
        .create()
        .expect("a client");
    let mut list = TopicPartitionList::new();
    for partition in 0..config.topics.partitions {
        list.add_partition(&config.traits_topic, i32::from(partition));
    }
    let found = client.committed_offsets(list, PATIENCE).expect("offsets");
    found
        .elements()
        .iter()
        .filter_map(|element| Some((element.partition(), element.offset().to_raw()?)))
        .filter(|(_, offset)| *offset >= 0)
        .collect()
}

/// Asks until an answer is right.
pub(crate) async fn eventually<T: std::fmt::Debug>(
    what: &str,
    ask: impl Fn() -> T,
    right: impl Fn(&T) -> bool,
) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = ask();
        if right(&answer) {
            return;
        }
        assert!(Instant::now() < deadline, "{what}: still {answer:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
