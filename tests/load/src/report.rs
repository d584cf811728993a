//! What is written down: `summary.json` for programs, and `README.md` for people, made of it.
//!
//! A run of some cases replaces their figures and leaves the others as they were, each with the run that it came from.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::cases::Case;
use crate::figure::Figure;
use crate::machine::Machine;

/// Everything that was measured.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The figures, in the order of the cases.
    pub cases: Vec<Figure>,
    /// The last run of each case.
    pub runs: BTreeMap<String, Run>,
}

/// A run of one case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// When it began.
    pub began: String,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// What was built.
    pub commit: String,
    /// Whether it was a release build.
    pub release: bool,
    /// What the case was told.
    pub settings: String,
    /// The load of the machine when it began: what else ran, as the benchmark itself had not begun.
    pub load_before: f64,
    /// The machine.
    pub machine: Machine,
}

impl Summary {
    /// What is in a folder; nothing, if there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(dir: &Path) -> Result<Self> {
        match std::fs::read(dir.join("summary.json")) {
            Ok(bytes) => serde_json::from_slice(&bytes).context("summary.json"),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes the figures of a case in, for those that it gave before.
    pub fn replace(&mut self, case: Case, run: Run, figures: Vec<Figure>) {
        let of = |case: Case| move |figure: &Figure| of_case(figure, case);
        let mut all = std::mem::take(&mut self.cases);
        for known in Case::ALL {
            if known == case {
                self.cases.extend(figures.iter().cloned());
            } else {
                self.cases.extend(all.extract_if(.., |one| of(known)(one)));
            }
        }
        self.runs.insert(case.name().to_owned(), run);
    }

    /// Writes both files.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn write(&self, dir: &Path) -> Result<()> {
        std::fs::create_dir_all(dir)?;
        let json = serde_json::to_string_pretty(self)?;
        std::fs::write(dir.join("summary.json"), json + "\n")?;
        Ok(std::fs::write(dir.join("README.md"), self.page()?)?)
    }

    /// The page for people.
    ///
    /// # Errors
    /// Never; writing to a text does not fail.
    pub fn page(&self) -> Result<String> {
        let mut page = String::from(HEAD);
        for case in Case::ALL {
            let Some(run) = self.runs.get(case.name()) else {
                continue;
            };
            writeln!(page, "\n## {}\n\n{}\n", case.name(), case.about())?;
            writeln!(page, "| Figure | Value | Target | Met |\n|---|---|---|---|")?;
            for figure in self.cases.iter().filter(|figure| of_case(figure, case)) {
                let (_, name) = figure.case.split_once('.').unwrap_or_default();
                let met = match figure.met {
                    Some(true) => "yes",
                    Some(false) => "**no**",
                    None => "",
                };
                writeln!(
                    page,
                    "| {} | {} {} | {} | {met} |",
                    name.replace('_', " "),
                    figure.value,
                    figure.unit,
                    figure.target.as_deref().unwrap_or_default(),
                )?;
            }
            let Run {
                began,
                seconds,
                commit,
                release,
                settings,
                load_before,
                machine,
            } = run;
            let build = if *release { "release" } else { "debug" };
            writeln!(
                page,
                "\n{began}, commit {commit}, {build} build, {seconds:.0} s with {settings}. {} x {}, {} MiB of memory, Linux {}; \
                 4 KiB written and synced in {} ms. Load of the machine before it: {load_before}.",
                machine.processors,
                machine.processor,
                machine.memory_mib,
                machine.kernel,
                machine.sync_ms,
            )?;
        }
        Ok(page)
    }
}

fn of_case(figure: &Figure, case: Case) -> bool {
    let name = figure.case.split_once('.').map(|(name, _)| name);
    name == Some(case.name())
}

const HEAD: &str = "# Benchmarks

Written by `make bench`, which measures release builds of the shipped binaries and checks every answer on the way: a wrong one ends
the run, and no figure of it is kept. `summary.json` beside this page is the same for programs. A target that is missed stays
missed. Callers run on the same machine as what they measure, so every figure has their cost in it.

`make bench ARGS=\"--cases standalone-bulk\"` runs one case and leaves the figures of the others; `--help` says what else can be
set. A small run of all of it, in a debug build and without its times, is part of `make test`.
";

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> Run {
        Run {
            began: "2026-01-07T00:00:00Z".to_owned(),
            seconds: 1.0,
            commit: "abc".to_owned(),
            release: true,
            settings: "--profiles 8".to_owned(),
            load_before: 0.1,
            machine: Machine {
                processor: "one".to_owned(),
                processors: 2,
                memory_mib: 3,
                kernel: "6".to_owned(),
                sync_ms: 1.5,
            },
        }
    }

    fn figure(case: Case, value: f64) -> Figure {
        Figure::below(&format!("{}.some_time", case.name()), value, "ms", 20.0)
    }

    #[test]
    fn a_run_of_one_case_leaves_the_figures_of_the_others() {
        let mut summary = Summary::default();
        for case in [Case::StandaloneBulk, Case::StandaloneGrowth] {
            summary.replace(case, run(), vec![figure(case, 1.0)]);
        }
        let case = Case::StandaloneBulk;
        summary.replace(case, run(), vec![figure(case, 30.0)]);
        let expected = [
            figure(Case::StandaloneGrowth, 1.0),
            figure(Case::StandaloneBulk, 30.0),
        ];
        assert_eq!(summary.cases, expected);
    }

    #[test]
    fn a_missed_target_is_on_the_page() {
        let mut summary = Summary::default();
        let case = Case::StandaloneGrowth;
        summary.replace(case, run(), vec![figure(case, 21.0)]);
        let page = summary.page().unwrap();
        assert!(
            page.contains("| some time | 21 ms | < 20 ms | **no** |"),
            "{page}"
        );
    }

    #[test]
    fn what_is_written_can_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let mut summary = Summary::read(dir.path()).unwrap();
        let case = Case::StandaloneGrowth;
        summary.replace(case, run(), vec![figure(case, 1.0)]);
        summary.write(dir.path()).unwrap();
        assert_eq!(Summary::read(dir.path()).unwrap(), summary);
    }
}
