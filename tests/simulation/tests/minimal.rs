//! A seed that finds something gives a minimal trace, and gives it again.

mod cases;

use cases::{lost_answers, merges_and_deletions};
use kith_profiles::environment::Omission;
use kith_simulation::choices::Choices;
use kith_simulation::run::{Case, run_with};
use kith_simulation::shrink::{kind, minimal};
use kith_simulation::world::Broken;

/// The first seed that finds something, and how long its trace is.
fn first(make: impl Fn(u64) -> Case) -> (Case, u64, usize, String) {
    (0..1_000)
        .find_map(|seed| {
            let case = make(seed);
            let verdict = run_with(&case, Choices::of_seed(seed), true);
            let finding = verdict.findings.first()?;
            Some((case, seed, verdict.trace.len(), kind(finding)))
        })
        .expect("a seed finds it")
}

fn is_minimal(make: impl Fn(u64) -> Case) {
    let (case, seed, length, found) = first(make);
    let least = minimal(&case, seed).expect("it is found again");
    assert!(
        least.verdict.trace.len() < length,
        "{length} lines before: {least}"
    );
    assert!(least.case.clients.len() < case.clients.len(), "{least}");
    let again: Vec<String> = least.verdict.findings.iter().map(|one| kind(one)).collect();
    assert!(again.contains(&found), "{found}: {least}");
    let once_more = minimal(&case, seed).expect("it is found again");
    assert_eq!(least.to_string(), once_more.to_string());
}

#[test]
fn an_unknown_outcome_taken_for_applied_is_shown_with_one_client_less() {
    is_minimal(|_| Case {
        omission: Some(Omission::Resend),
        ..lost_answers()
    });
}

#[test]
fn a_claim_by_its_owner_alone_is_shown_with_what_it_takes() {
    is_minimal(|seed| Case {
        broken: Some(Broken::ClaimByOwner),
        ..merges_and_deletions(seed)
    });
}

#[test]
fn a_kind_is_what_a_finding_says_without_its_ids() {
    let (one, other) = (
        "mem_profile_01j00 points at mem_profile_01j07, which is not older",
        "mem_profile_01j99 points at mem_profile_01j98, which is not older",
    );
    assert_eq!(kind(one), kind(other));
    assert_eq!(kind(one), "points at which is not older");
}
