//! The limit: the drivers and nothing else, with the texts, consistency, settings and concurrency of the services, one kind of
//! work at a time. From their rates comes the ceiling of a case ([`ceiling`]).

mod ceiling;
mod cql;
mod drain;
mod http;
mod log;
mod together;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use kith_kafka::KafkaConfig;
use kith_profiles::ports::Header;
use kith_scylla::{Cql, CqlConfig, Dialect};
use kith_tests::servers::Place;

pub use self::ceiling::{Rates, ceiling};
use self::cql::{Kind, Statements};
pub use self::drain::{Drained, drain};
use self::http::Server;
pub use self::http::{accepted, is_create};
use self::log::Topic;
use crate::counted::Work;

/// Everything that is needed to measure the limit.
#[derive(Debug)]
pub struct Bare {
    statements: Arc<Statements>,
    topic: Topic,
    server: Server,
    at_once: usize,
}

/// A record as the service writes it.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Its value.
    pub payload: Bytes,
    /// Its headers.
    pub headers: Vec<Header>,
}

impl Bare {
    /// Prepares all of it beside a service, in its tables: with a store, people and a topic of its own.
    ///
    /// # Errors
    /// When a server does not take it.
    pub async fn new(place: &Place, sample: Sample, at_once: usize) -> Result<Self> {
        let statements = Statements::new(&cql(place)?).await?;
        let statements = Arc::new(statements);
        // Several people for each that asks at once, so that they do not meet.
        let people = u64::try_from(at_once)? * 16;
        cql::settle(&statements, people, at_once).await?;
        Ok(Self {
            topic: Topic::new(place, sample).await?,
            server: Server::start()?,
            statements,
            at_once,
        })
    }

    /// Measures each kind of work for so long.
    ///
    /// # Errors
    /// When one fails.
    pub async fn measure(&self, limit: Duration, body: &[u8]) -> Result<Rates> {
        let mut rates = BTreeMap::new();
        for kind in Kind::ALL {
            let rate = cql::measure(&self.statements, kind, self.at_once, limit).await?;
            let (operation, collection) = kind.labels();
            let work = Work::statement(operation, collection);
            rates.insert((work, kind.identifiers()), rate);
        }
        let produced = self.topic.produce(self.at_once, limit).await?;
        rates.insert((Work::Produce, None), produced);
        rates.insert((Work::Consume, None), self.topic.consume().await?);
        let answered = self.server.measure(self.at_once, limit, body).await?;
        rates.insert((Work::Http, None), answered);
        Ok(Rates(rates))
    }
}

/// The settings of the database, as the services make them.
///
/// # Errors
/// When the place has no keyspace's name.
pub fn cql(place: &Place) -> Result<CqlConfig> {
    Ok(CqlConfig {
        nodes: place.cql_nodes.clone(),
        keyspace: place.keyspace.parse()?,
        dialect: Dialect::Cassandra,
        ..CqlConfig::default()
    })
}

/// The port's own handle on the database, for what a case looks up and does not measure.
///
/// # Errors
/// When it cannot be reached.
pub async fn port(place: &Place) -> Result<Cql> {
    Ok(Cql::connect(&cql(place)?).await?)
}

/// The settings of the log, as the services make them of what a place says.
#[must_use]
pub fn kafka(place: &Place) -> KafkaConfig {
    let mut kafka = KafkaConfig {
        bootstrap: place.bootstrap.clone(),
        traits_topic: place.topic.clone(),
        ..KafkaConfig::default()
    };
    kafka.topics.partitions = 8;
    kafka.topics.replication_factor = 1;
    kafka.topics.min_insync_replicas = 1;
    kafka.consumer.group = place.group.clone();
    kafka.consumer.session_timeout = Duration::from_secs(6);
    kafka.consumer.prefetch_bytes = 16 << 20;
    kafka
}
