//! `trait-worker replay`: what was applied before changes nothing, to the cell, and what was lost comes back as it was.

use std::collections::BTreeMap;
use std::process::Output;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kith_tests::api::Api;
use kith_tests::pair::{Pair, Shape};
use kith_tests::poll::until;
use kith_tests::process::Process;
use kith_tests::servers::Place;
use kith_tests::{privacy, tables, topics};
use reqwest::Method;
use scylla::client::session::Session;
use serde_json::json;
use uuid::Uuid;

/// How many people the topic is about.
const PEOPLE: usize = 60;

fn email(person: usize) -> String {
    format!("replayed.person.{person}@example.com")
}

/// Creates, changes, removals, merges, deletions of profiles and of a store, and records that are none; all of it applied.
/// Gives the deleted profiles.
async fn load(api: &Api, place: &Place) -> Result<Vec<String>> {
    let other = api.new_store("deleted-before-the-replay").await?;
    for person in 0..PEOPLE / 3 {
        other
            .contact(json!({ "email": email(person), "firstName": "First-Of-Deleted-Store" }))
            .await?;
    }
    other.delete_store().await?;
    let mut ids = Vec::new();
    for person in 0..PEOPLE {
        let city = format!("First-City-{person}");
        let contact = json!({ "email": email(person), "city": city, "firstName": "First-Name" });
        ids.push(api.contact(contact).await?);
    }
    for (person, id) in ids.iter().enumerate().step_by(2) {
        let path = format!("/Profiles/{id}");
        let city = match person % 4 {
            0 => json!(null),
            _ => json!(format!("Second-City-{person}")),
        };
        let body = json!({ "traits": { "Contact": { "city": city } } });
        let answer = api.send(Method::PATCH, &path, Some(&body)).await?;
        ensure!(answer.status == 202, "{} {}", answer.status, answer.body);
    }
    // Two people who are one.
    for person in (0..PEOPLE).step_by(6) {
        let phone = format!("+1317555{:04}", person + 1000);
        for one in [person, person + 1] {
            api.contact(json!({ "email": email(one), "phone": phone }))
                .await?;
        }
    }
    let mut deleted = Vec::new();
    for person in (3..PEOPLE).step_by(6) {
        let path = format!("/Profiles/{}", ids[person]);
        let answer = api.send(Method::DELETE, &path, None).await?;
        ensure!(answer.status == 202, "{} {}", answer.status, answer.body);
        deleted.push(ids[person].clone());
    }
    for payload in ["", "no event", "{\"version\":9,\"kind\":\"traits\"}"] {
        let key = Uuid::new_v4();
        topics::put(
            place,
            &place.topic,
            key.as_bytes(),
            payload.as_bytes(),
            &[],
            None,
        )
        .await?;
    }
    // The purge of the store comes a while after its deletion.
    until(Duration::from_secs(60), "the store is purged", || async {
        let records = topics::read(place, &place.topic).await?;
        let is_purge = |payload: &[u8]| payload.windows(13).any(|part| part == b"\"purge-store\"");
        let asked = records
            .iter()
            .any(|one| one.payload.as_deref().is_some_and(is_purge));
        Ok(asked.then_some(()))
    })
    .await?;
    topics::caught_up(place).await?;
    Ok(deleted)
}

async fn replay(place: &Place, arguments: &[&str]) -> Result<Output> {
    let mut launch = place.launch("trait-worker")?;
    launch.arguments = ["replay"]
        .iter()
        .chain(arguments)
        .map(|a| (*a).to_owned())
        .collect();
    let mut command = launch.command()?;
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    for told in [&output.stdout, &output.stderr] {
        privacy::search("what replay says", &String::from_utf8_lossy(told))?;
    }
    Ok(output)
}

/// What a replay printed, which must have ended well.
async fn replayed(place: &Place, arguments: &[&str]) -> Result<String> {
    let output = replay(place, arguments).await?;
    let (said, noted) = (
        String::from_utf8(output.stdout)?,
        String::from_utf8_lossy(&output.stderr).into_owned(),
    );
    ensure!(output.status.success(), "{}: {said}{noted}", output.status);
    Ok(said)
}

fn records(ends: &BTreeMap<i32, i64>) -> i64 {
    ends.values().sum()
}

#[tokio::test]
async fn what_was_applied_before_changes_no_cell_and_no_offset_of_the_workers() -> Result<()> {
    let pair = Pair::servers(&Shape::single()).await?;
    let place = pair.place().context("servers")?.clone();
    let deleted = load(pair.api(), &place).await?;
    let session = tables::session(&place).await?;
    let dead_topic = format!("{}.dead", place.topic);
    let before = tables::dump(&session, &place.keyspace).await?;
    ensure!(before.rows("cells") > PEOPLE && before.rows("node") > 0);
    let (ends, committed, dead) = (
        topics::ends(&place, &place.topic).await?,
        topics::committed(&place).await?,
        topics::ends(&place, &dead_topic).await?,
    );
    ensure!(records(&dead) == 3, "{dead:?}");

    let said = replayed(&place, &["--from", "earliest"]).await?;
    let all = records(&ends);
    let wanted = format!("{all} records: {} applied, 3 invalid, in ", all - 3);
    ensure!(said.starts_with(&wanted), "{said}");

    before.is(&tables::dump(&session, &place.keyspace).await?)?;
    ensure!(
        topics::committed(&place).await? == committed,
        "offsets moved"
    );
    ensure!(
        topics::ends(&place, &dead_topic).await? == dead,
        "buried twice"
    );
    for id in deleted {
        ensure!(pair.api().get(&id).await?.status == 404, "{id} is back");
    }
    pair.stop().await
}

type Cell = (
    (Uuid, Uuid, String, String, String, String),
    (Option<Vec<u8>>, Option<i64>, Option<bool>),
    [Option<i64>; 3],
);

/// Every cell of the table that traits are in, with its write times.
async fn cells(session: &Session, keyspace: &str) -> Result<Vec<Cell>> {
    type Key = (Uuid, Uuid, String, String, String, String);
    type Row = (
        Uuid,
        Uuid,
        String,
        String,
        String,
        String,
        Option<Vec<u8>>,
        Option<i64>,
        Option<bool>,
        Option<i64>,
        Option<i64>,
        Option<i64>,
    );
    let all = format!(
        "SELECT store, profile, kind, k1, k2, k3, value, time, settled, \
         writetime(value), writetime(time), writetime(settled) FROM {keyspace}.cells"
    );
    let found = session.query_unpaged(all, &[]).await?.into_rows_result()?;
    found
        .rows::<Row>()?
        .map(|row| {
            let (store, profile, kind, k1, k2, k3, value, time, settled, w1, w2, w3) = row?;
            let key: Key = (store, profile, kind, k1, k2, k3);
            Ok((key, (value, time, settled), [w1, w2, w3]))
        })
        .collect()
}

/// Takes every trait away, and no tombstone is left: as if the table came from a backup that lacks them. What was deleted
/// is forgotten, too.
async fn lose_traits(session: &Session, keyspace: &str) -> Result<usize> {
    let cells = cells(session, keyspace).await?;
    session
        .query_unpaged(format!("TRUNCATE {keyspace}.cells"), &[])
        .await?;
    let mut lost = 0;
    for (key, (value, time, settled), written) in cells {
        if key.2 == "trait" {
            lost += 1;
            continue;
        }
        let insert = |column: &str, at: Option<i64>| {
            let using = at.map_or_else(String::new, |at| format!(" USING TIMESTAMP {at}"));
            format!(
                "INSERT INTO {keyspace}.cells (store, profile, kind, k1, k2, k3{column}) \
                 VALUES (?, ?, ?, ?, ?, ?{}){using}",
                if column.is_empty() { "" } else { ", ?" }
            )
        };
        let (store, profile, kind, k1, k2, k3) = &key;
        if let Some(value) = value {
            let statement = insert(", value", written[0]);
            let values = (store, profile, kind, k1, k2, k3, value);
            session.query_unpaged(statement, values).await?;
        }
        if let Some(time) = time {
            let statement = insert(", time", written[1]);
            let values = (store, profile, kind, k1, k2, k3, time);
            session.query_unpaged(statement, values).await?;
        }
        if let Some(settled) = settled {
            let statement = insert(", settled", written[2]);
            let values = (store, profile, kind, k1, k2, k3, settled);
            session.query_unpaged(statement, values).await?;
        }
        if value_is_absent(&written) {
            let statement = insert("", None);
            session.query_unpaged(statement, &key).await?;
        }
    }
    Ok(lost)
}

/// A row that is nothing but its key.
fn value_is_absent(written: &[Option<i64>; 3]) -> bool {
    written.iter().all(Option::is_none)
}

#[tokio::test]
async fn traits_that_the_database_lost_are_back_under_their_old_times() -> Result<()> {
    let pair = Pair::servers(&Shape::single()).await?;
    let place = pair.place().context("servers")?.clone();
    let deleted = load(pair.api(), &place).await?;
    let session = tables::session(&place).await?;
    let before = tables::dump(&session, &place.keyspace).await?;
    let lost = lose_traits(&session, &place.keyspace).await?;
    ensure!(lost > PEOPLE, "{lost}");
    let without = tables::dump(&session, &place.keyspace).await?;
    ensure!(
        without.rows("cells") == before.rows("cells") - lost,
        "{} rows of {} without {lost}",
        without.rows("cells"),
        before.rows("cells")
    );

    replayed(&place, &["--from", "0", "--rate", "100000"]).await?;
    before.is(&tables::dump(&session, &place.keyspace).await?)?;
    // Nor has it what was deleted, though the database has forgotten the deletions of the cells.
    for id in deleted {
        ensure!(pair.api().get(&id).await?.status == 404, "{id} is back");
    }
    pair.stop().await
}

#[tokio::test]
async fn a_replay_begins_where_it_is_told_to() -> Result<()> {
    let pair = Pair::servers(&Shape::single()).await?;
    let place = pair.place().context("servers")?.clone();
    for person in 0..20 {
        let contact = json!({ "email": email(person), "city": "First-City" });
        pair.api().contact(contact).await?;
    }
    topics::caught_up(&place).await?;
    let kept = topics::read(&place, &place.topic).await?;
    let middle = kept.iter().map(|one| one.millis).max().context("records")?;
    let later = kept.iter().filter(|one| one.millis >= middle).count();
    let partition = kept[0].partition;
    let of_one = kept.iter().filter(|one| one.partition == partition).count();
    let of_two = kept.iter().filter(|one| one.offset >= 1).count();
    let at = |millis: i64| {
        let seconds = i64::div_euclid(millis, 1000);
        let base = kith_domain::time::Micros::from_micros(seconds * 1_000_000).to_string();
        format!(
            "{}.{:03}Z",
            base.trim_end_matches('Z'),
            millis.rem_euclid(1000)
        )
    };
    for (from, records) in [
        (at(middle), later),
        (at(middle + 1), 0),
        ("1970-01-01T00:00:00Z".to_owned(), kept.len()),
        (format!("{partition}:0"), of_one),
        (format!("{partition}:1"), of_one - 1),
        ("1".to_owned(), of_two),
        ("1000000".to_owned(), 0),
    ] {
        let said = replayed(&place, &["--from", &from]).await?;
        let wanted = format!("{records} records: {records} applied, 0 invalid, in ");
        ensure!(said.starts_with(&wanted), "--from {from}: {said}");
    }
    for wrong in ["yesterday", "1:2,1:3", "-5"] {
        let output = replay(&place, &[&format!("--from={wrong}")]).await?;
        ensure!(
            output.status.code() == Some(78),
            "--from {wrong}: {output:?}"
        );
    }
    let output = replay(&place, &["--from", "800:0"]).await?;
    ensure!(output.status.code() == Some(1), "{output:?}");
    pair.stop().await
}

#[tokio::test]
async fn a_replay_that_is_interrupted_says_where_to_go_on() -> Result<()> {
    let pair = Pair::servers(&Shape::single()).await?;
    let place = pair.place().context("servers")?.clone();
    for person in 0..40 {
        let contact = json!({ "email": email(person), "city": "First-City" });
        pair.api().contact(contact).await?;
    }
    topics::caught_up(&place).await?;
    let committed = topics::committed(&place).await?;
    let logs = tempfile::tempdir()?;
    let mut launch = place.launch("trait-worker")?;
    let arguments = ["replay", "--from", "earliest", "--rate", "5"];
    launch.arguments = arguments.iter().map(|a| (*a).to_owned()).collect();
    let mut process = Process::start(launch, logs.path())?;
    // Eight seconds of work, and a word on it after five.
    until(Duration::from_secs(30), "it says how far it is", || async {
        let log = process.log();
        let is_told = |line: &str| line.contains(" records, ") && line.ends_with(" %");
        Ok(log.lines().any(is_told).then_some(()))
    })
    .await?;
    process.signal("INT")?;
    let status = process.exit(Duration::from_secs(20)).await?;
    let told = process.log();
    ensure!(status.code() == Some(1), "{status}: {told}");
    let (_, rest) = told
        .split_once("replay --from ")
        .context("a place to go on")?;
    let rest = rest.lines().next().unwrap_or_default();
    let (done, _) = told
        .lines()
        .find_map(|line| line.split_once(" records: "))
        .context("how far it came")?;
    let done: usize = done.parse()?;
    ensure!((1..40).contains(&done), "{done} were done: {told}");

    let said = replayed(&place, &["--from", rest]).await?;
    let left = 40 - done;
    let wanted = format!("{left} records: {left} applied, 0 invalid, in ");
    ensure!(said.starts_with(&wanted), "{said}");
    ensure!(
        topics::committed(&place).await? == committed,
        "offsets moved"
    );
    pair.stop().await
}
