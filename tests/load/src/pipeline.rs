//! Both services on one Cassandra and one Kafka, with somebody who asks.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use kith_scylla::Bare;
use kith_tests::pair::{Pair, Shape};
use kith_tests::process::Process;
use kith_tests::servers::{Place, cql_nodes, kafka_bootstrap};

use crate::asking::{Asked, ask, ask_by, settle};
use crate::bare::cql;
use crate::calm::calm;
use crate::counted::Counts;
use crate::open_loop::{CONNECTIONS, Latencies, schedule};
use crate::people::{Load, People};
use crate::process::{idle, processor_seconds};
use crate::spread::median;

/// A place of a case's own on the servers of this run, migrated.
///
/// # Errors
/// When the run was started without servers, or they refuse.
pub async fn place() -> Result<Place> {
    let place = Place::on(cql_nodes()?, kafka_bootstrap()?);
    place.migrate().await?;
    Ok(place)
}

/// Running services, and the people that they know.
#[derive(Debug)]
pub struct Pipeline {
    /// The processes.
    pub pair: Pair,
    /// Who is there.
    pub people: Arc<Mutex<People>>,
    at_once: usize,
    database: Bare,
}

/// What one repetition of a load gave.
#[derive(Debug)]
pub struct Measured {
    /// Answers.
    pub asked: Asked,
    /// What both services had done for each request when the last was answered.
    pub each: Counts,
    /// Processor time of `ingest-api` for a request, in milliseconds.
    pub ingest_ms: f64,
    /// Processor time of `trait-worker` for a request, until all records were consumed, in milliseconds.
    pub worker_ms: f64,
}

impl Pipeline {
    /// Starts processes at a place, which know `people`.
    ///
    /// # Errors
    /// When they do not start.
    pub async fn start(
        place: &Place,
        shape: Shape,
        people: Arc<Mutex<People>>,
        at_once: usize,
    ) -> Result<Self> {
        let shape = shape.with("RUST_LOG", "info");
        Ok(Self {
            database: Bare::open(&cql(place)?).await?,
            pair: Pair::at(&shape, place).await?,
            people,
            at_once,
        })
    }

    /// `ingest-api`.
    ///
    /// # Errors
    /// When there is none.
    pub fn ingest(&self) -> Result<&Process> {
        self.pair.ingests.first().context("an ingest-api")
    }

    /// Where it answers.
    ///
    /// # Errors
    /// When there is none.
    pub fn address(&self) -> Result<SocketAddr> {
        let base = self.pair.api().base();
        Ok(base.trim_start_matches("http://").parse()?)
    }

    /// Makes the people that a case begins with, of these numbers of identifiers, and waits until nobody has anything to do.
    ///
    /// # Errors
    /// When an answer is wrong.
    pub async fn settle(&self, kinds: &[usize]) -> Result<()> {
        settle(self.address()?, &self.people, kinds, self.at_once).await?;
        self.idle().await
    }

    /// One repetition of a load, from one moment at which services and database are idle to the next.
    ///
    /// # Errors
    /// When an answer is wrong.
    pub async fn measure(&self, load: Load, limit: Duration) -> Result<Measured> {
        calm(self.database.session()).await?;
        let all: Vec<&Process> = self.pair.ingests.iter().chain(&self.pair.workers).collect();
        let before = Counts::of(&all).await?;
        let used = (seconds(&self.pair.ingests)?, seconds(&self.pair.workers)?);
        let (address, people) = (self.address()?, &self.people);
        let asked = ask(address, people, load, self.at_once, limit, None).await?;
        let after = Counts::of(&all).await?;
        self.idle().await?;
        let each_ms = |seconds: f64| 1e3 * seconds / asked.answers as f64;
        Ok(Measured {
            each: after.since(&before).of_each(asked.answers),
            ingest_ms: each_ms(seconds(&self.pair.ingests)? - used.0),
            worker_ms: each_ms(seconds(&self.pair.workers)? - used.1),
            asked,
        })
    }

    /// The times of requests that come so many a second, whether the ones before are answered or not.
    ///
    /// # Errors
    /// When an answer is wrong.
    pub async fn open(
        &self,
        load: Load,
        rate: f64,
        limit: Duration,
        seed: u64,
    ) -> Result<Latencies> {
        calm(self.database.session()).await?;
        let (address, people) = (self.address()?, &self.people);
        let times = schedule(rate, limit, seed);
        let latencies = ask_by(address, people, load, CONNECTIONS, &times).await?;
        self.idle().await?;
        Ok(latencies)
    }

    async fn idle(&self) -> Result<()> {
        let all = self.pair.ingests.iter().chain(&self.pair.workers);
        futures_util::future::try_join_all(all.map(idle)).await?;
        Ok(())
    }
}

fn seconds(processes: &[Process]) -> Result<f64> {
    processes.iter().map(processor_seconds).sum()
}

/// The median, and by how much values spread: the largest less the smallest, in hundredths of the median.
#[must_use]
pub fn middle_and_spread(values: &[f64]) -> (f64, f64) {
    let middle = median(values);
    let most = values.iter().copied().fold(f64::MIN, f64::max);
    let least = values.iter().copied().fold(f64::MAX, f64::min);
    (middle, 100.0 * (most - least) / middle)
}
