//! The engines of this binary, as the operator sets them up.

use kith_kafka::KafkaConfig;
use kith_runtime::config::{ByteSize, ConfigError, Settings, table::BODY_BYTES_MAX};
use kith_scylla::CqlConfig;

pub(crate) mod doctor;
pub(crate) mod migrate;
pub(crate) mod serve;

/// How much larger than its body an event can be: names become ids, of at most as many traits as one body may have.
const EVENT_MARGIN_BYTES: usize = 1 << 20;

/// Configurations of both engines. The log takes the event of the largest body: one that it refuses would be found too large
/// only after its identifiers were claimed.
pub(crate) fn configure(settings: &Settings) -> Result<(CqlConfig, KafkaConfig), ConfigError> {
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
