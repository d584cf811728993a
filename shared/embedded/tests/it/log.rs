use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kith_embedded::{EmbeddedLog, Retention};
use kith_profiles::error::PublishError;
use kith_profiles::letters::{Buried, REDRIVES};
use kith_profiles::ports::{
    DeadLetter, DeadLetters, LogEvent, LogRecord, NewRecord, NextOffset, Partition, TraitLog,
    TraitSource,
};

use crate::harness::{Home, LIMIT, event, is_quiet, open, payloads, record, records};

async fn publish(log: &EmbeddedLog, count: usize) {
    for n in 0..count {
        log.publish(record(&format!("key {n}"), &format!("{n}")))
            .await
            .unwrap();
    }
}

/// Where a group that has seen all of these goes on.
fn ends(records: &[LogRecord]) -> Vec<(Partition, NextOffset)> {
    let ends: BTreeMap<_, _> = records
        .iter()
        .map(|r| (r.partition, r.offset.next()))
        .collect();
    ends.into_iter().collect()
}

fn lag(source: &impl TraitSource) -> u64 {
    source.lag().iter().map(|lag| lag.records).sum()
}

#[tokio::test]
async fn records_come_whole_and_in_the_order_of_their_partition() {
    let home = Home::new();
    let engine = home.open();
    let log = engine.log();
    publish(&log, 100).await;
    let headers = vec![
        ("a".to_owned(), Bytes::from_static(b"1")),
        ("a".to_owned(), Bytes::new()),
    ];
    let odd = NewRecord {
        key: Bytes::new(),
        payload: Bytes::new(),
        headers: headers.clone(),
    };
    log.publish(odd).await.unwrap();

    let mut source = log.consumer("worker");
    let assigned = event(&mut source).await;
    assert!(
        matches!(assigned, LogEvent::Assigned(ref all) if all.len() == 4),
        "{assigned:?}"
    );
    assert_eq!(lag(&source), 101);
    let records = records(&mut source, 101).await;
    let mut next: BTreeMap<Partition, i64> = BTreeMap::new();
    for record in &records {
        let next = next.entry(record.partition).or_default();
        assert_eq!(record.offset.as_i64(), *next, "from 0 and without a gap");
        *next += 1;
        assert_eq!(
            record.published_at.as_micros(),
            home.now.load(Ordering::Relaxed)
        );
    }
    assert_eq!(next.len(), 4, "keys spread over the partitions");
    let odd = records
        .iter()
        .find(|record| record.payload.is_empty())
        .unwrap();
    assert_eq!((&odd.key, &odd.headers), (&Bytes::new(), &headers));
    assert!(is_quiet(&mut source).await);

    source.commit(&ends(&records)).unwrap();
    assert_eq!(lag(&source), 0);
    publish(&log, 1).await;
    assert_eq!(lag(&source), 1);
}

#[tokio::test]
async fn a_waiting_consumer_is_woken_and_loses_nothing_when_it_is_dropped() {
    let home = Home::new();
    let engine = home.open();
    let log = engine.log();
    let mut source = log.consumer("worker");
    event(&mut source).await;
    for n in 0..50 {
        let payload = format!("{n}");
        // Dropped at any moment while it waits.
        let _ = tokio::time::timeout(Duration::from_micros(n * 20), source.next())
            .await
            .ok()
            .map(|event| panic!("nothing was published: {event:?}"));
        let (event, ()) = tokio::join!(event(&mut source), async {
            log.publish(record("k", &payload)).await.unwrap();
        });
        let LogEvent::Records(records) = event else {
            panic!("{event:?}")
        };
        assert_eq!(payloads(&records), [payload]);
    }
}

#[tokio::test]
async fn a_group_goes_on_where_it_committed_and_others_from_the_start() {
    let home = Home::new();
    {
        let engine = home.open();
        let log = engine.log();
        publish(&log, 20).await;
        let mut source = log.consumer("worker");
        let seen = records(&mut source, 20).await;
        source.commit(&ends(&seen[..12])).unwrap();
        source.close(LIMIT).await.unwrap();
    }
    let engine = home.open();
    let log = engine.log();
    let mut source = log.consumer("worker");
    event(&mut source).await;
    let left = usize::try_from(lag(&source)).unwrap();
    assert_eq!(left, 8, "what was not committed");
    records(&mut source, left).await;
    assert!(is_quiet(&mut source).await);
    records(&mut log.consumer("other"), 20).await;

    // A commit is written by itself, too, without a close.
    let seen = records(&mut log.consumer("third"), 20).await;
    let mut third = log.consumer("third");
    event(&mut third).await;
    third.commit(&ends(&seen)).unwrap();
    drop(third);
    let until = Instant::now() + LIMIT;
    while lag_of(&log, "third").await > 0 {
        assert!(Instant::now() < until);
    }
}

async fn lag_of(log: &EmbeddedLog, group: &str) -> u64 {
    let mut source = log.consumer(group);
    event(&mut source).await;
    lag(&source)
}

#[tokio::test]
async fn paused_partitions_deliver_nothing_and_go_on_where_they_stopped() {
    let home = Home::new();
    let engine = home.open();
    let log = engine.log();
    let mut source = log.consumer("worker");
    let LogEvent::Assigned(all) = event(&mut source).await else {
        panic!("not assigned")
    };
    let (paused, rest) = all.split_at(1);
    source.pause(paused).unwrap();
    publish(&log, 60).await;
    let mut seen = Vec::new();
    while let Ok(event) = tokio::time::timeout(Duration::from_millis(200), source.next()).await {
        let LogEvent::Records(records) = event.unwrap() else {
            panic!("no records")
        };
        assert!(
            records
                .iter()
                .all(|record| rest.contains(&record.partition))
        );
        seen.extend(records);
    }
    source.pause(&all).unwrap();
    publish(&log, 5).await;
    assert!(is_quiet(&mut source).await);
    source.resume(&all).unwrap();
    seen.extend(records(&mut source, 65 - seen.len()).await);
    let mut places: Vec<_> = seen
        .iter()
        .map(|record| (record.partition, record.offset))
        .collect();
    places.sort_unstable();
    places.dedup();
    assert_eq!(places.len(), 65, "each record once");
}

#[tokio::test]
async fn one_consumer_of_a_group_at_a_time() {
    let home = Home::new();
    let engine = home.open();
    let log = engine.log();
    publish(&log, 3).await;
    let mut first = log.consumer("worker");
    let seen = records(&mut first, 3).await;
    let mut second = log.consumer("worker");
    assert!(matches!(event(&mut second).await, LogEvent::Assigned(none) if none.is_empty()));
    assert!(is_quiet(&mut second).await);
    first.commit(&ends(&seen)).unwrap();
    let (_, assigned) = tokio::join!(first.close(LIMIT), event(&mut second));
    assert!(matches!(assigned, LogEvent::Assigned(all) if all.len() == 4));
    assert_eq!(lag(&second), 0);
    second
        .release(&[Partition(0), Partition(1), Partition(2), Partition(3)])
        .await
        .unwrap();
    publish(&log, 1).await;
    assert!(
        is_quiet(&mut second).await,
        "what was handed back is not delivered"
    );
    drop(second);
    records(&mut log.consumer("worker"), 1).await;
}

#[tokio::test]
async fn what_is_too_large_is_refused_and_what_fits_comes_in_parts() {
    let home = Home::new();
    let mut options = home.options();
    options.record_bytes_max = 1_000_000;
    let engine = open(&options);
    let log = engine.log();
    let large = log.publish(record("k", &"x".repeat(1_000_000))).await;
    assert!(matches!(large, Err(PublishError::TooLarge)), "{large:?}");
    for _ in 0..5 {
        log.publish(record("k", &"x".repeat(600_000)))
            .await
            .unwrap();
    }
    let mut source = log.consumer("worker");
    event(&mut source).await;
    let LogEvent::Records(part) = event(&mut source).await else {
        panic!("no records")
    };
    assert_eq!(part.len(), 2, "an event is bounded by bytes");
    records(&mut source, 3).await;
}

/// Publishes 1000 records, has a group finish all but `left` after `age`, and looks where the log begins then.
async fn start_after(retention: Retention, age: Duration, left: usize, expect: i64) {
    let home = Home::new();
    let mut options = home.options();
    options.retention = retention;
    options.log_partitions = NonZeroU16::MIN;
    let engine = open(&options);
    let log = engine.log();
    let mut batch = tokio::task::JoinSet::new();
    for n in 0..1000 {
        let log = log.clone();
        batch.spawn(async move { log.publish(record("k", &format!("{n:0>100}"))).await });
    }
    batch.join_all().await;
    let mut source = log.consumer("worker");
    let seen = records(&mut source, 1000).await;
    home.now
        .fetch_add(i64::try_from(age.as_micros()).unwrap(), Ordering::Relaxed);
    source.commit(&ends(&seen[..1000 - left])).unwrap();
    let start = || log.ends()[0].0.as_i64();
    let until = Instant::now() + LIMIT;
    while start() < expect && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(start(), expect);
    drop((source, log, engine));

    // What is left is where it was, and the next record follows the last one, even if none is left.
    let engine = open(&options);
    let log = engine.log();
    assert_eq!(
        log.ends(),
        [(NextOffset::new(expect), NextOffset::new(1000))]
    );
    log.publish(record("k", "next")).await.unwrap();
    let mut fresh = log.consumer("fresh");
    let kept = usize::try_from(1001 - expect).unwrap();
    let found = records(&mut fresh, kept).await;
    assert_eq!(found[0].offset.as_i64(), expect);
    assert_eq!(found[kept - 1].payload, "next");
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[tokio::test]
async fn retention_by_age_deletes_what_every_group_has_finished() {
    let retention = Retention {
        age: DAY,
        bytes: u64::MAX,
        ..Retention::default()
    };
    start_after(retention, 2 * DAY, 0, 1000).await;
}

#[tokio::test]
async fn retention_keeps_what_a_group_has_not_finished_and_what_is_young() {
    let retention = Retention {
        age: DAY,
        bytes: u64::MAX,
        ..Retention::default()
    };
    start_after(retention, 2 * DAY, 300, 700).await;
    start_after(retention, DAY / 2, 0, 0).await;
}

#[tokio::test]
async fn retention_by_size_deletes_the_oldest() {
    // A record takes 100 bytes of payload and 49 of everything else.
    let retention = Retention {
        age: DAY,
        bytes: 14_900,
        ..Retention::default()
    };
    start_after(retention, Duration::ZERO, 0, 900).await;
}

#[tokio::test]
async fn a_forgotten_group_keeps_nothing_any_more() {
    let home = Home::new();
    let mut options = home.options();
    options.retention.age = DAY;
    let engine = open(&options);
    let log = engine.log();
    publish(&log, 10).await;
    let mut worker = log.consumer("worker");
    let mut idle = log.consumer("idle");
    event(&mut idle).await;
    let seen = records(&mut worker, 10).await;
    worker.commit(&ends(&seen)).unwrap();
    home.now.fetch_add(
        i64::try_from((2 * DAY).as_micros()).unwrap(),
        Ordering::Relaxed,
    );
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let left = || -> i64 {
        log.ends()
            .iter()
            .map(|(a, b)| b.as_i64() - a.as_i64())
            .sum()
    };
    assert_eq!(left(), 10, "one group has finished nothing");
    assert!(
        !log.forget_group("idle").await.unwrap(),
        "a consumer has it"
    );
    assert!(!log.forget_group("nobody").await.unwrap());
    drop(idle);
    assert!(log.forget_group("idle").await.unwrap());
    let until = Instant::now() + LIMIT;
    while left() > 0 {
        assert!(Instant::now() < until);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Nor does it come back with the next start.
    drop((worker, engine));
    drop(log);
    let log = home.open().log();
    assert!(!log.forget_group("idle").await.unwrap());
}

#[tokio::test]
async fn partitions_are_added_and_never_taken_away() {
    let home = Home::new();
    for (wanted, expected) in [(2, 2), (6, 6), (3, 6)] {
        let mut options = home.options();
        options.log_partitions = NonZeroU16::new(wanted).unwrap();
        let engine = open(&options);
        let log = engine.log();
        assert_eq!(log.partitions(), expected);
        publish(&log, 50).await;
    }
    let engine = home.open();
    records(&mut engine.log().consumer("worker"), 150).await;
}

#[tokio::test]
async fn dead_letters_are_kept_as_they_were_until_they_are_discarded() {
    let home = Home::new();
    let log_record = |n: i64| LogRecord {
        partition: Partition(3),
        offset: kith_profiles::ports::Offset::new(n),
        published_at: crate::harness::micros(n),
        key: Bytes::from_static(b"k"),
        payload: Bytes::from_static(b"poison"),
        headers: vec![("h".into(), Bytes::from_static(b"v"))],
    };
    {
        let engine = home.open();
        for n in 0..3 {
            let letter = DeadLetter {
                record: log_record(n),
                topic: "kith.traits".into(),
                reason: "undecodable",
            };
            engine.log().bury(letter).await.unwrap();
        }
    }
    let engine = home.open();
    let log = engine.log();
    let letters = log.letters(1, 10).unwrap();
    assert_eq!(letters.len(), 2);
    assert_eq!(letters[0].number, 1);
    assert_eq!(letters[0].record, log_record(1));
    assert_eq!(
        (letters[0].reason.as_str(), letters[0].topic.as_str()),
        ("undecodable", "kith.traits")
    );
    assert_eq!(log.letters(0, 1).unwrap().len(), 1);
    assert_eq!(log.discard_letters(2).await.unwrap(), 2);
    assert_eq!(log.letters(0, 10).unwrap()[0].number, 2);
    assert_eq!(log.discard_letters(100).await.unwrap(), 1);
    drop((log, engine));
    let log = home.open().log();
    let letter = DeadLetter {
        record: log_record(9),
        topic: "kith.traits".into(),
        reason: "undecodable",
    };
    log.bury(letter).await.unwrap();
    assert_eq!(
        log.letters(0, 10).unwrap()[0].number,
        3,
        "numbers are not given twice"
    );
    assert!(is_quiet_traits(&log).await);
}

#[tokio::test]
async fn a_letter_that_is_redriven_is_in_the_log_again_and_says_so() {
    let home = Home::new();
    let record = LogRecord {
        partition: Partition(3),
        offset: kith_profiles::ports::Offset::new(41),
        published_at: crate::harness::micros(7),
        key: Bytes::from_static(b"k"),
        payload: Bytes::from_static(b"poison"),
        headers: vec![("h".into(), Bytes::from_static(b"v"))],
    };
    let dead = DeadLetter {
        record: record.clone(),
        topic: "kith.traits".into(),
        reason: "malformed",
    };
    let buried = |log: &kith_embedded::EmbeddedLog| -> Vec<Buried> {
        let letters = log.letters(0, 10).unwrap();
        letters.into_iter().map(|letter| letter.buried()).collect()
    };
    {
        let log = home.open().log();
        log.bury(dead).await.unwrap();
        let Some(Buried::Letter(letter)) = buried(&log).pop() else {
            panic!("no letter");
        };
        assert_eq!((letter.redrives, &letter.headers), (0, &record.headers));
        assert_eq!(letter.published_at, Some(record.published_at));
        log.redrive(&letter).await.unwrap();
    }
    let engine = home.open();
    let log = engine.log();
    let redriven = records(&mut log.consumer("worker"), 1).await.remove(0);
    let often = (REDRIVES.to_owned(), Bytes::from_static(b"1"));
    assert_eq!(
        (&redriven.key, &redriven.payload),
        (&record.key, &record.payload)
    );
    assert_eq!(redriven.headers, [&record.headers[..], &[often]].concat());
    let found = buried(&log);
    assert!(matches!(&found[0], Buried::Letter(letter) if letter.offset.as_i64() == 0));
    let of_first = vec![kith_profiles::ports::Offset::new(0)];
    assert_eq!(found[1..], [Buried::Receipt(Partition(0), of_first)]);
    // Put aside again, it knows how often it was redriven.
    let again = DeadLetter {
        record: redriven,
        topic: "kith.traits".into(),
        reason: "malformed",
    };
    log.bury(again).await.unwrap();
    let Some(Buried::Letter(letter)) = buried(&log).pop() else {
        panic!("no letter");
    };
    assert_eq!((letter.redrives, &letter.headers), (1, &record.headers));
    drop((log, engine));
    let checked = kith_embedded::verify(&home.path()).unwrap();
    assert_eq!((checked.dead_letters, checked.wrong), (2, 0));
}

/// Dead letters are no records of the traits topic.
async fn is_quiet_traits(log: &EmbeddedLog) -> bool {
    let mut source = log.consumer("worker");
    event(&mut source).await;
    is_quiet(&mut source).await
}

#[tokio::test]
async fn dead_letters_go_when_they_are_old_and_no_sooner() {
    let home = Home::new();
    let mut options = home.options();
    options.retention.letters = DAY;
    let engine = open(&options);
    let log = engine.log();
    let letter = |n: i64| DeadLetter {
        record: LogRecord {
            partition: Partition(0),
            offset: kith_profiles::ports::Offset::new(n),
            // When the record was published does not matter: it was buried now.
            published_at: crate::harness::micros(0),
            key: Bytes::from_static(b"k"),
            payload: Bytes::from_static(b"poison"),
            headers: Vec::new(),
        },
        topic: "kith.traits".into(),
        reason: "undecodable",
    };
    let wait = |age: Duration| {
        let micros = i64::try_from(age.as_micros()).unwrap();
        home.now.fetch_add(micros, Ordering::Relaxed);
    };
    for n in 0..300 {
        log.bury(letter(n)).await.unwrap();
    }
    wait(DAY / 2);
    log.bury(letter(300)).await.unwrap();
    // Retention looks once a second, and nobody has joined the log yet.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(log.letters(0, 1000).unwrap().len(), 301);

    wait(DAY * 3 / 4);
    let until = std::time::Instant::now() + LIMIT;
    loop {
        let letters = log.letters(0, 1000).unwrap();
        if letters.len() == 1 {
            assert_eq!(letters[0].number, 300);
            break;
        }
        assert!(std::time::Instant::now() < until, "{}", letters.len());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
