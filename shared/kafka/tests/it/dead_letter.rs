use bytes::Bytes;
use kith_kafka::{DEAD_OFFSET, DEAD_PARTITION, DEAD_REASON, DEAD_TIME, DEAD_TOPIC};
use kith_profiles::ports::{DeadLetter, DeadLetters, NewRecord, TraitLog};

use crate::harness::{Member, config, log, record};

#[tokio::test]
async fn a_dead_letter_keeps_the_record_and_says_where_it_came_from_and_why() {
    let config = config(1);
    let log = log(&config).await;
    log.publish(record("good", "{}")).await.unwrap();
    let headers = vec![
        ("traceparent".to_owned(), Bytes::from_static(b"00-1-2-01")),
        // A letter that was redriven and died again keeps its first reason, too.
        (DEAD_REASON.to_owned(), Bytes::from_static(b"earlier")),
    ];
    let bad = NewRecord {
        key: Bytes::from_static(b"mem_profile_1"),
        payload: Bytes::from_static(b"not \xff json"),
        headers: headers.clone(),
    };
    log.publish(bad.clone()).await.unwrap();
    let mut member = Member::join(&config);
    member.until_records(2).await;
    let millis = (member.records[1].published_at.as_micros() / 1000).to_string();
    log.bury(DeadLetter {
        record: member.records[1].clone(),
        topic: config.traits_topic.clone(),
        reason: "malformed",
    })
    .await
    .unwrap();
    member.close().await;

    let mut graveyard = config.clone();
    graveyard.traits_topic = config.dead_letter_topic();
    graveyard.consumer.group = format!("{}.graveyard", config.consumer.group);
    let mut reader = Member::join(&graveyard);
    reader.until_records(1).await;
    let letter = &reader.records[0];
    assert_eq!(letter.key, bad.key);
    assert_eq!(letter.payload, bad.payload);
    let mut wanted = headers;
    for (name, value) in [
        (DEAD_REASON, "malformed"),
        (DEAD_TOPIC, config.traits_topic.as_str()),
        (DEAD_PARTITION, "0"),
        (DEAD_OFFSET, "1"),
        (DEAD_TIME, &millis),
    ] {
        wanted.push((name.to_owned(), Bytes::copy_from_slice(value.as_bytes())));
    }
    assert_eq!(letter.headers, wanted);
    reader.close().await;
}

#[tokio::test]
async fn the_largest_record_can_be_buried() {
    let mut config = config(1);
    config.topics.record_bytes_max = 1024 * 1024;
    let log = log(&config).await;
    // The framing of the protocol counts against the topic's limit, not against ours.
    let largest = record("key", vec![b'x'; 1024 * 1024 - 200]);
    log.publish(largest.clone()).await.unwrap();
    let mut member = Member::join(&config);
    member.until_records(1).await;
    log.bury(DeadLetter {
        record: member.records.remove(0),
        topic: config.traits_topic.clone(),
        reason: "malformed",
    })
    .await
    .unwrap();
    member.close().await;
}
