//! How a consumer group gets on, from the offsets that it committed: who stood still, for how long, and how fast the rest was.

use std::ops::Range;
use std::time::Duration;

/// Where a group is in one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The next record that it has not done.
    pub committed: u64,
    /// The next record that will be published.
    pub end: u64,
}

impl Standing {
    /// Records that are published and not done.
    #[must_use]
    pub const fn lag(&self) -> u64 {
        self.end.saturating_sub(self.committed)
    }
}

/// Where a group is in every partition at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Since the begin of the run.
    pub at: Duration,
    /// By partition.
    pub standings: Vec<Standing>,
}

impl Sample {
    /// Records done, of all partitions.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.standings.iter().map(|one| one.committed).sum()
    }

    /// Records not done, of all partitions.
    #[must_use]
    pub fn lag(&self) -> u64 {
        self.standings.iter().map(Standing::lag).sum()
    }
}

/// A partition that had something to be done, and of which nothing was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standstill {
    /// Which.
    pub partition: usize,
    /// Since when.
    pub began: Duration,
    /// For how long, without what is not counted.
    pub lasted: Duration,
}

/// The longest standstill, the time in these ranges not counted; ranges do not overlap. One that never ended lasts until the
/// last sample.
#[must_use]
pub fn longest_standstill(
    samples: &[Sample],
    not_counted: &[Range<Duration>],
) -> Option<Standstill> {
    let partitions = samples.first()?.standings.len();
    let of_all = (0..partitions).flat_map(|partition| standstills(samples, partition));
    let counted = of_all.map(|still| {
        let end = still.began + still.lasted;
        let skipped = not_counted.iter().map(|range| {
            let (from, to) = (range.start.max(still.began), range.end.min(end));
            to.saturating_sub(from)
        });
        Standstill {
            lasted: still.lasted.saturating_sub(skipped.sum()),
            ..still
        }
    });
    counted.max_by_key(|still| still.lasted)
}

fn standstills(samples: &[Sample], partition: usize) -> Vec<Standstill> {
    let mut found = Vec::new();
    let mut since: Option<Duration> = None;
    for pair in samples.windows(2) {
        let (before, now) = (&pair[0].standings[partition], &pair[1].standings[partition]);
        if before.lag() > 0 {
            let began = *since.get_or_insert(pair[0].at);
            found.push(Standstill {
                partition,
                began,
                lasted: pair[1].at.saturating_sub(began),
            });
        }
        if now.committed > before.committed || now.lag() == 0 {
            since = None;
        }
    }
    found
}

/// Records a second in each whole window from the first sample on.
#[must_use]
pub fn rates(samples: &[Sample], window: Duration) -> Vec<f64> {
    let mut rates = Vec::new();
    let Some(mut from) = samples.first() else {
        return rates;
    };
    for sample in samples {
        let lasted = sample.at.saturating_sub(from.at);
        if lasted >= window {
            let done = sample.done().saturating_sub(from.done());
            rates.push(done as f64 / lasted.as_secs_f64());
            from = sample;
        }
    }
    rates
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// One sample a second: what was committed, and the end, of each partition.
    fn samples<const N: usize>(rows: &[[(u64, u64); N]]) -> Vec<Sample> {
        let standing = |(committed, end): &(u64, u64)| Standing {
            committed: *committed,
            end: *end,
        };
        let of = |(at, row): (usize, &[(u64, u64); N])| Sample {
            at: Duration::from_secs(at as u64),
            standings: row.iter().map(standing).collect(),
        };
        rows.iter().enumerate().map(of).collect()
    }

    #[test]
    fn a_partition_stands_still_from_its_last_progress_to_its_next() {
        let samples = samples(&[
            [(5, 9), (0, 1)],
            [(6, 9), (1, 2)],
            [(6, 9), (2, 3)],
            [(6, 9), (3, 4)],
            [(7, 9), (4, 5)],
        ]);
        let still = longest_standstill(&samples, &[]);
        let expected = Standstill {
            partition: 0,
            began: s(1),
            lasted: s(3),
        };
        assert_eq!(still, Some(expected));
    }

    #[test]
    fn one_that_never_goes_on_stands_still_to_the_end() {
        let samples = samples(&[[(0, 1)], [(0, 2)], [(0, 3)], [(0, 4)]]);
        let still = longest_standstill(&samples, &[]).unwrap();
        assert_eq!((still.began, still.lasted), (s(0), s(3)));
    }

    #[test]
    fn a_partition_with_nothing_to_do_does_not_stand_still() {
        let samples = samples(&[[(4, 4)], [(4, 4)], [(4, 4)]]);
        assert_eq!(longest_standstill(&samples, &[]), None);
    }

    #[test]
    fn what_is_not_counted_is_taken_off() {
        let samples = samples(&[[(0, 1)], [(0, 1)], [(0, 1)], [(0, 1)], [(0, 1)], [(1, 1)]]);
        let ranges = [s(0)..s(2), s(4)..s(9)];
        let still = longest_standstill(&samples, &ranges).unwrap();
        assert_eq!(still.lasted, s(2));
    }

    #[test]
    fn rates_are_of_whole_windows() {
        let samples = samples(&[[(0, 99)], [(10, 99)], [(20, 99)], [(60, 99)], [(61, 99)]]);
        assert_eq!(rates(&samples, s(1)), [10.0, 10.0, 40.0, 1.0]);
        assert_eq!(rates(&samples, s(3)), [20.0]);
    }
}
