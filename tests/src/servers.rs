//! The real servers of a run, and a keyspace and topics of its own for each test.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::process::Launch;

/// Where the CQL nodes of this run are.
///
/// # Errors
/// When the run was started without servers.
pub fn cql_nodes() -> Result<Vec<String>> {
    let nodes =
        std::env::var("KITH_TEST_CQL_NODES").context("KITH_TEST_CQL_NODES: run `make test`")?;
    Ok(nodes
        .split(',')
        .map(|node| node.trim().to_owned())
        .collect())
}

/// Where the broker of this run is.
///
/// # Errors
/// When the run was started without servers.
pub fn kafka_bootstrap() -> Result<String> {
    std::env::var("KITH_TEST_KAFKA_BOOTSTRAP").context("KITH_TEST_KAFKA_BOOTSTRAP: run `make test`")
}

/// `deploy/local/node NAME ACTION` on the servers of this run, for suites that have them to themselves while they run; what it
/// printed.
///
/// # Errors
/// When it fails.
pub async fn node(name: &str, action: &str) -> Result<String> {
    script("node", &[name, action]).await
}

/// Cassandra's own `nodetool` on a node of this run, by its name in `deploy/local`; what it printed.
///
/// # Errors
/// When it fails.
pub async fn nodetool(name: &str, arguments: &[&str]) -> Result<String> {
    script("nodetool", &[&[name], arguments].concat()).await
}

/// The folder of this run's servers.
///
/// # Errors
/// When the run was started without servers.
pub fn local_dir() -> Result<PathBuf> {
    let dir = std::env::var("KITH_TEST_LOCAL_DIR");
    Ok(dir.context("KITH_TEST_LOCAL_DIR: run `make test`")?.into())
}

async fn script(name: &str, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(workspace().join("deploy/local").join(name));
    command.args(arguments).env("KITH_LOCAL_DIR", local_dir()?);
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    ensure!(
        output.status.success(),
        "deploy/local/{name} {arguments:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The folder of the workspace.
#[must_use]
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map(Path::to_owned)
        .unwrap_or_default()
}

/// A keyspace and topics of one test on real servers.
#[derive(Debug, Clone)]
pub struct Place {
    /// CQL contact points.
    pub cql_nodes: Vec<String>,
    /// The keyspace.
    pub keyspace: String,
    /// The broker.
    pub bootstrap: String,
    /// The traits topic.
    pub topic: String,
    /// The consumer group.
    pub group: String,
    /// Replicas of the data.
    pub replication_factor: usize,
    /// What else a service is told, such as how to prove who it is.
    pub environment: Vec<(String, String)>,
}

impl Place {
    /// A new place on the servers of this run. Nothing is made there yet.
    ///
    /// # Errors
    /// When the run was started without servers.
    pub fn new() -> Result<Self> {
        Ok(Self::on(cql_nodes()?, kafka_bootstrap()?))
    }

    /// A new place on these servers.
    #[must_use]
    pub fn on(cql_nodes: Vec<String>, bootstrap: String) -> Self {
        let name = uuid::Uuid::new_v4().as_simple().to_string()[..12].to_owned();
        let replication_factor = cql_nodes.len();
        Self {
            cql_nodes,
            keyspace: format!("t{name}"),
            bootstrap,
            topic: format!("t{name}.traits"),
            group: format!("t{name}.worker"),
            replication_factor,
            environment: Vec::new(),
        }
    }

    /// The same place, with one more variable for every service.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.environment.push((name.into(), value.to_string()));
        self
    }

    /// The same place, reached through these addresses.
    #[must_use]
    pub fn through(&self, cql: Option<SocketAddr>, kafka: Option<SocketAddr>) -> Self {
        let mut place = self.clone();
        if let Some(cql) = cql {
            place.cql_nodes = vec![cql.to_string()];
        }
        if let Some(kafka) = kafka {
            place.bootstrap = kafka.to_string();
        }
        place
    }

    /// A launch of a service at this place.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn launch(&self, binary: &str) -> Result<Launch> {
        let mut launch = Launch::new(binary)?
            .with("KITH_CQL_NODES", self.cql_nodes.join(","))
            .with("KITH_CQL_KEYSPACE", &self.keyspace)
            .with("KITH_CQL_DIALECT", "cassandra")
            .with("KITH_CQL_REPLICATION_FACTOR", self.replication_factor)
            .with("KITH_KAFKA_BOOTSTRAP", &self.bootstrap)
            .with("KITH_KAFKA_TRAITS_TOPIC", &self.topic)
            .with("KITH_KAFKA_GROUP", &self.group)
            .with("KITH_KAFKA_TOPIC_PARTITIONS", "8")
            .with("KITH_KAFKA_REPLICATION_FACTOR", "1")
            .with("KITH_KAFKA_SESSION_TIMEOUT", "6s");
        launch.environment.extend(self.environment.iter().cloned());
        Ok(launch)
    }

    /// A launch of a service at this place, with what `ingest-api` needs besides ([`Launch::answering`]).
    ///
    /// # Errors
    /// As that.
    pub fn service(&self, binary: &str, dir: &Path) -> Result<Launch> {
        let launch = self.launch(binary)?;
        match binary {
            "ingest-api" => launch.answering(dir),
            _ => Ok(launch),
        }
    }

    /// Makes the keyspace, the topics and the development store, as an operator would.
    ///
    /// # Errors
    /// When `ingest-api migrate` fails; with what it said.
    pub async fn migrate(&self) -> Result<()> {
        self.migrate_by(self.launch("ingest-api")?).await
    }

    /// The same, by an `ingest-api` that is launched like this.
    ///
    /// # Errors
    /// As [`Self::migrate`].
    pub async fn migrate_by(&self, ingest: Launch) -> Result<()> {
        let launch = ingest.told(&["migrate", "--development-store"]);
        let output = launch.output().await?;
        ensure!(
            output.status.success(),
            "migrate: {}: {}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }
}
