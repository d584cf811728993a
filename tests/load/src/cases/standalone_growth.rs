//! The standalone with many profiles: size, start, memory, and pages of the listing.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use ingest_api::development_store;
use kith_domain::id::{ProfileId, ProfileKey};
use kith_domain::store::StoreRecord;
use kith_embedded::{Embedded, Options};
use kith_profiles::ports::{Control, Durability, Listing as _};
use kith_runtime::clock::SystemIds;
use kith_tests::engines::now;
use kith_tests::poll::until;
use kith_tests::process::binary;

use super::folder;
use crate::caller::{ACCOUNT, Caller, STORE};
use crate::figure::Figure;
use crate::population::listed;
use crate::prefill::{ByTheirConditions, Extent, prefill};
use crate::process::{MIB, Standalone, idle, memory};
use crate::settings::Settings;
use crate::spread::Times;
use crate::walk::{PAGE_MAX, Walk, again, walk};

pub(super) const ABOUT: &str = "One `kith` process on its embedded store, with `--profiles` profiles, half of them merged or deleted: of eight neighbours four \
live, two are merged in a chain of three, one is deleted, one is deleted and purged. They are written through the ports before the process \
starts, without records in the log. Pages are asked for oldest first, over HTTP, by one caller; the middle is the middle of the listing. \
The listing is walked from end to end three times, and each walk must give every live profile once, in order, and nobody else. Starts are \
after a kill, with the files in the system's cache; medians. Memory growth is from the end of the first walk, which fills the block cache, to the end \
of the third.";

/// Journals of a store that is not behind: the one that is written, and one that is full.
const JOURNALS: usize = 2;
/// How long it may take to get there.
const FLUSHING: Duration = Duration::from_secs(1_800);

const NAME: &str = "standalone-growth";
/// Pages of the size that a caller gets who names none.
const PAGE_DEFAULT: usize = 50;
const WALKS: usize = 3;

pub(super) async fn run(settings: &Settings) -> Result<Vec<Figure>> {
    let dir = folder(settings)?;
    let mut figures = vec![binary_size()?];
    let (empty, full) = (dir.path().join("empty"), dir.path().join("full"));
    let ready = starts(&empty, dir.path(), settings.repetitions).await?;
    figures.push(below("ready_empty", ready, "ms", 300.0));

    fill(&full, settings.profiles).await?;
    let ready = starts(&full, dir.path(), settings.repetitions).await?;
    figures.push(below("ready_full", ready, "ms", 2_000.0));
    figures.push(shown("data", folder_bytes(&full)? / MIB, "MiB"));

    let kith = Standalone::start(&full, dir.path()).await?;
    idle(&kith.process).await?;
    let ready = memory(&kith.process)?;
    let found = walk(&kith.caller, listed(settings.profiles)).await?;
    let first = memory(&kith.process)?;
    figures.extend(page_figures(&kith.caller, &found, settings.pages).await?);
    for _ in 1..WALKS {
        walk(&kith.caller, listed(settings.profiles)).await?;
    }
    let last = memory(&kith.process)?;
    kith.stop().await?;
    figures.extend([
        shown("memory_when_ready", ready.resident, "MiB"),
        shown("memory_after_a_walk", first.resident, "MiB"),
        below(
            "memory_growth_of_two_more_walks",
            last.resident - first.resident,
            "MiB",
            8.0,
        ),
        below("memory_at_most", last.peak, "MiB", 400.0),
    ]);
    Ok(figures)
}

fn binary_size() -> Result<Figure> {
    let bytes = std::fs::metadata(binary("kith")?)?.len() as f64;
    Ok(below("binary", bytes / MIB, "MiB", 25.0))
}

/// The median time to be ready after a kill, in milliseconds. The first start, which may make the directory, is not counted.
async fn starts(data: &Path, logs: &Path, times: usize) -> Result<f64> {
    Standalone::start(data, logs).await?.kill()?;
    let mut ready = Times::default();
    for _ in 0..times {
        let kith = Standalone::start(data, logs).await?;
        ready.push(kith.ready);
        idle(&kith.process).await?;
        kith.kill()?;
    }
    Ok(ready.quantile_ms(0.5))
}

/// The engine on a data directory.
pub(super) async fn open(data: &Path) -> Result<Embedded> {
    let options = Options::new(data, Arc::new(now));
    Ok(tokio::task::spawn_blocking(move || Embedded::open(options)).await??)
}

/// Makes the development store, as a process does that finds none.
pub(super) async fn with_store(engine: &Embedded) -> Result<StoreRecord> {
    let store = development_store(ACCOUNT.parse()?, now(), &SystemIds);
    engine.create_store(&store).await?;
    Ok(store)
}

/// A store with so many profiles.
pub(super) async fn fill(data: &Path, profiles: u64) -> Result<()> {
    let engine = open(data).await?;
    let store = with_store(&engine).await?;
    prefill(
        &engine,
        &ByTheirConditions(&engine),
        &store,
        profiles,
        Extent::All,
    )
    .await?;
    flushed(&engine, data).await?;
    engine.close().await?;
    Ok(())
}

/// Waits until the tables have what was written faster than anybody's requests come, and what the journals still have is what they
/// have at any time: all of it would be replayed by the start, which is not what is measured.
async fn flushed(engine: &Embedded, data: &Path) -> Result<()> {
    let key = ProfileKey {
        store: STORE.parse()?,
        profile: ProfileId::from_uuid(uuid::Uuid::nil()),
    };
    until(FLUSHING, "few journals", || async {
        // Full journals go when something is committed.
        engine.remove(&[key], Durability::Durable).await?;
        let files = std::fs::read_dir(data.join("store/database"))?;
        let journals = files
            .filter_map(Result::ok)
            .filter(|file| file.path().extension().is_some_and(|end| end == "jnl"));
        Ok((journals.count() <= JOURNALS).then_some(()))
    })
    .await
}

async fn page_figures(caller: &Caller, found: &Walk, times: usize) -> Result<Vec<Figure>> {
    let (middle, last) = (found.middle.as_deref(), found.last.as_deref());
    let mut figures = Vec::new();
    for (what, size, token, has_target) in [
        ("first_page_of_50", PAGE_DEFAULT, None, true),
        ("middle_page_of_50", PAGE_DEFAULT, middle, true),
        ("first_page_of_1000", PAGE_MAX, None, true),
        ("middle_page_of_1000", PAGE_MAX, middle, true),
        ("last_page_of_1000", PAGE_MAX, last, false),
    ] {
        let taken = again(caller, size, token, times).await?;
        for (part, name) in [(0.5, "p50"), (0.99, "p99")] {
            let (what, value) = (format!("{what}_{name}"), taken.quantile_ms(part));
            figures.push(match has_target {
                true => below(&what, value, "ms", 20.0),
                false => shown(&what, value, "ms"),
            });
        }
    }
    figures.push(shown(
        "walk_page_of_1000_p50",
        found.times.quantile_ms(0.5),
        "ms",
    ));
    figures.push(shown(
        "walk_page_of_1000_worst",
        found.times.worst_ms(),
        "ms",
    ));
    Ok(figures)
}

fn folder_bytes(dir: &Path) -> Result<f64> {
    let mut bytes = 0.0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let data = entry.metadata()?;
        if data.is_dir() {
            bytes += folder_bytes(&entry.path())?;
        } else {
            let length = data.len() as f64;
            bytes += length;
        }
    }
    Ok(bytes)
}

fn shown(what: &str, value: f64, unit: &str) -> Figure {
    Figure::shown(&format!("{NAME}.{what}"), value, unit)
}

fn below(what: &str, value: f64, unit: &str, limit: f64) -> Figure {
    Figure::below(&format!("{NAME}.{what}"), value, unit, limit)
}
