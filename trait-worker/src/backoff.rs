//! How long to wait before the next try. Pure.

use std::time::Duration;

/// Doubling waits between two bounds, spread over their upper half.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The wait after the first failure, before it is spread.
    pub first: Duration,
    /// The longest wait.
    pub max: Duration,
}

impl Backoff {
    /// The wait before try number `attempt` + 1, from half of the doubled wait up to all of it.
    ///
    /// What spreads the waits is `seed`, not chance, so that a simulator needs no port for it: workers never hold the same
    /// partition, so a seed made of positions differs between them.
    pub(crate) fn delay(self, attempt: u32, seed: u64) -> Duration {
        let doubled = 2u32.saturating_pow(attempt.saturating_sub(1).min(31));
        let whole = self.first.saturating_mul(doubled).min(self.max);
        let half = whole / 2;
        let spread = mix(seed ^ (u64::from(attempt) << 48)) % 1_024;
        let part = (whole - half) / 1_024 * (spread as u32);
        half + part
    }
}

/// The finaliser of SplitMix64: neighbours end up far apart.
fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const BACKOFF: Backoff = Backoff {
        first: Duration::from_millis(100),
        max: Duration::from_secs(5),
    };

    proptest! {
        #[test]
        fn a_wait_is_the_upper_half_of_the_doubled_one(attempt in 1u32..100, seed: u64) {
            let whole = Duration::from_millis(100 << attempt.min(20).saturating_sub(1)).min(BACKOFF.max);
            let delay = BACKOFF.delay(attempt, seed);
            prop_assert!(delay >= whole / 2 && delay <= whole, "{delay:?} of {whole:?}");
        }
    }

    #[test]
    fn neighbours_wait_differently() {
        let delays: BTreeSet<_> = (0..100).map(|seed| BACKOFF.delay(8, seed)).collect();
        assert!(delays.len() > 80, "{}", delays.len());
    }
}
