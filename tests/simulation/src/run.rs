//! One seed, one schedule, one verdict.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kith_domain::body::{TraitsBody, WriteSet, validate};
use kith_domain::event::TraitEvent;
use kith_domain::id::{AccountSid, DefinitionId, ProfileId, RequestId, StoreId};
use kith_domain::identifier::{ClaimSecret, Identifier};
use kith_domain::schema::contact_group;
use kith_domain::settings::IdentitySettings;
use kith_domain::store::{Places, StoreRecord, StoreStatus};
use kith_domain::time::Micros;
use kith_profiles::Profiles;
use kith_profiles::apply::{apply, fold};
use kith_profiles::bulk::Bulk;
use kith_profiles::change::{Removal, Target};
use kith_profiles::create::Create as CreateRequest;
use kith_profiles::environment::{Environment, Omission};
use kith_profiles::read::Located;
use rand::rngs::SmallRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use uuid::Uuid;

use crate::executor::Executor;
use crate::history::{Create, History, REPEATED, quiet_findings, row_findings, state_findings};
use crate::ports::{Shared, SimParts, lock, parts};
use crate::world::{Broken, Statement, World};

/// One request. Identifiers are numbers; a profile is whoever has an identifier when the request is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Create with these identifiers.
    Create(Vec<usize>),
    /// Patch whoever has the first with these.
    Patch(usize, Vec<usize>),
    /// Add the second to whoever has the first.
    Add(usize, usize),
    /// On whoever has the first, replace it by the second.
    Change(usize, usize),
    /// Remove an identifier of this one's type from whoever has it.
    Remove(usize),
    /// Delete whoever has it.
    Delete(usize),
    /// A batch of creates.
    Bulk(Vec<Vec<usize>>),
}

/// What a run is made of. Everything else comes from the seed.
#[derive(Debug, Clone)]
pub struct Case {
    /// The settings and definitions.
    pub settings: IdentitySettings,
    /// What each client does, one after another.
    pub clients: Vec<Vec<Op>>,
    /// What is done before the clients start, one after another.
    pub prelude: Vec<Op>,
    /// A step of the use cases that is left out, to see whether it is missed.
    pub omission: Option<Omission>,
    /// A condition of the engine that is left out, likewise.
    pub broken: Option<Broken>,
    /// Processes that the clients are spread over: those of one share flights.
    pub processes: usize,
    /// Whether one request for everybody is sent at the end.
    pub probes: bool,
    /// In a thousand: how often a write stays without an answer.
    pub unknown_permille: u32,
    /// In a thousand: how often a client is given up at a step.
    pub crash_permille: u32,
}

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

/// The store of every run.
#[must_use]
pub fn store(settings: IdentitySettings) -> StoreRecord {
    let mut number = 0;
    let group = contact_group(Micros::EPOCH, || {
        number += 1;
        DefinitionId::from_uuid(Uuid::from_u128((1 << 100) | number))
    });
    #[expect(clippy::expect_used, reason = "the text is an account's")]
    let account: AccountSid = "AC00000000000000000000000000000000"
        .parse()
        .expect("an account");
    StoreRecord {
        id: StoreId::from_uuid(Uuid::nil()),
        account,
        display_name: "simulated".into(),
        description: None,
        status: StoreStatus::Active,
        version: 1,
        settings,
        settings_version: 1,
        schema_version: 1,
        claim_secret: ClaimSecret::from_bytes([7; 32]),
        groups: vec![group],
        places: Places::default(),
    }
}

/// The trait and the value of each identifier number.
const IDENTIFIERS: [(&str, &str); 6] = [
    ("email", "a@example.com"),
    ("phone", "+13175550100"),
    ("whatsapp", "w"),
    ("chatId", "c"),
    ("email", "b@example.com"),
    ("phone", "+13175550101"),
];

fn body(identifiers: &[usize], value: &str) -> Vec<u8> {
    let mut members: Vec<String> = identifiers
        .iter()
        .map(|one| format!("\"{}\":\"{}\"", IDENTIFIERS[*one].0, IDENTIFIERS[*one].1))
        .collect();
    members.push(format!("\"firstName\":\"{value}\""));
    format!("{{\"traits\":{{\"Contact\":{{{}}}}}}}", members.join(",")).into_bytes()
}

struct Setting {
    world: Shared,
    history: Arc<Mutex<History>>,
    store: Arc<StoreRecord>,
}

type Process = Profiles<SimParts>;

impl Setting {
    fn history(&self) -> std::sync::MutexGuard<'_, History> {
        self.history
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// What a body with these identifiers says.
    fn writes(&self, identifiers: &[usize], value: &str) -> WriteSet {
        #[expect(clippy::expect_used, reason = "the bodies of a case are valid")]
        TraitsBody::parse(&body(identifiers, value))
            .ok()
            .and_then(|body| validate(&body, &self.store.groups, &self.store.settings).ok())
            .expect("a valid body")
    }

    fn identifier(&self, number: usize) -> Identifier {
        self.writes(&[number], "").identifiers.remove(0)
    }

    /// One request, from its sending to its answer.
    async fn send(&self, process: &Process, number: u128, op: &Op) {
        self.history().begin(number, op.clone());
        let is_answered = match op {
            Op::Create(identifiers) => self.create(process, number, identifiers).await,
            Op::Bulk(items) => self.bulk(process, number, items).await,
            Op::Patch(of, _)
            | Op::Add(of, _)
            | Op::Change(of, _)
            | Op::Remove(of)
            | Op::Delete(of) => {
                let owners = process.lookup(&self.store, self.identifier(*of)).await;
                match owners {
                    Ok(owners) => match owners.first() {
                        Some(profile) => self.write(process, number, op, *profile).await,
                        None => true,
                    },
                    Err(_) => false,
                }
            }
        };
        if is_answered {
            self.history().end(number);
        }
    }

    async fn create(&self, process: &Process, number: u128, identifiers: &[usize]) -> bool {
        let writes = self.writes(identifiers, &format!("value-{number}"));
        let request = request(number);
        let index = self.sent(number, &writes, None);
        let deadline = process.environment().deadline_in(PATIENCE);
        let store = Arc::clone(&self.store);
        let create = CreateRequest {
            store,
            writes,
            request,
            deadline,
        };
        match process.create(create).await {
            Ok(accepted) => {
                self.history()
                    .answer(&lock(&self.world), &self.store, index, accepted.profile);
                true
            }
            Err(_) => false,
        }
    }

    /// A batch. To the history each item is a create of its own, answered with whoever has it once the batch is.
    async fn bulk(&self, process: &Process, number: u128, items: &[Vec<usize>]) -> bool {
        let value = format!("value-{number}");
        let items: Vec<WriteSet> = items
            .iter()
            .map(|identifiers| self.writes(identifiers, &value))
            .collect();
        let sent: Vec<usize> = items
            .iter()
            .zip(1..)
            .map(|(item, place)| self.sent(number + place * ITEM, item, None))
            .collect();
        let bulk = Bulk {
            store: Arc::clone(&self.store),
            items: items.clone(),
            request: request(number),
            deadline: process.environment().deadline_in(PATIENCE),
        };
        if process.bulk(bulk).await.is_err() {
            return false;
        }
        let world = lock(&self.world);
        let mut history = self.history();
        for (index, item) in sent.into_iter().zip(&items) {
            if let Some(owner) = history.owner(&world, &self.store, &item.identifiers) {
                history.answer(&world, &self.store, index, owner);
            }
        }
        true
    }

    fn sent(&self, number: u128, writes: &WriteSet, profile: Option<ProfileId>) -> usize {
        let create = Create {
            request: request(number),
            identifiers: writes.identifiers.clone(),
            value: format!("value-{}", number % ITEM),
            sent: 0,
            answer: None,
            after: std::collections::BTreeSet::new(),
        };
        self.history()
            .send(&lock(&self.world), &self.store, create, profile)
    }

    /// A request that names a profile; whether it was answered.
    async fn write(&self, process: &Process, number: u128, op: &Op, profile: ProfileId) -> bool {
        let target = Target {
            store: Arc::clone(&self.store),
            profile,
            request: request(number),
            deadline: process.environment().deadline_in(PATIENCE),
        };
        match op {
            Op::Create(_) | Op::Bulk(_) => true,
            Op::Patch(_, identifiers) => {
                let writes = self.writes(identifiers, &format!("value-{number}"));
                let index = self.sent(number, &writes, Some(profile));
                let answer = process.patch(&target, &writes).await;
                if let Ok(Located::Here(())) = &answer {
                    self.history()
                        .answer(&lock(&self.world), &self.store, index, profile);
                }
                answer.is_ok()
            }
            Op::Add(_, other) => {
                let answer = process
                    .add_identifier(&target, self.identifier(*other))
                    .await;
                answer.is_ok()
            }
            Op::Change(of, other) => {
                let (old, new) = (self.identifier(*of), self.identifier(*other));
                self.history().free(old.clone());
                self.history().free(new.clone());
                process.change_identifier(&target, &old, new).await.is_ok()
            }
            Op::Remove(of) => {
                let id_type = self.identifier(*of).id_type;
                for number in 0..IDENTIFIERS.len() {
                    let one = self.identifier(number);
                    if one.id_type == id_type {
                        self.history().free(one);
                    }
                }
                let removed = process.remove_identifiers(&target, &id_type, Removal::One);
                removed.await.is_ok()
            }
            Op::Delete(_) => {
                let index = self.history().delete(profile);
                let answer = process.delete(&target).await;
                if let Ok(located) = &answer {
                    let is_done = matches!(located, Located::Here(()));
                    self.history().deleted(index, is_done);
                }
                answer.is_ok()
            }
        }
    }
}

/// What is added to a batch's number for each of its items.
const ITEM: u128 = 1 << 40;
/// Long enough for every schedule.
const PATIENCE: Duration = Duration::from_secs(3_600);

fn request(number: u128) -> RequestId {
    RequestId::from_uuid(Uuid::from_u128(number))
}

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
    let setting = Arc::new(Setting {
        world: Arc::new(Mutex::new(World::default())),
        history: Arc::default(),
        store: Arc::new(store(case.settings.clone())),
    });
    let mut run = Run {
        setting: Arc::clone(&setting),
        executor: Executor::default(),
        trace: is_traced.then(Vec::new),
        schedule: DefaultHasher::new(),
        overlapped: false,
        findings: Vec::new(),
    };
    {
        let mut world = lock(&setting.world);
        world.broken = case.broken;
        world
            .stores
            .insert(setting.store.id, (*setting.store).clone());
        for client in 0..case.processes {
            let skew = [0, 0, 600_000_000, -600_000_000][rng.random_range(0..4usize)];
            world.skews.insert(client, skew);
        }
    }
    let processes: Vec<Arc<Profiles<SimParts>>> = (0..case.processes)
        .map(|process| Arc::new(Profiles::new(parts(&setting.world, process, case.omission))))
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
    let mut again = setting.history().open();
    again.shuffle(&mut rng);
    let fresh = Arc::new(Profiles::new(parts(&setting.world, 0, case.omission)));
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
        let rows = row_findings(&lock(&setting.world), &setting.store);
        run.findings.extend(rows);
    }
    let before = lock(&setting.world).cells().clone();
    run.apply_all(&mut rng);
    if before != *lock(&setting.world).cells() {
        run.findings
            .push("a replay of the log changed cells".into());
    }

    Verdict {
        seed,
        findings: run.findings,
        overlapped: run.overlapped,
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
    setting: Arc<Setting>,
    executor: Executor,
    /// A line a step, if anybody wants to read it.
    trace: Option<Vec<String>>,
    schedule: DefaultHasher,
    overlapped: bool,
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
        let (setting, process) = (Arc::clone(&self.setting), Arc::clone(process));
        self.executor.spawn(async move {
            for (op, number) in ops.iter().zip(first..) {
                setting.send(&process, number, op).await;
            }
        })
    }

    /// Runs until these tasks have ended, one way or another.
    fn finish(&mut self, tasks: &[usize], rng: &mut SmallRng, faults: &Faults) {
        // Half of all runs prefer some statements over others for a while: orders that even chance seldom gives.
        let mut favour: Option<BTreeMap<usize, u32>> = rng.random_bool(0.5).then(BTreeMap::new);
        for _ in 0..STEPS_MAX {
            self.executor.settle();
            if tasks.iter().all(|task| !self.executor.is_running(*task)) {
                return;
            }
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
            let open = lock(&self.setting.world).in_flight();
            let Some(flight) = pick(&lock(&self.setting.world), &open, rng, &mut favour) else {
                self.findings
                    .push("everybody waits, and nothing is in flight".into());
                return;
            };
            self.step(flight, rng, faults);
            let findings = state_findings(
                &lock(&self.setting.world),
                &self.setting.history(),
                &self.setting.store,
            );
            if !findings.is_empty() {
                self.findings.extend(findings);
                return;
            }
        }
        self.findings
            .push(format!("no end within {STEPS_MAX} steps"));
    }

    fn step(&mut self, flight: u64, rng: &mut SmallRng, faults: &Faults) {
        let mut world = lock(&self.setting.world);
        let Some(entry) = world.flight(flight) else {
            return;
        };
        let is_write = matches!(
            entry.statement,
            Statement::Attempt(_)
                | Statement::WriteCells(_)
                | Statement::List(_)
                | Statement::Unlist(_)
                | Statement::Publish(_)
        );
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
        let world = lock(&self.setting.world);
        let findings = quiet_findings(&world, &self.setting.history(), &self.setting.store);
        self.findings.extend(findings);
    }

    /// Lets everything land, or not, that nobody waits for any more.
    fn land(&mut self, rng: &mut SmallRng) {
        loop {
            let open = lock(&self.setting.world).in_flight();
            let Some((flight, _)) = open.choose(rng) else {
                return;
            };
            self.step(*flight, rng, &Faults::NONE);
        }
    }

    /// Applies every record of the log, in any order, some twice, as any number of workers would.
    fn apply_all(&mut self, rng: &mut SmallRng) {
        let mut records: Vec<_> = lock(&self.setting.world).log.clone();
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
            let worker = parts(&self.setting.world, 99, None);
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
