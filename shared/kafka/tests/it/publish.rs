use std::time::{Duration, Instant};

use bytes::Bytes;
use kith_domain::time::Micros;
use kith_kafka::{KafkaLog, ensure_topics};
use kith_profiles::error::{PortError, PublishError};
use kith_profiles::ports::{NewRecord, TraitLog};

use crate::harness::{Member, PATIENCE, config, log, record};

const MIB: usize = 1024 * 1024;

#[tokio::test]
async fn a_record_comes_back_as_it_was_sent() {
    let config = config(2);
    let log = log(&config).await;
    let sent = NewRecord {
        key: Bytes::from_static(b"mem_profile_1"),
        payload: Bytes::from_static(b"\x00\xff{}"),
        headers: vec![
            ("traceparent".to_owned(), Bytes::from_static(b"00-1-2-01")),
            ("twice".to_owned(), Bytes::from_static(b"a")),
            ("twice".to_owned(), Bytes::from_static(b"b")),
            ("empty".to_owned(), Bytes::new()),
        ],
    };
    log.publish(sent.clone()).await.unwrap();

    let mut member = Member::join(&config);
    member.until_records(1).await;
    let found = &member.records[0];
    assert_eq!(found.key, sent.key);
    assert_eq!(found.payload, sent.payload);
    assert_eq!(found.headers, sent.headers);
    // The broker's clock is this machine's; a year 2020 would mean seconds for micros.
    assert!(found.published_at > Micros::from_micros(1_700_000_000_000_000));
    assert!(found.published_at < Micros::from_micros(4_000_000_000_000_000));
    member.close().await;
}

#[tokio::test]
async fn what_a_record_does_not_have_is_empty() {
    let config = config(1);
    let log = log(&config).await;
    log.publish(record("", "")).await.unwrap();
    let mut member = Member::join(&config);
    member.until_records(1).await;
    let found = &member.records[0];
    assert!(found.key.is_empty() && found.payload.is_empty() && found.headers.is_empty());
    member.close().await;
}

#[tokio::test]
async fn records_of_one_key_keep_their_order() {
    let config = config(4);
    let log = log(&config).await;
    let sends = (0..400_u32)
        .map(|number| log.publish(record(&format!("key-{}", number % 7), number.to_string())));
    // Handed over in this order and acknowledged in any.
    for result in join_all(sends).await {
        result.unwrap();
    }
    let mut member = Member::join(&config);
    member.until_records(400).await;
    for key in 0..7 {
        let key = format!("key-{key}");
        let of_key: Vec<_> = member
            .records
            .iter()
            .filter(|record| record.key == key.as_bytes())
            .map(crate::harness::number)
            .collect();
        assert!(of_key.is_sorted(), "{key}: {of_key:?}");
        assert!(of_key.len() >= 57);
    }
    let partitions: std::collections::BTreeSet<_> =
        member.records.iter().map(|r| r.partition).collect();
    assert!(partitions.len() > 1, "all keys in one partition");
    member.close().await;
}

#[tokio::test]
async fn five_mebibytes_fit_and_nine_do_not() {
    let config = config(1);
    let log = log(&config).await;
    log.publish(record("large", vec![b'x'; 5 * MIB]))
        .await
        .unwrap();
    let refused = log.publish(record("larger", vec![b'x'; 9 * MIB])).await;
    assert!(
        matches!(refused, Err(PublishError::TooLarge)),
        "{refused:?}"
    );
    log.publish(record("small", "1")).await.unwrap();

    let mut member = Member::join(&config);
    member.until_records(2).await;
    assert_eq!(member.records[0].payload.len(), 5 * MIB);
    assert_eq!(crate::harness::number(&member.records[1]), 1);
    member.close().await;
}

#[tokio::test]
async fn a_record_too_large_for_the_topic_alone_is_refused_by_the_broker() {
    let mut config = config(1);
    config.topics.record_bytes_max = MIB;
    ensure_topics(&config).await.unwrap();
    config.topics.record_bytes_max = 8 * MIB;
    let log = KafkaLog::new(&config).unwrap();
    let refused = log.publish(record("large", vec![b'x'; 2 * MIB])).await;
    assert!(
        matches!(refused, Err(PublishError::TooLarge)),
        "{refused:?}"
    );
}

#[tokio::test]
async fn the_first_publish_after_warming_is_as_fast_as_any_and_warming_writes_nothing() {
    let config = config(3);
    let log = log(&config).await;
    let start = Instant::now();
    log.publish(record("first", "0")).await.unwrap();
    let first = start.elapsed();
    assert!(first < Duration::from_millis(300), "{first:?}");

    let mut member = Member::join(&config);
    member.until_records(1).await;
    assert_eq!(member.records[0].offset.as_i64(), 0);
    member.run_for(Duration::from_millis(300)).await;
    assert_eq!(member.records.len(), 1);
    member.close().await;
}

#[tokio::test]
async fn a_topic_that_is_not_there_is_unreachable_and_is_not_created() {
    let config = config(1);
    let log = KafkaLog::new(&config).unwrap();
    let warmed = log.warm(Duration::from_secs(5)).await;
    assert!(
        matches!(warmed, Err(PortError::Unavailable { .. })),
        "{warmed:?}"
    );
    let reached = log.reachable(Duration::from_secs(5)).await;
    assert!(
        matches!(reached, Err(PortError::Unavailable { .. })),
        "{reached:?}"
    );
    let published = log.publish(record("key", "0")).await;
    assert!(
        matches!(published, Err(PublishError::Unavailable(_))),
        "{published:?}"
    );
    let differences = kith_kafka::check_topics(&config).await.unwrap();
    assert_eq!(differences[0].found, "missing");
}

#[tokio::test]
async fn a_log_that_is_there_is_reachable_and_flushes() {
    let config = config(2);
    let log = log(&config).await;
    log.reachable(Duration::from_secs(5)).await.unwrap();
    let (published, ()) = tokio::join!(log.publish(record("key", "0")), async {
        log.flush(PATIENCE).await.unwrap();
    });
    published.unwrap();
    assert_eq!(log.in_flight(), 0);
}

/// Every future is polled once, in order, before any is waited for.
async fn join_all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut pinned: Vec<_> = futures.map(Box::pin).collect();
    let mut outputs: Vec<Option<F::Output>> = pinned.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, output) in pinned.iter_mut().zip(&mut outputs) {
            if output.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(context)
            {
                *output = Some(value);
            }
        }
        if outputs.iter().all(Option::is_some) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    outputs.into_iter().flatten().collect()
}
