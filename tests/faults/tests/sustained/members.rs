//! Workers that are killed, frozen and replaced, one after another, while events keep coming.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kith_faults::progress::longest_standstill;
use kith_tests::process::Process;
use rand::RngExt;

use crate::feed::{Backlog, Feed};
use crate::offsets::Offsets;
use crate::servers::Servers;
use crate::site::{Site, Topic, end};
use crate::size::{either, is_full, lasts};

/// No partition with something to be done stands still for longer, the time not counted in which a worker is kept frozen.
const STANDSTILL_MAX: Duration = Duration::from_secs(20);
/// How long a worker is frozen: past the session time-out of 6 s, so its partitions are somebody else's by then.
const FROZEN: (u64, u64) = (10_000, 7_500);
/// Events that bring the group together before the first fault.
const FIRST_RECORDS: u64 = 1_000;

/// What is done to a worker.
#[derive(Debug, Clone, Copy)]
enum Harm {
    /// SIGKILL, and another.
    Kill,
    /// SIGSTOP for a while.
    Freeze,
    /// SIGTERM, and another.
    Replace,
}

/// What was done.
#[derive(Debug, Default)]
struct Done {
    faults: u32,
    /// When somebody was frozen.
    frozen: Vec<Range<Duration>>,
}

pub(crate) async fn run(servers: &Servers) -> Result<()> {
    let (count, partitions) = either((12, 24), (4, 8));
    let a_second = either(1_000, 100);
    let site = servers.site().await?;
    let topic = site.topic(partitions).await?;
    let mut workers = Vec::new();
    for _ in 0..count {
        workers.push(site.worker(&topic)?);
    }
    for worker in &mut workers {
        worker.ready().await?;
    }
    let mut feed = Feed::new(site, site.people(0));
    let first = Backlog {
        records: FIRST_RECORDS,
        one_bad_in: None,
    };
    feed.backlog(&topic, first).await?;
    let offsets = Offsets::new(&topic)?;
    offsets.until_no_lag(Duration::from_secs(60)).await?;

    let (is_over, is_quiet) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicBool::new(false)),
    );
    let watching = {
        let (offsets, is_quiet) = (offsets.clone(), Arc::clone(&is_quiet));
        tokio::task::spawn(async move {
            let every = Duration::from_millis(250);
            offsets.watch(every, &is_quiet, |_| false).await
        })
    };
    let began = offsets.elapsed();
    let harming = async {
        let done = harm(site, &topic, &mut workers, &offsets).await;
        is_over.store(true, Ordering::Relaxed);
        (done, offsets.elapsed())
    };
    let (published, (done, ended)) =
        tokio::join!(feed.steadily(&topic, a_second, &is_over), harming);
    let (published, done) = (published?, done?);
    offsets.until_no_lag(Duration::from_secs(90)).await?;
    let (caught_up, lasted) = (offsets.elapsed() - ended, ended - began);
    // One more sample that says so.
    tokio::time::sleep(Duration::from_millis(500)).await;
    is_quiet.store(true, Ordering::Relaxed);
    let samples = watching.await??;
    let still = longest_standstill(&samples, &done.frozen).context("a partition")?;
    let with_frozen = longest_standstill(&samples, &[]).context("a partition")?;
    let cells = feed.check().await?;
    println!(
        "workers that come and go: {count} workers, {partitions} partitions, {published} events in {lasted:.1?}, {} faults; longest \
         standstill {:.1?} (with the time of a freeze {:.1?}), lag 0 again {caught_up:.1?} after the last event, {cells} cells right",
        done.faults, still.lasted, with_frozen.lasted
    );
    if is_full() {
        let nominal = lasted.as_secs_f64() * f64::from(a_second);
        ensure!(
            published as f64 > 0.95 * nominal,
            "{published} events, and not {nominal:.0}"
        );
        ensure!(still.lasted <= STANDSTILL_MAX, "{still:?}");
    }
    end(workers).await
}

/// One fault after another, each of a worker drawn by chance.
async fn harm(
    site: &Site,
    topic: &Topic,
    workers: &mut [Process],
    offsets: &Offsets,
) -> Result<Done> {
    let every = either(Duration::from_secs(10), Duration::from_millis(1_500));
    let (began, lasts) = (tokio::time::Instant::now(), lasts(300, 11));
    let mut done = Done::default();
    for harm in [Harm::Kill, Harm::Freeze, Harm::Replace]
        .into_iter()
        .cycle()
    {
        tokio::time::sleep_until(began + every * (done.faults + 1)).await;
        // Each kind once, however slow the machine is.
        if began.elapsed() >= lasts && done.faults >= 3 {
            break;
        }
        let victim = rand::rng().random_range(0..workers.len());
        eprintln!("{:.1?}: {harm:?} of worker {victim}", began.elapsed());
        let worker = &mut workers[victim];
        match harm {
            Harm::Kill => {
                worker.kill()?;
                worker.check_log()?;
                *worker = site.worker(topic)?;
            }
            Harm::Freeze => {
                let from = offsets.elapsed();
                worker.signal("STOP")?;
                tokio::time::sleep(Duration::from_millis(either(FROZEN.0, FROZEN.1))).await;
                ensure!(worker.is_stopped()?, "the worker was not frozen");
                worker.signal("CONT")?;
                done.frozen.push(from..offsets.elapsed());
            }
            Harm::Replace => {
                let status = worker.terminate().await?;
                ensure!(status.success(), "{status}: {}", worker.log());
                *worker = site.worker(topic)?;
            }
        }
        done.faults += 1;
    }
    for worker in workers {
        worker.ready().await?;
    }
    Ok(done)
}
