//! How fast records are taken.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Shares of a second in which records are taken together when they are taken slowly.
const SHARES: u32 = 10;

/// At most so many records a second, or as fast as it goes.
#[derive(Debug)]
pub(crate) struct Pace {
    rate: Option<u32>,
    not_before: Instant,
}

impl Pace {
    /// So many a second; `None`: any number.
    pub(crate) fn new(rate: Option<u32>) -> Self {
        Self {
            rate,
            not_before: Instant::now(),
        }
    }

    /// The most to take together.
    pub(crate) fn batch(&self, records_max: usize) -> usize {
        let Some(rate) = self.rate else {
            return records_max;
        };
        let share = usize::try_from(rate / SHARES).unwrap_or(records_max);
        share.clamp(1, records_max)
    }

    /// Waits until it is time for more. Cancel safe.
    pub(crate) async fn wait(&self) {
        if self.rate.is_some() {
            sleep_until(self.not_before).await;
        }
    }

    /// So many were taken now.
    pub(crate) fn took(&mut self, records: usize) {
        self.took_at(Instant::now(), records);
    }

    fn took_at(&mut self, now: Instant, records: usize) {
        let Some(rate) = self.rate else {
            return;
        };
        let records = u32::try_from(records).unwrap_or(u32::MAX);
        let time = Duration::from_secs(1) * records / rate.max(1);
        // What was not used is not saved up.
        self.not_before = self.not_before.max(now) + time;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_the_rate_is_taken() {
        for rate in [1, 7, 50, 10_000] {
            let mut pace = Pace::new(Some(rate));
            let began = pace.not_before;
            let mut taken = 0;
            while pace.not_before < began + Duration::from_secs(20) {
                let batch = pace.batch(500);
                pace.took_at(pace.not_before, batch);
                taken += batch;
            }
            let wanted = usize::try_from(rate).unwrap() * 20;
            assert!((wanted..=wanted + 500).contains(&taken), "{rate}: {taken}");
        }
    }

    #[test]
    fn time_that_was_not_used_is_not_saved_up() {
        let mut pace = Pace::new(Some(10));
        let later = pace.not_before + Duration::from_secs(60);
        pace.took_at(later, 1);
        assert_eq!(pace.not_before, later + Duration::from_millis(100));
    }

    #[test]
    fn without_a_rate_nothing_waits() {
        let mut pace = Pace::new(None);
        let began = pace.not_before;
        assert_eq!(pace.batch(500), 500);
        pace.took(500);
        assert_eq!(pace.not_before, began);
    }
}
