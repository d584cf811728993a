//! The service as a process on Kafka and a CQL database, as the operator sets them up: what `main` offers.

use kith_kafka::KafkaConfig;
use kith_runtime::config::{ConfigError, SettingSet, Settings, table};
use kith_scylla::CqlConfig;

pub mod doctor;
pub mod migrate;
pub mod serve;

/// The settings that the service takes.
#[must_use]
pub fn taken() -> SettingSet {
    SettingSet::new("ingest-api")
        .take(table::PROCESS)
        .take(table::HTTP)
        .take(table::CQL)
        .take(table::KAFKA)
        .take(table::KAFKA_TOPICS)
}

/// Configurations of both engines.
///
/// # Errors
/// Names the setting that is wrong.
pub fn configure(settings: &Settings) -> Result<(CqlConfig, KafkaConfig), ConfigError> {
    let cql = kith_servers::cql(settings)?;
    let kafka = kith_servers::kafka(settings, "kith-ingest-api", false)?;
    Ok((cql, kafka))
}

/// Prints for whoever runs the command.
#[expect(
    clippy::print_stdout,
    reason = "the answer to a command, not a log line"
)]
pub(crate) fn say(text: &str) {
    println!("{text}");
}
