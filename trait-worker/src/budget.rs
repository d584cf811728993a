//! How much of the log is in flight: records and bytes, bounded. Pure.
//!
//! A record counts from the moment it is read until the frontier of its partition has passed it; its bytes count for as
//! long as something holds them. Past either limit the worker pauses its partitions, and goes on only below a low mark, so
//! that it does not pause and resume with every record.

/// Records and bytes: what may be in flight, or is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) records: usize,
    pub(crate) bytes: usize,
}

/// What is in flight. One batch of the log may take it past its limits, and one record larger than all of them is let
/// through when nothing else is there: limits bound what is asked for, and nothing read is ever refused.
#[derive(Debug)]
pub(crate) struct Budget {
    limits: Limits,
    records: usize,
    bytes: usize,
    full: bool,
}

impl Budget {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            records: 0,
            bytes: 0,
            full: false,
        }
    }

    /// A record of this size was read.
    pub(crate) fn charge(&mut self, bytes: usize) {
        self.records += 1;
        self.bytes += bytes;
        self.judge();
    }

    /// The frontier passed this many records, or they were given up with their partition.
    pub(crate) fn refund_records(&mut self, records: usize) {
        self.records = self
            .records
            .checked_sub(records)
            .expect("a record is refunded once");
        self.judge();
    }

    /// Nothing holds these bytes any more.
    pub(crate) fn refund_bytes(&mut self, bytes: usize) {
        self.bytes = self
            .bytes
            .checked_sub(bytes)
            .expect("a byte is refunded once");
        self.judge();
    }

    /// Whether nothing more should be read for now.
    pub(crate) fn is_full(&self) -> bool {
        self.full
    }

    /// Records and bytes that are in flight.
    pub(crate) fn held(&self) -> Limits {
        Limits {
            records: self.records,
            bytes: self.bytes,
        }
    }

    /// What may be.
    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }

    fn judge(&mut self) {
        let past = |part: usize, limit: usize| part >= limit;
        let low = |part: usize, limit: usize| part <= limit / 2;
        if past(self.records, self.limits.records) || past(self.bytes, self.limits.bytes) {
            self.full = true;
        } else if low(self.records, self.limits.records) && low(self.bytes, self.limits.bytes) {
            self.full = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn budget() -> Budget {
        Budget::new(Limits {
            records: 4,
            bytes: 100,
        })
    }

    #[test]
    fn either_limit_makes_it_full() {
        let mut by_records = budget();
        for _ in 0..4 {
            assert!(!by_records.is_full());
            by_records.charge(1);
        }
        assert!(by_records.is_full());
        let mut by_bytes = budget();
        by_bytes.charge(100);
        assert!(by_bytes.is_full());
    }

    #[test]
    fn it_opens_below_the_low_mark_only() {
        let mut budget = budget();
        for _ in 0..4 {
            budget.charge(25);
        }
        budget.refund_records(4);
        assert!(budget.is_full(), "the bytes are still held");
        budget.refund_bytes(25);
        assert!(budget.is_full(), "below the limit, above the low mark");
        budget.refund_bytes(25);
        assert!(!budget.is_full());
    }

    #[test]
    fn a_record_past_every_limit_passes_alone() {
        let mut budget = budget();
        budget.charge(1_000);
        assert!(budget.is_full());
        let (records, bytes) = (1, 1_000);
        assert_eq!(budget.held(), Limits { records, bytes });
        budget.refund_bytes(1_000);
        budget.refund_records(1);
        assert!(!budget.is_full());
    }

    proptest! {
        #[test]
        fn it_is_full_past_a_limit_and_open_below_the_marks(steps in proptest::collection::vec((any::<bool>(), 0usize..60), 1..60)) {
            let mut budget = budget();
            let mut held: Vec<usize> = Vec::new();
            for (charge, bytes) in steps {
                if charge || held.is_empty() {
                    budget.charge(bytes);
                    held.push(bytes);
                } else {
                    budget.refund_bytes(held.swap_remove(bytes % held.len()));
                    budget.refund_records(1);
                }
                let total: usize = held.iter().sum();
                if held.len() >= 4 || total >= 100 {
                    prop_assert!(budget.is_full());
                }
                if held.len() <= 2 && total <= 50 {
                    prop_assert!(!budget.is_full());
                }
            }
        }
    }
}
