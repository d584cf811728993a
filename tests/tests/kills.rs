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

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use kith_tests::api::Api;
use kith_tests::history::{Event, Observed, findings};
use kith_tests::pair::{Pair, Shape};
use kith_tests::poll::until;
use kith_tests::process::metric;
use rand::RngExt;
use rand::seq::IndexedRandom;
use serde_json::{Value, json};

const CREATES: u64 = 10_000;
const PEOPLE: usize = 2_000;
const CONNECTIONS: usize = 32;
const BETWEEN_KILLS: Duration = Duration::from_secs(3);

/// An identifier as a body carries it: the trait, the type, and the normalised value.
type Named = (&'static str, (String, String));

/// The identifiers of a person.
fn identifiers_of(person: usize) -> [Named; 4] {
    [
        (
            "email",
            (
                "email".into(),
                format!("person.{person}.marker@example.com"),
            ),
        ),
        (
            "phone",
            ("phone".into(), format!("+1317{:07}", person * 13)),
        ),
        (
            "whatsapp",
            ("whatsapp".into(), format!("whatsapp:+49151{person:07}")),
        ),
        (
            "chatId",
            ("chat".into(), format!("chat-of-person-{person}")),
        ),
    ]
}

/// What one create says: some identifiers of a person, now and then one of a neighbour, and values that nobody else writes.
fn draw(number: u64) -> (Vec<Named>, BTreeMap<String, Value>) {
    let mut rng = rand::rng();
    let person = rng.random_range(0..PEOPLE);
    let own = identifiers_of(person);
    let count = rng.random_range(1..=3);
    let mut chosen: Vec<_> = own.sample(&mut rng, count).cloned().collect();
    if rng.random_range(0..20) == 0 {
        let neighbour = identifiers_of((person / 4) * 4 + rng.random_range(0..4usize));
        if let Some(other) = neighbour.choose(&mut rng)
            && chosen.iter().all(|(name, _)| name != &other.0)
        {
            chosen.push(other.clone());
        }
    }
    let mut traits = BTreeMap::from([(
        "firstName".to_owned(),
        json!(format!("first-name-{number}")),
    )]);
    if rng.random_range(0..3) == 0 {
        traits.insert("city".into(), json!(format!("city-number-{number}")));
    }
    (chosen, traits)
}

struct Load {
    clock: AtomicU64,
    next: AtomicU64,
    stop: AtomicBool,
}

async fn caller(load: &Load, apis: &[Api]) -> Vec<Event> {
    let mut events = Vec::new();
    while !load.stop.load(Ordering::Relaxed) {
        let number = load.next.fetch_add(1, Ordering::Relaxed);
        if number >= CREATES {
            break;
        }
        let (identifiers, traits) = draw(number);
        let mut contact: serde_json::Map<String, Value> = traits.clone().into_iter().collect();
        for (name, (_, value)) in &identifiers {
            contact.insert((*name).into(), json!(value));
        }
        let contact = Value::Object(contact);
        // The same request until it is answered 202: a retry is safe, each try is an event of its own.
        loop {
            let api = &apis[rand::rng().random_range(0..apis.len())];
            let sent = load.clock.fetch_add(1, Ordering::SeqCst);
            let answer = api.contact(contact.clone()).await.ok();
            let acknowledged = answer
                .as_ref()
                .map(|_| load.clock.fetch_add(1, Ordering::SeqCst));
            events.push(Event {
                sent,
                acknowledged,
                identifiers: identifiers
                    .iter()
                    .map(|(_, identifier)| identifier.clone())
                    .collect(),
                traits: traits.clone(),
                profile: answer,
            });
            if acknowledged.is_some() || load.stop.load(Ordering::Relaxed) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    events
}

async fn observe(api: &Api, history: &[Event]) -> Result<Observed> {
    let mut observed = Observed {
        listed: api.list().await?.into_iter().collect(),
        ..Observed::default()
    };
    let identifiers: std::collections::BTreeSet<_> = history
        .iter()
        .flat_map(|event| event.identifiers.iter().cloned())
        .collect();
    observed.owners = stream::iter(identifiers)
        .map(|(id_type, value)| async move {
            let owners = api.owners(&id_type, &value).await?;
            anyhow::Ok(((id_type, value), owners))
        })
        .buffer_unordered(CONNECTIONS)
        .try_collect()
        .await?;
    let mut ids: std::collections::BTreeSet<String> = history
        .iter()
        .filter_map(|event| event.profile.clone())
        .collect();
    ids.extend(observed.owners.values().flatten().cloned());
    let read: Vec<_> = stream::iter(ids)
        .map(|id| async move {
            let answer = api.get(&id).await?;
            anyhow::Ok((id, answer))
        })
        .buffer_unordered(CONNECTIONS)
        .try_collect()
        .await?;
    for (id, answer) in read {
        let root = match answer.status {
            200 => {
                let traits = serde_json::from_value(answer.body["traits"]["Contact"].clone())?;
                observed.traits.insert(id.clone(), traits);
                Some(id.clone())
            }
            301 => Some(answer.header("canonical-profile-id").to_owned()),
            404 => None,
            other => anyhow::bail!("{other} for {id}"),
        };
        observed.roots.insert(id, root);
    }
    Ok(observed)
}

/// A read that is refused is sent again, as any caller would.
async fn observe_in_time(api: &Api, history: &[Event]) -> Result<Observed> {
    until(Duration::from_secs(120), "everything read", || async {
        Ok(Some(observe(api, history).await?))
    })
    .await
}

/// The checker must see a lost and a swapped trait, before its verdict counts.
fn prove_checker(history: &[Event], observed: &Observed) -> Result<()> {
    ensure!(
        findings(history, observed).is_empty(),
        "{:?}",
        findings(history, observed)
    );
    let mut damaged = observed.clone();
    let mut holders: Vec<&mut BTreeMap<String, Value>> = damaged
        .traits
        .values_mut()
        .filter(|traits| traits.contains_key("firstName"))
        .take(3)
        .collect();
    ensure!(holders.len() == 3, "too few profiles");
    holders[0].remove("firstName").context("a trait to lose")?;
    let (one, two) = (
        holders[1]["firstName"].clone(),
        holders[2]["firstName"].clone(),
    );
    holders[1].insert("firstName".into(), two);
    holders[2].insert("firstName".into(), one);
    let found = findings(history, &damaged);
    ensure!(
        found
            .iter()
            .filter(|finding| finding.contains("is lost"))
            .count()
            == 1,
        "{found:?}"
    );
    ensure!(
        found
            .iter()
            .filter(|finding| finding.contains("nobody's"))
            .count()
            == 2,
        "{found:?}"
    );
    Ok(())
}

async fn survive(mut pair: Pair) -> Result<()> {
    let load = Arc::new(Load {
        clock: AtomicU64::new(0),
        next: AtomicU64::new(0),
        stop: AtomicBool::new(false),
    });
    let started = Instant::now();
    let callers: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let (load, apis) = (Arc::clone(&load), pair.apis.clone());
            tokio::task::spawn(async move { caller(&load, &apis).await })
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
                load.next.load(Ordering::Relaxed),
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

    // Quiet: every consumer has committed everything.
    let consumers: &[_] = if pair.workers.is_empty() {
        &pair.ingests
    } else {
        &pair.workers
    };
    let limit = Instant::now() + Duration::from_secs(120);
    loop {
        let mut lag = 0.0;
        for consumer in consumers {
            lag += metric(&consumer.metrics().await?, "kith_log_lag_records");
        }
        if lag == 0.0 {
            break;
        }
        ensure!(Instant::now() < limit, "a lag of {lag} records is left");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let api = pair.api().clone();
    let mut observed = observe_in_time(&api, &history).await?;
    // Lag is a gauge of the recent past: what is not there yet gets a moment more.
    let limit = Instant::now() + Duration::from_secs(20);
    while !findings(&history, &observed).is_empty() && Instant::now() < limit {
        tokio::time::sleep(Duration::from_millis(500)).await;
        observed = observe_in_time(&api, &history).await?;
    }
    prove_checker(&history, &observed)?;
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
