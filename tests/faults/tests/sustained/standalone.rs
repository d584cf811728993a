//! `kith` on a data directory, and the crowd that calls it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kith_tests::api::Api;
use kith_tests::crowd::Crowd;
use kith_tests::history::Event;
use kith_tests::process::{Launch, Process, free_address};
use tokio::task::JoinHandle;

/// One process on one data directory, on the same port over its restarts.
pub(crate) struct Standalone {
    launch: Launch,
    logs: PathBuf,
    /// The process as it is now.
    pub(crate) process: Process,
    /// Its caller.
    pub(crate) api: Api,
}

impl Standalone {
    /// Starts it, and waits until it is ready.
    pub(crate) async fn start(data: &Path, logs: &Path) -> Result<Self> {
        let listen = free_address()?;
        let launch = Launch::new("kith")?
            .with("KITH_LISTEN", listen)
            .with("KITH_DATA_DIR", data.display())
            .with("RUST_LOG", "info");
        let mut process = Process::start(launch.clone(), logs)?;
        process.ready().await?;
        Ok(Self {
            launch,
            logs: logs.to_owned(),
            process,
            api: Api::new(&format!("http://{listen}"))?,
        })
    }

    /// Kills it without warning and starts it again; from its start to its first yes on `/readyz`.
    pub(crate) async fn crash(&mut self) -> Result<Duration> {
        self.process.kill()?;
        self.process.check_log()?;
        let began = Instant::now();
        self.process = Process::start(self.launch.clone(), &self.logs)?;
        self.process.ready().await?;
        Ok(began.elapsed())
    }

    /// Ends it as an operator would.
    pub(crate) async fn stop(mut self) -> Result<()> {
        let status = self.process.terminate().await?;
        ensure!(status.success(), "{status}: {}", self.process.log());
        Ok(())
    }
}

/// Runs a command of `kith` on a data directory, which must end with success.
pub(crate) async fn command(data: &Path, arguments: &[&str]) -> Result<String> {
    let mut launch = Launch::new("kith")?.with("KITH_DATA_DIR", data.display());
    launch.arguments = arguments.iter().map(ToString::to_string).collect();
    let mut command = launch.command()?;
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    let said = String::from_utf8([output.stdout, output.stderr].concat())?;
    ensure!(output.status.success(), "{arguments:?}: {said}");
    Ok(said)
}

/// Callers that go on until the crowd is told to end.
pub(crate) struct Callers(Vec<JoinHandle<Vec<Event>>>);

impl Callers {
    /// So many, each with one request at a time.
    pub(crate) fn start(count: usize, crowd: &Arc<Crowd>, api: &Api) -> Self {
        let caller = |_| {
            let (crowd, api) = (Arc::clone(crowd), api.clone());
            tokio::task::spawn(async move { crowd.caller(&[api]).await })
        };
        Self((0..count).map(caller).collect())
    }

    /// All that they sent and were answered.
    pub(crate) async fn history(self, crowd: &Crowd) -> Result<Vec<Event>> {
        crowd.end();
        let mut history = Vec::new();
        for caller in self.0 {
            history.extend(caller.await.context("a caller")?);
        }
        Ok(history)
    }
}
