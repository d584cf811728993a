//! How records ended: each in exactly one way, and the ways add up to the records read.

use kith_runtime::metrics::names;
use metrics::counter;

/// How a record ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// What it says is done in the database.
    Applied,
    /// It is invalid, and durable among the dead letters.
    DeadLettered,
    /// This worker gave it up, unfinished or finished too late to count: its partition went to another worker, or the worker
    /// ended. It was not committed, so whoever reads the partition next reads it again.
    Abandoned,
}

impl Outcome {
    const fn label(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::DeadLettered => "dead_lettered",
            Self::Abandoned => "abandoned",
        }
    }
}

/// What a worker did in its life.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Records read.
    pub read: u64,
    /// Records whose traits are in the database.
    pub applied: u64,
    /// Invalid records that are durable among the dead letters.
    pub dead_lettered: u64,
    /// Records given up without being committed; whoever reads their partitions next reads them again.
    pub abandoned: u64,
}

impl Summary {
    pub(crate) fn read_one(&mut self) {
        self.read += 1;
    }

    pub(crate) fn ended(&mut self, outcome: Outcome, records: usize) {
        let count = u64::try_from(records).unwrap_or(u64::MAX);
        *match outcome {
            Outcome::Applied => &mut self.applied,
            Outcome::DeadLettered => &mut self.dead_lettered,
            Outcome::Abandoned => &mut self.abandoned,
        } += count;
        if count > 0 {
            counter!(names::LOG_RECORDS, "outcome" => outcome.label()).increment(count);
        }
    }
}
