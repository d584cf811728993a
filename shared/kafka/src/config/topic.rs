//! The shape of the topics.

use std::time::Duration;

use super::check::{invalid, range};
use super::setting;
use crate::error::ConfigError;

/// What `migrate` makes of the topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicConfig {
    /// Partitions of the traits topic: the most workers that can share the work. May grow later. Default 24.
    pub partitions: u16,
    /// Replicas of each partition. Default 3; one broker alone can only do 1.
    pub replication_factor: u16,
    /// Replicas that must have a record before it is acknowledged. Default 2.
    pub min_insync_replicas: u16,
    /// How long records stay, read or not; it must be longer than any lag, since what is removed unread is lost. Default
    /// 14 days.
    pub retention: Duration,
    /// The largest record with its key and headers. Default 8 MiB, which is most of what the record of a body of 4 MiB can be: who
    /// knows the largest body asks for `kith_domain::event::record_bytes_max`.
    pub record_bytes_max: usize,
}

impl Default for TopicConfig {
    fn default() -> Self {
        Self {
            partitions: 24,
            replication_factor: 3,
            min_insync_replicas: 2,
            retention: Duration::from_secs(14 * 24 * 60 * 60),
            record_bytes_max: 8 * 1024 * 1024,
        }
    }
}

impl TopicConfig {
    /// What a dead letter has beside the record it keeps: our headers.
    pub(crate) const DEAD_LETTER_MARGIN_BYTES: usize = 64 * 1024;

    /// The largest record that the dead-letter topic takes: one that just fits the traits topic, and our headers.
    pub const fn dead_letter_bytes_max(&self) -> usize {
        self.record_bytes_max + Self::DEAD_LETTER_MARGIN_BYTES
    }

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        range(setting::PARTITIONS, usize::from(self.partitions), 1, 10_000)?;
        range(
            setting::REPLICATION_FACTOR,
            usize::from(self.replication_factor),
            1,
            100,
        )?;
        range(
            setting::MIN_INSYNC_REPLICAS,
            usize::from(self.min_insync_replicas),
            1,
            100,
        )?;
        if self.min_insync_replicas > self.replication_factor {
            return Err(invalid(
                setting::MIN_INSYNC_REPLICAS,
                &self.min_insync_replicas.to_string(),
                "with fewer replicas than that, nothing could ever be written",
            ));
        }
        if self.retention < Duration::from_secs(60 * 60) {
            return Err(invalid(
                setting::RETENTION,
                &format!("{:?}", self.retention),
                "it must be an hour at least: what is removed unread is lost",
            ));
        }
        range(
            setting::RECORD_BYTES_MAX,
            self.record_bytes_max,
            1024 * 1024,
            512 * 1024 * 1024,
        )
    }
}
