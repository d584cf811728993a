//! A worker with a backlog, beside consume and batch alone.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use kith_domain::event::TraitEvent;
use kith_domain::id::{DefinitionId, ProfileKey, RequestId, StoreId};
use kith_domain::store::StoreRecord;
use kith_domain::time::Micros;
use kith_domain::traits::{CellBytes, TraitCell, TraitValue, TraitWrite};
use kith_kafka::KafkaLog;
use kith_profiles::ports::{CellRead, Cells, Control as _, NewRecord, Select, TraitLog};
use kith_runtime::metrics::names;
use kith_scylla::Bare;
use kith_tests::process::{Process, metric};
use kith_tests::servers::Place;

use super::folder;
use crate::bare::{cql as settings_of, drain, kafka, port};
use crate::caller::STORE;
use crate::calm::calm;
use crate::counted::{Counts, Work};
use crate::figure::Figure;
use crate::pipeline::{middle_and_spread, place};
use crate::population::{internal, profile};
use crate::process::{memory, processor_seconds};
use crate::settings::Settings;
use crate::spread::median;

pub(super) const ABOUT: &str = "One `trait-worker` that finds `--backlog` records when it starts, each of a profile of its own with two traits, as `ingest-api` \
writes them; from the last moment at which none was done to the one at which all are. The bare loop consumes the same records with the worker's settings of the \
client library and writes the same batches, as many at once, and nothing else; a second one also reads the profile's node after each \
write, as the worker has to, so that nothing outlives a deletion. Repetitions of all three are interleaved, each with a group of its own, \
and write the same cells at the same times, each when Cassandra has nothing left to compact; medians. At the end the cells of every ninety-seventh profile are read.";

const NAME: &str = "worker-drain";
/// The part of the bare loop's rate that must be reached.
const BARE_PART: f64 = 0.90;
/// What a worker may hold at most, in MiB.
const MEMORY_MIB: f64 = 150.0;
/// Records under way to the log while it is filled.
const UNDER_WAY: usize = 1_000;
/// Of so many profiles one is read at the end.
const LOOKED_AT: usize = 97;
/// How often the worker is asked how far it is.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long a backlog may take.
const PATIENCE: Duration = Duration::from_secs(1_200);
/// When these traits were written.
const STAMP: Micros = Micros::from_micros(1_767_225_600_000_000);
/// Which internal id of a record is its request.
const REQUEST: u64 = 31;

/// What the repetitions gave.
#[derive(Debug, Default)]
struct Series {
    bare: Vec<f64>,
    looking: Vec<f64>,
    worker: Vec<f64>,
    of_bare: Vec<f64>,
    of_looking: Vec<f64>,
    processor_ms: Vec<f64>,
    memory_mib: f64,
}

pub(super) async fn run(settings: &Settings) -> Result<Vec<Figure>> {
    let dir = folder(settings)?;
    let place = place().await?;
    let (cql, database) = (
        port(&place).await?,
        Bare::open(&settings_of(&place)?).await?,
    );
    let store: StoreId = STORE.parse()?;
    let store = cql.store(store).await?.context("the development store")?;
    let traits = traits_of(&store)?;
    fill(
        &KafkaLog::new(&kafka(&place))?,
        &store,
        &traits,
        settings.backlog,
    )
    .await?;

    let at_once = trait_worker::Settings::default().writes_max;
    let mut series = Series::default();
    for repetition in 0..settings.repetitions {
        let group = |who: &str| Place {
            group: format!("{}.{who}.{repetition}", place.group),
            ..place.clone()
        };
        calm(database.session()).await?;
        let bare = drain(&group("bare"), settings.backlog, at_once, false).await?;
        calm(database.session()).await?;
        let looking = drain(&group("looking"), settings.backlog, at_once, true).await?;
        calm(database.session()).await?;
        let rate = series
            .worker(&group("worker"), dir.path(), settings.backlog)
            .await?;
        series.of_bare.push(rate / bare.rate);
        series.of_looking.push(rate / looking.rate);
        series.bare.push(bare.rate);
        series.looking.push(looking.rate);
        series.worker.push(rate);
    }
    check(&cql, &store, &traits, settings.backlog).await?;
    Ok(series.figures(settings.backlog))
}

impl Series {
    /// Starts a worker, and ends it when everything is done; records a second.
    async fn worker(&mut self, place: &Place, logs: &std::path::Path, records: u64) -> Result<f64> {
        let launch = place.launch("trait-worker")?.with("RUST_LOG", "info");
        let began = Instant::now();
        let mut worker = Process::start(launch, logs)?;
        worker.ready().await?;
        let rate = drained(&worker, began, records).await?;
        let counts = Counts::of(&[&worker]).await?;
        let batches = counts.0.get(&Work::statement("put_batch", "cells"));
        ensure!(batches == Some(&(records as f64)), "{batches:?} batches");
        let seconds = processor_seconds(&worker)?;
        self.processor_ms.push(1e3 * seconds / records as f64);
        self.memory_mib = self.memory_mib.max(memory(&worker)?.peak);
        let status = worker.terminate().await?;
        ensure!(status.success(), "{status}: {}", worker.log());
        Ok(rate)
    }

    fn figures(&self, records: u64) -> Vec<Figure> {
        let mut figures = vec![shown("records", records as f64, "records")];
        for (who, rates) in [
            ("worker", &self.worker),
            ("bare", &self.bare),
            ("bare_with_look", &self.looking),
        ] {
            let (rate, spread) = middle_and_spread(rates);
            figures.push(shown(&format!("{who}_rate"), rate, "records/s"));
            figures.push(shown(&format!("{who}_rate_spread"), spread, "%"));
        }
        let of_bare = format!("{NAME}.worker_of_bare");
        let memory = format!("{NAME}.worker_memory_at_most");
        figures.extend([
            Figure::at_least(
                &of_bare,
                median(&self.of_bare),
                "of the bare loop",
                BARE_PART,
            ),
            shown(
                "worker_of_bare_with_look",
                median(&self.of_looking),
                "of the bare loop",
            ),
            shown("worker_processor", median(&self.processor_ms), "ms/record"),
            Figure::below(&memory, self.memory_mib, "MiB", MEMORY_MIB),
        ]);
        figures
    }
}

/// Waits until a process that began with so many records to consume has done so; records a second, from the last look at which it
/// had done none, or else from the first look. Where everything was done by then, it counts from the beginning.
pub(super) async fn drained(process: &Process, began: Instant, records: u64) -> Result<f64> {
    let wanted = records as f64;
    let (mut since, mut is_first) = ((began, 0.0), true);
    loop {
        let (asked, page) = (Instant::now(), process.metrics().await?);
        let done = metric(&page, names::LOG_RECORDS);
        if done == 0.0 || (is_first && done < wanted) {
            since = (asked, done);
        }
        is_first = false;
        if done >= wanted {
            ensure!(done == wanted, "{done} of {records} were consumed");
            return Ok((wanted - since.1) / since.0.elapsed().as_secs_f64());
        }
        ensure!(began.elapsed() < PATIENCE, "{done} of {records} are done");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The traits that records are about.
pub(super) fn traits_of(store: &StoreRecord) -> Result<Vec<DefinitionId>> {
    let traits = ["firstName", "lastName"].map(|name| store.definition("Contact", name));
    let traits: Vec<DefinitionId> = traits.into_iter().flatten().map(|one| one.id).collect();
    ensure!(traits.len() == 2, "two traits");
    Ok(traits)
}

/// Puts the records into the log, as `ingest-api` does.
pub(super) async fn fill(
    log: &impl TraitLog,
    store: &StoreRecord,
    traits: &[DefinitionId],
    records: u64,
) -> Result<()> {
    stream::iter(0..records)
        .map(|n| log.publish(record(store, traits, n)))
        .buffer_unordered(UNDER_WAY)
        .try_collect::<()>()
        .await?;
    Ok(())
}

fn record(store: &StoreRecord, traits: &[DefinitionId], n: u64) -> NewRecord {
    let event = TraitEvent {
        store: store.id,
        profile: profile(n),
        stamp: STAMP,
        request: RequestId::from_uuid(internal(n, REQUEST)),
        schema_version: store.schema_version,
        traits: cells(traits, n)
            .map(|cell| (cell.definition, cell.value))
            .collect(),
    };
    NewRecord {
        key: Bytes::copy_from_slice(event.profile.as_uuid().as_bytes()),
        payload: event.encode().into(),
        headers: Vec::new(),
    }
}

/// What is said of a profile.
fn cells(traits: &[DefinitionId], n: u64) -> impl Iterator<Item = TraitCell> {
    traits.iter().enumerate().map(move |(place, definition)| {
        let value = TraitValue::String(format!("Drained {n} {place}"));
        TraitCell {
            definition: *definition,
            value: CellBytes::from(&TraitWrite::Set(value)),
            time: STAMP,
        }
    })
}

/// Reads the cells of some of the profiles.
pub(super) async fn check(
    cells_of: &impl Cells,
    store: &StoreRecord,
    traits: &[DefinitionId],
    records: u64,
) -> Result<()> {
    for n in (0..records).step_by(LOOKED_AT) {
        let at = ProfileKey {
            store: store.id,
            profile: profile(n),
        };
        let select = vec![Select::Traits];
        let rows = cells_of.read(&[CellRead { at, select }]).await?.pop();
        let mut found = rows.unwrap_or_default().traits;
        let mut expected: Vec<TraitCell> = cells(traits, n).collect();
        found.sort_by_key(|cell| cell.definition);
        expected.sort_by_key(|cell| cell.definition);
        ensure!(found == expected, "profile {n} has other cells");
    }
    Ok(())
}

fn shown(what: &str, value: f64, unit: &str) -> Figure {
    Figure::shown(&format!("{NAME}.{what}"), value, unit)
}
