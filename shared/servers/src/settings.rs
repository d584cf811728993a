//! Settings become configurations of engines, checked whole before anything is started.

use kith_domain::event::record_bytes_max;
use kith_kafka::config::SecurityConfig;
use kith_kafka::{KafkaConfig, SetupError, check_files};
use kith_runtime::config::{ByteSize, ConfigError, Setting, Settings, table};
use kith_scylla::CqlConfig;

/// What is fetched ahead hides a round trip to the broker, no more: what is in flight has a budget of its own.
const PREFETCH_BYTES: usize = 16 << 20;

/// The database.
///
/// # Errors
/// Names the setting that is wrong.
pub fn cql(settings: &Settings) -> Result<CqlConfig, ConfigError> {
    let config = CqlConfig {
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
        cert_file: settings.get_opt(&table::CQL_CERT_FILE)?,
        key_file: settings.get_opt(&table::CQL_KEY_FILE)?,
        ..CqlConfig::default()
    };
    let refuse = |error: kith_scylla::ConfigError| {
        let setting = setting_of(&error);
        let reason = error.to_string();
        let named = format!("{}: ", setting.variable());
        settings.refuse(setting, reason.trim_start_matches(&named))
    };
    config.validate().map_err(refuse)?;
    // Connecting reads them again; whoever starts with a wrong one is told at once, as of any other setting.
    config.check_files().map_err(refuse)?;
    Ok(config)
}

/// Which setting an error of the database's is about.
fn setting_of(error: &kith_scylla::ConfigError) -> &'static Setting {
    use kith_scylla::ConfigError as Cql;
    match error {
        Cql::NoNodes | Cql::ZeroTimeout => &table::CQL_NODES,
        Cql::BadKeyspace(_) => &table::CQL_KEYSPACE,
        Cql::UnknownWord { .. } => &table::CQL_DIALECT,
        Cql::HalfCredentials => &table::CQL_USERNAME,
        Cql::HalfCertificate | Cql::UselessCertificate => &table::CQL_CERT_FILE,
        Cql::TlsUnsupported => &table::CQL_CA_FILE,
        Cql::File { setting, .. } => {
            let files = [
                &table::CQL_CA_FILE,
                &table::CQL_CERT_FILE,
                &table::CQL_KEY_FILE,
            ];
            let named = files.into_iter().find(|file| file.variable() == *setting);
            named.unwrap_or(&table::CQL_CA_FILE)
        }
    }
}

/// The log, for a process of this name. The settings of the consumer group are taken by a process that consumes. Whoever makes or
/// checks topics, writes or buries records goes by the largest body.
///
/// # Errors
/// Names the setting that is wrong.
pub fn kafka(
    settings: &Settings,
    client: &str,
    consumes: bool,
) -> Result<KafkaConfig, ConfigError> {
    let mut kafka = KafkaConfig {
        bootstrap: settings.get(&table::KAFKA_BOOTSTRAP)?,
        client_id: client.to_owned(),
        security: SecurityConfig {
            protocol: settings.parse(&table::KAFKA_SECURITY_PROTOCOL)?,
            sasl_mechanism: match settings.text(&table::KAFKA_SASL_MECHANISM) {
                Some(_) => Some(settings.parse(&table::KAFKA_SASL_MECHANISM)?),
                None => None,
            },
            sasl_username: settings.get_opt(&table::KAFKA_SASL_USERNAME)?,
            sasl_password: settings.secret(&table::KAFKA_SASL_PASSWORD_FILE)?,
            ca_file: settings.get_opt(&table::KAFKA_CA_FILE)?,
            cert_file: settings.get_opt(&table::KAFKA_CERT_FILE)?,
            key_file: settings.get_opt(&table::KAFKA_KEY_FILE)?,
        },
        traits_topic: settings.get(&table::KAFKA_TRAITS_TOPIC)?,
        dead_letter_topic: settings.get_opt(&table::KAFKA_DEAD_LETTER_TOPIC)?,
        ..KafkaConfig::default()
    };
    let topics = &mut kafka.topics;
    topics.partitions = settings.get(&table::KAFKA_TOPIC_PARTITIONS)?;
    topics.replication_factor = settings.get(&table::KAFKA_REPLICATION_FACTOR)?;
    topics.min_insync_replicas = match settings.get_opt(&table::KAFKA_MIN_INSYNC_REPLICAS)? {
        Some(replicas) => replicas,
        // All of few: one copy cannot wait for a second.
        None => topics.min_insync_replicas.min(topics.replication_factor),
    };
    topics.retention = settings.get(&table::KAFKA_RETENTION)?;
    let body: ByteSize = settings.get(&table::BODY_BYTES_MAX)?;
    topics.record_bytes_max = record_bytes_max(body.as_usize()).max(topics.record_bytes_max);
    // One on its way, and one that comes.
    let queue = &mut kafka.producer.queue_bytes;
    *queue = topics.record_bytes_max.saturating_mul(2).max(*queue);
    if consumes {
        let consumer = &mut kafka.consumer;
        consumer.group = settings.get(&table::KAFKA_GROUP)?;
        consumer.group_instance_id = settings.get_opt(&table::KAFKA_GROUP_INSTANCE_ID)?;
        consumer.session_timeout = settings.get(&table::KAFKA_SESSION_TIMEOUT)?;
        consumer.max_poll_interval = consumer.max_poll_interval.max(consumer.session_timeout);
        consumer.prefetch_bytes = PREFETCH_BYTES;
    }
    kafka.validate().map_err(|error| refused(&error))?;
    check_files(&kafka).map_err(|error| refused_by_library(&error))?;
    Ok(kafka)
}

/// An error of the client library's, which knows settings by its own names of them.
fn refused_by_library(error: &SetupError) -> ConfigError {
    let protocol = table::KAFKA_SECURITY_PROTOCOL.variable();
    match error {
        SetupError::Config(error) => refused(error),
        SetupError::Client { setting, error } => {
            ConfigError::new(setting.unwrap_or(&protocol), error)
        }
        SetupError::Unreachable { .. } | SetupError::Refused { .. } | SetupError::Thread(_) => {
            ConfigError::new(protocol, error)
        }
    }
}

/// An error of the log's, which names its setting itself.
fn refused(error: &kith_kafka::ConfigError) -> ConfigError {
    use kith_kafka::ConfigError as Kafka;
    let (Kafka::Missing { setting, .. }
    | Kafka::Useless { setting, .. }
    | Kafka::Invalid { setting, .. }
    | Kafka::NeedsTls { setting, .. }) = error;
    let reason = error.to_string();
    ConfigError::new(*setting, reason.trim_start_matches(setting).trim_start())
}

#[cfg(test)]
mod tests {
    use clap::Command;
    use kith_runtime::config::SettingSet;

    use super::*;

    fn load(variables: &[(&str, &str)]) -> Settings {
        let taken = SettingSet::new("test")
            .take(table::CQL)
            .take(table::KAFKA)
            .take(table::KAFKA_TOPICS)
            .take(table::KAFKA_CONSUMER)
            .take(&[&table::BODY_BYTES_MAX]);
        let command = taken.command(Command::new("test"));
        let matches = taken.parse(command, ["test"]).unwrap();
        let variable = |name: &str| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| (*value).into())
        };
        taken.load_from(&matches, &variable).unwrap()
    }

    #[test]
    fn without_any_setting_the_engines_have_their_defaults() {
        let settings = load(&[]);
        let (cql, kafka) = (
            cql(&settings).unwrap(),
            kafka(&settings, "test", true).unwrap(),
        );
        assert_eq!(cql.nodes, ["127.0.0.1:9042"]);
        assert_eq!(kafka.bootstrap, "127.0.0.1:9092");
        assert_eq!(kafka.traits_topic, "kith.traits");
        assert_eq!(kafka.consumer.group, "kith.trait-worker");
        assert_eq!(
            (kafka.topics.partitions, kafka.topics.replication_factor),
            (24, 3)
        );
    }

    #[test]
    fn one_replica_is_enough_where_there_is_one() {
        let settings = load(&[("KITH_KAFKA_REPLICATION_FACTOR", "1")]);
        assert_eq!(
            kafka(&settings, "test", false)
                .unwrap()
                .topics
                .min_insync_replicas,
            1
        );
    }

    #[test]
    fn the_log_takes_the_record_of_the_largest_body_whatever_that_is() {
        for (setting, bytes) in [("1KiB", 1 << 10), ("4MiB", 4 << 20), ("64MiB", 64 << 20)] {
            let settings = load(&[("KITH_BODY_BYTES_MAX", setting)]);
            for consumes in [false, true] {
                let kafka = kafka(&settings, "test", consumes).unwrap();
                let taken = kafka.topics.record_bytes_max;
                assert!(taken >= record_bytes_max(bytes), "{setting}");
                assert!(taken >= KafkaConfig::default().topics.record_bytes_max);
                assert!(kafka.producer.queue_bytes >= 2 * taken);
            }
        }
    }

    #[test]
    fn what_only_an_engine_knows_to_be_wrong_is_refused_by_name() {
        let settings = load(&[("KITH_CQL_KEYSPACE", "Not-A-Keyspace")]);
        let error = cql(&settings).unwrap_err().to_string();
        assert!(error.starts_with("KITH_CQL_KEYSPACE"), "{error}");
        assert_eq!(error.matches("KITH_CQL_KEYSPACE").count(), 1, "{error}");
        let settings = load(&[("KITH_KAFKA_TRAITS_TOPIC", "not a topic")]);
        let error = kafka(&settings, "test", false).unwrap_err();
        assert!(
            error.to_string().contains("KITH_KAFKA_TRAITS_TOPIC"),
            "{error}"
        );
    }

    /// A file with this content, in a folder that is removed with it.
    #[cfg(feature = "ssl")]
    fn file(content: &str) -> (tempfile::TempDir, String) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.pem");
        std::fs::write(&path, content).unwrap();
        let text = path.display().to_string();
        (folder, text)
    }

    #[cfg(feature = "ssl")]
    #[test]
    fn a_file_without_certificates_is_refused_before_anything_is_asked() {
        let (_folder, path) = file("no certificate\n");
        let settings = load(&[("KITH_CQL_CA_FILE", &path)]);
        assert_eq!(
            cql(&settings).unwrap_err().to_string(),
            format!("KITH_CQL_CA_FILE (environment): {path} holds no certificate (PEM)")
        );
        let settings = load(&[
            ("KITH_KAFKA_SECURITY_PROTOCOL", "SSL"),
            ("KITH_KAFKA_CA_FILE", &path),
        ]);
        let error = kafka(&settings, "test", false).unwrap_err().to_string();
        assert!(error.starts_with("KITH_KAFKA_CA_FILE: "), "{error}");
        let settings = load(&[
            ("KITH_KAFKA_SECURITY_PROTOCOL", "SSL"),
            ("KITH_KAFKA_CERT_FILE", &path),
            ("KITH_KAFKA_KEY_FILE", &path),
        ]);
        let error = kafka(&settings, "test", true).unwrap_err().to_string();
        assert!(error.starts_with("KITH_KAFKA_CERT_FILE: "), "{error}");
    }
}
