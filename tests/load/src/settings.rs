//! What a run is told.

use std::path::PathBuf;

use clap::Parser;

/// Measures Kith, and writes what it found.
#[derive(Debug, Clone, Parser)]
#[command(name = "kith-load")]
pub struct Settings {
    /// Cases to run, separated by commas. All of them, if none is named.
    #[arg(long, value_delimiter = ',')]
    pub cases: Vec<String>,

    /// Profiles in the stores whose growth is measured; half of them are merged or deleted.
    #[arg(long, default_value_t = 1_000_000)]
    pub profiles: u64,

    /// How often a page of a listing is asked for.
    #[arg(long, default_value_t = 200)]
    pub pages: usize,

    /// Requests of 1,000 items in each measurement of Bulk.
    #[arg(long, default_value_t = 20)]
    pub bulk_requests: usize,

    /// How long callers of a loop send, in milliseconds.
    #[arg(long, default_value_t = 5_000)]
    pub loop_ms: u64,

    /// Requests under way at once, where both services are measured.
    #[arg(long, default_value_t = 64)]
    pub in_flight: usize,

    /// Records that a worker finds when it starts.
    #[arg(long, default_value_t = 100_000)]
    pub backlog: u64,

    /// Changes a second whose way to a reader is timed.
    #[arg(long, default_value_t = 20)]
    pub changes: u32,

    /// Measurements of which the median counts.
    #[arg(long, default_value_t = 5)]
    pub repetitions: usize,

    /// The folder that `summary.json` and `README.md` are written to.
    #[arg(long, default_value = "docs/benchmarks")]
    pub out: PathBuf,

    /// The folder for data. It must be on a disk: in memory, a sync costs nothing.
    #[arg(long, default_value = "target/bench")]
    pub data: PathBuf,

    /// Say by the exit code whether a chosen case needs the servers, and do nothing.
    #[arg(long)]
    pub servers_needed: bool,
}
