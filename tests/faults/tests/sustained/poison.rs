//! Records that are no events among those that are: what they cost the others, and where they end up.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;

use crate::feed::{Backlog, Feed};
use crate::offsets::{Offsets, payloads};
use crate::servers::Servers;
use crate::site::{Site, end};
use crate::size::{either, is_full, records};

/// One record of so many is no event.
const ONE_IN: u64 = 100;
/// Throughput with poison is at least this part of that without.
const PART_MIN: f64 = 0.9;

pub(crate) async fn run(servers: &Servers) -> Result<()> {
    let site = servers.site().await?;
    let mut feed = Feed::new(site, site.people(2));
    let (mut clean, mut poisoned) = (Vec::new(), Vec::new());
    // In an order that a drift of the machine, up or down, does not decide.
    for has_poison in either(
        vec![false, true, true, false, false, true],
        vec![false, true],
    ) {
        let rate = work_off(site, &mut feed, has_poison.then_some(ONE_IN)).await?;
        match has_poison {
            true => poisoned.push(rate),
            false => clean.push(rate),
        }
    }
    let cells = feed.check().await?;
    let mean = |rates: &[f64]| rates.iter().sum::<f64>() / rates.len() as f64;
    let part = mean(&poisoned) / mean(&clean);
    println!(
        "poison in one record of {ONE_IN}: records a second {poisoned:.0?}, without {clean:.0?}: {:.0} %; {cells} cells right",
        100.0 * part
    );
    if is_full() {
        ensure!(part >= PART_MIN, "{:.0} % of the clean runs", 100.0 * part);
    }
    Ok(())
}

/// One worker, one backlog in a topic of its own: records a second, of the nine tenths that follow the first.
async fn work_off(site: &Site, feed: &mut Feed<'_>, one_bad_in: Option<u64>) -> Result<f64> {
    let topic = site.topic(either(24, 8)).await?;
    let backlog = Backlog {
        records: records(1_000_000, 15_000) / 5,
        one_bad_in,
    };
    let bad = feed.backlog(&topic, backlog).await?;
    let offsets = Offsets::new(&topic)?;
    let mut worker = site.worker(&topic)?;
    worker.ready().await?;
    let never = AtomicBool::new(false);
    let samples = offsets
        .watch(Duration::from_millis(100), &never, |sample| {
            sample.lag() == 0
        })
        .await?;
    end(vec![worker]).await?;

    let place = &topic.place;
    let buried = payloads(&place.bootstrap, format!("{}.dead", place.topic)).await?;
    ensure!(
        buried.len() == bad.len(),
        "{} dead letters of {} bad records",
        buried.len(),
        bad.len()
    );
    ensure!(
        buried.into_iter().collect::<BTreeSet<Bytes>>() == bad,
        "other records are among the dead letters"
    );
    ensure!(
        bad.is_empty() == one_bad_in.is_none(),
        "{} bad records",
        bad.len()
    );
    let from = samples
        .iter()
        .find(|sample| sample.done() >= backlog.records / 10)
        .context("a sample")?;
    let last = samples.last().context("a sample")?;
    let lasted = last
        .at
        .saturating_sub(from.at)
        .max(Duration::from_millis(1));
    Ok((last.done() - from.done()) as f64 / lasted.as_secs_f64())
}
