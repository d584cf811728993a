//! `replay`: the records of the traits topic once more, through the same stages, up to where the topic ends when it begins.
//!
//! Traits carry their stamps, and a purge asks the database what is dead, so records that were applied before change
//! nothing, and what the database has lost comes back under its old stamps. It reads beside the workers' group: no partition
//! is taken from a worker, and no offset of theirs moves. Invalid records are counted and not put aside a second time.

use clap::Args;
use kith_kafka::{KafkaLog, ReadFrom, TopicReader};
use kith_profiles::error::PublishError;
use kith_profiles::ports::{DeadLetter, DeadLetters, NewRecord, TraitLog};
use kith_runtime::clock::{SystemClock, SystemIds};
use kith_runtime::config::{ConfigError, Settings};
use kith_runtime::lifecycle::{ComponentError, Exit, Shutdown};
use kith_runtime::output::{Progress, note, say};
use kith_scylla::Cql;
use kith_servers::{REACH_LIMIT, compare_clocks};
use tokio::sync::watch;
use trait_worker::{Summary, Worker};

use super::command::{self, Ending};
use super::pace::Pace;
use super::{Servers, place};
use source::{Reached, ReplaySource};

mod source;

/// What is replayed, and how.
#[derive(Debug, Clone, Args)]
pub(crate) struct Replay {
    /// Where to begin: a time (2026-01-31T08:00:00Z), `earliest`, an offset of every partition, or PARTITION:OFFSET with
    /// commas between, and then only those partitions
    #[arg(long, value_name = "TIME|OFFSET", value_parser = place::from)]
    from: ReadFrom,
    /// Records a second, at most [default: as fast as it goes]
    #[arg(long, value_name = "RECORDS", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
}

/// Replays, until the end or a signal.
pub(crate) async fn run(
    replay: Replay,
    settings: &Settings,
    servers: Servers,
) -> Result<Exit, ConfigError> {
    command::run("replay", settings, |shutdown| {
        work(replay, servers, shutdown)
    })
    .await
}

async fn work(
    replay: Replay,
    servers: Servers,
    shutdown: Shutdown,
) -> Result<Ending, ComponentError> {
    let reach = Engines::reach(&replay, &servers);
    let engines = tokio::select! {
        engines = reach => engines?,
        () = shutdown.requested() => return Ok(Ending::Incomplete),
    };
    let Engines {
        database,
        log,
        reader,
    } = engines;
    let records: u64 = reader.spans().values().map(|span| span.records()).sum();
    note(&format!(
        "{records} records of {} partitions, up to where the topic ends now",
        reader.spans().len()
    ));
    let (told, mut reached) = watch::channel(Reached::default());
    let source = ReplaySource::new(
        reader,
        Pace::new(replay.rate),
        Progress::new(records, "records"),
        told,
    );
    let (clock, group) = (SystemClock::new(), servers.worker.group.clone());
    let settings = trait_worker::Settings {
        // Nothing is put aside, so nothing can be emptied by that.
        invalid_max: None,
        group: format!("{group}.replay"),
        ..servers.worker
    };
    let log = ReplayLog(log);
    let worker = Worker::new(
        source,
        database.clone(),
        log.clone(),
        clock.clone(),
        SystemIds,
        settings,
    );
    let mut watched = reached.clone();
    let running = worker.run(async move {
        tokio::select! {
            _ = watched.wait_for(|reached| reached.is_end) => {}
            () = shutdown.requested() => {}
        }
    });
    let summary = tokio::select! {
        summary = running => summary?,
        error = log.0.failed() => return Err(error.into()),
        () = compare_clocks(&clock, &database) => return Ok(Ending::Incomplete),
    };
    log.0.flush(REACH_LIMIT).await?;
    let reached = reached.borrow_and_update().clone();
    report(&summary, &reached)
}

fn report(summary: &Summary, reached: &Reached) -> Result<Ending, ComponentError> {
    let seconds = reached.took.unwrap_or_default().as_secs_f64();
    say(&format!(
        "{} records: {} applied, {} invalid, in {seconds:.1} s",
        summary.applied + summary.dead_lettered,
        summary.applied,
        summary.dead_lettered,
    ))?;
    if reached.missed > 0 {
        note(&format!(
            "{} records were removed from the log before they were read",
            reached.missed
        ));
    }
    if reached.is_end {
        return Ok(Ending::Complete);
    }
    match reached.rest() {
        Some(rest) => note(&format!("ended early; to go on: replay --from {rest}")),
        None => note("ended early"),
    }
    Ok(Ending::Incomplete)
}

struct Engines {
    database: Cql,
    log: KafkaLog,
    reader: TopicReader,
}

impl Engines {
    /// Reaches the servers, or says at once that they are away.
    async fn reach(replay: &Replay, servers: &Servers) -> Result<Self, ComponentError> {
        let Servers { cql, kafka, .. } = servers;
        let database = Cql::connect(cql).await?;
        let log = KafkaLog::new(kafka)?;
        log.reachable(REACH_LIMIT).await?;
        let reader = TopicReader::open(kafka, &kafka.traits_topic, &replay.from).await?;
        Ok(Self {
            database,
            log,
            reader,
        })
    }
}

/// The log of a replay: a long purge goes on through it, and invalid records stay where they are.
#[derive(Clone)]
struct ReplayLog(KafkaLog);

impl TraitLog for ReplayLog {
    async fn publish(&self, record: NewRecord) -> Result<(), PublishError> {
        self.0.publish(record).await
    }
}

impl DeadLetters for ReplayLog {
    /// The worker that read the record first has put it aside; the pipeline has told of it and counts it.
    async fn bury(&self, _: DeadLetter) -> Result<(), PublishError> {
        Ok(())
    }
}
