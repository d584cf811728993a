//! How far behind a worker is, in records and in seconds.
//!
//! In seconds: the age of the oldest record that is read and not done, and zero when the group has committed everything.
//! Where the log has more and nothing of it is read yet, nobody knows the age of what waits; then it is the time since
//! that was first seen.

use std::collections::BTreeMap;
use std::time::Duration;

use kith_domain::time::Micros;
use kith_profiles::ports::{Lag, Partition};
use kith_runtime::metrics::names;
use metrics::gauge;

use crate::ledger::Ledger;

/// The gauges of the partitions that are ours, and of those that were.
#[derive(Debug, Default)]
pub(crate) struct LagReport {
    shown: BTreeMap<Partition, Behind>,
}

#[derive(Debug, Default)]
struct Behind {
    label: String,
    /// Since when the log has more of this partition, with nothing of it read.
    unread_since: Option<Duration>,
}

impl LagReport {
    /// Sets the gauges. `now` is the wall clock, if it can be trusted; without it the seconds stay as they were.
    pub(crate) fn update(
        &mut self,
        ledger: &Ledger,
        lags: &[Lag],
        now: Option<Micros>,
        monotonic: Duration,
    ) {
        for partition in ledger.assigned() {
            let behind = self.shown.entry(partition).or_insert_with(|| Behind {
                label: partition.0.to_string(),
                unread_since: None,
            });
            let known = lags.iter().find(|lag| lag.partition == partition);
            let records = known.map_or(0, |lag| lag.records);
            behind.show(records, ledger.oldest(partition), now, monotonic);
        }
        // A gauge cannot be taken back; another worker shows the partition now, and sums must not count it twice.
        self.shown.retain(|partition, behind| {
            let ours = ledger.assigned().any(|one| one == *partition);
            if !ours {
                behind.set(0, Some(Duration::ZERO));
            }
            ours
        });
    }

    /// Everything to zero: the worker ends.
    pub(crate) fn clear(&mut self) {
        self.update(&Ledger::default(), &[], None, Duration::ZERO);
    }
}

impl Behind {
    fn show(
        &mut self,
        records: u64,
        oldest: Option<Micros>,
        now: Option<Micros>,
        monotonic: Duration,
    ) {
        let unread = records > 0 && oldest.is_none();
        let since = unread.then(|| *self.unread_since.get_or_insert(monotonic));
        self.unread_since = since;
        let seconds = match (oldest, since) {
            (Some(oldest), _) => now.map(|now| now.since(oldest)),
            (None, Some(since)) => Some(monotonic.saturating_sub(since)),
            (None, None) => Some(Duration::ZERO),
        };
        self.set(records, seconds);
    }

    fn set(&self, records: u64, seconds: Option<Duration>) {
        #[expect(clippy::cast_precision_loss, reason = "a count, for a graph")]
        gauge!(names::LOG_LAG_RECORDS, "partition" => self.label.clone()).set(records as f64);
        if let Some(seconds) = seconds {
            gauge!(names::LOG_LAG_SECONDS, "partition" => self.label.clone())
                .set(seconds.as_secs_f64());
        }
    }
}
