//! Callers of Create Profile: a closed loop over kept-alive connections, every answer checked.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::caller::Caller;
use crate::closed_loop::{Answered, Create};
use crate::open_loop::{self, Latencies};
use crate::people::{Ask, Load, People, Person, contact};
use crate::spread::Times;
use crate::step_loop::closed_loop;
use crate::walk::count;
use kith_tests::message::create;
use kith_tests::wire::Connection;

/// How long the people that a case begins with may take.
const SETTLING: Duration = Duration::from_secs(300);
/// Of each kind so many people are there for each that asks at once.
const PEOPLE_EACH: usize = 4;
/// Of so many people one is looked up at the end.
const LOOKED_AT: usize = 50;

/// What callers were answered.
#[derive(Debug)]
pub struct Asked {
    /// Answers.
    pub answers: usize,
    /// Answers a second.
    pub rate: f64,
    /// The time of each.
    pub times: Times,
}

/// Has so many callers ask for as long as they may, or until so many answers were given. Whoever is known must be answered with
/// the id that they have, whoever is new with one that nobody has.
///
/// # Errors
/// When an answer is wrong.
pub async fn ask(
    address: SocketAddr,
    people: &Arc<Mutex<People>>,
    load: Load,
    at_once: usize,
    limit: Duration,
    most: Option<usize>,
) -> Result<Asked> {
    let mut connections = Vec::new();
    for _ in 0..at_once {
        connections.push(Connection::open(address).await?);
    }
    locked(people, |people| people.begin(load));
    let (source, left) = (Arc::clone(people), Arc::new(Mutex::new(most)));
    let done = closed_loop(connections, limit, move |mut connection| {
        let may_ask = {
            let mut left = left.lock().unwrap_or_else(PoisonError::into_inner);
            let may_ask = *left != Some(0);
            *left = left.map(|left| left.saturating_sub(1));
            may_ask
        };
        let ask = locked(&source, |people| {
            may_ask.then(|| people.ask(load)).flatten()
        });
        async move {
            let Some(ask) = ask else {
                return Ok((connection, None));
            };
            let request = create(&json!({ "Contact": ask.contact }));
            let began = Instant::now();
            let (status, body) = connection.send(&request).await?;
            let Answered { id, took, .. } =
                Answered::read(ask.who.number, status, &body, began.elapsed())?;
            Ok((connection, Some((newcomer(ask.who, id)?, took))))
        }
    });
    let done = done.await.with_context(|| load.name())?;
    let (rate, mut times) = (done.rate(), Times::default());
    let answers = done.steps.len();
    for (newcomer, took) in done.steps {
        times.push(took);
        if let Some(newcomer) = newcomer {
            locked(people, |people| people.met(newcomer))?;
        }
    }
    ensure!(
        answers > 0,
        "{}: nobody was there to be asked for",
        load.name()
    );
    Ok(Asked {
        answers,
        rate,
        times,
    })
}

/// Asks by a schedule, whether the ones before are answered or not, over so many connections. Answers are judged as those of [`ask`];
/// their times count from when each was to be sent.
///
/// # Errors
/// When an answer is wrong.
pub async fn ask_by(
    address: SocketAddr,
    people: &Mutex<People>,
    load: Load,
    connections: usize,
    schedule: &[Duration],
) -> Result<Latencies> {
    let asks: Option<Vec<Ask>> = locked(people, |people| {
        people.begin(load);
        schedule.iter().map(|_| people.ask(load)).collect()
    });
    let asks = asks.context("nobody is left to be asked for")?;
    let request = |number: usize| Create {
        person: number,
        request: create(&json!({ "Contact": asks[number].contact })),
    };
    let outcome = open_loop::run(address, connections, schedule, request).await?;
    for Answered { person, id, .. } in outcome.answers {
        if let Some(newcomer) = newcomer(asks[person].who.clone(), id)? {
            locked(people, |people| people.met(newcomer))?;
        }
    }
    Ok(outcome.latencies)
}

/// Judges an answer about somebody; whoever was new has its id from now on.
fn newcomer(mut who: Person, id: String) -> Result<Option<Person>> {
    let is_new = who.id.is_empty();
    ensure!(is_new || who.id == id, "{who:?} became {id}");
    who.id = id;
    Ok(is_new.then_some(who))
}

/// Makes the people that a case begins with, of these numbers of identifiers.
///
/// # Errors
/// When an answer is wrong.
pub async fn settle(
    address: SocketAddr,
    people: &Arc<Mutex<People>>,
    kinds: &[usize],
    at_once: usize,
) -> Result<()> {
    for kind in kinds {
        let most = Some(at_once * PEOPLE_EACH);
        ask(address, people, Load::New(*kind), at_once, SETTLING, most).await?;
    }
    Ok(())
}

/// Everybody is there once, and whoever was left as they were made is found by all identifiers; of these one of fifty is looked up.
///
/// # Errors
/// When it is not so.
pub async fn check(caller: &Caller, people: &Mutex<People>) -> Result<()> {
    let (made, merged) = locked(people, |people| people.counts());
    let listed = count(caller).await?;
    ensure!(
        listed == u64::try_from(made - merged)?,
        "{listed} are listed of {made}, of whom {merged} were merged"
    );
    let looked_at: Vec<Person> = locked(people, |people| {
        people.untouched().step_by(LOOKED_AT).cloned().collect()
    });
    for person in looked_at {
        let said = contact(&person, "");
        for (name, id_type) in [("email", "email"), ("phone", "phone"), ("chatId", "chat")] {
            if let Some(value) = said[name].as_str() {
                let owners = caller.owners(id_type, value).await?;
                ensure!(owners == [person.id.clone()], "{person:?} is {owners:?}");
            }
        }
    }
    Ok(())
}

/// Looks at, or changes, who there is.
pub fn locked<T>(people: &Mutex<People>, work: impl FnOnce(&mut People) -> T) -> T {
    work(&mut people.lock().unwrap_or_else(PoisonError::into_inner))
}
