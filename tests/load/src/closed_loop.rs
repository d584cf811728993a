//! Callers who each send a request once the one before is answered: what a server can do when it is asked for all it has.

use std::cell::Cell;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use serde_json::Value;

use kith_tests::wire::Connection;

/// A create, ready to be sent.
#[derive(Debug)]
pub struct Create {
    /// About whom.
    pub person: usize,
    /// The bytes.
    pub request: Vec<u8>,
}

/// A create that was answered 202.
#[derive(Debug)]
pub struct Answered {
    /// About whom.
    pub person: usize,
    /// The profile of the answer.
    pub id: String,
    /// From sending, or from the time at which it was to be sent, to the whole answer.
    pub took: Duration,
}

impl Answered {
    /// Reads an answer, which must be 202.
    ///
    /// # Errors
    /// When it is not.
    pub fn read(person: usize, status: u16, body: &[u8], took: Duration) -> Result<Self> {
        ensure!(
            status == 202,
            "{status} after {took:?}: {}",
            String::from_utf8_lossy(body)
        );
        let answer: Value = serde_json::from_slice(body)?;
        let id = answer["id"].as_str().context("no id")?.to_owned();
        Ok(Self { person, id, took })
    }
}

/// Has callers send for as long as they may; each has a connection of its own, and all take their creates from one row.
/// The answers, and the time until the last.
///
/// # Errors
/// When an answer is wrong.
pub async fn run(
    address: SocketAddr,
    callers: usize,
    limit: Duration,
    create: impl Fn(usize) -> Create,
) -> Result<(Vec<Answered>, Duration)> {
    let next = Cell::new(0);
    let opening = (0..callers).map(|_| Connection::open(address));
    let connections = try_join_all(opening).await?;
    let began = Instant::now();
    let work = connections
        .into_iter()
        .map(|connection| caller(connection, &next, began + limit, &create));
    let answers = try_join_all(work).await?.into_iter().flatten().collect();
    Ok((answers, began.elapsed()))
}

async fn caller(
    mut connection: Connection,
    next: &Cell<usize>,
    until: Instant,
    create: &impl Fn(usize) -> Create,
) -> Result<Vec<Answered>> {
    let mut answers = Vec::new();
    // Once, however short the time is.
    while answers.is_empty() || Instant::now() < until {
        let Create { person, request } = create(next.replace(next.get() + 1));
        let began = Instant::now();
        let (status, body) = connection.send(&request).await?;
        answers.push(Answered::read(person, status, &body, began.elapsed())?);
    }
    Ok(answers)
}
