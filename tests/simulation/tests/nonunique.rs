//! Values that several profiles may own: the shipped use cases under seeded schedules, with lost answers and crashes, against
//! merges and deletions; and what is left out on purpose is missed (`identity-protocol.md` 8 and 11).

#![expect(clippy::unwrap_used, reason = "a harness that is wrong fails its test")]

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use kith_domain::body::WriteSet;
use kith_domain::id::RequestId;
use kith_domain::identifier::{IdType, Identifier};
use kith_domain::settings::{IdentitySettings, LimitPolicy};
use kith_domain::store::StoreRecord;
use kith_profiles::Profiles;
use kith_profiles::change::Target;
use kith_profiles::create::Create;
use kith_profiles::environment::{Environment, Omission};
use kith_profiles::read::Located;
use kith_simulation::executor::Executor;
use kith_simulation::nonunique::{Request, Seen, agreed, findings, identifier, settings};
use kith_simulation::ports::{Shared, SimParts, lock, parts};
use kith_simulation::run::store;
use kith_simulation::world::World;
use rand::rngs::SmallRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(3_600);
const STEPS_MAX: usize = 20_000;
/// Schedules of one situation at most, where a step is left out.
const SEEDS_MAX: u64 = 20_000;

/// One request; identifiers by their short names.
#[derive(Debug, Clone)]
enum Op {
    Create(Vec<String>),
    /// Deletes whoever has this unique value when it is sent.
    Delete(String),
}

/// What a run is made of.
#[derive(Debug, Clone)]
struct Case {
    settings: IdentitySettings,
    prelude: Vec<Op>,
    /// What each client does, one after another, each on a process of its own.
    clients: Vec<Vec<Op>>,
    omission: Option<Omission>,
    unknown_permille: u32,
    crash_permille: u32,
    limits: bool,
}

fn create(names: &str) -> Op {
    Op::Create(names.split(' ').map(str::to_owned).collect())
}

fn case(prelude: &[&str], clients: &[&str]) -> Case {
    Case {
        settings: settings(),
        prelude: prelude.iter().map(|names| create(names)).collect(),
        clients: clients.iter().map(|names| vec![create(names)]).collect(),
        omission: None,
        unknown_permille: 0,
        crash_permille: 0,
        limits: false,
    }
}

fn faulty(case: Case) -> Case {
    Case {
        unknown_permille: 60,
        crash_permille: 8,
        ..case
    }
}

struct Setting {
    world: Shared,
    store: Arc<StoreRecord>,
    seen: Mutex<Seen>,
    open: Mutex<BTreeMap<u128, Op>>,
}

fn request(number: u128) -> RequestId {
    RequestId::from_uuid(Uuid::from_u128(number))
}

impl Setting {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }

    fn tick(&self) -> u64 {
        let mut seen = self.seen();
        seen.tick += 1;
        seen.tick
    }

    async fn send(&self, process: &Profiles<SimParts>, number: u128, op: &Op) {
        self.open.lock().unwrap().insert(number, op.clone());
        let is_answered = match op {
            Op::Create(names) => self.create(process, number, names).await,
            Op::Delete(name) => self.delete(process, number, name).await,
        };
        if is_answered {
            self.open.lock().unwrap().remove(&number);
        }
    }

    async fn create(&self, process: &Profiles<SimParts>, number: u128, names: &[String]) -> bool {
        let identifiers: Vec<Identifier> = names.iter().map(|name| identifier(name)).collect();
        let sent = self.tick();
        let agreed = agreed(&lock(&self.world), &self.store, &identifiers);
        let place = {
            let mut seen = self.seen();
            seen.requests.push(Request {
                id: request(number),
                identifiers: identifiers.clone(),
                sent,
                answer: None,
                agreed,
            });
            seen.requests.len() - 1
        };
        let create = Create {
            store: Arc::clone(&self.store),
            writes: WriteSet {
                writes: Vec::new(),
                identifiers,
            },
            request: request(number),
            deadline: process.environment().deadline_in(PATIENCE),
        };
        let answer = process.create(create).await;
        if let Ok(accepted) = &answer {
            self.seen().requests[place].answer = Some(accepted.profile);
        }
        answer.is_ok()
    }

    async fn delete(&self, process: &Profiles<SimParts>, number: u128, name: &str) -> bool {
        let owners = process.lookup(&self.store, identifier(name)).await;
        let Some(profile) = owners.unwrap().first().copied() else {
            return true;
        };
        let place = {
            let mut seen = self.seen();
            seen.deletes.push(None);
            seen.deletes.len() - 1
        };
        let target = Target {
            store: Arc::clone(&self.store),
            profile,
            request: request(number),
            deadline: process.environment().deadline_in(PATIENCE),
        };
        let answer = process.delete(&target).await;
        let tick = self.tick();
        if let Ok(located) = &answer {
            let mut seen = self.seen();
            seen.deletes[place] = Some(tick);
            if *located == Located::Here(()) && lock(&self.world).root_of(key(&target)).is_some() {
                panic!("deleted, and alive");
            }
        }
        answer.is_ok()
    }
}

fn key(target: &Target) -> kith_domain::id::ProfileKey {
    kith_domain::id::ProfileKey {
        store: target.store.id,
        profile: target.profile,
    }
}

/// A run: its findings, and its schedule.
struct Run {
    setting: Arc<Setting>,
    executor: Executor,
    /// A line a step, if anybody wants to read it.
    trace: Option<Vec<String>>,
    schedule: DefaultHasher,
}

impl Run {
    fn client(&mut self, process: &Arc<Profiles<SimParts>>, first: u128, ops: Vec<Op>) -> usize {
        let (setting, process) = (Arc::clone(&self.setting), Arc::clone(process));
        self.executor.spawn(async move {
            for (op, number) in ops.iter().zip(first..) {
                setting.send(&process, number, op).await;
            }
        })
    }

    /// Runs until these tasks have ended, one way or another.
    fn finish(&mut self, tasks: &[usize], rng: &mut SmallRng, unknown: u32, crash: u32) {
        let mut favour: Option<BTreeMap<usize, u32>> = rng.random_bool(0.5).then(BTreeMap::new);
        for _ in 0..STEPS_MAX {
            self.executor.settle();
            if tasks.iter().all(|task| !self.executor.is_running(*task)) {
                return;
            }
            if rng.random_range(0..1_000) < crash {
                let task = tasks.choose(rng).unwrap();
                task.hash(&mut self.schedule);
                if let Some(trace) = &mut self.trace {
                    trace.push(format!("task {task} is given up"));
                }
                self.executor.crash(*task);
                continue;
            }
            self.step(rng, &mut favour, unknown);
        }
        panic!("no end within {STEPS_MAX} steps");
    }

    fn step(
        &mut self,
        rng: &mut SmallRng,
        favour: &mut Option<BTreeMap<usize, u32>>,
        unknown: u32,
    ) {
        let mut world = lock(&self.setting.world);
        let Some((flight, is_orphan)) = pick(&world, rng, favour) else {
            return;
        };
        let entry = world.flight(flight).unwrap();
        let (client, statement) = (entry.client, entry.statement.clone());
        let is_lost = !is_orphan && statement.is_write() && rng.random_range(0..1_000) < unknown;
        let how = if is_orphan && rng.random_bool(0.2) {
            world.lose(flight);
            "lost"
        } else if is_lost && rng.random_bool(0.5) {
            world.execute_unknown(flight, true);
            "applied without an answer"
        } else if is_lost {
            world.execute_unknown(flight, false);
            "left without an answer"
        } else {
            world.execute(flight);
            "answered"
        };
        drop(world);
        let what = std::mem::discriminant(&statement);
        (client, what, how, flight).hash(&mut self.schedule);
        if let Some(trace) = &mut self.trace {
            let text: String = format!("{statement:?}").chars().take(200).collect();
            trace.push(format!("{client}: {how} {text}"));
        }
    }
}

fn pick(
    world: &World,
    rng: &mut SmallRng,
    favour: &mut Option<BTreeMap<usize, u32>>,
) -> Option<(u64, bool)> {
    let open = world.in_flight();
    let (late, live): (Vec<_>, Vec<_>) = open.iter().partition(|(_, is_orphan)| *is_orphan);
    if !late.is_empty() && (live.is_empty() || rng.random_range(0..12) == 0) {
        return late.choose(rng).copied();
    }
    let Some(priorities) = favour else {
        return live.choose(rng).copied();
    };
    if rng.random_range(0..16) == 0 {
        priorities.clear();
    }
    let of = |(flight, _): &(u64, bool)| world.flight(*flight).unwrap().client;
    live.into_iter().max_by_key(|one| {
        let priority = priorities.entry(of(one)).or_insert_with(|| rng.random());
        (*priority, one.0)
    })
}

/// What a run came to.
struct Verdict {
    findings: Vec<String>,
    trace: Vec<String>,
    /// Names the schedule: equal for equal ones.
    fingerprint: u64,
}

/// Runs a case under a seed. If anything was wrong the run is repeated, step for step, and its schedule written down.
fn run(case: &Case, seed: u64) -> Verdict {
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
        store: Arc::new(store(case.settings.clone())),
        seen: Mutex::default(),
        open: Mutex::default(),
    });
    lock(&setting.world)
        .stores
        .insert(setting.store.id, (*setting.store).clone());
    let mut run = Run {
        setting: Arc::clone(&setting),
        executor: Executor::default(),
        trace: is_traced.then(Vec::new),
        schedule: DefaultHasher::new(),
    };
    let processes: Vec<_> = (0..=case.clients.len())
        .map(|process| Arc::new(Profiles::new(parts(&setting.world, process, case.omission))))
        .collect();
    let fresh = &processes[case.clients.len()];
    let task = run.client(fresh, 1, case.prelude.clone());
    run.finish(&[task], &mut rng, 0, 0);
    let tasks: Vec<usize> = case
        .clients
        .iter()
        .zip(&processes)
        .zip(1u128..)
        .map(|((ops, process), client)| run.client(process, client * 1_000, ops.clone()))
        .collect();
    run.finish(&tasks, &mut rng, case.unknown_permille, case.crash_permille);
    // Whoever got no answer sends the request again, and nothing is in its way.
    let mut again: Vec<(u128, Op)> = setting.open.lock().unwrap().clone().into_iter().collect();
    again.shuffle(&mut rng);
    for (number, op) in again {
        let task = run.client(fresh, number + 1_000_000, vec![op]);
        run.finish(&[task], &mut rng, 0, 0);
    }
    while !lock(&setting.world).in_flight().is_empty() {
        run.step(&mut rng, &mut None, 0);
    }
    let judge = || {
        let world = lock(&setting.world);
        findings(&world, &setting.store, &setting.seen(), case.limits)
    };
    let mut found = judge();
    // With a unique value the same again ends at the same set, and changes nobody's rows.
    if found.is_empty() && !case.limits {
        found.extend(repeat(&mut run, fresh, &mut rng));
        found.extend(judge());
    }
    Verdict {
        findings: found,
        fingerprint: run.schedule.finish(),
        trace: run.trace.unwrap_or_default(),
    }
}

fn repeat(run: &mut Run, process: &Arc<Profiles<SimParts>>, rng: &mut SmallRng) -> Vec<String> {
    let setting = Arc::clone(&run.setting);
    let mut found = Vec::new();
    let asked = setting.seen().requests.clone();
    for (place, one) in asked.iter().enumerate() {
        let root_of = |profile| {
            lock(&setting.world).root_of(kith_domain::id::ProfileKey {
                store: setting.store.id,
                profile,
            })
        };
        let settings = &setting.store.settings;
        if one.answer.and_then(root_of).is_none() || !settings.has_unique_in_rules(&one.identifiers)
        {
            continue;
        }
        let before = lock(&setting.world).owners().clone();
        let names = one.identifiers.iter();
        let names = names.map(|id| id.value.expose().to_owned()).collect();
        let number = 9_000_000 + place as u128;
        let task = run.client(process, number, vec![Op::Create(names)]);
        run.finish(&[task], rng, 0, 0);
        let answer = setting.seen().requests.last().unwrap().answer;
        // Older ones may have come to agree with it meanwhile: then all of them are one now.
        let now = one.answer.and_then(root_of);
        if answer != now {
            found.push(format!("{} is {now:?}, and was told {answer:?}", one.id));
        }
        if before != *lock(&setting.world).owners() {
            found.push(format!("{} sent again changed owners", one.id));
        }
    }
    found
}

/// As many times as many seeds as in the test command: `make simulate` says.
fn factor() -> u64 {
    let factor = std::env::var("KITH_SIMULATE_FACTOR").ok();
    factor.map_or(1, |factor| factor.parse().unwrap())
}

fn explore(name: &str, seeds: u64, make: impl Fn(u64) -> Case) {
    let mut distinct = BTreeSet::new();
    for seed in 0..seeds * factor() {
        let verdict = run(&make(seed), seed);
        assert!(
            verdict.findings.is_empty(),
            "{name}, seed {seed}:\n{}\n{}",
            verdict.trace.join("\n"),
            verdict.findings.join("\n")
        );
        distinct.insert(verdict.fingerprint);
    }
    assert!(
        distinct.len() as u64 > seeds * factor() / 2,
        "{name}: {} distinct schedules",
        distinct.len()
    );
}

// -------------------------------------------------------------------------------------------------------------- situations

/// Two new people with the same household and devices, who are one.
fn two_creators() -> Case {
    case(&[], &["e0 h g", "e1 h g"])
}

/// A newcomer agrees with two who are one already, while both are merged into a third.
fn a_match_against_a_merge() -> Case {
    case(&["e1", "e2 h", "e3 g", "e2 e3"], &["e1 e2", "e0 h g"])
}

/// Two make one new person, by the e-mail address.
fn one_new_person() -> Case {
    case(&[], &["e0 h g", "e0 h"])
}

/// Two without a unique value.
fn two_without_a_name() -> Case {
    case(&[], &["h", "h"])
}

/// People of one household, a newcomer without a name, and a merge.
fn a_household() -> Case {
    case(&["e0 h", "e1 h"], &["h g", "e0 e1", "e2 h g", "h"])
}

/// Merges, matches and deletions of the same people.
fn merges_and_deletions() -> Case {
    let mut case = case(
        &["e0 h", "e1 g", "e2 h g"],
        &["e0 e1", "e3 h g", "h g", "h"],
    );
    case.clients
        .push(vec![Op::Delete("e0".into()), create("e0 h")]);
    case.clients
        .push(vec![Op::Delete("e2".into()), create("g")]);
    case
}

/// One household a person, where adders and a merge bring two.
fn limits(seed: u64) -> Case {
    let mut case = case(&["e0 h1", "e1 h2"], &["e0 e1", "e0 h3", "e1 h1 g"]);
    for config in &mut case.settings.identifier_configs {
        if config.id_type == IdType::new("household") {
            config.limit = 1;
            config.limit_policy =
                [LimitPolicy::Fifo, LimitPolicy::Lifo][usize::from(seed % 2 == 1)];
        }
    }
    case.limits = true;
    case
}

/// Anybody does anything.
fn everything(seed: u64) -> Case {
    let mut rng = SmallRng::seed_from_u64(seed ^ 0x9e37_79b9);
    let unique = ["e0", "e1", "e2", "f0", "f1"];
    let some = |rng: &mut SmallRng| {
        let mut names = Vec::new();
        for name in ["h", "g", "h2", "l"] {
            if rng.random_bool(if name == "l" { 0.15 } else { 0.45 }) {
                names.push(name.to_owned());
            }
        }
        let count = rng.random_range(usize::from(names.is_empty())..3);
        names.extend(unique.sample(rng, count).map(|name| (*name).to_owned()));
        Op::Create(names)
    };
    let has_deletions = seed.is_multiple_of(3);
    let op = |rng: &mut SmallRng| {
        if has_deletions && rng.random_range(0..5) == 0 {
            Op::Delete((*unique.choose(rng).unwrap()).to_owned())
        } else {
            some(rng)
        }
    };
    let prelude = (0..rng.random_range(0..4))
        .map(|_| some(&mut rng))
        .collect();
    let clients = (0..rng.random_range(2..5))
        .map(|_| (0..rng.random_range(1..3)).map(|_| op(&mut rng)).collect())
        .collect();
    let whole = Case {
        prelude,
        clients,
        ..case(&[], &[])
    };
    if seed.is_multiple_of(2) {
        whole
    } else {
        faulty(whole)
    }
}

/// Every second run with answers lost and clients given up.
fn now_and_then(seed: u64, case: Case) -> Case {
    if seed.is_multiple_of(2) {
        case
    } else {
        faulty(case)
    }
}

#[test]
fn creators_who_agree_meet() {
    explore("creators", 1_500, |seed| now_and_then(seed, two_creators()));
}

#[test]
fn a_merge_hides_no_match() {
    explore("match", 1_500, |seed| {
        now_and_then(seed, a_match_against_a_merge())
    });
}

#[test]
fn no_value_stays_with_nobody() {
    explore("one person", 1_500, |seed| {
        now_and_then(seed, one_new_person())
    });
}

#[test]
fn one_value_makes_one_profile() {
    explore("no name", 1_500, |seed| {
        now_and_then(seed, two_without_a_name())
    });
}

#[test]
fn a_household_merges_and_grows() {
    explore("household", 1_000, |seed| now_and_then(seed, a_household()));
}

#[test]
fn matches_meet_merges_and_deletions() {
    explore("deletions", 1_500, |seed| {
        now_and_then(seed, merges_and_deletions())
    });
}

#[test]
fn limits_hold_for_shared_values() {
    explore("limits", 1_500, |seed| now_and_then(seed / 2, limits(seed)));
}

#[test]
fn anybody_sends_anything() {
    explore("everything", 4_000, everything);
}

#[test]
fn a_step_that_is_left_out_is_missed() {
    let mutants: [(Omission, fn() -> Case); 5] = [
        (Omission::ShareBeforeCollect, two_creators),
        (Omission::CountUnsettled, two_creators),
        (Omission::CollectTwice, a_match_against_a_merge),
        (Omission::ClaimBeforeShare, one_new_person),
        (Omission::ShareAsRead, two_without_a_name),
    ];
    let mut survivors = Vec::new();
    for (omission, make) in mutants {
        let case = Case {
            omission: Some(omission),
            ..make()
        };
        let mut verdicts = (0..SEEDS_MAX).map(|seed| (seed, run(&case, seed).findings));
        match verdicts.find(|(_, findings)| !findings.is_empty()) {
            Some((seed, findings)) => println!("{omission:?}: seed {seed}: {}", findings[0]),
            None => survivors.push(omission),
        }
    }
    assert!(survivors.is_empty(), "nobody misses {survivors:?}");
}
