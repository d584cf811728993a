//! Poll: the next event of the log, and the gate in front of it.
//!
//! Polling never stops, also while nothing may be read: it is what keeps the membership and tells of rebalances. What
//! stops reading is pausing every partition.

use std::collections::BTreeSet;
use std::time::Duration;

use kith_profiles::ports::{Clock, LogEvent, Partition, TraitSource};

use super::Otherwise;

/// The stage's name, in metrics and errors.
pub(crate) const STAGE: &str = "poll";

/// What the poll remembers between two events.
#[derive(Debug, Default)]
pub(crate) struct Intake {
    /// Partitions that the log was told to pause.
    paused: BTreeSet<Partition>,
    /// After a failure: not before this, by the monotonic clock.
    not_before: Option<Duration>,
    failures: u32,
}

impl Intake {
    /// The next event. Cancel safe.
    pub(crate) async fn next<S: TraitSource, C: Clock>(
        &self,
        source: &mut S,
        clock: &C,
    ) -> Result<LogEvent, Otherwise> {
        if let Some(not_before) = self.not_before {
            let wait = not_before.saturating_sub(clock.monotonic());
            if !wait.is_zero() {
                clock.sleep(wait).await;
            }
        }
        source
            .next()
            .await
            .map_err(|error| Otherwise::from_port(STAGE, error))
    }

    /// An event came. True if that ends a trouble.
    pub(crate) fn succeeded(&mut self) -> bool {
        self.not_before = None;
        std::mem::take(&mut self.failures) > 0
    }

    /// The log is out of reach. Gives the number of failures in a row.
    pub(crate) fn failed(&mut self) -> u32 {
        self.failures = self.failures.saturating_add(1);
        self.failures
    }

    /// No event is asked for before this, by the monotonic clock.
    pub(crate) fn wait_until(&mut self, not_before: Duration) {
        self.not_before = Some(not_before);
    }

    /// Nothing comes from a log that is empty, so a trouble is over, too, when it was not told again for so long. True if
    /// that is so now.
    pub(crate) fn calmed_down(&mut self, now: Duration, quiet: Duration) -> bool {
        let calm = self.not_before.is_some_and(|asked| now > asked + quiet);
        calm && self.succeeded()
    }

    /// Whether the log is out of reach.
    pub(crate) fn is_troubled(&self) -> bool {
        self.failures > 0
    }

    /// Pauses all partitions that records may come from, or resumes all that are paused. Cheap when nothing changes.
    pub(crate) fn gate<S: TraitSource>(
        &mut self,
        source: &mut S,
        shut: bool,
        active: impl Iterator<Item = Partition>,
    ) -> Result<(), Otherwise> {
        let from_port = |error| Otherwise::from_port(STAGE, error);
        if shut {
            let open: Vec<_> = active.filter(|p| !self.paused.contains(p)).collect();
            if !open.is_empty() {
                source.pause(&open).map_err(from_port)?;
                self.paused.extend(open);
            }
        } else if !self.paused.is_empty() {
            let paused: Vec<_> = self.paused.iter().copied().collect();
            source.resume(&paused).map_err(from_port)?;
            self.paused.clear();
        }
        Ok(())
    }

    /// A partition is not ours, or ours anew: pausing belongs to an assignment.
    pub(crate) fn forget(&mut self, partition: Partition) {
        self.paused.remove(&partition);
    }
}

#[cfg(test)]
mod tests {
    use kith_profiles::error::PortError;
    use kith_profiles::ports::{Lag, NextOffset};

    use super::*;

    #[derive(Default)]
    struct Calls(Vec<(&'static str, Vec<i32>)>);

    impl TraitSource for Calls {
        async fn next(&mut self) -> Result<LogEvent, PortError> {
            std::future::pending().await
        }
        fn commit(&mut self, _: &[(Partition, NextOffset)]) -> Result<(), PortError> {
            Ok(())
        }
        fn pause(&mut self, partitions: &[Partition]) -> Result<(), PortError> {
            self.0
                .push(("pause", partitions.iter().map(|p| p.0).collect()));
            Ok(())
        }
        fn resume(&mut self, partitions: &[Partition]) -> Result<(), PortError> {
            self.0
                .push(("resume", partitions.iter().map(|p| p.0).collect()));
            Ok(())
        }
        async fn release(&mut self, _: &[Partition]) -> Result<(), PortError> {
            Ok(())
        }
        fn lag(&self) -> Vec<Lag> {
            Vec::new()
        }
        async fn close(self, _: Duration) -> Result<(), PortError> {
            Ok(())
        }
    }

    fn active(partitions: &[i32]) -> impl Iterator<Item = Partition> + '_ {
        partitions.iter().map(|p| Partition(*p))
    }

    #[test]
    fn the_gate_tells_the_log_what_changes_and_nothing_else() {
        let (mut intake, mut calls) = (Intake::default(), Calls::default());
        for (shut, partitions) in [
            (false, vec![1, 2]),
            (true, vec![1, 2]),
            (true, vec![1, 2]),
            (true, vec![1, 2, 3]),
            (false, vec![1, 2, 3]),
            (false, vec![1, 2, 3]),
        ] {
            intake.gate(&mut calls, shut, active(&partitions)).unwrap();
        }
        assert_eq!(
            calls.0,
            [
                ("pause", vec![1, 2]),
                ("pause", vec![3]),
                ("resume", vec![1, 2, 3])
            ]
        );
    }

    #[test]
    fn a_partition_that_comes_back_is_paused_anew() {
        let (mut intake, mut calls) = (Intake::default(), Calls::default());
        intake.gate(&mut calls, true, active(&[1])).unwrap();
        intake.forget(Partition(1));
        intake.gate(&mut calls, true, active(&[1])).unwrap();
        assert_eq!(calls.0, [("pause", vec![1]), ("pause", vec![1])]);
        intake.forget(Partition(1));
        intake.gate(&mut calls, false, active(&[])).unwrap();
        assert_eq!(calls.0.len(), 2, "nothing to resume");
    }
}
