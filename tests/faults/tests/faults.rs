//! Histories over real servers that are killed, frozen and cut off; runs that must be rejected; two hundred callers who want
//! one new person. One cluster for all, so one after another.
//!
//! `make test` runs the short form. `make faults` sets `KITH_FAULTS=full`: ten minutes, every mutant, more people.

#![expect(
    clippy::disallowed_methods,
    reason = "callers of a test need no lifecycle"
)]
#![expect(
    clippy::print_stdout,
    reason = "the figures of a run are part of its result"
)]

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use kith_faults::cluster::{Cluster, Services};
use kith_faults::dump::{dump, session};
use kith_faults::harm::Range;
use kith_faults::history::Record;
use kith_faults::load::Drawn;
use kith_faults::row::{is_full, is_skipped, report};
use kith_faults::run::{Callers, Outcome, Plan, run, verdict};
use kith_tests::api::{Answer, Api};
use kith_tests::poll::until;
use kith_tests::process::metric;
use kith_tests::proxy::{Mode, Proxy};
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::json;
use tokio::sync::Barrier;

/// Who wants one new person at once.
const CLIENTS: usize = 200;
/// All but one in a hundred of them are answered within this.
const P99: Duration = Duration::from_secs(2);
/// An answer to an outage: the deadline of a request and a little.
const IN_TIME: Duration = Duration::from_secs(3);

fn main() -> Result<()> {
    let mut arguments = Arguments::from_args();
    // What one test does to the servers is the next one's trouble, if they overlap.
    arguments.test_threads = Some(1);
    let runtime = Arc::new(tokio::runtime::Runtime::new()?);
    if arguments.list {
        libtest_mimic::run(&arguments, trials(&runtime, None)).exit();
    }
    let cluster = Arc::new(runtime.block_on(Cluster::start())?);
    let conclusion = libtest_mimic::run(&arguments, trials(&runtime, Some(&cluster)));
    drop(runtime);
    drop(cluster);
    conclusion.exit()
}

fn number(variable: &str, default: u64) -> u64 {
    let text = std::env::var(variable).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn trials(runtime: &Arc<tokio::runtime::Runtime>, cluster: Option<&Arc<Cluster>>) -> Vec<Trial> {
    let trial = |name: &str, test: fn(Arc<Cluster>) -> Boxed| {
        let (runtime, cluster) = (Arc::clone(runtime), cluster.cloned());
        Trial::test(name, move || {
            let cluster = cluster.ok_or("no servers")?;
            let tested = runtime.block_on(async {
                let tested = test(Arc::clone(&cluster)).await;
                // What one left broken is not the next one's trouble.
                cluster.heal().await;
                tested
            });
            tested.map_err(|error| Failed::from(format!("{error:#}")))
        })
    };
    let mut trials = vec![
        trial(
            "row_01_two_hundred_clients_want_one_new_person",
            |cluster| Box::pin(async move { one_new_person(&cluster).await }),
        ),
        trial(
            "row_02_a_lost_answer_of_a_statement_is_503_and_the_retry_is_right",
            |cluster| Box::pin(async move { lost(&cluster, 2, rounds(8)).await }),
        ),
        trial(
            "row_03_a_lost_statement_is_503_and_the_retry_is_right",
            |cluster| Box::pin(async move { lost(&cluster, 3, rounds(4)).await }),
        ),
        trial("a_node_that_hangs_holds_nobody_up", |cluster| {
            Box::pin(async move { a_hanging_node(&cluster).await })
        }),
        trial("claims_without_conditions_are_rejected", |cluster| {
            Box::pin(async move { mutant(&cluster, "forced-claims", Range::Nothing, 5).await })
        }),
        trial("histories_agree_with_the_store_under_faults", |cluster| {
            Box::pin(async move { faults(&cluster).await })
        }),
    ];
    // Always on the list, so that a run says what it left out.
    trials.push(trial(
        "row_05_one_of_three_nodes_killed_or_frozen_costs_what_was_in_flight",
        |cluster| {
            Box::pin(async move {
                match is_skipped(5) {
                    true => Ok(()),
                    false => one_node_away(&cluster).await,
                }
            })
        },
    ));
    trials.push(trial(
        "row_06_two_of_three_nodes_stopped_is_503_until_they_are_back",
        |cluster| {
            Box::pin(async move {
                match is_skipped(6) {
                    true => Ok(()),
                    false => two_nodes_away(&cluster).await,
                }
            })
        },
    ));
    if is_full() {
        trials.push(trial(
            "an_unknown_outcome_taken_for_applied_is_rejected",
            |cluster| Box::pin(async move { mutant(&cluster, "resend", Range::Cuts, 5).await }),
        ));
        trials.push(trial("a_younger_survivor_is_rejected", |cluster| {
            Box::pin(async move { mutant(&cluster, "earliest-survives", Range::Nothing, 5).await })
        }));
        trials.push(trial("clocks_that_differ_are_no_finding", |cluster| {
            Box::pin(async move { clocks_that_differ(&cluster).await })
        }));
    }
    trials
}

/// A node takes requests and answers none, each of three in turn: whoever is known is found all the same. A lookup has three
/// statements in two rounds, so without a second node to go to two of three would find nobody in time.
async fn a_hanging_node(cluster: &Cluster) -> Result<()> {
    const LOOKUPS: usize = 8;
    let (place, _) = cluster.place().await?;
    let services = Services::start(&place, "ingest-api", |_| Vec::new()).await?;
    let api = &services.apis[0];
    let contact = json!({ "Contact": { "email": "known@example.com" } });
    let known = until(Duration::from_secs(40), "a first create", || async {
        let answer = api.create(contact.clone()).await?;
        (answer.status == 202)
            .then(|| answer.accepted_id())
            .transpose()
    })
    .await?;
    let found = || api.owners("email", "known@example.com");
    let (mut answered, mut slowest) = (0, Duration::ZERO);
    for node in &cluster.nodes {
        node.set(Mode::SwallowAnswers);
        for _ in 0..LOOKUPS {
            let began = Instant::now();
            if let Ok(owners) = found().await {
                ensure!(owners == [known.clone()], "{owners:?}, not {known}");
                answered += 1;
                slowest = slowest.max(began.elapsed());
            }
        }
        cluster.heal().await;
        until(Duration::from_secs(40), "a read", || async {
            Ok(Some(found().await?))
        })
        .await?;
    }
    let all = LOOKUPS * cluster.nodes.len();
    println!(
        "one of three nodes silent: {answered} of {all} lookups answered, slowest {slowest:?}"
    );
    ensure!(
        answered * 2 > all,
        "{answered} of {all} lookups were answered"
    );
    services.stop().await
}

/// So many in `make test`, a dozen in full.
fn rounds(short: u64) -> u64 {
    if is_full() { 12 } else { short }
}

type Boxed = std::pin::Pin<Box<dyn Future<Output = Result<()>>>>;

fn said(outcome: &Outcome) -> String {
    let some: Vec<_> = outcome.findings.iter().take(10).cloned().collect();
    format!("{} findings: {}", outcome.findings.len(), some.join("\n  "))
}

async fn faults(cluster: &Cluster) -> Result<()> {
    let seconds = number("KITH_FAULTS_SECONDS", if is_full() { 600 } else { 45 });
    let plan = Plan {
        seed: number("KITH_FAULTS_SEED", 20),
        lasts: Duration::from_secs(seconds),
        callers: number("KITH_FAULTS_CALLERS", if is_full() { 96 } else { 32 }),
        mix: Drawn {
            reads: if is_full() { 80 } else { 50 },
            new_of_ten: 1,
        },
        harm: Range::Everything,
    };
    let (place, store) = cluster.place().await?;
    let services = Services::start(&place, "ingest-api", |_| Vec::new()).await?;
    let began = Instant::now();
    let outcome = run(&plan, cluster, &services, &place, &store).await?;
    println!(
        "seed {}: {} acknowledged: {:?}; {} profiles, {} members merged into others; {}; {} findings; {:?} in all",
        plan.seed,
        outcome.mix.acknowledged(),
        outcome.mix,
        outcome.profiles.0,
        outcome.profiles.1,
        outcome.report,
        outcome.findings.len(),
        began.elapsed()
    );
    ensure!(outcome.findings.is_empty(), "{}", said(&outcome));
    // A run without faults, or without requests that meet, shows nothing.
    let (done, confirmed) = outcome.report.totals();
    ensure!(
        done as u64 >= seconds / 6 && confirmed * 10 >= done * 9,
        "{confirmed} of {done} faults are confirmed"
    );
    ensure!(
        outcome.mix.merging > 0 && outcome.mix.new > 0,
        "{:?}",
        outcome.mix
    );
    services.stop().await
}

/// A clock that is this far behind, on each of three processes.
fn behind(process: usize) -> (String, String) {
    let millis = [0, 3_000, 1_500][process];
    ("MUTANT_CLOCK_BEHIND_MS".into(), millis.to_string())
}

async fn mutant(cluster: &Cluster, name: &str, harm: Range, new_of_ten: u32) -> Result<()> {
    let (place, store) = cluster.place().await?;
    let told = |process| vec![("MUTANT".to_owned(), name.to_owned()), behind(process)];
    let services = Services::start(&place, "mutant-ingest-api", told).await?;
    let plan = Plan {
        seed: 7,
        lasts: Duration::from_secs(20),
        callers: 32,
        mix: Drawn {
            reads: 50,
            new_of_ten,
        },
        harm,
    };
    let outcome = run(&plan, cluster, &services, &place, &store).await?;
    println!(
        "{name}: {} acknowledged, {} findings, such as: {}",
        outcome.mix.acknowledged(),
        outcome.findings.len(),
        outcome.findings.first().map_or("", String::as_str)
    );
    ensure!(!outcome.findings.is_empty(), "{name} was not seen");
    services.stop().await
}

async fn clocks_that_differ(cluster: &Cluster) -> Result<()> {
    let (place, store) = cluster.place().await?;
    let told = |process| vec![("MUTANT".to_owned(), "none".to_owned()), behind(process)];
    let services = Services::start(&place, "mutant-ingest-api", told).await?;
    let plan = Plan {
        seed: 7,
        lasts: Duration::from_secs(20),
        callers: 32,
        mix: Drawn {
            reads: 50,
            new_of_ten: 1,
        },
        harm: Range::Cuts,
    };
    let outcome = run(&plan, cluster, &services, &place, &store).await?;
    ensure!(outcome.findings.is_empty(), "{}", said(&outcome));
    services.stop().await
}

/// Two hundred callers, a connection each, send one new person's first request at once, to three processes.
async fn one_new_person(cluster: &Cluster) -> Result<()> {
    let (place, _) = cluster.place().await?;
    let services = Services::start(&place, "ingest-api", |_| Vec::new()).await?;
    let bases: Vec<_> = services
        .apis
        .iter()
        .map(|api| api.base().to_owned())
        .collect();
    let mut callers = Vec::new();
    for caller in 0..CLIENTS {
        callers.push(Api::new(&bases[caller % bases.len()])?);
    }
    // Neither a node nor a process that has just started is as quick as it will be.
    let rounds = if is_full() { 60 } else { 20 };
    for warm in 0..rounds {
        let first = callers.iter().take(bases.len() * 4);
        let contact =
            |number| json!({ "Contact": { "email": format!("warm.{warm}.{number}@example.com") } });
        try_join_all(
            first
                .enumerate()
                .map(|(number, api)| api.create(contact(number % 4))),
        )
        .await?;
    }
    let people = if is_full() { 20 } else { 3 };
    let mut all = Vec::new();
    let mut refusals = 0;
    for person in 0..people {
        // The connections are there, the person is not.
        try_join_all(
            callers
                .iter()
                .map(|api| api.owners("email", "nobody@example.com")),
        )
        .await?;
        let barrier = Arc::new(Barrier::new(CLIENTS));
        let sent: Vec<_> = callers
            .iter()
            .enumerate()
            .map(|(caller, api)| {
                let (api, barrier) = (api.clone(), Arc::clone(&barrier));
                tokio::task::spawn(async move {
                    let contact = json!({ "Contact": {
                        "email": format!("wanted.{person}@example.com"),
                        "phone": format!("+1317555{person:04}"),
                        "firstName": format!("wanted-by-{caller}"),
                    }});
                    barrier.wait().await;
                    let began = Instant::now();
                    let answer = api.create(contact).await?;
                    anyhow::Ok((answer, began.elapsed()))
                })
            })
            .collect();
        let (mut took, mut refused) = (Vec::new(), 0);
        let mut ids = std::collections::BTreeSet::new();
        for answer in sent {
            let (answer, lasted) = answer.await??;
            if answer.status == 503 {
                refused += 1;
            } else {
                ids.insert(answer.accepted_id()?);
            }
            took.push(lasted);
        }
        took.sort_unstable();
        let (p50, p99, max) = (
            took[CLIENTS / 2],
            took[CLIENTS - 1 - CLIENTS / 100],
            took[CLIENTS - 1],
        );
        println!(
            "{CLIENTS} clients, new person {person}: p50 {p50:?}, p99 {p99:?}, max {max:?}, {refused} refused"
        );
        // A debug build, and whatever else a machine that runs every test does, prove nothing about time.
        ensure!(
            refused == 0 || !is_full(),
            "{refused} of {CLIENTS} were answered 503"
        );
        ensure!(ids.len() == 1, "one person has the ids {ids:?}");
        let owners = callers[0]
            .owners("email", &format!("wanted.{person}@example.com"))
            .await?;
        ensure!(ids.iter().eq(&owners), "{owners:?}, not {ids:?}");
        refusals += refused;
        all.extend(took);
    }
    all.sort_unstable();
    let p99 = all[all.len() - 1 - all.len() / 100];
    println!("{CLIENTS} clients, {people} new people: p99 {p99:?}");
    ensure!(p99 < P99 || !is_full(), "p99 {p99:?}");
    let sent = CLIENTS * people;
    let mut met = Vec::new();
    for process in &services.ingests {
        let page = process.lock().await.metrics().await?;
        met.push(metric(&page, "kith_http_requests_total"));
    }
    // Each process answered its third of them, and of the lookups before.
    let third = (2 * sent / bases.len()) as f64;
    ensure!(met.iter().all(|met| *met >= third), "{met:?} of {sent}");
    report(
        1,
        people as u64,
        &format!("the requests that each of {} processes counted", met.len()),
        &format!(
            "{CLIENTS} clients at once, {sent} creates of {people} people: {} acknowledged, {refusals} answered 503, one id each, 0 duplicates; p99 {p99:?}",
            sent - refusals
        ),
    )?;
    services.stop().await
}

/// How answers (row 2) or statements themselves (row 3) are lost in a round.
fn loss(row: u8, round: u64) -> Mode {
    match (row, round % 3) {
        (3, _) => Mode::SwallowRequests,
        // Less than the head of an answer: the connection is reset in the middle of it.
        (_, 2) => Mode::CutAnswersAfter(7),
        _ => Mode::SwallowAnswers,
    }
}

/// Answers, or statements themselves, are lost: 503 in time and no id, and the retry finds what landed.
async fn lost(cluster: &Cluster, row: u8, rounds: u64) -> Result<()> {
    let (place, store) = cluster.place().await?;
    let services = Services::start(&place, "ingest-api", |_| Vec::new()).await?;
    let direct = session(&place).await?;
    let all = |mode| cluster.nodes.iter().for_each(|node| node.set(mode));
    let swallowed = || -> u64 { cluster.nodes.iter().map(Proxy::swallowed).sum() };
    let cut = || -> u64 { cluster.nodes.iter().map(Proxy::cut).sum() };
    let (mut injected, mut kept_back, mut resets) = (0, 0, 0);
    let api = &services.apis[0];
    let (mut landed, mut slowest) = (0, Duration::ZERO);
    for round in 0..rounds {
        let email = format!("lost.{row}.{round}@example.com");
        let contact = json!({ "Contact": { "email": email } });
        until(Duration::from_secs(40), "a read", || async {
            Ok(Some(api.owners("email", &email).await?))
        })
        .await?;
        let (silence, so_far) = (loss(row, round), (swallowed(), cut()));
        // Late enough that the silence falls between two rounds of the request, another one each time.
        all(Mode::Delay(Duration::from_millis(40)));
        let sent = async {
            let began = Instant::now();
            anyhow::Ok((api.create(contact.clone()).await?, began.elapsed()))
        };
        let losing = async {
            tokio::time::sleep(Duration::from_millis(40 + 20 * round)).await;
            all(silence);
        };
        let (answer, ()) = tokio::join!(sent, losing);
        let (answer, took): (Answer, Duration) = answer?;
        let now = (swallowed() - so_far.0, cut() - so_far.1);
        injected += u64::from(now.0 + now.1 > 0);
        (kept_back, resets) = (kept_back + now.0, resets + now.1);
        slowest = slowest.max(took);
        cluster.heal().await;
        let rows = until(Duration::from_secs(40), "the rows", || async {
            Ok(Some(dump(&direct, &place.keyspace).await?))
        })
        .await?;
        let identifier = kith_domain::identifier::Identifier {
            id_type: kith_domain::identifier::IdType::new("email"),
            value: kith_domain::identifier::IdentifierValue::new(&email),
        };
        let owner = rows.owner(&store, &identifier);
        ensure!(
            answer.status == 503 && took < IN_TIME,
            "{} {} after {took:?}",
            answer.status,
            answer.body
        );
        let after: u64 = answer
            .header("retry-after")
            .parse()
            .context("Retry-After")?;
        ensure!((1..=60).contains(&after), "{after}");
        let retried = until(Duration::from_secs(40), "the retry", || async {
            let answer = api.create(contact.clone()).await?;
            (answer.status == 202)
                .then(|| answer.accepted_id())
                .transpose()
        })
        .await?;
        if let Some(owner) = owner {
            landed += 1;
            ensure!(
                retried == owner.to_string(),
                "the retry made another person"
            );
        }
        let owners = api.owners("email", &email).await?;
        ensure!(owners == [retried.clone()], "{owners:?}, not {retried}");
    }
    let is_answer = row == 2;
    ensure!(
        !is_answer || landed > 0 && resets > 0,
        "{landed} statements landed, {resets} connections were reset: the silence came too early"
    );
    ensure!(
        is_answer || landed < rounds,
        "every statement landed: the silence came too late"
    );
    ensure!(injected == rounds, "{injected} of {rounds} were injected");
    let listed = api.list().await?.len();
    ensure!(listed as u64 == rounds, "{listed} profiles of {rounds}");
    report(
        row,
        injected,
        &format!(
            "{kept_back} chunks that the proxies kept back, {resets} connections that they reset"
        ),
        &format!(
            "{rounds} creates answered 503, the slowest in {slowest:?}; {landed} had taken effect, and the retry found them; {rounds} acknowledged when sent again, {listed} profiles"
        ),
    )?;
    services.stop().await
}

/// How long a node is frozen or dead.
const AWAY: Duration = Duration::from_secs(10);
/// What drivers may need until they ask another node: what was in flight ends by its deadline, and the next try is elsewhere.
const NOTICED: Duration = Duration::from_secs(5);

/// What is done to a node by `deploy/local/node`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Away {
    Frozen,
    Killed,
}

impl Away {
    /// Takes nodes away for ten seconds, and brings them back; confirms it by the word of the kernel, or by new process ids.
    /// `meanwhile` is called at the end of it, before they come back.
    async fn take(
        self,
        cluster: &Cluster,
        nodes: &[usize],
        meanwhile: impl AsyncFnOnce() -> Result<()>,
    ) -> Result<()> {
        let names: Vec<_> = nodes
            .iter()
            .map(|node| format!("cassandra{}", node + 1))
            .collect();
        let (act, undo) = match self {
            Self::Frozen => ("freeze", "thaw"),
            Self::Killed => ("kill", "start"),
        };
        let mut pids = Vec::new();
        for name in &names {
            pids.push(cluster.script("node", &[name, "pid"]).await?);
            cluster.script("node", &[name, act]).await?;
        }
        let began = Instant::now();
        let met = meanwhile().await;
        // It is away for as long as the row says.
        tokio::time::sleep(AWAY.saturating_sub(began.elapsed())).await;
        for (name, pid) in names.iter().zip(&pids) {
            if self == Self::Frozen {
                let state = cluster.script("node", &[name, "status"]).await?;
                ensure!(state == "frozen", "{name} is {state}");
            }
            cluster.script("node", &[name, undo]).await?;
            let now = cluster.script("node", &[name, "pid"]).await?;
            let is_new = now != *pid;
            ensure!(is_new == (self == Self::Killed), "{name}: {pid} and {now}");
        }
        met
    }
}

/// The ids of all processes: nobody was restarted if they stay the same.
async fn pids(services: &Services) -> Vec<u32> {
    let mut pids = Vec::new();
    for process in services.ingests.iter().chain(&services.workers) {
        pids.push(process.lock().await.id());
    }
    pids
}

/// Waits until so many more requests were acknowledged.
async fn progress(callers: &Callers, more: usize) -> Result<()> {
    let from = callers.acknowledged();
    until(Duration::from_secs(60), "progress", || async {
        Ok((callers.acknowledged() >= from + more).then_some(()))
    })
    .await
}

/// Attempts that were sent in a part of a run: how many were acknowledged, and how many were not.
fn sent_in(history: &[Record], from: Duration, to: Duration) -> (usize, usize) {
    let mut counts = (0, 0);
    for record in history {
        if (from.as_millis()..to.as_millis()).contains(&u128::from(record.sent_ms)) {
            match record.is_acknowledged() {
                true => counts.0 += 1,
                false => counts.1 += 1,
            }
        }
    }
    counts
}

const ROW_CALLERS: u64 = 16;
const ROW_MIX: Drawn = Drawn {
    reads: 50,
    new_of_ten: 1,
};

async fn one_node_away(cluster: &Cluster) -> Result<()> {
    let (place, store) = cluster.place().await?;
    let services = Services::start(&place, "ingest-api", |_| Vec::new()).await?;
    let before = pids(&services).await;
    let callers = Callers::start(&services, 5, ROW_CALLERS, ROW_MIX);
    progress(&callers, 200).await?;
    let mut windows = Vec::new();
    for (node, away) in [
        (0, Away::Frozen),
        (1, Away::Frozen),
        (2, Away::Frozen),
        (0, Away::Killed),
        (1, Away::Killed),
        (2, Away::Killed),
    ] {
        let began = callers.elapsed();
        away.take(cluster, &[node], async || Ok(())).await?;
        windows.push((away, began, callers.elapsed()));
        progress(&callers, 200).await?;
    }
    let history = callers.end().await?;
    ensure!(pids(&services).await == before, "a process was restarted");
    let slowest = history.iter().map(|record| record.took_ms).max();
    let slowest = Duration::from_millis(slowest.unwrap_or_default());
    ensure!(slowest < IN_TIME, "an answer after {slowest:?}");
    let (mut first, mut rest) = ((0, 0), (0, 0));
    for (away, began, ended) in &windows {
        let (early, late) = (
            sent_in(&history, *began, *began + NOTICED),
            sent_in(&history, *began + NOTICED, *ended),
        );
        println!("one node {away:?}: {early:?} in the first {NOTICED:?}, {late:?} after it");
        // What a caller had in flight, and what it sent to the same node before that was known.
        let bound = 2 * usize::try_from(ROW_CALLERS)?;
        ensure!(early.1 <= bound, "{} attempts failed", early.1);
        first = (first.0 + early.0, first.1 + early.1);
        rest = (rest.0 + late.0, rest.1 + late.1);
    }
    ensure!(
        rest.1 * 10 <= rest.0,
        "{} of {} attempts failed when it was long known",
        rest.1,
        rest.0 + rest.1
    );
    let (findings, (profiles, _)) = verdict(&history, &services, &place, &store).await?;
    ensure!(findings.is_empty(), "{findings:?}");
    let acknowledged = history.iter().filter(|one| one.is_acknowledged()).count();
    report(
        5,
        windows.len() as u64,
        "the kernel's word that a node stood still, and new process ids",
        &format!(
            "{acknowledged} acknowledged, {} not, slowest {slowest:?}; in the first {NOTICED:?} of each fault {} and {}, in the rest of it {} and {}; no process restarted; {profiles} profiles, 0 findings",
            history.len() - acknowledged,
            first.0,
            first.1,
            rest.0,
            rest.1
        ),
    )?;
    services.stop().await
}

async fn two_nodes_away(cluster: &Cluster) -> Result<()> {
    let (place, store) = cluster.place().await?;
    let services = Services::start(&place, "ingest-api", |_| Vec::new()).await?;
    let before = pids(&services).await;
    let callers = Callers::start(&services, 6, ROW_CALLERS, ROW_MIX);
    progress(&callers, 200).await?;
    let (mut injected, mut refused, mut recovered) = (0, 0, Duration::ZERO);
    for (nodes, away) in [
        ([0, 1], Away::Frozen),
        ([1, 2], Away::Frozen),
        ([2, 0], Away::Killed),
    ] {
        let api = &services.apis[0];
        away.take(cluster, &nodes, async || {
            // What was in flight is over, and no quorum is there.
            let began = Instant::now();
            let mut answered = 0;
            while answered < 50 || began.elapsed() < AWAY / 2 {
                let sent = Instant::now();
                let contact = json!({ "Contact": { "email": "nobody@example.com" } });
                let answer = api.create(contact).await?;
                ensure!(
                    answer.status == 503 && sent.elapsed() < IN_TIME,
                    "{} after {:?} without a quorum",
                    answer.status,
                    sent.elapsed()
                );
                answered += 1;
            }
            refused += answered;
            Ok(())
        })
        .await?;
        injected += nodes.len();
        let back = Instant::now();
        progress(&callers, 100).await?;
        recovered = recovered.max(back.elapsed());
    }
    let history = callers.end().await?;
    ensure!(pids(&services).await == before, "a process was restarted");
    let slowest = history.iter().map(|record| record.took_ms).max();
    let slowest = Duration::from_millis(slowest.unwrap_or_default());
    ensure!(slowest < IN_TIME, "an answer after {slowest:?}");
    let (findings, (profiles, _)) = verdict(&history, &services, &place, &store).await?;
    ensure!(findings.is_empty(), "{findings:?}");
    let acknowledged = history.iter().filter(|one| one.is_acknowledged()).count();
    report(
        6,
        injected as u64,
        "the kernel's word that two nodes stood still, and new process ids",
        &format!(
            "{refused} of {refused} creates without a quorum answered 503; {acknowledged} acknowledged, {} not, slowest {slowest:?}; 100 more acknowledged within {recovered:?} of the nodes' return, no process restarted; {profiles} profiles, 0 findings",
            history.len() - acknowledged
        ),
    )?;
    services.stop().await
}
