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

    /// How long each tuning of the PostgreSQL baseline is tried, in milliseconds, with new people and again with known ones.
    #[arg(long, default_value_t = 3_000)]
    pub sweep_ms: u64,

    /// Callers at both sides of the comparison with PostgreSQL, separated by commas.
    #[arg(long, value_delimiter = ',', default_values_t = [16, 64, 256])]
    pub callers: Vec<usize>,

    /// Callers of whom a process lets in only some at once.
    #[arg(long, default_value_t = 2_048)]
    pub overload_callers: usize,

    /// Requests of each kind whose allocations are counted.
    #[arg(long, default_value_t = 2_000)]
    pub allocation_requests: usize,

    /// Profiles of the largest store where something grows; on a CQL database a tenth of it.
    #[arg(long, default_value_t = 10_000_000)]
    pub growth_profiles: u64,

    /// Merges of the longest chain.
    #[arg(long, default_value_t = 1_000)]
    pub growth_merges: u64,

    /// People with each number of traits.
    #[arg(long, default_value_t = 200)]
    pub growth_people: u64,

    /// How long the caller sends each kind of request at each size, in milliseconds.
    #[arg(long, default_value_t = 2_000)]
    pub growth_ms: u64,

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

    /// The folder that figures, charts and their page are written to.
    #[arg(long, default_value = "docs/benchmarks")]
    pub out: PathBuf,

    /// The folder for data. It must be on a disk: in memory, a sync costs nothing.
    #[arg(long, default_value = "target/bench")]
    pub data: PathBuf,

    /// Make the page and the charts anew of the figures that are there, and measure nothing.
    #[arg(long)]
    pub page_only: bool,

    /// Say by the exit code whether a chosen case needs the servers, and do nothing.
    #[arg(long)]
    pub servers_needed: bool,

    /// Say by the exit code whether a chosen case needs PostgreSQL, and do nothing.
    #[arg(long)]
    pub postgres_needed: bool,
}
