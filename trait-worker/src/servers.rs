//! The engines of this binary, as the operator sets them up.

use std::time::Duration;

use kith_kafka::KafkaConfig;
use kith_runtime::config::{ByteSize, ConfigError, Settings, table};
use kith_scylla::CqlConfig;
use trait_worker::InvalidMax;

mod command;
pub(crate) mod letters;
mod pace;
mod place;
pub(crate) mod replay;
pub(crate) mod serve;

/// The window that `KITH_DEAD_LETTER_RATE_MAX` is about.
const INVALID_WINDOW: usize = 1_000;
/// The settings of everything that this binary is made of.
pub(crate) struct Servers {
    pub(crate) cql: CqlConfig,
    pub(crate) kafka: KafkaConfig,
    pub(crate) worker: trait_worker::Settings,
}

impl Servers {
    pub(crate) fn from(settings: &Settings) -> Result<Self, ConfigError> {
        let (cql, kafka) = configure(settings)?;
        let worker = worker(settings, &kafka)?;
        Ok(Self { cql, kafka, worker })
    }
}

/// Configurations of both engines.
pub(crate) fn configure(settings: &Settings) -> Result<(CqlConfig, KafkaConfig), ConfigError> {
    Ok((
        kith_servers::cql(settings)?,
        kith_servers::kafka(settings, "kith-trait-worker", true)?,
    ))
}

fn worker(settings: &Settings, kafka: &KafkaConfig) -> Result<trait_worker::Settings, ConfigError> {
    let bytes: ByteSize = settings.get(&table::RECORD_BYTES_IN_FLIGHT_MAX)?;
    let grace: Duration = settings.get(&table::SHUTDOWN_GRACE)?;
    Ok(trait_worker::Settings {
        topic: kafka.traits_topic.clone(),
        group: kafka.consumer.group.clone(),
        system: "kafka",
        records_in_flight_max: settings.get(&table::RECORDS_IN_FLIGHT_MAX)?,
        record_bytes_in_flight_max: bytes.as_usize(),
        invalid_max: Some(InvalidMax {
            records: settings.get(&table::DEAD_LETTER_RATE_MAX)?,
            window: INVALID_WINDOW,
        }),
        // The rest is for handing partitions back, and for the other stages of the process.
        drain: grace / 2,
        close: grace / 5,
        ..trait_worker::Settings::default()
    })
}

/// Prints for whoever runs the command.
#[expect(
    clippy::print_stdout,
    reason = "the answer to a command, not a log line"
)]
pub(crate) fn say(text: &str) {
    println!("{text}");
}
