//! What a broker cannot be made to answer on demand, on the client library's mock cluster. It knows neither the admin
//! requests nor the cooperative protocol. What a publish makes of the broker's errors is row 9 of `tests/faults`.

use std::time::{Duration, Instant};

use kith_kafka::config::Assignor;
use kith_kafka::{KafkaConfig, KafkaLog};
use kith_profiles::error::{PortError, PublishError};
use kith_profiles::ports::{NextOffset, Partition, TraitLog, TraitSource};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use crate::harness::{Member, PATIENCE, SESSION, record, until_shared};

type Cluster = MockCluster<'static, DefaultProducerContext>;

fn cluster(partitions: u16) -> (Cluster, KafkaConfig) {
    let cluster = MockCluster::new(1).expect("a mock cluster");
    let mut config = KafkaConfig {
        bootstrap: cluster.bootstrap_servers(),
        traits_topic: "mock.traits".to_owned(),
        ..KafkaConfig::default()
    };
    config.topics.partitions = partitions;
    config.topics.replication_factor = 1;
    config.topics.min_insync_replicas = 1;
    config.consumer.group = "mock.group".to_owned();
    config.consumer.assignor = Assignor::Range;
    config.consumer.session_timeout = SESSION;
    cluster
        .create_topic(&config.traits_topic, i32::from(partitions), 1)
        .expect("a topic");
    (cluster, config)
}

async fn warm(config: &KafkaConfig) -> KafkaLog {
    let log = KafkaLog::new(config).expect("a producer");
    log.warm(PATIENCE).await.expect("warm");
    log
}

/// Publishes while the broker answers `error` once.
async fn publish_against(error: RDKafkaRespErr) -> (Result<(), PublishError>, Duration) {
    let (cluster, config) = cluster(1);
    let log = warm(&config).await;
    cluster.request_errors(RDKafkaApiKey::Produce, &[error]);
    let start = Instant::now();
    let outcome = log.publish(record("key", "1")).await;
    (outcome, start.elapsed())
}

#[tokio::test]
async fn a_link_that_breaks_before_the_answer_is_tried_again() {
    let error = RDKafkaRespErr::RD_KAFKA_RESP_ERR__TRANSPORT;
    let (outcome, took) = publish_against(error).await;
    assert!(outcome.is_ok(), "{outcome:?} after {took:?}");
}

#[tokio::test]
async fn a_record_that_the_broker_already_has_is_published() {
    let error = RDKafkaRespErr::RD_KAFKA_RESP_ERR_DUPLICATE_SEQUENCE_NUMBER;
    let (outcome, _) = publish_against(error).await;
    assert!(outcome.is_ok(), "{outcome:?}");
}

#[tokio::test]
async fn a_producer_that_may_not_be_idempotent_is_broken_for_good() {
    let (cluster, config) = cluster(1);
    cluster.request_errors(
        RDKafkaApiKey::InitProducerId,
        &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED],
    );
    let log = KafkaLog::new(&config).unwrap();
    let warmed = log.warm(PATIENCE).await;
    assert!(matches!(warmed, Err(PortError::Fatal { .. })), "{warmed:?}");
    let failed = tokio::time::timeout(PATIENCE, log.failed()).await;
    assert!(matches!(failed, Ok(PortError::Fatal { .. })), "{failed:?}");
    let published = log.publish(record("key", "1")).await;
    assert!(
        matches!(published, Err(PublishError::Unavailable(_))),
        "{published:?}"
    );
}

#[tokio::test]
async fn a_sound_producer_has_not_failed() {
    let (_cluster, config) = cluster(1);
    let log = warm(&config).await;
    let failed = tokio::time::timeout(Duration::from_millis(300), log.failed()).await;
    assert!(failed.is_err(), "{failed:?}");
}

#[tokio::test]
async fn an_outage_is_unavailable_in_time_and_over_when_the_broker_is_back() {
    let (cluster, config) = cluster(1);
    let log = warm(&config).await;
    log.publish(record("key", "1")).await.unwrap();
    cluster.broker_down(-1).unwrap();
    let start = Instant::now();
    let published = log.publish(record("key", "2")).await;
    let took = start.elapsed();
    assert!(
        matches!(published, Err(PublishError::Unavailable(_))),
        "{published:?}"
    );
    assert!(took < Duration::from_millis(3300), "{took:?}");
    log.reachable(Duration::from_millis(300)).await.unwrap_err();

    cluster.broker_up(-1).unwrap();
    let start = Instant::now();
    while log.reachable(Duration::from_millis(500)).await.is_err() {
        assert!(start.elapsed() < Duration::from_secs(10));
    }
    log.publish(record("key", "3")).await.unwrap();
}

#[tokio::test]
async fn an_eager_group_moves_its_partitions_too() {
    let (_cluster, config) = cluster(4);
    let log = warm(&config).await;
    for number in 0..40 {
        log.publish(record(&format!("key-{number}"), number.to_string()))
            .await
            .unwrap();
    }
    let mut first = Member::join(&config);
    first.commits = true;
    first.until_records(40).await;
    // The mock refuses commits while members join; a broker does not.
    first.run_for(Duration::from_millis(1200)).await;
    let mut second = Member::join(&config);
    until_shared(&mut first, &mut second, (2, 2)).await;
    // In one round or in two, but the first round takes everything.
    let mut taken = first.revoked[..4].to_vec();
    taken.sort_unstable();
    assert_eq!(taken, (0..4).map(Partition).collect::<Vec<_>>());
    second.run_for(Duration::from_millis(500)).await;
    assert_eq!(second.records, [], "all was committed");
    tokio::join!(first.close(), second.close());
}

#[tokio::test]
async fn a_member_that_the_broker_does_not_know_any_more_has_lost_its_partitions() {
    let (cluster, config) = cluster(2);
    let log = warm(&config).await;
    let mut member = Member::join(&config);
    member.until_assigned(2).await;
    log.publish(record("key", "1")).await.unwrap();
    member.until_records(1).await;
    cluster.request_errors(
        RDKafkaApiKey::Heartbeat,
        &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID],
    );
    member.until("it hears of it", |m| m.lost.len() == 2).await;
    assert!(member.revoked.is_empty());
    let at = member.records[0].partition;
    member.source.commit(&[(at, NextOffset::new(1))]).unwrap();
    // It was not committed in time, so it comes again.
    member.until_assigned(2).await;
    member.until_records(2).await;
    assert_eq!(member.records[0], member.records[1]);
    member.close().await;
}

#[tokio::test]
async fn a_group_that_loses_its_broker_goes_on_when_it_is_back_and_its_end_is_bounded() {
    let (cluster, config) = cluster(1);
    let log = warm(&config).await;
    let mut member = Member::join(&config);
    member.until_assigned(1).await;
    cluster.broker_down(-1).unwrap();
    let start = Instant::now();
    while !matches!(
        member.step(PATIENCE).await,
        Some(Err(PortError::Unavailable { .. }))
    ) {
        assert!(start.elapsed() < PATIENCE);
    }
    cluster.broker_up(-1).unwrap();
    let start = Instant::now();
    while log.publish(record("key", "1")).await.is_err() {
        assert!(start.elapsed() < PATIENCE);
    }
    member.until_records(1).await;

    member.commit_all();
    cluster.broker_down(-1).unwrap();
    let start = Instant::now();
    let closed = member.source.close(Duration::from_secs(1)).await;
    assert!(
        matches!(closed, Err(PortError::Unavailable { .. })),
        "{closed:?}"
    );
    assert!(
        start.elapsed() < Duration::from_millis(1500),
        "{:?}",
        start.elapsed()
    );
}
