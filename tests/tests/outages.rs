//! Database or log refuse connections: 503 in time, at once when it is known, nothing claimed, and recovery without a restart.
//! What else may happen to them is in `tests/faults/tests/dependencies.rs`.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kith_tests::api::{Answer, Api};
use kith_tests::pair::{Pair, Shape};
use kith_tests::poll::until;
use kith_tests::process::metric;
use kith_tests::proxy::{Mode, Proxy};
use kith_tests::servers::Place;
use serde_json::json;
use tokio::sync::{Mutex, MutexGuard};

/// In time, and what "at once" means.
const IN_TIME: Duration = Duration::from_secs(3);
const AT_ONCE: Duration = Duration::from_millis(50);

/// The broker names one proxied address to its clients: one test at a time stands there.
static BROKER_PROXY: Mutex<()> = Mutex::const_new(());

fn email() -> String {
    format!("outage.{}@example.com", uuid::Uuid::new_v4().as_simple())
}

async fn timed(api: &Api, address: &str) -> Result<(Answer, Duration)> {
    let start = Instant::now();
    let answer = api
        .create(json!({ "Contact": { "email": address, "firstName": "Outage-Person" } }))
        .await?;
    Ok((answer, start.elapsed()))
}

/// Creates until the breaker answers; every answer on the way must come in time.
async fn until_at_once(api: &Api) -> Result<()> {
    let limit = Instant::now() + Duration::from_secs(30);
    let mut quick = 0;
    while quick < 5 {
        let (answer, took) = timed(api, &email()).await?;
        answer.is_outage()?;
        ensure!(took < IN_TIME, "503 after {took:?}");
        quick = if took < AT_ONCE { quick + 1 } else { 0 };
        ensure!(Instant::now() < limit, "the breaker does not open");
    }
    // Most are refused at once; now and then one is let through to see whether it is over.
    let mut refused = Vec::new();
    for _ in 0..20 {
        let (answer, took) = timed(api, &email()).await?;
        answer.is_outage()?;
        refused.push(took);
    }
    refused.sort_unstable();
    ensure!(refused[10] < AT_ONCE, "{refused:?}");
    Ok(())
}

async fn recovered(api: &Api) -> Result<String> {
    until(
        Duration::from_secs(40),
        "a create after the outage",
        || async {
            let (answer, _) = timed(api, &email()).await?;
            (answer.status == 202)
                .then(|| answer.accepted_id())
                .transpose()
        },
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_refuses_connections_is_survived() -> Result<()> {
    let place = Place::new()?;
    place.migrate().await?;
    let upstream: SocketAddr = place.cql_nodes[0].parse()?;
    let proxy = Proxy::start(upstream).await?;
    let pair = Pair::at(
        &Shape::single(),
        &place.through(Some(proxy.address()), None),
    )
    .await?;
    let known = email();
    let (answer, _) = timed(pair.api(), &known).await?;
    let id = answer.accepted_id()?;

    proxy.set(Mode::Cut);
    until_at_once(pair.api()).await?;
    // An outage of a dependency does not make a process unready: it answers itself.
    let ready = reqwest::get(format!("http://{}/readyz", pair.ingests[0].admin())).await?;
    ensure!(
        ready.status().is_success(),
        "unready in an outage: {}",
        ready.status()
    );
    proxy.set(Mode::Forward);
    recovered(pair.api()).await?;
    ensure!(
        timed(pair.api(), &known).await?.0.accepted_id()? == id,
        "the same person as before"
    );
    pair.stop().await
}

/// A pair that works, whose way to the broker is a proxy; with the turn to have it.
async fn behind_broker_proxy() -> Result<(MutexGuard<'static, ()>, Proxy, Pair)> {
    let turn = BROKER_PROXY.lock().await;
    let address = |name: &'static str| -> Result<SocketAddr> {
        Ok(std::env::var(name).context(name)?.parse()?)
    };
    let proxy = Proxy::start_on(
        address("KITH_TEST_KAFKA_PROXY")?,
        address("KITH_TEST_KAFKA_PROXIED")?,
    )
    .await?;
    let place = Place::new()?;
    place.migrate().await?;
    let place = place.through(None, Some(proxy.address()));
    let pair = Pair::at(&Shape::single(), &place).await?;
    recovered(pair.api()).await?;
    Ok((turn, proxy, pair))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_refuses_connections_is_survived() -> Result<()> {
    let (_turn, proxy, pair) = behind_broker_proxy().await?;

    proxy.set(Mode::Cut);
    until_at_once(pair.api()).await?;
    // Refused before anything is claimed, and reads go on.
    let unlucky = email();
    let (answer, _) = timed(pair.api(), &unlucky).await?;
    answer.is_outage()?;
    proxy.set(Mode::Forward);
    let id = recovered(pair.api()).await?;
    pair.api()
        .until_trait(&id, ("Contact", "firstName"), json!("Outage-Person"))
        .await?;
    let letters = metric(&pair.workers[0].metrics().await?, "kith_dead_letters_total");
    ensure!(letters == 0.0, "{letters} dead letters");
    pair.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_claimed_while_the_log_is_known_to_be_away() -> Result<()> {
    let (_turn, proxy, pair) = behind_broker_proxy().await?;
    proxy.set(Mode::Cut);
    until_at_once(pair.api()).await?;
    let refused = || async {
        let page = pair.ingests[0].metrics().await?;
        anyhow::Ok(metric(&page, "kith_http_refused_total"))
    };
    let before = refused().await?;
    let mut claimed = 0.0;
    for _ in 0..20 {
        let unlucky = email();
        let (answer, _) = timed(pair.api(), &unlucky).await?;
        answer.is_outage()?;
        claimed += f64::from(!pair.api().owners("email", &unlucky).await?.is_empty());
    }
    // One that is let through to probe has claimed before it learns; those that are refused have not.
    let refused = refused().await? - before;
    ensure!(
        refused > 0.0 && claimed + refused <= 20.0,
        "{claimed} of 20 creates claimed, and {refused} were refused"
    );
    pair.stop().await
}
