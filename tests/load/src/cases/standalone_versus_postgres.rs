//! The standalone beside what a team would write instead, one service on PostgreSQL, and beside the limit of both.

mod side;
mod sweep;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use self::side::{Measured, Offered, Side, Who};
use self::sweep::{Tried, sweep};
use super::folder;
use crate::figure::Figure;
use crate::open_loop::{CONNECTIONS, PARTS, schedule};
use crate::process::memory;
use crate::settings::Settings;
use crate::spread::median;
use crate::syncs::Trace;

pub(super) const ABOUT: &str = "Create Profile at one `kith` process with the settings that it has by default, and at what a team would write instead: one actix \
service on one PostgreSQL (`tests/load/baseline-postgres`; Debian's package, over its socket), which does less: no log of events, no traces, no \
limits, no control plane. Its pool of connections, its threads, `commit_delay` and prepared statements are swept first, from one run at 64 callers, \
and the best is measured, each time after some people were made and its tables analyzed. Requests are those of `standalone-create`, the same at both. Both are judged alike: overlapping people whom eight callers create and \
merge, held against what was answered; new people get ids that nobody else has, known ones the id that they have, and at the end as many are listed as were made. \
Both wait for the disk: under `strace`, each answer to a caller alone comes after a sync that was not done before, and a side's own count of syncs is no larger than what \
was seen; in each closed loop there are no more answers than syncs times callers, by that count. Sides take turns in each repetition. The limit (`disk`, `kith-bare-disk`) \
parses the same requests and appends their bytes to a file, with one sync for all who wait; it finds nobody, so its ids are not judged. Open loops send by chance at parts of \
the rate at which the baseline answers at its best number of callers, over 256 connections; times count from when a request was to be sent.";

pub(super) const NAME: &str = "standalone-versus-postgres";
/// Callers while the baseline is tuned, and those of the first target.
const SWEEP_CALLERS: usize = 64;
/// The part of the baseline's capacity whose latencies have a target.
const JUDGED_PART: u32 = 60;
/// How many times the baseline's rate.
const NEW_TIMES: f64 = 3.0;
const KNOWN_TIMES: f64 = 4.0;
/// Requests whose syncs are seen by the system, one after another.
const CONFIRMED: usize = 40;

/// How the baseline is tuned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tuning {
    pool: usize,
    workers: usize,
    commit_delay_us: u32,
    is_prepared: bool,
}

impl Tuning {
    /// What is tried first.
    const FIRST: Self = Self {
        pool: 16,
        workers: 2,
        commit_delay_us: 0,
        is_prepared: true,
    };
}

/// What of a measurement is shown: its name, how it is taken, and its unit.
type Measure<T> = (&'static str, fn(&T) -> f64, &'static str);

/// Kith, the baseline, and the limit of both.
const SIDES: [&str; 3] = ["kith", "postgres", "disk"];
const KITH: usize = 0;
const POSTGRES: usize = 1;
const DISK: usize = 2;

/// What one number of callers gave, by side and repetition.
#[derive(Debug, Default)]
struct Series {
    callers: usize,
    sides: [Vec<Measured>; SIDES.len()],
}

impl Series {
    fn rate(&self, side: usize) -> f64 {
        median(&values(&self.sides[side], |one| one.rate))
    }
}

pub(super) async fn run(settings: &Settings) -> Result<Vec<Figure>> {
    let dir = folder(settings)?;
    let logs = dir.path();
    confirm(logs).await?;
    let sweep_limit = Duration::from_millis(settings.sweep_ms);
    let mut side = Side::postgres(&logs.join("swept"), Tuning::FIRST, true, None).await?;
    let (best, tried) = sweep(&mut side, logs, sweep_limit).await.context("sweep")?;
    side.stop().await?;

    let kith = Side::kith(logs, None).await?;
    let measured = logs.join("measured");
    let postgres = Side::postgres(&measured, best.tuning, true, None).await?;
    let disk = Side::disk(logs, None).await?;
    let mut sides = [kith, postgres, disk];
    let mut listed = [0; SIDES.len()];
    for ((side, name), listed) in sides.iter_mut().zip(SIDES).zip(&mut listed) {
        side.judge().await.context(name)?;
        *listed = side.listed().await?;
        side.warm(sweep_limit).await.context(name)?;
    }

    let mut figures = tuned(&best, &tried);
    let mut capacity = [0.0; 2];
    let closed = closed(&mut sides, settings).await?;
    for ((who, series), capacity) in Who::ALL.into_iter().zip(&closed).zip(&mut capacity) {
        figures.extend(closed_figures(who, series));
        *capacity = best_of(series, POSTGRES);
    }
    for (who, series) in Who::ALL
        .into_iter()
        .zip(open(&mut sides, settings, capacity).await?)
    {
        figures.extend(open_figures(who, &series));
    }
    for ((side, name), listed) in sides.iter().zip(SIDES).zip(listed) {
        side.all_are_listed(listed).await.context(name)?;
    }
    for side in sides {
        if let Some(process) = side.process() {
            let peak = memory(process)?.peak;
            figures.push(Figure::shown(&named("kith_memory_at_most"), peak, "MiB"));
        }
        side.stop().await?;
    }
    Ok(figures)
}

/// All sides wait for the disk, as the system sees it.
async fn confirm(logs: &Path) -> Result<()> {
    let dir = logs.join("watched");
    std::fs::create_dir(&dir)?;
    let trace = Trace::at(&dir.join("kith.trace"));
    let mut kith = Side::kith(&dir, Some(&trace)).await?;
    kith.confirm(&trace, CONFIRMED).await.context("kith")?;
    kith.stop().await?;

    let trace = Trace::at(&dir.join("disk.trace"));
    let mut disk = Side::disk(&dir, Some(&trace)).await?;
    disk.confirm(&trace, CONFIRMED).await.context("disk")?;
    disk.stop().await?;

    let dir = dir.join("server");
    let trace = Trace::at(&dir.join("postgres.trace"));
    let mut postgres = Side::postgres(&dir, Tuning::FIRST, true, Some(&trace)).await?;
    postgres
        .confirm(&trace, CONFIRMED)
        .await
        .context("postgres")?;
    postgres.stop().await
}

/// Closed loops of new people and of known ones, the sides in turns.
async fn closed(sides: &mut [Side; SIDES.len()], settings: &Settings) -> Result<[Vec<Series>; 2]> {
    let limit = Duration::from_millis(settings.loop_ms);
    let empty = || -> Vec<Series> {
        let series = settings.callers.iter().map(|callers| Series {
            callers: *callers,
            ..Series::default()
        });
        series.collect()
    };
    let mut measured = [empty(), empty()];
    for _ in 0..settings.repetitions {
        for place in 0..settings.callers.len() {
            for (who, series) in Who::ALL.into_iter().zip(&mut measured) {
                let Series { callers, sides: of } = &mut series[place];
                for ((side, name), series) in sides.iter_mut().zip(SIDES).zip(of) {
                    let one = side.closed(who, *callers, limit).await.context(name)?;
                    series.push(one);
                }
            }
        }
    }
    Ok(measured)
}

/// Latencies at parts of the baseline's capacity, by part, side and repetition.
type Latencies = [[Vec<Offered>; SIDES.len()]; PARTS.len()];

/// Open loops, the sides in turns and by the same schedule.
async fn open(
    sides: &mut [Side; SIDES.len()],
    settings: &Settings,
    capacity: [f64; 2],
) -> Result<[Latencies; 2]> {
    let limit = Duration::from_millis(settings.loop_ms);
    let mut measured: [Latencies; 2] = Default::default();
    for repetition in 0..settings.repetitions {
        for ((who, capacity), of) in Who::ALL.into_iter().zip(capacity).zip(&mut measured) {
            for (part, of) in PARTS.into_iter().zip(of) {
                let rate = capacity * f64::from(part) / 100.0;
                let times = schedule(rate, limit, repetition as u64);
                for ((side, name), series) in sides.iter_mut().zip(SIDES).zip(of) {
                    let one = side.open(who, CONNECTIONS, &times).await.context(name)?;
                    series.push(one);
                }
            }
        }
    }
    Ok(measured)
}

/// The rate at the number of callers at which a side answers most.
fn best_of(series: &[Series], side: usize) -> f64 {
    series.iter().map(|one| one.rate(side)).fold(0.0, f64::max)
}

fn closed_figures(who: Who, series: &[Series]) -> Vec<Figure> {
    let mut figures = Vec::new();
    let (who_name, times) = match who {
        Who::New => (who.name(), NEW_TIMES),
        Who::Known => (who.name(), KNOWN_TIMES),
    };
    let mut ratios = |at: &str, rates: [f64; SIDES.len()]| {
        let name = named(&format!("{who_name}_rate_of_kith_to_postgres_{at}"));
        let ratio = rates[KITH] / rates[POSTGRES];
        figures.push(Figure::at_least(&name, ratio, "times", times));
        let name = named(&format!("{who_name}_rate_of_kith_to_disk_{at}"));
        let part = rates[KITH] / rates[DISK];
        figures.push(Figure::shown(&name, part, "of the limit"));
    };
    let sides: [usize; SIDES.len()] = std::array::from_fn(|side| side);
    if let Some(one) = series.iter().find(|one| one.callers == SWEEP_CALLERS) {
        let at = format!("at_{SWEEP_CALLERS}_callers");
        ratios(&at, sides.map(|side| one.rate(side)));
    }
    ratios("each_at_its_best", sides.map(|side| best_of(series, side)));
    for one in series {
        for (side, name) in SIDES.into_iter().enumerate() {
            let name = named(&format!("{who_name}_{}_callers_{name}", one.callers));
            let measures: [Measure<Measured>; 5] = [
                ("rate", |one| one.rate, "requests/s"),
                ("p50", |one| one.p50_ms, "ms"),
                ("p99", |one| one.p99_ms, "ms"),
                ("processor", |one| one.processor_ms, "ms/request"),
                ("syncs", |one| one.syncs_per_thousand, "/1000 requests"),
            ];
            for (what, of, unit) in measures {
                figures.push(middle(
                    &format!("{name}_{what}"),
                    &one.sides[side],
                    of,
                    unit,
                ));
            }
        }
    }
    figures
}

fn open_figures(who: Who, measured: &Latencies) -> Vec<Figure> {
    let mut figures = Vec::new();
    for (part, sides) in PARTS.into_iter().zip(measured) {
        let at = format!("{}_open_at_{part}_percent", who.name());
        let of = |side: usize, of: fn(&Offered) -> f64| median(&values(&sides[side], of));
        if part == JUDGED_PART {
            let name = named(&format!("{at}_kith_p99_to_p50_of_postgres"));
            let ratio = of(KITH, |one| one.p99_ms) / of(POSTGRES, |one| one.p50_ms);
            figures.push(Figure::below(&name, ratio, "times", 1.0));
        }
        for (side, name) in SIDES.into_iter().enumerate() {
            let name = named(&format!("{at}_{name}"));
            let measures: [Measure<Offered>; 3] = [
                ("rate", |one| one.rate, "answers a second"),
                ("p50", |one| one.p50_ms, "ms"),
                ("p99", |one| one.p99_ms, "ms"),
            ];
            for (what, of, unit) in measures {
                figures.push(middle(&format!("{name}_{what}"), &sides[side], of, unit));
            }
        }
    }
    figures
}

/// How the baseline is tuned, and what else was tried.
fn tuned(best: &Tried, tried: &[Tried]) -> Vec<Figure> {
    let Tuning {
        pool,
        workers,
        commit_delay_us,
        is_prepared,
    } = best.tuning;
    let mut figures: Vec<Figure> = [
        ("pool", pool as f64, "connections"),
        ("workers", workers as f64, "threads"),
        ("commit_delay", f64::from(commit_delay_us), "us"),
        ("prepared", f64::from(u8::from(is_prepared)), "(1: yes)"),
    ]
    .map(|(what, value, unit)| Figure::shown(&named(&format!("best_tuning_{what}")), value, unit))
    .into();
    for Tried { tuning, rates } in tried {
        let name = format!(
            "tried_pool_{}_workers_{}_commit_delay_{}{}",
            tuning.pool,
            tuning.workers,
            tuning.commit_delay_us,
            if tuning.is_prepared {
                ""
            } else {
                "_unprepared"
            }
        );
        for (who, rate) in Who::ALL.into_iter().zip(rates) {
            let name = named(&format!("{name}_{}", who.name()));
            figures.push(Figure::shown(&name, *rate, "requests a second"));
        }
    }
    figures
}

fn named(what: &str) -> String {
    format!("{NAME}.{what}")
}

fn values<T>(measured: &[T], of: fn(&T) -> f64) -> Vec<f64> {
    measured.iter().map(of).collect()
}

/// The median of what was measured, with how far it lies apart.
fn middle<T>(name: &str, measured: &[T], of: fn(&T) -> f64, unit: &str) -> Figure {
    let values = values(measured, of);
    Figure::shown(name, median(&values), unit).of(&values)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// A server that answers before the disk has it is found out, by the system and by the count.
    #[tokio::test]
    async fn answers_that_do_not_wait_for_the_disk_end_the_run() {
        let passable = Permissions::from_mode(0o711);
        let made = tempfile::Builder::new().permissions(passable).tempdir();
        let dir = made.unwrap();
        let server = dir.path().join("server");
        let trace = Trace::at(&server.join("trace"));
        let started = Side::postgres(&server, Tuning::FIRST, false, Some(&trace));
        let mut postgres = started.await.unwrap();
        let seen = postgres.confirm(&trace, CONFIRMED).await.unwrap_err();
        assert!(seen.to_string().contains("before a sync"), "{seen:#}");
        let limit = Duration::from_millis(500);
        let counted = postgres.looped(Who::New, 1, limit).await.unwrap_err();
        assert!(
            counted.to_string().contains("not all were on the disk"),
            "{counted:#}"
        );
        postgres.stop().await.unwrap();
    }
}
