//! `serve`: the worker as a process.
//!
//! It is alive from the start and ready when the statements are prepared and the log was reached once; until then it tries
//! again, because whoever starts everything at once should not have to mind the order.

use std::time::Duration;

use kith_kafka::{KafkaConfig, KafkaLog, KafkaSource};
use kith_runtime::admin::AdminServer;
use kith_runtime::clock::{SystemClock, SystemIds};
use kith_runtime::config::{ConfigError, Settings, table};
use kith_runtime::health::{Condition, Health};
use kith_runtime::lifecycle::{ComponentError, Exit, Lifecycle, Shutdown};
use kith_runtime::metrics::Metrics;
use kith_scylla::{Cql, CqlConfig};
use kith_servers::{REACH_LIMIT, compare_clocks, insist};
use tracing::info;
use trait_worker::{WaitingFor, Worker};

use super::Servers;

/// The worker is heard of a few times a second; handing partitions back may keep it silent for a while.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Runs until told to end. An error is one of the settings.
pub(crate) async fn run(settings: &Settings, servers: Servers) -> Result<Exit, ConfigError> {
    let health = Health::new();
    let conditions = Conditions {
        database: health.condition("database"),
        log: health.condition("log"),
    };
    let mut lifecycle = Lifecycle::new(settings.get(&table::SHUTDOWN_GRACE)?, health.clone());
    let admin = AdminServer::bind(settings, health.clone(), Metrics::install())?;
    info!(address = %admin.address(), "admin listens");
    lifecycle.stage("worker").component("worker", |shutdown| {
        work(servers, conditions, health, shutdown)
    });
    lifecycle
        .stage("admin")
        .component("admin", |shutdown| admin.serve(shutdown));
    Ok(lifecycle.run().await)
}

/// What has to hold before the process is ready.
struct Conditions {
    database: Condition,
    log: Condition,
}

async fn work(
    servers: Servers,
    conditions: Conditions,
    health: Health,
    shutdown: Shutdown,
) -> Result<(), ComponentError> {
    let Servers { cql, kafka, worker } = servers;
    let engines = tokio::select! {
        engines = Engines::reach(&cql, &kafka, &conditions) => engines?,
        () = shutdown.requested() => return Ok(()),
    };
    let Engines {
        database,
        log,
        source,
    } = engines;
    let clock = SystemClock::new();
    let heart = health.heartbeat("worker", SILENCE_MAX);
    let progress = health.progress("worker");
    let worker = Worker::new(
        source,
        database.clone(),
        log.clone(),
        clock.clone(),
        SystemIds,
        worker,
    );
    let running = worker
        .on_pulse(move |pulse| {
            heart.beat();
            progress.set_held_up(pulse.waiting_for.map(WaitingFor::label));
        })
        .run(shutdown.requested());
    tokio::select! {
        ended = running => {
            ended?;
            Ok(())
        }
        // Dead letters could never be kept again.
        error = log.failed() => Err(error.into()),
        () = compare_clocks(&clock, &database) => Ok(()),
    }
}

struct Engines {
    database: Cql,
    log: KafkaLog,
    source: KafkaSource,
}

impl Engines {
    /// Reaches the servers, however long it takes.
    async fn reach(
        cql: &CqlConfig,
        kafka: &KafkaConfig,
        conditions: &Conditions,
    ) -> Result<Self, ComponentError> {
        let database = insist(&conditions.database, "database", || Cql::connect(cql)).await?;
        let log = KafkaLog::new(kafka)?;
        insist(&conditions.log, "log", || log.reachable(REACH_LIMIT)).await?;
        let source = KafkaSource::new(kafka)?;
        Ok(Self {
            database,
            log,
            source,
        })
    }
}
