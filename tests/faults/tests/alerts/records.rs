//! Records that are none, records that are gone, and a row that nobody could have written.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kith_domain::id::ProfileId;
use kith_faults::stand::{Stand, Wanted};
use kith_tests::poll::until;
use kith_tests::{tables, topics};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::json;

use crate::database::{callers, watch};
use crate::{is_left_out, told};

pub(crate) const RECORDS: &[&str] = &["KithDeadLetters", "KithRecordsMissed", "KithCorruptRows"];

/// Removes everything that the topic has, as its retention would.
async fn retention_is_over(stand: &Stand) -> Result<()> {
    let ends = topics::ends(&stand.place, &stand.place.topic).await?;
    let mut upto = TopicPartitionList::new();
    for partition in ends.keys() {
        upto.add_partition_offset(&stand.place.topic, *partition, Offset::End)?;
    }
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", &stand.place.bootstrap)
        .create()?;
    admin.delete_records(&upto, &AdminOptions::new()).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn records() -> Result<()> {
    if is_left_out(RECORDS) {
        return Ok(());
    }
    let mut wanted = Wanted::of(1, 1);
    // Little is read ahead, so that something is left to be removed.
    wanted
        .worker_told
        .push(("KITH_RECORDS_IN_FLIGHT_MAX".into(), "4".into()));
    let stand = Stand::start(wanted).await?;
    let prometheus = watch(&stand).await?;
    let api = &stand.services.apis[0];
    let id = api
        .contact(json!({ "email": "alert.row@example.com" }))
        .await?;
    topics::caught_up(&stand.place).await?;
    // Counts from before the first scrape have no rate.
    tokio::time::sleep(Duration::from_secs(2)).await;
    prometheus.is_silent_about(RECORDS).await?;

    topics::put(
        &stand.place,
        &stand.place.topic,
        b"key",
        b"no event",
        &[],
        None,
    )
    .await?;
    let reason = [("reason", "malformed")];
    prometheus.until_fires("KithDeadLetters", &reason).await?;

    let session = tables::session(&stand.place).await?;
    let profile: ProfileId = id.parse().map_err(|_| anyhow::anyhow!("an id"))?;
    let row = format!(
        "INSERT INTO {}.cells (store, profile, kind, k1, k2, k3, value, time) \
         VALUES ({}, {}, 'trait', 'no id', '', '', 0x00, 1)",
        stand.place.keyspace,
        stand.store.id.as_uuid(),
        profile.as_uuid()
    );
    session.query_unpaged(row, ()).await?;
    until(Duration::from_secs(60), "the row is met", || async {
        Ok((api.get(&id).await?.status == 500).then_some(()))
    })
    .await?;
    let kind = [("kind", "row")];
    prometheus.until_fires("KithCorruptRows", &kind).await?;

    // The worker has read some, and goes on reading when the rest is gone.
    prometheus.is_silent_about(&["KithRecordsMissed"]).await?;
    let worker = stand.services.workers[0].lock().await;
    worker.signal("STOP")?;
    let before = stand.records().await?;
    let calls = callers(api, 8);
    until(Duration::from_secs(120), "a backlog", || async {
        Ok((stand.records().await? > before + 2_000).then_some(()))
    })
    .await?;
    drop(calls);
    ensure!(worker.is_stopped()?, "it stands still");
    retention_is_over(&stand).await?;
    worker.signal("CONT")?;
    let calls = callers(api, 2);
    let missed = prometheus.until_fires("KithRecordsMissed", &[]).await;
    missed.context("records were removed behind a worker that stood still")?;
    drop(calls);
    drop(worker);
    drop(prometheus);
    told(
        RECORDS,
        "a record that is no event, a row without a name, 2,000 records removed unread",
    );
    Ok(())
}
