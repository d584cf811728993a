//! Repetitions of one closed loop at the standalone, each from one moment at which the process is idle to the next.

use std::future::Future;

use anyhow::Result;

use crate::figure::Figure;
use crate::process::{Standalone, idle, processor_seconds};
use crate::spread::{Times, median};

/// What a loop gave.
#[derive(Debug)]
pub(super) struct Looped<T> {
    /// Answers a second.
    pub(super) rate: f64,
    /// The time of each answer.
    pub(super) times: Times,
    /// What else is wanted of it.
    pub(super) more: T,
}

/// What the repetitions of one loop gave.
#[derive(Debug, Default)]
pub(super) struct Series {
    rates: Vec<f64>,
    processor_ms: Vec<f64>,
    p50_ms: Vec<f64>,
    p99_ms: Vec<f64>,
}

impl Series {
    /// Runs the loop once more. Processor time counts until the process is idle again.
    ///
    /// # Errors
    /// Those of the loop.
    pub(super) async fn measure<T>(
        &mut self,
        kith: &Standalone,
        looped: impl Future<Output = Result<Looped<T>>>,
    ) -> Result<T> {
        idle(&kith.process).await?;
        let before = processor_seconds(&kith.process)?;
        let Looped { rate, times, more } = looped.await?;
        idle(&kith.process).await?;
        let used = processor_seconds(&kith.process)? - before;
        self.rates.push(rate);
        self.processor_ms.push(1e3 * used / times.len() as f64);
        self.p50_ms.push(times.quantile_ms(0.5));
        self.p99_ms.push(times.quantile_ms(0.99));
        Ok(more)
    }

    /// The medians, as figures of a case.
    pub(super) fn figures(&self, case: &str, what: &str) -> [Figure; 4] {
        [
            ("rate", &self.rates, "requests/s"),
            ("p50", &self.p50_ms, "ms"),
            ("p99", &self.p99_ms, "ms"),
            ("processor", &self.processor_ms, "ms/request"),
        ]
        .map(|(name, values, unit)| {
            Figure::shown(&format!("{case}.{what}_{name}"), median(values), unit).of(values)
        })
    }
}
