//! One seed, one schedule, one verdict.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex};

use kith_domain::event::TraitEvent;
use kith_domain::store::StoreRecord;
use kith_profiles::Profiles;
use kith_profiles::apply::{apply, fold};
use kith_profiles::environment::Environment;
use rand::rngs::SmallRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};

pub use crate::case::{Case, Op, store};
use crate::client::{Caller, Notes, Process, Recorder, take};
use crate::executor::Executor;
use crate::history::REPEATED;
use crate::judge::Judge;
use crate::ports::{Shared, lock, parts};
use crate::quiet::{quiet_findings, row_findings, visible};
use crate::world::{Statement, World};

/// What a run came to.
#[derive(Debug)]
pub struct Verdict {
    /// The seed.
    pub seed: u64,
    /// What was found wrong: nothing, if it was right.
    pub findings: Vec<String>,
    /// The schedule: a line a step.
    pub trace: Vec<String>,
    /// Statements of two clients were in flight at once.
    pub overlapped: bool,
    /// How often the history was to be explained, and how often the search for an order was given up.
    pub judged: (u32, u32),
    /// Names the schedule: equal for equal traces.
    pub fingerprint: u64,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}:", self.seed)?;
        for line in &self.trace {
            writeln!(f, "  {line}")?;
        }
        for finding in &self.findings {
            writeln!(f, "  WRONG: {finding}")?;
        }
        Ok(())
    }
}

const STEPS_MAX: usize = 20_000;
/// In one of so many states a client runs alone from there, until all its requests have ended.
const ALONE_EVERY: u64 = 512;
/// Statements of a client that runs alone at the most, all its requests together: 111 was the largest seen.
const ALONE_MAX: usize = 300;

/// Runs a case under a seed. If anything was wrong the run is repeated, step for step, and its schedule written down.
#[must_use]
pub fn run(case: &Case, seed: u64) -> Verdict {
    let verdict = run_once(case, seed, false);
    if verdict.findings.is_empty() {
        verdict
    } else {
        run_once(case, seed, true)
    }
}

fn run_once(case: &Case, seed: u64, is_traced: bool) -> Verdict {
    let mut rng = SmallRng::seed_from_u64(seed);
    let record = Arc::new(store(case.settings.clone()));
    let mut run = Run {
        world: Arc::new(Mutex::new(World::default())),
        recorder: Recorder::new(&record),
        notes: Notes::default(),
        store: Arc::clone(&record),
        executor: Executor::default(),
        trace: is_traced.then(Vec::new),
        schedule: DefaultHasher::new(),
        overlapped: false,
        judge: Judge::new(&record, case.omission),
        alone: None,
        findings: Vec::new(),
    };
    let world = Arc::clone(&run.world);
    {
        let mut world = lock(&world);
        world.broken = case.broken;
        world.stores.insert(run.store.id, (*run.store).clone());
        for client in 0..case.processes {
            let skew = [0, 0, 600_000_000, -600_000_000][rng.random_range(0..4usize)];
            world.skews.insert(client, skew);
        }
    }
    let processes: Vec<Arc<Process>> = (0..case.processes)
        .map(|process| Arc::new(Profiles::new(parts(&world, process, case.omission))))
        .collect();

    let mut number = 0;
    for op in &case.prelude {
        number += 1;
        let task = run.client(&processes[0], number, vec![op.clone()]);
        run.finish(&[task], &mut rng, &Faults::NONE);
    }
    let faults = Faults {
        unknown_permille: case.unknown_permille,
        crash_permille: case.crash_permille,
    };
    let mut tasks = Vec::new();
    for (client, creates) in case.clients.iter().enumerate() {
        let first = 1_000 * (client as u128 + 1);
        tasks.push(run.client(&processes[client % case.processes], first, creates.clone()));
    }
    run.finish(&tasks, &mut rng, &faults);

    // Whoever got no answer sends the request again, and nothing is in its way.
    let mut again = run.recorder.history.open();
    again.shuffle(&mut rng);
    let fresh = Arc::new(Profiles::new(parts(&world, 0, case.omission)));
    for (number, op) in again {
        let task = run.client(&fresh, number + REPEATED, vec![op]);
        run.finish(&[task], &mut rng, &Faults::NONE);
    }
    run.land(&mut rng);
    run.apply_all(&mut rng);
    run.judge();
    // Whatever was left behind, a request for everybody ends, and everything leads to its answer.
    if run.findings.is_empty() && case.probes {
        let everybody = vec![Op::Create(vec![0, 1, 2, 3]), Op::Create(vec![4, 5])];
        let task = run.client(&fresh, 9_000_000, everybody);
        run.finish(&[task], &mut rng, &Faults::NONE);
    }
    run.apply_all(&mut rng);
    run.judge();
    if case.probes {
        let rows = row_findings(&lock(&world), &run.store);
        run.findings.extend(rows);
    }
    let before = visible(&lock(&world), run.store.id);
    lock(&world).end_grace();
    let log = lock(&world).log.clone();
    for event in log {
        let mut world = lock(&world);
        for batch in fold([event]) {
            world.apply_whole(Statement::WriteCells(batch));
        }
        if before != visible(&world, run.store.id) {
            run.findings
                .push("a record that was applied again changed what is read".into());
            break;
        }
    }

    Verdict {
        seed,
        findings: run.findings,
        overlapped: run.overlapped,
        judged: run.judge.judged,
        fingerprint: run.schedule.finish(),
        trace: run.trace.unwrap_or_default(),
    }
}

struct Faults {
    unknown_permille: u32,
    crash_permille: u32,
}

impl Faults {
    const NONE: Self = Self {
        unknown_permille: 0,
        crash_permille: 0,
    };
}

struct Run {
    world: Shared,
    recorder: Recorder,
    notes: Notes,
    store: Arc<StoreRecord>,
    executor: Executor,
    /// A line a step, if anybody wants to read it.
    trace: Option<Vec<String>>,
    schedule: DefaultHasher,
    overlapped: bool,
    judge: Judge,
    /// The client that runs alone for now, and how many statements it took.
    alone: Option<(usize, usize)>,
    findings: Vec<String>,
}

/// What became of a statement at its step.
#[derive(Debug, Clone, Copy, Hash)]
enum Step {
    Answered,
    AppliedWithoutAnswer,
    LeftWithoutAnswer,
    Late,
    Lost,
}

impl Run {
    fn client(&mut self, process: &Arc<Process>, first: u128, ops: Vec<Op>) -> usize {
        let caller = Caller {
            store: Arc::clone(&self.store),
            notes: Arc::clone(&self.notes),
            known: Arc::default(),
        };
        let process = Arc::clone(process);
        self.executor.spawn(async move {
            for (op, number) in ops.iter().zip(first..) {
                caller.send(&process, number, op).await;
            }
        })
    }

    /// Runs every task as far as it goes, and takes down what was noted.
    fn settle(&mut self) {
        self.executor.settle();
        let world = lock(&self.world);
        for note in take(&self.notes) {
            self.recorder.record(&world, &self.store, note);
        }
    }

    /// Runs until these tasks have ended, one way or another.
    fn finish(&mut self, tasks: &[usize], rng: &mut SmallRng, faults: &Faults) {
        // Half of all runs prefer some statements over others for a while: orders that even chance seldom gives.
        let mut favour: Option<BTreeMap<usize, u32>> = rng.random_bool(0.5).then(BTreeMap::new);
        for _ in 0..STEPS_MAX {
            self.settle();
            if tasks.iter().all(|task| !self.executor.is_running(*task)) {
                return;
            }
            let faults = if self.alone.is_some() {
                &Faults::NONE
            } else {
                faults
            };
            if rng.random_range(0..1_000) < faults.crash_permille
                && let Some(task) = tasks.choose(rng)
                && self.executor.is_running(*task)
            {
                if let Some(trace) = &mut self.trace {
                    trace.push(format!("task {task} is given up"));
                }
                task.hash(&mut self.schedule);
                self.executor.crash(*task);
                continue;
            }
            let open = self.open();
            let Some(flight) = pick(&lock(&self.world), &open, rng, &mut favour) else {
                self.findings
                    .push("everybody waits, and nothing is in flight".into());
                return;
            };
            self.step(flight, rng, faults);
            let findings = self.judge.state(
                &lock(&self.world),
                &self.recorder.history,
                self.schedule.finish(),
            );
            self.findings.extend(findings);
            if !self.findings.is_empty() {
                return;
            }
        }
        self.findings
            .push(format!("no end within {STEPS_MAX} steps"));
    }

    /// What may be next: anything in flight, or of one client only, now and then, until its requests have ended. From any state
    /// a request alone ends within a bounded number of statements.
    fn open(&mut self) -> Vec<(u64, bool)> {
        let world = lock(&self.world);
        let open = world.in_flight();
        let of = |client: usize| {
            let own = open.iter().filter(|(flight, is_orphan)| {
                let entry = world.flight(*flight);
                !is_orphan && entry.is_some_and(|entry| entry.client == client)
            });
            own.copied().collect::<Vec<_>>()
        };
        if self.alone.is_none() && self.schedule.finish() % ALONE_EVERY == 1 {
            let first = open.iter().find(|(_, is_orphan)| !is_orphan);
            let first = first.and_then(|(flight, _)| world.flight(*flight));
            self.alone = first.map(|entry| (entry.client, 0));
        }
        if let Some((client, statements)) = &mut self.alone {
            let own = of(*client);
            *statements += 1;
            if !own.is_empty() && *statements <= ALONE_MAX {
                return own;
            }
            if !own.is_empty() {
                self.findings.push(format!(
                    "client {client}, alone, does not end within {ALONE_MAX} statements"
                ));
            }
            self.alone = None;
        }
        open
    }

    fn step(&mut self, flight: u64, rng: &mut SmallRng, faults: &Faults) {
        let mut world = lock(&self.world);
        let Some(entry) = world.flight(flight) else {
            return;
        };
        let is_write = entry.statement.is_write();
        let client = entry.client;
        let (statement, is_orphan) = (entry.statement.clone(), entry.is_orphan);
        self.overlapped |= world.is_overlapped(client);
        let step = if is_orphan {
            // Late, or never.
            if rng.random_bool(0.2) {
                Step::Lost
            } else {
                Step::Late
            }
        } else if is_write && rng.random_range(0..1_000) < faults.unknown_permille {
            if rng.random_bool(0.5) {
                Step::AppliedWithoutAnswer
            } else {
                Step::LeftWithoutAnswer
            }
        } else {
            Step::Answered
        };
        match step {
            Step::Answered | Step::Late => world.execute(flight),
            Step::AppliedWithoutAnswer => world.execute_unknown(flight, true),
            Step::LeftWithoutAnswer => world.execute_unknown(flight, false),
            Step::Lost => world.lose(flight),
        }
        drop(world);
        (client, std::mem::discriminant(&statement), step, flight).hash(&mut self.schedule);
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{client}: {step:?} {}", describe(&statement)));
        }
    }

    /// Judges what is there now, when nothing is under way.
    fn judge(&mut self) {
        let world = lock(&self.world);
        let unexplained = self.judge.explain(&world, &self.recorder.history);
        self.findings.extend(unexplained);
        let findings = quiet_findings(&world, &self.recorder.history, &self.store);
        self.findings.extend(findings);
    }

    /// Lets everything land, or not, that nobody waits for any more.
    fn land(&mut self, rng: &mut SmallRng) {
        loop {
            let open = lock(&self.world).in_flight();
            let Some((flight, _)) = open.choose(rng) else {
                return;
            };
            self.step(*flight, rng, &Faults::NONE);
        }
    }

    /// Applies every record of the log, in any order, some twice, as any number of workers would.
    fn apply_all(&mut self, rng: &mut SmallRng) {
        let mut records: Vec<_> = lock(&self.world).log.clone();
        let twice: Vec<_> = records
            .iter()
            .filter(|_| rng.random_bool(0.3))
            .cloned()
            .collect();
        records.extend(twice);
        records.shuffle(rng);
        while !records.is_empty() {
            let events: Vec<TraitEvent> = records
                .drain(..records.len().min(rng.random_range(1..4)))
                .collect();
            let worker = parts(&self.world, 99, None);
            let findings = Arc::new(Mutex::new(Vec::new()));
            let failed = Arc::clone(&findings);
            let task = self.executor.spawn(async move {
                if apply(worker.database(), &fold(events)).await.is_err()
                    && let Ok(mut failed) = failed.lock()
                {
                    failed.push("the worker could not write".to_owned());
                }
            });
            self.finish(&[task], rng, &Faults::NONE);
            if let Ok(mut found) = findings.lock() {
                self.findings.append(&mut found);
            }
        }
    }
}

/// The next statement: any that is waited for, and now and then one that is not.
fn pick(
    world: &World,
    open: &[(u64, bool)],
    rng: &mut SmallRng,
    favour: &mut Option<BTreeMap<usize, u32>>,
) -> Option<u64> {
    let (late, live): (Vec<_>, Vec<_>) = open.iter().partition(|(_, is_orphan)| *is_orphan);
    if !late.is_empty() && (live.is_empty() || rng.random_range(0..12) == 0) {
        return late.choose(rng).map(|(flight, _)| *flight);
    }
    let Some(priorities) = favour else {
        return live.choose(rng).map(|(flight, _)| *flight);
    };
    // Priorities of clients, changed now and then.
    if rng.random_range(0..16) == 0 {
        priorities.clear();
    }
    let mut best: Option<(u32, u64)> = None;
    for (flight, _) in live {
        let client = world.flight(flight).map_or(0, |entry| entry.client);
        let priority = *priorities.entry(client).or_insert_with(|| rng.random());
        if best.is_none_or(|(highest, _)| priority > highest) {
            best = Some((priority, flight));
        }
    }
    best.map(|(_, flight)| flight)
}

fn describe(statement: &Statement) -> String {
    let text = format!("{statement:?}");
    text.chars().take(220).collect()
}
