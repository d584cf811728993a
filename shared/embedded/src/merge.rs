//! How plain writes meet what is there: exactly as CQL does it, per cell.
//!
//! Pure. Every function takes the row as it is and gives it as it will be; any order and any repetition of the same
//! writes leads to the same row.

use kith_domain::time::Micros;

use crate::layout::row::{IdentCell, LinkCell, TimeCell, ValueCell};

/// A row that is nothing but its time: the newest stays. The clock row is a max register this way.
pub(crate) fn time(before: Option<TimeCell>, at: Micros) -> TimeCell {
    let written = TimeCell(at);
    before.map_or(written, |before| before.max(written))
}

/// A value: the newer time wins, of two with one time the larger bytes.
pub(crate) fn value(before: Option<ValueCell>, at: Micros, value: Vec<u8>) -> ValueCell {
    let written = ValueCell { time: at, value };
    match before {
        Some(before) if before >= written => before,
        _ => written,
    }
}

/// A link row: `settled` is only ever written true.
pub(crate) fn link(before: Option<LinkCell>, at: Micros, settled: bool) -> LinkCell {
    let settled = settled.then_some(at);
    before.map_or(LinkCell { time: at, settled }, |before| LinkCell {
        time: before.time.max(at),
        settled: before.settled.max(settled),
    })
}

/// An identifier row is written. A removal of the same time or later covers it.
pub(crate) fn ident(
    before: Option<IdentCell>,
    at: Micros,
    added_at: Micros,
    settled: bool,
) -> IdentCell {
    let mut row = before.unwrap_or_default();
    if row.removed.is_some_and(|removed| removed >= at) {
        return row;
    }
    // `added_at` is a column like any other; of two writes with one time the larger bytes stay.
    let bytes = |cell: &(Micros, Micros)| (cell.0, cell.1.as_micros().to_be_bytes());
    row.added = row.added.max_by_key_with((at, added_at), bytes);
    if settled {
        row.settled = row.settled.max(Some(at));
    }
    row
}

/// An identifier row is removed: a tombstone beats what was written before it or at the same time.
pub(crate) fn forget(before: Option<IdentCell>, at: Micros) -> IdentCell {
    let row = before.unwrap_or_default();
    let removed = row.removed.max(Some(at));
    let survives = |time: &Micros| Some(*time) > removed;
    IdentCell {
        removed,
        added: row.added.filter(|(time, _)| survives(time)),
        settled: row.settled.filter(survives),
    }
}

/// What a removal of the whole partition leaves of a row: what was written after it, as if nothing else ever had been.
pub(crate) trait Outlive: Sized {
    /// The row without what was written at or before `purged`.
    fn outlive(self, purged: Micros) -> Option<Self>;
}

impl Outlive for TimeCell {
    fn outlive(self, purged: Micros) -> Option<Self> {
        (self.0 > purged).then_some(self)
    }
}

impl Outlive for ValueCell {
    fn outlive(self, purged: Micros) -> Option<Self> {
        (self.time > purged).then_some(self)
    }
}

impl Outlive for LinkCell {
    fn outlive(self, purged: Micros) -> Option<Self> {
        (self.time > purged).then_some(Self {
            settled: self.settled.filter(|time| *time > purged),
            ..self
        })
    }
}

impl Outlive for IdentCell {
    fn outlive(self, purged: Micros) -> Option<Self> {
        let left = Self {
            removed: self.removed.filter(|time| *time > purged),
            added: self.added.filter(|(time, _)| *time > purged),
            settled: self.settled.filter(|time| *time > purged),
        };
        (left != Self::default()).then_some(left)
    }
}

/// [`Ord::max`] by a key, where there may be nothing yet.
trait MaxByKeyWith<T> {
    fn max_by_key_with<K: Ord>(self, other: T, key: impl Fn(&T) -> K) -> Option<T>;
}

impl<T> MaxByKeyWith<T> for Option<T> {
    fn max_by_key_with<K: Ord>(self, other: T, key: impl Fn(&T) -> K) -> Option<T> {
        match self {
            Some(before) if key(&before) >= key(&other) => Some(before),
            _ => Some(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(micros: i64) -> Micros {
        Micros::from_micros(micros)
    }

    /// A write to one identifier row.
    #[derive(Debug, Clone, Copy)]
    enum Write {
        Ident(i64, i64, bool),
        Forget(i64),
    }

    fn apply(writes: &[Write]) -> IdentCell {
        writes
            .iter()
            .fold(None, |row, write| {
                Some(match *write {
                    Write::Ident(time, added, settled) => ident(row, at(time), at(added), settled),
                    Write::Forget(time) => forget(row, at(time)),
                })
            })
            .unwrap_or_default()
    }

    fn any_writes() -> impl Strategy<Value = Vec<Write>> {
        let write = prop_oneof![
            (0i64..5, 0i64..3, any::<bool>()).prop_map(|(t, a, s)| Write::Ident(t, a, s)),
            (0i64..5).prop_map(Write::Forget),
        ];
        proptest::collection::vec(write, 0..8)
    }

    #[test]
    fn a_removal_beats_an_identifier_of_its_own_time_in_either_order() {
        for writes in [
            [Write::Ident(3, 1, true), Write::Forget(3)],
            [Write::Forget(3), Write::Ident(3, 1, true)],
        ] {
            let row = apply(&writes);
            assert_eq!((row.added, row.settled), (None, None));
        }
    }

    #[test]
    fn an_identifier_written_after_its_removal_is_not_settled_by_an_older_write() {
        let row = apply(&[
            Write::Ident(1, 1, true),
            Write::Ident(3, 2, false),
            Write::Forget(2),
        ]);
        assert_eq!(row.added, Some((at(3), at(2))));
        assert_eq!(row.settled, None);
    }

    proptest! {
        #[test]
        fn identifier_rows_ignore_order_and_repetition(writes in any_writes(), seed: usize) {
            let once = apply(&writes);
            let mut shuffled: Vec<_> = writes.iter().chain(&writes).copied().collect();
            for i in 0..shuffled.len() {
                let len = shuffled.len();
                shuffled.swap(i, seed.rotate_left(u32::try_from(i).unwrap()) % len);
            }
            prop_assert_eq!(apply(&shuffled), once);
        }

        #[test]
        fn values_ignore_order_and_follow_the_rule_of_traits(
            writes in proptest::collection::vec((0i64..4, proptest::collection::vec(0u8..3, 0..3)), 1..6)
        ) {
            let fold = |writes: &[(i64, Vec<u8>)]| {
                writes.iter().fold(None, |row, (time, bytes)| Some(value(row, at(*time), bytes.clone())))
            };
            let newest = writes.iter().max().map(|(time, bytes)| ValueCell { time: at(*time), value: bytes.clone() });
            let backwards: Vec<_> = writes.iter().rev().cloned().collect();
            prop_assert_eq!(&fold(&writes), &newest);
            prop_assert_eq!(fold(&backwards), newest);
        }

        #[test]
        fn a_removal_of_the_partition_leaves_what_was_written_after_it(
            writes in any_writes(),
            others in proptest::collection::vec((0i64..5, any::<bool>()), 0..6),
            purged in 0i64..5,
        ) {
            let later: Vec<_> = writes
                .iter()
                .filter(|write| match write {
                    Write::Ident(time, ..) | Write::Forget(time) => *time > purged,
                })
                .copied()
                .collect();
            let left = apply(&writes).outlive(at(purged)).unwrap_or_default();
            prop_assert_eq!(left, apply(&later));

            let later: Vec<_> = others.iter().filter(|(time, _)| *time > purged).copied().collect();
            let links = |writes: &[(i64, bool)]| {
                writes.iter().fold(None, |row, (time, settled)| Some(link(row, at(*time), *settled)))
            };
            prop_assert_eq!(links(&others).and_then(|row| row.outlive(at(purged))), links(&later));
            let clocks = |writes: &[(i64, bool)]| {
                writes.iter().fold(None, |row, (moment, _)| Some(time(row, at(*moment))))
            };
            prop_assert_eq!(clocks(&others).and_then(|row| row.outlive(at(purged))), clocks(&later));
            let values = |writes: &[(i64, bool)]| {
                writes.iter().fold(None, |row, (time, byte)| Some(value(row, at(*time), vec![u8::from(*byte)])))
            };
            prop_assert_eq!(values(&others).and_then(|row| row.outlive(at(purged))), values(&later));
        }

        #[test]
        fn clocks_and_links_ignore_order(a: i64, b: i64, sa: bool, sb: bool) {
            prop_assert_eq!(time(Some(time(None, at(a))), at(b)), TimeCell(at(a.max(b))));
            prop_assert_eq!(
                link(Some(link(None, at(a), sa)), at(b), sb),
                link(Some(link(None, at(b), sb)), at(a), sa)
            );
        }
    }
}
