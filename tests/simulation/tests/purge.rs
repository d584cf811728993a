//! Dead sets are purged whole, whatever crashes, lands late, or is applied twice: the shipped use case under every crash
//! point and under seeded schedules.

#![expect(clippy::unwrap_used, reason = "a harness that is wrong fails its test")]

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kith_domain::body::{TraitsBody, WriteSet, validate};
use kith_domain::event::{PurgeEvent, Scope, TraitEvent};
use kith_domain::id::{ClaimId, ProfileId, ProfileKey, RequestId};
use kith_domain::identifier::{IdType, IdentifierValue};
use kith_domain::settings::IdentitySettings;
use kith_domain::store::StoreRecord;
use kith_domain::time::Micros;
use kith_profiles::Profiles;
use kith_profiles::apply::{apply, fold};
use kith_profiles::change::{Removal, Target};
use kith_profiles::create::Create;
use kith_profiles::environment::Environment;
use kith_profiles::ports::{CellBatch, CellWrite, Cells, Control, Durability, TraitLog};
use kith_profiles::purge::{EndedStores, Purge, Purged, look, purge_record};
use kith_simulation::executor::Executor;
use kith_simulation::ports::{Shared, SimParts, lock, parts};
use kith_simulation::run::store;
use kith_simulation::world::{Broken, World};
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(3_600);
/// The greatest number of statements that a purge of a test takes.
const STEPS_MAX: usize = 200;

struct Sim {
    world: Shared,
    store: Arc<StoreRecord>,
    executor: Executor,
    rng: SmallRng,
    unknown_permille: u32,
}

fn writes(store: &StoreRecord, members: &[(&str, &str)], value: &str) -> WriteSet {
    let mut text: Vec<String> = members
        .iter()
        .map(|(name, value)| format!("\"{name}\":\"{value}\""))
        .collect();
    text.push(format!("\"firstName\":\"{value}\""));
    let body = format!("{{\"traits\":{{\"Contact\":{{{}}}}}}}", text.join(","));
    let body = TraitsBody::parse(body.as_bytes()).ok().unwrap();
    validate(&body, &store.groups, &store.settings)
        .ok()
        .unwrap()
}

const A: (&str, &str) = ("email", "a@example.com");
const B: (&str, &str) = ("phone", "+13175550100");
const C: (&str, &str) = ("whatsapp", "w");

fn request(number: u128) -> RequestId {
    RequestId::from_uuid(Uuid::from_u128(number))
}

async fn create(
    process: &Profiles<SimParts>,
    store: &Arc<StoreRecord>,
    members: &[(&str, &str)],
    number: u128,
) -> Option<ProfileId> {
    let create = Create {
        store: Arc::clone(store),
        writes: writes(store, members, &format!("value-{number}")),
        request: request(number),
        deadline: process.environment().deadline_in(PATIENCE),
    };
    Some(process.create(create).await.ok()?.profile)
}

impl Sim {
    fn new(seed: u64) -> Self {
        let store = Arc::new(store(IdentitySettings::default()));
        let world = Arc::new(Mutex::new(World::default()));
        lock(&world).stores.insert(store.id, (*store).clone());
        Self {
            world,
            store,
            executor: Executor::default(),
            rng: SmallRng::seed_from_u64(seed),
            unknown_permille: 0,
        }
    }

    fn process(&self, client: usize) -> Profiles<SimParts> {
        Profiles::new(parts(&self.world, client, None))
    }

    /// Runs until these tasks have ended, or so many statements have run.
    fn run(&mut self, tasks: &[usize], statements: usize) -> usize {
        for done in 0..statements {
            self.executor.settle();
            if tasks.iter().all(|task| !self.executor.is_running(*task)) {
                return done;
            }
            let open = lock(&self.world).in_flight();
            let (flight, is_orphan) = *open.choose(&mut self.rng).unwrap();
            let mut world = lock(&self.world);
            let is_write = world.flight(flight).unwrap().statement.is_write();
            let is_unknown =
                !is_orphan && is_write && self.rng.random_range(0..1_000) < self.unknown_permille;
            if is_unknown {
                let is_applied = self.rng.random_bool(0.5);
                world.execute_unknown(flight, is_applied);
            } else if is_orphan && self.rng.random_bool(0.3) {
                world.lose(flight);
            } else {
                world.execute(flight);
            }
        }
        self.executor.settle();
        statements
    }

    /// Runs one thing to its end.
    fn finish<T: Send + 'static>(&mut self, work: impl Future<Output = T> + Send + 'static) -> T {
        let result = Arc::new(Mutex::new(None));
        let place = Arc::clone(&result);
        let task = self.executor.spawn(async move {
            let value = work.await;
            *place.lock().unwrap() = Some(value);
        });
        self.run(&[task], 100_000);
        result.lock().unwrap().take().expect("it ends")
    }

    /// Lets everything land that nobody waits for.
    fn land(&mut self) {
        loop {
            let open = lock(&self.world).in_flight();
            let Some((flight, _)) = open.choose(&mut self.rng) else {
                return;
            };
            lock(&self.world).execute(*flight);
        }
    }

    fn create(&mut self, members: &'static [(&str, &str)], number: u128) -> ProfileId {
        let (process, store) = (self.process(0), Arc::clone(&self.store));
        self.finish(async move { create(&process, &store, members, number).await })
            .unwrap()
    }

    /// Three people, made one by one request each; the root, and everybody.
    fn merged(&mut self) -> (ProfileId, Vec<ProfileId>) {
        let people = vec![
            self.create(&[A], 1),
            self.create(&[B], 2),
            self.create(&[C], 3),
        ];
        // The younger two first: a chain, and not a star.
        assert_eq!(self.create(&[B, C], 4), people[1]);
        assert_eq!(self.create(&[A, B], 5), people[0]);
        (people[0], people)
    }

    fn target(&self, profile: ProfileId, process: &Profiles<SimParts>) -> Target {
        Target {
            store: Arc::clone(&self.store),
            profile,
            request: request(50),
            deadline: process.environment().deadline_in(PATIENCE),
        }
    }

    fn delete(&mut self, root: ProfileId) {
        let process = self.process(0);
        let target = self.target(root, &process);
        assert!(self.finish(async move { process.delete(&target).await.is_ok() }));
    }

    fn event(&self, root: ProfileId) -> PurgeEvent {
        self.event_of(Scope::Set(root))
    }

    fn event_of(&self, scope: Scope) -> PurgeEvent {
        PurgeEvent {
            store: self.store.id,
            scope,
            request: request(50),
        }
    }

    /// A worker's try of a purge.
    fn purge(
        &self,
        client: usize,
        event: PurgeEvent,
    ) -> impl Future<Output = Option<Purged>> + use<> {
        let worker = parts(&self.world, client, None);
        async move {
            let purge = Purge {
                database: worker.database(),
                log: worker.log(),
                clock: worker.clock(),
                ids: worker.ids(),
            };
            purge.run(&event).await.ok()
        }
    }

    /// A worker's try of one trait event.
    fn apply(
        &self,
        client: usize,
        event: TraitEvent,
        looks: bool,
    ) -> impl Future<Output = bool> + use<> {
        let worker = parts(&self.world, client, None);
        async move {
            let (store, profile, stamp) = (event.store, event.profile, event.stamp);
            if apply(worker.database(), &fold([event])).await.is_err() {
                return false;
            }
            let at = ProfileKey { store, profile };
            !looks
                || look(
                    worker.database(),
                    worker.clock(),
                    &EndedStores::default(),
                    at,
                    stamp,
                )
                .await
                .is_ok()
        }
    }

    /// What of these people is left: rows, claims that name them, and their rows of the listing.
    fn left(&self, people: &[ProfileId]) -> Vec<String> {
        let world = lock(&self.world);
        let dead: BTreeSet<_> = people.iter().copied().collect();
        let rows = world
            .cells()
            .iter()
            .filter(|(at, _)| dead.contains(&at.profile))
            .map(|(at, rows)| format!("{}: {rows:?}", at.profile));
        let claims = world
            .claims()
            .values()
            .filter(|claim| claim.profile.is_some_and(|owner| dead.contains(&owner)))
            .map(|claim| format!("{claim:?}"));
        let listed = people
            .iter()
            .map(|profile| ProfileKey {
                store: self.store.id,
                profile: *profile,
            })
            .filter(|at| world.is_listed(*at))
            .map(|at| format!("{}: listed", at.profile));
        rows.chain(claims).chain(listed).collect()
    }
}

#[test]
fn a_dead_set_leaves_no_rows_and_no_claims() {
    let mut sim = Sim::new(1);
    let (root, people) = sim.merged();
    let event = sim.event(root);
    let before = sim.left(&people);
    let alive = sim.purge(9, event);
    assert_eq!(sim.finish(alive), Some(Purged::Alive));
    assert_eq!(sim.left(&people), before, "alive, and untouched");
    sim.delete(root);
    assert_eq!(sim.left(&people), before, "a kill erases nothing");
    for _ in 0..2 {
        let dead = sim.purge(9, event);
        assert_eq!(sim.finish(dead), Some(Purged::Dead { members: 3 }));
        assert!(sim.left(&people).is_empty(), "{:?}", sim.left(&people));
    }
    // Its identifiers are anybody's.
    let anew = sim.create(&[A, B], 6);
    assert!(!people.contains(&anew));
    let again = sim.purge(9, event);
    assert_eq!(sim.finish(again), Some(Purged::Dead { members: 3 }));
    let world = lock(&sim.world);
    let owned = world.claims().values();
    assert_eq!(owned.filter(|claim| claim.profile == Some(anew)).count(), 2);
}

#[test]
fn a_purge_that_crashes_anywhere_is_finished_by_its_repetition() {
    let mut longest = 0;
    for seed in 0..12 {
        for steps in 0..STEPS_MAX {
            let mut sim = Sim::new(seed);
            let (root, people) = sim.merged();
            sim.delete(root);
            let event = sim.event(root);
            let doomed = sim.purge(8, event);
            let task = sim.executor.spawn(async move {
                doomed.await;
            });
            let done = sim.run(&[task], steps);
            let is_whole = !sim.executor.is_running(task);
            sim.executor.crash(task);
            // What it had sent may land before, while or after somebody finishes its work.
            if seed % 2 == 0 {
                sim.land();
            }
            let again = sim.purge(9, event);
            assert_eq!(
                sim.finish(again),
                Some(Purged::Dead { members: 3 }),
                "seed {seed}, {steps} steps: everybody is found again"
            );
            sim.land();
            let left = sim.left(&people);
            assert!(left.is_empty(), "seed {seed}, {steps} steps: {left:?}");
            if is_whole {
                longest = longest.max(done);
                break;
            }
        }
    }
    assert!((10..STEPS_MAX).contains(&longest), "{longest} statements");
}

#[test]
fn a_purge_that_says_that_it_is_done_is_done_whatever_was_lost() {
    let mut tries = 0;
    for seed in 0..500 {
        let mut sim = Sim::new(seed);
        let (root, people) = sim.merged();
        sim.delete(root);
        let event = sim.event(root);
        sim.unknown_permille = 300;
        loop {
            tries += 1;
            let work = sim.purge(9, event);
            if sim.finish(work).is_some() {
                break;
            }
        }
        // What has no answer may never arrive.
        let open = lock(&sim.world).in_flight();
        for (flight, _) in open {
            lock(&sim.world).lose(flight);
        }
        let left = sim.left(&people);
        assert!(left.is_empty(), "seed {seed}: {left:?}");
    }
    assert!(tries > 1_000, "{tries} tries");
}

#[test]
fn whatever_runs_beside_it_nothing_is_left_and_nothing_is_taken_from_others() {
    let mut newcomers = 0;
    for seed in 0..2_000 {
        let mut sim = Sim::new(seed);
        let (root, people) = sim.merged();
        sim.unknown_permille = 60;
        let event = sim.event(root);
        let log = lock(&sim.world).log.clone();
        let mut tasks = Vec::new();
        // The deletion, with the publishing of its event; workers that have the event early, twice; trait events that are
        // late; and somebody who becomes a new person with identifiers of the dead one.
        let process = sim.process(1);
        let target = sim.target(root, &process);
        tasks.push(sim.executor.spawn(async move {
            if process.delete(&target).await.is_ok() {
                let record =
                    purge_record(target.store.id, Scope::Set(target.profile), target.request);
                // The event is also on its way by other means.
                process.environment().log().publish(record).await.ok();
            }
        }));
        for client in [8, 9] {
            let work = sim.purge(client, event);
            tasks.push(sim.executor.spawn(async move {
                work.await;
            }));
        }
        for late in log.iter().take(3).cloned() {
            let work = sim.apply(7, late, true);
            tasks.push(sim.executor.spawn(async move {
                work.await;
            }));
        }
        let anew = Arc::new(Mutex::new(None));
        let (place, store) = (Arc::clone(&anew), Arc::clone(&sim.store));
        let process = sim.process(2);
        tasks.push(sim.executor.spawn(async move {
            let answer = create(&process, &store, &[A, C], 60).await;
            *place.lock().unwrap() = answer;
        }));
        // One of them is given up somewhere.
        let steps = sim.rng.random_range(0..120);
        sim.run(&tasks, steps);
        let victim = *tasks.choose(&mut sim.rng).unwrap();
        sim.executor.crash(victim);
        sim.run(&tasks, 100_000);

        // In the end the deletion was answered, and every record of the log is applied by workers without trouble.
        sim.unknown_permille = 0;
        let process = sim.process(1);
        let target = sim.target(root, &process);
        assert!(sim.finish(async move { process.delete(&target).await.is_ok() }));
        sim.land();
        let late = lock(&sim.world).log.clone();
        let works: Vec<_> = late
            .into_iter()
            .map(|event| sim.apply(7, event, true))
            .collect();
        let purging = sim.purge(9, event);
        assert!(matches!(sim.finish(purging), Some(Purged::Dead { .. })));
        for work in works {
            assert!(sim.finish(work));
        }
        let left: Vec<_> = {
            let world = lock(&sim.world);
            let dead = |at: &&ProfileKey| people.contains(&at.profile);
            world.cells().keys().filter(dead).copied().collect()
        };
        assert!(left.is_empty(), "seed {seed}: rows of {left:?}");
        // Whoever was answered after the deletion and is somebody new has what was asked for.
        let anew = *anew.lock().unwrap();
        if let Some(owner) = anew.filter(|owner| !people.contains(owner)) {
            let world = lock(&sim.world);
            let owned = world.claims().values();
            let owned: Vec<_> = owned.filter(|claim| claim.profile == Some(owner)).collect();
            assert_eq!(owned.len(), 2, "seed {seed}: {owned:?}");
            let at = ProfileKey {
                store: sim.store.id,
                profile: owner,
            };
            // Rows are a superset: a claim that was lost to a release may have left one.
            let rows = &world.cells()[&at].idents;
            for claim in owned {
                assert!(
                    rows.iter().any(|row| row.claim == claim.id),
                    "seed {seed}: {claim:?}"
                );
            }
            newcomers += 1;
            assert!(world.cells()[&at].clock > Some(Micros::EPOCH));
        }
    }
    assert!(newcomers > 100, "{newcomers} new people");
}

/// What a late event leaves when the database has forgotten the purge.
fn left_by_a_late_event(looks: bool) -> usize {
    let mut sim = Sim::new(3);
    let (root, people) = sim.merged();
    let log = lock(&sim.world).log.clone();
    sim.delete(root);
    let event = sim.event(root);
    let work = sim.purge(9, event);
    assert!(sim.finish(work).is_some());
    lock(&sim.world).forget_purges();
    for late in log {
        let work = sim.apply(7, late, looks);
        assert!(sim.finish(work));
    }
    sim.left(&people).len()
}

#[test]
fn the_look_takes_back_what_the_database_lets_in() {
    assert_eq!(left_by_a_late_event(true), 0);
    assert!(left_by_a_late_event(false) > 0, "and nothing else would");
}

/// What a write that was under way, with a stamp later than all that the purge has seen, leaves in a dead set.
fn left_by_a_write_under_way(broken: Option<Broken>, looks: bool) -> usize {
    let mut sim = Sim::new(4);
    lock(&sim.world).broken = broken;
    let (root, people) = sim.merged();
    let log = lock(&sim.world).log.clone();
    sim.delete(root);
    let event = sim.event(root);
    let work = sim.purge(9, event);
    assert!(sim.finish(work).is_some());
    for mut late in log {
        late.stamp = late.stamp.plus(Duration::from_secs(60));
        let work = sim.apply(7, late, looks);
        assert!(sim.finish(work));
    }
    sim.left(&people).len()
}

#[test]
fn the_purge_covers_what_is_late_and_never_looks() {
    assert_eq!(left_by_a_write_under_way(None, false), 0);
    let last = Some(Broken::PurgeAtLastStamp);
    assert!(left_by_a_write_under_way(last, false) > 0);
    let looked = left_by_a_write_under_way(last, true);
    assert_eq!(looked, 0, "either of them alone is enough");
}

#[test]
fn the_record_of_a_purge_reaches_the_log_as_what_it_is() {
    let mut sim = Sim::new(5);
    let (root, _) = sim.merged();
    let event = sim.event(root);
    let process = sim.process(0);
    let published = sim.finish(async move {
        let record = purge_record(event.store, event.scope, event.request);
        process.environment().log().publish(record).await.is_ok()
    });
    assert!(published);
    let world = lock(&sim.world);
    assert_eq!(world.purges, [event]);
    assert_eq!(world.poison, 0);
}

/// Applies the purge events of the log, each twice, until none is new.
fn purge_everything(sim: &mut Sim) -> usize {
    let mut done = 0;
    loop {
        let events = lock(&sim.world).purges.clone();
        let Some(event) = events.get(done).copied() else {
            return done;
        };
        for _ in 0..2 {
            let work = sim.purge(9, event);
            assert!(sim.finish(work).is_some());
        }
        done += 1;
    }
}

#[test]
fn a_deleted_store_leaves_nothing_of_anybody() {
    const PEOPLE: u128 = 600;
    let mut sim = Sim::new(6);
    let (_, merged) = sim.merged();
    for number in 0..PEOPLE {
        let email: &'static str = format!("{number}@example.com").leak();
        let members: &'static [(&str, &str)] = vec![("email", email)].leak();
        sim.create(members, 100 + number);
    }
    let event = sim.event_of(Scope::Store(None));
    let alive = sim.purge(9, event);
    assert_eq!(sim.finish(alive), Some(Purged::Alive));
    let (process, store) = (sim.process(0), Arc::clone(&sim.store));
    sim.finish(async move {
        let control = process.environment().database();
        assert!(
            control
                .delete_store(&store.account, store.id)
                .await
                .unwrap()
        );
        let log = process.environment().log();
        let record = purge_record(store.id, Scope::Store(None), request(50));
        log.publish(record).await.unwrap();
    });
    // A worker dies at every step of the first part before somebody finishes it.
    for statements in 0..400 {
        let doomed = sim.purge(8, event);
        let task = sim.executor.spawn(async move {
            doomed.await;
        });
        sim.run(&[task], statements);
        sim.executor.crash(task);
        sim.land();
        if lock(&sim.world).purges.len() > 1 {
            break;
        }
    }
    assert!(purge_everything(&mut sim) >= 2, "more than one part");
    let world = lock(&sim.world);
    assert!(world.cells().is_empty(), "{} rows", world.cells().len());
    for at in world.nodes().keys() {
        assert!(!world.is_listed(*at));
    }
    drop(world);
    // Whatever is late finds no place.
    lock(&sim.world).forget_purges();
    let late = lock(&sim.world).log.clone();
    assert!(late.len() as u128 > PEOPLE);
    for event in late.into_iter().take(20) {
        let work = sim.apply(7, event, true);
        assert!(sim.finish(work));
    }
    let left = sim.left(&merged).into_iter();
    let rows: Vec<_> = left.filter(|one| one.contains("CellRows")).collect();
    assert!(rows.is_empty(), "{rows:?}");
}

#[test]
fn rows_without_a_claim_go_when_they_are_old_and_not_before() {
    let mut sim = Sim::new(7);
    let person = sim.create(&[A, B], 1);
    let at = ProfileKey {
        store: sim.store.id,
        profile: person,
    };
    // A client gives the address up and dies before it forgets the row.
    let row = {
        let world = lock(&sim.world);
        let rows = &world.cells()[&at].idents;
        rows.iter()
            .find(|row| row.id_type.as_str() == "email")
            .cloned()
            .unwrap()
    };
    let mut stale = row.clone();
    stale.claim = ClaimId::from_uuid(Uuid::from_u128(77));
    let process = sim.process(0);
    let write = CellBatch {
        at,
        time: row.added_at,
        writes: vec![CellWrite::Ident(stale.clone())],
    };
    sim.finish(async move {
        let database = process.environment().database();
        database.write(&[write], Durability::Durable).await.unwrap();
    });
    let event = sim.event_of(Scope::Leftovers(person));
    let young = sim.purge(9, event);
    assert_eq!(sim.finish(young), Some(Purged::Leftovers { rows: 0 }));
    lock(&sim.world).skews.insert(9, 2 * 24 * 3_600 * 1_000_000);
    for rows in [1, 0] {
        let old = sim.purge(9, event);
        assert_eq!(sim.finish(old), Some(Purged::Leftovers { rows }));
    }
    let rows = lock(&sim.world).cells()[&at].idents.clone();
    assert!(rows.contains(&row), "what counts stays");
    assert_eq!(rows.len(), 2);
}

#[test]
fn whoever_meets_old_rows_without_a_claim_asks_for_their_purge() {
    let mut sim = Sim::new(8);
    let person = sim.create(&[A, B], 1);
    let at = ProfileKey {
        store: sim.store.id,
        profile: person,
    };
    let mut stale = lock(&sim.world).cells()[&at].idents[0].clone();
    assert_eq!(stale.id_type.as_str(), "email");
    stale.claim = ClaimId::from_uuid(Uuid::from_u128(77));
    stale.value = IdentifierValue::new("gone@example.com");
    let process = sim.process(0);
    let write = CellBatch {
        at,
        time: stale.added_at,
        writes: vec![CellWrite::Ident(stale)],
    };
    sim.finish(async move {
        let database = process.environment().database();
        database.write(&[write], Durability::Durable).await.unwrap();
    });
    let remove = |sim: &mut Sim, client: usize| {
        let process = sim.process(client);
        let target = sim.target(person, &process);
        let email = IdType::new("email");
        sim.finish(async move {
            process
                .remove_identifiers(&target, &email, Removal::One)
                .await
                .is_ok()
        })
    };
    assert!(remove(&mut sim, 0));
    assert!(lock(&sim.world).purges.is_empty(), "too young");
    lock(&sim.world).skews.insert(1, 2 * 24 * 3_600 * 1_000_000);
    assert!(remove(&mut sim, 1));
    assert_eq!(
        lock(&sim.world).purges,
        [sim.event_of(Scope::Leftovers(person))]
    );
}
