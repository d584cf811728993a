use std::time::{Duration, Instant};

use kith_kafka::KafkaConfig;
use kith_profiles::ports::{NextOffset, Partition, TraitSource};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::harness::{
    Member, PATIENCE, assert_contiguous, committed, config, eventually, frontier, log,
    publish_numbers,
};

#[tokio::test]
async fn everything_that_was_published_is_delivered_once_and_in_order() {
    let mut config = config(4);
    // Queues far shorter than the topic, and events shorter than the queues.
    config.consumer.prefetch_records = 20;
    config.consumer.batch_records = 7;
    let log = log(&config).await;
    publish_numbers(&log, 11, 0..1000).await;
    let mut member = Member::join(&config);
    member.until_records(1000).await;
    assert_contiguous(&member.records);
    let mut numbers = member.numbers();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..1000).collect::<Vec<_>>());
    member.close().await;
}

#[tokio::test]
async fn an_event_keeps_to_its_limits() {
    let mut config = config(1);
    config.consumer.batch_records = 10;
    config.consumer.batch_bytes = 1000;
    let log = log(&config).await;
    for _ in 0..30 {
        let record = crate::harness::record("key", vec![b'x'; 400]);
        kith_profiles::ports::TraitLog::publish(&log, record)
            .await
            .unwrap();
    }
    let mut member = Member::join(&config);
    while member.records.len() < 30 {
        let before = member.records.len();
        member.step(PATIENCE).await.unwrap().unwrap();
        assert!(
            member.records.len() - before <= 3,
            "more than 1000 bytes and one record"
        );
    }
    member.close().await;
}

#[tokio::test]
async fn a_commit_is_sent_within_a_second() {
    let config = config(1);
    let log = log(&config).await;
    publish_numbers(&log, 1, 0..10).await;
    let mut member = Member::join(&config);
    member.until_records(10).await;
    let start = Instant::now();
    member
        .source
        .commit(&[(Partition(0), NextOffset::new(6))])
        .unwrap();
    eventually(
        "committed",
        || committed(&config),
        |c| c.get(&0) == Some(&6),
    )
    .await;
    assert!(start.elapsed() < Duration::from_secs(2));
    member.close().await;
}

#[tokio::test]
async fn a_record_handed_out_is_not_committed_by_that() {
    let config = config(1);
    let log = log(&config).await;
    publish_numbers(&log, 1, 0..10).await;
    let mut member = Member::join(&config);
    member.until_records(10).await;
    member.run_for(Duration::from_millis(1200)).await;
    member.close().await;
    assert!(committed(&config).is_empty());
}

#[tokio::test]
async fn closing_sends_what_was_committed_and_the_next_member_goes_on_there() {
    let mut config = config(2);
    // So that only closing can have sent it.
    config.consumer.commit_interval = Duration::from_secs(600);
    let log = log(&config).await;
    publish_numbers(&log, 8, 0..100).await;
    let mut first = Member::join(&config);
    first.until_records(100).await;
    let half: Vec<_> = frontier(&first.records)
        .into_iter()
        .map(|(partition, next)| (partition, NextOffset::new(next.as_i64() / 2)))
        .collect();
    first.source.commit(&half).unwrap();
    let start = Instant::now();
    first.close().await;
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );

    let mut second = Member::join(&config);
    let left: i64 = 100 - half.iter().map(|(_, next)| next.as_i64()).sum::<i64>();
    second.until_records(usize::try_from(left).unwrap()).await;
    assert_contiguous(&second.records);
    for (partition, next) in half {
        let of_partition = second.records.iter().find(|r| r.partition == partition);
        assert_eq!(of_partition.unwrap().offset.as_i64(), next.as_i64());
    }
    second.close().await;
}

#[tokio::test]
async fn a_commit_of_a_partition_that_is_not_ours_changes_nothing() {
    let config = config(1);
    let log = log(&config).await;
    publish_numbers(&log, 1, 0..3).await;
    let mut member = Member::join(&config);
    // Not assigned yet.
    member
        .source
        .commit(&[(Partition(0), NextOffset::new(3))])
        .unwrap();
    member.until_records(3).await;
    member
        .source
        .commit(&[(Partition(7), NextOffset::new(3))])
        .unwrap();
    member.close().await;
    assert!(committed(&config).is_empty());
}

#[tokio::test]
async fn waiting_for_an_event_can_be_given_up_at_any_time() {
    let config = config(2);
    let log = log(&config).await;
    let mut member = Member::join(&config);
    let publishing = async {
        publish_numbers(&log, 5, 0..300).await;
    };
    let consuming = async {
        let start = Instant::now();
        while member.records.len() < 300 {
            assert!(start.elapsed() < PATIENCE);
            member.step(Duration::from_micros(300)).await;
        }
    };
    tokio::join!(publishing, consuming);
    assert_contiguous(&member.records);
    member.close().await;
}

#[tokio::test]
async fn lag_is_what_is_not_committed_also_while_paused() {
    let mut config = config(2);
    config.consumer.lag_interval = Duration::from_millis(100);
    let log = log(&config).await;
    publish_numbers(&log, 9, 0..40).await;
    let mut member = Member::join(&config);
    member.until_records(40).await;
    let total = |member: &Member| member.source.lag().iter().map(|l| l.records).sum::<u64>();
    eventually("all of it", || total(&member), |lag| *lag == 40).await;
    member.commit_all();
    eventually("nothing", || total(&member), |lag| *lag == 0).await;

    let all = member.assigned.clone();
    member.source.pause(&all).unwrap();
    publish_numbers(&log, 9, 40..55).await;
    eventually("what came since", || total(&member), |lag| *lag == 15).await;
    assert_eq!(member.records.len(), 40);
    member.close().await;
}

/// What retention does, at once.
async fn remove_everything(config: &KafkaConfig) {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", &config.bootstrap)
        .create()
        .unwrap();
    let mut upto = TopicPartitionList::new();
    upto.add_partition_offset(&config.traits_topic, 0, Offset::End)
        .unwrap();
    admin
        .delete_records(&upto, &AdminOptions::new())
        .await
        .unwrap();
}

#[tokio::test]
async fn records_that_were_removed_while_nobody_read_are_counted_by_whoever_comes() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let _here = metrics::set_default_local_recorder(&recorder);
    let config = config(1);
    let log = log(&config).await;
    publish_numbers(&log, 1, 0..10).await;
    let mut first = Member::join(&config);
    first.until_records(10).await;
    first.commit_all();
    first.close().await;
    publish_numbers(&log, 1, 10..40).await;
    remove_everything(&config).await;
    publish_numbers(&log, 1, 40..50).await;

    let mut next = Member::join(&config);
    next.until_records(10).await;
    assert_eq!(next.numbers(), (40..50).collect::<Vec<_>>());
    let text = handle.render();
    assert!(text.contains("kith_log_records_missed_total 30"), "{text}");
    next.close().await;
}

#[tokio::test]
async fn records_that_were_removed_before_they_were_read_are_counted() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let _here = metrics::set_default_local_recorder(&recorder);
    let mut config = config(1);
    config.consumer.prefetch_records = 1;
    config.consumer.batch_records = 1;
    let log = log(&config).await;
    publish_numbers(&log, 1, 0..10).await;
    let mut member = Member::join(&config);
    member.until_records(10).await;
    member.source.pause(&[Partition(0)]).unwrap();
    // One at a time, so that they are batches of their own, and what is fetched ahead is few of them.
    publish_numbers(&log, 1, 10..200).await;
    member.run_for(Duration::from_millis(500)).await;
    remove_everything(&config).await;
    publish_numbers(&log, 1, 200..210).await;
    member.source.resume(&[Partition(0)]).unwrap();
    member
        .until("what is left", |m| m.numbers().contains(&209))
        .await;
    let missed = 210 - member.records.len();
    let text = handle.render();
    assert!(missed > 0, "everything was fetched ahead");
    let line = format!("kith_log_records_missed_total {missed}");
    assert!(text.contains(&line), "{line} is not in\n{text}");
    assert!(
        text.contains("kith_log_rebalances_total{kind=\"assigned\"} 1"),
        "{text}"
    );
    member.close().await;
}
