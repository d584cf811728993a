//! The standalone's two halves in this process, put together as `kith serve` does.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use ingest_api::{Admission, Limits, Service, bind, development_store};
use kith_embedded::{Embedded, EmbeddedLog};
use kith_load::caller::{ACCOUNT, TOKEN};
use kith_profiles::ports::{Control as _, Definitions as _};
use kith_profiles::retries::RetryBudget;
use kith_profiles::{Profiles, environment};
use kith_runtime::breaker::{BreakerConfig, Dependency, GuardedLog};
use kith_runtime::clock::{SystemClock, SystemIds};
use kith_runtime::config::{SettingSet, Settings, table};
use kith_runtime::credentials::{Credentials, Development};
use kith_runtime::health::Health;
use kith_runtime::lifecycle::{Lifecycle, Stage};
use kith_runtime::metrics::Metrics;
use kith_runtime::telemetry::Telemetry;
use kith_runtime::trace_context::TracedLog;
use kith_tests::engines::{embedded, now};
use trait_worker::Worker;

const SYSTEM: &str = "kith";
const GRACE: Duration = Duration::from_secs(20);

type Log = GuardedLog<TracedLog<EmbeddedLog>>;
type Engines = environment::Parts<Embedded, Log, SystemClock, SystemIds>;

/// A service that answers, and its worker.
pub(crate) struct Served {
    address: SocketAddr,
    lifecycle: Lifecycle,
    _metrics: Metrics,
    _telemetry: Telemetry,
}

impl Served {
    pub(crate) async fn start(data: &Path) -> Result<Self> {
        let settings = settings()?;
        // Spans, lines and metrics are part of what a request costs.
        let telemetry = Telemetry::init(&settings, SYSTEM)?;
        let metrics = Metrics::install();
        let engine = embedded(data)?;
        let store = development_store(ACCOUNT.parse()?, now(), &SystemIds);
        engine.create_store(&store).await?;

        let mut lifecycle = Lifecycle::new(GRACE, Health::new());
        let http = lifecycle.stage("http");
        let consuming = lifecycle.stage("worker");
        let last = lifecycle.stage("store");
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let service = service(&settings, &engine, address, http.clone()).await?;
        let bound = bind(service, listener, None)?;
        http.component("http", |shutdown| async move {
            Ok(bound
                .serve(async move { shutdown.requested().await })
                .await?)
        });
        work(&consuming, &engine);
        last.component("store", |shutdown| async move {
            shutdown.requested().await;
            Ok(engine.close().await?)
        });
        Ok(Self {
            address,
            lifecycle,
            _metrics: metrics,
            _telemetry: telemetry,
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) async fn stop(self) -> Result<()> {
        self.lifecycle.stopper().stop();
        let exit = self.lifecycle.run().await;
        anyhow::ensure!(exit.code() == 0, "{exit:?}");
        Ok(())
    }
}

/// What `kith` goes by if nobody says anything.
fn settings() -> Result<Settings> {
    let taken = SettingSet::new(SYSTEM)
        .take(table::PROCESS)
        .take(table::HTTP)
        .take(table::EMBEDDED)
        .take(table::WORKER);
    let command = taken.command(clap::Command::new(SYSTEM));
    let matches = command.try_get_matches_from([SYSTEM])?;
    Ok(taken.load_from(&matches, &|_| None)?)
}

async fn service(
    settings: &Settings,
    engine: &Embedded,
    address: SocketAddr,
    stage: Stage,
) -> Result<Service<Engines>> {
    let database = Dependency::new("database", BreakerConfig::default());
    let log_dependency = Dependency::new("log", BreakerConfig::default());
    let log = engine.log();
    let topic = log.topic().to_owned();
    let engines: Engines = environment::Parts {
        database: engine.clone(),
        log: GuardedLog::new(TracedLog::new(log, topic, SYSTEM), log_dependency.clone()),
        clock: SystemClock::new(),
        ids: SystemIds,
        retries: RetryBudget::default(),
    };
    let limits = Limits::from_settings(settings)?;
    let credentials = Credentials::load(settings, Development::OnLoopback, &[address])?;
    anyhow::ensure!(
        credentials
            .development_account()
            .map(|account| account.as_str())
            == Some(ACCOUNT),
        "no development account: is TWILIO_ACCOUNT_SID set, or TWILIO_AUTH_TOKEN other than {TOKEN}?"
    );
    Ok(Service {
        profiles: Arc::new(Profiles::new(engines)),
        credentials,
        public_url: None,
        token_key: engine.token_key().await?,
        admission: Admission::new(limits.bounds(), database, log_dependency),
        limits,
        stage,
    })
}

fn work(stage: &Stage, engine: &Embedded) {
    let log = engine.log();
    let settings = trait_worker::Settings {
        group: "kith.trait-worker".to_owned(),
        topic: log.topic().to_owned(),
        system: SYSTEM,
        invalid_max: None,
        ..trait_worker::Settings::default()
    };
    let source = log.consumer(&settings.group);
    let worker = Worker::new(
        source,
        engine.clone(),
        log,
        SystemClock::new(),
        SystemIds,
        settings,
    );
    stage.component("worker", |shutdown| async move {
        worker.run(shutdown.requested()).await?;
        Ok(())
    });
}
