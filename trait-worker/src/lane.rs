//! Work of one kind: what waits, what is under way, what goes wrong. Pure.

use std::collections::VecDeque;

/// Work of one kind. Work that is to be tried again stays under way and keeps its place, so that during an outage no more
/// than the limit of it is ever tried.
#[derive(Debug)]
pub(crate) struct Lane<W> {
    waiting: VecDeque<W>,
    under_way: usize,
    limit: usize,
    troubled: usize,
}

impl<W> Lane<W> {
    /// At most `limit` pieces of work under way at once.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            waiting: VecDeque::new(),
            under_way: 0,
            limit: limit.max(1),
            troubled: 0,
        }
    }

    pub(crate) fn push(&mut self, work: W) {
        self.waiting.push_back(work);
    }

    /// The next piece of work, if there is a place for it. It is under way then.
    pub(crate) fn start(&mut self) -> Option<W> {
        if self.under_way >= self.limit {
            return None;
        }
        let work = self.waiting.pop_front()?;
        self.under_way += 1;
        Some(work)
    }

    /// Work that is under way failed for the first time, and will be tried again. True if nothing was failing before.
    pub(crate) fn failing(&mut self) -> bool {
        self.troubled += 1;
        self.troubled == 1
    }

    /// Work is under way no more. `failed`: it was [`Lane::failing`] before. True if that ends the trouble.
    pub(crate) fn ended(&mut self, failed: bool) -> bool {
        self.under_way -= 1;
        if failed {
            self.troubled -= 1;
        }
        failed && self.troubled == 0
    }

    /// Whether something is to be tried again.
    pub(crate) fn is_troubled(&self) -> bool {
        self.troubled > 0
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.under_way == 0
    }

    /// Takes back what waits and is not to be kept.
    pub(crate) fn take_if(&mut self, unwanted: impl Fn(&W) -> bool) -> Vec<W> {
        let (taken, kept): (Vec<W>, Vec<W>) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(unwanted);
        self.waiting = kept.into();
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_the_limit_is_under_way() {
        let mut lane = Lane::new(2);
        for work in 0..3 {
            lane.push(work);
        }
        assert_eq!(
            (lane.start(), lane.start(), lane.start()),
            (Some(0), Some(1), None)
        );
        assert!(!lane.ended(false));
        assert_eq!(lane.start(), Some(2));
        lane.ended(false);
        assert!(!lane.is_idle());
        lane.ended(false);
        assert!(lane.is_idle());
    }

    #[test]
    fn trouble_begins_with_the_first_failure_and_ends_with_the_last_recovery() {
        let mut lane = Lane::new(8);
        for work in 0..3 {
            lane.push(work);
            lane.start();
        }
        assert!(lane.failing());
        assert!(!lane.failing());
        assert!(!lane.ended(false), "another one was never in trouble");
        assert!(lane.is_troubled());
        assert!(!lane.ended(true));
        assert!(lane.ended(true));
        assert!(!lane.is_troubled() && lane.is_idle());
    }

    #[test]
    fn what_waits_can_be_taken_back_and_the_rest_keeps_its_order() {
        let mut lane = Lane::new(1);
        for work in 0..6 {
            lane.push(work);
        }
        assert_eq!(lane.take_if(|work| work % 2 == 0), [0, 2, 4]);
        assert_eq!(lane.start(), Some(1));
    }
}
