//! `serve`: the service as a process.
//!
//! It is alive from the start and ready when the statements are prepared and the log was reached once; until then it tries
//! again. Connections are taken from then on; what comes earlier waits in the listener's queue.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use kith_kafka::{KafkaConfig, KafkaLog, SetupError};
use kith_profiles::Profiles;
use kith_profiles::environment::{self, Environment};
use kith_profiles::ports::{Definitions, TokenKey};
use kith_profiles::retries::RetryBudget;
use kith_runtime::admin::AdminServer;
use kith_runtime::breaker::{BreakerConfig, Dependency, GuardedLog};
use kith_runtime::clock::{SystemClock, SystemIds};
use kith_runtime::config::{ConfigError, Settings, table};
use kith_runtime::credentials::{Credentials, Development, WATCH_EVERY};
use kith_runtime::health::Health;
use kith_runtime::lifecycle::{ComponentError, Exit, Lifecycle};
use kith_runtime::metrics::Metrics;
use kith_runtime::net;
use kith_runtime::tls::{ListenerTls, WATCH_EVERY as TLS_WATCH_EVERY};
use kith_runtime::trace_context::TracedLog;
use kith_scylla::{Cql, CqlConfig};
use kith_servers::{REACH_LIMIT, compare_clocks, insist};
use tracing::{error, info};

use crate::{Admission, Limits, Service, bind, public_url};

/// What spans call the log.
const SYSTEM: &str = "kafka";
/// How long the last records get at the end: longer than the log takes to give one up.
const FLUSH_LIMIT: Duration = Duration::from_secs(4);

/// The engines of the service: what its environment is made of.
pub type Engines = environment::Parts<Cql, GuardedLog<TracedLog<KafkaLog>>, SystemClock, SystemIds>;

/// What is made of settings before anything is started.
#[derive(Debug)]
pub struct Parts {
    credentials: Credentials,
    limits: Limits,
    public_url: Option<String>,
    tls: Option<ListenerTls>,
}

impl Parts {
    /// Makes it.
    ///
    /// # Errors
    /// Names the setting that is wrong.
    pub fn from(settings: &Settings) -> Result<Self, ConfigError> {
        Ok(Self {
            credentials: Credentials::load(settings, Development::Forbidden, &[])?,
            limits: Limits::from_settings(settings)?,
            public_url: public_url(settings)?,
            tls: ListenerTls::from_settings(settings)?,
        })
    }
}

/// Runs until told to end, over the environment that `assemble` makes of the engines.
///
/// # Errors
/// One of the settings is wrong.
pub async fn run<E: Environment<Database: Definitions>>(
    settings: &Settings,
    cql: CqlConfig,
    kafka: KafkaConfig,
    parts: Parts,
    assemble: impl FnOnce(Engines) -> E,
) -> Result<Exit, ConfigError> {
    let metrics = Metrics::install();
    let health = Health::new();
    let mut lifecycle = Lifecycle::new(settings.get(&table::SHUTDOWN_GRACE)?, health.clone());
    let listener = net::bind(settings, &table::LISTEN)?;
    let admin = AdminServer::bind(settings, health.clone(), metrics)?;
    let clock = SystemClock::new();
    clock.report_to(health.condition("clock"));

    // In the order in which they are shut down.
    let http = lifecycle.stage("http");
    let servers = lifecycle.stage("servers");
    lifecycle
        .stage("admin")
        .component("admin", |shutdown| admin.serve(shutdown));

    let reached = match lifecycle
        .starting(Box::pin(reach(&cql, &kafka, &health)))
        .await
    {
        Ok(reached) => reached,
        Err(exit) => return Ok(exit),
    };
    let (database, log, token_key) = match reached {
        Ok(engines) => engines,
        Err(cause) => {
            error!(error = &*cause, "cannot start");
            return Ok(Exit::Failed);
        }
    };
    let database_breaker = Dependency::new("database", BreakerConfig::default());
    let log_breaker = Dependency::new("log", BreakerConfig::default());
    let traced = TracedLog::new(log.clone(), kafka.traits_topic.clone(), SYSTEM);
    let engines = Engines {
        database: database.clone(),
        log: GuardedLog::new(traced, log_breaker.clone()),
        clock: clock.clone(),
        ids: SystemIds,
        retries: RetryBudget::default(),
    };
    let credentials = parts.credentials.clone();
    servers.component("credentials", |shutdown| {
        credentials.watch(WATCH_EVERY, shutdown)
    });
    if let Some(tls) = parts.tls.clone() {
        servers.component("tls", |shutdown| tls.watch(TLS_WATCH_EVERY, shutdown));
    }
    let service = Service {
        profiles: Arc::new(Profiles::new(assemble(engines))),
        credentials: parts.credentials,
        public_url: parts.public_url,
        token_key,
        admission: Admission::new(parts.limits.bounds(), database_breaker, log_breaker),
        limits: parts.limits,
        stage: http.clone(),
    };
    service.resume();
    let bound = match bind(service, listener, parts.tls.as_ref()) {
        Ok(bound) => bound,
        Err(cause) => {
            let cause: &dyn Error = &cause;
            error!(error = cause, "cannot start");
            return Ok(Exit::Failed);
        }
    };
    info!(address = %bound.local_address(), "serving");
    http.component("http", move |shutdown| async move {
        Ok(bound
            .serve(async move { shutdown.requested().await })
            .await?)
    });
    servers.component("log", move |shutdown| async move {
        tokio::select! {
            // Nothing could ever be published again.
            failure = log.failed() => return Err(failure.into()),
            () = shutdown.requested() => {}
        }
        Ok(log.flush(FLUSH_LIMIT).await?)
    });
    servers.component("clock", move |shutdown| async move {
        tokio::select! {
            () = compare_clocks(&clock, &database) => {}
            () = shutdown.requested() => {}
        }
        Ok(())
    });
    Ok(lifecycle.run().await)
}

/// Reaches the servers, however long it takes.
async fn reach(
    cql: &CqlConfig,
    kafka: &KafkaConfig,
    health: &Health,
) -> Result<(Cql, KafkaLog, TokenKey), ComponentError> {
    let (database, log) = (health.condition("database"), health.condition("log"));
    let connected = insist(&database, "database", || Cql::connect(cql)).await?;
    let token_key = insist(&database, "database", || connected.token_key()).await?;
    let producer = KafkaLog::new(kafka).map_err(|error: SetupError| error)?;
    // The first record of a producer is slow: whoever is ready has that behind it.
    insist(&log, "log", || producer.warm(REACH_LIMIT)).await?;
    Ok((connected, producer, token_key))
}
