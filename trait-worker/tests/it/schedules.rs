//! Any schedule of outages, rebalances, slow writes and restarts: nothing is lost, and the books are right.
//!
//! That no offset moves over what is not durable is checked by the log's double, at every commit.

use std::collections::BTreeMap;
use std::time::Duration;

use kith_domain::event::TraitEvent;
use kith_domain::id::ProfileKey;
use kith_domain::traits::TraitCell;
use proptest::prelude::*;

use crate::database::{Mode, unavailable};
use crate::records::{event, poison, profile, record};
use crate::sim::Sim;
use crate::{letters, log::Log};

const PARTITIONS: i32 = 3;
const PEOPLE: u128 = 8;

#[derive(Debug, Clone)]
enum Step {
    Append(i32, Vec<(u128, i64)>),
    Poison(i32),
    Pass(u64),
    Database(bool),
    Letters(letters::Mode),
    Hold(u128),
    LetGo(u128),
    Slow(u128, u64),
    PollFails,
    CommitFails(usize),
    /// Assigns, revokes or loses, whatever can happen to the partition.
    Move(i32, bool),
    /// The worker is told to end, and another one begins.
    Restart,
}

fn any_step() -> impl Strategy<Value = Step> {
    let partition = 0..PARTITIONS;
    prop_oneof![
        6 => (partition.clone(), proptest::collection::vec((0..PEOPLE, 0i64..20), 1..12))
            .prop_map(|(p, records)| Step::Append(p, records)),
        2 => partition.clone().prop_map(Step::Poison),
        6 => (0u64..4_000).prop_map(Step::Pass),
        2 => any::<bool>().prop_map(Step::Database),
        1 => prop_oneof![
            Just(letters::Mode::Up),
            Just(letters::Mode::Down),
            Just(letters::Mode::Silent),
        ].prop_map(Step::Letters),
        2 => (0..PEOPLE).prop_map(Step::Hold),
        2 => (0..PEOPLE).prop_map(Step::LetGo),
        2 => (0..PEOPLE, 0u64..3_000).prop_map(|(who, millis)| Step::Slow(who, millis)),
        1 => Just(Step::PollFails),
        1 => (1usize..4).prop_map(Step::CommitFails),
        4 => (partition, any::<bool>()).prop_map(|(p, gently)| Step::Move(p, gently)),
        1 => Just(Step::Restart),
    ]
}

/// What the log has told, and what is to come of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owned {
    No,
    Yes,
    Leaving,
}

/// The membership, as whoever decides it sees it.
struct Group<'a> {
    log: &'a Log,
    owned: BTreeMap<i32, Owned>,
}

impl<'a> Group<'a> {
    fn new(log: &'a Log) -> Self {
        let owned = (0..PARTITIONS).map(|partition| (partition, Owned::No));
        Self {
            log,
            owned: owned.collect(),
        }
    }

    fn move_on(&mut self, partition: i32, gently: bool) {
        let now = self.owned.get_mut(&partition).unwrap();
        if *now == Owned::Leaving && self.log.is_elsewhere(partition) {
            *now = Owned::No;
        }
        *now = match (*now, gently) {
            (Owned::No, _) => {
                self.log.assign(&[partition]);
                Owned::Yes
            }
            (Owned::Yes, true) => {
                self.log.revoke(&[partition]);
                Owned::Leaving
            }
            (Owned::Yes | Owned::Leaving, false) => {
                self.log.lose(&[partition]);
                Owned::No
            }
            (Owned::Leaving, true) => Owned::Leaving,
        };
    }
}

async fn play(sim: &Sim, steps: &[Step]) {
    let mut group = Group::new(&sim.log);
    for step in steps {
        match step {
            Step::Append(partition, records) => {
                let events = records.iter().map(|(who, stamp)| event(*who, *stamp, "v"));
                sim.log
                    .append(*partition, events.map(|event| record(&event)));
            }
            Step::Poison(partition) => sim.log.append(*partition, [poison()]),
            Step::Pass(millis) => sim.pass(Duration::from_millis(*millis)).await,
            Step::Database(true) => sim.database.set_mode(Mode::Up),
            Step::Database(false) => sim.database.set_mode(Mode::Down),
            Step::Letters(mode) => sim.letters.set_mode(*mode),
            Step::Hold(who) => sim.database.hold(profile(*who)),
            Step::LetGo(who) => sim.database.let_go(profile(*who)),
            Step::Slow(who, millis) => {
                let latency = Duration::from_millis(*millis);
                sim.database.set_latency(profile(*who), latency);
            }
            Step::PollFails => sim.log.fail(unavailable("poll")),
            Step::CommitFails(times) => sim.log.fail_commits(*times),
            Step::Move(partition, gently) => {
                group.move_on(*partition, *gently);
                // What the double checks is what it believes, so let it be told.
                sim.pass(Duration::from_millis(1)).await;
            }
            Step::Restart => unreachable!("schedules are cut there"),
        }
    }
}

async fn recover(sim: &Sim) {
    sim.database.set_mode(Mode::Up);
    sim.letters.set_mode(letters::Mode::Up);
    for who in 0..PEOPLE {
        sim.database.let_go(profile(who));
    }
    let all: Vec<i32> = (0..PARTITIONS).collect();
    sim.log.assign(&all);
    sim.until_caught_up().await;
}

fn assert_nothing_is_lost(sim: &Sim) {
    for record in sim.log.records() {
        let (partition, offset) = (record.partition.0, record.offset.as_i64());
        match TraitEvent::decode(&record.payload) {
            Err(_) => assert!(sim.letters.has(partition, offset), "{partition} {offset}"),
            Ok(event) => {
                let at = ProfileKey {
                    store: event.store,
                    profile: event.profile,
                };
                for (definition, value) in event.traits {
                    let time = event.stamp;
                    let cell = TraitCell {
                        definition,
                        value,
                        time,
                    };
                    assert!(sim.database.covers(at, &cell), "{partition} {offset}");
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn nothing_is_lost_under_any_schedule(
        steps in proptest::collection::vec(any_step(), 1..60),
        batch in 1usize..20,
        records_in_flight in 1usize..40,
        writes in 1usize..6,
    ) {
        let mut sim = Sim::new();
        sim.settings.records_in_flight_max = records_in_flight;
        sim.settings.writes_max = writes;
        sim.settings.dead_letters_max = 2;
        sim.settings.invalid_max = None;
        sim.log.set_batch(batch);
        for part in steps.split(|step| matches!(step, Step::Restart)) {
            sim.run(async |sim| play(sim, part).await).summary();
        }
        sim.run(async |sim| recover(sim).await).summary();
        assert_nothing_is_lost(&sim);
        prop_assert_eq!(sim.log.lag_records(), 0);
        prop_assert!(sim.database.most_under_way() <= writes);
    }
}
