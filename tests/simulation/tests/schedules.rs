//! Seeded schedules over the shipped use cases: every invariant, in every one of them; and what is left out on purpose is
//! missed.

mod cases;

use std::collections::BTreeSet;

use cases::{
    a_merge_and_a_change, a_merge_and_the_deletion_of_the_older, a_release_and_newcomers,
    an_attach_and_two_deletions, chains, creators, crossing_merges, everything, flights, limits,
    lost_answers, merges_and_deletions, merges_and_lists, order_over_merges, queued, removals,
    two_deletions,
};
use kith_simulation::run::{Case, run};

/// How many times as many seeds as in the test command: `make simulate` says.
fn factor() -> u64 {
    let factor = std::env::var("KITH_SIMULATE_FACTOR").ok();
    factor.map_or(1, |factor| {
        factor.parse().expect("KITH_SIMULATE_FACTOR is a number")
    })
}

/// Runs seeds; every run must be right, and most of them different schedules in which clients overlap.
fn explore(name: &str, seeds: u64, make: impl Fn(u64) -> Case) {
    let seeds = seeds * factor();
    let mut distinct = BTreeSet::new();
    let (mut judged, mut given_up) = (0, 0);
    for seed in 0..seeds {
        let verdict = run(&make(seed), seed);
        assert!(verdict.findings.is_empty(), "{name}: {verdict}");
        judged += u64::from(verdict.judged.0);
        given_up += u64::from(verdict.judged.1);
        if verdict.overlapped {
            distinct.insert(verdict.fingerprint);
        }
    }
    assert!(
        given_up * 100 <= judged,
        "{name}: {given_up} of {judged} histories are too large to judge"
    );
    assert!(
        distinct.len() as u64 > seeds / 2,
        "{name}: {} distinct schedules of {seeds}",
        distinct.len()
    );
}

#[test]
fn creators_of_one_new_person_meet() {
    explore("creators", 2_000, |_| creators());
}

#[test]
fn creators_in_one_process_share_flights() {
    explore("flights", 1_500, |_| flights());
}

#[test]
fn merges_cross() {
    explore("merges", 2_000, |_| crossing_merges());
}

#[test]
fn answers_are_lost_and_clients_given_up() {
    explore("faults", 3_000, |_| lost_answers());
}

#[test]
fn deletions_meet_merges() {
    explore("deletions", 3_000, merges_and_deletions);
}

#[test]
fn an_identifier_is_changed_while_others_claim_it() {
    explore("changes", 2_000, |_| a_merge_and_a_change());
}

#[test]
fn an_attach_meets_deletions() {
    explore("attach", 1_000, |_| an_attach_and_two_deletions());
    explore("older", 1_000, |_| a_merge_and_the_deletion_of_the_older());
    explore("twice", 1_000, |_| two_deletions());
}

#[test]
fn a_release_meets_newcomers() {
    explore("release", 1_500, |_| a_release_and_newcomers());
}

#[test]
fn whoever_reads_sees_one_order() {
    explore("lists", 1_000, |_| merges_and_lists());
    explore("chains", 1_500, |_| chains());
}

#[test]
fn the_later_write_wins_whatever_the_clocks_say() {
    explore("order", 1_500, order_over_merges);
    explore("queued", 500, |_| queued());
    explore("removals", 500, |_| removals());
}

#[test]
fn limits_hold_over_a_merged_set() {
    explore("limits", 3_000, limits);
}

#[test]
fn anybody_sends_anything() {
    explore("everything", 6_000, everything);
}
