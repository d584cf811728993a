//! The trait log behind a breaker.

use kith_profiles::error::PublishError;
use kith_profiles::ports::{NewRecord, TraitLog};

use super::Dependency;

/// Feeds a breaker with the outcomes of publishing. It refuses nothing itself: a request asks [`Dependency::admit`] before
/// its first read, and once it has claimed something it should be tried to the end.
#[derive(Debug, Clone)]
pub struct GuardedLog<L> {
    inner: L,
    dependency: Dependency,
}

impl<L> GuardedLog<L> {
    /// Guards a log.
    pub fn new(inner: L, dependency: Dependency) -> Self {
        Self { inner, dependency }
    }

    /// The breaker, for admission.
    #[must_use]
    pub fn dependency(&self) -> &Dependency {
        &self.dependency
    }
}

impl<L: TraitLog> TraitLog for GuardedLog<L> {
    async fn publish(&self, record: NewRecord) -> Result<(), PublishError> {
        let attempt = self.dependency.attempt();
        let result = self.inner.publish(record).await;
        match &result {
            Ok(()) => attempt.succeeded(),
            Err(PublishError::Unavailable(_)) => attempt.failed(),
            // Our own queue, or a record that no log would take: neither says that the log is down.
            Err(PublishError::Full | PublishError::TooLarge) => attempt.neither(),
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use bytes::Bytes;

    use super::*;
    use crate::breaker::{BreakerConfig, BreakerState};

    struct Scripted(Mutex<Vec<Result<(), PublishError>>>);

    impl TraitLog for Scripted {
        async fn publish(&self, _: NewRecord) -> Result<(), PublishError> {
            self.0.lock().unwrap().remove(0)
        }
    }

    async fn state_after(outcomes: Vec<Result<(), PublishError>>) -> BreakerState {
        let dependency = Dependency::new("log", BreakerConfig::default());
        let count = outcomes.len();
        let log = GuardedLog::new(Scripted(Mutex::new(outcomes)), dependency.clone());
        for _ in 0..count {
            let record = NewRecord {
                key: Bytes::new(),
                payload: Bytes::new(),
                headers: Vec::new(),
            };
            drop(log.publish(record).await);
        }
        dependency.state()
    }

    #[tokio::test]
    async fn only_an_unavailable_log_opens_the_breaker() {
        let down = || Err(PublishError::Unavailable(None));
        assert_eq!(
            state_after(vec![down(), down(), down()]).await,
            BreakerState::Open
        );
        let full = (0..10).map(|_| Err(PublishError::Full)).collect();
        assert_eq!(state_after(full).await, BreakerState::Closed);
        let large = (0..10).map(|_| Err(PublishError::TooLarge)).collect();
        assert_eq!(state_after(large).await, BreakerState::Closed);
    }

    #[tokio::test]
    async fn a_full_queue_between_failures_changes_nothing() {
        let down = || Err(PublishError::Unavailable(None));
        let outcomes = vec![
            down(),
            Err(PublishError::Full),
            down(),
            Err(PublishError::Full),
            down(),
        ];
        assert_eq!(state_after(outcomes).await, BreakerState::Open);
    }

    #[tokio::test]
    async fn an_acknowledged_record_closes_it() {
        let down = || Err(PublishError::Unavailable(None));
        let outcomes = vec![down(), down(), down(), Ok(())];
        assert_eq!(state_after(outcomes).await, BreakerState::Closed);
    }
}
