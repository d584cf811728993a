//! Seeded schedules over the shipped use cases: every invariant, in every one of them.

use std::collections::BTreeSet;

use kith_domain::settings::IdentitySettings;
use kith_simulation::run::{Case, run};
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

fn case(prelude: &[&[usize]], clients: &[&[&[usize]]]) -> Case {
    let own = |list: &[&[usize]]| list.iter().map(|one| one.to_vec()).collect::<Vec<_>>();
    Case {
        settings: IdentitySettings::default(),
        prelude: own(prelude),
        clients: clients.iter().map(|creates| own(creates)).collect(),
        processes: clients.len(),
        unknown_permille: 0,
        crash_permille: 0,
    }
}

fn explore(name: &str, seeds: u64, make: impl Fn(u64) -> Case) {
    let mut distinct = BTreeSet::new();
    for seed in 0..seeds {
        let verdict = run(&make(seed), seed);
        assert!(verdict.findings.is_empty(), "{name}: {verdict}");
        if verdict.overlapped {
            distinct.insert(verdict.fingerprint);
        }
    }
    assert!(
        distinct.len() as u64 > seeds / 2,
        "{name}: too few distinct schedules"
    );
}

#[test]
fn creators_of_one_new_person_meet() {
    explore("creators", 2_000, |_| {
        case(&[], &[&[&[0, 1]], &[&[1, 0]], &[&[1, 2]]])
    });
}

#[test]
fn creators_in_one_process_share_flights() {
    explore("flights", 1_500, |_| Case {
        processes: 2,
        ..case(&[], &[&[&[0, 1]], &[&[0, 1]], &[&[0, 1], &[1, 2]], &[&[0]]])
    });
}

#[test]
fn merges_cross() {
    explore("merges", 2_000, |_| {
        case(
            &[&[0], &[1], &[2], &[3]],
            &[&[&[0, 1]], &[&[1, 2]], &[&[2, 3]], &[&[3, 0]]],
        )
    });
}

#[test]
fn answers_are_lost_and_clients_given_up() {
    explore("faults", 3_000, |_| Case {
        unknown_permille: 60,
        crash_permille: 8,
        ..case(
            &[&[0], &[1], &[2]],
            &[&[&[0, 1], &[4]], &[&[1, 2], &[0]], &[&[2, 0], &[4, 5]]],
        )
    });
}

#[test]
fn anybody_sends_anything() {
    explore("random", 6_000, |seed| {
        let mut rng = SmallRng::seed_from_u64(seed ^ 0x9e37_79b9);
        let mut draw = |count: usize| -> Vec<Vec<usize>> {
            (0..count)
                .map(|_| {
                    let mut all: Vec<usize> = (0..6).collect();
                    all.shuffle(&mut rng);
                    // A body has one value a trait.
                    let mut seen = BTreeSet::new();
                    all.retain(|one| seen.insert(one % 4));
                    all.truncate(rng.random_range(1..=3));
                    all
                })
                .collect()
        };
        let prelude = draw(2);
        let clients: Vec<_> = (0..4).map(|_| draw(2)).collect();
        Case {
            settings: IdentitySettings::default(),
            prelude,
            processes: 2 + usize::try_from(seed % 3).unwrap_or(0),
            clients,
            unknown_permille: 40,
            crash_permille: 4,
        }
    });
}
