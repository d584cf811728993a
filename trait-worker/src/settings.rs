//! What can be set about a worker.

use std::time::Duration;

use crate::backoff::Backoff;
use crate::invalid::InvalidMax;

/// Settings of a worker. Plain values: where they come from is the process's business.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The topic's name, for spans, logs and dead letters. Default `kith.traits`.
    pub topic: String,
    /// The consumer group's name, for spans. Default `kith.trait-worker`.
    pub group: String,
    /// Which log it is, for spans: `kafka` or `kith`. Default `kith`.
    pub system: &'static str,
    /// Records read and not yet committed, over all partitions; past it, nothing more is read until half of them are done.
    /// Default 4,096.
    pub records_in_flight_max: usize,
    /// Bytes of records that are held; past it, likewise. Decoded, a record takes about three times its bytes. Default
    /// 16 MiB.
    pub record_bytes_in_flight_max: usize,
    /// Writes to the database at once; each is of one profile. Default 64.
    pub writes_max: usize,
    /// Dead letters on their way at once. Default 16.
    pub dead_letters_max: usize,
    /// When invalid records are too many; `None`: never. Default more than 100 of the last 1,000.
    pub invalid_max: Option<InvalidMax>,
    /// Waits between tries while the database, the dead letters or the log are out of reach. Default 100 ms to 5 s.
    pub retry: Backoff,
    /// How long partitions that are asked back may take to finish what is in flight. Default 10 s; keep it below the log's
    /// own limit for a rebalance.
    pub hand_back: Duration,
    /// How long everything in flight may take to finish when the worker is told to end. Default 15 s.
    pub drain: Duration,
    /// How long leaving the log may take after that. Default 5 s. Both together belong below the process's grace period.
    pub close: Duration,
    /// How often offsets are committed, deadlines looked at and lag reported. Default 200 ms.
    pub tick: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            topic: "kith.traits".to_owned(),
            group: "kith.trait-worker".to_owned(),
            system: "kith",
            records_in_flight_max: 4_096,
            record_bytes_in_flight_max: 16 << 20,
            writes_max: 64,
            dead_letters_max: 16,
            invalid_max: Some(InvalidMax {
                records: 100,
                window: 1_000,
            }),
            retry: Backoff {
                first: Duration::from_millis(100),
                max: Duration::from_secs(5),
            },
            hand_back: Duration::from_secs(10),
            drain: Duration::from_secs(15),
            close: Duration::from_secs(5),
            tick: Duration::from_millis(200),
        }
    }
}
