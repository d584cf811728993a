//! Small cases, searched to their end: the smallest ones here, the rest by hand (`make exhaust`).

mod cases;

use cases::small::{
    a_change_and_a_create, a_create_and_a_deletion, a_create_and_a_merge, a_match_and_a_merge,
    a_merge_and_a_deletion, a_merge_and_a_deletion_each, a_merge_and_two_deletions,
    an_eviction_and_a_merge, merges_and_deletions_in_turn, one_identifier,
    one_merge_twice_and_two_deletions, two_creators, two_merges_and_a_deletion,
    two_merges_and_two_deletions, two_that_agree,
};
use kith_domain::settings::LimitPolicy;
use kith_profiles::environment::Omission;
use kith_simulation::exhaustive::{Small, search};
use kith_simulation::world::Broken;

/// States of a search by hand at most: `KITH_EXHAUST_STATES` says.
fn states_max() -> usize {
    let states = std::env::var("KITH_EXHAUST_STATES").ok();
    states.map_or(40_000_000, |states| {
        states
            .parse()
            .expect("KITH_EXHAUST_STATES is a number of states")
    })
}

/// Searches a case as far as it may, and says how far that was.
#[expect(
    clippy::print_stdout,
    reason = "the figures are what a search by hand is for"
)]
fn explore(name: &str, case: &Small) {
    let report = search(case, states_max());
    println!("{name}, {} unknown: {report}", case.unknown);
    assert!(report.findings.is_empty(), "{name}: {report}");
}

#[test]
fn two_clients_and_one_identifier_are_searched_to_the_end() {
    let report = search(&one_identifier(1), 2_000_000);
    println!("{report}");
    assert!(report.findings.is_empty(), "{report}");
    assert!(report.is_exhausted, "{report}");
    assert!(report.states > 10_000, "{report}");
}

#[test]
fn what_is_left_out_is_found() {
    let omitted = |omission, case| Small {
        omission: Some(omission),
        ..case
    };
    let broken = |broken, case| Small {
        broken: Some(broken),
        ..case
    };
    let mutants = [
        omitted(Omission::Void, a_merge_and_a_deletion(0)),
        omitted(Omission::SettleBeforeKill, a_merge_and_a_deletion(1)),
        omitted(Omission::CarryClock, a_create_and_a_merge(0)),
        omitted(Omission::Resend, one_identifier(1)),
        broken(Broken::PointIgnoresDead, a_merge_and_a_deletion(1)),
    ];
    for case in mutants {
        let report = search(&case, 2_000_000);
        println!("{:?} {:?}: {report}", case.omission, case.broken);
        assert!(!report.findings.is_empty(), "nobody misses {case:?}");
        assert!(!report.trace.is_empty(), "{report}");
    }
}

#[test]
#[ignore = "by hand: make exhaust"]
fn two_overlapping_creates() {
    explore("two overlapping creates", &two_creators(0));
    explore("two overlapping creates", &two_creators(1));
}

#[test]
#[ignore = "by hand: make exhaust"]
fn a_create_against_a_merge() {
    explore("a create against a merge", &a_create_and_a_merge(0));
    explore("a create against a merge", &a_create_and_a_merge(1));
}

#[test]
#[ignore = "by hand: make exhaust"]
fn a_create_against_a_deletion() {
    explore("a create against a deletion", &a_create_and_a_deletion(0));
    explore("a create against a deletion", &a_create_and_a_deletion(1));
}

#[test]
#[ignore = "by hand: make exhaust"]
fn two_merges_against_a_deletion() {
    for of in [0, 1] {
        let name = format!("two merges of the same two against the deletion of {of}");
        explore(&name, &two_merges_and_a_deletion(of, 0));
    }
}

#[test]
#[ignore = "by hand: make exhaust"]
fn a_merge_against_two_deletions() {
    let name = "a merge against two deletions";
    explore(name, &a_merge_and_two_deletions(0));
    explore(name, &a_merge_and_two_deletions(1));
}

#[test]
#[ignore = "by hand: make exhaust"]
fn two_merges_in_turn_against_two_deletions_in_turn() {
    let name = "two merges in turn against two deletions in turn";
    explore(name, &merges_and_deletions_in_turn(0));
    explore(name, &merges_and_deletions_in_turn(1));
}

#[test]
#[ignore = "by hand: make exhaust"]
fn two_who_each_merge_and_delete() {
    let name = "two who each merge and delete";
    explore(name, &a_merge_and_a_deletion_each(0));
    explore(name, &a_merge_and_a_deletion_each(1));
}

#[test]
#[ignore = "by hand: make exhaust"]
fn two_merges_against_two_deletions() {
    let name = "two merges against two deletions";
    explore(name, &two_merges_and_two_deletions(0));
    explore(name, &two_merges_and_two_deletions(1));
}

#[test]
#[ignore = "by hand: make exhaust"]
fn one_merge_twice_against_two_deletions() {
    let name = "one merge twice against two deletions";
    explore(name, &one_merge_twice_and_two_deletions(0));
}

#[test]
#[ignore = "by hand: make exhaust"]
fn an_eviction_against_a_merge() {
    for policy in [LimitPolicy::Fifo, LimitPolicy::Lifo] {
        let name = "a limit eviction against a merge";
        explore(name, &an_eviction_and_a_merge(0, policy));
        explore(name, &an_eviction_and_a_merge(1, policy));
    }
}

#[test]
#[ignore = "by hand: make exhaust"]
fn a_change_against_a_create_of_the_new_value() {
    let name = "a change against a create of the new value";
    explore(name, &a_change_and_a_create(0));
    explore(name, &a_change_and_a_create(1));
}

#[test]
#[ignore = "by hand: make exhaust"]
fn types_that_are_not_unique_against_a_merge() {
    explore("two that agree in two types", &two_that_agree(0));
    let name = "a match in two types against a merge";
    explore(name, &a_match_and_a_merge(0));
    explore(name, &a_match_and_a_merge(1));
}
