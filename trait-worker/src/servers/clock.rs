//! The machine's clock, shared between the worker and what compares it with the database's.

use std::sync::Arc;
use std::time::Duration;

use kith_domain::time::Micros;
use kith_profiles::error::ClockUnsound;
use kith_profiles::ports::Clock;
use kith_runtime::clock::SystemClock;
use kith_scylla::Cql;

/// How often the clocks are compared (`trait-order.md` 8).
const COMPARE_EVERY: Duration = Duration::from_secs(10);
/// An answer that took longer than this would make the own clock look ahead.
const ANSWER_MAX: Duration = Duration::from_secs(1);

/// A handle on the machine's clock.
#[derive(Debug, Clone, Default)]
pub(crate) struct SharedClock(Arc<SystemClock>);

impl SharedClock {
    /// Compares it with the database's, for ever. A worker gives no stamps: what depends on it here is lag in seconds.
    pub(crate) async fn compare_with(&self, database: &Cql) {
        loop {
            if let Ok(Ok(at)) = tokio::time::timeout(ANSWER_MAX, database.now()).await {
                self.0.observe_database_time(at);
            }
            self.sleep(COMPARE_EVERY).await;
        }
    }
}

impl Clock for SharedClock {
    fn now(&self) -> Result<Micros, ClockUnsound> {
        self.0.now()
    }

    fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }

    async fn sleep(&self, duration: Duration) {
        self.0.sleep(duration).await;
    }
}
