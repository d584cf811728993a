//! Rows that are sent together, and which of them may be under way at once.
//!
//! Of two rows with one identifier the later one's values must stand. In one batch the service sees to it; two batches with
//! an identifier in common are therefore never under way at once.

use std::collections::{BTreeSet, HashMap};

use super::row::Row;

/// Bytes of a body at most: a quarter of what the service takes by default.
pub(super) const BATCH_BYTES_MAX: usize = 8 << 20;

/// Rows that are sent together, in the order of the file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Batch {
    rows: Vec<Row>,
    bytes: usize,
}

impl Batch {
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Whether there is room for a row. An empty batch has room for any.
    pub(super) fn takes(&self, row: &Row, rows_max: usize) -> bool {
        self.is_empty() || self.len() < rows_max && self.bytes + row.item.len() <= BATCH_BYTES_MAX
    }

    pub(super) fn push(&mut self, row: Row) {
        self.bytes += row.item.len() + 1;
        self.rows.push(row);
    }

    /// The body of Bulk.
    pub(super) fn body(&self) -> String {
        let mut body = String::with_capacity(self.bytes + 16);
        body.push_str("{\"profiles\":[");
        for (place, row) in self.rows.iter().enumerate() {
            if place > 0 {
                body.push(',');
            }
            body.push_str(&row.item);
        }
        body.push_str("]}");
        body
    }

    /// The names of all identifiers in it.
    pub(super) fn keys(&self) -> Vec<u64> {
        let keys: BTreeSet<u64> = self
            .rows
            .iter()
            .flat_map(|row| row.keys.iter().copied())
            .collect();
        keys.into_iter().collect()
    }

    /// The line of the row in this place.
    pub(super) fn line(&self, place: usize) -> Option<u64> {
        self.rows.get(place).map(|row| row.line)
    }

    /// The rows in other places than these.
    pub(super) fn without(self, places: &BTreeSet<usize>) -> Self {
        let rows = self.rows.into_iter().enumerate();
        let rows = rows.filter(|(place, _)| !places.contains(place));
        rows.map(|(_, row)| row).collect()
    }

    /// Its first half and its second.
    pub(super) fn halves(mut self) -> [Self; 2] {
        let second = self.rows.split_off(self.rows.len() / 2);
        [
            self.rows.into_iter().collect(),
            second.into_iter().collect(),
        ]
    }
}

impl FromIterator<Row> for Batch {
    fn from_iter<I: IntoIterator<Item = Row>>(rows: I) -> Self {
        let mut batch = Self::default();
        rows.into_iter().for_each(|row| batch.push(row));
        batch
    }
}

/// Identifiers of which something is under way, each with how many batches have it.
#[derive(Debug, Default)]
pub(super) struct Busy(HashMap<u64, usize>);

impl Busy {
    /// Whether one of these is under way.
    pub(super) fn meets(&self, keys: &[u64]) -> bool {
        keys.iter().any(|key| self.0.contains_key(key))
    }

    pub(super) fn begin(&mut self, keys: &[u64]) {
        for key in keys {
            *self.0.entry(*key).or_default() += 1;
        }
    }

    pub(super) fn end(&mut self, keys: &[u64]) {
        for key in keys {
            if let Some(count) = self.0.get_mut(key) {
                *count -= 1;
                if *count == 0 {
                    self.0.remove(key);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row(line: u64, keys: &[u64]) -> Row {
        Row {
            line,
            item: format!("{{\"traits\":{{\"line\":{line}}}}}"),
            keys: keys.to_vec(),
        }
    }

    fn lines(batch: &Batch) -> Vec<u64> {
        (0..batch.len())
            .filter_map(|place| batch.line(place))
            .collect()
    }

    #[test]
    fn a_body_is_the_items_in_order() {
        let batch: Batch = [row(1, &[]), row(2, &[])].into_iter().collect();
        let body: serde_json::Value = serde_json::from_str(&batch.body()).unwrap();
        let expected =
            serde_json::json!({"profiles": [{"traits": {"line": 1}}, {"traits": {"line": 2}}]});
        assert_eq!(body, expected);
    }

    #[test]
    fn a_batch_is_full_by_rows_or_by_bytes() {
        let mut batch: Batch = (0..9).map(|line| row(line, &[])).collect();
        assert!(batch.takes(&row(9, &[]), 10) && !batch.takes(&row(9, &[]), 9));
        let large = Row {
            item: "x".repeat(BATCH_BYTES_MAX),
            ..row(9, &[])
        };
        assert!(!batch.takes(&large, 1000));
        batch = Batch::default();
        assert!(batch.takes(&large, 1));
        batch.push(large);
        assert!(!batch.takes(&row(9, &[]), 1000));
    }

    #[test]
    fn what_is_under_way_twice_ends_twice() {
        let mut busy = Busy::default();
        busy.begin(&[1, 2]);
        busy.begin(&[2, 3]);
        busy.end(&[1, 2]);
        assert!(!busy.meets(&[1, 4]) && busy.meets(&[2]) && busy.meets(&[4, 3]));
        busy.end(&[2, 3]);
        assert!(!busy.meets(&[1, 2, 3]));
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_the_order_stays(count in 1_u64..40, gone: BTreeSet<u8>) {
            let all: Vec<u64> = (0..count).collect();
            let whole = || -> Batch { all.iter().map(|line| row(*line, &[*line])).collect() };
            let [first, second] = whole().halves();
            prop_assert_eq!([lines(&first), lines(&second)].concat(), all.clone());
            prop_assert!(count == 1 || !first.is_empty() && !second.is_empty());
            let places: BTreeSet<usize> = gone.iter().map(|place| usize::from(*place)).collect();
            let left = whole().without(&places);
            let stays = |line: &u64| !gone.iter().any(|place| u64::from(*place) == *line);
            let expected: Vec<u64> = all.iter().copied().filter(stays).collect();
            prop_assert_eq!(left.keys(), expected.clone());
            prop_assert_eq!(lines(&left), expected);
        }
    }
}
