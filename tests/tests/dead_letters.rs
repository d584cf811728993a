//! `trait-worker dead-letters`: what was put aside is told without its content, and sent again as it was.

use std::collections::BTreeMap;
use std::process::Output;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use kith_domain::event::TraitEvent;
use kith_domain::id::{DefinitionId, ProfileId, RequestId};
use kith_domain::time::Micros;
use kith_domain::traits::{CellBytes, TraitValue, TraitWrite};
use kith_tests::api::STORE;
use kith_tests::engines::now;
use kith_tests::pair::{Pair, Shape};
use kith_tests::poll::until;
use kith_tests::process::Process;
use kith_tests::servers::Place;
use kith_tests::topics::{Kept, put};
use kith_tests::{privacy, tables, topics};
use serde_json::{Value, json};
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(60);

fn header(name: &str, value: &str) -> (String, Bytes) {
    (name.to_owned(), Bytes::copy_from_slice(value.as_bytes()))
}

fn dead_topic(place: &Place) -> String {
    format!("{}.dead", place.topic)
}

async fn dead_letters(place: &Place, arguments: &[&str]) -> Result<Output> {
    let mut launch = place.launch("trait-worker")?;
    let arguments = ["dead-letters"].iter().chain(arguments);
    launch.arguments = arguments.map(|a| (*a).to_owned()).collect();
    let mut command = launch.command()?;
    Ok(tokio::task::spawn_blocking(move || command.output()).await??)
}

/// What a command printed, which must have ended well, and must have said nothing of what was sent.
async fn told(place: &Place, arguments: &[&str]) -> Result<Vec<String>> {
    let output = dead_letters(place, arguments).await?;
    let (said, noted) = (
        String::from_utf8(output.stdout)?,
        String::from_utf8(output.stderr)?,
    );
    ensure!(
        output.status.success(),
        "{arguments:?}: {}: {said}{noted}",
        output.status
    );
    privacy::search("what dead-letters prints", &said)?;
    privacy::search("what dead-letters notes", &noted)?;
    Ok(said.lines().map(str::to_owned).collect())
}

/// Waits until there are so many records among the dead letters.
async fn until_buried(place: &Place, records: i64) -> Result<Vec<Kept>> {
    until(PATIENCE, "records are put aside", || async {
        let ends = topics::ends(place, &dead_topic(place)).await?;
        Ok((ends.values().sum::<i64>() >= records).then_some(()))
    })
    .await?;
    topics::read(place, &dead_topic(place)).await
}

fn event(profile: ProfileId, definition: DefinitionId, stamp: i64, value: &str) -> Result<Vec<u8>> {
    let event = TraitEvent {
        store: STORE.parse()?,
        profile,
        stamp: Micros::from_micros(stamp),
        request: RequestId::from_uuid(Uuid::nil()),
        schema_version: 1,
        traits: vec![(
            definition,
            CellBytes::from(&TraitWrite::Set(TraitValue::String(value.to_owned()))),
        )],
    };
    Ok(event.encode())
}

/// As an older worker has put a record aside that this one reads.
async fn bury(
    place: &Place,
    key: &[u8],
    payload: &[u8],
    own: &[(String, Bytes)],
    millis: i64,
) -> Result<(i32, i64)> {
    let mut headers = own.to_vec();
    headers.extend([
        header("kith-dead-reason", "unknown_version"),
        header("kith-dead-topic", &place.topic),
        header("kith-dead-partition", "0"),
        header("kith-dead-offset", "17"),
        header("kith-dead-time", &millis.to_string()),
    ]);
    put(place, &dead_topic(place), key, payload, &headers, None).await
}

#[tokio::test]
async fn letters_are_listed_and_shown_without_their_content() -> Result<()> {
    let pair = Pair::servers(&Shape::single()).await?;
    let place = pair.place().context("servers")?.clone();
    let secret = "listed.person@example.com";
    privacy::sent(&json!(secret));
    let newer = format!("{{\"version\":7,\"of\":\"{secret}\"}}");
    let own = [header("traceparent", "00-1-2-01"), header("note", secret)];
    for (key, payload) in [
        ("", b"".to_vec()),
        (secret, secret.as_bytes().to_vec()),
        ("a-key", newer.clone().into_bytes()),
        ("a-key", b"\xff\x00\x1b[2J".to_vec()),
    ] {
        put(&place, &place.topic, key.as_bytes(), &payload, &own, None).await?;
        // Nothing behind them is held up.
        pair.api()
            .contact(json!({ "email": secret, "city": "First-City" }))
            .await?;
    }
    let kept = until_buried(&place, 4).await?;
    let lines = told(&place, &["list"]).await?;
    ensure!(lines.len() == 4, "{lines:?}");
    for one in &kept {
        let position = format!("{}:{}", one.partition, one.offset);
        let line = lines
            .iter()
            .find(|line| line.starts_with(&format!("{position}\t")));
        let columns: Vec<&str> = line.context("a line")?.split('\t').collect();
        let reason = one.header("kith-dead-reason").context("a reason")?;
        let origin = format!(
            "{}:{}:{}",
            place.topic,
            one.header("kith-dead-partition").context("a partition")?,
            one.header("kith-dead-offset").context("an offset")?
        );
        let bytes = |of: &Option<Bytes>| of.as_ref().map_or(0, Bytes::len).to_string();
        let (key, payload) = (bytes(&one.key), bytes(&one.payload));
        let wanted = [reason, reason, &origin, &key, &payload, "0", "no"];
        ensure!(columns[2..] == wanted, "{columns:?} instead of {wanted:?}");
    }

    let count = |arguments: &'static [&'static str]| {
        let place = &place;
        async move {
            let all = [&["list"], arguments].concat();
            anyhow::Ok(told(place, &all).await?.len())
        }
    };
    ensure!(count(&["--reason", "malformed"]).await? == 2);
    ensure!(count(&["--reason", "empty", "--reason", "unknown_version"]).await? == 2);
    ensure!(count(&["--reason", "no_traits"]).await? == 0);
    ensure!(count(&["--limit", "3"]).await? == 3);
    ensure!(count(&["--readable"]).await? == 0);
    ensure!(count(&["--since", "2020-01-01T00:00:00Z"]).await? == 4);
    ensure!(count(&["--since", "9000-01-01T00:00:00Z"]).await? == 0);
    ensure!(count(&["--until", "2020-01-01T00:00:00Z"]).await? == 0);
    let partition = kept[0].partition.to_string();
    let of_one = told(&place, &["list", "--partition", &partition])
        .await?
        .len();
    ensure!(
        of_one
            == kept
                .iter()
                .filter(|k| k.partition == kept[0].partition)
                .count()
    );
    for line in told(&place, &["list", "--json"]).await? {
        let one: Value = serde_json::from_str(&line)?;
        ensure!(
            one["reason"] == one["now"] && one["redriven"] == false,
            "{line}"
        );
        ensure!(one["from"]["topic"] == json!(place.topic), "{line}");
    }

    let unknown = kept
        .iter()
        .find(|k| k.header("kith-dead-reason") == Some("unknown_version"));
    let unknown = unknown.context("the letter of a newer version")?;
    let position = format!("{}:{}", unknown.partition, unknown.offset);
    let shown = told(&place, &["show", &position]).await?;
    for wanted in [
        format!("letter\t{position}"),
        "reason\tunknown_version".to_owned(),
        "key\t5 bytes".to_owned(),
        "header\ttraceparent\t9 bytes\t\"00-1-2-01\"".to_owned(),
        format!("header\tnote\t{} bytes", secret.len()),
        format!("payload\t{} bytes", newer.len()),
    ] {
        ensure!(shown.contains(&wanted), "no {wanted:?} in {shown:?}");
    }
    let output = dead_letters(&place, &["show", &position, "--bytes"]).await?;
    let bytes = String::from_utf8(output.stdout)?;
    let payload = format!("payload\t{} bytes\t{}", newer.len(), json!(newer));
    ensure!(
        bytes.lines().any(|line| line == payload),
        "the payload is not as it was"
    );
    ensure!(bytes.contains(&format!(
        "header\tnote\t{} bytes\t\"{secret}\"",
        secret.len()
    )));
    let output = dead_letters(&place, &["show", "0:99999"]).await?;
    ensure!(output.status.code() == Some(1), "{output:?}");
    pair.stop().await
}

#[tokio::test]
async fn what_can_be_read_by_now_is_redriven_as_it_was() -> Result<()> {
    let pair = Pair::servers(&Shape::single()).await?;
    let place = pair.place().context("servers")?.clone();
    let contact = json!({ "email": "redriven.person@example.com", "city": "First-City" });
    let id = pair.api().contact(contact).await?;
    topics::caught_up(&place).await?;
    // The event of a later request, that the worker of its time could not read.
    let first = topics::read(&place, &place.topic).await?.remove(0);
    let mut event = TraitEvent::decode(&first.payload.clone().context("bytes")?)?;
    event.stamp = event.stamp.plus(Duration::from_secs(1));
    let city = CellBytes::from(&TraitWrite::Set(TraitValue::String("Late-City".to_owned())));
    for (_, value) in &mut event.traits {
        let is_city = matches!(value.decode()?, TraitWrite::Set(TraitValue::String(old)) if old == "First-City");
        if is_city {
            *value = city.clone();
        }
    }
    let (key, payload) = (first.key.clone().context("a key")?, event.encode());
    let own = vec![header("traceparent", "00-3-4-01"), header("x", "\u{0}y")];
    let hour_ago = now().as_micros() / 1000 - 3_600_000;
    bury(&place, &key, &payload, &own, hour_ago).await?;
    put(&place, &place.topic, b"k", b"no event", &[], None).await?;
    until_buried(&place, 2).await?;

    let dry = told(&place, &["redrive", "--readable", "--dry-run"]).await?;
    let last = "1 letters would be redriven, 0 were redriven before";
    ensure!(dry.len() == 2 && dry[1] == last, "{dry:?}");
    ensure!(dry[0].contains("\tunknown_version\tok\t"), "{dry:?}");
    ensure!(pair.api().get(&id).await?.body["traits"]["Contact"]["city"] == "First-City");

    let said = told(&place, &["redrive", "--readable"]).await?;
    ensure!(
        said[0].starts_with("1 letters redriven, 0 were redriven before, in "),
        "{said:?}"
    );
    pair.api()
        .until_trait(&id, ("Contact", "city"), json!("Late-City"))
        .await?;
    let records = topics::read(&place, &place.topic).await?;
    let again = records
        .iter()
        .find(|one| one.header("kith-redrives").is_some());
    let again = again.context("the record")?;
    ensure!(
        again.partition == first.partition,
        "it went to another partition"
    );
    ensure!(again.key.as_ref() == Some(&key) && again.payload.as_deref() == Some(&payload[..]));
    ensure!(
        again.millis == hour_ago,
        "{} instead of {hour_ago}",
        again.millis
    );
    let headers = [&own[..], &[header("kith-redrives", "1")]].concat();
    ensure!(
        again.headers == headers,
        "other headers: {} of them",
        again.headers.len()
    );

    let listed = told(&place, &["list", "--readable"]).await?;
    ensure!(
        listed.len() == 1 && listed[0].ends_with("\t0\tyes"),
        "{listed:?}"
    );
    let said = told(&place, &["redrive", "--readable"]).await?;
    ensure!(
        said[0].starts_with("0 letters redriven, 1 were redriven before, in "),
        "{said:?}"
    );
    let said = told(&place, &["redrive", "--readable", "--again"]).await?;
    ensure!(
        said[0].starts_with("1 letters redriven, 0 were redriven before, in "),
        "{said:?}"
    );
    topics::caught_up(&place).await?;
    ensure!(pair.api().get(&id).await?.body["traits"]["Contact"]["city"] == "Late-City");
    pair.stop().await
}

#[tokio::test]
async fn what_is_still_invalid_comes_back_and_says_how_often() -> Result<()> {
    let shape = Shape {
        workers: 1,
        ..Shape::default()
    };
    let place = Place::new()?;
    place.migrate().await?;
    let pair = Pair::at(&shape, &place).await?;
    let own = [header("traceparent", "00-1-2-01")];
    put(&place, &place.topic, b"a-key", b"no event", &own, None).await?;
    until_buried(&place, 1).await?;
    for redrives in 1..=3_i64 {
        let said = told(&place, &["redrive"]).await?;
        let wanted = format!(
            "1 letters redriven, {} were redriven before, in ",
            redrives - 1
        );
        ensure!(said[0].starts_with(&wanted), "{said:?}");
        // The first letter, and for each redrive a receipt and a new letter.
        let kept = until_buried(&place, 1 + 2 * redrives).await?;
        let letters: Vec<&Kept> = kept
            .iter()
            .filter(|k| k.payload.as_deref() == Some(b"no event"))
            .collect();
        let wanted = usize::try_from(redrives)? + 1;
        ensure!(letters.len() == wanted, "{} letters", letters.len());
        let last = letters
            .iter()
            .max_by_key(|one| one.offset)
            .context("a letter")?;
        ensure!(last.header("kith-redrives") == Some(redrives.to_string().as_str()));
        // Its own, how often, and the five that say why and where: nothing piles up.
        ensure!(
            last.headers.len() == 7 && last.headers[0] == own[0],
            "{:?}",
            last.headers
        );
    }
    let mut lines = told(&place, &["list"]).await?;
    lines.sort_by_key(|line| line.split('\t').nth(7).map(str::to_owned));
    let ends: Vec<&str> = lines
        .iter()
        .map(|line| line.rsplit_once("\t8\t").map_or("", |(_, end)| end))
        .collect();
    ensure!(ends == ["0\tyes", "1\tyes", "2\tyes", "3\tno"], "{lines:?}");
    pair.stop().await
}

/// Letters about the same people in two places.
struct Crowd {
    events: Vec<(ProfileId, Vec<u8>)>,
}

impl Crowd {
    fn new(letters: usize) -> Result<Self> {
        let people: Vec<_> = (0..20)
            .map(|_| ProfileId::from_uuid(Uuid::now_v7()))
            .collect();
        let definitions: Vec<_> = (0..4)
            .map(|_| DefinitionId::from_uuid(Uuid::new_v4()))
            .collect();
        let begin = now().as_micros();
        let event = |n: usize| {
            let (profile, definition) = (people[n % people.len()], definitions[n % 4]);
            // Newer and older ones in turn, so that the order of arrival would show if it counted.
            let stamp = begin + i64::try_from((n * 7919) % letters)?;
            Ok((
                profile,
                event(profile, definition, stamp, &format!("value-number-{n}"))?,
            ))
        };
        let events: Result<_> = (0..letters).map(event).collect();
        Ok(Self { events: events? })
    }

    /// A place with all of the letters, and a worker.
    async fn place(&self) -> Result<(Place, Pair)> {
        let place = Place::new()?;
        place.migrate().await?;
        let shape = Shape {
            workers: 1,
            ..Shape::default()
        };
        let pair = Pair::at(&shape, &place).await?;
        for (profile, payload) in &self.events {
            let key = profile.as_uuid();
            bury(
                &place,
                key.as_bytes(),
                payload,
                &[],
                now().as_micros() / 1000,
            )
            .await?;
        }
        Ok((place, pair))
    }
}

#[tokio::test]
async fn a_redrive_that_is_killed_and_given_again_ends_with_the_same_profiles() -> Result<()> {
    const LETTERS: usize = 240;
    let crowd = Crowd::new(LETTERS)?;
    let ((whole, whole_pair), (killed, killed_pair)) =
        futures_util::try_join!(crowd.place(), crowd.place())?;
    let said = told(&whole, &["redrive"]).await?;
    ensure!(
        said[0].starts_with(&format!("{LETTERS} letters redriven, 0 ")),
        "{said:?}"
    );

    let sent = || async {
        let ends = topics::ends(&killed, &killed.topic).await?;
        anyhow::Ok(ends.values().sum::<i64>())
    };
    let logs = tempfile::tempdir()?;
    let mut before = 0;
    for _ in 0..3 {
        let mut launch = killed.launch("trait-worker")?;
        let arguments = ["dead-letters", "redrive", "--rate", "100"];
        launch.arguments = arguments.iter().map(|a| (*a).to_owned()).collect();
        let mut process = Process::start(launch, logs.path())?;
        until(PATIENCE, "some are sent", || async {
            Ok((sent().await? >= before + 25).then_some(()))
        })
        .await?;
        process.kill()?;
        before = sent().await?;
        ensure!(
            before < i64::try_from(LETTERS)?,
            "killed too late: {before}"
        );
    }
    let said = told(&killed, &["redrive"]).await?;
    let (rest, done) = said[0]
        .split_once(" letters redriven, ")
        .context("a count")?;
    let (done, _) = done.split_once(' ').context("a count")?;
    let (rest, done): (usize, usize) = (rest.parse()?, done.parse()?);
    ensure!(rest + done == LETTERS && done > 0 && rest > 0, "{said:?}");
    let said = told(&killed, &["redrive"]).await?;
    ensure!(
        said[0].starts_with(&format!("0 letters redriven, {LETTERS} ")),
        "{said:?}"
    );

    let mut cells = BTreeMap::new();
    for place in [&whole, &killed] {
        topics::caught_up(place).await?;
        let session = tables::session(place).await?;
        let mut tables = tables::dump(&session, &place.keyspace).await?;
        // The rest has secrets of its own in each place.
        tables.0.retain(|table, _| table == "cells");
        cells.insert(place.keyspace.clone(), tables);
    }
    let (once, many) = (&cells[&whole.keyspace], &cells[&killed.keyspace]);
    ensure!(once.rows("cells") == 20, "{} cells", once.rows("cells"));
    once.is(many)?;
    whole_pair.stop().await?;
    killed_pair.stop().await
}
