//! What is written down: `figures.json`, everything that was measured; and made of it `summary.json`, the rows of the
//! [table], charts, and `README.md` for people.
//!
//! A run of some cases replaces their figures and leaves the others as they were, each with the run that it came from.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::cases::Case;
use crate::charts::{Chart, charts};
use crate::figure::{Figure, Spread};
use crate::machine::Machine;
use crate::table::table;

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
        match std::fs::read(dir.join(FIGURES)) {
            Ok(bytes) => serde_json::from_slice(&bytes).context(FIGURES),
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

    /// Writes all files. Charts of figures that are no more go.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn write(&self, dir: &Path) -> Result<()> {
        std::fs::create_dir_all(dir)?;
        for entry in std::fs::read_dir(dir)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "svg") {
                std::fs::remove_file(path)?;
            }
        }
        let mut drawn = BTreeMap::new();
        for case in Case::ALL {
            let charts = charts(case, &self.of(case))?;
            for chart in &charts {
                std::fs::write(dir.join(&chart.file), &chart.svg)?;
            }
            drawn.insert(case.name(), charts);
        }
        let rows = json!({ "cases": table(&self.cases) });
        std::fs::write(
            dir.join(FIGURES),
            serde_json::to_string_pretty(self)? + "\n",
        )?;
        std::fs::write(
            dir.join("summary.json"),
            serde_json::to_string_pretty(&rows)? + "\n",
        )?;
        Ok(std::fs::write(dir.join("README.md"), self.page(&drawn)?)?)
    }

    fn of(&self, case: Case) -> Vec<Figure> {
        let of = self.cases.iter().filter(|figure| of_case(figure, case));
        of.cloned().collect()
    }

    /// The page for people, with these charts of each case.
    ///
    /// # Errors
    /// Never; writing to a text does not fail.
    fn page(&self, drawn: &BTreeMap<&str, Vec<Chart>>) -> Result<String> {
        let mut page = String::from(HEAD);
        self.rows(&mut page)?;
        for case in Case::ALL {
            let Some(run) = self.runs.get(case.name()) else {
                continue;
            };
            writeln!(page, "\n## {}\n\n{}\n", case.name(), case.about())?;
            for Chart { file, title, .. } in drawn.get(case.name()).into_iter().flatten() {
                writeln!(page, "![{title}]({file})\n")?;
            }
            writeln!(
                page,
                "| Figure | Value | Repetitions | Target | Met |\n|---|---|---|---|---|"
            )?;
            for figure in self.of(case) {
                writeln!(
                    page,
                    "| {} | {} {} | {} | {} | {} |",
                    figure.words(),
                    figure.value,
                    figure.unit,
                    between(figure.spread),
                    figure.target.as_deref().unwrap_or_default(),
                    verdict(figure.met),
                )?;
            }
            run.write(&mut page)?;
        }
        Ok(page)
    }

    fn rows(&self, page: &mut String) -> Result<()> {
        let rows = table(&self.cases);
        if rows.is_empty() {
            return Ok(());
        }
        writeln!(
            page,
            "\n| What was promised | Value | Repetitions | Target | Met |\n|---|---|---|---|---|"
        )?;
        for row in rows {
            writeln!(
                page,
                "| {} | {} {} | {} | {} | {} |",
                row.about,
                row.value,
                row.unit,
                between(row.spread),
                row.target.as_deref().unwrap_or_default(),
                verdict(row.met),
            )?;
        }
        Ok(())
    }
}

impl Run {
    fn write(&self, page: &mut String) -> Result<()> {
        let Self {
            began,
            seconds,
            commit,
            release,
            settings,
            load_before,
            machine,
        } = self;
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
        if let Some(percent) = machine.slowed_percent {
            writeln!(
                page,
                "Before it, with nothing measured yet, loops that only count had less than six tenths of their speed in {percent} % of \
                 slices of 5 ms."
            )?;
        }
        if let Some(wakes) = machine.wakes {
            writeln!(
                page,
                "Of sleeps of 0.2 ms, {} % ended more than a millisecond late, the latest by {} ms.",
                wakes.late_percent, wakes.latest_ms
            )?;
        }
        if !machine.versions.is_empty() {
            writeln!(page, "With {}.", machine.versions.join(", "))?;
        }
        Ok(())
    }
}

fn verdict(met: Option<bool>) -> &'static str {
    match met {
        Some(true) => "yes",
        Some(false) => "**no**",
        None => "",
    }
}

/// How far repetitions lie apart, for people.
fn between(spread: Option<Spread>) -> String {
    spread.map_or_else(String::new, |Spread { least, most }| {
        format!("{least} to {most}")
    })
}

fn of_case(figure: &Figure, case: Case) -> bool {
    let name = figure.case.split_once('.').map(|(name, _)| name);
    name == Some(case.name())
}

/// The file that everything else is made of.
const FIGURES: &str = "figures.json";

const HEAD: &str = "# Benchmarks

Written by `make bench`, which measures release builds of the shipped binaries and checks every answer on the way: a wrong one ends
the run, and no figure of it is kept. A target that is missed stays missed. Callers run on the same machine as what they measure,
so every figure has their cost in it. A value is the median of its repetitions; beside it stand the least and the most of them.
Charts show both.

`summary.json` has the rows of the first table below, for programs; rows that were not measured are absent. `figures.json` has
everything, with the run that each figure came from; this page and the charts are made of it.

`make bench ARGS=\"--cases standalone-bulk\"` runs one case and leaves the figures of the others; `--help` says what else can be
set. `make bench-growth` runs the cases of what grows, which take longer. A small run of all of it, in a debug build and without its
times, is part of `make test`.
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steadiness::Wakes;

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
                slowed_percent: Some(0.5),
                wakes: Some(Wakes {
                    late_percent: 0.1,
                    latest_ms: 4.2,
                }),
                versions: vec!["rustc 1".to_owned()],
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
        let page = summary.page(&BTreeMap::new()).unwrap();
        for text in [
            "| some time | 21 ms |  | < 20 ms | **no** |",
            "With rustc 1.",
        ] {
            assert!(page.contains(text), "{page}");
        }
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

    #[test]
    fn programs_get_the_rows_of_the_table_and_people_get_them_first() {
        let dir = tempfile::tempdir().unwrap();
        let mut summary = Summary::default();
        let case = Case::StandaloneGrowth;
        let binary = Figure::below("standalone-growth.binary", 20.5, "MiB", 25.0);
        summary.replace(case, run(), vec![binary, figure(case, 1.0)]);
        summary.write(dir.path()).unwrap();
        let rows = std::fs::read(dir.path().join("summary.json")).unwrap();
        let rows: serde_json::Value = serde_json::from_slice(&rows).unwrap();
        let cases = rows["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 1);
        assert_eq!(cases[0]["case"], "binary");
        assert_eq!(cases[0]["value"], 20.5);
        assert_eq!(
            (&cases[0]["target"], &cases[0]["met"]),
            (&json!("< 25 MiB"), &json!(true))
        );
        let page = std::fs::read_to_string(dir.path().join("README.md")).unwrap();
        let row = page.find("| size of the standalone | 20.5 MiB |  | < 25 MiB | yes |");
        assert!(row.unwrap() < page.find("## standalone-growth").unwrap());
    }

    #[test]
    fn charts_are_linked_and_go_with_their_figures() {
        let dir = tempfile::tempdir().unwrap();
        let mut summary = Summary::default();
        let case = Case::StandaloneCreate;
        let rate =
            |what: &str| Figure::shown(&format!("{}.{what}", case.name()), 1.0, "requests/s");
        summary.replace(case, run(), vec![rate("one"), rate("other")]);
        summary.write(dir.path()).unwrap();
        let file = "standalone-create.requests-a-second.svg";
        let page = std::fs::read_to_string(dir.path().join("README.md")).unwrap();
        assert!(page.contains(&format!("]({file})")), "{page}");
        assert!(dir.path().join(file).exists());

        summary.replace(case, run(), vec![rate("one")]);
        summary.write(dir.path()).unwrap();
        assert!(!dir.path().join(file).exists());
    }
}
