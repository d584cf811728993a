//! The pairs under test: both services on Kafka and a CQL server, and the standalone on its embedded store and log.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use tempfile::TempDir;

use crate::api::Api;
use crate::process::{Launch, Process, free_address};
use crate::servers::Place;

/// How many processes of each kind, and what they are told.
#[derive(Debug, Clone, Default)]
pub struct Shape {
    /// Copies of `ingest-api`.
    pub ingests: usize,
    /// Copies of `trait-worker`.
    pub workers: usize,
    /// More environment for every process.
    pub environment: Vec<(String, String)>,
}

impl Shape {
    /// One of each.
    #[must_use]
    pub fn single() -> Self {
        Self {
            ingests: 1,
            workers: 1,
            environment: Vec::new(),
        }
    }

    /// With one more variable for every process.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.environment.push((name.into(), value.to_string()));
        self
    }
}

/// Running processes that together are Kith.
#[derive(Debug)]
pub struct Pair {
    /// Its name in messages.
    pub name: &'static str,
    /// The processes that answer HTTP.
    pub ingests: Vec<Process>,
    /// The processes that consume; none for the standalone, which is one process.
    pub workers: Vec<Process>,
    /// A caller for each process that answers HTTP.
    pub apis: Vec<Api>,
    /// Where its data is, if it is on this disk.
    pub data: Option<PathBuf>,
    place: Option<Place>,
    _dir: TempDir,
}

impl Pair {
    /// `kith`, one process.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn standalone(shape: &Shape) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let data = dir.path().join("data");
        let launch = Launch::new("kith")?
            .with("KITH_LISTEN", free_address()?)
            .with("KITH_DATA_DIR", data.display());
        let process = Process::start(extend(launch, shape), dir.path())?;
        let mut pair = Self {
            name: "standalone",
            apis: vec![Api::of(&process)?],
            ingests: vec![process],
            workers: Vec::new(),
            data: Some(data),
            place: None,
            _dir: dir,
        };
        pair.ready().await?;
        Ok(pair)
    }

    /// `ingest-api` and `trait-worker` on the servers of this run, in a place of their own.
    ///
    /// # Errors
    /// When they do not start.
    pub async fn servers(shape: &Shape) -> Result<Self> {
        let place = Place::new()?;
        place.migrate().await?;
        Self::at(shape, &place).await
    }

    /// `ingest-api` and `trait-worker` at a place that was migrated.
    ///
    /// # Errors
    /// When they do not start.
    pub async fn at(shape: &Shape, place: &Place) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let mut pair = Self {
            name: "servers",
            ingests: Vec::new(),
            workers: Vec::new(),
            apis: Vec::new(),
            data: None,
            place: Some(place.clone()),
            _dir: dir,
        };
        for _ in 0..shape.ingests {
            let launch = place.service("ingest-api", pair._dir.path())?;
            let process = Process::start(extend(launch, shape), pair._dir.path())?;
            pair.apis.push(Api::of(&process)?);
            pair.ingests.push(process);
        }
        for _ in 0..shape.workers {
            let launch = place.launch("trait-worker")?;
            pair.workers
                .push(Process::start(extend(launch, shape), pair._dir.path())?);
        }
        pair.ready().await?;
        Ok(pair)
    }

    /// The first caller.
    #[must_use]
    pub fn api(&self) -> &Api {
        &self.apis[0]
    }

    /// Where the servers are, if there are any.
    #[must_use]
    pub fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    /// All processes.
    pub fn processes(&mut self) -> impl Iterator<Item = &mut Process> {
        self.ingests.iter_mut().chain(&mut self.workers)
    }

    /// Waits until every process is ready.
    ///
    /// # Errors
    /// When one is not in time.
    pub async fn ready(&mut self) -> Result<()> {
        for process in self.processes() {
            process.ready().await?;
        }
        Ok(())
    }

    /// Ends every process as an operator would, and searches what they wrote for values that were sent.
    ///
    /// # Errors
    /// When one does not end with success, or said too much.
    pub async fn stop(mut self) -> Result<()> {
        for process in self.processes() {
            let status = process.terminate().await?;
            ensure!(status.success(), "{status}: {}", process.log());
        }
        Ok(())
    }
}

fn extend(mut launch: Launch, shape: &Shape) -> Launch {
    launch.environment.extend(shape.environment.iter().cloned());
    launch
}
