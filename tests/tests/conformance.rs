//! One suite for every engine, on real servers for two of them; and engines that are wrong on purpose, which it must reject.

#![expect(
    clippy::disallowed_methods,
    reason = "a harness has no lifecycle and no simulated clock"
)]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use kith_embedded::{Embedded, EmbeddedLog, EmbeddedSource, Injection};
use kith_kafka::{KafkaConfig, KafkaLog, KafkaSource};
use kith_profiles::error::{PortError, PublishError};
use kith_profiles::ports::{
    AccountWrite, Conditional, DeadLetter, DeadLetters, Definitions, Durability, Identity, Lag,
    LogEvent, NewRecord, NextOffset, Outcome, Partition, Standing, TraitLog, TraitSource, Written,
};
use kith_scylla::{Cql, CqlConfig};
use kith_tests::conformance::{
    DatabaseFixture, LogFixture, database_cases, log_cases, run, run_at_once,
};
use kith_tests::engines::{embedded, kafka_topics, migrated_cql};
use kith_tests::poll::until;
use kith_tests::proxy::{Mode, Proxy};
use kith_tests::servers::{cql_nodes, node};
use kith_tests::tampered::{Tamper, Tampered};
use tempfile::TempDir;
use tokio::sync::Barrier;

fn report(failed: Vec<(&'static str, anyhow::Error)>) -> Result<()> {
    if failed.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = failed
        .iter()
        .map(|(name, error)| format!("{name}: {error:#}"))
        .collect();
    bail!("{} cases failed:\n{}", failed.len(), lines.join("\n"))
}

/// A wrong engine must fail the case that is there for its fault.
fn rejects(failed: &[(&'static str, anyhow::Error)], case: &str) -> Result<()> {
    let names: Vec<&str> = failed.iter().map(|(name, _)| *name).collect();
    ensure!(
        names.contains(&case),
        "{case} passed; failed were {names:?}"
    );
    Ok(())
}

// ---------------------------------------------------------------------------------------------------------------- embedded

struct EmbeddedFixture {
    dir: TempDir,
    engine: Embedded,
    forgets: bool,
}

impl EmbeddedFixture {
    async fn new() -> Result<Self> {
        Self::opened(tempfile::tempdir()?, false)
    }

    fn opened(dir: TempDir, forgets: bool) -> Result<Self> {
        let engine = embedded(&dir.path().join("data"))?;
        Ok(Self {
            dir,
            engine,
            forgets,
        })
    }

    /// What a process that is killed leaves: the files as they are, without a word to the engine.
    fn crash_engine(&mut self) -> Result<()> {
        let next = tempfile::tempdir()?;
        if !self.forgets {
            copy(&self.dir.path().join("data"), &next.path().join("data"))?;
        }
        *self = Self::opened(next, self.forgets)?;
        Ok(())
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

impl DatabaseFixture for EmbeddedFixture {
    type Database = Embedded;

    fn database(&self) -> Embedded {
        self.engine.clone()
    }

    async fn lose_next_answer(&self) -> Result<()> {
        self.engine.inject(Injection::UnknownApplied);
        Ok(())
    }

    async fn crash(&mut self) -> Result<()> {
        self.crash_engine()
    }
}

impl LogFixture for EmbeddedFixture {
    type Log = EmbeddedLog;
    type Source = EmbeddedSource;

    fn log(&self) -> EmbeddedLog {
        self.engine.log()
    }

    async fn consumer(&self, group: &str) -> Result<EmbeddedSource> {
        Ok(self.engine.log().consumer(group))
    }

    async fn dead_letters(&self, _: usize) -> Result<Vec<NewRecord>> {
        let letters = self.engine.log().letters(0, 100)?;
        Ok(letters
            .into_iter()
            .map(|letter| {
                let mut headers = letter.record.headers;
                for (name, value) in [
                    (kith_kafka::DEAD_REASON, letter.reason),
                    (kith_kafka::DEAD_TOPIC, letter.topic),
                    (
                        kith_kafka::DEAD_PARTITION,
                        letter.record.partition.0.to_string(),
                    ),
                    (
                        kith_kafka::DEAD_OFFSET,
                        letter.record.offset.as_i64().to_string(),
                    ),
                ] {
                    headers.push((name.to_owned(), value.into()));
                }
                NewRecord {
                    key: letter.record.key,
                    payload: letter.record.payload,
                    headers,
                }
            })
            .collect())
    }

    async fn crash(&mut self) -> Result<()> {
        self.crash_engine()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_database_conforms() -> Result<()> {
    report(run(database_cases(), EmbeddedFixture::new).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_log_conforms() -> Result<()> {
    report(run(log_cases(), EmbeddedFixture::new).await)
}

// --------------------------------------------------------------------------------------------------------------------- CQL

/// A keyspace on the CQL server of this run, reached through a proxy.
struct CqlFixture {
    place: Arc<CqlPlace>,
    database: Cql,
    crash: Arc<SharedCrash>,
}

/// One kill of the server for all cases that want one: it takes a while to start.
struct SharedCrash {
    before: Barrier,
    after: Barrier,
}

impl SharedCrash {
    fn of(cases: usize) -> Arc<Self> {
        Arc::new(Self {
            before: Barrier::new(cases),
            after: Barrier::new(cases),
        })
    }

    /// Returns when every case has come this far and the server has been killed and started.
    async fn happens(&self) -> Result<()> {
        let mut restarted = Ok(());
        if self.before.wait().await.is_leader() {
            restarted = async {
                node("cassandra1", "kill").await?;
                node("cassandra1", "start").await?;
                Ok(())
            }
            .await;
        }
        self.after.wait().await;
        restarted
    }
}

struct CqlPlace {
    proxy: Arc<Proxy>,
    config: CqlConfig,
}

impl CqlPlace {
    async fn new() -> Result<Self> {
        let upstream: SocketAddr = cql_nodes()?[0].parse()?;
        let proxy = Arc::new(Proxy::start(upstream).await?);
        let config = migrated_cql(vec![proxy.address().to_string()]).await?;
        Ok(Self { proxy, config })
    }

    async fn connect(&self) -> Result<Cql> {
        until(Duration::from_secs(60), "a session", || async {
            Ok(Some(Cql::connect(&self.config).await?))
        })
        .await
    }
}

impl DatabaseFixture for CqlFixture {
    type Database = Cql;

    fn database(&self) -> Cql {
        self.database.clone()
    }

    async fn lose_next_answer(&self) -> Result<()> {
        let before = self.place.proxy.swallowed();
        self.place.proxy.set(Mode::SwallowAnswers);
        let proxy = Arc::clone(&self.place.proxy);
        // Once the answer is kept back and the client has given up, the connection is cut, and the way is free again.
        let _detached = tokio::task::spawn(async move {
            while proxy.swallowed() == before {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            tokio::time::sleep(Duration::from_secs(4)).await;
            proxy.set(Mode::Cut);
            tokio::time::sleep(Duration::from_millis(200)).await;
            proxy.set(Mode::Forward);
        });
        Ok(())
    }

    async fn crash(&mut self) -> Result<()> {
        self.crash.happens().await?;
        self.database = self.place.connect().await?;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cql_database_conforms() -> Result<()> {
    let place = Arc::new(CqlPlace::new().await?);
    let (crashing, others): (Vec<_>, Vec<_>) =
        database_cases().into_iter().partition(|case| case.crashes);
    let crash = SharedCrash::of(crashing.len());
    let make = || async {
        Ok(CqlFixture {
            place: Arc::clone(&place),
            database: place.connect().await?,
            crash: Arc::clone(&crash),
        })
    };
    let mut failed = run(others, make).await;
    failed.extend(run_at_once(crashing, make).await);
    report(failed)
}

// ------------------------------------------------------------------------------------------------------------------- Kafka

struct KafkaFixture {
    config: KafkaConfig,
    log: KafkaLog,
}

impl KafkaFixture {
    async fn new() -> Result<Self> {
        let config = kafka_topics().await?;
        let log = KafkaLog::new(&config)?;
        log.warm(Duration::from_secs(30)).await?;
        Ok(Self { config, log })
    }
}

impl LogFixture for KafkaFixture {
    type Log = KafkaLog;
    type Source = KafkaSource;

    fn log(&self) -> KafkaLog {
        self.log.clone()
    }

    async fn consumer(&self, group: &str) -> Result<KafkaSource> {
        let mut config = self.config.clone();
        config.consumer.group = format!("{}.{group}", self.config.traits_topic);
        Ok(KafkaSource::new(&config)?)
    }

    async fn dead_letters(&self, at_least: usize) -> Result<Vec<NewRecord>> {
        let mut config = self.config.clone();
        config.traits_topic = self.config.dead_letter_topic();
        config.consumer.group = format!("{}.reader", config.traits_topic);
        let mut source = KafkaSource::new(&config)?;
        let mut letters = Vec::new();
        let reading = async {
            while letters.len() < at_least {
                if let LogEvent::Records(records) = source.next().await? {
                    letters.extend(records.into_iter().map(|record| NewRecord {
                        key: record.key,
                        payload: record.payload,
                        headers: record.headers,
                    }));
                }
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(Duration::from_secs(30), reading)
            .await
            .context("dead letters")??;
        source.close(Duration::from_secs(10)).await?;
        Ok(letters)
    }

    async fn crash(&mut self) -> Result<()> {
        node("kafka", "kill").await?;
        node("kafka", "start").await?;
        self.log = KafkaLog::new(&self.config)?;
        self.log.warm(Duration::from_secs(60)).await?;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_kafka_log_conforms() -> Result<()> {
    report(run(log_cases(), KafkaFixture::new).await)
}

// ------------------------------------------------------------------------------------------------ engines wrong on purpose

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrong {
    /// Two writers are both told that they won.
    LostUpdate,
    /// What nobody heard the answer to is reported as refused.
    UnknownAsRefused,
}

impl Tamper<Embedded> for Wrong {
    async fn attempt(
        &self,
        inner: &Embedded,
        statements: &[Conditional],
        durability: Durability,
    ) -> Vec<Outcome> {
        let outcomes = inner.attempt(statements, durability).await;
        outcomes
            .into_iter()
            .zip(statements)
            .map(|(outcome, statement)| match (self, outcome, statement) {
                (Self::LostUpdate, Outcome::Refused(_), Conditional::Claim { .. }) => {
                    Outcome::Applied
                }
                (Self::UnknownAsRefused, Outcome::Unknown, _) => {
                    Outcome::Refused(Standing::default())
                }
                (_, outcome, _) => outcome,
            })
            .collect()
    }

    async fn write_account(
        &self,
        inner: &Embedded,
        write: &AccountWrite,
    ) -> Result<Written, PortError> {
        let mut write = write.clone();
        if *self == Self::LostUpdate {
            // What was read is taken for what is there.
            write.expected = inner.account(&write.account).await?.revision;
        }
        inner.write_account(&write).await
    }
}

struct WrongFixture {
    right: EmbeddedFixture,
    wrong: Wrong,
}

impl DatabaseFixture for WrongFixture {
    type Database = Tampered<Embedded, Wrong>;

    fn database(&self) -> Tampered<Embedded, Wrong> {
        Tampered {
            inner: self.right.engine.clone(),
            how: self.wrong,
        }
    }

    async fn lose_next_answer(&self) -> Result<()> {
        self.right.lose_next_answer().await
    }

    async fn crash(&mut self) -> Result<()> {
        self.right.crash_engine()
    }
}

async fn wrong_database(wrong: Wrong) -> Vec<(&'static str, anyhow::Error)> {
    let make = || async move {
        Ok(WrongFixture {
            right: EmbeddedFixture::new().await?,
            wrong,
        })
    };
    run(database_cases(), make).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_loses_an_update_is_rejected() -> Result<()> {
    rejects(
        &wrong_database(Wrong::LostUpdate).await,
        "of_many_claims_at_once_one_is_applied",
    )?;
    rejects(
        &wrong_database(Wrong::LostUpdate).await,
        "an_account_is_written_under_its_revision",
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_reports_unknown_as_refused_is_rejected() -> Result<()> {
    let failed = wrong_database(Wrong::UnknownAsRefused).await;
    rejects(&failed, "a_lost_answer_is_unknown_and_never_refused")
}

/// An engine that acknowledges before the disk has it: a crash takes what was acknowledged.
async fn forgetful() -> Result<EmbeddedFixture> {
    EmbeddedFixture::opened(tempfile::tempdir()?, true)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_acknowledges_before_durability_is_rejected() -> Result<()> {
    let database = run(database_cases(), forgetful).await;
    rejects(&database, "acknowledged_statements_survive_a_crash")?;
    rejects(&database, "acknowledged_cells_survive_a_crash")?;
    rejects(&database, "acknowledged_purges_survive_a_crash")?;
    rejects(
        &run(log_cases(), forgetful).await,
        "acknowledged_records_survive_a_crash",
    )
}

/// A log that delivers a partition out of order.
struct ReorderingFixture(EmbeddedFixture);

struct Reordering(EmbeddedSource);

#[derive(Clone)]
struct PlainLog(EmbeddedLog);

impl TraitLog for PlainLog {
    async fn publish(&self, record: NewRecord) -> Result<(), PublishError> {
        self.0.publish(record).await
    }
}

impl DeadLetters for PlainLog {
    async fn bury(&self, letter: DeadLetter) -> Result<(), PublishError> {
        self.0.bury(letter).await
    }
}

impl TraitSource for Reordering {
    async fn next(&mut self) -> Result<LogEvent, PortError> {
        Ok(match self.0.next().await? {
            LogEvent::Records(mut records) => {
                records.reverse();
                LogEvent::Records(records)
            }
            event @ (LogEvent::Assigned(_) | LogEvent::Revoked(_) | LogEvent::Lost(_)) => event,
        })
    }

    fn commit(&mut self, offsets: &[(Partition, NextOffset)]) -> Result<(), PortError> {
        self.0.commit(offsets)
    }

    fn pause(&mut self, partitions: &[Partition]) -> Result<(), PortError> {
        self.0.pause(partitions)
    }

    fn resume(&mut self, partitions: &[Partition]) -> Result<(), PortError> {
        self.0.resume(partitions)
    }

    async fn release(&mut self, partitions: &[Partition]) -> Result<(), PortError> {
        self.0.release(partitions).await
    }

    fn lag(&self) -> Vec<Lag> {
        self.0.lag()
    }

    async fn close(self, limit: Duration) -> Result<(), PortError> {
        self.0.close(limit).await
    }
}

impl LogFixture for ReorderingFixture {
    type Log = PlainLog;
    type Source = Reordering;

    fn log(&self) -> PlainLog {
        PlainLog(self.0.engine.log())
    }

    async fn consumer(&self, group: &str) -> Result<Reordering> {
        Ok(Reordering(LogFixture::consumer(&self.0, group).await?))
    }

    async fn dead_letters(&self, at_least: usize) -> Result<Vec<NewRecord>> {
        self.0.dead_letters(at_least).await
    }

    async fn crash(&mut self) -> Result<()> {
        self.0.crash_engine()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_reorders_a_partition_is_rejected() -> Result<()> {
    let make = || async { Ok(ReorderingFixture(EmbeddedFixture::new().await?)) };
    rejects(
        &run(log_cases(), make).await,
        "records_of_one_key_keep_their_order",
    )
}

#[test]
fn the_standalone_carries_neither_driver_nor_their_tls() -> Result<()> {
    let cargo = std::env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from);
    let output = std::process::Command::new(cargo)
        .args([
            "tree",
            "-p",
            "kith",
            "-e",
            "normal",
            "--prefix",
            "none",
            "--offline",
        ])
        .current_dir(kith_tests::servers::workspace())
        // What ships is what plain cargo resolves.
        .env_remove("CARGO_RESOLVER_FEATURE_UNIFICATION")
        .output()?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let tree = String::from_utf8(output.stdout)?;
    ensure!(tree.contains("kith-embedded"), "{tree}");
    for driver in [
        "scylla v",
        "scylla-cql v",
        "rdkafka v",
        "rdkafka-sys v",
        "openssl v",
        "openssl-sys v",
    ] {
        ensure!(
            !tree.lines().any(|line| line.starts_with(driver)),
            "{driver} is in the tree"
        );
    }
    Ok(())
}
