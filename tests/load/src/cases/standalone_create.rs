//! Creates on the standalone: closed loops of callers, of new people and of known ones.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::folder;
use super::standalone_loops::{Looped, Series};
use crate::closed_loop::{self, Answered, Create};
use crate::figure::Figure;
use crate::process::{Standalone, memory};
use crate::settings::Settings;
use crate::spread::Times;
use crate::walk::count;
use kith_tests::message::create;

pub(super) const ABOUT: &str = "Callers of Create Profile at one `kith` process on its embedded store, each with a connection of its own and one request after \
another; every answer is on the disk before it is given. A new person has an e-mail address, a phone number and a first name; a known one \
sends the address and another first name. Repetitions of every number of callers are interleaved. Processor time is that of the process, its worker included, until it is idle again. New people get \
ids that nobody else has, known ones the id that they have, and at the end as many are listed as were made.";

const NAME: &str = "standalone-create";
/// Callers.
const CALLERS: [usize; 3] = [1, 16, 64];

/// One person, as the person's create was answered.
type Made = HashMap<usize, String>;

pub(super) async fn run(settings: &Settings) -> Result<Vec<Figure>> {
    let dir = folder(settings)?;
    let kith = Standalone::start(&dir.path().join("data"), dir.path()).await?;
    let limit = Duration::from_millis(settings.loop_ms);
    let mut made = Made::new();
    let mut new: [Series; CALLERS.len()] = Default::default();
    let mut known: [Series; CALLERS.len()] = Default::default();
    for repetition in 0..settings.repetitions {
        for (place, callers) in CALLERS.into_iter().enumerate() {
            let first = made.len();
            let answers = measure(&kith, &mut new[place], callers, limit, |n| {
                (first + n, contact(first + n))
            });
            for one in answers.await? {
                made.insert(one.person, one.id);
            }
            let people = made.len();
            let first_names = format!("{repetition} {callers}");
            let answers = measure(&kith, &mut known[place], callers, limit, |n| {
                // Neighbours in time are not neighbours in the store.
                let person = n.wrapping_mul(7_919) % people;
                let email = contact(person)["email"].clone();
                (
                    person,
                    json!({ "email": email, "firstName": format!("{first_names} {n}") }),
                )
            });
            for Answered { person, id, .. } in answers.await? {
                ensure!(
                    made.get(&person) == Some(&id),
                    "person {person} became {id}"
                );
            }
        }
    }
    let distinct: std::collections::HashSet<&String> = made.values().collect();
    ensure!(distinct.len() == made.len(), "two new people have one id");
    let listed = count(&kith.caller).await?;
    ensure!(
        listed == u64::try_from(made.len())?,
        "{listed} of {} are listed",
        made.len()
    );
    let memory = memory(&kith.process)?;
    kith.stop().await?;

    let mut figures = Vec::new();
    for (who, series) in [("new", new), ("known", known)] {
        for (callers, series) in CALLERS.into_iter().zip(series) {
            figures.extend(series.figures(NAME, &format!("{who}_{callers}_callers")));
        }
    }
    figures.push(Figure::shown(
        &format!("{NAME}.memory_at_most"),
        memory.peak,
        "MiB",
    ));
    Ok(figures)
}

/// Has callers send for as long as they may.
async fn measure(
    kith: &Standalone,
    series: &mut Series,
    callers: usize,
    limit: Duration,
    person: impl Fn(usize) -> (usize, Value),
) -> Result<Vec<Answered>> {
    let request = |n| {
        let (person, contact) = person(n);
        let request = create(&json!({ "Contact": contact }));
        Create { person, request }
    };
    let looped = async {
        let (answers, took) = closed_loop::run(kith.address, callers, limit, request).await?;
        let mut times = Times::default();
        for one in &answers {
            times.push(one.took);
        }
        Ok(Looped {
            rate: answers.len() as f64 / took.as_secs_f64(),
            times,
            more: answers,
        })
    };
    series.measure(kith, looped).await
}

fn contact(n: usize) -> Value {
    json!({
        "email": format!("create-{n}@example.com"),
        "phone": format!("+1317{n:07}"),
        "firstName": format!("Person {n}"),
    })
}
