//! Backups of the standalone: made beside its load, restored elsewhere, and held against what was acknowledged.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kith_tests::api::Api;
use kith_tests::poll::until;
use kith_tests::process::{Launch, Process, free_address};
use serde_json::json;
use tokio::task::JoinSet;

const CALLERS: usize = 6;

/// A process on a data directory, and who calls it.
async fn serving(data: &Path, logs: &Path) -> Result<(Process, Api)> {
    let listen = free_address()?;
    let launch = Launch::new("kith")?
        .with("KITH_LISTEN", listen)
        .with("KITH_DATA_DIR", data.display());
    let mut process = Process::start(launch, logs)?;
    process.ready().await?;
    Ok((process, Api::new(&format!("http://{listen}"))?))
}

/// A command of `kith` on a data directory: its exit code, and all that it said.
async fn command(data: &Path, arguments: &[&str]) -> Result<(Option<i32>, String)> {
    let mut launch = Launch::new("kith")?.with("KITH_DATA_DIR", data.display());
    launch.arguments = arguments.iter().map(ToString::to_string).collect();
    let mut command = launch.command()?;
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    let said = [output.stdout, output.stderr].concat();
    Ok((output.status.code(), String::from_utf8(said)?))
}

/// A create that was answered: its number and its profile.
type Acknowledged = Arc<Mutex<Vec<(usize, String)>>>;

fn locked(seen: &Acknowledged) -> MutexGuard<'_, Vec<(usize, String)>> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Creates one profile after another until told to stop.
async fn create(api: Api, caller: usize, seen: Acknowledged, stop: Arc<AtomicBool>) -> Result<()> {
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let number = n * CALLERS + caller;
        let contact = json!({ "email": email(number), "firstName": first_name(number) });
        let profile = api.contact(contact).await?;
        locked(&seen).push((number, profile));
    }
    Ok(())
}

fn email(number: usize) -> String {
    format!("person-{number}@backup.example")
}

fn first_name(number: usize) -> String {
    format!("Given {number}")
}

fn utf8(path: &Path) -> Result<&str> {
    path.to_str().context("a path of the test")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_under_load_has_every_create_that_was_answered_before_it_began() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let [data, backup, restored] = ["data", "backup", "restored"].map(|name| dir.path().join(name));
    let (mut process, api) = serving(&data, dir.path()).await?;
    let socket = std::fs::metadata(data.join("socket"))?;
    ensure!(socket.permissions().mode() & 0o777 == 0o600, "{socket:?}");

    let (seen, stop) = (Acknowledged::default(), Arc::new(AtomicBool::new(false)));
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        callers.spawn(create(
            api.clone(),
            caller,
            Arc::clone(&seen),
            Arc::clone(&stop),
        ));
    }
    let count = || locked(&seen).len();
    until(Duration::from_secs(60), "300 creates", || async {
        Ok((count() >= 300).then_some(()))
    })
    .await?;
    let before = locked(&seen).clone();
    let (code, said) = command(&data, &["backup", utf8(&backup)?]).await?;
    ensure!(code == Some(0), "{code:?}: {said}");
    ensure!(said.contains("holds a backup"), "{said}");
    let after = count();
    stop.store(true, Ordering::Relaxed);
    for caller in callers.join_all().await {
        caller?;
    }
    ensure!(
        after > before.len(),
        "nothing was answered beside the backup"
    );
    ensure!(process.terminate().await?.success());
    ensure!(!data.join("socket").exists(), "the socket is left");

    let (code, said) = command(&restored, &["restore", utf8(&backup)?]).await?;
    ensure!(code == Some(0), "{code:?}: {said}");
    let (code, said) = command(&restored, &["verify"]).await?;
    ensure!(
        code == Some(0) && said.contains("is sound"),
        "{code:?}: {said}"
    );

    let (mut process, api) = serving(&restored, dir.path()).await?;
    for (number, profile) in &before {
        let owners = api.owners("email", &email(*number)).await?;
        ensure!(
            owners == [profile.as_str()],
            "{number}: {owners:?} and not {profile}"
        );
        // Through the log, which is in the backup with the place where the worker was.
        api.until_trait(
            profile,
            ("Contact", "firstName"),
            json!(first_name(*number)),
        )
        .await?;
    }
    // It goes on like any other.
    api.contact(json!({ "email": "new@backup.example" }))
        .await?;
    ensure!(process.terminate().await?.success());
    Ok(())
}

/// The largest file below a directory.
fn largest(dir: &Path) -> Result<PathBuf> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                dirs.push(entry.path());
            } else {
                found.push((entry.metadata()?.len(), entry.path()));
            }
        }
    }
    let (_, path) = found.into_iter().max().context("no file")?;
    Ok(path)
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_refuse_what_they_should_and_a_damaged_file_is_named() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let [data, backup, other] = ["data", "backup", "other"].map(|name| dir.path().join(name));
    let fails = async |data: &Path, arguments: &[&str], reason: &str| {
        let (code, said) = command(data, arguments).await?;
        ensure!(code == Some(1), "{arguments:?}: {code:?} {said}");
        ensure!(said.contains(reason), "{arguments:?}: {said}");
        anyhow::Ok(())
    };
    fails(&data, &["backup", utf8(&backup)?], "holds no store").await?;
    fails(&data, &["verify"], "holds no store").await?;
    ensure!(!data.exists(), "a command made a data directory");

    let (mut process, api) = serving(&data, dir.path()).await?;
    for n in 0..20 {
        api.contact(json!({ "email": email(n) })).await?;
    }
    fails(&data, &["verify"], "is in use").await?;
    fails(&data, &["restore", utf8(&other)?], "holds no store").await?;
    fails(
        &data,
        &["backup", utf8(&data.join("b"))?],
        "in the data directory",
    )
    .await?;
    process.kill()?;

    // The socket of the killed one is there and nobody listens.
    let (code, said) = command(&data, &["backup", utf8(&backup)?]).await?;
    ensure!(code == Some(0), "{code:?}: {said}");
    fails(&data, &["backup", utf8(&backup)?], "is not empty").await?;
    fails(&data, &["restore", utf8(&backup)?], "is not empty").await?;
    let (code, said) = command(&data, &["verify", utf8(&backup)?]).await?;
    ensure!(code == Some(0) && said.contains("20 profiles"), "{said}");

    let damaged = largest(&backup.join("store"))?;
    let mut bytes = std::fs::read(&damaged)?;
    // Within the rows: the file has room behind them.
    bytes[400] ^= 1;
    std::fs::write(&damaged, &bytes)?;
    fails(&data, &["verify", utf8(&backup)?], utf8(&damaged)?).await?;
    fails(&other, &["restore", utf8(&backup)?], utf8(&damaged)?).await?;
    ensure!(!other.exists(), "a damaged backup was restored");
    let (code, said) = command(&data, &["verify"]).await?;
    ensure!(code == Some(0), "the data directory itself: {said}");
    Ok(())
}
