//! What an operator says about the log. Plain values: where they come from (file, environment, flags) is the runtime's
//! business, and so are the names of settings without one here.

mod check;
mod halves;
mod security;
pub mod setting;
mod topic;

use crate::error::ConfigError;
use check::{invalid, present, topic_name};

pub use halves::{Assignor, ConsumerConfig, ProducerConfig};
pub use security::{SaslMechanism, SecurityConfig, SecurityProtocol};
pub use topic::TopicConfig;

/// Everything about the log.
#[derive(Debug, Clone)]
pub struct KafkaConfig {
    /// Some brokers of the cluster, `host:port` with commas between. Default `127.0.0.1:9092`.
    pub bootstrap: String,
    /// What brokers call this process in their logs and quotas. Default `kith`.
    pub client_id: String,
    /// How to talk to brokers.
    pub security: SecurityConfig,
    /// The topic of trait events. Default `kith.traits`.
    pub traits_topic: String,
    /// The topic of dead letters; by default the traits topic's name with `.dead` behind it.
    pub dead_letter_topic: Option<String>,
    /// What `migrate` makes of the topics.
    pub topics: TopicConfig,
    /// The producing half.
    pub producer: ProducerConfig,
    /// The consuming half.
    pub consumer: ConsumerConfig,
}

impl Default for KafkaConfig {
    fn default() -> Self {
        Self {
            bootstrap: "127.0.0.1:9092".to_owned(),
            client_id: "kith".to_owned(),
            security: SecurityConfig::default(),
            traits_topic: "kith.traits".to_owned(),
            dead_letter_topic: None,
            topics: TopicConfig::default(),
            producer: ProducerConfig::default(),
            consumer: ConsumerConfig::default(),
        }
    }
}

impl KafkaConfig {
    /// The topic of dead letters.
    #[must_use]
    pub fn dead_letter_topic(&self) -> String {
        self.dead_letter_topic
            .clone()
            .unwrap_or_else(|| format!("{}.dead", self.traits_topic))
    }

    /// Checks all of it. Every constructor of this crate does, too.
    ///
    /// # Errors
    /// The first setting that cannot be.
    pub fn validate(&self) -> Result<(), ConfigError> {
        present(setting::BOOTSTRAP, &self.bootstrap)?;
        topic_name(setting::TRAITS_TOPIC, &self.traits_topic)?;
        topic_name(setting::DEAD_LETTER_TOPIC, &self.dead_letter_topic())?;
        if self.dead_letter_topic() == self.traits_topic {
            return Err(invalid(
                setting::DEAD_LETTER_TOPIC,
                &self.traits_topic,
                "dead letters in the traits topic would be read as events for ever",
            ));
        }
        self.security.validate()?;
        self.topics.validate()?;
        self.producer.validate(&self.topics)?;
        self.consumer.validate()
    }
}

#[cfg(test)]
mod tests;
