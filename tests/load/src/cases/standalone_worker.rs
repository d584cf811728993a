//! The worker of the standalone: with a backlog, and from a change to its reader.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use anyhow::Result;
use kith_domain::store::StoreRecord;

use super::folder;
use super::freshness::Changes;
use super::standalone_growth::{open, with_store};
use super::worker_drain::{check, drained, fill, traits_of};
use crate::asking::settle;
use crate::figure::Figure;
use crate::people::People;
use crate::process::{Standalone, idle, memory, processor_seconds};
use crate::settings::Settings;
use crate::spread::median;

pub(super) const ABOUT: &str = "One `kith` process that finds `--backlog` records in its embedded log when it starts, each of a profile of its own with two traits, \
written through the ports as a create writes them; from the last look at which none was done, or the first, to the one at which all are. A store of its own each \
time; medians. Processor time and memory are those of the process from its start. At the end of each the cells of every ninety-seventh profile are read. Then changes as in freshness, at another one.";

const NAME: &str = "standalone-worker";

pub(super) async fn run(settings: &Settings) -> Result<Vec<Figure>> {
    let dir = folder(settings)?;
    let (mut rates, mut processor_ms, mut peak) = (Vec::new(), Vec::new(), 0.0_f64);
    for repetition in 0..settings.repetitions {
        let data = dir.path().join(format!("drained-{repetition}"));
        let store = with_backlog(&data, settings.backlog).await?;
        let began = Instant::now();
        let kith = Standalone::start(&data, dir.path()).await?;
        rates.push(drained(&kith.process, began, settings.backlog).await?);
        let seconds = processor_seconds(&kith.process)?;
        processor_ms.push(1e3 * seconds / settings.backlog as f64);
        peak = peak.max(memory(&kith.process)?.peak);
        kith.stop().await?;
        let engine = open(&data).await?;
        check(&engine, &store, &traits_of(&store)?, settings.backlog).await?;
        engine.close().await?;
        std::fs::remove_dir_all(&data)?;
    }
    let mut figures = vec![
        shown("records", settings.backlog as f64, "records"),
        shown("drain_rate", median(&rates), "records/s").of(&rates),
        shown("drain_processor", median(&processor_ms), "ms/record").of(&processor_ms),
        shown("drain_memory_at_most", peak, "MiB"),
    ];

    let kith = Standalone::start(&dir.path().join("changed"), dir.path()).await?;
    let people = Arc::new(Mutex::new(People::none(settings.in_flight)));
    settle(kith.address, &people, &[1], settings.in_flight).await?;
    idle(&kith.process).await?;
    let changes = Changes::measure(kith.address, &people, settings).await?;
    kith.stop().await?;
    figures.extend(changes.figures(NAME));
    Ok(figures)
}

/// A data directory with a store and so many records that nobody has consumed.
async fn with_backlog(data: &Path, records: u64) -> Result<StoreRecord> {
    let engine = open(data).await?;
    let store = with_store(&engine).await?;
    fill(&engine.log(), &store, &traits_of(&store)?, records).await?;
    engine.close().await?;
    Ok(store)
}

fn shown(what: &str, value: f64, unit: &str) -> Figure {
    Figure::shown(&format!("{NAME}.{what}"), value, unit)
}
