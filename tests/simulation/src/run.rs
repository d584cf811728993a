//! One seed, one schedule, one verdict.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use kith_domain::id::ProfileKey;
use kith_domain::store::StoreRecord;
use kith_profiles::Profiles;
use kith_profiles::apply::fold;
use kith_profiles::ports::CellRows;

pub use crate::case::{Case, Op, store};
use crate::choices::{Choices, PAUSES};
use crate::client::{Caller, Notes, Process, Recorder, take};
use crate::consumers;
use crate::executor::Executor;
use crate::history::REPEATED;
use crate::judge::Judge;
use crate::ports::{Shared, lock, parts};
use crate::quiet::{quiet_findings, row_findings, visible};
use crate::topic::{PARTITIONS, Topic};
use crate::world::{Statement, World};

mod workers;

use workers::Working;

/// What a run came to.
#[derive(Debug)]
pub struct Verdict {
    /// What was found wrong: nothing, if it was right.
    pub findings: Vec<String>,
    /// The schedule: a line a step, if that was asked for.
    pub trace: Vec<String>,
    /// Statements of two clients were in flight at once.
    pub overlapped: bool,
    /// How often the history was to be explained, and how often the search for an order was given up.
    pub judged: (u32, u32),
    /// Names the schedule: equal for equal traces.
    pub fingerprint: u64,
    /// The choices that were taken.
    pub choices: Vec<u32>,
    /// Steps.
    pub steps: usize,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
/// The number of the first request for everybody.
const PROBE: u128 = 9_000_000;
/// In a thousand: how often a record is in the log twice.
const TWICE_PERMILLE: u32 = 100;

/// Runs a case under a seed.
#[must_use]
pub fn run(case: &Case, seed: u64) -> Verdict {
    run_with(case, Choices::of_seed(seed), false)
}

/// Runs a case under these choices, and writes the schedule down if it is asked to.
#[must_use]
pub fn run_with(case: &Case, choices: Choices, is_traced: bool) -> Verdict {
    let mut run = Run::new(case, choices, is_traced);
    run.all(case);
    let steps = usize::try_from(lock(&run.world).steps).unwrap_or(usize::MAX);
    Verdict {
        findings: run.findings,
        overlapped: run.overlapped,
        judged: run.judge.judged,
        fingerprint: run.schedule.finish(),
        trace: run.trace.unwrap_or_default(),
        choices: run.choices.taken(),
        steps,
    }
}

/// What may go wrong at a step, in a thousand.
#[derive(Debug, Clone, Copy)]
struct Faults {
    unknown: u32,
    crash: u32,
    clock_step: u32,
    early: u32,
}

impl Faults {
    const NONE: Self = Self {
        unknown: 0,
        crash: 0,
        clock_step: 0,
        early: 0,
    };

    fn of(case: &Case) -> Self {
        Self {
            unknown: case.unknown_permille,
            crash: case.crash_permille,
            clock_step: case.clock_step_permille,
            early: case.early_permille,
        }
    }
}

/// A client under way: its task, and what it goes on with if it is given up and started anew.
#[derive(Debug, Clone)]
struct Running {
    task: usize,
    process: usize,
    first: u128,
    ops: Vec<Op>,
    /// How many of them it has begun.
    begun: Arc<AtomicUsize>,
}

struct Run {
    world: Shared,
    recorder: Recorder,
    notes: Notes,
    store: Arc<StoreRecord>,
    processes: Vec<Arc<Process>>,
    executor: Executor,
    workers: Vec<Working>,
    /// Workers so far.
    members: usize,
    choices: Choices,
    /// Whose statement ran last.
    last: usize,
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
    AnsweredWithWhatIsInFlight,
    AppliedWithoutAnswer,
    LeftWithoutAnswer,
    Late,
    Lost,
}

/// How far a host's clock is off, or jumps: not at all, or ten minutes either way.
const SKEWS: [i64; 4] = [0, 0, 600_000_000, -600_000_000];

impl Run {
    fn new(case: &Case, mut choices: Choices, is_traced: bool) -> Self {
        let store = Arc::new(store(case.settings.clone()));
        let mut world = World::default();
        world.broken = case.broken;
        world.topic = Topic::new();
        world.stores.insert(store.id, (*store).clone());
        for process in 0..case.processes {
            let skew = SKEWS[choices.below(SKEWS.len())];
            world.skews.insert(process, skew);
        }
        let world = Arc::new(Mutex::new(world));
        let process = |number| Arc::new(Profiles::new(parts(&world, number, case.omission)));
        Self {
            // The last one is for whoever comes after everybody else.
            processes: (0..=case.processes).map(process).collect(),
            world,
            recorder: Recorder::new(&store),
            notes: Notes::default(),
            judge: Judge::new(&store, case.omission),
            alone: None,
            store,
            executor: Executor::default(),
            workers: Vec::new(),
            members: 0,
            choices,
            last: 0,
            trace: is_traced.then(Vec::new),
            schedule: DefaultHasher::new(),
            overlapped: false,
            findings: Vec::new(),
        }
    }

    /// Everything, until something is wrong.
    fn all(&mut self, case: &Case) {
        let last = case.processes;
        for (number, op) in (1..).zip(&case.prelude) {
            self.alone(0, number, op.clone());
        }
        if case.workers {
            self.tend();
        }
        let clients = case.clients.iter().zip(0..).map(|(ops, client)| {
            let first = 1_000 * (client as u128 + 1);
            self.client(client % case.processes, first, ops.clone())
        });
        let clients: Vec<Running> = clients.collect();
        self.finish(clients, Faults::of(case));

        // Whoever got no answer sends the request again, and nothing is in its way.
        let mut again = self.recorder.history.open();
        self.choices.shuffle(&mut again);
        for (number, op) in again {
            self.alone(last, number + REPEATED, op);
        }
        self.land();
        self.consume();
        self.judge();
        // Whatever was left behind, a request for everybody ends, and everything leads to its answer.
        if case.probes {
            for (number, everybody) in (PROBE..).zip([vec![0, 1, 2, 3], vec![4, 5]]) {
                self.alone(last, number, Op::Create(everybody));
            }
            self.consume();
            self.judge();
            if self.findings.is_empty() {
                self.findings = row_findings(&lock(&self.world), &self.store);
            }
        }
        if !self.findings.is_empty() {
            return;
        }
        // Whoever is dead may have been purged meanwhile.
        let before = self.live_cells();
        lock(&self.world).topic.rewind();
        self.consume();
        if before != self.live_cells() {
            let finding = "a replay of the log changed cells";
            self.findings.push(finding.to_owned());
        }
        self.apply_late();
    }

    /// Each record once more, when the grace for late writes is over.
    fn apply_late(&mut self) {
        let mut world = lock(&self.world);
        let before = visible(&world, self.store.id);
        world.end_grace();
        for event in world.log.clone() {
            for batch in fold([event]) {
                world.apply_whole(Statement::WriteCells(batch));
            }
            if before != visible(&world, self.store.id) {
                let finding = "a record that was applied again changed what is read";
                self.findings.push(finding.to_owned());
                return;
            }
        }
    }

    /// The cells of whoever lives.
    fn live_cells(&self) -> BTreeMap<ProfileKey, CellRows> {
        let world = lock(&self.world);
        let mut cells = world.cells().clone();
        cells.retain(|at, _| world.root_of(*at).is_some());
        cells
    }

    fn client(&mut self, process: usize, first: u128, ops: Vec<Op>) -> Running {
        let caller = Caller {
            store: Arc::clone(&self.store),
            notes: Arc::clone(&self.notes),
            known: Arc::default(),
        };
        let begun = Arc::new(AtomicUsize::new(0));
        let (count, of, sent) = (
            Arc::clone(&begun),
            Arc::clone(&self.processes[process]),
            ops.clone(),
        );
        let task = self.executor.spawn(async move {
            for (op, number) in sent.iter().zip(first..) {
                count.fetch_add(1, Ordering::Relaxed);
                caller.send(&of, number, op).await;
            }
        });
        Running {
            task,
            process,
            first,
            ops,
            begun,
        }
    }

    /// One request with nothing in its way but what is in flight.
    fn alone(&mut self, process: usize, number: u128, op: Op) {
        if self.findings.is_empty() {
            let client = self.client(process, number, vec![op]);
            self.finish(vec![client], Faults::NONE);
        }
    }

    fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(line());
        }
    }

    /// Runs every task as far as it goes, and takes down what was noted.
    fn settle(&mut self) {
        self.executor.settle();
        let world = lock(&self.world);
        for note in take(&self.notes) {
            self.recorder.record(&world, &self.store, note);
        }
    }

    /// Runs until these clients have ended, one way or another.
    fn finish(&mut self, mut clients: Vec<Running>, faults: Faults) {
        for _ in 0..STEPS_MAX {
            self.settle();
            clients.retain(|client| self.executor.is_running(client.task));
            if clients.is_empty() {
                return;
            }
            let faults = match self.alone {
                Some(_) => Faults::NONE,
                None => faults,
            };
            if self.choices.chance(faults.crash) {
                let client = clients.swap_remove(self.choices.below(clients.len()));
                clients.extend(self.give_up(&client));
                continue;
            }
            if !self.workers.is_empty() {
                self.trouble();
            }
            if self.choices.chance(faults.clock_step) {
                self.step_clock();
            }
            if !self.moves(faults) {
                return;
            }
        }
        self.findings
            .push(format!("no end within {STEPS_MAX} steps"));
    }

    /// One step, and what is to be said about the state after it. False: nothing more is to be done.
    fn moves(&mut self, faults: Faults) -> bool {
        // Workers may have come.
        self.settle();
        if !self.step(faults) {
            let finding = "everybody waits, and nothing is in flight";
            self.findings.push(finding.to_owned());
            return false;
        }
        let mut world = lock(&self.world);
        let history = &self.recorder.history;
        let lot = self.schedule.finish();
        self.findings.extend(self.judge.state(&world, history, lot));
        self.findings.append(&mut world.topic.findings);
        self.findings.is_empty()
    }

    /// A client crashes. Whoever started it may start it again, with what it had not begun.
    fn give_up(&mut self, client: &Running) -> Option<Running> {
        self.note(|| format!("the client of request {} is given up", client.first));
        client.task.hash(&mut self.schedule);
        self.executor.crash(client.task);
        let begun = client.begun.load(Ordering::Relaxed);
        let rest = client.ops.get(begun..).unwrap_or_default();
        if rest.is_empty() || !self.choices.chance(500) {
            return None;
        }
        let first = client.first + begun as u128;
        self.note(|| format!("it starts anew with request {first}"));
        Some(self.client(client.process, first, rest.to_vec()))
    }

    /// The clock of a host jumps.
    fn step_clock(&mut self) {
        let processes = self.processes.len() - 1;
        let process = self.choices.below(processes);
        let skew = SKEWS[self.choices.below(SKEWS.len())];
        lock(&self.world).skews.insert(process, skew);
        self.note(|| format!("the clock of {process} is now {skew} µs off"));
        (process, skew).hash(&mut self.schedule);
    }

    /// The statements that may run: of whoever ran last first, then by client; then those that nobody waits for. And how
    /// many are waited for.
    fn candidates(&self) -> (Vec<(usize, u64)>, usize) {
        let world = lock(&self.world);
        let mut open: Vec<(bool, bool, bool, usize, u64)> = world
            .in_flight()
            .into_iter()
            .filter_map(|(flight, is_orphan)| {
                let entry = world.flight(flight)?;
                let is_pause = entry.statement == Statement::Sleep;
                let client = if is_pause { PAUSES } else { entry.client };
                Some((is_orphan, is_pause, client != self.last, client, flight))
            })
            .collect();
        open.sort_unstable();
        let live = open.partition_point(|(is_orphan, ..)| !is_orphan);
        let open = open.into_iter();
        (
            open.map(|(.., client, flight)| (client, flight)).collect(),
            live,
        )
    }

    /// One statement that nobody waits for any more. False: there is none.
    fn step_late(&mut self) -> bool {
        let (open, live) = self.candidates();
        let late = &open[live..];
        if late.is_empty() {
            return false;
        }
        let (client, flight) = late[self.choices.below(late.len())];
        self.run_one(client, flight, Faults::NONE);
        true
    }

    /// Of one client only, now and then, until its requests have ended: from any state a request alone ends within a bounded
    /// number of statements.
    fn of_one(&mut self, open: Vec<(usize, u64)>, live: usize) -> (Vec<(usize, u64)>, usize) {
        let is_client = |client: usize| client < consumers::FIRST;
        if self.alone.is_none() && self.schedule.finish() % ALONE_EVERY == 1 {
            let first = open[..live].iter().find(|(client, _)| is_client(*client));
            self.alone = first.map(|(client, _)| (*client, 0));
        }
        let Some((alone, statements)) = self.alone else {
            return (open, live);
        };
        let own: Vec<(usize, u64)> = {
            let world = lock(&self.world);
            let is_own = |flight| world.flight(flight).is_some_and(|one| one.client == alone);
            let own = open[..live].iter().filter(|(_, flight)| is_own(*flight));
            own.copied().collect()
        };
        if own.is_empty() {
            self.alone = None;
            return (open, live);
        }
        if statements == ALONE_MAX {
            self.findings.push(format!(
                "client {alone}, alone, does not end within {ALONE_MAX} statements"
            ));
        }
        self.alone = Some((alone, statements + 1));
        let live = own.len();
        (own, live)
    }

    /// One statement. False: there is none.
    fn step(&mut self, faults: Faults) -> bool {
        let (open, live) = self.candidates();
        let (open, live) = self.of_one(open, live);
        if open.is_empty() {
            return false;
        }
        let clients: Vec<usize> = open.iter().map(|(client, _)| *client).collect();
        let (client, flight) = open[self.choices.statement(&clients, live)];
        if client != PAUSES {
            self.last = client;
        }
        self.run_one(client, flight, faults);
        true
    }

    fn run_one(&mut self, client: usize, flight: u64, faults: Faults) {
        let world = Arc::clone(&self.world);
        let mut world = lock(&world);
        let Some(entry) = world.flight(flight) else {
            return;
        };
        let (statement, is_orphan) = (entry.statement.clone(), entry.is_orphan);
        self.overlapped |= world.is_overlapped(client);
        let step = if is_orphan {
            // Late, or never.
            if self.choices.chance(200) {
                Step::Lost
            } else {
                Step::Late
            }
        } else if statement.is_write() && self.choices.chance(faults.unknown) {
            if self.choices.chance(500) {
                Step::LeftWithoutAnswer
            } else {
                Step::AppliedWithoutAnswer
            }
        } else {
            Step::Answered
        };
        let early = if matches!(step, Step::Answered) {
            self.early(&world, flight, faults)
        } else {
            Vec::new()
        };
        let step = if early.is_empty() {
            step
        } else {
            Step::AnsweredWithWhatIsInFlight
        };
        let is_record = matches!(statement, Statement::Publish(_));
        if is_record {
            world.topic.route = self.choices.below(PARTITIONS);
        }
        match step {
            Step::Answered | Step::Late => world.execute(flight),
            Step::AnsweredWithWhatIsInFlight => world.execute_early(flight, &early),
            Step::AppliedWithoutAnswer => world.execute_unknown(flight, true),
            Step::LeftWithoutAnswer => world.execute_unknown(flight, false),
            Step::Lost => world.lose(flight),
        }
        // A producer that was not answered in time sends a record again by itself.
        if let Statement::Publish(record) = &statement
            && self.choices.chance(TWICE_PERMILLE)
        {
            world.topic.route = self.choices.below(PARTITIONS);
            world.topic.append(record);
        }
        drop(world);
        (
            client,
            std::mem::discriminant(&statement),
            step,
            flight,
            &early,
        )
            .hash(&mut self.schedule);
        if !matches!(statement, Statement::Sleep | Statement::Fetch(_)) {
            self.note(|| format!("{client}: {step:?} {}", describe(&statement)));
        }
    }

    /// The plain writes in flight that a plain read sees although they are not acknowledged.
    fn early(&mut self, world: &World, flight: u64, faults: Faults) -> Vec<u64> {
        if faults.early == 0 {
            return Vec::new();
        }
        let mut seen = world.visible_early(flight);
        seen.retain(|_| self.choices.chance(faults.early));
        seen
    }

    /// Judges what is there now, when nothing is under way.
    fn judge(&mut self) {
        if self.findings.is_empty() {
            let world = lock(&self.world);
            self.findings = quiet_findings(&world, &self.recorder.history, &self.store);
            let unexplained = self.judge.explain(&world, &self.recorder.history);
            self.findings.extend(unexplained);
            let unpurged = world.unpurged().into_iter();
            self.findings
                .extend(unpurged.map(|at| format!("{} was purged, and has rows", at.profile)));
        }
    }

    /// Lets everything land, or not, that nobody waits for any more.
    fn land(&mut self) {
        while self.findings.is_empty() && self.step_late() {}
    }
}

fn describe(statement: &Statement) -> String {
    let text = format!("{statement:?}");
    text.chars().take(220).collect()
}
