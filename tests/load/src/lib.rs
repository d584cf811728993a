//! The benchmark. Each case measures the shipped binaries, checks every answer that it gets, and gives figures; a figure that
//! misses its target is written down as missed. Nothing here is shipped.
//!
//! `make bench` runs the cases in a release build and writes `docs/benchmarks`. A small run of every case is part of
//! `make test`: it asserts that answers are right, and nothing about time.
//!
//! Start reading at [`cases`] for what there is, [`population`] for who is in a store when it is measured, [`figure`] for what a
//! case gives, and [`table`] for which figure answers which promise.

pub mod allocations;
pub mod asking;
pub mod bare;
pub mod caller;
pub mod calm;
pub mod cases;
pub mod charts;
pub mod closed_loop;
pub mod counted;
pub mod figure;
pub mod grown;
pub mod hot_path;
pub mod machine;
pub mod open_loop;
pub mod people;
pub mod pipeline;
pub mod population;
pub mod postgres;
pub mod prefill;
pub mod process;
pub mod report;
pub mod requests;
pub mod settings;
pub mod sink;
pub mod spread;
pub mod steadiness;
pub mod step_loop;
pub mod syncs;
pub mod table;
pub mod versions;
pub mod walk;

use std::time::Instant;

use anyhow::Result;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::cases::Case;
use crate::figure::Figure;
use crate::machine::Machine;
use crate::report::{Run, Summary};
use crate::settings::Settings;

/// Runs the chosen cases one after another, tells every figure, and writes them down after each case.
///
/// # Errors
/// When a case cannot be run, or an answer was wrong: its figures are not kept then, and those of the cases before it are.
pub async fn run(settings: &Settings, mut tell: impl FnMut(&Figure)) -> Result<()> {
    std::fs::create_dir_all(&settings.data)?;
    for case in Case::chosen(&settings.cases)? {
        let load_before = machine::load()?;
        let machine = Machine::here(settings, case)?;
        let (now, began) = (kith_tests::engines::now(), Instant::now());
        let figures = case.run(settings).await?;
        figures.iter().for_each(&mut tell);
        let nanos = i128::from(now.as_micros()) * 1_000;
        let run = Run {
            began: OffsetDateTime::from_unix_timestamp_nanos(nanos)?
                .replace_nanosecond(0)?
                .format(&Rfc3339)?,
            seconds: began.elapsed().as_secs_f64().round(),
            commit: machine::commit(),
            release: !cfg!(debug_assertions),
            settings: case.told(settings),
            load_before,
            machine,
        };
        let mut summary = Summary::read(&settings.out)?;
        summary.replace(case, run, figures);
        summary.write(&settings.out)?;
    }
    Ok(())
}
