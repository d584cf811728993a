//! The service as a process on Kafka and a CQL database, as the operator sets them up: what `main` offers.

use kith_kafka::KafkaConfig;
use kith_runtime::config::table::{self, BODY_BYTES_MAX};
use kith_runtime::config::{ByteSize, ConfigError, SettingSet, Settings};
use kith_scylla::CqlConfig;

pub mod doctor;
pub mod migrate;
pub mod serve;

/// How much larger than its body an event can be: names become ids, of at most as many traits as one body may have.
const EVENT_MARGIN_BYTES: usize = 1 << 20;

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

/// Configurations of both engines. The log takes the event of the largest body: one that it refuses would be found too large
/// only after its identifiers were claimed.
///
/// # Errors
/// Names the setting that is wrong.
pub fn configure(settings: &Settings) -> Result<(CqlConfig, KafkaConfig), ConfigError> {
    let cql = kith_servers::cql(settings)?;
    let mut kafka = kith_servers::kafka(settings, "kith-ingest-api", false)?;
    let body: ByteSize = settings.get(&BODY_BYTES_MAX)?;
    let event = body.as_usize().saturating_add(EVENT_MARGIN_BYTES);
    kafka.topics.record_bytes_max = kafka.topics.record_bytes_max.max(event);
    kafka.producer.queue_bytes = kafka.producer.queue_bytes.max(event.saturating_mul(2));
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
