//! The engines of this binary, as the operator sets them up.

use kith_kafka::KafkaConfig;
use kith_runtime::config::{ConfigError, Settings};
use kith_scylla::CqlConfig;

pub(crate) mod migrate;
pub(crate) mod serve;

/// Configurations of both engines.
pub(crate) fn configure(settings: &Settings) -> Result<(CqlConfig, KafkaConfig), ConfigError> {
    Ok((kith_servers::cql(settings)?, kith_servers::kafka(settings, "kith-ingest-api", false)?))
}

/// Prints for whoever runs the command.
#[expect(clippy::print_stdout, reason = "the answer to a command, not a log line")]
pub(crate) fn say(text: &str) {
    println!("{text}");
}
