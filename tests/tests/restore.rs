//! The services' way back to a snapshot of the database, as docs/operations.md has it: what was there is there again to the cell, the
//! traits that were acknowledged since come back from the log, and the rest is as the page says.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use kith_domain::id::ProfileId;
use kith_domain::time::Micros;
use kith_tests::api::Api;
use kith_tests::pair::{Pair, Shape};
use kith_tests::poll::until;
use kith_tests::process::Launch;
use kith_tests::servers::{Place, local_dir, nodetool};
use kith_tests::tables::{self, Tables};
use kith_tests::topics;
use reqwest::Method;
use scylla::client::session::Session;
use serde_json::{Value, json};

/// How many people there are before the snapshot.
const PEOPLE: usize = 24;
/// By then a request is answered.
const PATIENCE: Duration = Duration::from_secs(60);
/// The name of the snapshot.
const TAG: &str = "restored";
/// Whom the snapshot knows, and what is done with them afterwards.
const MERGED: [usize; 2] = [1, 2];
const DELETED: usize = 3;
/// Who was deleted before it.
const GONE: usize = 4;
const NEWCOMER: &str = "restored.newcomer@example.com";

/// How the database loses what it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loss {
    /// The keyspace is dropped.
    Everything,
    /// Nothing is lost, but nobody trusts what is there: the same tables go back.
    Trust,
}

fn email(person: usize) -> String {
    format!("restored.person.{person}@example.com")
}

/// Creates or finds somebody; again, if a busy machine does not answer in time.
async fn contact_of(api: &Api, contact: Value) -> Result<String> {
    until(PATIENCE, "a profile", || async {
        Ok(Some(api.contact(contact.clone()).await?))
    })
    .await
}

async fn delete(api: &Api, id: &str) -> Result<()> {
    let path = format!("/Profiles/{id}");
    let answer = api.send(Method::DELETE, &path, None).await?;
    ensure!(answer.status == 202, "{} {}", answer.status, answer.body);
    Ok(())
}

/// Whom everybody knows before the snapshot.
async fn before(api: &Api) -> Result<Vec<String>> {
    let mut ids = Vec::new();
    for person in 0..PEOPLE {
        let contact = json!({ "email": email(person), "city": format!("First-City-{person}") });
        ids.push(contact_of(api, contact).await?);
    }
    // Two who are one.
    for person in [10, 11] {
        let both = json!({ "email": email(person), "phone": "+13175550110" });
        contact_of(api, both).await?;
    }
    delete(api, &ids[GONE]).await?;
    Ok(ids)
}

/// Whom the snapshot does not know.
struct Since {
    newcomer: String,
    /// Who was deleted, too.
    ghost: String,
}

/// What comes between the snapshot and the loss.
async fn after(api: &Api, ids: &[String]) -> Result<Since> {
    for person in (0..PEOPLE).filter(|person| *person != GONE) {
        let contact = json!({ "email": email(person), "city": format!("Second-City-{person}") });
        contact_of(api, contact).await?;
    }
    merge(api).await?;
    delete(api, &ids[DELETED]).await?;
    let contact = json!({ "email": NEWCOMER, "city": "Newcomers-City" });
    let newcomer = contact_of(api, contact).await?;
    let contact = json!({ "email": "restored.ghost@example.com", "city": "City-Of-The-Ghost" });
    let ghost = contact_of(api, contact).await?;
    delete(api, &ghost).await?;
    Ok(Since { newcomer, ghost })
}

async fn merge(api: &Api) -> Result<()> {
    for person in MERGED {
        let both = json!({ "email": email(person), "phone": "+13175550120" });
        contact_of(api, both).await?;
    }
    Ok(())
}

fn nodes(place: &Place) -> impl Iterator<Item = String> {
    (1..=place.cql_nodes.len()).map(|number| format!("cassandra{number}"))
}

/// Takes a snapshot of every node and puts it aside: a folder for each node, in it one for each table.
async fn snapshot(place: &Place, aside: &Path) -> Result<()> {
    for node in nodes(place) {
        nodetool(&node, &["snapshot", "--tag", TAG, &place.keyspace]).await?;
        let data = local_dir()?.join(&node).join("data").join(&place.keyspace);
        for table in fs::read_dir(data)? {
            let table = table?;
            let name = table.file_name().to_string_lossy().into_owned();
            let (name, _) = name.split_once('-').context("an id behind the name")?;
            let to = aside.join(&node).join(&place.keyspace).join(name);
            fs::create_dir_all(&to)?;
            for file in fs::read_dir(table.path().join("snapshots").join(TAG))? {
                let file = file?;
                fs::copy(file.path(), to.join(file.file_name()))?;
            }
        }
        nodetool(&node, &["clearsnapshot", "-t", TAG, "--", &place.keyspace]).await?;
    }
    Ok(())
}

async fn run(launch: Launch) -> Result<String> {
    let output = launch.output().await?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    ensure!(output.status.success(), "{}: {said}", output.status);
    Ok(said)
}

/// The tables as they were when the snapshot was taken, by the steps of the page.
async fn restore(place: &Place, session: &Session, aside: &Path, tables: &Tables) -> Result<()> {
    run(place.launch("ingest-api")?.told(&["migrate"])).await?;
    for table in tables.0.keys() {
        let statement = format!("TRUNCATE {}.{table}", place.keyspace);
        session.query_unpaged(statement, &[]).await?;
    }
    for node in nodes(place) {
        for table in tables.0.keys() {
            // `import` goes by the last two names of a path, and finds nothing where they are others.
            let from = aside.join(&node).join(&place.keyspace).join(table);
            if has_rows(&from)? {
                let from = from.display().to_string();
                nodetool(&node, &["import", &place.keyspace, table, &from]).await?;
            }
        }
    }
    for node in nodes(place) {
        nodetool(&node, &["repair", "--full", &place.keyspace]).await?;
    }
    Ok(())
}

fn has_rows(folder: &Path) -> Result<bool> {
    let files: Vec<PathBuf> = fs::read_dir(folder)?
        .map(|file| Ok(file?.path()))
        .collect::<Result<_>>()?;
    Ok(files
        .iter()
        .any(|file| file.to_string_lossy().ends_with("-Data.db")))
}

/// Whom a row of `cells` belongs to, and what kind it is.
fn row(text: &str) -> Result<(String, String)> {
    let row: Value = serde_json::from_str(text)?;
    let field = |name: &str| -> Result<String> {
        Ok(row[name].as_str().context("no such field")?.to_owned())
    };
    Ok((field("profile")?, field("kind")?))
}

/// The profiles whose deletion a replay did not repeat, by what it says of them.
fn alive(said: &str) -> Result<BTreeSet<String>> {
    let lines = said
        .lines()
        .filter(|line| line.contains("what is to be purged is alive"));
    let ids = lines.map(|line| {
        let (_, rest) = line.split_once("mem_profile_").context("no profile")?;
        let id: String = rest
            .chars()
            .take_while(char::is_ascii_alphanumeric)
            .collect();
        Ok(format!("mem_profile_{id}"))
    });
    ids.collect()
}

/// A time a little before now, as `--from` takes it.
#[expect(
    clippy::disallowed_methods,
    reason = "an operator looks at a clock, too"
)]
fn a_little_before() -> Result<String> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let seconds = i64::try_from(now.as_secs())? - 2;
    Ok(Micros::from_micros(seconds * 1_000_000).to_string())
}

async fn goes_back(loss: Loss) -> Result<()> {
    let pair = Pair::servers(&Shape::single()).await?;
    let place = pair.place().context("servers")?.clone();
    let ids = before(pair.api()).await?;
    topics::caught_up(&place).await?;
    let session = tables::session(&place).await?;
    let (aside, from) = (tempfile::tempdir()?, a_little_before()?);
    snapshot(&place, aside.path()).await?;
    let then = tables::dump(&session, &place.keyspace).await?;
    let since = after(pair.api(), &ids).await?;
    topics::caught_up(&place).await?;
    let last = tables::dump(&session, &place.keyspace).await?;
    pair.stop().await?;

    if loss == Loss::Everything {
        let statement = format!("DROP KEYSPACE {}", place.keyspace);
        session.query_unpaged(statement, &[]).await?;
    }
    restore(&place, &session, aside.path(), &then).await?;
    then.is(&tables::dump(&session, &place.keyspace).await?)?;
    let dir = tempfile::tempdir()?;
    run(place.service("ingest-api", dir.path())?.told(&["doctor"])).await?;

    // Who is who is as it was: before the replay, and without a worker.
    let alone = Shape {
        ingests: 1,
        ..Shape::default()
    };
    let pair = Pair::at(&alone, &place).await?;
    for person in (0..PEOPLE).filter(|person| *person != GONE) {
        let owners = pair.api().owners("email", &email(person)).await?;
        let root = if person == 11 { 10 } else { person };
        ensure!(owners == [ids[root].clone()], "{person}: {owners:?}");
    }
    for id in [&ids[GONE], &since.newcomer, &since.ghost] {
        ensure!(pair.api().get(id).await?.status == 404, "{id}");
    }
    let replay = place.launch("trait-worker")?.with("RUST_LOG", "info");
    let said = run(replay.told(&["replay", "--from", &from])).await?;
    ensure!(said.contains(" 0 invalid, in "), "{said}");
    pair.stop().await?;

    // Nothing but traits came, and every one that was acknowledged is there, under its time.
    let now = tables::dump(&session, &place.keyspace).await?;
    for (table, rows) in now.0.iter().filter(|(table, _)| *table != "cells") {
        ensure!(*rows == then.0[table], "{table} is another");
    }
    for lost in last.0["cells"].difference(&now.0["cells"]) {
        ensure!(row(lost)?.1 != "trait", "a trait is lost");
    }
    for new in now.0["cells"].difference(&then.0["cells"]) {
        ensure!(row(new)?.1 == "trait", "{:?} is new", row(new)?);
    }

    // Deletions are undone, also those of people whom the snapshot did not know, and the replay names them.
    let pair = Pair::at(&Shape::single(), &place).await?;
    let undone = BTreeSet::from([ids[DELETED].clone(), since.ghost.clone()]);
    ensure!(alive(&said)? == undone, "{:?}", alive(&said)?);
    let api = pair.api().clone();
    for id in &undone {
        ensure!(api.get(id).await?.status == 200, "{id}");
        delete(&api, id).await?;
    }
    topics::caught_up(&place).await?;
    let left = tables::dump(&session, &place.keyspace).await?;
    for id in &undone {
        ensure!(api.get(id).await?.status == 404, "{id}");
        let uuid = id.parse::<ProfileId>()?.as_uuid().to_string();
        for text in &left.0["cells"] {
            ensure!(row(text)?.0 != uuid, "a row of {id} is left");
        }
    }
    // Somebody new has the traits under the id of then, which nothing leads to; the next request makes another one.
    ensure!(api.get(&since.newcomer).await?.status == 200);
    ensure!(!api.list().await?.contains(&since.newcomer));
    let again = contact_of(&api, json!({ "email": NEWCOMER })).await?;
    ensure!(again != since.newcomer, "{again}");
    // A merge is made again by the next request that asks for it.
    let [older, younger] = MERGED.map(|person| &ids[person]);
    ensure!(api.get(younger).await?.status == 200);
    merge(&api).await?;
    let moved = api.get(younger).await?;
    ensure!(
        moved.status == 301 && moved.header("canonical-profile-id") == older,
        "{moved:?}"
    );
    pair.stop().await
}

#[tokio::test]
async fn a_keyspace_that_was_dropped_is_back_from_its_snapshot_and_the_log() -> Result<()> {
    goes_back(Loss::Everything).await
}

#[tokio::test]
async fn tables_that_nobody_trusts_go_back_to_a_snapshot_in_their_place() -> Result<()> {
    goes_back(Loss::Trust).await
}
