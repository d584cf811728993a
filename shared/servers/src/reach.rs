//! Reaching servers at the start, and comparing clocks from then on.

use std::error::Error;
use std::future::Future;
use std::time::Duration;

use kith_profiles::error::PortError;
use kith_profiles::ports::Clock;
use kith_runtime::clock::SystemClock;
use kith_runtime::health::Condition;
use kith_scylla::{ConnectError, Cql};
use tracing::warn;

/// How long the log may take to answer that it is there.
pub const REACH_LIMIT: Duration = Duration::from_secs(5);
/// Waits between two tries at the start: doubling between these.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// How often the clocks are compared (`trait-order.md` 8).
const COMPARE_EVERY: Duration = Duration::from_secs(10);
/// An answer that took longer than this would make the own clock look ahead.
const ANSWER_MAX: Duration = Duration::from_secs(1);

/// Whether trying again can help.
pub trait Hopeless: Error + Send + Sync + 'static {
    /// It cannot.
    fn is_hopeless(&self) -> bool;
}

impl Hopeless for ConnectError {
    fn is_hopeless(&self) -> bool {
        matches!(self, Self::Config(_))
    }
}

impl Hopeless for PortError {
    fn is_hopeless(&self) -> bool {
        !matches!(self, Self::Unavailable { .. })
    }
}

/// Tries until it works, however long it takes: whoever starts everything at once should not have to mind the order. The
/// condition of readiness says meanwhile what is waited for.
///
/// # Errors
/// One that no other try will mend.
pub async fn insist<T, E, F>(
    condition: &Condition,
    dependency: &'static str,
    attempt: impl Fn() -> F,
) -> Result<T, E>
where
    E: Hopeless,
    F: Future<Output = Result<T, E>>,
{
    let mut wait = FIRST_WAIT;
    loop {
        match attempt().await {
            Ok(reached) => {
                condition.set_ready();
                return Ok(reached);
            }
            Err(error) if error.is_hopeless() => return Err(error),
            Err(error) => {
                condition.set_not_ready(error.to_string());
                let error: &(dyn Error + 'static) = &error;
                warn!(
                    dependency,
                    error, "cannot be reached at the start, tried again"
                );
            }
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// Compares the machine's clock with the database's, for ever: a clock that runs ahead must not give stamps.
pub async fn compare_clocks(clock: &SystemClock, database: &Cql) {
    loop {
        if let Ok(Ok(at)) = tokio::time::timeout(ANSWER_MAX, database.now()).await {
            clock.observe_database_time(at);
        }
        clock.sleep(COMPARE_EVERY).await;
    }
}
