//! What is let in: a bound on the requests in flight and on the bytes that they bring, and the breakers of what they need.
//!
//! All of it is asked before a request's first read. Past a bound, or while a dependency is known to be down, the request
//! is refused at once: waiting in a queue would only turn one slow moment into many. A create takes the permit for its
//! event here, too: once it has claimed an identifier it must not find the way into the log full.

use std::sync::Arc;

use kith_profiles::error::{PortError, PublishError, Trouble};
use kith_runtime::breaker::{Attempt, Dependency};
use kith_runtime::metrics::names;
use metrics::{counter, gauge};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{ApiError, RETRY_SOON};

/// Bytes are counted in units of this size: permits are numbers of 32 bits.
const UNIT: usize = 1024;

/// Why a request is refused for which there is no room: labels of the metric.
pub(crate) const IN_FLIGHT: &str = "in_flight";
pub(crate) const BYTES: &str = "bytes";

/// Bounds on what is worked on at once.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Requests; each of them may publish one record.
    pub requests: usize,
    /// Bytes of bodies, and so of the events that are made of them. At least one body of the largest size is let in.
    pub bytes: usize,
}

/// What lets requests in. One a process.
#[derive(Debug)]
pub struct Admission {
    requests: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    units: usize,
    database: Dependency,
    log: Dependency,
}

/// What a request needs, and how many bytes of body it brings.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Need {
    /// The database.
    Read {
        /// Bytes of the body.
        bytes: usize,
    },
    /// The database and the log.
    Write {
        /// Bytes of the body.
        bytes: usize,
    },
}

impl Admission {
    /// Lets in what fits the bounds while these breakers are closed. The log's is fed by
    /// [`GuardedLog`](kith_runtime::breaker::GuardedLog), the database's by the outcomes of requests.
    #[must_use]
    pub fn new(bounds: Bounds, database: Dependency, log: Dependency) -> Self {
        let units = bounds.bytes.div_ceil(UNIT).min(Semaphore::MAX_PERMITS);
        let requests = bounds.requests.min(Semaphore::MAX_PERMITS);
        gauge!(names::HTTP_IN_FLIGHT).set(0.0);
        gauge!(names::HTTP_IN_FLIGHT_MAX).set(as_f64(requests));
        gauge!(names::HTTP_IN_FLIGHT_BYTES).set(0.0);
        gauge!(names::HTTP_IN_FLIGHT_BYTES_MAX).set(as_f64(units * UNIT));
        Self {
            requests: Arc::new(Semaphore::new(requests)),
            bytes: Arc::new(Semaphore::new(units)),
            units,
            database,
            log,
        }
    }

    /// Asks for one request, before its first read.
    ///
    /// # Errors
    /// [`ApiError::Refused`], counted.
    pub(crate) fn admit(&self, need: Need) -> Result<Permit, ApiError> {
        let (bytes, log) = match need {
            Need::Read { bytes } => (bytes, None),
            Need::Write { bytes } => (bytes, Some(&self.log)),
        };
        // Bounds first: a breaker lets one request after another try, and that one should then go on.
        let in_flight = Arc::clone(&self.requests)
            .try_acquire_owned()
            .map_err(|_| refuse(IN_FLIGHT, RETRY_SOON))?;
        let units = bytes.div_ceil(UNIT).min(self.units);
        let held = Arc::clone(&self.bytes)
            .try_acquire_many_owned(u32::try_from(units).unwrap_or(u32::MAX))
            .map_err(|_| refuse(BYTES, RETRY_SOON))?;
        if let Some(log) = log {
            log.admit()
                .map_err(|closed| refuse("log_unavailable", closed.retry_after))?;
        }
        self.database
            .admit()
            .map_err(|closed| refuse("database_unavailable", closed.retry_after))?;
        gauge!(names::HTTP_IN_FLIGHT).increment(1.0);
        let bytes = as_f64(held.num_permits() * UNIT);
        gauge!(names::HTTP_IN_FLIGHT_BYTES).increment(bytes);
        Ok(Permit {
            _in_flight: in_flight,
            bytes: held,
        })
    }

    /// Begins to use the database.
    pub(crate) fn attempt(&self) -> Attempt {
        self.database.attempt()
    }
}

/// Tells the database's breaker what a use case found.
pub(crate) fn observe<T>(attempt: Attempt, result: &Result<T, Trouble>) {
    match result {
        Ok(_) | Err(Trouble::Port(PortError::Corrupt { .. })) => attempt.succeeded(),
        // Waiting for conditional statements until the deadline: they were sent, and never answered for certain.
        Err(
            Trouble::Port(PortError::Unavailable { .. } | PortError::Fatal { .. })
            | Trouble::Deadline { .. },
        ) => attempt.failed(),
        Err(
            Trouble::Publish(
                PublishError::Full | PublishError::TooLarge | PublishError::Unavailable(_),
            )
            | Trouble::Clock(_),
        ) => attempt.neither(),
    }
}

fn refuse(reason: &'static str, retry_after: std::time::Duration) -> ApiError {
    counter!(names::HTTP_REFUSED, "reason" => reason).increment(1);
    ApiError::Refused {
        reason,
        retry_after,
    }
}

/// The right to be worked on. Hold it for as long as anything of the request is under way, answered or not.
#[derive(Debug)]
pub(crate) struct Permit {
    _in_flight: OwnedSemaphorePermit,
    bytes: OwnedSemaphorePermit,
}

impl Drop for Permit {
    fn drop(&mut self) {
        gauge!(names::HTTP_IN_FLIGHT).decrement(1.0);
        let bytes = as_f64(self.bytes.num_permits() * UNIT);
        gauge!(names::HTTP_IN_FLIGHT_BYTES).decrement(bytes);
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "for a gauge, where the last digits of a petabyte do not matter"
)]
fn as_f64(number: usize) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kith_runtime::breaker::BreakerConfig;
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    const NEVER: BreakerConfig = BreakerConfig {
        failures_to_open: 1,
        probe_after: (Duration::from_secs(60), Duration::from_secs(60)),
    };

    fn admission(requests: usize, bytes: usize) -> Admission {
        let bounds = Bounds { requests, bytes };
        let (database, log) = (
            Dependency::new("database", NEVER),
            Dependency::new("log", NEVER),
        );
        Admission::new(bounds, database, log)
    }

    fn reason(result: Result<Permit, ApiError>) -> &'static str {
        match result {
            Ok(_) => "admitted",
            Err(ApiError::Refused { reason, .. }) => reason,
            Err(other) => panic!("{other:?}"),
        }
    }

    const READ: Need = Need::Read { bytes: 0 };

    #[test]
    fn requests_past_the_bound_are_refused_until_one_ends() {
        let admission = admission(2, 0);
        let first = admission.admit(READ).unwrap();
        let second = admission.admit(READ).unwrap();
        assert_eq!(reason(admission.admit(READ)), "in_flight");
        drop(first);
        assert_eq!(reason(admission.admit(READ)), "admitted");
        drop(second);
    }

    #[test]
    fn bytes_past_the_bound_are_refused_and_one_largest_body_is_always_let_in() {
        let admission = admission(10, 4096);
        let half = Need::Write { bytes: 2048 };
        let held = admission.admit(half).unwrap();
        assert_eq!(
            reason(admission.admit(Need::Write { bytes: 2049 })),
            "bytes"
        );
        assert_eq!(reason(admission.admit(half)), "admitted");
        drop(held);
        assert_eq!(
            reason(admission.admit(Need::Write { bytes: 1 << 30 })),
            "admitted"
        );
    }

    #[test]
    fn what_is_let_in_is_shown_beside_its_bounds() {
        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            let admission = admission(3, 4096);
            let held = admission.admit(Need::Write { bytes: 1500 }).unwrap();
            let page = recorder.handle().render();
            for series in [
                "kith_http_in_flight 1",
                "kith_http_in_flight_max 3",
                "kith_http_in_flight_bytes 2048",
                "kith_http_in_flight_bytes_max 4096",
            ] {
                assert!(page.lines().any(|line| line == series), "{series}\n{page}");
            }
            drop(held);
            let page = recorder.handle().render();
            for series in ["kith_http_in_flight 0", "kith_http_in_flight_bytes 0"] {
                assert!(page.lines().any(|line| line == series), "{series}\n{page}");
            }
        });
    }

    #[test]
    fn what_was_refused_holds_nothing() {
        let admission = admission(1, 1024);
        for _ in 0..3 {
            let held = admission.admit(Need::Write { bytes: 1024 }).unwrap();
            assert_eq!(reason(admission.admit(READ)), "in_flight");
            drop(held);
        }
    }

    #[test]
    fn a_log_that_is_down_refuses_writes_only() {
        let admission = admission(9, 9);
        admission.log.attempt().failed();
        assert_eq!(
            reason(admission.admit(Need::Write { bytes: 1 })),
            "log_unavailable"
        );
        assert_eq!(reason(admission.admit(READ)), "admitted");
    }

    #[test]
    fn a_database_that_is_down_refuses_everything() {
        let admission = admission(9, 9);
        let down: Result<(), _> = Err(Trouble::Deadline { during: "waiting" });
        observe(admission.attempt(), &down);
        assert_eq!(reason(admission.admit(READ)), "database_unavailable");
    }

    #[test]
    fn troubles_of_the_log_say_nothing_about_the_database() {
        let admission = admission(9, 9);
        let down: Result<(), _> = Err(Trouble::Publish(PublishError::Unavailable(None)));
        observe(admission.attempt(), &down);
        assert_eq!(reason(admission.admit(READ)), "admitted");
    }
}
