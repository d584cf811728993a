//! What an operator may do to the log: more partitions, and offsets that are set back.

use std::time::Duration;

use anyhow::{Result, ensure};
use kith_faults::broker::Broker;
use kith_faults::load::Drawn;
use kith_faults::row::{is_skipped, report};
use kith_faults::run::Callers;
use kith_faults::stand::{Stand, Wanted};
use kith_tests::poll::until;
use kith_tests::tables::Tables;

use crate::people::{PATIENCE, until_done};

/// Mostly writes, so that there is much to be done again.
const WRITES: Drawn = Drawn {
    reads: 20,
    new_of_ten: 2,
};

#[tokio::test(flavor = "multi_thread")]
async fn row_19_partitions_added_under_load_split_nobody() -> Result<()> {
    if is_skipped(19) {
        return Ok(());
    }
    let stand = Stand::start(Wanted::of(2, 2)).await?;
    let broker = Broker::of(&stand.place);
    let callers = Callers::start(&stand.services, 19, 8, WRITES);
    let mut has = broker.ends(&stand.place.topic).await?.len();
    let mut added = 0;
    for wanted in [12, 16] {
        until(PATIENCE, "some load", || async {
            Ok((callers.acknowledged() > 100 * (added + 1)).then_some(()))
        })
        .await?;
        let now = broker.grow(wanted).await?;
        ensure!(now == wanted, "{now} partitions");
        (has, added) = (now, added + 1);
    }
    // Producers learn of them within half a minute.
    until(
        Duration::from_secs(90),
        "records in the new ones",
        || async {
            let ends = broker.ends(&stand.place.topic).await?;
            let used = ends.values().filter(|end| **end > 0).count();
            Ok((used == has).then_some(()))
        },
    )
    .await?;
    let history = callers.end().await?;
    until_done(&stand).await?;
    let profiles = stand.check(&history).await?;
    let records = broker.records().await?;
    let of_new = records.iter().filter(|one| one.partition >= 8);
    let of_new: Vec<_> = of_new.collect();
    let moved = records.iter().filter(|one| one.partition < 8);
    let moved = moved.filter(|one| of_new.iter().any(|new| new.key == one.key));
    let moved: std::collections::BTreeSet<_> = moved.map(|one| &one.key).collect();
    ensure!(!moved.is_empty(), "nobody's records moved");
    let acknowledged = history.iter().filter(|one| one.is_acknowledged()).count();
    report(
        19,
        u64::try_from(added)?,
        "the broker's own count of partitions, and its records in the new ones",
        &format!(
            "8 partitions became {has}; {acknowledged} acknowledged, {} of {} records in new partitions, {} profiles with records in old and new ones; {profiles} profiles, 0 findings",
            of_new.len(),
            records.len(),
            moved.len()
        ),
    )?;
    stand.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn row_20_a_log_that_is_read_again_from_its_beginning_changes_no_cell() -> Result<()> {
    let stand = Stand::start(Wanted::of(1, 1)).await?;
    let broker = Broker::of(&stand.place);
    let callers = Callers::start(&stand.services, 20, 8, WRITES);
    until(PATIENCE, "some load", || async {
        Ok((callers.acknowledged() > 300).then_some(()))
    })
    .await?;
    let history = callers.end().await?;
    until_done(&stand).await?;
    let profiles = stand.check(&history).await?;
    let before = Tables::of(&stand.place).await?;
    let records = broker.count().await?;

    let mut worker = stand.services.workers[0].lock().await;
    ensure!(worker.terminate().await?.success(), "{}", worker.log());
    broker.rewind().await?;
    let committed: i64 = stand.committed().await?.values().sum();
    ensure!(committed == 0, "{committed} still committed");
    worker.crash_and_restart().await?;
    let again = worker
        .until_metric("kith_log_records_total", |read| read >= records as f64)
        .await?;
    drop(worker);
    until_done(&stand).await?;
    let after = Tables::of(&stand.place).await?;
    before.is(&after)?;
    ensure!(stand.check(&history).await? == profiles, "other profiles");
    report(
        20,
        1,
        "the broker's committed offsets, and the worker's count of records read",
        &format!(
            "{again} of {records} records done again; {} rows the same, cell by cell and with their write times; {profiles} profiles, 0 findings",
            after.len()
        ),
    )?;
    stand.stop().await
}
