//! What a process says of itself to whoever looks after it: `health` of each binary beside the process that it asks, and what
//! holds a worker up.

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kith_tests::message::create;
use kith_tests::pair::{Pair, Shape};
use kith_tests::poll::until;
use kith_tests::privacy;
use kith_tests::process::{Launch, Process, free_address};
use kith_tests::proxy::{Mode, Proxy};
use kith_tests::servers::Place;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// For what comes within moments.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a command ended, what it printed, and what it said beside that.
struct Said {
    code: Option<i32>,
    printed: String,
    beside: String,
}

impl Said {
    /// Checks that it ended with this code, and printed the process's answer; gives that.
    fn answer(&self, code: i32) -> Result<Value> {
        ensure!(
            self.code == Some(code) && self.beside.is_empty(),
            "{:?}: {}{}",
            self.code,
            self.printed,
            self.beside
        );
        serde_json::from_str(&self.printed).with_context(|| self.printed.clone())
    }

    /// Checks that nobody answered.
    fn nobody(&self, asked: SocketAddr) -> Result<()> {
        ensure!(
            self.code == Some(1) && self.printed.is_empty(),
            "{:?}: {}",
            self.code,
            self.printed
        );
        let wanted = format!("no answer from {asked}");
        ensure!(self.beside.starts_with(&wanted), "{}", self.beside);
        Ok(())
    }
}

/// `health` with the settings of this process.
async fn health(of: &Launch, arguments: &[&str]) -> Result<Said> {
    let output = of
        .clone()
        .told(&[&["health"][..], arguments].concat())
        .output()
        .await?;
    Ok(Said {
        code: output.status.code(),
        printed: String::from_utf8(output.stdout)?,
        beside: String::from_utf8(output.stderr)?,
    })
}

/// Asks for readiness and for life before the process is there, and once it is ready.
async fn started(launch: &Launch, logs: &Path) -> Result<Process> {
    health(launch, &[]).await?.nobody(launch.admin)?;
    health(launch, &["--alive"]).await?.nobody(launch.admin)?;
    let process = Process::started(launch.clone(), logs).await?;
    let ready = health(launch, &[]).await?.answer(0)?;
    ensure!(
        ready["ready"] == true && ready["draining"] == false,
        "{ready}"
    );
    let alive = health(launch, &["--alive"]).await?.answer(0)?;
    ensure!(alive["alive"] == true, "{alive}");
    Ok(process)
}

/// Asks while the process ends, which a request that is not sent whole holds up, and once it is gone.
async fn ended(mut process: Process, launch: &Launch) -> Result<()> {
    let body = json!({ "Contact": { "email": "slow.person@example.com" } });
    privacy::sent(&body);
    let request = create(&body);
    let mut slow = TcpStream::connect(process.listen()?).await?;
    slow.write_all(&request[..request.len() - 1]).await?;
    process
        .until_metric("kith_http_in_flight", |count| count > 0.0)
        .await?;
    process.signal("TERM")?;
    let draining = until(PATIENCE, "it says that it ends", || async {
        let said = health(launch, &[]).await?;
        Ok((said.code == Some(1)).then_some(said))
    })
    .await?
    .answer(1)?;
    ensure!(
        draining["ready"] == false && draining["draining"] == true,
        "{draining}"
    );
    // It is to be left to end, and not to be killed.
    let alive = health(launch, &["--alive"]).await?.answer(0)?;
    ensure!(alive["alive"] == true, "{alive}");
    drop(slow);
    gone(process.exit(PATIENCE).await?, &process, launch).await
}

/// Checks that a process ended well, and asks once more.
async fn gone(status: ExitStatus, process: &Process, launch: &Launch) -> Result<()> {
    ensure!(status.success(), "{status}: {}", process.log());
    process.check_log()?;
    health(launch, &[]).await?.nobody(launch.admin)
}

/// What serves the API may take long to end, so that there is time to ask.
const SLOWLY: (&str, &str) = ("KITH_REQUEST_DEADLINE", "20s");

#[tokio::test(flavor = "multi_thread")]
async fn health_of_the_standalone_ends_as_the_process_beside_it_is() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let data = dir.path().join("data");
    let launch = Launch::new("kith")?
        .with("KITH_LISTEN", free_address()?)
        .with("KITH_DATA_DIR", data.display())
        .with(SLOWLY.0, SLOWLY.1);
    let process = started(&launch, dir.path()).await?;
    ended(process, &launch).await
}

#[tokio::test(flavor = "multi_thread")]
async fn health_of_the_services_ends_as_the_process_beside_it_is() -> Result<()> {
    let place = Place::new()?;
    place.migrate().await?;
    let dir = tempfile::tempdir()?;
    let launch = place.service("ingest-api", dir.path())?;
    let launch = launch.with(SLOWLY.0, SLOWLY.1);
    let process = started(&launch, dir.path()).await?;
    ended(process, &launch).await?;

    let launch = place.launch("trait-worker")?;
    let mut process = started(&launch, dir.path()).await?;
    let status = process.terminate().await?;
    gone(status, &process, &launch).await
}

/// What `/readyz` of a process says while it is ready.
async fn readiness(process: &Process) -> Result<Value> {
    let answer = reqwest::get(format!("http://{}/readyz", process.admin())).await?;
    let (status, body) = (answer.status(), answer.text().await?);
    ensure!(status.as_u16() == 200, "{status}: {body}");
    Ok(serde_json::from_str(&body)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_says_what_holds_it_up_and_stays_ready() -> Result<()> {
    let place = Place::new()?;
    place.migrate().await?;
    let only_ingest = Shape {
        ingests: 1,
        ..Shape::default()
    };
    let pair = Pair::at(&only_ingest, &place).await?;
    let database = Proxy::start(place.cql_nodes[0].parse()?).await?;
    let dir = tempfile::tempdir()?;
    let launch = place
        .through(Some(database.address()), None)
        .launch("trait-worker")?;
    let mut worker = started(&launch, dir.path()).await?;
    let name = |step: &str| json!(format!("Held-Up-{step}"));
    let contact = |step| json!({ "email": "held.up@example.com", "firstName": name(step) });
    let id = pair.api().contact(contact("before")).await?;
    let shown = ("Contact", "firstName");
    pair.api().until_trait(&id, shown, name("before")).await?;
    ensure!(readiness(&worker).await?["held_up"] == json!([]));

    database.set(Mode::Cut);
    pair.api().contact(contact("meanwhile")).await?;
    let wanted = json!([{ "component": "worker", "dependency": "database" }]);
    let said = until(PATIENCE, "it says what it waits for", || async {
        let said = readiness(&worker).await?;
        Ok((said["held_up"] == wanted).then_some(said))
    })
    .await?;
    ensure!(
        said["ready"] == true && said["waiting"] == json!([]),
        "{said}"
    );
    ensure!(database.cut() > 0, "nothing was cut");
    let asked = health(&launch, &[]).await?.answer(0)?;
    ensure!(asked["held_up"] == wanted, "{asked}");
    worker
        .until_metric("kith_worker_waiting", |waiting| waiting == 1.0)
        .await?;

    database.set(Mode::Forward);
    pair.api()
        .until_trait(&id, shown, name("meanwhile"))
        .await?;
    until(PATIENCE, "nothing holds it up", || async {
        let said = readiness(&worker).await?;
        Ok((said["held_up"] == json!([])).then_some(()))
    })
    .await?;
    let status = worker.terminate().await?;
    ensure!(status.success(), "{status}: {}", worker.log());
    pair.stop().await
}
