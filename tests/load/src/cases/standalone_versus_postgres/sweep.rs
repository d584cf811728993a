//! The baseline at its best: what can be tuned is tuned by measuring.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::side::{Side, Who};
use super::{SWEEP_CALLERS, Tuning};

/// One change of a tuning.
type Change = fn(&mut Tuning);

/// What is tried, one thing after another, each beside the best so far.
const TRIED: [&[Change]; 4] = [
    &[
        |tuning| tuning.pool = 8,
        |tuning| tuning.pool = 32,
        |tuning| tuning.pool = 64,
    ],
    &[|tuning| tuning.workers = 1, |tuning| tuning.workers = 4],
    &[
        |tuning| tuning.commit_delay_us = 50,
        |tuning| tuning.commit_delay_us = 200,
        |tuning| tuning.commit_delay_us = 1_000,
    ],
    &[|tuning| tuning.is_prepared = false],
];

/// A tuning, and what it does.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tried {
    pub(super) tuning: Tuning,
    /// New people and known ones a second.
    pub(super) rates: [f64; 2],
}

impl Tried {
    /// Both count alike, in proportion.
    fn worth(&self) -> f64 {
        self.rates.iter().product::<f64>().sqrt()
    }
}

/// Tries everything, and leaves the side tuned in the best way that was found. The best first, then all that were tried.
pub(super) async fn sweep(
    side: &mut Side,
    logs: &Path,
    limit: Duration,
) -> Result<(Tried, Vec<Tried>)> {
    side.warm(limit).await?;
    let mut best = measure(side, Tuning::FIRST, logs, limit).await?;
    let mut tried = vec![best];
    for changes in TRIED {
        let before = best.tuning;
        for change in changes {
            let mut tuning = before;
            change(&mut tuning);
            let one = measure(side, tuning, logs, limit).await?;
            if one.worth() > best.worth() {
                best = one;
            }
            tried.push(one);
        }
    }
    side.tune(best.tuning, logs).await?;
    Ok((best, tried))
}

async fn measure(side: &mut Side, tuning: Tuning, logs: &Path, limit: Duration) -> Result<Tried> {
    side.tune(tuning, logs).await?;
    // Its connections are opened, and its statements prepared, before the clock runs.
    side.looped(Who::New, SWEEP_CALLERS, limit / 10).await?;
    let mut rates = [0.0; 2];
    for (rate, who) in rates.iter_mut().zip(Who::ALL) {
        *rate = side.looped(who, SWEEP_CALLERS, limit).await?.rate();
    }
    Ok(Tried { tuning, rates })
}
