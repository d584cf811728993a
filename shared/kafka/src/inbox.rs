//! What the client's threads leave for the consumer's owner, and what the owner tells them.
//!
//! Bounded: the library reports one change of ownership at a time and waits for its answer, and of errors only the latest
//! is kept.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kith_profiles::error::Cause;
use tokio::sync::Notify;

/// A change of ownership that the owner has not been told yet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// Offered; the owner takes it by assigning.
    Assign(Vec<i32>),
    /// Asked back; the owner gives it by unassigning.
    Revoke(Vec<i32>),
    /// Gone, and answered already.
    Lost(Vec<i32>),
}

/// A change that the library waits for an answer to. There is never more than one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Due {
    /// Assign these.
    Assign(Vec<i32>),
    /// Unassign these.
    Revoke(Vec<i32>),
}

#[derive(Default)]
struct State {
    notices: VecDeque<Notice>,
    due: Option<Due>,
    /// How far the group was in the partitions that are due.
    begins: BTreeMap<i32, i64>,
    trouble: Option<Cause>,
    fatal: Option<Cause>,
    /// The owner is gone or going: whoever sees a change of ownership answers it himself.
    closing: bool,
    /// What became of the last commit.
    parting: Option<Cause>,
}

pub(crate) struct Inbox {
    state: Mutex<State>,
    wake: Notify,
    start: Instant,
    /// Milliseconds from `start` until the owner was last here; [`HERE`] while it waits in here.
    seen: AtomicU64,
}

const HERE: u64 = u64::MAX;

impl Default for Inbox {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            wake: Notify::new(),
            start: Instant::now(),
            seen: AtomicU64::new(0),
        }
    }
}

// What the client's threads do.
impl Inbox {
    /// Puts a change down for the owner. `false`: there is no owner any more, answer it now.
    pub(crate) fn offer(&self, due: Due) -> bool {
        let mut state = self.state();
        if state.closing {
            return false;
        }
        state.notices.push_back(match &due {
            Due::Assign(partitions) => Notice::Assign(partitions.clone()),
            Due::Revoke(partitions) => Notice::Revoke(partitions.clone()),
        });
        state.due = Some(due);
        drop(state);
        self.wake();
        true
    }

    /// Says how far the group is in the partitions that are offered next.
    pub(crate) fn begin_at(&self, offsets: BTreeMap<i32, i64>) {
        self.state().begins = offsets;
    }

    /// Partitions that were taken away.
    pub(crate) fn lost(&self, partitions: Vec<i32>) {
        self.state().notices.push_back(Notice::Lost(partitions));
        self.wake();
    }

    /// Something went wrong that may pass.
    pub(crate) fn trouble(&self, cause: Cause) {
        self.state().trouble = Some(cause);
        self.wake();
    }

    /// Something went wrong for good. The first cause is kept.
    pub(crate) fn fatal(&self, cause: Cause) {
        self.state().fatal.get_or_insert(cause);
        self.wake();
    }

    /// Wakes the owner. Called by the library with a lock of its own held: it must not call back.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Whether the owner is gone or going.
    pub(crate) fn closing(&self) -> bool {
        self.state().closing
    }

    /// How long nobody has asked for an event. Zero while somebody waits for one.
    pub(crate) fn silent_for(&self) -> Duration {
        match self.seen.load(Ordering::Acquire) {
            HERE => Duration::ZERO,
            seen => self
                .start
                .elapsed()
                .saturating_sub(Duration::from_millis(seen)),
        }
    }

    pub(crate) fn parted(&self, cause: Cause) {
        self.state().parting = Some(cause);
    }
}

// What the owner does.
impl Inbox {
    /// Says that the owner is here until the guard is dropped.
    pub(crate) fn attend(self: &Arc<Self>) -> Attendance {
        self.seen.store(HERE, Ordering::Release);
        Attendance(Arc::clone(self))
    }

    pub(crate) async fn wait(&self) {
        self.wake.notified().await;
    }

    pub(crate) fn fatal_cause(&self) -> Option<Cause> {
        self.state().fatal.clone()
    }

    pub(crate) fn take_notice(&self) -> Option<Notice> {
        self.state().notices.pop_front()
    }

    /// How far the group was in the partitions that were offered last, as far as that is known.
    pub(crate) fn take_begins(&self) -> BTreeMap<i32, i64> {
        std::mem::take(&mut self.state().begins)
    }

    pub(crate) fn take_trouble(&self) -> Option<Cause> {
        self.state().trouble.take()
    }

    /// Takes the duty to answer.
    pub(crate) fn take_due(&self) -> Option<Due> {
        self.state().due.take()
    }

    /// No owner from here on. Whoever calls this answers what is due.
    pub(crate) fn close(&self) {
        self.state().closing = true;
    }

    pub(crate) fn take_parting(&self) -> Option<Cause> {
        self.state().parting.take()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here is left half done by a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The owner is here.
pub(crate) struct Attendance(Arc<Inbox>);

impl Drop for Attendance {
    fn drop(&mut self) {
        let now = u64::try_from(self.0.start.elapsed().as_millis()).unwrap_or(HERE - 1);
        self.0.seen.store(now, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_ownership_is_told_once_and_answered_once() {
        let inbox = Inbox::default();
        assert!(inbox.offer(Due::Revoke(vec![3])));
        assert_eq!(inbox.take_notice(), Some(Notice::Revoke(vec![3])));
        assert_eq!(inbox.take_notice(), None);
        assert_eq!(inbox.take_due(), Some(Due::Revoke(vec![3])));
        assert_eq!(inbox.take_due(), None);
    }

    #[test]
    fn without_an_owner_nothing_is_left_for_one() {
        let inbox = Inbox::default();
        inbox.close();
        assert!(!inbox.offer(Due::Assign(vec![1])));
        assert_eq!(inbox.take_notice(), None);
        assert_eq!(inbox.take_due(), None);
    }

    #[test]
    fn an_owner_that_waits_is_not_silent() {
        let inbox = Arc::new(Inbox::default());
        let here = inbox.attend();
        assert_eq!(inbox.silent_for(), Duration::ZERO);
        drop(here);
        assert!(inbox.silent_for() < Duration::from_secs(10));
    }
}
