//! Engines without processes around them, for suites that speak to ports and use cases.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use kith_domain::time::Micros;
use kith_embedded::{Embedded, Options};
use kith_kafka::KafkaConfig;
use kith_scylla::{CqlConfig, Dialect, migrate};

use crate::servers::kafka_bootstrap;

/// The wall clock.
#[must_use]
pub fn now() -> Micros {
    let elapsed = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    Micros::EPOCH.plus(elapsed)
}

/// An embedded engine on a folder.
///
/// # Errors
/// When it does not open.
pub fn embedded(dir: &Path) -> Result<Embedded> {
    Ok(Embedded::open(Options::new(dir, Arc::new(now)))?)
}

/// A keyspace of its own, migrated, reached through these nodes.
///
/// # Errors
/// When the migration fails.
pub async fn migrated_cql(nodes: Vec<String>) -> Result<CqlConfig> {
    let name = uuid::Uuid::new_v4().as_simple().to_string();
    let config = CqlConfig {
        nodes,
        keyspace: format!("c{}", &name[..12]).parse()?,
        dialect: Dialect::Cassandra,
        replication_factor: std::num::NonZeroU16::MIN,
        ..CqlConfig::default()
    };
    migrate(&config).await?;
    Ok(config)
}

/// Topics of their own on the broker of this run.
///
/// # Errors
/// When they cannot be made.
pub async fn kafka_topics() -> Result<KafkaConfig> {
    let mut config = KafkaConfig {
        bootstrap: kafka_bootstrap()?,
        traits_topic: format!("c{}.traits", uuid::Uuid::new_v4().as_simple()),
        ..KafkaConfig::default()
    };
    config.topics.partitions = 4;
    config.topics.replication_factor = 1;
    config.topics.min_insync_replicas = 1;
    config.consumer.session_timeout = Duration::from_secs(6);
    kith_kafka::ensure_topics(&config).await?;
    Ok(config)
}
