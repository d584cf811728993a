//! Limits and times of the producing and the consuming half.

use std::time::Duration;

use super::check::{invalid, present, range};
use super::{TopicConfig, setting};
use crate::error::ConfigError;

/// The producing half.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducerConfig {
    /// After which a publish is given up. A request has 2.5 s for everything. Default 2 s.
    pub delivery_timeout: Duration,
    /// Records that may wait for their acknowledgement; more are refused at once. Default 4096.
    pub queue_records: usize,
    /// Bytes that may wait. Default 64 MiB.
    pub queue_bytes: usize,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        Self {
            delivery_timeout: Duration::from_secs(2),
            queue_records: 4096,
            queue_bytes: 64 * 1024 * 1024,
        }
    }
}

impl ProducerConfig {
    pub(super) fn validate(&self, topics: &TopicConfig) -> Result<(), ConfigError> {
        if self.delivery_timeout < Duration::from_millis(200) {
            return Err(invalid(
                setting::DELIVERY_TIMEOUT,
                &format!("{:?}", self.delivery_timeout),
                "it must be 200 ms at least",
            ));
        }
        range(setting::QUEUE_RECORDS, self.queue_records, 1, 10_000_000)?;
        range(
            setting::QUEUE_BYTES,
            self.queue_bytes,
            topics.dead_letter_bytes_max(),
            usize::MAX,
        )
    }
}

/// How a group shares its partitions. All its members must say the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Assignor {
    /// `cooperative-sticky`: only what moves is taken away.
    #[default]
    CooperativeSticky,
    /// `range`: everything is taken away at each change, then dealt out anew.
    Range,
}

impl Assignor {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::CooperativeSticky => "cooperative-sticky",
            Self::Range => "range",
        }
    }
}

/// The consuming half.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerConfig {
    /// The consumer group. Default `kith.trait-worker`.
    pub group: String,
    /// A name that this member keeps over restarts (the pod's, say): it gets its partitions back without a rebalance if it
    /// returns within the session time-out. Nobody else takes them until then. Default none.
    pub group_instance_id: Option<String>,
    /// How the group shares its partitions.
    pub assignor: Assignor,
    /// A member not heard of for this long is out of the group. The cluster has bounds, 6 s to 30 min by default. Default
    /// 45 s.
    pub session_timeout: Duration,
    /// A member whose owner is stuck for this long, and once more, is out of the group; so is one that takes longer than
    /// this to hand partitions back. Default 5 min.
    pub max_poll_interval: Duration,
    /// How often finished offsets are sent. Default 500 ms.
    pub commit_interval: Duration,
    /// Records fetched ahead for each partition. Default 1000.
    pub prefetch_records: usize,
    /// Bytes fetched ahead when every partition of the topic is ours. May be overshot by about as much again. Default
    /// 32 MiB.
    pub prefetch_bytes: usize,
    /// Most records of one event. Default 500.
    pub batch_records: usize,
    /// Bytes after which an event takes no further record. Default 1 MiB.
    pub batch_bytes: usize,
    /// How often the lag is looked up. Default 5 s.
    pub lag_interval: Duration,
}

impl Default for ConsumerConfig {
    fn default() -> Self {
        Self {
            group: "kith.trait-worker".to_owned(),
            group_instance_id: None,
            assignor: Assignor::default(),
            session_timeout: Duration::from_secs(45),
            max_poll_interval: Duration::from_secs(300),
            commit_interval: Duration::from_millis(500),
            prefetch_records: 1000,
            prefetch_bytes: 32 * 1024 * 1024,
            batch_records: 500,
            batch_bytes: 1024 * 1024,
            lag_interval: Duration::from_secs(5),
        }
    }
}

impl ConsumerConfig {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        present(setting::GROUP, &self.group)?;
        if let Some(id) = &self.group_instance_id {
            present(setting::GROUP_INSTANCE_ID, id)?;
        }
        if self.session_timeout < Duration::from_secs(1) {
            return Err(invalid(
                setting::SESSION_TIMEOUT,
                &format!("{:?}", self.session_timeout),
                "it must be a second at least",
            ));
        }
        if self.max_poll_interval < self.session_timeout {
            return Err(invalid(
                setting::MAX_POLL_INTERVAL,
                &format!("{:?}", self.max_poll_interval),
                "it must not be shorter than the session time-out",
            ));
        }
        range(
            setting::PREFETCH_RECORDS,
            self.prefetch_records,
            1,
            1_000_000,
        )?;
        range(
            setting::PREFETCH_BYTES,
            self.prefetch_bytes,
            1024 * 1024,
            usize::MAX,
        )
    }
}
