//! Whether too many records are invalid. Pure.
//!
//! A few invalid records are bad luck: they go to the dead letters and the flow goes on. Many in a row are a bad
//! deployment, of a producer or of this worker, and putting all of them aside would empty the topic: then the worker stops.

use std::collections::VecDeque;

/// When invalid records are too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidMax {
    /// More than this many
    pub records: usize,
    /// among this many that were read last.
    pub window: usize,
}

/// What was read last, and how much of it was invalid.
#[derive(Debug)]
pub(crate) struct InvalidWatch {
    max: Option<InvalidMax>,
    last: VecDeque<bool>,
    invalid: usize,
}

impl InvalidWatch {
    /// `None`: never too many.
    pub(crate) fn new(max: Option<InvalidMax>) -> Self {
        Self {
            max,
            last: VecDeque::new(),
            invalid: 0,
        }
    }

    /// A record was decoded, or could not be. True if that was one too many.
    pub(crate) fn observe(&mut self, invalid: bool) -> bool {
        let Some(max) = self.max else {
            return false;
        };
        if self.last.len() >= max.window.max(1)
            && let Some(true) = self.last.pop_front()
        {
            self.invalid -= 1;
        }
        self.last.push_back(invalid);
        self.invalid += usize::from(invalid);
        self.invalid > max.records
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_more_than_the_limit_is_too_many() {
        let mut watch = InvalidWatch::new(Some(InvalidMax {
            records: 2,
            window: 10,
        }));
        assert!(!watch.observe(true));
        assert!(!watch.observe(false));
        assert!(!watch.observe(true));
        assert!(watch.observe(true));
    }

    #[test]
    fn without_a_limit_none_are_too_many() {
        let mut watch = InvalidWatch::new(None);
        assert!((0..10_000).all(|_| !watch.observe(true)));
        assert_eq!(watch.last.len(), 0);
    }

    proptest! {
        #[test]
        fn only_the_window_counts(records in proptest::collection::vec(any::<bool>(), 0..200), limit in 0usize..5, window in 1usize..12) {
            let mut watch = InvalidWatch::new(Some(InvalidMax { records: limit, window }));
            for (at, invalid) in records.iter().enumerate() {
                let from = (at + 1).saturating_sub(window);
                let expected = records[from..=at].iter().filter(|invalid| **invalid).count();
                prop_assert_eq!(watch.observe(*invalid), expected > limit);
            }
        }
    }
}
