//! The settings of the client library, each with the reason why it is not the default.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use secrecy::ExposeSecret;

use crate::config::{KafkaConfig, setting};
use crate::error::{ConfigError, SetupError};

/// A consumer's requests wait on the broker's side (for records, for other members), so they get more time than a
/// producer's; still far less than the library's minute, so that a broker behind a dead link is noticed within a session.
pub(crate) const CONSUMER_REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Settings whose values nobody is shown.
const SECRETS: [&str; 1] = ["sasl.password"];

/// The settings of files, by the library's names of them.
const FILES: [(&str, &str); 3] = [
    ("ssl.ca.location", setting::CA_FILE),
    ("ssl.certificate.location", setting::CERT_FILE),
    ("ssl.key.location", setting::KEY_FILE),
];

/// What every client has.
fn base(config: &KafkaConfig) -> Result<ClientConfig, ConfigError> {
    config.validate()?;
    let mut client = ClientConfig::new();
    client
        .set_log_level(RDKafkaLogLevel::Info)
        .set("bootstrap.servers", &config.bootstrap)
        .set("client.id", &config.client_id)
        .set("security.protocol", config.security.protocol.as_str())
        // A topic that is not there is a mistake to be seen, not to be covered up by one of the broker's own shape.
        .set("allow.auto.create.topics", "false")
        // Partitions added during the run are seen within this time instead of five minutes.
        .set("topic.metadata.refresh.interval.ms", "30000")
        // Links that a firewall forgot are noticed without traffic.
        .set("socket.keepalive.enable", "true")
        // Brokers close idle links; that is no news.
        .set("log.connection.close", "false")
        // Back within a second of the broker's return, not ten.
        .set("reconnect.backoff.max.ms", "1000");
    if config.security.protocol.is_sasl() {
        if let Some(mechanism) = config.security.sasl_mechanism {
            client.set("sasl.mechanism", mechanism.as_str());
        }
        if let Some(username) = &config.security.sasl_username {
            client.set("sasl.username", username);
        }
        if let Some(password) = &config.security.sasl_password {
            client.set("sasl.password", password.expose_secret());
        }
    }
    let security = &config.security;
    let files = [&security.ca_file, &security.cert_file, &security.key_file];
    for ((key, setting), file) in FILES.into_iter().zip(files) {
        if let Some(path) = file {
            client.set(key, utf8(setting, path)?);
        }
    }
    Ok(client)
}

fn utf8<'a>(setting: &'static str, path: &'a Path) -> Result<&'a str, ConfigError> {
    path.to_str().ok_or_else(|| ConfigError::Invalid {
        setting,
        value: path.display().to_string(),
        problem: "the client library takes only paths in UTF-8",
    })
}

/// For topics.
pub(crate) fn admin(config: &KafkaConfig) -> Result<ClientConfig, ConfigError> {
    base(config)
}

/// For publishing (`engineering.md` 3.3).
pub(crate) fn producer(config: &KafkaConfig) -> Result<ClientConfig, ConfigError> {
    let mut client = base(config)?;
    let delivery = config.producer.delivery_timeout;
    // Two tries fit into one delivery, and the broker gives up on slow replicas a little before we give up on the broker:
    // an answer costs nothing, a link torn down costs everything that is in flight on it.
    let request = (delivery / 2).max(Duration::from_millis(100));
    let acknowledgement = request * 4 / 5;
    client
        .set("acks", "all")
        .set("enable.idempotence", "true")
        // A request waits for each acknowledgement. Batches still form while five are in flight.
        .set("linger.ms", "0")
        // What the Java clients use, so that a redrive by any tool finds the same partitions.
        .set("partitioner", "murmur2_random")
        .set("delivery.timeout.ms", millis(delivery))
        .set("socket.timeout.ms", millis(request))
        .set("request.timeout.ms", millis(acknowledgement))
        .set("socket.connection.setup.timeout.ms", "2000")
        .set(
            "message.max.bytes",
            config.topics.dead_letter_bytes_max().to_string(),
        )
        .set(
            "queue.buffering.max.messages",
            config.producer.queue_records.to_string(),
        )
        .set(
            "queue.buffering.max.kbytes",
            (config.producer.queue_bytes / 1024)
                .clamp(1, 2_097_151)
                .to_string(),
        )
        // Only the statistics say when the producer's id is there (`warm.rs`). One second is their granularity.
        .set("statistics.interval.ms", "1000");
    Ok(client)
}

/// For consuming (`engineering.md` 3.4).
pub(crate) fn consumer(config: &KafkaConfig) -> Result<ClientConfig, ConfigError> {
    let mut client = base(config)?;
    let consumer = &config.consumer;
    // Each partition has a queue of its own, and so these limits are per partition.
    let share = (consumer.prefetch_bytes / usize::from(config.topics.partitions))
        .clamp(64 * 1024, 64 * 1024 * 1024);
    client
        .set("group.id", &consumer.group)
        .set("partition.assignment.strategy", consumer.assignor.as_str())
        .set("session.timeout.ms", millis(consumer.session_timeout))
        .set(
            "heartbeat.interval.ms",
            millis((consumer.session_timeout / 3).min(Duration::from_secs(3))),
        )
        .set("max.poll.interval.ms", millis(consumer.max_poll_interval))
        .set("enable.auto.commit", "true")
        .set(
            "auto.commit.interval.ms",
            millis(consumer.commit_interval.max(Duration::from_millis(10))),
        )
        // An offset is stored when its records are persisted, not when they are handed out.
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest")
        .set("socket.timeout.ms", millis(CONSUMER_REQUEST_TIMEOUT))
        .set("queued.min.messages", consumer.prefetch_records.to_string())
        .set("queued.max.messages.kbytes", (share / 1024).to_string())
        .set("max.partition.fetch.bytes", share.to_string())
        // With queues this short the default of a second between a full queue and the next fetch would be all that one
        // sees of the throughput.
        .set("fetch.queue.backoff.ms", "10")
        .set("fetch.error.backoff.ms", "100");
    if let Some(id) = &consumer.group_instance_id {
        client.set("group.instance.id", id);
    }
    Ok(client)
}

/// For reading without a group. The library wants a name for its books all the same; nobody joins under it and nothing is
/// committed, so the cluster never makes such a group.
pub(crate) fn reader(config: &KafkaConfig) -> Result<ClientConfig, ConfigError> {
    let mut client = consumer(config)?;
    client.remove("group.instance.id");
    client
        .set("group.id", format!("{}.read", config.consumer.group))
        .set("enable.auto.commit", "false")
        // The end of a partition is told, since its last offsets need not be records.
        .set("enable.partition.eof", "true");
    Ok(client)
}

/// What [`KafkaLog`](crate::KafkaLog) sets of the client library, by name: for whoever measures the library alone. Secrets are
/// left out.
///
/// # Errors
/// The first setting that cannot be.
pub fn producer_settings(config: &KafkaConfig) -> Result<BTreeMap<String, String>, ConfigError> {
    producer(config).map(|client| by_name(&client))
}

/// What [`KafkaSource`](crate::KafkaSource) sets of the client library, likewise.
///
/// # Errors
/// The first setting that cannot be.
pub fn consumer_settings(config: &KafkaConfig) -> Result<BTreeMap<String, String>, ConfigError> {
    consumer(config).map(|client| by_name(&client))
}

fn by_name(client: &ClientConfig) -> BTreeMap<String, String> {
    let settings = client.config_map().into_iter();
    settings
        .filter(|(name, _)| !SECRETS.contains(name))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}

/// The library names files by settings of its own, and quotes the value that it refuses; not if it is a secret.
pub(crate) fn refused(error: KafkaError) -> SetupError {
    let told = error.to_string();
    let named = FILES.iter().find(|(name, _)| told.contains(name));
    let setting = match named {
        Some((_, setting)) => Some(*setting),
        // That it does not go with the certificate.
        None if told.contains("Private key check failed") => Some(setting::KEY_FILE),
        None => None,
    };
    if let KafkaError::ClientConfig(result, description, key, _) = &error
        && SECRETS.contains(&key.as_str())
    {
        let hidden = "(secret)".to_owned();
        let error = KafkaError::ClientConfig(*result, description.clone(), key.clone(), hidden);
        return SetupError::Client { setting, error };
    }
    SetupError::Client { setting, error }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{SaslMechanism, SecurityProtocol};

    #[test]
    fn settings_are_told_without_the_secrets_among_them() {
        let mut config = KafkaConfig::default();
        config.security.protocol = SecurityProtocol::SaslPlaintext;
        config.security.sasl_mechanism = Some(SaslMechanism::ScramSha256);
        config.security.sasl_username = Some("somebody".to_owned());
        config.security.sasl_password = Some("hidden".to_owned().into());
        let settings = producer_settings(&config).unwrap();
        assert_eq!(settings["acks"], "all");
        assert_eq!(settings["sasl.username"], "somebody");
        assert!(!settings.contains_key("sasl.password"));
        let settings = consumer_settings(&config).unwrap();
        assert_eq!(settings["enable.auto.offset.store"], "false");
        assert!(!settings.contains_key("sasl.password"));
    }
}
