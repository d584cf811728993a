//! The trait log: both halves, and dead letters.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use kith_profiles::error::PublishError;
use kith_profiles::ports::{
    DeadLetter, DeadLetters, LogEvent, LogRecord, NewRecord, Offset, Partition, TraitLog,
    TraitSource,
};

use super::LogFixture;

const LIMIT: Duration = Duration::from_secs(30);

fn record(key: &str, payload: String) -> NewRecord {
    NewRecord {
        key: Bytes::copy_from_slice(key.as_bytes()),
        payload: payload.into(),
        headers: vec![("traceparent".into(), Bytes::from_static(b"00-0a-0b-01"))],
    }
}

/// Reads until `count` records have come.
async fn take(source: &mut impl TraitSource, count: usize) -> Result<Vec<LogRecord>> {
    let mut records = Vec::new();
    let reading = async {
        while records.len() < count {
            match source.next().await? {
                LogEvent::Records(some) => records.extend(some),
                LogEvent::Assigned(_) => {}
                LogEvent::Revoked(partitions) => source.release(&partitions).await?,
                LogEvent::Lost(partitions) => bail!("lost {partitions:?}"),
            }
        }
        Ok(())
    };
    let ended = tokio::time::timeout(LIMIT, reading).await;
    match ended {
        Ok(done) => done?,
        Err(_) => bail!("{} of {count} records came", records.len()),
    }
    Ok(records)
}

/// What still comes within a moment in which nothing should.
async fn rest(source: &mut impl TraitSource, moment: Duration) -> Result<Vec<LogRecord>> {
    let mut records = Vec::new();
    let end = tokio::time::Instant::now() + moment;
    while let Ok(event) = tokio::time::timeout_at(end, source.next()).await {
        if let LogEvent::Records(some) = event? {
            records.extend(some);
        }
    }
    Ok(records)
}

async fn publish_many(log: &impl TraitLog, keys: usize, each: usize) -> Result<()> {
    for i in 0..each {
        let round =
            (0..keys).map(|key| log.publish(record(&format!("key-{key}"), format!("{key}:{i}"))));
        futures_util::future::try_join_all(round).await?;
    }
    Ok(())
}

fn payloads(records: &[LogRecord]) -> BTreeSet<&[u8]> {
    records
        .iter()
        .map(|record| record.payload.as_ref())
        .collect()
}

pub(super) async fn a_record_arrives_as_it_was_published(f: &mut impl LogFixture) -> Result<()> {
    let mut sent = record("key", "payload".into());
    sent.headers.push(("empty".into(), Bytes::new()));
    sent.headers
        .push(("traceparent".into(), Bytes::from_static(b"again")));
    f.log().publish(sent.clone()).await?;
    let mut source = f.consumer("one").await?;
    let records = take(&mut source, 1).await?;
    ensure!(records.len() == 1, "{records:?}");
    let got = &records[0];
    ensure!(
        got.key == sent.key && got.payload == sent.payload,
        "{got:?}"
    );
    ensure!(got.headers == sent.headers, "{got:?}");
    ensure!(
        got.published_at.as_micros() > 1_600_000_000_000_000,
        "{got:?}"
    );
    source.close(LIMIT).await?;
    Ok(())
}

pub(super) async fn records_of_one_key_keep_their_order(f: &mut impl LogFixture) -> Result<()> {
    let (keys, each) = (7, 40);
    publish_many(&f.log(), keys, each).await?;
    let mut source = f.consumer("one").await?;
    let records = take(&mut source, keys * each).await?;
    let mut order: BTreeMap<Bytes, Vec<usize>> = BTreeMap::new();
    let mut places: BTreeMap<Bytes, Partition> = BTreeMap::new();
    for record in &records {
        let text = std::str::from_utf8(&record.payload)?;
        let (_, number) = text.split_once(':').context("a payload of ours")?;
        order
            .entry(record.key.clone())
            .or_default()
            .push(number.parse()?);
        let place = places.entry(record.key.clone()).or_insert(record.partition);
        ensure!(*place == record.partition, "a key in two partitions");
    }
    ensure!(order.len() == keys, "{} keys", order.len());
    for (key, numbers) in order {
        ensure!(
            numbers.iter().copied().eq(0..each),
            "{key:?} came as {numbers:?}"
        );
    }
    source.close(LIMIT).await?;
    Ok(())
}

pub(super) async fn offsets_of_a_partition_are_contiguous(f: &mut impl LogFixture) -> Result<()> {
    publish_many(&f.log(), 9, 20).await?;
    let mut source = f.consumer("one").await?;
    let mut next: BTreeMap<Partition, i64> = BTreeMap::new();
    for record in take(&mut source, 180).await? {
        let expected = next
            .entry(record.partition)
            .or_insert(record.offset.as_i64());
        ensure!(record.offset == Offset::new(*expected), "{record:?}");
        *expected = record.offset.next().as_i64();
    }
    source.close(LIMIT).await?;
    Ok(())
}

pub(super) async fn every_group_reads_everything_once(f: &mut impl LogFixture) -> Result<()> {
    publish_many(&f.log(), 5, 20).await?;
    for group in ["one", "two"] {
        let mut source = f.consumer(group).await?;
        let mut records = take(&mut source, 100).await?;
        records.extend(rest(&mut source, Duration::from_millis(500)).await?);
        ensure!(records.len() == 100, "{} records", records.len());
        ensure!(payloads(&records).len() == 100, "a record twice");
        source.close(LIMIT).await?;
    }
    Ok(())
}

pub(super) async fn a_group_goes_on_where_it_committed(f: &mut impl LogFixture) -> Result<()> {
    publish_many(&f.log(), 8, 10).await?;
    let mut source = f.consumer("one").await?;
    let records = take(&mut source, 80).await?;
    // The first half of each partition is done, the rest is not.
    let mut by_partition: BTreeMap<Partition, Vec<&LogRecord>> = BTreeMap::new();
    for record in &records {
        by_partition
            .entry(record.partition)
            .or_default()
            .push(record);
    }
    let mut open: BTreeSet<&[u8]> = BTreeSet::new();
    for (partition, records) in &by_partition {
        let (done, left) = records.split_at(records.len() / 2);
        if let Some(last) = done.last() {
            source.commit(&[(*partition, last.offset.next())])?;
        }
        open.extend(left.iter().map(|record| record.payload.as_ref()));
    }
    source.close(LIMIT).await?;
    let mut source = f.consumer("one").await?;
    let mut again = take(&mut source, open.len()).await?;
    again.extend(rest(&mut source, Duration::from_millis(500)).await?);
    ensure!(
        payloads(&again) == open,
        "{} came again, {} were open",
        again.len(),
        open.len()
    );
    source.close(LIMIT).await?;
    Ok(())
}

pub(super) async fn a_paused_partition_delivers_nothing_and_loses_nothing(
    f: &mut impl LogFixture,
) -> Result<()> {
    let log = f.log();
    publish_many(&log, 8, 5).await?;
    let mut source = f.consumer("one").await?;
    let mut records = take(&mut source, 40).await?;
    let partitions: Vec<Partition> = records
        .iter()
        .map(|record| record.partition)
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    source.pause(&partitions)?;
    for i in 5..60 {
        let round =
            (0..8).map(|key| log.publish(record(&format!("key-{key}"), format!("{key}:{i}"))));
        futures_util::future::try_join_all(round).await?;
    }
    let paused = rest(&mut source, Duration::from_millis(700)).await?;
    ensure!(
        paused.is_empty(),
        "{} records of paused partitions",
        paused.len()
    );
    source.resume(&partitions)?;
    records.extend(take(&mut source, 8 * 55).await?);
    records.extend(rest(&mut source, Duration::from_millis(500)).await?);
    ensure!(
        records.len() == 480 && payloads(&records).len() == 480,
        "{} records",
        records.len()
    );
    let mut last: BTreeMap<Partition, Offset> = BTreeMap::new();
    for record in &records {
        let before = last.insert(record.partition, record.offset);
        ensure!(
            before.is_none_or(|before| before < record.offset),
            "out of order"
        );
    }
    source.close(LIMIT).await?;
    Ok(())
}

pub(super) async fn lag_counts_what_is_not_committed(f: &mut impl LogFixture) -> Result<()> {
    publish_many(&f.log(), 6, 10).await?;
    let mut source = f.consumer("one").await?;
    let records = take(&mut source, 60).await?;
    until_lag(&mut source, 60).await?;
    let mut ends: BTreeMap<Partition, Offset> = BTreeMap::new();
    for record in &records {
        ends.insert(record.partition, record.offset);
    }
    let commits: Vec<_> = ends
        .iter()
        .map(|(partition, last)| (*partition, last.next()))
        .collect();
    source.commit(&commits)?;
    until_lag(&mut source, 0).await?;
    source.close(LIMIT).await?;
    Ok(())
}

/// Waits until the lag of all partitions together is `wanted`.
async fn until_lag(source: &mut impl TraitSource, wanted: u64) -> Result<()> {
    let deadline = tokio::time::Instant::now() + LIMIT;
    loop {
        let lag: u64 = source.lag().iter().map(|lag| lag.records).sum();
        if lag == wanted {
            return Ok(());
        }
        ensure!(
            tokio::time::Instant::now() < deadline,
            "a lag of {lag} where {wanted} is right"
        );
        rest(source, Duration::from_millis(100)).await?;
    }
}

pub(super) async fn large_records_pass_and_larger_ones_are_refused(
    f: &mut impl LogFixture,
) -> Result<()> {
    let log = f.log();
    let five = "x".repeat(5 << 20);
    log.publish(record("large", five.clone())).await?;
    match log.publish(record("too large", "x".repeat(9 << 20))).await {
        Err(PublishError::TooLarge) => {}
        other => bail!("9 MiB: {other:?}"),
    }
    log.publish(record("small", "after".into())).await?;
    let mut source = f.consumer("one").await?;
    let records = take(&mut source, 2).await?;
    ensure!(
        records
            .iter()
            .any(|record| record.payload == five.as_bytes()),
        "the large one"
    );
    ensure!(
        records.iter().any(|record| record.payload == "after"),
        "the one after it"
    );
    source.close(LIMIT).await?;
    Ok(())
}

pub(super) async fn a_dead_letter_keeps_everything(f: &mut impl LogFixture) -> Result<()> {
    let letter = DeadLetter {
        record: LogRecord {
            partition: Partition(3),
            offset: Offset::new(41),
            published_at: super::at(1_700_000_000_000_000),
            key: Bytes::from_static(b"key"),
            payload: Bytes::from_static(b"not an event \xff\x00"),
            headers: vec![("traceparent".into(), Bytes::from_static(b"00-0a-0b-01"))],
        },
        topic: "a.topic".into(),
        reason: "malformed",
    };
    f.log().bury(letter.clone()).await?;
    let letters = f.dead_letters(1).await?;
    ensure!(letters.len() == 1, "{letters:?}");
    let kept = &letters[0];
    ensure!(
        kept.key == letter.record.key && kept.payload == letter.record.payload,
        "{kept:?}"
    );
    let header = |name: &str| {
        let found = kept.headers.iter().find(|(header, _)| header == name);
        found.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
    };
    ensure!(
        header("traceparent").as_deref() == Some("00-0a-0b-01"),
        "{kept:?}"
    );
    ensure!(
        header("kith-dead-reason").as_deref() == Some("malformed"),
        "{kept:?}"
    );
    ensure!(
        header("kith-dead-topic").as_deref() == Some("a.topic"),
        "{kept:?}"
    );
    ensure!(
        header("kith-dead-partition").as_deref() == Some("3"),
        "{kept:?}"
    );
    ensure!(
        header("kith-dead-offset").as_deref() == Some("41"),
        "{kept:?}"
    );
    Ok(())
}

pub(super) async fn acknowledged_records_survive_a_crash(f: &mut impl LogFixture) -> Result<()> {
    publish_many(&f.log(), 10, 5).await?;
    f.crash().await?;
    let mut source = f.consumer("one").await?;
    let records = take(&mut source, 50).await?;
    ensure!(payloads(&records).len() == 50, "acknowledged and lost");
    source.close(LIMIT).await?;
    Ok(())
}
