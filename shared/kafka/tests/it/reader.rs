use std::collections::BTreeMap;
use std::time::Duration;

use kith_kafka::{KafkaConfig, ReadFrom, SetupError, Span, TopicReader};
use kith_profiles::ports::{Partition, TraitLog};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::harness::{PATIENCE, bootstrap, config, log, number, publish_numbers, record};

async fn open(config: &KafkaConfig, from: &ReadFrom) -> TopicReader {
    TopicReader::open(config, &config.traits_topic, from)
        .await
        .expect("a reader")
}

/// Everything that a reader gives.
async fn all(mut reader: TopicReader) -> Vec<u32> {
    let mut numbers = Vec::new();
    loop {
        let batch = tokio::time::timeout(PATIENCE, reader.batch(7, 1 << 20));
        let batch = batch.await.expect("in time").expect("a batch");
        if batch.is_empty() {
            break;
        }
        numbers.extend(batch.iter().map(number));
    }
    assert_eq!(reader.missed(), 0);
    reader.close(PATIENCE).await.expect("closed");
    numbers
}

#[tokio::test]
async fn a_reader_ends_where_the_topic_ended_when_it_was_opened() {
    let config = config(3);
    let log = log(&config).await;
    publish_numbers(&log, 9, 0..40).await;
    let reader = open(&config, &ReadFrom::Earliest).await;
    publish_numbers(&log, 9, 40..60).await;
    let records: u64 = reader.spans().values().map(|span| span.records()).sum();
    assert_eq!((reader.spans().len(), records), (3, 40));
    let mut numbers = all(reader).await;
    numbers.sort_unstable();
    assert_eq!(numbers, (0..40).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_reader_begins_where_it_is_told_to() {
    let config = config(2);
    let log = log(&config).await;
    publish_numbers(&log, 1, 0..10).await;
    let mut reader = open(&config, &ReadFrom::Earliest).await;
    let (mut of_key, mut at) = (Partition(0), Vec::new());
    while let Some(record) = reader.next().await.unwrap() {
        of_key = record.partition;
        at.push(record.published_at);
    }
    for (from, numbers) in [
        (ReadFrom::Offset(4), 4..10),
        (ReadFrom::Offset(1_000), 10..10),
        (ReadFrom::Offsets(BTreeMap::from([(of_key, 7)])), 7..10),
        (
            ReadFrom::Offsets(BTreeMap::from([(Partition(1 - of_key.0), 0)])),
            10..10,
        ),
        (ReadFrom::Time(at[0]), 0..10),
        (ReadFrom::Time(at[9].plus(Duration::from_secs(60))), 10..10),
    ] {
        let reader = open(&config, &from).await;
        assert_eq!(all(reader).await, numbers.collect::<Vec<_>>(), "{from:?}");
    }
    let nowhere = ReadFrom::Offsets(BTreeMap::from([(Partition(2), 0)]));
    let refused = TopicReader::open(&config, &config.traits_topic, &nowhere).await;
    assert!(matches!(refused.err(), Some(SetupError::Refused { .. })));
}

#[tokio::test]
async fn a_reader_makes_no_group_and_takes_no_partition_from_one() {
    let config = config(1);
    let log = log(&config).await;
    log.publish(record("key", "1")).await.unwrap();
    let reader = open(&config, &ReadFrom::Earliest).await;
    assert_eq!(
        reader.spans(),
        &BTreeMap::from([(Partition(0), Span { from: 0, to: 1 })])
    );
    assert_eq!(all(reader).await, [1]);
    let groups = tokio::task::spawn_blocking(|| {
        let client: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap())
            .create()
            .unwrap();
        let groups = client.fetch_group_list(None, PATIENCE).unwrap();
        let names = groups.groups().iter().map(|group| group.name().to_owned());
        names.collect::<Vec<_>>()
    })
    .await
    .unwrap();
    let ours = |name: &&String| name.starts_with(&config.consumer.group);
    assert_eq!(groups.iter().find(ours), None);
}
