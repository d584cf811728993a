//! Processes that are killed, what they are given and cannot use, and clocks that are off.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kith_faults::cluster::{Services, furnish};
use kith_faults::prometheus::Prometheus;
use kith_faults::stand::turn;
use kith_tests::api::{ACCOUNT, Api, TOKEN};
use kith_tests::process::{Launch, Process, free_address};
use kith_tests::servers::Place;
use tokio::net::TcpStream;

use crate::database::{all_fire, callers};
use crate::{is_left_out, told};

pub(crate) const KILLED: &[&str] = &[
    "KithRestarts",
    "KithRebalancesOften",
    "KithDown",
    "KithNobodyUp",
];
pub(crate) const GIVEN: &[&str] = &[
    "KithCredentialsStale",
    "KithFilesNearlyOut",
    "KithSpansDropped",
];
pub(crate) const CLOCKS: &[&str] = &["KithClockSkew", "KithClockUnsound"];
pub(crate) const PANICS: &[&str] = &["KithTaskPanicked"];

fn account() -> String {
    format!("[[account]]\nsid = \"{ACCOUNT}\"\nauth_token = \"{TOKEN}\"\n")
}

/// A credentials file with the account of all tests.
fn credentials(dir: &Path) -> Result<PathBuf> {
    let path = dir.join("credentials.toml");
    std::fs::write(&path, account())?;
    Ok(path)
}

/// A place with tables, topics and a store.
async fn place() -> Result<Place> {
    let place = Place::new()?;
    furnish(&place).await?;
    Ok(place)
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_are_killed() -> Result<()> {
    if is_left_out(KILLED) {
        return Ok(());
    }
    let _turn = turn().await;
    let place = place().await?;
    let workers = vec![place.launch("trait-worker")?, place.launch("trait-worker")?];
    let services = Services::launch(Vec::new(), workers).await?;
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for worker in &services.workers {
        addresses.push(worker.lock().await.admin());
    }
    let prometheus = Prometheus::start(&[("trait-worker", addresses.clone())]).await?;
    let instance = addresses[0].to_string();
    prometheus.is_silent_about(KILLED).await?;
    let [first, second] = &services.workers[..] else {
        anyhow::bail!("two workers");
    };
    for _ in 0..4 {
        first.lock().await.crash_and_restart().await?;
        // A few scrapes, and the time to notice that the member before is gone.
        tokio::time::sleep(Duration::from_secs(7)).await;
    }
    prometheus
        .until_fires("KithRestarts", &[("instance", &instance)])
        .await?;
    all_fire(&prometheus, &["KithRebalancesOften"]).await?;
    first.lock().await.kill()?;
    prometheus
        .until_fires("KithDown", &[("instance", &instance)])
        .await?;
    prometheus.is_silent_about(&["KithNobodyUp"]).await?;
    second.lock().await.kill()?;
    prometheus
        .until_fires("KithNobodyUp", &[("job", "trait-worker")])
        .await?;
    told(KILLED, "workers were killed");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_process_is_given() -> Result<()> {
    if is_left_out(GIVEN) {
        return Ok(());
    }
    let _turn = turn().await;
    let dir = tempfile::tempdir()?;
    let credentials = credentials(dir.path())?;
    let (listen, nobody) = (free_address()?, free_address()?);
    let launch = place()
        .await?
        .launch("ingest-api")?
        .with("KITH_LISTEN", listen)
        .with("KITH_CREDENTIALS", credentials.display())
        .with("RUST_LOG", "warn")
        .with("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{nobody}"))
        .with("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
        .with("OTEL_BSP_SCHEDULE_DELAY", "50");
    let mut process = Process::start(launch, dir.path())?;
    process.ready().await?;
    let prometheus = Prometheus::start(&[("ingest-api", vec![process.admin()])]).await?;
    prometheus.is_silent_about(GIVEN).await?;

    std::fs::write(&credentials, "[[account]]\nsid = ")?;
    all_fire(&prometheus, &["KithCredentialsStale"]).await?;
    std::fs::write(&credentials, account())?;

    // No collector listens there.
    let calls = callers(&Api::new(&format!("http://{listen}"))?, 1);
    all_fire(&prometheus, &["KithSpansDropped"]).await?;
    drop(calls);

    let status = Command::new("prlimit")
        .args(["--pid", &process.id().to_string(), "--nofile=200"])
        .status()
        .context("prlimit, of util-linux")?;
    ensure!(status.success(), "prlimit: {status}");
    let mut idle = Vec::new();
    for _ in 0..150 {
        idle.push(TcpStream::connect(listen).await?);
    }
    all_fire(&prometheus, &["KithFilesNearlyOut"]).await?;
    drop(idle);
    drop(prometheus);
    ensure!(process.terminate().await?.success());
    told(
        GIVEN,
        "a broken credentials file, nobody at the collector's address, 150 idle connections of 200 files",
    );
    Ok(())
}

/// A launch on a host whose clock is off by this, in the words of `faketime`. A little does: the log's client waits as much
/// longer, or shorter.
fn off(launch: Launch, by: &str) -> Result<Launch> {
    let mut found = None;
    for entry in std::fs::read_dir("/usr/lib")? {
        let library = entry?.path().join("faketime/libfaketimeMT.so.1");
        found = found.or(library.exists().then_some(library));
    }
    let library = found.context("faketime: deploy/local/prepare installs it")?;
    Ok(launch
        .with("LD_PRELOAD", library.display())
        .with("FAKETIME", by)
        .with("FAKETIME_DONT_FAKE_MONOTONIC", "1"))
}

#[tokio::test(flavor = "multi_thread")]
async fn clocks_that_are_off() -> Result<()> {
    if is_left_out(CLOCKS) {
        return Ok(());
    }
    let _turn = turn().await;
    let place = place().await?;
    let dir = tempfile::tempdir()?;
    let credentials = credentials(dir.path())?;
    let mut running = Vec::new();
    for by in ["+0s", "+3s", "+8s"] {
        let launch = place
            .launch("ingest-api")?
            .with("KITH_LISTEN", free_address()?)
            .with("KITH_CREDENTIALS", credentials.display())
            .with("RUST_LOG", "warn");
        running.push(Process::start(off(launch, by)?, dir.path())?);
    }
    let admins: Vec<SocketAddr> = running.iter().map(Process::admin).collect();
    let [right, ahead, far_ahead] = [0, 1, 2].map(|at| admins[at].to_string());
    let prometheus = Prometheus::start(&[("ingest-api", admins)]).await?;
    let skewed = [("instance", ahead.as_str())];
    prometheus.until_fires("KithClockSkew", &skewed).await?;
    let unsound = [("instance", far_ahead.as_str())];
    prometheus.until_fires("KithClockUnsound", &unsound).await?;
    for alert in CLOCKS {
        let wrong = prometheus.fires(alert, &[("instance", &right)]).await?;
        ensure!(!wrong, "{alert} fires for a clock that is right");
    }
    let wrong = prometheus.fires("KithClockUnsound", &skewed).await?;
    ensure!(!wrong, "three seconds are no reason to refuse");
    told(CLOCKS, "clocks 3 s and 8 s ahead of the database's");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_panics() -> Result<()> {
    if is_left_out(PANICS) {
        return Ok(());
    }
    let _turn = turn().await;
    let mutant = place()
        .await?
        .launch("mutant-ingest-api")?
        .with("MUTANT", "panics");
    let services = Services::launch(vec![mutant], Vec::new()).await?;
    let admin = services.ingests[0].lock().await.admin();
    let prometheus = Prometheus::start(&[("ingest-api", vec![admin])]).await?;
    prometheus.is_silent_about(PANICS).await?;
    let calls = callers(&services.apis[0], 1);
    prometheus
        .until_fires("KithTaskPanicked", &[("task", "create")])
        .await?;
    drop(calls);
    told(
        PANICS,
        "a test-only binary that panics where it would claim",
    );
    Ok(())
}
