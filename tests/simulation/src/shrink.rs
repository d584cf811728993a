//! Minimal traces: the smallest case and the plainest schedule that still show what a seed found.
//!
//! First the case: clients, requests and faults are left out while some schedule still finds the same kind of thing. Then
//! the schedule: its choices are made plain, block by block, while they still find it. All of it follows from the seed.

use std::fmt;

use crate::case::Case;
use crate::choices::Choices;
use crate::run::{Verdict, run_with};

/// What is left of a case and a seed.
#[derive(Debug)]
pub struct Minimal {
    /// The seed that found it.
    pub seed: u64,
    /// The case, without what is not needed.
    pub case: Case,
    /// The run, with its trace.
    pub verdict: Verdict,
}

impl fmt::Display for Minimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}, at its smallest:", self.seed)?;
        writeln!(f, "  before: {:?}", self.case.prelude)?;
        for (number, ops) in self.case.clients.iter().enumerate() {
            writeln!(f, "  client {number}: {ops:?}")?;
        }
        self.verdict.fmt(f)
    }
}

/// Seeds that are tried for a smaller case.
const SEEDS: u64 = 30;
/// Runs for the choices at most.
const RUNS_MAX: usize = 2_000;

/// The smallest that shows what this seed found; `None` if it finds nothing.
#[must_use]
pub fn minimal(case: &Case, seed: u64) -> Option<Minimal> {
    let found = run_with(case, Choices::of_seed(seed), false);
    let kind = kind(found.findings.first()?);
    let mut best = (case.clone(), found);
    while let Some(smaller) = simpler(&best.0)
        .into_iter()
        .find_map(|case| Some((find(&case, seed, &kind)?, case)))
    {
        best = (smaller.1, smaller.0);
    }
    let (case, verdict) = best;
    let choices = plain(&case, verdict, &kind);
    let verdict = run_with(&case, Choices::given(choices), true);
    Some(Minimal {
        seed,
        case,
        verdict,
    })
}

/// What a finding says, without the ids and times that differ between schedules.
#[must_use]
pub fn kind(finding: &str) -> String {
    let first = finding.split(": ").next().unwrap_or(finding);
    let words = first.split_whitespace();
    let plain = words.filter(|word| word.chars().all(|one| one.is_alphabetic() || one == ','));
    plain.collect::<Vec<_>>().join(" ")
}

fn finds(verdict: &Verdict, wanted: &str) -> bool {
    verdict.findings.iter().any(|one| kind(one) == wanted)
}

/// A schedule of this case that finds it.
fn find(case: &Case, seed: u64, kind: &str) -> Option<Verdict> {
    let mut seeds = (seed..).take(usize::try_from(SEEDS).unwrap_or(0));
    seeds.find_map(|seed| {
        let verdict = run_with(case, Choices::of_seed(seed), false);
        finds(&verdict, kind).then_some(verdict)
    })
}

/// Every case that has one thing less.
fn simpler(case: &Case) -> Vec<Case> {
    let mut cases = Vec::new();
    for client in 0..case.clients.len() {
        let mut less = case.clone();
        less.clients.remove(client);
        cases.extend((!less.clients.is_empty()).then_some(less));
    }
    for op in 0..case.prelude.len() {
        let mut less = case.clone();
        less.prelude.remove(op);
        cases.push(less);
    }
    for client in 0..case.clients.len() {
        for op in 0..case.clients[client].len() {
            let mut less = case.clone();
            less.clients[client].remove(op);
            cases.extend((!less.clients[client].is_empty()).then_some(less));
        }
    }
    if case.workers {
        cases.push(Case {
            workers: false,
            ..case.clone()
        });
    }
    let faults: [fn(&mut Case) -> &mut u32; 4] = [
        |case| &mut case.unknown_permille,
        |case| &mut case.crash_permille,
        |case| &mut case.clock_step_permille,
        |case| &mut case.early_permille,
    ];
    for fault in faults {
        let mut less = case.clone();
        if std::mem::take(fault(&mut less)) > 0 {
            cases.push(less);
        }
    }
    cases
}

/// The choices of a run, as many of them plain as can be.
fn plain(case: &Case, verdict: Verdict, kind: &str) -> Vec<u32> {
    let mut best = (weight(&verdict), trimmed(verdict.choices));
    let mut runs = 0;
    let mut size = best.1.len();
    while size > 0 && runs < RUNS_MAX {
        let mut from = 0;
        let mut is_better = false;
        while from < best.1.len() && runs < RUNS_MAX {
            let to = (from + size).min(best.1.len());
            let mut zeroed = best.1.clone();
            zeroed[from..to].fill(0);
            let mut cut = best.1.clone();
            cut.drain(from..to);
            let mut is_cut = false;
            for choices in [cut, zeroed] {
                if choices == best.1 {
                    continue;
                }
                runs += 1;
                let tried = run_with(case, Choices::given(choices), false);
                let weighs = weight(&tried);
                if finds(&tried, kind) && weighs < best.0 {
                    best = (weighs, trimmed(tried.choices));
                    (is_better, is_cut) = (true, true);
                    break;
                }
            }
            from = if is_cut { from } else { to };
        }
        if !is_better || size > 1 {
            size /= 2;
        }
    }
    best.1
}

/// Shorter first, then with fewer choices that are not plain.
fn weight(verdict: &Verdict) -> (usize, usize) {
    let odd = verdict.choices.iter().filter(|choice| **choice > 0);
    (verdict.steps, odd.count())
}

fn trimmed(mut choices: Vec<u32>) -> Vec<u32> {
    while choices.last() == Some(&0) {
        choices.pop();
    }
    choices
}
