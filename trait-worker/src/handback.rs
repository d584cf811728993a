//! Partitions that were asked back and are not yet released. Pure.

use std::collections::BTreeSet;
use std::time::Duration;

use kith_profiles::ports::Partition;

/// What is being handed back. Partitions that were asked back together are released together.
#[derive(Debug, Default)]
pub(crate) struct HandBacks(Vec<HandBack>);

#[derive(Debug)]
struct HandBack {
    partitions: BTreeSet<Partition>,
    deadline: Duration,
}

impl HandBacks {
    /// These were asked back, and must be released at `deadline`, finished or not.
    pub(crate) fn add(
        &mut self,
        partitions: impl IntoIterator<Item = Partition>,
        deadline: Duration,
    ) {
        let partitions: BTreeSet<_> = partitions.into_iter().collect();
        if !partitions.is_empty() {
            self.0.push(HandBack {
                partitions,
                deadline,
            });
        }
    }

    /// This one is not ours to release any more: lost, or assigned anew.
    pub(crate) fn forget(&mut self, partition: Partition) {
        for hand_back in &mut self.0 {
            hand_back.partitions.remove(&partition);
        }
        self.0.retain(|hand_back| !hand_back.partitions.is_empty());
    }

    /// What is to be released now: each set of which everything is finished, or whose time is over.
    pub(crate) fn take_due(
        &mut self,
        now: Duration,
        finished: impl Fn(Partition) -> bool,
    ) -> Option<Vec<Partition>> {
        let due = self.0.iter().position(|hand_back| {
            now >= hand_back.deadline || hand_back.partitions.iter().all(|p| finished(*p))
        })?;
        Some(self.0.remove(due).partitions.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Partition = Partition(1);
    const B: Partition = Partition(2);
    const LATER: Duration = Duration::from_secs(10);

    #[test]
    fn a_set_is_released_when_all_of_it_is_finished() {
        let mut hand_backs = HandBacks::default();
        hand_backs.add([A, B], LATER);
        assert_eq!(hand_backs.take_due(Duration::ZERO, |p| p == A), None);
        assert_eq!(
            hand_backs.take_due(Duration::ZERO, |_| true),
            Some(vec![A, B])
        );
        assert_eq!(hand_backs.take_due(LATER, |_| true), None, "once");
    }

    #[test]
    fn a_set_is_released_at_its_deadline() {
        let mut hand_backs = HandBacks::default();
        hand_backs.add([A], LATER);
        assert_eq!(hand_backs.take_due(LATER, |_| false), Some(vec![A]));
    }

    #[test]
    fn what_is_lost_is_not_released_and_holds_nothing_up() {
        let mut hand_backs = HandBacks::default();
        hand_backs.add([A, B], LATER);
        hand_backs.forget(B);
        assert_eq!(
            hand_backs.take_due(Duration::ZERO, |p| p == A),
            Some(vec![A])
        );
        hand_backs.add([A], LATER);
        hand_backs.forget(A);
        assert_eq!(hand_backs.take_due(LATER, |_| true), None);
    }
}
