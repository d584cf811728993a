//! Callers of Create Profile: a closed loop over kept-alive connections, every answer checked.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::people::{Load, People};
use crate::spread::Times;
use crate::step_loop::closed_loop;
use kith_tests::message::create;
use kith_tests::wire::Connection;

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
            let took = began.elapsed();
            ensure!(
                status == 202,
                "{status}: {}",
                String::from_utf8_lossy(&body)
            );
            let answer: Value = serde_json::from_slice(&body)?;
            let id = answer["id"].as_str().context("no id")?.to_owned();
            let (mut who, is_new) = (ask.who.clone(), ask.who.id.is_empty());
            ensure!(is_new || who.id == id, "{who:?} became {id}");
            who.id = id;
            Ok((connection, Some((is_new.then_some(who), took))))
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

/// Looks at, or changes, who there is.
pub fn locked<T>(people: &Mutex<People>, work: impl FnOnce(&mut People) -> T) -> T {
    work(&mut people.lock().unwrap_or_else(PoisonError::into_inner))
}
