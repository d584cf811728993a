//! A budget for sending statements again.
//!
//! Where a database is slow because it has too much to do, sending again what it did not answer gives it more. So whoever
//! sends for the first time earns a share of a repetition for the whole process, and every repetition is paid for: in the
//! long run they add at most a fifth to the load, and a burst of five hundred is let pass, as when a node goes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Repetitions that a hundred first tries earn.
const SHARE: u64 = 20;
/// Repetitions that can be saved up; what a process begins with.
const SAVED_MAX: u64 = 500;
/// Of what is counted, in one repetition.
const UNIT: u64 = 100;

/// What a process may still send again. Clones share it.
#[derive(Debug, Clone)]
pub struct RetryBudget {
    saved: Arc<AtomicU64>,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self {
            saved: Arc::new(AtomicU64::new(SAVED_MAX * UNIT)),
        }
    }
}

impl RetryBudget {
    /// So many statements are sent for the first time.
    pub(crate) fn earn(&self, statements: usize) {
        let earned = SHARE.saturating_mul(statements as u64);
        self.change(|saved| Some(saved.saturating_add(earned).min(SAVED_MAX * UNIT)));
    }

    /// Pays for sending so many statements again. False, and nothing is paid, if there is not enough.
    pub(crate) fn spend(&self, statements: usize) -> bool {
        let cost = UNIT.saturating_mul(statements as u64);
        self.change(|saved| saved.checked_sub(cost))
    }

    fn change(&self, change: impl FnMut(u64) -> Option<u64>) -> bool {
        // Nothing else is read or written by what it says.
        self.saved
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, change)
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_one_in_five() {
        let budget = RetryBudget::default();
        assert!((0..SAVED_MAX).all(|_| budget.spend(1)));
        assert!(!budget.spend(1));
        budget.earn(4);
        assert!(!budget.spend(1));
        budget.earn(1);
        assert!(budget.spend(1));
        assert!(!budget.spend(1));
    }

    #[test]
    fn statements_are_sent_again_together_or_not_at_all() {
        let budget = RetryBudget::default();
        assert!(!budget.spend(501));
        assert!(budget.spend(500));
    }

    #[test]
    fn no_more_is_saved_than_a_burst() {
        let budget = RetryBudget::default();
        budget.earn(1_000_000);
        assert!(budget.spend(500));
        assert!(!budget.spend(1));
    }
}
