use std::collections::BTreeSet;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;

const P: Partition = Partition(3);

fn record(partition: Partition, offset: i64) -> LogRecord {
    LogRecord {
        partition,
        offset: Offset::new(offset),
        published_at: Micros::from_micros(offset * 10),
        key: Bytes::new(),
        payload: Bytes::new(),
        headers: Vec::new(),
    }
}

fn read(offsets: impl IntoIterator<Item = i64>) -> (Ledger, Vec<Position>) {
    let mut ledger = Ledger::default();
    ledger.assign(P);
    let positions = offsets
        .into_iter()
        .map(|offset| ledger.admit(&record(P, offset)).unwrap())
        .collect();
    (ledger, positions)
}

fn frontier(ledger: &Ledger) -> Option<i64> {
    let moved = ledger.uncommitted();
    moved.first().map(|(_, next)| next.as_i64())
}

#[test]
fn commit_stops_at_the_first_gap() {
    let (mut ledger, at) = read(5..9);
    for done in [1, 2] {
        assert_eq!(ledger.close(at[done]), Ok(Closed::Counted { passed: 0 }));
        assert_eq!(frontier(&ledger), None);
    }
    assert_eq!(ledger.close(at[0]), Ok(Closed::Counted { passed: 3 }));
    assert_eq!(
        frontier(&ledger),
        Some(8),
        "the next one to be read, not the last one done"
    );
    assert_eq!(ledger.close(at[3]), Ok(Closed::Counted { passed: 1 }));
    assert_eq!(frontier(&ledger), Some(9));
}

#[test]
fn a_frontier_is_committed_once() {
    let (mut ledger, at) = read(0..2);
    ledger.close(at[0]).unwrap();
    let moved = ledger.uncommitted();
    assert_eq!(moved, [(P, NextOffset::new(1))]);
    ledger.committed(&moved);
    assert_eq!(ledger.uncommitted(), []);
    ledger.close(at[1]).unwrap();
    assert_eq!(ledger.uncommitted(), [(P, NextOffset::new(2))]);
}

#[test]
fn a_gap_in_the_log_is_no_gap_in_the_work() {
    let (mut ledger, at) = read([3, 7, 20]);
    ledger.close(at[1]).unwrap();
    ledger.close(at[0]).unwrap();
    assert_eq!(frontier(&ledger), Some(8));
}

#[test]
fn late_completions_of_an_older_epoch_are_dropped() {
    let (mut ledger, old) = read(0..3);
    ledger.close(old[1]).unwrap();
    assert_eq!(ledger.remove(P), Dropped { open: 2, held: 3 });
    assert_eq!(ledger.close(old[0]), Ok(Closed::Stale));
    ledger.assign(P);
    let new = ledger.admit(&record(P, 0)).unwrap();
    assert_eq!(ledger.close(old[0]), Ok(Closed::Stale));
    assert_eq!(ledger.close(old[1]), Ok(Closed::Stale));
    assert!(!ledger.is_current(old[0]) && ledger.is_current(new));
    assert_eq!(frontier(&ledger), None);
    assert_eq!(ledger.close(new), Ok(Closed::Counted { passed: 1 }));
    assert_eq!(frontier(&ledger), Some(1));
}

#[test]
fn assigning_again_ends_the_assignment_before() {
    let (mut ledger, old) = read(0..2);
    assert_eq!(ledger.assign(P), Dropped { open: 2, held: 2 });
    assert_eq!(ledger.close(old[0]), Ok(Closed::Stale));
    assert!(
        ledger.admit(&record(P, 0)).is_ok(),
        "what was not committed comes again"
    );
}

#[test]
fn a_partition_that_leaves_takes_nothing_and_finishes_what_it_has() {
    let (mut ledger, at) = read(0..1);
    assert!(ledger.leave(P));
    assert!(!ledger.leave(Partition(9)));
    assert_eq!(ledger.active().count(), 0);
    assert_eq!(ledger.assigned().count(), 1);
    assert!(matches!(
        ledger.admit(&record(P, 1)),
        Err(LedgerError::NotAssigned { offset: 1, .. })
    ));
    assert!(!ledger.is_idle(P));
    ledger.close(at[0]).unwrap();
    assert!(ledger.is_idle(P));
    assert_eq!(frontier(&ledger), Some(1));
}

#[test]
fn what_breaks_the_books_is_refused() {
    let (mut ledger, at) = read([4]);
    assert!(matches!(
        ledger.admit(&record(P, 4)),
        Err(LedgerError::OutOfOrder { .. })
    ));
    assert!(matches!(
        ledger.admit(&record(Partition(0), 4)),
        Err(LedgerError::NotAssigned { .. })
    ));
    ledger.close(at[0]).unwrap();
    assert!(matches!(
        ledger.close(at[0]),
        Err(LedgerError::NotInFlight { .. })
    ));
    assert!(matches!(
        ledger.admit(&record(P, 4)),
        Err(LedgerError::OutOfOrder { .. })
    ));
    let never = Position {
        offset: Offset::new(9),
        ..at[0]
    };
    assert!(matches!(
        ledger.close(never),
        Err(LedgerError::NotInFlight { .. })
    ));
}

#[test]
fn the_oldest_is_the_first_that_the_frontier_has_not_passed() {
    let (mut ledger, at) = read(1..4);
    ledger.close(at[1]).unwrap();
    assert_eq!(ledger.oldest(P), Some(Micros::from_micros(10)));
    ledger.close(at[0]).unwrap();
    assert_eq!(ledger.oldest(P), Some(Micros::from_micros(30)));
    ledger.close(at[2]).unwrap();
    assert_eq!(ledger.oldest(P), None);
}

#[derive(Debug, Clone)]
enum Step {
    Assign(i32),
    Remove(i32),
    /// Skips this many offsets before.
    Read(i32, i64),
    /// Closes one of those in flight, of any epoch.
    Close(usize),
    Commit,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => (0..3).prop_map(Step::Assign),
        1 => (0..3).prop_map(Step::Remove),
        6 => (0..3, 0i64..3).prop_map(|(p, gap)| Step::Read(p, gap)),
        6 => any::<usize>().prop_map(Step::Close),
        2 => Just(Step::Commit),
    ]
}

/// The same books, kept plainly.
#[derive(Default)]
struct Model {
    read: BTreeMap<i32, (Epoch, Vec<i64>, BTreeSet<i64>)>,
    next: BTreeMap<i32, i64>,
}

proptest! {
    #[test]
    fn only_what_is_done_with_all_before_it_is_committed(steps in proptest::collection::vec(any_step(), 1..120)) {
        let mut ledger = Ledger::default();
        let mut model = Model::default();
        let mut flying: Vec<Position> = Vec::new();
        let mut held_total = 0usize;
        for step in steps {
            match step {
                Step::Assign(p) => {
                    held_total -= ledger.assign(Partition(p)).held;
                    let epoch = Epoch(ledger.epochs);
                    model.read.insert(p, (epoch, Vec::new(), BTreeSet::new()));
                    // Reading starts anew wherever it was committed; from 0 here.
                    model.next.insert(p, 0);
                }
                Step::Remove(p) => {
                    held_total -= ledger.remove(Partition(p)).held;
                    model.read.remove(&p);
                }
                Step::Read(p, gap) => {
                    let Some((_, read, _)) = model.read.get_mut(&p) else { continue };
                    let next = model.next.entry(p).or_default();
                    let offset = *next + gap;
                    *next = offset + 1;
                    read.push(offset);
                    flying.push(ledger.admit(&record(Partition(p), offset)).unwrap());
                    held_total += 1;
                }
                Step::Close(which) => {
                    if flying.is_empty() { continue }
                    let at = flying.swap_remove(which % flying.len());
                    let closed = ledger.close(at).unwrap();
                    let current = model.read.get_mut(&at.partition.0).filter(|(epoch, ..)| *epoch == at.epoch);
                    match current {
                        None => prop_assert_eq!(closed, Closed::Stale),
                        Some((_, _, done)) => {
                            done.insert(at.offset.as_i64());
                            let Closed::Counted { passed } = closed else { panic!("{closed:?}") };
                            held_total -= passed;
                        }
                    }
                }
                Step::Commit => {
                    let moved = ledger.uncommitted();
                    for (partition, next) in &moved {
                        let (_, read, done) = &model.read[&partition.0];
                        let expected = read.iter().take_while(|o| done.contains(o)).last().map(|o| o + 1);
                        prop_assert_eq!(Some(next.as_i64()), expected);
                    }
                    ledger.committed(&moved);
                    prop_assert_eq!(ledger.uncommitted(), []);
                }
            }
            let held: usize = ledger.partitions.values().map(|track| track.entries.len()).sum();
            prop_assert_eq!(held, held_total, "records held are those not passed");
        }
    }
}
