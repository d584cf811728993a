//! The topics: created by `migrate`, looked at by `doctor`.
//!
//! A topic that is there is never changed: more partitions, other limits and replicas are the operator's decisions, with
//! tools that show what they cost. [`check_topics`] says what differs.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kith_profiles::ports::Created;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::config::{KafkaConfig, TopicConfig};
use crate::error::SetupError;
use crate::{client, probe};

type Admin = AdminClient<DefaultClientContext>;

/// How long a cluster may take to answer one question about its topics.
const LIMIT: Duration = Duration::from_secs(10);

/// A property of a topic that is not as the settings want it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Which topic.
    pub topic: String,
    /// Which property, by Kafka's name of it.
    pub property: &'static str,
    /// What the settings want.
    pub wanted: String,
    /// What the cluster has.
    pub found: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "topic {}: {} is {}, wanted {}",
            self.topic, self.property, self.found, self.wanted
        )
    }
}

/// A topic as the settings want it.
struct Wanted {
    name: String,
    bytes_max: usize,
}

/// Creates the traits topic and the dead-letter topic where they are missing. Repeating it is safe, also by several
/// processes at once. One answer a topic, the traits topic first. A new topic is there for everybody when this returns.
///
/// # Errors
/// [`SetupError::Unreachable`]: try again. [`SetupError::Refused`]: more replicas than brokers, or no right to.
pub async fn ensure_topics(config: &KafkaConfig) -> Result<Vec<(String, Created)>, SetupError> {
    let admin = admin(config).await?;
    let shape = Shape::of(&config.topics);
    let mut created = Vec::new();
    for wanted in wanted(config) {
        let bytes_max = wanted.bytes_max.to_string();
        let topic = shape.new_topic(&wanted.name, &bytes_max);
        let results = admin
            .create_topics([&topic], &options())
            .await
            .map_err(unreachable)?;
        for result in results {
            created.push(match result {
                Ok(name) => {
                    tracing::info!(topic = name, "topic created");
                    (name, Created::Now)
                }
                Err((name, RDKafkaErrorCode::TopicAlreadyExists)) => (name, Created::Already),
                Err((topic, code)) => return Err(SetupError::Refused { topic, code }),
            });
        }
        settled(&admin, &wanted.name).await?;
    }
    finish(admin).await;
    Ok(created)
}

/// Compares the topics with the settings. Empty if all is well; larger limits and more partitions than wanted are.
///
/// # Errors
/// [`SetupError::Unreachable`]: try again. [`SetupError::Refused`]: no right to look.
pub async fn check_topics(config: &KafkaConfig) -> Result<Vec<Difference>, SetupError> {
    let admin = admin(config).await?;
    let mut differences = Vec::new();
    for wanted in wanted(config) {
        match describe(&admin, &wanted.name).await? {
            Some(found) => found.compare(&wanted, &config.topics, &mut differences),
            None => differences.push(Difference {
                topic: wanted.name,
                property: "topic",
                wanted: "there".to_owned(),
                found: "missing".to_owned(),
            }),
        }
    }
    finish(admin).await;
    Ok(differences)
}

/// Waits until brokers know the topic: they hear of it a moment after the controller has created it.
async fn settled(admin: &Arc<Admin>, topic: &str) -> Result<(), SetupError> {
    let start = Instant::now();
    loop {
        match describe(admin, topic).await {
            Ok(Some(_)) => return Ok(()),
            Ok(None) | Err(SetupError::Refused { .. }) if start.elapsed() < LIMIT => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Ok(None) => {
                let code = RDKafkaErrorCode::OperationTimedOut;
                return Err(unreachable(KafkaError::MetadataFetch(code)));
            }
            Err(error) => return Err(error),
        }
    }
}

fn wanted(config: &KafkaConfig) -> [Wanted; 2] {
    [
        Wanted {
            name: config.traits_topic.clone(),
            bytes_max: config.topics.record_bytes_max,
        },
        Wanted {
            name: config.dead_letter_topic(),
            bytes_max: config.topics.dead_letter_bytes_max(),
        },
    ]
}

/// The settings in Kafka's words.
struct Shape {
    partitions: i32,
    replication_factor: i32,
    min_insync_replicas: String,
    retention_ms: String,
}

impl Shape {
    fn of(topics: &TopicConfig) -> Self {
        Self {
            partitions: i32::from(topics.partitions),
            replication_factor: i32::from(topics.replication_factor),
            min_insync_replicas: topics.min_insync_replicas.to_string(),
            retention_ms: topics.retention.as_millis().to_string(),
        }
    }

    fn new_topic<'a>(&'a self, name: &'a str, bytes_max: &'a str) -> NewTopic<'a> {
        NewTopic::new(
            name,
            self.partitions,
            TopicReplication::Fixed(self.replication_factor),
        )
        // Never compaction: two events of one person are two facts.
        .set("cleanup.policy", "delete")
        .set("retention.ms", &self.retention_ms)
        .set("min.insync.replicas", &self.min_insync_replicas)
        .set("max.message.bytes", bytes_max)
    }
}

/// A topic as the cluster has it.
struct Found {
    partitions: usize,
    replication_factor: usize,
    settings: HashMap<String, String>,
}

impl Found {
    fn compare(&self, wanted: &Wanted, topics: &TopicConfig, differences: &mut Vec<Difference>) {
        let mut note = |property, wanted_value: String, found: String| {
            differences.push(Difference {
                topic: wanted.name.clone(),
                property,
                wanted: wanted_value,
                found,
            });
        };
        let partitions = usize::from(topics.partitions);
        if self.partitions < partitions {
            note(
                "partitions",
                at_least(partitions),
                self.partitions.to_string(),
            );
        }
        let replicas = usize::from(topics.replication_factor);
        if self.replication_factor < replicas {
            note(
                "replication.factor",
                at_least(replicas),
                self.replication_factor.to_string(),
            );
        }
        let policy = self.setting("cleanup.policy");
        if policy != "delete" {
            note("cleanup.policy", "delete".to_owned(), policy.to_owned());
        }
        let retention = i64::try_from(topics.retention.as_millis()).unwrap_or(i64::MAX);
        let numbers = [
            ("retention.ms", retention),
            ("min.insync.replicas", i64::from(topics.min_insync_replicas)),
            (
                "max.message.bytes",
                i64::try_from(wanted.bytes_max).unwrap_or(i64::MAX),
            ),
        ];
        for (property, least) in numbers {
            let text = self.setting(property);
            // A retention of -1 is for ever.
            let enough = text
                .parse::<i64>()
                .is_ok_and(|found| found >= least || (property == "retention.ms" && found == -1));
            if !enough {
                note(property, at_least(least), text.to_owned());
            }
        }
    }

    fn setting(&self, name: &str) -> &str {
        self.settings.get(name).map_or("unknown", String::as_str)
    }
}

fn at_least(number: impl fmt::Display) -> String {
    format!("at least {number}")
}

async fn describe(admin: &Arc<Admin>, topic: &str) -> Result<Option<Found>, SetupError> {
    let (client, name) = (Arc::clone(admin), topic.to_owned());
    let metadata =
        tokio::task::spawn_blocking(move || client.inner().fetch_metadata(Some(&name), LIMIT))
            .await
            .unwrap_or(Err(KafkaError::Canceled))
            .map_err(unreachable)?;
    let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else {
        return Ok(None);
    };
    let refused = |code| SetupError::Refused {
        topic: topic.to_owned(),
        code,
    };
    match found.error().map(RDKafkaErrorCode::from) {
        None => {}
        Some(RDKafkaErrorCode::UnknownTopicOrPartition) => return Ok(None),
        Some(code) => return Err(refused(code)),
    }
    let replicas = found.partitions().iter().map(|p| p.replicas().len());
    let mut result = Found {
        partitions: found.partitions().len(),
        replication_factor: replicas.min().unwrap_or(0),
        settings: HashMap::new(),
    };
    let resources = admin
        .describe_configs([&ResourceSpecifier::Topic(topic)], &options())
        .await
        .map_err(unreachable)?;
    for resource in resources {
        let entries = resource.map_err(refused)?.entries;
        result.settings.extend(
            entries
                .into_iter()
                .filter_map(|entry| Some((entry.name, entry.value?))),
        );
    }
    Ok(Some(result))
}

/// The client for topics, once it is known that there is a cluster.
async fn admin(config: &KafkaConfig) -> Result<Arc<Admin>, SetupError> {
    probe::reach(config, LIMIT).await?;
    let admin: Admin = client::admin(config)?.create().map_err(client::refused)?;
    Ok(Arc::new(admin))
}

pub(crate) fn unreachable(error: KafkaError) -> SetupError {
    SetupError::Unreachable {
        error,
        reported: None,
    }
}

/// Dropping the client waits for its thread.
async fn finish(admin: Arc<Admin>) {
    tokio::task::spawn_blocking(move || drop(admin)).await.ok();
}

fn options() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(LIMIT))
        .operation_timeout(Some(LIMIT))
}

#[cfg(test)]
mod tests;
