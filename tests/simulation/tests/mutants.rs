//! Every step that is left out on purpose is missed: a step whose absence nobody notices is not needed, or not tested.
//!
//! `docs/correctness.md` has the table. To print it: `cargo test -p kith-simulation --test mutants -- --nocapture`.

mod cases;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use cases::{
    a_merge_and_a_deletion, a_merge_and_the_deletion_of_the_older, a_release_and_newcomers,
    an_attach_and_two_deletions, chains, creators, crossing_merges, limits, lost_answers,
    merges_and_deletions, merges_and_lists, named_and_unlisted, order_over_merges, queued,
    removals, two_deletions,
};
use kith_profiles::environment::Omission;
use kith_simulation::run::{Case, run};
use kith_simulation::world::Broken;

type Make = fn(u64) -> Case;

/// Schedules of one situation at most.
const SEEDS_MAX: u64 = 4_000;

/// What is left out.
#[derive(Debug, Clone, Copy)]
enum Left {
    /// A step of the use cases.
    Step(Omission),
    /// A condition of the engine, or its atomicity.
    Engine(Broken),
}

use Left::{Engine, Step};

const CREATORS: (&str, Make) = ("creators", |_| creators());
const MERGES: (&str, Make) = ("merges", |_| crossing_merges());
const FAULTS: (&str, Make) = ("faults", |_| lost_answers());
const LIMITS: (&str, Make) = ("limits", limits);
const DELETIONS: (&str, Make) = ("deletions", merges_and_deletions);
const DELETION: (&str, Make) = ("a merge and a deletion", |_| a_merge_and_a_deletion());
const ATTACH: (&str, Make) = ("an attach and two deletions", |_| {
    an_attach_and_two_deletions()
});
const RELEASE: (&str, Make) = ("a release and newcomers", |_| a_release_and_newcomers());
const ORDER: (&str, Make) = ("order", order_over_merges);
const REMOVALS: (&str, Make) = ("removals", |_| removals());
const CHAINS: (&str, Make) = ("chains", |_| chains());
const LISTS: (&str, Make) = ("lists", |_| merges_and_lists());
const OLDER: (&str, Make) = ("a merge and the older one's deletion", |_| {
    a_merge_and_the_deletion_of_the_older()
});
const TWICE: (&str, Make) = ("two deletions", |_| two_deletions());
const NAMED: (&str, Make) = ("named and unlisted", |_| named_and_unlisted());
const QUEUED: (&str, Make) = ("queued", |_| queued());

const MUTANTS: &[(Left, (&str, Make))] = &[
    (Step(Omission::Resend), FAULTS),
    (Step(Omission::LookAfterClaim), ATTACH),
    (Step(Omission::EarliestSurvives), CREATORS),
    (Step(Omission::SettleBeforeKill), DELETION),
    (Step(Omission::SettleBeforeLink), CREATORS),
    (Step(Omission::Void), CREATORS),
    (Step(Omission::FreshToken), MERGES),
    (Step(Omission::Settled), LIMITS),
    (Step(Omission::EnforceAfterMerge), LIMITS),
    (Step(Omission::CountMembers), LIMITS),
    (Step(Omission::ListNamed), NAMED),
    (Step(Omission::StopAfterUnknown), RELEASE),
    (Step(Omission::HintAfterCopies), CHAINS),
    (Step(Omission::CopyMembers), MERGES),
    (Step(Omission::SecondLook), CREATORS),
    (Step(Omission::SecondLookUndecided), ORDER),
    (Step(Omission::CarryClock), CREATORS),
    (Step(Omission::CarryBeforeLink), CREATORS),
    (Step(Omission::ClocksOfAllMet), ORDER),
    (Step(Omission::LaterThanSeen), LIMITS),
    (Step(Omission::ClockBeforeEvent), FAULTS),
    (Engine(Broken::LinkIgnoresPointer), CREATORS),
    (Engine(Broken::LinkIgnoresDead), OLDER),
    (Engine(Broken::PointIgnoresDead), DELETIONS),
    (Engine(Broken::ClaimByOwner), DELETIONS),
    (Engine(Broken::ReleaseAnyClaim), RELEASE),
    (Engine(Broken::UndecidedFollowed), CREATORS),
    (Engine(Broken::NotMonotone), TWICE),
    (Engine(Broken::CopyReadBeforePoint), MERGES),
    (Engine(Broken::UnsettledNotWalked), MERGES),
    (Engine(Broken::CopyAtRoot), CHAINS),
    (Engine(Broken::MarkBeforeMembers), MERGES),
    (Engine(Broken::ClockFromCells), QUEUED),
    (Engine(Broken::WorkerStamps), CREATORS),
    (Engine(Broken::RemovalCollected), REMOVALS),
];

/// The first seed that misses what is left out, and what it says.
fn caught(left: Left, make: Make) -> Option<(u64, String)> {
    (0..SEEDS_MAX).find_map(|seed| {
        let whole = make(seed);
        let mut case = whole.clone();
        match left {
            Step(omission) => case.omission = Some(omission),
            Engine(broken) => case.broken = Some(broken),
        }
        let finding = run(&case, seed).findings.into_iter().next()?;
        let whole = run(&whole, seed);
        assert!(whole.findings.is_empty(), "with nothing left out: {whole}");
        Some((seed, finding))
    })
}

#[test]
fn whatever_is_left_out_is_missed() {
    let (next, rows) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some((left, (name, make))) = MUTANTS.get(number) else {
                return;
            };
            let found = caught(*left, *make);
            let mut rows = rows.lock().unwrap_or_else(PoisonError::into_inner);
            rows.push((number, *left, *name, found));
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
    let mut rows = rows.into_inner().unwrap_or_else(PoisonError::into_inner);
    rows.sort_by_key(|(number, ..)| *number);
    let mut survivors = Vec::new();
    println!("| Left out | Situation | Seed | Schedules | Missed by |");
    println!("|---|---|---|---|---|");
    for (_, left, name, found) in rows {
        match found {
            Some((seed, finding)) => {
                let finding: String = finding
                    .lines()
                    .next()
                    .unwrap_or("")
                    .chars()
                    .take(100)
                    .collect();
                println!("| {left:?} | {name} | {seed} | {} | {finding} |", seed + 1);
            }
            None => survivors.push((left, name)),
        }
    }
    assert!(survivors.is_empty(), "nobody misses {survivors:?}");
}

#[test]
fn member_rows_may_be_read_before_the_marks() {
    // A mark counts with the child's member row only, so nothing hangs on which of the two is read first.
    let (_, make) = LISTS;
    for seed in 0..1_000 {
        let mut case = make(seed);
        case.broken = Some(Broken::MembersThenMarks);
        let verdict = run(&case, seed);
        assert!(verdict.findings.is_empty(), "seed {seed}: {verdict}");
    }
}
