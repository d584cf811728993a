//! Every step that is left out on purpose is missed: a step whose absence nobody notices is not needed, or not tested.
//!
//! `docs/correctness.md` has the table of which seed it took. To print it: `cargo test -p kith-simulation --test mutants --
//! --nocapture`.

mod cases;

use cases::{
    a_merge_and_a_deletion, creators, crossing_merges, everything, limits, lost_answers,
    merges_and_deletions,
};
use kith_profiles::environment::Omission;
use kith_simulation::run::{Case, run};
use kith_simulation::world::Broken;

type Make = fn(u64) -> Case;

/// Schedules of one situation at most.
const SEEDS_MAX: u64 = 4_000;

/// The first seed that misses what `change` leaves out.
fn caught(make: Make, change: impl Fn(&mut Case)) -> Option<u64> {
    (0..SEEDS_MAX).find(|seed| {
        let mut case = make(*seed);
        change(&mut case);
        !run(&case, *seed).findings.is_empty()
    })
}

#[test]
fn a_step_that_is_left_out_is_missed() {
    let mutants: [(Omission, &str, Make); 15] = [
        (Omission::Resend, "faults", |_| lost_answers()),
        (Omission::EarliestSurvives, "creators", |_| creators()),
        (Omission::SettleBeforeKill, "deletion", |_| {
            a_merge_and_a_deletion()
        }),
        (Omission::Void, "creators", |_| creators()),
        (Omission::FreshToken, "merges", |_| crossing_merges()),
        (Omission::Settled, "limits", limits),
        (Omission::EnforceAfterMerge, "limits", limits),
        (Omission::CountMembers, "limits", limits),
        (Omission::SecondLook, "creators", |_| creators()),
        (Omission::SecondLookUndecided, "creators", |_| creators()),
        (Omission::CarryClock, "creators", |_| creators()),
        (Omission::CarryBeforeLink, "creators", |_| creators()),
        (Omission::LaterThanSeen, "limits", limits),
        (Omission::ClockBeforeEvent, "faults", |_| lost_answers()),
        (Omission::CopyMembers, "merges", |_| crossing_merges()),
    ];
    let mut survivors = Vec::new();
    for (omission, name, make) in mutants {
        match caught(make, |case| case.omission = Some(omission)) {
            Some(seed) => println!("{omission:?}: {name}, seed {seed}"),
            None => survivors.push(omission),
        }
    }
    assert!(survivors.is_empty(), "nobody misses {survivors:?}");
}

#[test]
fn a_condition_that_is_left_out_is_missed() {
    let mutants: [(Broken, &str, Make); 5] = [
        (Broken::LinkIgnoresPointer, "creators", |_| creators()),
        (Broken::LinkIgnoresDead, "everything", everything),
        (Broken::PointIgnoresDead, "everything", everything),
        (Broken::ClaimByOwner, "deletions", merges_and_deletions),
        (Broken::UndecidedFollowed, "creators", |_| creators()),
    ];
    let mut survivors = Vec::new();
    for (broken, name, make) in mutants {
        match caught(make, |case| case.broken = Some(broken)) {
            Some(seed) => println!("{broken:?}: {name}, seed {seed}"),
            None => survivors.push(broken),
        }
    }
    assert!(survivors.is_empty(), "nobody misses {survivors:?}");
}
