//! Seeded schedules over the shipped use cases and the shipped worker: every invariant, in every one of them.
//!
//! One schedule alone: `KITH_SIMULATE_CASE=<name> KITH_SIMULATE_SEED=<number>`; it prints what happened.
//! Seeds from another one on: `KITH_SIMULATE_FROM=<number>`.

mod cases;

use std::collections::BTreeSet;

use cases::{
    a_merge_and_a_change, a_merge_and_the_deletion_of_the_older, a_release_and_newcomers,
    an_attach_and_two_deletions, chains, creators, crossing_merges, crowd, everything, flights,
    limits, lost_answers, merges_and_deletions, merges_and_lists, named_and_unlisted,
    order_over_merges, queued, removals, two_deletions, workers,
};
use kith_simulation::choices::Choices;
use kith_simulation::run::{Case, run, run_with};
use kith_simulation::shrink::minimal;

/// A number from the environment.
fn number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().expect("a number"))
}

/// Runs seeds; every run must be right, and most of them different schedules in which clients overlap.
fn explore(name: &str, seeds: u64, make: impl Fn(u64) -> Case) {
    let only = std::env::var("KITH_SIMULATE_CASE").ok();
    if only.is_some_and(|only| only != name) {
        return;
    }
    if let Some(seed) = number("KITH_SIMULATE_SEED") {
        return replay(&make(seed), seed);
    }
    // How many times as many seeds as in the test command: `make simulate` says.
    let seeds = seeds * number("KITH_SIMULATE_FACTOR").unwrap_or(1);
    let mut distinct = BTreeSet::new();
    let (mut judged, mut given_up) = (0, 0);
    let from = number("KITH_SIMULATE_FROM").unwrap_or(0);
    for seed in from..from + seeds {
        let case = make(seed);
        let verdict = run(&case, seed);
        if !verdict.findings.is_empty() {
            let least = minimal(&case, seed).expect("a seed finds the same again");
            panic!("{name}: {least}");
        }
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
    figures(name, seeds, distinct.len());
}

#[expect(clippy::print_stdout, reason = "the figures of a run by hand")]
fn figures(name: &str, seeds: u64, distinct: usize) {
    println!("{name}: {seeds} schedules, {distinct} distinct with an overlap");
}

/// One schedule alone, as it went.
#[expect(clippy::print_stdout, reason = "a trace is what a replay is for")]
fn replay(case: &Case, seed: u64) {
    let verdict = run_with(case, Choices::of_seed(seed), true);
    println!("seed {seed}:\n{verdict}");
    if let Some(least) = minimal(case, seed) {
        panic!("{least}");
    }
}

#[test]
fn creators_of_one_new_person_meet() {
    explore("creators", 1_500, |_| creators());
}

#[test]
fn creators_in_one_process_share_flights() {
    explore("flights", 1_000, |_| flights());
}

#[test]
fn merges_cross() {
    explore("merges", 1_500, |_| crossing_merges());
}

#[test]
fn answers_are_lost_and_clients_given_up() {
    explore("faults", 2_000, |_| lost_answers());
}

#[test]
fn deletions_meet_merges() {
    explore("deletions", 2_000, merges_and_deletions);
}

#[test]
fn an_identifier_is_changed_while_others_claim_it() {
    explore("changes", 1_500, |_| a_merge_and_a_change());
}

#[test]
fn an_attach_meets_deletions() {
    explore("attach", 700, |_| an_attach_and_two_deletions());
    explore("older", 500, |_| a_merge_and_the_deletion_of_the_older());
    explore("twice", 500, |_| two_deletions());
}

#[test]
fn whoever_is_written_to_is_listed() {
    explore("named", 1_000, |_| named_and_unlisted());
}

#[test]
fn a_release_meets_newcomers() {
    explore("release", 1_000, |_| a_release_and_newcomers());
}

#[test]
fn whoever_reads_sees_one_order() {
    explore("lists", 1_000, |_| merges_and_lists());
    explore("chains", 1_000, |_| chains());
}

#[test]
fn the_later_write_wins_whatever_the_clocks_say() {
    explore("order", 1_000, order_over_merges);
    explore("queued", 500, |_| queued());
    explore("removals", 500, |_| removals());
}

#[test]
fn limits_hold_over_a_merged_set() {
    explore("limits", 2_000, limits);
}

#[test]
fn anybody_sends_anything() {
    explore("everything", 2_500, everything);
}

#[test]
fn eight_clients_send_anything() {
    explore("crowd", 700, crowd);
}

#[test]
fn workers_read_the_log_beside_everybody() {
    explore("workers", 1_000, workers);
}
