//! Records that nobody of ours wrote, and dead letters that nobody takes.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use kith_domain::event::TraitEvent;
use kith_faults::broker::{Broker, Stored};
use kith_faults::cluster::log;
use kith_faults::row::{is_skipped, report};
use kith_faults::stand::{Stand, Wanted};
use kith_kafka::{DEAD_OFFSET, DEAD_PARTITION, DEAD_REASON, ensure_topics};
use kith_tests::poll::until;
use kith_tests::process::metric;

use crate::people::{PATIENCE, Person, check, until_done};

/// Partitions of the traits topic.
const PARTITIONS: i32 = 8;
/// What the framing of a record takes of its topic's limit, and more.
const FRAMING: usize = 4 << 10;

/// A record of each kind that cannot be an event, and the reason that it is put aside for.
fn poison(partition: i32) -> Vec<(Stored, &'static str)> {
    let text = |payload: &str| Some(payload.as_bytes().to_vec());
    let record = |payload| Stored::new(partition, "poison", payload);
    vec![
        (record(text("{\"version\":1,")), "malformed"),
        (
            record(text("{\"version\":999,\"kind\":\"traits\"}")),
            "unknown_version",
        ),
        (
            record(text("{\"version\":1,\"kind\":\"surprise\"}")),
            "unknown_kind",
        ),
        (record(text("")), "empty"),
        (record(None), "empty"),
        (
            record(text("\u{fffd}")).with("traceparent", Some(b"\xff\xfe not a trace")),
            "malformed",
        ),
    ]
}

/// The event of a person's last create, as it is in the log.
async fn event_of(broker: &Broker, person: &Person) -> Result<Stored> {
    let records = broker.records().await?;
    let of_person = |one: &Stored| {
        let event = one.payload.as_deref().map(TraitEvent::decode);
        matches!(event, Some(Ok(event)) if event.profile.to_string() == person.id)
    };
    let last = records.into_iter().rfind(of_person);
    last.context("an event of the person")
}

#[tokio::test(flavor = "multi_thread")]
async fn row_15_records_that_are_no_events_become_dead_letters_and_the_flow_goes_on() -> Result<()>
{
    let stand = Stand::start(Wanted::of(1, 1)).await?;
    let broker = Broker::of(&stand.place);
    let api = &stand.services.apis[0];
    let mut people = Person::many(api, 16, "before-poison").await?;
    let mut sent = BTreeMap::new();
    let mut bytes = 0;
    // As large as the topic lets a record be, nearly.
    let huge = log(&stand.place).topics.record_bytes_max - FRAMING;
    for partition in 0..PARTITIONS {
        let mut bad = poison(partition);
        if partition == 0 {
            let huge = Stored::new(partition, "huge", Some(vec![b'x'; huge]));
            bad.push((huge, "malformed"));
        }
        let records: Vec<_> = bad.iter().map(|(record, _)| record.clone()).collect();
        bytes += records
            .iter()
            .flat_map(|one| &one.payload)
            .map(Vec::len)
            .sum::<usize>();
        let offsets = broker.send(&records).await?;
        for ((record, reason), offset) in bad.into_iter().zip(offsets) {
            sent.insert((partition, offset), (record, reason));
        }
    }
    // A good event with bad headers is a good event.
    let mut good = event_of(&broker, &people[0]).await?;
    good.headers = vec![
        ("traceparent".to_owned(), Some(b"\xff\xff".to_vec())),
        ("tracestate".to_owned(), None),
        (String::new(), Some(vec![0; 300])),
    ];
    broker.send(&[good]).await?;
    people.extend(Person::many(api, 16, "after-poison").await?);
    until_done(&stand).await?;
    check(api, &people).await?;

    let letters = broker.read(&broker.letters()).await?;
    ensure!(
        letters.len() == sent.len(),
        "{} letters of {} records",
        letters.len(),
        sent.len()
    );
    for letter in &letters {
        let at = (
            letter.header(DEAD_PARTITION).parse()?,
            letter.header(DEAD_OFFSET).parse()?,
        );
        let (record, reason) = sent.get(&at).context("a letter of no record of ours")?;
        ensure!(
            letter.header(DEAD_REASON) == *reason,
            "{} for {reason}",
            letter.header(DEAD_REASON)
        );
        // A tombstone has no payload to keep.
        ensure!(
            letter.payload.clone().unwrap_or_default()
                == record.payload.clone().unwrap_or_default()
                && letter.key == record.key,
            "a letter is not the record"
        );
    }
    let worker = stand.services.workers[0].lock().await;
    let counted = metric(&worker.metrics().await?, "kith_dead_letters_total");
    drop(worker);
    ensure!(counted == sent.len() as f64, "{counted} counted");
    report(
        15,
        sent.len() as u64,
        "the offsets that the broker gave them",
        &format!(
            "{} of bad JSON, unknown versions and kinds, empty, without a payload, with bad headers, one of {} MiB ({bytes} bytes): {} dead letters with the right reason and the record's own bytes; {} people before and after them right",
            sent.len(),
            huge >> 20,
            letters.len(),
            people.len()
        ),
    )?;
    stand.stop().await
}

/// The topic of dead letters is gone: nothing is put aside and no offset passes the record, until it is there again.
#[tokio::test(flavor = "multi_thread")]
async fn row_16_without_a_place_for_dead_letters_the_worker_waits_and_loses_nothing() -> Result<()>
{
    if is_skipped(16) {
        return Ok(());
    }
    let stand = Stand::start(Wanted::of(1, 1)).await?;
    let broker = Broker::of(&stand.place);
    let api = &stand.services.apis[0];
    let mut people = Person::many(api, 16, "before-poison").await?;
    until_done(&stand).await?;
    let letters = broker.letters();
    broker.remove(&letters).await?;

    let mut bad = Vec::new();
    for partition in 0..PARTITIONS {
        bad.push(Stored::new(partition, "poison", Some(b"no event".to_vec())));
    }
    let offsets = broker.send(&bad).await?;
    people.extend(Person::many(api, 32, "behind-poison").await?);
    let worker = stand.services.workers[0].lock().await;
    let refused = until(PATIENCE, "letters that were refused", || async {
        let page = worker.metrics().await?;
        let failed = page.lines().filter(|line| {
            line.starts_with("kith_dead_letter_seconds_count") && !line.contains("\"ok\"")
        });
        let failed = failed.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
        let failed: f64 = failed.sum();
        let found: Vec<_> = page
            .lines()
            .filter(|line| line.contains("dead_letter"))
            .collect();
        ensure!(failed >= 8.0, "{failed}: {found:?}");
        Ok(Some(failed))
    })
    .await?;
    let committed = stand.committed().await?;
    for (partition, offset) in (0..).zip(&offsets) {
        let at = committed.get(&partition).copied().unwrap_or_default();
        ensure!(at <= *offset, "partition {partition} passed the record");
    }
    ensure_topics(&log(&stand.place)).await?;
    until_done(&stand).await?;
    check(api, &people).await?;
    let buried = broker.read(&letters).await?;
    let mut positions = std::collections::BTreeSet::new();
    for letter in &buried {
        positions.insert((letter.header(DEAD_PARTITION), letter.header(DEAD_OFFSET)));
    }
    ensure!(positions.len() == bad.len(), "{positions:?}");
    let counted = metric(&worker.metrics().await?, "kith_dead_letters_total");
    ensure!(counted == bad.len() as f64, "{counted} counted");
    drop(worker);
    report(
        16,
        bad.len() as u64,
        &format!("{refused} letters that could not be put aside, by the worker's count"),
        &format!(
            "no offset passed a record meanwhile; afterwards {} records in {} letters, {} people right, among them 32 behind the records",
            positions.len(),
            buried.len(),
            people.len()
        ),
    )?;
    stand.stop().await
}
