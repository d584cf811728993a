//! No broker, or one that does not answer; and a queue that is full.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use kith_kafka::{KafkaConfig, KafkaLog, KafkaSource, SetupError, ensure_topics};
use kith_profiles::error::{PortError, PublishError};
use kith_profiles::ports::{TraitLog, TraitSource};

use crate::harness::{PATIENCE, config, log, record};

/// Takes connections, by the kernel, and never says a word.
fn black_hole() -> (TcpListener, KafkaConfig) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut config = config(1);
    config.bootstrap = listener.local_addr().expect("its address").to_string();
    (listener, config)
}

/// Nobody listens there any more.
fn nobody() -> KafkaConfig {
    black_hole().1
}

async fn assert_away(config: &KafkaConfig) {
    let log = KafkaLog::new(config).expect("a producer");
    let start = Instant::now();
    let published = log.publish(record("key", "1")).await;
    let took = start.elapsed();
    assert!(
        matches!(published, Err(PublishError::Unavailable(_))),
        "{published:?}"
    );
    assert!(took < Duration::from_millis(3300), "{took:?}");

    let start = Instant::now();
    let reached = log.reachable(Duration::from_millis(500)).await;
    let took = start.elapsed();
    assert!(
        matches!(reached, Err(PortError::Unavailable { .. })),
        "{reached:?}"
    );
    assert!(took < Duration::from_millis(900), "{took:?}");

    let start = Instant::now();
    let warmed = log.warm(Duration::from_millis(500)).await;
    let took = start.elapsed();
    assert!(
        matches!(warmed, Err(PortError::Unavailable { .. })),
        "{warmed:?}"
    );
    assert!(took < Duration::from_millis(1200), "{took:?}");
}

#[tokio::test]
async fn without_a_broker_a_publish_is_unavailable_in_time() {
    assert_away(&nobody()).await;
}

#[tokio::test]
async fn with_a_silent_broker_a_publish_is_unavailable_in_time() {
    let (_listener, config) = black_hole();
    assert_away(&config).await;
}

#[tokio::test]
async fn without_a_broker_topics_are_unreachable() {
    let error = ensure_topics(&nobody()).await.unwrap_err();
    assert!(matches!(error, SetupError::Unreachable { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("Connection refused"), "{text}");
}

#[cfg(feature = "ssl")]
#[test]
fn a_file_that_cannot_be_read_is_refused_at_once() {
    let mut config = nobody();
    config.security.protocol = kith_kafka::config::SecurityProtocol::Ssl;
    KafkaLog::new(&config).expect("the system's authorities");
    config.security.ca_file = Some("/nowhere/ca.pem".into());
    let log = KafkaLog::new(&config).err();
    let named = |error: &Option<SetupError>| {
        let setting = Some("KITH_KAFKA_CA_FILE");
        matches!(error, Some(SetupError::Client { setting: told, .. }) if *told == setting)
    };
    assert!(named(&log), "{log:?}");
    let source = KafkaSource::new(&config).err();
    assert!(named(&source), "{source:?}");
}

#[tokio::test]
async fn many_that_ask_whether_the_log_is_reachable_take_one_thread() {
    let (_listener, config) = black_hole();
    let log = KafkaLog::new(&config).unwrap();
    let limit = Duration::from_millis(500);
    let start = Instant::now();
    let (a, b, c) = tokio::join!(
        log.reachable(limit),
        log.reachable(limit),
        log.reachable(limit)
    );
    assert!(a.is_err() && b.is_err() && c.is_err());
    assert!(
        start.elapsed() < Duration::from_millis(900),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let (_listener, mut config) = black_hole();
    config.producer.queue_records = 3;
    let log = KafkaLog::new(&config).unwrap();
    let late = |number: u32| {
        let log = log.clone();
        async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let start = Instant::now();
            (
                log.publish(record("key", number.to_string())).await,
                start.elapsed(),
            )
        }
    };
    let (a, b, c, (fourth, took)) = tokio::join!(
        log.publish(record("key", "1")),
        log.publish(record("key", "2")),
        log.publish(record("key", "3")),
        late(4)
    );
    assert!(matches!(fourth, Err(PublishError::Full)), "{fourth:?}");
    assert!(took < Duration::from_millis(500), "{took:?}");
    for queued in [a, b, c] {
        assert!(
            matches!(queued, Err(PublishError::Unavailable(_))),
            "{queued:?}"
        );
    }
    // The queue is free again.
    let (again, _) = late(5).await;
    assert!(
        matches!(again, Err(PublishError::Unavailable(_))),
        "{again:?}"
    );
}

#[tokio::test]
async fn a_queue_full_of_bytes_refuses_at_once() {
    let (_listener, mut config) = black_hole();
    config.topics.record_bytes_max = 1024 * 1024;
    config.producer.queue_bytes = 2 * 1024 * 1024;
    let log = KafkaLog::new(&config).unwrap();
    let large = || log.publish(record("key", vec![b'x'; 900 * 1024]));
    let (a, b, c) = tokio::join!(large(), large(), large());
    assert!(matches!(a, Err(PublishError::Unavailable(_))), "{a:?}");
    assert!(matches!(b, Err(PublishError::Unavailable(_))), "{b:?}");
    assert!(matches!(c, Err(PublishError::Full)), "{c:?}");
}

#[tokio::test]
async fn a_publish_that_nobody_waits_for_any_more_still_ends() {
    let config = config(1);
    let log = log(&config).await;
    {
        let mut publishing = std::pin::pin!(log.publish(record("key", "1")));
        std::future::poll_fn(|cx| {
            // Ready only if this thread was held up for longer than a round trip.
            drop(publishing.as_mut().poll(cx));
            std::task::Poll::Ready(())
        })
        .await;
    }
    log.flush(PATIENCE).await.unwrap();
    assert_eq!(log.in_flight(), 0);
}

#[tokio::test]
async fn a_consumer_without_a_broker_says_so_and_its_end_is_bounded() {
    let mut source = KafkaSource::new(&nobody()).unwrap();
    let next = tokio::time::timeout(PATIENCE, source.next()).await.unwrap();
    assert!(
        matches!(next, Err(PortError::Unavailable { .. })),
        "{next:?}"
    );
    let start = Instant::now();
    source.close(Duration::from_secs(2)).await.ok();
    assert!(
        start.elapsed() < Duration::from_millis(2500),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn the_end_of_a_consumer_at_a_silent_broker_is_bounded() {
    let (_listener, config) = black_hole();
    let source = KafkaSource::new(&config).unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let start = Instant::now();
    source.close(Duration::from_secs(1)).await.ok();
    assert!(
        start.elapsed() < Duration::from_millis(1500),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn outcomes_are_counted_by_name() {
    let config = config(1);
    let log = log(&config).await;
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    {
        let _here = metrics::set_default_local_recorder(&recorder);
        log.publish(record("key", "1")).await.unwrap();
        log.publish(record("key", "2")).await.unwrap();
        let nine = record("key", vec![b'x'; 9 * 1024 * 1024]);
        log.publish(nine).await.unwrap_err();
    }
    let text = handle.render();
    for line in [
        "kith_publish_seconds_count{outcome=\"ok\"} 2",
        "kith_publish_seconds_count{outcome=\"too_large\"} 1",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}
