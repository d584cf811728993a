//! The engines of this binary, as the operator sets them up.

use std::time::Duration;

use kith_kafka::KafkaConfig;
use kith_kafka::config::SecurityConfig;
use kith_runtime::config::{ByteSize, ConfigError, Setting, Settings, table};
use kith_scylla::CqlConfig;
use trait_worker::InvalidMax;

pub(crate) mod clock;
pub(crate) mod doctor;
pub(crate) mod serve;

/// The window that `KITH_DEAD_LETTER_RATE_MAX` is about.
const INVALID_WINDOW: usize = 1_000;
/// What is fetched ahead hides a round trip to the broker, no more: what is in flight has a budget of its own.
const PREFETCH_BYTES: usize = 16 << 20;

/// The settings of everything that this binary is made of.
pub(crate) struct Servers {
    pub(crate) cql: CqlConfig,
    pub(crate) kafka: KafkaConfig,
    pub(crate) worker: trait_worker::Settings,
}

impl Servers {
    pub(crate) fn from(settings: &Settings) -> Result<Self, ConfigError> {
        let cql = cql(settings)?;
        cql.validate()
            .map_err(|error| settings.refuse(setting_of_cql(&error), error))?;
        let kafka = kafka(settings)?;
        kafka.validate().map_err(|error| refused_by_kafka(&error))?;
        let worker = worker(settings, &kafka)?;
        Ok(Self { cql, kafka, worker })
    }
}

fn cql(settings: &Settings) -> Result<CqlConfig, ConfigError> {
    Ok(CqlConfig {
        nodes: settings.get(&table::CQL_NODES)?,
        keyspace: settings.parse(&table::CQL_KEYSPACE)?,
        dialect: settings.parse(&table::CQL_DIALECT)?,
        replication_factor: settings.parse(&table::CQL_REPLICATION_FACTOR)?,
        local_dc: settings.get_opt(&table::CQL_LOCAL_DC)?,
        reach: settings.parse(&table::CQL_SERIAL)?,
        tablets: settings.parse(&table::CQL_TABLETS)?,
        username: settings.get_opt(&table::CQL_USERNAME)?,
        password: settings.secret(&table::CQL_PASSWORD_FILE)?,
        ca_file: settings.get_opt(&table::CQL_CA_FILE)?,
        ..CqlConfig::default()
    })
}

/// Which setting an error of the database's is about.
fn setting_of_cql(error: &kith_scylla::ConfigError) -> &'static Setting {
    use kith_scylla::ConfigError as Cql;
    match error {
        Cql::NoNodes | Cql::ZeroTimeout => &table::CQL_NODES,
        Cql::BadKeyspace(_) => &table::CQL_KEYSPACE,
        Cql::UnknownWord { .. } => &table::CQL_DIALECT,
        Cql::HalfCredentials => &table::CQL_USERNAME,
        Cql::TlsUnsupported => &table::CQL_CA_FILE,
    }
}

/// An error of the log's, which names its setting itself.
fn refused_by_kafka(error: &kith_kafka::ConfigError) -> ConfigError {
    use kith_kafka::ConfigError as Kafka;
    let (Kafka::Missing { setting, .. }
    | Kafka::Useless { setting, .. }
    | Kafka::Invalid { setting, .. }
    | Kafka::NeedsTls { setting, .. }) = error;
    let reason = error.to_string();
    ConfigError::new(*setting, reason.trim_start_matches(setting).trim_start())
}

fn kafka(settings: &Settings) -> Result<KafkaConfig, ConfigError> {
    let mut kafka = KafkaConfig {
        bootstrap: settings.get(&table::KAFKA_BOOTSTRAP)?,
        client_id: "kith-trait-worker".to_owned(),
        security: SecurityConfig {
            protocol: settings.parse(&table::KAFKA_SECURITY_PROTOCOL)?,
            sasl_mechanism: match settings.text(&table::KAFKA_SASL_MECHANISM) {
                Some(_) => Some(settings.parse(&table::KAFKA_SASL_MECHANISM)?),
                None => None,
            },
            sasl_username: settings.get_opt(&table::KAFKA_SASL_USERNAME)?,
            sasl_password: settings.secret(&table::KAFKA_SASL_PASSWORD_FILE)?,
            ca_file: settings.get_opt(&table::KAFKA_CA_FILE)?,
            ..SecurityConfig::default()
        },
        traits_topic: settings.get(&table::KAFKA_TRAITS_TOPIC)?,
        dead_letter_topic: settings.get_opt(&table::KAFKA_DEAD_LETTER_TOPIC)?,
        ..KafkaConfig::default()
    };
    let topics = &mut kafka.topics;
    topics.partitions = settings.get(&table::KAFKA_TOPIC_PARTITIONS)?;
    topics.replication_factor = settings.get(&table::KAFKA_REPLICATION_FACTOR)?;
    topics.min_insync_replicas = topics.min_insync_replicas.min(topics.replication_factor);
    let consumer = &mut kafka.consumer;
    consumer.group = settings.get(&table::KAFKA_GROUP)?;
    consumer.group_instance_id = settings.get_opt(&table::KAFKA_GROUP_INSTANCE_ID)?;
    consumer.session_timeout = settings.get(&table::KAFKA_SESSION_TIMEOUT)?;
    consumer.max_poll_interval = consumer.max_poll_interval.max(consumer.session_timeout);
    consumer.prefetch_bytes = PREFETCH_BYTES;
    Ok(kafka)
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
