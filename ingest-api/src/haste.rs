//! What becomes of those who come back sooner than they were told to: under overload they are refused again, but not at once.
//!
//! Whoever asks again as soon as it is refused gets thousands of refusals a second, and those who were let in wait for the processor
//! that this takes. So a refusal that comes before the time that the one before it on the same connection named is kept back: for a
//! moment, as many callers may share a connection, each time for twice as long, and at most until that time. The first is given
//! at once, and whoever waits as long as is said never notices.

use std::cell::Cell;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until};

/// Refusals that are kept back at once, at most; others are given at once. Each holds its connection, and there must be some left for
/// those who are let in (`CONNECTIONS_MAX`).
const KEPT_BACK_MAX: usize = 4_096;

/// For how long the first refusal that comes too soon is kept back.
const FIRST: Duration = Duration::from_millis(25);

/// What somebody was told: a connection's own.
#[derive(Debug, Default)]
pub(crate) struct Told(Cell<Option<Next>>);

/// When to come back, and for how long a refusal that comes sooner is kept back.
#[derive(Debug, Clone, Copy)]
struct Next {
    due: Instant,
    patience: Duration,
}

impl Told {
    /// Takes note of a refusal that tells to come back after so long; until when it is to be kept back, if somebody was hasty.
    fn refused(&self, now: Instant, retry_after: Duration) -> Option<Instant> {
        let hasty = self.0.get().filter(|next| next.due > now);
        let until = hasty.map(|next| next.due.min(now + next.patience));
        self.0.set(Some(Next {
            due: until.unwrap_or(now) + retry_after,
            patience: hasty.map_or(FIRST, |next| retry_after.min(2 * next.patience)),
        }));
        until
    }
}

/// The refusals that are kept back. One a process.
#[derive(Debug)]
pub(crate) struct Haste {
    places: Semaphore,
}

impl Haste {
    pub(crate) fn new() -> Self {
        Self {
            places: Semaphore::new(KEPT_BACK_MAX),
        }
    }

    /// Keeps a refusal back for as long as it has to be, if there is a place.
    pub(crate) async fn keep_back(&self, told: &Told, retry_after: Duration) {
        let Ok(_place) = self.places.try_acquire() else {
            return;
        };
        if let Some(until) = told.refused(Instant::now(), retry_after) {
            sleep_until(until).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const SOON: Duration = Duration::from_secs(1);

    #[test]
    fn whoever_comes_back_sooner_waits_each_time_for_twice_as_long() {
        let (told, began) = (Told::default(), Instant::now());
        assert_eq!(told.refused(began, SOON), None, "the first is at once");
        let mut now = began;
        for doubled in [1, 2, 4, 8, 16, 32] {
            let until = told.refused(now, SOON).unwrap();
            assert_eq!(until - now, doubled * FIRST);
            now = until;
        }
        for _ in 0..3 {
            let until = told.refused(now, SOON).unwrap();
            assert_eq!(until - now, SOON, "and no longer than it was told");
            now = until;
        }
        let late = now + SOON - FIRST;
        assert_eq!(told.refused(late, SOON), Some(now + SOON));
    }

    #[test]
    fn whoever_comes_back_when_told_to_never_waits() {
        let (told, began) = (Told::default(), Instant::now());
        for refusal in 0..3 {
            assert_eq!(told.refused(began + refusal * SOON, SOON), None);
        }
        let soon = began + 2 * SOON;
        assert_eq!(told.refused(soon, SOON), Some(soon + FIRST));
    }

    #[tokio::test]
    async fn one_too_many_is_refused_at_once() {
        let (haste, told) = (Haste::new(), Told::default());
        let hour = Duration::from_secs(3_600);
        haste.keep_back(&told, hour).await;
        let _all = haste
            .places
            .try_acquire_many(u32::try_from(KEPT_BACK_MAX).unwrap())
            .unwrap();
        let kept_back = timeout(Duration::from_secs(10), haste.keep_back(&told, hour));
        kept_back.await.expect("it is given at once");
    }
}
