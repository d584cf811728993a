//! A database that forgets what was prepared.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use kith_faults::dump::session;
use kith_faults::row::report;
use kith_faults::stand::{Stand, Wanted};
use kith_tests::poll::until;
use kith_tests::servers::{Place, node};

use crate::people::{PATIENCE, Person, check, until_done};

/// How many statements of a keyspace the node itself knows.
async fn prepared(place: &Place) -> Result<usize> {
    let rows = session(place)
        .await?
        .query_unpaged("SELECT query_string FROM system.prepared_statements", &[])
        .await?
        .into_rows_result()?;
    let mut count = 0;
    for row in rows.rows::<(String,)>()? {
        count += usize::from(row?.0.contains(&place.keyspace));
    }
    Ok(count)
}

/// What the node wrote down of prepared statements, so that it has forgotten them when it starts.
fn forget(data: &Path) -> Result<usize> {
    let mut files = 0;
    for table in std::fs::read_dir(data.join("system"))? {
        let table = table?.path();
        let name = table.file_name().unwrap_or_default().to_string_lossy();
        if !name.starts_with("prepared_statements-") {
            continue;
        }
        for file in std::fs::read_dir(&table)? {
            let file = file?.path();
            if file.is_file() {
                std::fs::remove_file(file)?;
                files += 1;
            }
        }
    }
    Ok(files)
}

#[tokio::test(flavor = "multi_thread")]
async fn row_21_a_database_that_starts_anew_without_its_prepared_statements_is_no_trouble()
-> Result<()> {
    let stand = Stand::start(Wanted::of(1, 1)).await?;
    let api = &stand.services.apis[0];
    let mut people = Person::many(api, 16, "before-restart").await?;
    until_done(&stand).await?;
    let known = prepared(&stand.place).await?;
    ensure!(known > 0, "nothing was prepared");
    let ids = || async {
        let ingest = stand.services.ingests[0].lock().await.id();
        (ingest, stand.services.workers[0].lock().await.id())
    };
    let processes = ids().await;

    let before = node("cassandra1", "pid").await?;
    node("cassandra1", "stop").await?;
    let dir = std::env::var("KITH_TEST_LOCAL_DIR").context("KITH_TEST_LOCAL_DIR")?;
    let files = forget(&Path::new(&dir).join("cassandra1/data"));
    node("cassandra1", "start").await?;
    let files = files?;
    ensure!(files > 0, "the node had written nothing down");
    let after = node("cassandra1", "pid").await?;
    ensure!(before != after, "the node was not restarted");

    // Once a connection is there again nothing fails, though each statement has to be prepared anew.
    people.push(Person::new(api, "first-after-restart").await?);
    for person in &mut people[..8] {
        person.rename_once(api, "after-restart").await?;
    }
    for number in 0..24 {
        people.push(Person::new_once(api, &format!("new-after-restart-{number}")).await?);
    }
    until_done(&stand).await?;
    check(api, &people).await?;
    let anew = until(PATIENCE, "statements", || async {
        let count = prepared(&stand.place).await?;
        Ok((count > 0).then_some(count))
    })
    .await?;
    ensure!(ids().await == processes, "a process was restarted");
    report(
        21,
        1,
        &format!("the node's new process id and {files} files of prepared statements that it lost"),
        &format!(
            "{known} statements were known before, {anew} were prepared anew; 32 creates after the first one that was acknowledged, none failed; {} people right, no process restarted",
            people.len()
        ),
    )?;
    stand.stop().await
}
