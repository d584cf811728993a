//! The standalone under load for half an hour, killed every 20 s.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kith_tests::crowd::{Crowd, agree, quiet};

use crate::size::{either, is_full, lasts};
use crate::standalone::{Callers, Standalone, command};

/// From the start of the process to its first yes on `/readyz`: the database is open before that.
const OPENS_IN: Duration = Duration::from_secs(2);

pub(crate) async fn run() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let data = dir.path().join("data");
    let mut kith = Standalone::start(&data, dir.path()).await?;
    let crowd = Arc::new(Crowd::new(either(2_000, 100), u64::MAX));
    let callers = Callers::start(either(16, 4), &crowd, &kith.api);
    let every = either(Duration::from_secs(20), Duration::from_millis(1_500));
    let (began, lasts) = (Instant::now(), lasts(1_800, 6));
    let mut opened = Vec::new();
    while began.elapsed() < lasts {
        tokio::time::sleep(every).await;
        let before = crowd.acknowledged();
        opened.push(kith.crash().await?);
        if is_full() {
            eprintln!(
                "{:.0?}: {before} creates acknowledged, ready again after {:.0?}",
                began.elapsed(),
                opened.last().copied().unwrap_or_default()
            );
        }
    }
    let lasted = began.elapsed();
    let history = callers.history(&crowd).await?;
    let acknowledged = crowd.acknowledged();
    let failed = history.len() as u64 - acknowledged;
    let observed = quiet(std::slice::from_ref(&kith.process), &kith.api, &history).await?;
    agree(&history, &observed)?;
    kith.stop().await?;
    let said = command(&data, &["verify"]).await?;
    ensure!(said.contains("is sound"), "{said}");

    opened.sort();
    let slowest = *opened.last().context("a kill")?;
    println!(
        "standalone, soak of {lasted:.0?}: {} kills, {acknowledged} creates acknowledged, {failed} tries failed, {} profiles, all there \
         and right; ready after a kill in {:.2?} (median), {slowest:.2?} at most",
        opened.len(),
        observed.listed.len(),
        opened[opened.len() / 2]
    );
    ensure!(opened.len() >= 3, "only {} kills", opened.len());
    if is_full() {
        ensure!(slowest < OPENS_IN, "{slowest:?} until ready");
    }
    Ok(())
}
