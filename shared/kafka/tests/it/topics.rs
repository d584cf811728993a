use kith_kafka::{SetupError, check_topics, ensure_topics};
use kith_profiles::ports::Created;

use crate::harness::config;

#[tokio::test]
async fn topics_are_created_once_and_are_then_as_wanted() {
    let config = config(3);
    let missing = check_topics(&config).await.unwrap();
    assert_eq!(missing.len(), 2, "{missing:?}");
    assert!(missing.iter().all(|d| d.found == "missing"), "{missing:?}");

    let traits = config.traits_topic.clone();
    let dead = format!("{traits}.dead");
    assert_eq!(
        ensure_topics(&config).await.unwrap(),
        [(traits.clone(), Created::Now), (dead.clone(), Created::Now)]
    );
    assert_eq!(
        ensure_topics(&config).await.unwrap(),
        [(traits, Created::Already), (dead, Created::Already)]
    );
    assert_eq!(check_topics(&config).await.unwrap(), []);
}

#[tokio::test]
async fn what_differs_from_the_settings_is_said() {
    let mut config = config(3);
    ensure_topics(&config).await.unwrap();
    config.topics.partitions = 6;
    config.topics.record_bytes_max *= 2;
    config.producer.queue_bytes *= 2;
    let differences = check_topics(&config).await.unwrap();
    let traits: Vec<_> = differences
        .iter()
        .filter(|d| d.topic == config.traits_topic)
        .map(ToString::to_string)
        .collect();
    let topic = &config.traits_topic;
    assert_eq!(
        traits,
        [
            format!("topic {topic}: partitions is 3, wanted at least 6"),
            format!("topic {topic}: max.message.bytes is 8388608, wanted at least 16777216"),
        ]
    );
    assert_eq!(
        differences.len(),
        4,
        "the dead-letter topic has the same two"
    );
}

#[tokio::test]
async fn more_replicas_than_brokers_are_refused_by_name() {
    let mut config = config(1);
    config.topics.replication_factor = 99;
    match ensure_topics(&config).await {
        Err(SetupError::Refused { topic, .. }) => assert_eq!(topic, config.traits_topic),
        other => panic!("{other:?}"),
    }
}
