//! How an embedded engine is set up.

use std::fmt;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kith_domain::time::Micros;

use crate::disk::FreeBytes;

/// A wall clock, for the times of records. Order never depends on it.
pub type Now = Arc<dyn Fn() -> Micros + Send + Sync>;

const MIB: u64 = 1024 * 1024;

/// Settings of [`Embedded::open`](crate::Embedded::open). All of them can change from one start to the next.
#[derive(Clone)]
pub struct Options {
    /// The data directory. Made if it is not there; its content belongs to the engine alone.
    pub dir: PathBuf,
    /// Partitions of the trait log. Default 4. Partitions can be added later and are never taken away.
    pub log_partitions: NonZeroU16,
    /// The topic's name, as dead letters give it. Default `kith.traits`.
    pub topic: String,
    /// How long the log keeps records that every consumer group has finished.
    pub retention: Retention,
    /// Memory for blocks read from disk, in bytes. Default 128 MiB.
    pub cache_bytes: u64,
    /// Writes that may wait for the leader, by number. Beyond it they are refused. Default 4096.
    pub queue_jobs_max: usize,
    /// The same by their size in bytes. Default 32 MiB.
    pub queue_bytes_max: usize,
    /// The largest record, in bytes of key, headers and payload. Default 8 MiB.
    pub record_bytes_max: usize,
    /// How many bytes of tables are checked before the engine opens, newest first; the rest is checked while it runs, and a
    /// damaged one then ends the process. Default 256 MiB, a few tenths of a second.
    pub check_bytes: u64,
    /// Below which room on the disk somebody is warned, and writes are refused.
    pub disk: DiskLimits,
    /// How the room on the disk is found out.
    pub free_bytes: FreeBytes,
    /// The wall clock.
    pub now: Now,
}

impl Options {
    /// The defaults for a directory.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>, now: Now) -> Self {
        Self {
            dir: dir.into(),
            log_partitions: const { NonZeroU16::new(4).unwrap() },
            topic: "kith.traits".into(),
            retention: Retention::default(),
            cache_bytes: 128 * MIB,
            queue_jobs_max: 4096,
            queue_bytes_max: 32 * 1024 * 1024,
            record_bytes_max: 8 * 1024 * 1024,
            check_bytes: 256 * MIB,
            disk: DiskLimits::default(),
            free_bytes: FreeBytes::of_the_system(),
            now,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            dir,
            log_partitions,
            topic,
            retention,
            cache_bytes,
            queue_jobs_max,
            queue_bytes_max,
            record_bytes_max,
            check_bytes,
            disk,
            free_bytes: _,
            now: _,
        } = self;
        f.debug_struct("Options")
            .field("dir", dir)
            .field("log_partitions", log_partitions)
            .field("topic", topic)
            .field("retention", retention)
            .field("cache_bytes", cache_bytes)
            .field("queue_jobs_max", queue_jobs_max)
            .field("queue_bytes_max", queue_bytes_max)
            .field("record_bytes_max", record_bytes_max)
            .field("check_bytes", check_bytes)
            .field("disk", disk)
            .finish_non_exhaustive()
    }
}

/// How long the log keeps records that every consumer group has finished. A record that some group has not committed is
/// kept whatever its age and whatever the size; so is every record while there is no group at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Older records are deleted. Default 7 days.
    pub age: Duration,
    /// So are the oldest while the log has more bytes than this. Default 1 GiB.
    pub bytes: u64,
    /// Dead letters that were buried longer ago are deleted. Default 30 days.
    pub letters: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            age: Duration::from_secs(7 * 24 * 60 * 60),
            bytes: 1024 * MIB,
            letters: Duration::from_secs(30 * 24 * 60 * 60),
        }
    }
}

/// Below how many free bytes on the disk something happens. 0 is never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskLimits {
    /// A log line warns. Default 1 GiB.
    pub warn_bytes: u64,
    /// Writes are refused as unavailable until there is more room again. What was taken still needs some: journals, and
    /// tables that are merged. Default 256 MiB.
    pub reserve_bytes: u64,
}

impl Default for DiskLimits {
    fn default() -> Self {
        Self {
            warn_bytes: 1024 * MIB,
            reserve_bytes: 256 * MIB,
        }
    }
}
