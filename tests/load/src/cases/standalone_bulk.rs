//! Bulk on the standalone: how many items a second, and how long one request takes.

use std::cell::Cell;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde_json::{Value, json};

use super::folder;
use crate::caller::Caller;
use crate::figure::Figure;
use crate::process::{Standalone, idle, memory};
use crate::settings::Settings;
use crate::spread::{Times, median};
use crate::walk::count;

pub(super) const ABOUT: &str = "Bulk requests of 1,000 items at one `kith` process on its embedded store, every answer on the disk before it is given. \
An item is a new person with an e-mail address, a phone number and a first name. The rate is that of some requests at once, until all are \
answered; repetitions of each number are interleaved. A request that is refused (503, past the deadline of 2.5 s) is sent again, and counts once. Known people are the same batches again. The time of one request is \
taken while the process has nothing else to do. At the end as many people are listed as were sent, and of every fiftieth both identifiers \
lead to one profile, which shows all three traits.";

const NAME: &str = "standalone-bulk";
/// Items of a request: as many as the API takes.
const ITEMS: usize = 1_000;
/// Requests at once.
const AT_ONCE: [usize; 4] = [1, 2, 4, 8];
/// When a refused request is sent again.
const AGAIN_AFTER: Duration = Duration::from_millis(100);
/// Of so many people one is looked up at the end.
const LOOKED_AT: usize = 50;
/// People looked up at once.
const LOOKS_AT_ONCE: usize = 8;

/// The rates of one number of requests at once, in items a second.
#[derive(Debug, Default)]
struct Rates {
    new: Vec<f64>,
    known: Vec<f64>,
    /// Answers 503 of all of them.
    refused: usize,
}

pub(super) async fn run(settings: &Settings) -> Result<Vec<Figure>> {
    let dir = folder(settings)?;
    let kith = Standalone::start(&dir.path().join("data"), dir.path()).await?;
    let mut sent = 0;
    let mut rates: [Rates; AT_ONCE.len()] = Default::default();
    for _ in 0..settings.repetitions {
        for (at_once, rates) in AT_ONCE.into_iter().zip(&mut rates) {
            let batches: Vec<usize> = (sent..sent + settings.bulk_requests).collect();
            sent += settings.bulk_requests;
            for is_known in [false, true] {
                let sending = send_all(&kith.caller, &batches, at_once, &mut rates.refused);
                let rate = sending.await?;
                match is_known {
                    true => rates.known.push(rate),
                    false => rates.new.push(rate),
                }
                idle(&kith.process).await?;
            }
        }
    }
    let (mut one, mut one_refused) = (Times::default(), 0_u32);
    for batch in sent..sent + settings.bulk_requests {
        let took = loop {
            match kith.caller.bulk(body(batch)).await? {
                Some(took) => break took,
                None => one_refused += 1,
            }
            ensure!(one_refused < 20, "one request alone is always refused");
        };
        one.push(took);
        idle(&kith.process).await?;
    }
    sent += settings.bulk_requests;
    check(&kith.caller, sent).await?;
    let memory = memory(&kith.process)?;
    kith.stop().await?;

    let mut figures = Vec::new();
    for (at_once, rates) in AT_ONCE.into_iter().zip(&rates) {
        let (what, value) = (format!("new_people_{at_once}_at_once"), median(&rates.new));
        figures.push(at_least(&what, value, "items/s", 5_000.0).of(&rates.new));
    }
    for (at_once, rates) in AT_ONCE.into_iter().zip(&rates) {
        let (what, value) = (
            format!("known_people_{at_once}_at_once"),
            median(&rates.known),
        );
        figures.push(shown(&what, value, "items/s").of(&rates.known));
    }
    for (at_once, rates) in AT_ONCE.into_iter().zip(&rates) {
        let what = format!("{at_once}_at_once_refused");
        figures.push(shown(&what, rates.refused as f64, "requests"));
    }
    figures.extend([
        below(
            "one_request_of_new_people_p50",
            one.quantile_ms(0.5),
            "ms",
            500.0,
        ),
        below(
            "one_request_of_new_people_worst",
            one.worst_ms(),
            "ms",
            500.0,
        ),
        shown("one_request_refused", f64::from(one_refused), "requests"),
        shown("memory_at_most", memory.peak, "MiB"),
    ]);
    Ok(figures)
}

/// Sends these batches, some at once, until all are accepted: items a second.
async fn send_all(
    caller: &Caller,
    batches: &[usize],
    at_once: usize,
    refused: &mut usize,
) -> Result<f64> {
    // Made before the clock starts.
    let bodies: Vec<Vec<u8>> = batches.iter().map(|batch| body(*batch)).collect();
    let count = &Cell::new(0);
    let began = Instant::now();
    stream::iter(bodies)
        .map(Ok)
        .try_for_each_concurrent(at_once, |body| async move {
            while caller.bulk(body.clone()).await?.is_none() {
                count.set(count.get() + 1);
                tokio::time::sleep(AGAIN_AFTER).await;
            }
            anyhow::Ok(())
        })
        .await?;
    *refused += count.get();
    let items = (batches.len() * ITEMS) as f64;
    Ok(items / began.elapsed().as_secs_f64())
}

fn body(batch: usize) -> Vec<u8> {
    let people = batch * ITEMS..(batch + 1) * ITEMS;
    let items: Vec<Value> = people
        .map(|n| json!({ "traits": { "Contact": contact(n) } }))
        .collect();
    json!({ "profiles": items }).to_string().into_bytes()
}

/// What is said of a person.
fn contact(n: usize) -> Value {
    json!({
        "email": format!("bulk-{n}@example.com"),
        "phone": format!("+1317{n:07}"),
        "firstName": format!("Person {n}"),
    })
}

/// Everybody is there once, and has what was sent.
async fn check(caller: &Caller, batches: usize) -> Result<()> {
    let people = batches * ITEMS;
    let listed = count(caller).await?;
    ensure!(
        listed == u64::try_from(people)?,
        "{listed} of {people} are listed"
    );
    stream::iter((0..people).step_by(LOOKED_AT))
        .map(Ok)
        .try_for_each_concurrent(LOOKS_AT_ONCE, |n| async move {
            let sent = contact(n);
            let mut owners = Vec::new();
            for id_type in ["email", "phone"] {
                let value = sent[id_type].as_str().unwrap_or_default();
                owners.push(caller.owners(id_type, value).await?);
            }
            ensure!(
                owners[0].len() == 1 && owners[0] == owners[1],
                "person {n} has the profiles {owners:?}"
            );
            let traits = caller.traits(&owners[0][0]).await?;
            ensure!(
                traits == json!({ "Contact": sent }),
                "person {n} has other traits"
            );
            Ok(())
        })
        .await
}

fn shown(what: &str, value: f64, unit: &str) -> Figure {
    Figure::shown(&format!("{NAME}.{what}"), value, unit)
}

fn below(what: &str, value: f64, unit: &str, limit: f64) -> Figure {
    Figure::below(&format!("{NAME}.{what}"), value, unit, limit)
}

fn at_least(what: &str, value: f64, unit: &str, limit: f64) -> Figure {
    Figure::at_least(&format!("{NAME}.{what}"), value, unit, limit)
}
