//! Three database nodes and a broker of a run's own on loopback, each behind a proxy, and the services on them.

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kith_domain::identifier::IdType;
use kith_domain::settings::LimitPolicy;
use kith_domain::store::StoreRecord;
use kith_kafka::{KafkaConfig, ensure_topics};
use kith_profiles::ports::Control;
use kith_runtime::clock::SystemIds;
use kith_scylla::{Cql, CqlConfig, Dialect, migrate};
use kith_tests::api::{ACCOUNT, Api};
use kith_tests::engines::now;
use kith_tests::poll::until;
use kith_tests::process::{Launch, Process, free_address};
use kith_tests::proxy::{Mode, Proxy};
use kith_tests::servers::{Place, workspace};
use tempfile::TempDir;
use uuid::Uuid;

/// Values that a person may have of the [`LIMITED`](crate::LIMITED) type.
pub const LIMIT: u16 = 2;

/// The servers. Dropping them stops them.
#[derive(Debug)]
pub struct Cluster {
    dir: PathBuf,
    environment: Vec<(String, String)>,
    /// In front of each node: its clients know no other way to it.
    pub nodes: Vec<Proxy>,
    /// In front of the broker.
    pub log: Proxy,
}

impl Cluster {
    /// Starts them, and waits until each answers and sees the others.
    ///
    /// # Errors
    /// When one does not.
    pub async fn start() -> Result<Self> {
        let name = format!("kith-faults-{}", Uuid::new_v4().as_simple());
        Self::start_in(std::env::temp_dir().join(name), 3).await
    }

    /// Starts so many nodes (one or three) and a broker with their files in this folder.
    ///
    /// # Errors
    /// When one does not answer.
    pub async fn start_in(dir: PathBuf, count: u8) -> Result<Self> {
        let mut environment: Vec<(String, String)> = vec![
            ("KITH_LOCAL_DIR".into(), dir.display().to_string()),
            ("KITH_LOCAL_MIGRATE".into(), "0".into()),
            ("KITH_LOCAL_CQL_PROXIED".into(), "true".into()),
            // What was acknowledged survives kill -9.
            ("KITH_LOCAL_COMMITLOG".into(), "batch".into()),
            ("NODES".into(), count.to_string()),
        ];
        let mut port = |name: &str| -> Result<u16> {
            let port = free_address()?.port();
            environment.push((format!("KITH_LOCAL_{name}"), port.to_string()));
            Ok(port)
        };
        for name in ["KAFKA_PORT", "KAFKA_CONTROLLER_PORT", "STORAGE_PORT"] {
            port(name)?;
        }
        let (cql, proxied, proxy) = (
            port("CQL_PORT")?,
            port("KAFKA_PROXIED_PORT")?,
            port("KAFKA_PROXY_PORT")?,
        );
        let mut nodes = Vec::new();
        for node in 1..=count {
            let listen = SocketAddr::from(([127, 0, 1, node], cql));
            let upstream = SocketAddr::from(([127, 0, 0, node], cql));
            nodes.push(Proxy::start_on(listen, upstream).await?);
        }
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let cluster = Self {
            dir,
            environment,
            nodes,
            log: Proxy::start_on(local(proxy), local(proxied)).await?,
        };
        cluster.script("up", &[]).await?;
        Ok(cluster)
    }

    /// Runs a script of `deploy/local` on these servers; what it printed.
    ///
    /// # Errors
    /// When it fails.
    pub async fn script(&self, script: &str, arguments: &[&str]) -> Result<String> {
        let mut command = self.command(script, arguments);
        let output = tokio::task::spawn_blocking(move || command.output()).await??;
        ensure!(
            output.status.success(),
            "deploy/local/{script} {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    fn command(&self, script: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(workspace().join("deploy/local").join(script));
        command.args(arguments);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// A keyspace, topics and a store of their own, reached through the proxies.
    ///
    /// # Errors
    /// When they cannot be made.
    pub async fn place(&self) -> Result<(Place, StoreRecord)> {
        let nodes = self.nodes.iter().map(|node| node.address().to_string());
        let place = Place::on(nodes.collect(), self.log.address().to_string());
        let store = furnish(&place).await?;
        Ok((place, store))
    }

    /// Lets everything pass again. What was kept back is gone: only new connections work.
    pub async fn heal(&self) {
        let all = |mode| {
            for proxy in self.nodes.iter().chain([&self.log]) {
                proxy.set(mode);
            }
        };
        all(Mode::Cut);
        tokio::time::sleep(Duration::from_millis(200)).await;
        all(Mode::Forward);
    }
}

/// Makes the keyspace, the topics and the store of a place.
///
/// # Errors
/// When one cannot be made.
pub async fn furnish(place: &Place) -> Result<StoreRecord> {
    let config = cql(place)?;
    migrate(&config).await?;
    ensure_topics(&log(place)).await?;
    let account = ACCOUNT.parse().context("the development account")?;
    let mut store = ingest_api::development_store(account, now(), &SystemIds);
    let limited = IdType::new(crate::LIMITED);
    let types = &mut store.settings.identifier_configs;
    let limited = types.iter_mut().find(|one| one.id_type == limited);
    let limited = limited.context("the limited type")?;
    limited.limit = LIMIT;
    limited.limit_policy = LimitPolicy::Fifo;
    let database = Cql::connect(&config).await?;
    // Repeating it is safe, and a node that was just asked to make tables may be late.
    until(Duration::from_secs(30), "the store", || async {
        Ok(Some(database.create_store(&store).await?))
    })
    .await?;
    Ok(store)
}

/// The log of a place.
#[must_use]
pub fn log(place: &Place) -> KafkaConfig {
    let mut log = KafkaConfig {
        bootstrap: place.bootstrap.clone(),
        traits_topic: place.topic.clone(),
        ..KafkaConfig::default()
    };
    log.topics.partitions = 8;
    log.topics.replication_factor = 1;
    log.topics.min_insync_replicas = 1;
    log.consumer.group.clone_from(&place.group);
    log
}

/// The database of a place.
///
/// # Errors
/// When the keyspace has no such name.
pub fn cql(place: &Place) -> Result<CqlConfig> {
    let copies = u16::try_from(place.replication_factor)?;
    Ok(CqlConfig {
        nodes: place.cql_nodes.clone(),
        keyspace: place.keyspace.parse()?,
        dialect: Dialect::Cassandra,
        replication_factor: NonZeroU16::new(copies).context("no copies")?,
        ..CqlConfig::default()
    })
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // A frozen server is thawed by its end.
        drop(self.command("down", &["--delete"]).output());
        drop(std::fs::remove_dir_all(&self.dir));
    }
}

/// Processes of Kith at a place.
#[derive(Debug)]
pub struct Services {
    /// Copies of the process that answers HTTP.
    pub ingests: Vec<tokio::sync::Mutex<Process>>,
    /// Copies of the process that consumes.
    pub workers: Vec<tokio::sync::Mutex<Process>>,
    /// A caller of each that answers HTTP.
    pub apis: Vec<Api>,
    _dir: TempDir,
}

impl Services {
    /// Starts three that answer HTTP and two that consume. The former are `binary`, each told its variables.
    ///
    /// # Errors
    /// When one is not ready in time.
    pub async fn start(
        place: &Place,
        binary: &str,
        told: impl Fn(usize) -> Vec<(String, String)>,
    ) -> Result<Self> {
        let (mut ingests, mut workers) = (Vec::new(), Vec::new());
        for number in 0..3 {
            let mut launch = place.launch(binary)?;
            launch.environment.extend(told(number));
            ingests.push(launch);
        }
        for _ in 0..2 {
            workers.push(place.launch("trait-worker")?);
        }
        Self::launch(ingests, workers).await
    }

    /// Starts these: some that answer HTTP, and some that consume.
    ///
    /// # Errors
    /// When one is not ready in time.
    pub async fn launch(answering: Vec<Launch>, consuming: Vec<Launch>) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        // Under load a line a statement is a load of its own.
        let quiet = |launch: Launch| launch.with("RUST_LOG", "warn");
        let (mut ingests, mut workers, mut apis) = (Vec::new(), Vec::new(), Vec::new());
        for launch in answering {
            let process = Process::start(quiet(launch).answering(dir.path())?, dir.path())?;
            apis.push(Api::of(&process)?);
            ingests.push(process);
        }
        for launch in consuming {
            workers.push(Process::start(quiet(launch), dir.path())?);
        }
        for process in ingests.iter_mut().chain(&mut workers) {
            process.ready().await?;
        }
        let locked = |processes: Vec<Process>| processes.into_iter().map(Into::into).collect();
        Ok(Self {
            ingests: locked(ingests),
            workers: locked(workers),
            apis,
            _dir: dir,
        })
    }

    /// Ends every process as an operator would, and searches what they wrote for values that were sent.
    ///
    /// # Errors
    /// When one does not end with success, or said too much.
    pub async fn stop(self) -> Result<()> {
        for process in self.ingests.into_iter().chain(self.workers) {
            let mut process = process.into_inner();
            let status = process.terminate().await?;
            ensure!(status.success(), "{status}: {}", process.log());
        }
        Ok(())
    }
}
