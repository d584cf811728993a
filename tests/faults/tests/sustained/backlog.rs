//! A backlog that one worker works off: how much memory it takes, and whether it gets slower.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kith_faults::progress::{Sample, rates};

use crate::feed::{Backlog, Feed};
use crate::offsets::Offsets;
use crate::servers::Servers;
use crate::site::end;
use crate::size::{either, is_full, records};

const MIB: f64 = 1024.0 * 1024.0;
/// What a worker may have resident at any time.
const MEMORY_MIB_MAX: f64 = 200.0;
/// The last whole minute has at least this part of the first one's records.
const FLAT: f64 = 0.85;

pub(crate) async fn run(servers: &Servers) -> Result<()> {
    let site = servers.site().await?;
    let topic = site.topic(either(24, 8)).await?;
    let mut feed = Feed::new(site, site.people(1));
    let backlog = Backlog {
        records: records(1_000_000, 5_000),
        one_bad_in: None,
    };
    feed.backlog(&topic, backlog).await?;
    let offsets = Offsets::new(&topic)?;
    let mut worker = site.worker(&topic)?;
    worker.ready().await?;
    let never = AtomicBool::new(false);
    let samples = offsets
        .watch(Duration::from_millis(500), &never, |sample| {
            sample.lag() == 0
        })
        .await?;
    let memory = worker.peak_bytes()? as f64 / MIB;
    end(vec![worker]).await?;
    let cells = feed.check().await?;

    // From the first commit on: what came before is the start of a process.
    let begin = samples.partition_point(|sample| sample.done() == 0);
    let begin = begin.saturating_sub(1);
    let lasted = |samples: &[Sample]| -> Option<Duration> {
        Some(samples.last()?.at.saturating_sub(samples.first()?.at))
    };
    let lasted = lasted(&samples[begin..]).context("samples")?;
    let minutes = rates(&samples[begin..], either(60, 1) * Duration::from_secs(1));
    println!(
        "backlog: {} records in {lasted:.1?}; memory at most {memory:.0} MiB; records a second in each {}: {minutes:.0?}; {cells} \
         cells right",
        backlog.records,
        either("minute", "second")
    );
    ensure!(memory < MEMORY_MIB_MAX, "{memory:.0} MiB");
    if is_full() {
        let lasts = "a backlog that lasts a minute";
        let (first, last) = (
            minutes.first().context(lasts)?,
            minutes.last().context(lasts)?,
        );
        ensure!(
            *last >= FLAT * first,
            "{first:.0} records a second, {last:.0} at the end"
        );
    }
    Ok(())
}
