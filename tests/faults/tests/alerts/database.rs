//! The database and the log, away and slow.

use std::time::Duration;

use anyhow::Result;
use kith_faults::prometheus::Prometheus;
use kith_faults::stand::{Stand, Wanted};
use kith_tests::api::Api;
use kith_tests::proxy::Mode;
use serde_json::json;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::{is_left_out, told};

pub(crate) const AWAY: &[&str] = &[
    "KithWorkerWaits",
    "KithLagHigh",
    "KithLagNearsRetention",
    "KithBreakerOpen",
    "KithStatementsFail",
    "KithErrorBudgetBurnsFast",
    "KithErrorBudgetBurnsSlowly",
];
pub(crate) const SLOW: &[&str] = &[
    "KithStatementsSlow",
    "KithLatencyBudgetBurnsFast",
    "KithLatencyBudgetBurnsSlowly",
    "KithNearlyFull",
    "KithRefuses",
];
pub(crate) const NO_LOG: &[&str] = &["KithPublishFails"];

/// Prometheus over all processes of a stand.
pub(crate) async fn watch(stand: &Stand) -> Result<Prometheus> {
    let (mut ingests, mut workers) = (Vec::new(), Vec::new());
    for process in &stand.services.ingests {
        ingests.push(process.lock().await.admin());
    }
    for process in &stand.services.workers {
        workers.push(process.lock().await.admin());
    }
    Prometheus::start(&[("ingest-api", ingests), ("trait-worker", workers)]).await
}

/// Callers who create somebody after somebody else, whatever they are answered, until this is dropped.
pub(crate) fn callers(api: &Api, count: usize) -> JoinSet<()> {
    let mut callers = JoinSet::new();
    for _ in 0..count {
        let api = api.clone();
        callers.spawn(async move {
            loop {
                let email = format!("alert.{}@example.com", Uuid::new_v4().as_simple());
                let traits = json!({ "Contact": { "email": email, "firstName": "Alert-Person" } });
                drop(api.create(traits).await);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
    }
    callers
}

/// Waits until each of these fires.
pub(crate) async fn all_fire(prometheus: &Prometheus, alerts: &[&str]) -> Result<()> {
    for alert in alerts {
        prometheus.until_fires(alert, &[]).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away() -> Result<()> {
    if is_left_out(AWAY) {
        return Ok(());
    }
    let stand = Stand::start(Wanted::of(1, 1)).await?;
    let prometheus = watch(&stand).await?;
    let callers = callers(&stand.services.apis[0], 4);
    tokio::time::sleep(Duration::from_secs(5)).await;
    prometheus.until_silent_about(AWAY).await?;
    let (of_worker, of_ingest) = AWAY.split_at(3);
    // First the worker's way to it alone: everything is accepted, and nothing is applied.
    stand.cells.set(Mode::Cut);
    all_fire(&prometheus, of_worker).await?;
    prometheus
        .until_fires("KithWorkerWaits", &[("dependency", "database")])
        .await?;
    prometheus.is_silent_about(&["KithBreakerOpen"]).await?;
    stand.database.set(Mode::Cut);
    all_fire(&prometheus, of_ingest).await?;
    stand.cells.set(Mode::Forward);
    stand.database.set(Mode::Forward);
    drop(callers);
    drop(prometheus);
    told(AWAY, "connections to the database were refused");
    stand.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_slow() -> Result<()> {
    if is_left_out(SLOW) {
        return Ok(());
    }
    let mut wanted = Wanted::of(1, 1);
    wanted
        .ingest_told
        .push(("KITH_REQUESTS_IN_FLIGHT_MAX".into(), "8".into()));
    wanted
        .ingest_told
        .push(("KITH_REQUEST_DEADLINE".into(), "10s".into()));
    let stand = Stand::start(wanted).await?;
    let prometheus = watch(&stand).await?;
    let api = &stand.services.apis[0];
    let few = callers(api, 2);
    tokio::time::sleep(Duration::from_secs(5)).await;
    prometheus.until_silent_about(SLOW).await?;
    stand.database.set(Mode::Delay(Duration::from_millis(350)));
    all_fire(&prometheus, &SLOW[..3]).await?;
    prometheus.is_silent_about(&["KithRefuses"]).await?;
    let many = callers(api, 16);
    all_fire(&prometheus, &SLOW[3..]).await?;
    stand.database.set(Mode::Forward);
    drop((few, many));
    drop(prometheus);
    told(SLOW, "answers of the database came late");
    stand.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_away() -> Result<()> {
    if is_left_out(NO_LOG) {
        return Ok(());
    }
    let stand = Stand::start(Wanted::of(1, 1)).await?;
    let prometheus = watch(&stand).await?;
    let callers = callers(&stand.services.apis[0], 4);
    tokio::time::sleep(Duration::from_secs(5)).await;
    prometheus.until_silent_about(NO_LOG).await?;
    stand.log.set(Mode::Cut);
    all_fire(&prometheus, NO_LOG).await?;
    prometheus
        .until_fires("KithBreakerOpen", &[("dependency", "log")])
        .await?;
    stand.log.set(Mode::Forward);
    drop(callers);
    drop(prometheus);
    told(NO_LOG, "connections to the broker were refused");
    stand.stop().await
}
