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
use kith_faults::load::Drawn;
use kith_faults::row::is_full;
use kith_faults::run::{Outcome, Plan, run};
use kith_tests::api::{Answer, Api};
use kith_tests::poll::until;
use kith_tests::proxy::Mode;
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
        trial("two_hundred_clients_want_one_new_person", |cluster| {
            Box::pin(async move { one_new_person(&cluster).await })
        }),
        trial(
            "an_unknown_outcome_is_503_and_the_retry_is_right",
            |cluster| Box::pin(async move { unknown_outcomes(&cluster).await }),
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
        all.extend(took);
    }
    all.sort_unstable();
    let p99 = all[all.len() - 1 - all.len() / 100];
    println!("{CLIENTS} clients, {people} new people: p99 {p99:?}");
    ensure!(p99 < P99 || !is_full(), "p99 {p99:?}");
    services.stop().await
}

/// Answers are kept back while conditional statements land: 503 in time, and the retry finds what landed.
async fn unknown_outcomes(cluster: &Cluster) -> Result<()> {
    let (place, store) = cluster.place().await?;
    let services = Services::start(&place, "ingest-api", |_| Vec::new()).await?;
    let direct = session(cluster).await?;
    let all = |mode| cluster.nodes.iter().for_each(|node| node.set(mode));
    let api = &services.apis[0];
    let mut landed = 0;
    let rounds = 12_u64;
    for round in 0..rounds {
        let email = format!("unknown.{round}@example.com");
        let contact = json!({ "Contact": { "email": email } });
        until(Duration::from_secs(40), "a read", || async {
            Ok(Some(api.owners("email", &email).await?))
        })
        .await?;
        // Late enough that the silence falls between two rounds of the request, another one each time.
        all(Mode::Delay(Duration::from_millis(40)));
        let sent = async {
            let began = Instant::now();
            anyhow::Ok((api.create(contact.clone()).await?, began.elapsed()))
        };
        let silence = async {
            tokio::time::sleep(Duration::from_millis(40 + 20 * round)).await;
            all(Mode::SwallowAnswers);
        };
        let (answer, ()) = tokio::join!(sent, silence);
        let (answer, took): (Answer, Duration) = answer?;
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
    println!(
        "{rounds} answers kept back: 503 each, {landed} had landed and were found by the retry"
    );
    ensure!(
        landed > 0,
        "no statement landed: the silence came too early"
    );
    services.stop().await
}
