//! A breaker that a process shares.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kith_profiles::error::PortError;
use metrics::gauge;
use tracing::{info, warn};

use super::{Admission, Breaker, BreakerConfig, BreakerState};
use crate::metrics::names;

/// An attempt that is dropped without a word after this long counts as a failure: its request ran into the deadline
/// waiting. One dropped sooner was most likely left by its client.
const ABANDONED_AFTER: Duration = Duration::from_secs(1);

const CLOSED: u8 = 0;
const HALF_OPEN: u8 = 1;
const OPEN: u8 = 2;

/// A dependency of the process behind a breaker. Clones share it.
#[derive(Debug, Clone)]
pub struct Dependency {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    name: &'static str,
    origin: Instant,
    /// The state as the metric shows it, to be read without the lock.
    state: AtomicU8,
    breaker: Mutex<Breaker>,
}

/// A dependency is known to be down; the request is to be answered 503 without having done anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{dependency} is unavailable")]
pub struct Unavailable {
    /// Which dependency.
    pub dependency: &'static str,
    /// When it may be tried again.
    pub retry_after: Duration,
}

impl Dependency {
    /// A dependency that is believed to work.
    #[must_use]
    pub fn new(name: &'static str, config: BreakerConfig) -> Self {
        let dependency = Self {
            shared: Arc::new(Shared {
                name,
                origin: Instant::now(),
                state: AtomicU8::new(CLOSED),
                breaker: Mutex::new(Breaker::new(config)),
            }),
        };
        dependency.show(CLOSED);
        dependency
    }

    /// Asks for one request that needs the dependency, before it does anything. While the breaker is open, now and then
    /// one request passes to try; so ask once for each request, and only for those that go on.
    ///
    /// # Errors
    /// [`Unavailable`]: answer 503.
    pub fn admit(&self) -> Result<(), Unavailable> {
        // The common case without the lock. A request that passes just when it opens is like one that came just before.
        if self.shared.state.load(Ordering::Relaxed) == CLOSED {
            return Ok(());
        }
        let admission = self.change(|breaker, now| breaker.admit(now, rand::random()));
        match admission {
            Admission::Pass | Admission::Probe => Ok(()),
            Admission::Refuse(retry_after) => Err(Unavailable {
                dependency: self.shared.name,
                retry_after,
            }),
        }
    }

    /// Whether a request would be refused now, without being the one that tries. For work that can do without.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let closed = self.shared.state.load(Ordering::Relaxed) == CLOSED;
        !closed && self.breaker().would_refuse(self.now())
    }

    /// What the breaker is doing.
    #[must_use]
    pub fn state(&self) -> BreakerState {
        self.breaker().state()
    }

    /// Begins to use the dependency; tell the [`Attempt`] how it went.
    pub fn attempt(&self) -> Attempt {
        Attempt {
            dependency: self.clone(),
            started: Instant::now(),
            told: false,
        }
    }

    fn now(&self) -> Duration {
        self.shared.origin.elapsed()
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.shared
            .breaker
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn succeeded(&self) {
        // Nothing to do in the common case but forget failures, and those are few.
        self.change(|breaker, _| breaker.success());
    }

    fn failed(&self) {
        self.change(|breaker, now| breaker.failure(now, rand::random()));
    }

    /// Changes the breaker; metric and log follow its state.
    fn change<T>(&self, change: impl FnOnce(&mut Breaker, Duration) -> T) -> T {
        let now = self.now();
        let mut breaker = self.breaker();
        let result = change(&mut breaker, now);
        let state = match breaker.state() {
            BreakerState::Closed => CLOSED,
            BreakerState::HalfOpen => HALF_OPEN,
            BreakerState::Open => OPEN,
        };
        // Under the lock, so that the last change is the one that stays visible.
        let before = self.shared.state.swap(state, Ordering::Relaxed);
        if before != state {
            self.show(state);
        }
        drop(breaker);
        match (before, state) {
            (CLOSED, OPEN) => warn!(dependency = self.shared.name, "breaker opened"),
            (HALF_OPEN | OPEN, CLOSED) => info!(dependency = self.shared.name, "breaker closed"),
            _ => {}
        }
        result
    }

    fn show(&self, state: u8) {
        gauge!(names::BREAKER_STATE, "dependency" => self.shared.name).set(f64::from(state));
    }
}

/// One use of a dependency. Dropped without a word after a second it counts as a failure, sooner as
/// nothing.
#[derive(Debug)]
#[must_use = "an attempt wants to know how it went"]
pub struct Attempt {
    dependency: Dependency,
    started: Instant,
    told: bool,
}

impl Attempt {
    /// The dependency did what was asked.
    pub fn succeeded(mut self) {
        self.told = true;
        self.dependency.succeeded();
    }

    /// The dependency was out of reach.
    pub fn failed(mut self) {
        self.told = true;
        self.dependency.failed();
    }

    /// It says nothing about the dependency.
    pub fn neither(mut self) {
        self.told = true;
    }

    /// Tells the outcome of a port: corrupt data is an answer, too.
    pub fn observe<T>(self, result: &Result<T, PortError>) {
        match result {
            Ok(_) | Err(PortError::Corrupt { .. }) => self.succeeded(),
            Err(PortError::Unavailable { .. } | PortError::Fatal { .. }) => self.failed(),
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if !self.told && self.started.elapsed() >= ABANDONED_AFTER {
            self.dependency.failed();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    fn quick(name: &'static str) -> Dependency {
        let config = BreakerConfig {
            failures_to_open: 2,
            probe_after: (Duration::from_millis(500), Duration::from_millis(600)),
        };
        Dependency::new(name, config)
    }

    fn shown(name: &str) -> Option<String> {
        let series = format!("kith_breaker_state{{dependency=\"{name}\"}} ");
        let text = Metrics::install().render();
        let value = text.lines().find_map(|line| line.strip_prefix(&series));
        value.map(str::to_owned)
    }

    #[test]
    fn it_opens_refuses_at_once_and_recovers_by_a_request_that_tries() {
        Metrics::install();
        let dependency = quick("recovering");
        assert_eq!(shown("recovering").as_deref(), Some("0"));
        for _ in 0..2 {
            assert_eq!(dependency.admit(), Ok(()));
            dependency.attempt().failed();
        }
        let refused = dependency.admit().unwrap_err();
        assert_eq!(refused.dependency, "recovering");
        assert!(refused.retry_after <= Duration::from_millis(600));
        assert!(dependency.is_open());
        assert_eq!(shown("recovering").as_deref(), Some("2"));

        let deadline = Instant::now() + Duration::from_secs(5);
        while dependency.admit().is_err() {
            assert!(Instant::now() < deadline, "nobody was let through");
            std::thread::yield_now();
        }
        assert_eq!(dependency.state(), BreakerState::HalfOpen);
        assert_eq!(shown("recovering").as_deref(), Some("1"));
        dependency.attempt().succeeded();
        assert_eq!(dependency.state(), BreakerState::Closed);
        assert!(!dependency.is_open());
        assert_eq!(shown("recovering").as_deref(), Some("0"));
    }

    #[test]
    fn an_attempt_dropped_at_once_counts_as_nothing() {
        let dependency = quick("left");
        for _ in 0..10 {
            drop(dependency.attempt());
        }
        assert_eq!(dependency.state(), BreakerState::Closed);
    }

    #[test]
    fn an_attempt_dropped_at_the_deadline_counts_as_a_failure() {
        let dependency = quick("silent");
        for _ in 0..2 {
            let mut attempt = dependency.attempt();
            attempt.started -= ABANDONED_AFTER;
            drop(attempt);
        }
        assert_eq!(dependency.state(), BreakerState::Open);
    }

    #[test]
    fn only_being_out_of_reach_is_a_failure_of_a_port() {
        let unavailable = || PortError::Unavailable {
            operation: "read",
            cause: None,
        };
        let corrupt = || PortError::Corrupt {
            operation: "read",
            detail: String::new(),
        };
        let dependency = quick("port");
        for _ in 0..5 {
            dependency.attempt().observe::<()>(&Err(unavailable()));
            dependency.attempt().observe::<()>(&Err(corrupt()));
        }
        assert_eq!(dependency.state(), BreakerState::Closed);
        dependency.attempt().observe::<()>(&Err(unavailable()));
        dependency.attempt().observe::<()>(&Err(unavailable()));
        assert_eq!(dependency.state(), BreakerState::Open);
        dependency.attempt().observe(&Ok(()));
        assert_eq!(dependency.state(), BreakerState::Closed);
    }
}
