//! An upgrade without downtime: three of each service are replaced one after another under load, behind a balancer; two as a
//! Deployment of Kubernetes does it, the next process ready before the old one is told to end, and one in place, the old one first.

#![expect(
    clippy::disallowed_methods,
    reason = "callers of a test need no lifecycle"
)]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use kith_tests::api::Api;
use kith_tests::balancer::Balancer;
use kith_tests::crowd::{Crowd, agree, quiet};
use kith_tests::history::Event;
use kith_tests::kept::{Kept, Tally};
use kith_tests::message::{create, fetch};
use kith_tests::poll::until;
use kith_tests::privacy;
use kith_tests::process::{Process, metric};
use kith_tests::servers::Place;
use rand::RngExt;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Processes of each service.
const EACH: usize = 3;
const PEOPLE: usize = 250;
/// Callers who hardly wait, and hang up now and then; and callers whose connections are silent when a process ends.
const BUSY: (usize, Range<u64>, u64) = (12, 10..40, 10);
const SILENT: (usize, Range<u64>, u64) = (6, 2_500..5_000, u64::MAX);
/// Creates that are acknowledged in the course of each replacement, at least.
const LOAD: u64 = 20;
const PATIENCE: Duration = Duration::from_secs(30);

/// Who comes first.
#[derive(Debug, Clone, Copy)]
enum Order {
    Next,
    Old,
}

/// How each of a service is replaced.
const ORDERS: [Order; EACH] = [Order::Next, Order::Old, Order::Next];

struct Fleet {
    place: Place,
    balancer: Balancer,
    logs: TempDir,
}

impl Fleet {
    async fn start() -> Result<Self> {
        let place = Place::new()?;
        place.migrate().await?;
        Ok(Self {
            place,
            balancer: Balancer::start().await?,
            logs: tempfile::tempdir()?,
        })
    }

    /// A process that answers HTTP, behind the balancer.
    async fn ingest(&self) -> Result<Process> {
        let launch = self.place.service("ingest-api", self.logs.path())?;
        let mut process = Process::start(launch, self.logs.path())?;
        self.balancer.add(process.listen()?, process.admin());
        process.ready().await?;
        Ok(process)
    }

    async fn worker(&self) -> Result<Process> {
        let launch = self.place.launch("trait-worker")?;
        Process::started(launch, self.logs.path()).await
    }

    /// Ends a process that answers HTTP, with no more ado than SIGTERM.
    async fn end_ingest(&self, old: &mut Process) -> Result<()> {
        end(old, "kith_http_requests_total").await?;
        self.balancer.remove(old.listen()?);
        Ok(())
    }
}

/// Ends a worker, which put nothing aside.
async fn end_worker(old: &mut Process) -> Result<()> {
    let page = end(old, "kith_log_records_total").await?;
    let letters = metric(&page, "kith_dead_letters_total");
    ensure!(letters == 0.0, "{letters} dead letters");
    Ok(())
}

/// SIGTERM to a process that has something of the load by now, as this metric says; its last metrics.
async fn end(process: &mut Process, of_load: &str) -> Result<String> {
    process.until_metric(of_load, |count| count > 0.0).await?;
    let page = process.metrics().await?;
    let status = process.terminate().await?;
    ensure!(status.success(), "{status}: {}", process.log());
    Ok(page)
}

/// Replaces all six, one after another.
async fn roll(
    fleet: &Fleet,
    ingests: &mut [Process],
    workers: &mut [Process],
    load: &Crowd,
) -> Result<()> {
    for (old, order) in ingests.iter_mut().zip(ORDERS) {
        let (began, before) = (Instant::now(), load.acknowledged());
        let next = match order {
            Order::Next => {
                let next = fleet.ingest().await?;
                fleet.balancer.ready(EACH + 1).await?;
                fleet.end_ingest(old).await?;
                next
            }
            Order::Old => {
                fleet.end_ingest(old).await?;
                fleet.ingest().await?
            }
        };
        *old = next;
        fleet.balancer.ready(EACH).await?;
        went_on(load, before).await?;
        eprintln!("ingest-api, {order:?} first: {:.1?}", began.elapsed());
    }
    for (old, order) in workers.iter_mut().zip(ORDERS) {
        let (began, before) = (Instant::now(), load.acknowledged());
        let next = match order {
            Order::Next => {
                let next = fleet.worker().await?;
                end_worker(old).await?;
                next
            }
            Order::Old => {
                end_worker(old).await?;
                fleet.worker().await?
            }
        };
        *old = next;
        went_on(load, before).await?;
        eprintln!("trait-worker, {order:?} first: {:.1?}", began.elapsed());
    }
    Ok(())
}

/// Checks that the load ran through a replacement: from its beginning to its end, and on.
async fn went_on(load: &Crowd, before: u64) -> Result<()> {
    let meanwhile = load.acknowledged() - before;
    ensure!(meanwhile >= LOAD, "{meanwhile} creates acknowledged");
    let now = load.acknowledged();
    until(PATIENCE, "the load goes on", || async {
        Ok((load.acknowledged() > now).then_some(()))
    })
    .await
}

/// What a caller was told: of its creates, of requests and connections, and answers that are none of those wanted.
type Told = (Vec<Event>, Tally, Vec<u16>);

/// Creates one after another, and reads what each was told of, with so many milliseconds between, and a new connection after
/// so many.
async fn caller(load: &Crowd, to: SocketAddr, pause: Range<u64>, hangs_up_after: u64) -> Told {
    let mut caller = Kept::new(to);
    let (mut events, mut others) = (Vec::new(), Vec::new());
    let mut tries = 0;
    while let Some(asked) = load.begin() {
        let traits = json!({ "Contact": asked.contact });
        privacy::sent(&traits);
        let request = create(&traits);
        let profile = loop {
            let sent = load.tick();
            let answer = caller.send(&request).await;
            let profile = answer.as_ref().and_then(|answer| {
                let body: Value = serde_json::from_slice(&answer.body).ok()?;
                let id = body["id"].as_str().filter(|_| answer.status == 202);
                id.map(str::to_owned)
            });
            let status = answer.map(|answer| answer.status);
            others.extend(status.filter(|_| profile.is_none()));
            events.push(load.told(&asked, sent, profile.clone()));
            if profile.is_some() || load.is_over() {
                break profile;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        if let Some(profile) = profile {
            let answer = caller.send(&fetch(&profile)).await;
            let status = answer.map(|answer| answer.status);
            others.extend(status.filter(|status| ![200, 301].contains(status)));
        }
        tries += 1;
        if tries % hangs_up_after == 0 {
            caller.hang_up();
        }
        let pause = rand::rng().random_range(pause.clone());
        rest(load, Duration::from_millis(pause)).await;
    }
    (events, caller.tally, others)
}

/// Waits for so long, or until the load is over.
async fn rest(load: &Crowd, pause: Duration) {
    let began = Instant::now();
    while !load.is_over() && began.elapsed() < pause {
        let left = pause.saturating_sub(began.elapsed());
        tokio::time::sleep(left.min(Duration::from_millis(50))).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_processes_are_replaced_under_load_and_no_request_and_no_trait_is_lost() -> Result<()> {
    let began = Instant::now();
    let fleet = Fleet::start().await?;
    let (mut ingests, mut workers) = tokio::try_join!(
        try_join_all((0..EACH).map(|_| fleet.ingest())),
        try_join_all((0..EACH).map(|_| fleet.worker())),
    )?;
    fleet.balancer.ready(EACH).await?;
    let ids = |ingests: &[Process], workers: &[Process]| -> BTreeSet<u32> {
        ingests.iter().chain(workers).map(Process::id).collect()
    };
    let before = ids(&ingests, &workers);

    let load = Arc::new(Crowd::new(PEOPLE, u64::MAX));
    let to = fleet.balancer.address();
    let callers: Vec<_> = [BUSY, SILENT]
        .into_iter()
        .flat_map(|(count, pause, after)| vec![(pause, after); count])
        .map(|(pause, after)| {
            let load = Arc::clone(&load);
            tokio::task::spawn(async move { caller(&load, to, pause, after).await })
        })
        .collect();
    let rolled = Instant::now();
    roll(&fleet, &mut ingests, &mut workers, &load).await?;
    let (rolled, now) = (rolled.elapsed(), ids(&ingests, &workers));
    ensure!(
        before.len() == 2 * EACH && now.len() == 2 * EACH && before.is_disjoint(&now),
        "{before:?}, and then {now:?}"
    );
    load.end();
    let (mut history, mut tally, mut others) = (Vec::new(), Tally::default(), Vec::new());
    for caller in callers {
        let (events, told, answers) = caller.await?;
        history.extend(events);
        tally += told;
        others.extend(answers);
    }

    let balancer = &fleet.balancer;
    ensure!(tally.unanswered.is_empty(), "{tally:?}");
    ensure!(others.is_empty(), "other answers: {others:?}");
    ensure!(balancer.turned_away() == 0, "nobody was ready");
    // What ends was told to those who were connected, in an answer or in a silence.
    ensure!(tally.last > 0 && tally.ended > 0, "{tally:?}");

    let api = Api::new(&format!("http://{to}"))?;
    let observed = quiet(&workers, &api, &history).await?;
    agree(&history, &observed)?;
    println!(
        "{} processes replaced in {rolled:.1?} (of {:.1?}): {} requests answered, 0 sent whole and not answered, {} creates acknowledged, 0 findings in {} profiles; {} answers were the last of their connection, {} connections ended in a silence, {} refused, {} broken; {} carried, {} passed over by the balancer",
        2 * EACH,
        began.elapsed(),
        tally.answered,
        load.acknowledged(),
        observed.listed.len(),
        tally.last,
        tally.ended,
        tally.refused,
        tally.broken,
        balancer.carried(),
        balancer.passed_over(),
    );
    let ended = tokio::try_join!(
        try_join_all(ingests.iter_mut().map(|one| fleet.end_ingest(one))),
        try_join_all(workers.iter_mut().map(end_worker)),
    );
    ended.context("the end").map(drop)
}
