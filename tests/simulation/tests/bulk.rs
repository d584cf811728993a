//! Batches against creates, merges, deletions and each other: their items converge, and every invariant holds.

mod cases;

use std::collections::BTreeSet;

use cases::{creates, faulty};
use kith_simulation::run::{Case, Op, run};

fn bulk(items: &[&[usize]]) -> Op {
    Op::Bulk(items.iter().map(|item| item.to_vec()).collect())
}

fn explore(name: &str, seeds: u64, make: impl Fn(u64) -> Case) {
    let mut distinct = BTreeSet::new();
    for seed in 0..seeds {
        let case = make(seed);
        // Every second one with answers lost and clients given up.
        let verdict = run(&if seed % 2 == 0 { case } else { faulty(case) }, seed);
        assert!(verdict.findings.is_empty(), "{name}: {verdict}");
        if verdict.overlapped {
            distinct.insert(verdict.fingerprint);
        }
    }
    assert!(
        distinct.len() as u64 > seeds / 2,
        "{name}: {} distinct schedules of {seeds}",
        distinct.len()
    );
}

#[test]
fn a_batch_of_one_new_person_meets_creators() {
    explore("creators", 600, |_| {
        let clients = vec![
            vec![bulk(&[&[0], &[1], &[0, 1], &[4]])],
            creates(&[&[1, 2]]),
            creates(&[&[2, 0]]),
        ];
        cases::case(&[], clients)
    });
}

#[test]
fn batches_that_merge_cross() {
    explore("batches", 600, |_| {
        let clients = vec![
            vec![bulk(&[&[0, 1], &[2], &[4, 5]])],
            vec![bulk(&[&[1, 2], &[3, 5]]), bulk(&[&[0], &[3]])],
        ];
        cases::case(&[&[0], &[1], &[2]], clients)
    });
}

#[test]
fn a_batch_meets_deletions() {
    explore("deletions", 600, |_| {
        let clients = vec![
            vec![bulk(&[&[0], &[1, 2], &[3]]), bulk(&[&[2, 0]])],
            vec![Op::Delete(0), Op::Create(vec![0])],
            vec![Op::Delete(1)],
        ];
        cases::case(&[&[0], &[1]], clients)
    });
}
