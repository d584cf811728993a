//! Writes to whoever dies meanwhile: their order is nobody's any more (`trait-order.md` 10, *same live profile*).

mod cases;

use cases::{a_write_and_a_purge, merges_and_deletions, workers};
use kith_simulation::run::run;

#[test]
fn a_write_that_ends_on_a_purged_profile_is_not_ordered() {
    // The write finds its profile alive, the purge takes the clock row, and the write reads none (seed 1,088 does so).
    for seed in 0..1_500 {
        let verdict = run(&a_write_and_a_purge(), seed);
        assert!(verdict.findings.is_empty(), "seed {seed}: {verdict}");
    }
}

#[test]
fn two_sets_that_died_apart_are_not_one_person() {
    // An identifier of a dead profile is claimed anew, and its new owner is merged into another one that dies, too.
    let verdict = run(&merges_and_deletions(25_243), 25_243);
    assert!(verdict.findings.is_empty(), "{verdict}");
    let verdict = run(&workers(2_423), 2_423);
    assert!(verdict.findings.is_empty(), "{verdict}");
}
