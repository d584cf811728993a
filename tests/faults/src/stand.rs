//! The one node and the broker that all suites of a run share, behind proxies of a test's own; and what the broker itself
//! says. For faults that do not need three nodes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kith_domain::store::StoreRecord;
use kith_tests::process::Launch;
use kith_tests::proxy::Proxy;
use kith_tests::servers::Place;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::cluster::{Services, furnish};
use crate::history::Record;
use crate::run::verdict;

/// The servers are shared, and the broker names one proxied address to its clients: one test at a time stands there.
static TURN: Mutex<()> = Mutex::const_new(());

/// How long the broker may take to answer a question of the test's.
const PATIENCE: Duration = Duration::from_secs(30);

/// The servers of `make test`, which all tests of a binary share.
static SERVERS: RwLock<()> = RwLock::const_new(());

/// While this is held nobody of this binary stops the shared servers.
pub async fn beside_others() -> RwLockReadGuard<'static, ()> {
    SERVERS.read().await
}

/// While this is held nobody else of this binary uses the shared servers: whoever stops one needs it.
pub async fn alone() -> RwLockWriteGuard<'static, ()> {
    SERVERS.write().await
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
        let turn = TURN.lock().await;
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

    /// What the consumer group has committed, from the broker itself: the next offset of each partition that has one.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn committed(&self) -> Result<BTreeMap<i32, i64>> {
        let topic = self.place.topic.clone();
        self.ask(&self.place.group, move |client| {
            let mut asked = TopicPartitionList::new();
            for partition in 0..partitions(client, &topic)? {
                asked.add_partition(&topic, partition);
            }
            let found = client.committed_offsets(asked, PATIENCE)?;
            let offsets = found.elements().into_iter().filter_map(|element| {
                let offset = element.offset().to_raw().filter(|offset| *offset >= 0)?;
                Some((element.partition(), offset))
            });
            Ok(offsets.collect())
        })
        .await
    }

    /// The keys of all records that the broker has in the traits topic: each names a profile.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn keys(&self) -> Result<Vec<Vec<u8>>> {
        let topic = self.place.topic.clone();
        self.ask("nobody", move |client| {
            let (mut wanted, mut list) = (0, TopicPartitionList::new());
            for partition in 0..partitions(client, &topic)? {
                let (low, high) = client.fetch_watermarks(&topic, partition, PATIENCE)?;
                wanted += high - low;
                list.add_partition_offset(&topic, partition, Offset::Offset(low))?;
            }
            client.assign(&list)?;
            let mut keys = Vec::new();
            for _ in 0..wanted {
                let record = client.poll(PATIENCE).context("a record")??;
                keys.push(record.key().unwrap_or_default().to_vec());
            }
            Ok(keys)
        })
        .await
    }

    /// Asks the broker, past all proxies and past the code under test.
    async fn ask<T: Send + 'static>(
        &self,
        group: &str,
        question: impl FnOnce(&BaseConsumer) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let client: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.place.bootstrap)
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .create()?;
        tokio::task::spawn_blocking(move || question(&client)).await?
    }

    /// Ends every process as an operator would.
    ///
    /// # Errors
    /// When one does not end with success, or said too much.
    pub async fn stop(self) -> Result<()> {
        self.services.stop().await
    }
}

fn partitions(client: &BaseConsumer, topic: &str) -> Result<i32> {
    let metadata = client.fetch_metadata(Some(topic), PATIENCE)?;
    let found = metadata.topics().first().context("the topic")?;
    Ok(i32::try_from(found.partitions().len())?)
}
