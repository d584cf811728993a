//! The one node and the broker that all suites of a run share, behind proxies of a test's own; and what the broker itself
//! says. For faults that do not need three nodes.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use kith_domain::store::StoreRecord;
use kith_tests::process::Launch;
use kith_tests::proxy::Proxy;
use kith_tests::servers::Place;
use kith_tests::topics;
use tokio::sync::{Mutex, MutexGuard};

use crate::cluster::{Services, furnish};
use crate::history::Record;
use crate::run::verdict;

/// The servers are shared, and the broker names one proxied address to its clients: one test at a time stands there.
static TURN: Mutex<()> = Mutex::const_new(());

/// Waits for one's turn at the shared servers: for tests that stand there without a [`Stand`], which waits by itself.
pub async fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().await
}

/// How many processes there are, and what each kind is told beside where its servers are.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Copies of `ingest-api`.
    pub ingests: usize,
    /// Copies of `trait-worker`.
    pub workers: usize,
    /// More variables of `ingest-api`.
    pub ingest_told: Vec<(String, String)>,
    /// More variables of `trait-worker`.
    pub worker_told: Vec<(String, String)>,
}

impl Wanted {
    /// So many of each.
    #[must_use]
    pub fn of(ingests: usize, workers: usize) -> Self {
        Self {
            ingests,
            workers,
            ..Self::default()
        }
    }
}

/// A place of a test's own, with processes whose ways to their servers are proxies.
#[derive(Debug)]
pub struct Stand {
    /// The place, past the proxies.
    pub place: Place,
    /// Its store.
    pub store: StoreRecord,
    /// Before the database, for those that answer HTTP.
    pub database: Proxy,
    /// Before the database, for those that consume. Their way to the broker has none.
    pub cells: Proxy,
    /// Before the broker, for those that answer HTTP.
    pub log: Proxy,
    /// The processes.
    pub services: Services,
    _turn: MutexGuard<'static, ()>,
}

impl Stand {
    /// Waits for its turn, makes a place and starts the processes.
    ///
    /// # Errors
    /// When the run has no servers, or a process is not ready in time.
    pub async fn start(wanted: Wanted) -> Result<Self> {
        let turn = turn().await;
        let address = |name: &'static str| -> Result<SocketAddr> {
            let text = std::env::var(name).with_context(|| format!("{name}: run `make test`"))?;
            Ok(text.parse()?)
        };
        let place = Place::new()?;
        let node: SocketAddr = place.cql_nodes[0].parse()?;
        let (database, cells) = (Proxy::start(node).await?, Proxy::start(node).await?);
        let (listen, upstream) = (
            address("KITH_TEST_KAFKA_PROXY")?,
            address("KITH_TEST_KAFKA_PROXIED")?,
        );
        let log = Proxy::start_on(listen, upstream).await?;
        let store = furnish(&place).await?;
        let told = |mut launch: Launch, variables: &[(String, String)]| {
            launch.environment.extend(variables.iter().cloned());
            launch
        };
        let front = place.through(Some(database.address()), Some(log.address()));
        let back = place.through(Some(cells.address()), None);
        let (mut ingests, mut workers) = (Vec::new(), Vec::new());
        for _ in 0..wanted.ingests {
            ingests.push(told(front.launch("ingest-api")?, &wanted.ingest_told));
        }
        for _ in 0..wanted.workers {
            workers.push(told(back.launch("trait-worker")?, &wanted.worker_told));
        }
        let services = Services::launch(ingests, workers).await?;
        Ok(Self {
            place,
            store,
            database,
            cells,
            log,
            services,
            _turn: turn,
        })
    }

    /// Everything that callers were told holds, and nobody is there twice; how many live profiles there are.
    ///
    /// # Errors
    /// When it does not, with the first findings.
    pub async fn check(&self, history: &[Record]) -> Result<usize> {
        let (findings, (profiles, _)) =
            verdict(history, &self.services, &self.place, &self.store).await?;
        let some: Vec<_> = findings.iter().take(10).cloned().collect();
        ensure!(
            findings.is_empty(),
            "{} findings: {}",
            findings.len(),
            some.join("\n  ")
        );
        Ok(profiles)
    }

    /// What the consumer group has committed, from the broker itself; 0 where that is nothing.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn committed(&self) -> Result<BTreeMap<i32, i64>> {
        topics::committed(&self.place).await
    }

    /// How many records the broker has been given in the traits topic.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn records(&self) -> Result<usize> {
        let ends = topics::ends(&self.place, &self.place.topic).await?;
        Ok(usize::try_from(ends.values().sum::<i64>())?)
    }

    /// Ends every process as an operator would.
    ///
    /// # Errors
    /// When one does not end with success, or said too much.
    pub async fn stop(self) -> Result<()> {
        self.services.stop().await
    }
}
