//! `serve`: both services over one engine, shut down in the order HTTP, log, worker, store.

use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use ingest_api::{Admission, Limits, Service, bind, development_store, public_url};
use kith_domain::event::record_bytes_max;
use kith_domain::id::AccountSid;
use kith_domain::store::StoreRecord;
use kith_domain::time::Micros;
use kith_embedded::{DiskLimits, Embedded, EmbeddedLog, Options, Retention};
use kith_profiles::error::PortError;
use kith_profiles::ports::{Clock, Control, Definitions};
use kith_profiles::retries::RetryBudget;
use kith_profiles::{Profiles, environment};
use kith_runtime::admin::AdminServer;
use kith_runtime::breaker::{BreakerConfig, Dependency, GuardedLog};
use kith_runtime::clock::{SystemClock, SystemIds};
use kith_runtime::config::{ByteSize, ConfigError, Settings, table};
use kith_runtime::credentials::{Credentials, DEVELOPMENT_TOKEN, Development, WATCH_EVERY};
use kith_runtime::health::Health;
use kith_runtime::lifecycle::{Exit, Lifecycle, Stage};
use kith_runtime::metrics::Metrics;
use kith_runtime::net;
use kith_runtime::tls::{ListenerTls, WATCH_EVERY as TLS_WATCH_EVERY};
use kith_runtime::trace_context::TracedLog;
use tracing::info;
use trait_worker::{WaitingFor, Worker};

use crate::copies::Socket;
use crate::{refuse, say};

/// The name that the worker's progress is kept under.
const GROUP: &str = "kith.trait-worker";
/// What spans call the embedded log.
const SYSTEM: &str = "kith";
/// The worker is heard of a few times a second.
const SILENCE_MAX: Duration = Duration::from_secs(60);

type Log = GuardedLog<TracedLog<EmbeddedLog>>;
type Engines = environment::Parts<Embedded, Log, SystemClock, SystemIds>;

/// What is made of settings before anything is started.
pub(crate) struct Parts {
    listener: TcpListener,
    admin: AdminServer,
    health: Health,
    credentials: Credentials,
    limits: Limits,
    public_url: Option<String>,
    tls: Option<ListenerTls>,
    options: Options,
    worker: trait_worker::Settings,
    grace: Duration,
    clock: SystemClock,
}

impl Parts {
    /// Takes both addresses, too: whether there is a development account depends on them.
    pub(crate) fn from(settings: &Settings) -> Result<Self, ConfigError> {
        let health = Health::new();
        let listener = net::bind(settings, &table::LISTEN)?;
        let admin = AdminServer::bind(settings, health.clone(), Metrics::install())?;
        let listeners = [settings.get(&table::LISTEN)?, admin.address()];
        let clock = SystemClock::new();
        let grace = settings.get(&table::SHUTDOWN_GRACE)?;
        Ok(Self {
            listener,
            admin,
            credentials: Credentials::load(settings, Development::OnLoopback, &listeners)?,
            limits: Limits::from_settings(settings)?,
            public_url: public_url(settings)?,
            tls: ListenerTls::from_settings(settings)?,
            options: options(settings, &clock)?,
            worker: worker_settings(settings, grace)?,
            grace,
            clock,
            health,
        })
    }
}

/// Runs until told to end.
pub(crate) async fn run(parts: Parts) -> Exit {
    let Parts {
        listener,
        admin,
        health,
        credentials,
        limits,
        public_url,
        tls,
        options,
        worker,
        grace,
        clock,
    } = parts;
    let mut lifecycle = Lifecycle::new(grace, health.clone());
    clock.report_to(health.condition("clock"));
    let store_ready = health.condition("store");

    // In the order in which they are shut down. The log has no stage of its own: whatever was published is durable when
    // the last request is answered, and the store takes it from there.
    let http = lifecycle.stage("http");
    let consuming = lifecycle.stage("worker");
    let store = lifecycle.stage("store");
    let admin_address = admin.address();
    lifecycle
        .stage("admin")
        .component("admin", |shutdown| admin.serve(shutdown));

    let opened = lifecycle.starting(open(options, &credentials, &clock));
    let engine = match opened.await {
        Ok(Ok(engine)) => engine,
        Ok(Err(reason)) => return refuse(&reason),
        Err(exit) => return exit,
    };
    let development = credentials.development_account().cloned();
    let watched = credentials.clone();
    store.component("credentials", |shutdown| {
        watched.watch(WATCH_EVERY, shutdown)
    });
    if let Some(tls) = tls.clone() {
        store.component("tls", |shutdown| tls.watch(TLS_WATCH_EVERY, shutdown));
    }
    let service = service(
        &engine,
        &clock,
        credentials,
        limits,
        public_url,
        http.clone(),
    );
    let service = match service.await {
        Ok(service) => service,
        Err(error) => return refuse(&error.to_string()),
    };
    service.resume();
    let bound = match bind(service, listener, tls.as_ref()) {
        Ok(bound) => bound,
        Err(error) => return refuse(&error.to_string()),
    };
    let address = bound.local_address();
    http.component("http", move |shutdown| async move {
        Ok(bound
            .serve(async move { shutdown.requested().await })
            .await?)
    });
    run_worker(&consuming, &engine, &clock, worker, &health);
    if let Some(socket) = Socket::bind(&engine) {
        let engine = engine.clone();
        store.component("socket", |shutdown| async move {
            socket.serve(engine, shutdown).await;
            Ok(())
        });
    }
    let failed = engine.failed();
    store.component("store", move |shutdown| async move {
        tokio::select! {
            failure = failed => return Err(failure.into()),
            () = shutdown.requested() => {}
        }
        Ok(engine.close().await?)
    });
    store_ready.set_ready();
    info!(%address, admin = %admin_address, "serving");
    let scheme = if tls.is_some() { "https" } else { "http" };
    greet(
        scheme,
        address,
        development.as_ref().map(AccountSid::as_str),
    );
    lifecycle.run().await
}

/// How the engine is set up.
pub(crate) fn options(settings: &Settings, clock: &SystemClock) -> Result<Options, ConfigError> {
    let dir: PathBuf = settings.get(&table::DATA_DIR)?;
    let partitions: u16 = settings.get(&table::LOG_PARTITIONS)?;
    let mut options = Options::new(dir, steady(clock.clone()));
    if let Some(partitions) = NonZeroU16::new(partitions) {
        options.log_partitions = partitions;
    }
    // What the API takes, the log takes.
    let body: ByteSize = settings.get(&table::BODY_BYTES_MAX)?;
    options.record_bytes_max = record_bytes_max(body.as_usize()).max(options.record_bytes_max);
    options.queue_bytes_max = (2 * options.record_bytes_max).max(options.queue_bytes_max);
    options.retention = Retention {
        age: settings.get(&table::LOG_RETENTION)?,
        letters: settings.get(&table::DEAD_LETTERS_RETENTION)?,
        ..options.retention
    };
    options.disk = DiskLimits {
        warn_bytes: settings.get::<ByteSize>(&table::DISK_FREE_BYTES_WARN)?.0,
        reserve_bytes: settings.get::<ByteSize>(&table::DISK_FREE_BYTES_MIN)?.0,
    };
    Ok(options)
}

/// The time that records are marked with, for lag and retention only: while the clock cannot be trusted, it stands still.
fn steady(clock: SystemClock) -> kith_embedded::Now {
    let last = AtomicI64::new(0);
    Arc::new(move || match clock.now() {
        Ok(now) => {
            last.store(now.as_micros(), Ordering::Relaxed);
            now
        }
        Err(_) => Micros::from_micros(last.load(Ordering::Relaxed)),
    })
}

/// Opens the data directory, and makes the development account's store there.
async fn open(
    options: Options,
    credentials: &Credentials,
    clock: &SystemClock,
) -> Result<Embedded, String> {
    let opening = tokio::task::spawn_blocking(move || Embedded::open(options));
    let engine = opening
        .await
        .map_err(|error| format!("the store could not be opened: {error}"))?
        .map_err(|error| error.to_string())?;
    if let Some(account) = credentials.development_account() {
        let now = clock.now().map_err(|error| error.to_string())?;
        let store = development_store(account.clone(), now, &SystemIds);
        make_unless_there(&engine, &store)
            .await
            .map_err(|error| error.to_string())?;
    }
    Ok(engine)
}

/// Looks first, so that a process starts and answers reads on a disk that takes no writes.
async fn make_unless_there(engine: &Embedded, store: &StoreRecord) -> Result<(), PortError> {
    if engine.store(store.id).await?.is_none() && !engine.is_deleted(store.id).await? {
        engine.create_store(store).await?;
    }
    Ok(())
}

async fn service(
    engine: &Embedded,
    clock: &SystemClock,
    credentials: Credentials,
    limits: Limits,
    public_url: Option<String>,
    stage: Stage,
) -> Result<Service<Engines>, PortError> {
    let database = Dependency::new("database", BreakerConfig::default());
    let log_dependency = Dependency::new("log", BreakerConfig::default());
    let log = engine.log();
    let topic = log.topic().to_owned();
    let engines: Engines = environment::Parts {
        database: engine.clone(),
        log: GuardedLog::new(TracedLog::new(log, topic, SYSTEM), log_dependency.clone()),
        clock: clock.clone(),
        ids: SystemIds,
        retries: RetryBudget::default(),
    };
    Ok(Service {
        profiles: Arc::new(Profiles::new(engines)),
        credentials,
        public_url,
        token_key: engine.token_key().await?,
        admission: Admission::new(limits.bounds(), database, log_dependency),
        limits,
        stage,
    })
}

/// What somebody who has just started it wants to know.
fn greet(scheme: &str, address: SocketAddr, development: Option<&str>) {
    let base = format!("{scheme}://{address}");
    say(&format!("Kith serves {base}"));
    let Some(account) = development else { return };
    let token = std::env::var("TWILIO_AUTH_TOKEN").map_or(DEVELOPMENT_TOKEN.to_owned(), |_| {
        "$TWILIO_AUTH_TOKEN".to_owned()
    });
    say(&format!("Development account: {account} / {token}"));
    say("A first profile:");
    say(&format!(
        "  curl -u \"{account}:{token}\" -H 'Content-Type: application/json' \\\n    \
         -d '{{\"traits\":{{\"Contact\":{{\"email\":\"ada@example.com\",\"firstName\":\"Ada\"}}}}}}' \\\n    \
         {base}/v1/Stores/{}/Profiles",
        ingest_api::DEVELOPMENT_STORE
    ));
}

fn worker_settings(
    settings: &Settings,
    grace: Duration,
) -> Result<trait_worker::Settings, ConfigError> {
    Ok(trait_worker::Settings {
        group: GROUP.to_owned(),
        system: SYSTEM,
        records_in_flight_max: settings.get(&table::RECORDS_IN_FLIGHT_MAX)?,
        record_bytes_in_flight_max: settings
            .get::<ByteSize>(&table::RECORD_BYTES_IN_FLIGHT_MAX)?
            .as_usize(),
        // Stopping for invalid records would stop the API, too. They are kept, and counted.
        invalid_max: None,
        // HTTP drains before it, the store after it.
        drain: grace / 3,
        close: grace / 6,
        ..trait_worker::Settings::default()
    })
}

fn run_worker(
    stage: &Stage,
    engine: &Embedded,
    clock: &SystemClock,
    mut settings: trait_worker::Settings,
    health: &Health,
) {
    let log = engine.log();
    settings.topic = log.topic().to_owned();
    let heart = health.heartbeat("worker", SILENCE_MAX);
    let progress = health.progress("worker");
    let source = log.consumer(GROUP);
    let worker = Worker::new(
        source,
        engine.clone(),
        log,
        clock.clone(),
        SystemIds,
        settings,
    )
    .on_pulse(move |pulse| {
        heart.beat();
        progress.set_held_up(pulse.waiting_for.map(WaitingFor::label));
    });
    stage.component("worker", move |shutdown| async move {
        worker.run(shutdown.requested()).await?;
        Ok(())
    });
}
