//! Metrics: one recorder a process, one catalogue of what is recorded, one text for whoever scrapes.
//!
//! Whoever measures uses the macros of the `metrics` crate with a name of [`names`]; [`CATALOGUE`] says what each means.
//! Labels have few values, none of them from a request: no ids, no paths, no texts of errors.

use std::sync::OnceLock;

use ::metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

mod catalogue;
pub mod names;
mod process;

#[cfg(test)]
mod tests;

pub use catalogue::{CATALOGUE, Kind, Label, Metric};

/// Upper bounds of the histograms in seconds: from a write on the own disk to what outlives every deadline.
pub const SECONDS: [f64; 16] = [
    0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
    10.0, 30.0,
];

/// Upper bounds of the histograms that count things.
pub const NUMBERS: [f64; 12] = [
    1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 4096.0,
];

/// The recorder of this process. Clones share it.
#[derive(Debug, Clone)]
pub struct Metrics {
    handle: PrometheusHandle,
}

impl Metrics {
    /// Installs the recorder, describes every metric, and shows those counters that can be shown before they count.
    /// Later calls give the same recorder. Before anything else is made: what is measured before is lost.
    ///
    /// # Panics
    /// Somebody else installed another recorder.
    pub fn install() -> Self {
        static INSTALLED: OnceLock<Metrics> = OnceLock::new();
        INSTALLED
            .get_or_init(|| {
                let seconds = Matcher::Suffix("_seconds".to_owned());
                // By the name and not by the catalogue: a histogram without buckets would be a summary, which cannot be
                // added up over processes.
                let recorder = PrometheusBuilder::new()
                    .set_buckets(&NUMBERS)
                    .and_then(|builder| builder.set_buckets_for_metric(seconds, &SECONDS))
                    .expect("there are buckets")
                    .build_recorder();
                let handle = recorder.handle();
                ::metrics::set_global_recorder(recorder).expect("no other recorder is installed");
                describe();
                Self { handle }
            })
            .clone()
    }

    /// All metrics, in Prometheus' text format 0.0.4.
    #[must_use]
    pub fn render(&self) -> String {
        process::observe();
        self.handle.render()
    }

    /// Folds the samples of histograms into buckets. Call it every few seconds: without, samples pile up between scrapes.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }
}

fn describe() {
    for metric in CATALOGUE {
        match metric.kind {
            Kind::Counter => describe_counter!(metric.name, metric.help),
            Kind::Gauge => describe_gauge!(metric.name, metric.help),
            Kind::Histogram => describe_histogram!(metric.name, metric.help),
        }
        // A counter that is there from the start has a rate when it first counts; one that appears with 1 has none.
        if metric.kind == Kind::Counter {
            match metric.labels {
                [] => counter!(metric.name).increment(0),
                [label] => {
                    for value in label.values {
                        counter!(metric.name, label.name => *value).increment(0);
                    }
                }
                _ => {}
            }
        }
    }
    gauge!(names::BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
}
