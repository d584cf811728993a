//! Nothing acknowledged is lost while processes are killed without warning: 10,000 creates of 2,000 overlapping people from
//! 32 connections, a random process killed every 3 seconds.

#![expect(
    clippy::disallowed_methods,
    reason = "callers of a test need no lifecycle"
)]
#![expect(
    clippy::print_stdout,
    reason = "the figures of a run are part of its result"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use kith_tests::crowd::{Crowd, agree, quiet};
use kith_tests::pair::{Pair, Shape};
use rand::RngExt;

const CREATES: u64 = 10_000;
const PEOPLE: usize = 2_000;
const CONNECTIONS: usize = 32;
const BETWEEN_KILLS: Duration = Duration::from_secs(3);

async fn survive(mut pair: Pair) -> Result<()> {
    let load = Arc::new(Crowd::new(PEOPLE, CREATES));
    let started = Instant::now();
    let callers: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let (load, apis) = (Arc::clone(&load), pair.apis.clone());
            tokio::task::spawn(async move { load.caller(&apis).await })
        })
        .collect();
    let mut kills = 0;
    while !callers.iter().all(tokio::task::JoinHandle::is_finished) {
        let round = Instant::now();
        while round.elapsed() < BETWEEN_KILLS
            && !callers.iter().all(tokio::task::JoinHandle::is_finished)
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let count = pair.processes().count();
        let (victim, name) = (rand::rng().random_range(0..count), pair.name);
        if let Some(process) = pair.processes().nth(victim) {
            let began = Instant::now();
            process.crash_and_restart().await?;
            kills += 1;
            eprintln!(
                "{}: {:?}, {} creates begun, kill {kills}, ready again after {:?}",
                name,
                started.elapsed(),
                load.begun(),
                began.elapsed()
            );
        }
        ensure!(
            started.elapsed() < Duration::from_secs(400),
            "the load does not end"
        );
    }
    let mut history = Vec::new();
    for caller in callers {
        history.extend(caller.await?);
    }
    let acknowledged = history
        .iter()
        .filter(|event| event.acknowledged.is_some())
        .count();
    let failed = history.len() - acknowledged;
    ensure!(
        acknowledged as u64 == CREATES,
        "{acknowledged} acknowledged"
    );
    ensure!(kills >= 2, "only {kills} kills: the load was over too soon");

    let consumers: &[_] = if pair.workers.is_empty() {
        &pair.ingests
    } else {
        &pair.workers
    };
    let observed = quiet(consumers, pair.api(), &history).await?;
    agree(&history, &observed)?;
    let merged = observed
        .roots
        .iter()
        .filter(|(id, root)| root.as_ref() != Some(id))
        .count();
    println!(
        "{}: {acknowledged} creates acknowledged, {failed} tries failed, {kills} kills, {} profiles, {merged} merged, in {:?}",
        pair.name,
        observed.listed.len(),
        started.elapsed()
    );
    pair.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_standalone_survives_kills() -> Result<()> {
    survive(Pair::standalone(&Shape::single()).await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn both_services_survive_kills() -> Result<()> {
    survive(
        Pair::servers(&Shape {
            ingests: 2,
            workers: 2,
            environment: Vec::new(),
        })
        .await?,
    )
    .await
}
