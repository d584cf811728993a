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
    let mut kafka = kith_servers::kafka(settings, "kith-ingest-api", false)?;
    // Whoever was let in has claimed when it comes to publish, and must not find the queue full then.
    let queue = &mut kafka.producer.queue_records;
    *queue = (*queue).max(settings.get(&table::REQUESTS_IN_FLIGHT_MAX)?);
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

#[cfg(test)]
mod tests {
    use clap::Command;

    use super::*;

    #[test]
    fn as_many_records_may_wait_as_requests_may_be_worked_on() {
        let queue = |requests: &str| {
            let command = taken().command(Command::new("test"));
            let matches = taken().parse(command, ["test"]).unwrap();
            let variable =
                |name: &str| (name == "KITH_REQUESTS_IN_FLIGHT_MAX").then(|| requests.into());
            let settings = taken().load_from(&matches, &variable).unwrap();
            configure(&settings).unwrap().1.producer.queue_records
        };
        assert_eq!(queue("8"), 4_096);
        assert_eq!(queue("10000"), 10_000);
    }
}
