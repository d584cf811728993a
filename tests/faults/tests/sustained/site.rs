//! A keyspace with people in it, topics, and the workers that read them.

use std::num::NonZeroU16;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use kith_domain::id::{DefinitionId, ProfileId};
use kith_faults::cluster::cql;
use kith_kafka::{KafkaConfig, KafkaLog, ensure_topics};
use kith_profiles::ports::Control;
use kith_runtime::clock::SystemIds;
use kith_scylla::{Cql, CqlConfig, migrate};
use kith_tests::api::ACCOUNT;
use kith_tests::engines::now;
use kith_tests::process::Process;
use kith_tests::servers::Place;
use kith_tests::stage::Stage;
use serde_json::json;
use tempfile::TempDir;
use uuid::Uuid;

use crate::size::either;

/// Traits of `Contact` that are no identifiers.
const TRAITS: [&str; 4] = ["firstName", "lastName", "city", "country"];
/// Creates under way at once.
const CREATES_AT_ONCE: usize = 16;
/// Cases that need people of their own: what one writes is not another's to judge.
const CASES: usize = 3;

/// A database with a store, and people that the shipped use cases created; a part of them for each case.
pub(crate) struct Site {
    place: Place,
    /// The use cases on the database.
    pub(crate) stage: Stage<Cql, KafkaLog>,
    profiles: Vec<ProfileId>,
    /// Which traits they write.
    pub(crate) traits: Vec<DefinitionId>,
    logs: TempDir,
}

/// A topic, its log, and the group that reads it.
pub(crate) struct Topic {
    /// Its name, its group and the servers.
    pub(crate) place: Place,
    /// Where events go in.
    pub(crate) log: KafkaLog,
    /// Its partitions.
    pub(crate) partitions: u16,
}

impl Site {
    /// A site at a place where nothing is yet.
    pub(crate) async fn new(place: Place) -> Result<Self> {
        let config = CqlConfig {
            replication_factor: NonZeroU16::MIN,
            ..cql(&place)?
        };
        migrate(&config).await?;
        let account = ACCOUNT.parse().context("the development account")?;
        let store = Arc::new(ingest_api::development_store(account, now(), &SystemIds));
        let database = Cql::connect(&config).await?;
        database.create_store(&store).await?;
        let contact = store.groups.first().context("a group")?;
        let of = |name| contact.traits.get(name).map(|one| one.id);
        let traits = TRAITS.into_iter().filter_map(of).collect();
        // What the creates say goes into a topic that nobody reads: it is in the database already.
        let topic = topic(&place, 1).await?;
        let stage = Stage::new(database, topic.log, &store);
        let create = |person| stage.contact(json!({ "email": format!("p{person}@s.example") }));
        let people = CASES * either(4_000, 100);
        let profiles = stream::iter((0..people).map(create))
            .buffer_unordered(CREATES_AT_ONCE)
            .try_collect()
            .await?;
        Ok(Self {
            place,
            stage,
            profiles,
            traits,
            logs: tempfile::tempdir()?,
        })
    }

    /// The people of one case.
    pub(crate) fn people(&self, case: usize) -> &[ProfileId] {
        let each = self.profiles.len() / CASES;
        &self.profiles[case * each..(case + 1) * each]
    }

    /// A topic that nothing was published to, with a group of its own.
    pub(crate) async fn topic(&self, partitions: u16) -> Result<Topic> {
        topic(&self.place, partitions).await
    }

    /// A worker of a topic's group.
    pub(crate) fn worker(&self, topic: &Topic) -> Result<Process> {
        // A line for each record would be a load of its own.
        let launch = topic.place.launch("trait-worker")?.with("RUST_LOG", "warn");
        Process::start(launch, self.logs())
    }

    /// Where processes write their logs.
    pub(crate) fn logs(&self) -> &Path {
        self.logs.path()
    }
}

async fn topic(at: &Place, partitions: u16) -> Result<Topic> {
    let name = Uuid::new_v4().as_simple().to_string();
    let place = Place {
        topic: format!("s{name}.traits"),
        group: format!("s{name}.worker"),
        ..at.clone()
    };
    let mut config = KafkaConfig {
        bootstrap: place.bootstrap.clone(),
        traits_topic: place.topic.clone(),
        ..KafkaConfig::default()
    };
    config.topics.partitions = partitions;
    config.topics.replication_factor = 1;
    config.topics.min_insync_replicas = 1;
    // Whoever publishes here is in no hurry.
    config.producer.delivery_timeout = Duration::from_secs(30);
    ensure_topics(&config).await?;
    Ok(Topic {
        log: KafkaLog::new(&config)?,
        place,
        partitions,
    })
}

/// Ends workers as an operator would, and searches what they wrote.
pub(crate) async fn end(workers: Vec<Process>) -> Result<()> {
    for mut worker in workers {
        let status = worker.terminate().await?;
        ensure!(status.success(), "{status}: {}", worker.log());
    }
    Ok(())
}
