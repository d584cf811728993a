//! Circuit breakers: while a dependency is known to be down, requests that need it are refused at once, before they read
//! or claim anything, instead of each finding out for itself and waiting for its deadline.
//!
//! [`Breaker`] is the rule, without a clock or a lock; [`Dependency`] is a breaker that a process shares; [`GuardedLog`]
//! feeds one with the outcomes of publishing. After some failures in a row the breaker opens. From then on one request
//! after another, a short random while apart, is let through to try; the first that succeeds closes it. Requests, not
//! pings: what has to work is what they do.

use std::time::Duration;

mod dependency;
mod guarded;

pub use dependency::{Attempt, Dependency, Unavailable};
pub use guarded::GuardedLog;

/// When a breaker opens, and how often it lets a request try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerConfig {
    /// Failures in a row that open it.
    pub failures_to_open: u32,
    /// The shortest and the longest time until a request may try; random in between, so that the processes of a service
    /// do not try together.
    pub probe_after: (Duration, Duration),
}

impl Default for BreakerConfig {
    /// Three failures; a request tries every 200 ms to 1 s.
    fn default() -> Self {
        Self {
            failures_to_open: 3,
            probe_after: (Duration::from_millis(200), Duration::from_secs(1)),
        }
    }
}

/// What a breaker is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Everybody may pass.
    Closed,
    /// Somebody was let through to try, and has not come back.
    HalfOpen,
    /// Nobody passes.
    Open,
}

/// What a breaker says to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// The dependency is believed to work.
    Pass,
    /// This request tries whether it works again.
    Probe,
    /// It does not; somebody may try after this time.
    Refuse(Duration),
}

/// The rule. Times are of any clock that never goes back; `jitter` is a random number from 0 to 1.
#[derive(Debug, Clone)]
pub struct Breaker {
    config: BreakerConfig,
    position: Position,
}

#[derive(Debug, Clone, Copy)]
enum Position {
    Closed {
        failures: u32,
    },
    /// Tripped. A probe that never comes back (its request needed nothing of the dependency) blocks nothing: the next one
    /// follows when its time has come.
    Tripped {
        next_probe: Duration,
        probing: bool,
    },
}

impl Breaker {
    /// A closed breaker.
    #[must_use]
    pub const fn new(config: BreakerConfig) -> Self {
        Self {
            config,
            position: Position::Closed { failures: 0 },
        }
    }

    /// What it is doing.
    #[must_use]
    pub fn state(&self) -> BreakerState {
        match self.position {
            Position::Closed { .. } => BreakerState::Closed,
            Position::Tripped { probing: true, .. } => BreakerState::HalfOpen,
            Position::Tripped { probing: false, .. } => BreakerState::Open,
        }
    }

    /// Whether a request would be refused now.
    #[must_use]
    pub fn would_refuse(&self, now: Duration) -> bool {
        match self.position {
            Position::Closed { .. } => false,
            Position::Tripped { next_probe, .. } => now < next_probe,
        }
    }

    /// Asks for one request.
    pub fn admit(&mut self, now: Duration, jitter: f64) -> Admission {
        match self.position {
            Position::Closed { .. } => Admission::Pass,
            Position::Tripped { next_probe, .. } if now < next_probe => {
                Admission::Refuse(next_probe - now)
            }
            Position::Tripped { .. } => {
                self.trip(now, jitter, true);
                Admission::Probe
            }
        }
    }

    /// The dependency did what was asked. Closes the breaker, whoever asked and when: it works now.
    pub fn success(&mut self) {
        self.position = Position::Closed { failures: 0 };
    }

    /// The dependency was out of reach.
    pub fn failure(&mut self, now: Duration, jitter: f64) {
        match self.position {
            Position::Closed { failures } if failures + 1 < self.config.failures_to_open => {
                self.position = Position::Closed {
                    failures: failures + 1,
                };
            }
            Position::Closed { .. } | Position::Tripped { .. } => self.trip(now, jitter, false),
        }
    }

    fn trip(&mut self, now: Duration, jitter: f64, probing: bool) {
        let (shortest, longest) = self.config.probe_after;
        let wait = shortest
            + longest
                .saturating_sub(shortest)
                .mul_f64(jitter.clamp(0.0, 1.0));
        self.position = Position::Tripped {
            next_probe: now + wait,
            probing,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn open_at_zero() -> Breaker {
        let mut breaker = Breaker::new(BreakerConfig::default());
        for _ in 0..3 {
            breaker.failure(at(0), 0.5);
        }
        breaker
    }

    #[test]
    fn failures_in_a_row_open_it() {
        let mut breaker = Breaker::new(BreakerConfig::default());
        for _ in 0..2 {
            breaker.failure(at(0), 0.0);
            assert_eq!(breaker.admit(at(0), 0.0), Admission::Pass);
        }
        breaker.failure(at(0), 0.0);
        assert_eq!(breaker.state(), BreakerState::Open);
        assert_eq!(breaker.admit(at(0), 0.0), Admission::Refuse(at(200)));
    }

    #[test]
    fn a_success_between_failures_keeps_it_closed() {
        let mut breaker = Breaker::new(BreakerConfig::default());
        for _ in 0..10 {
            breaker.failure(at(0), 0.0);
            breaker.failure(at(0), 0.0);
            breaker.success();
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[test]
    fn the_wait_lies_between_its_bounds() {
        for (jitter, wait) in [(0.0, 200), (0.5, 600), (1.0, 1000), (7.0, 1000)] {
            let mut breaker = Breaker::new(BreakerConfig::default());
            (0..3).for_each(|_| breaker.failure(at(0), jitter));
            assert!(breaker.would_refuse(at(wait - 1)));
            assert!(!breaker.would_refuse(at(wait)));
        }
    }

    #[test]
    fn one_request_tries_and_the_others_are_refused() {
        let mut breaker = open_at_zero();
        assert_eq!(breaker.admit(at(600), 0.0), Admission::Probe);
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        assert_eq!(breaker.admit(at(600), 0.0), Admission::Refuse(at(200)));
    }

    #[test]
    fn a_probe_that_succeeds_closes_it() {
        let mut breaker = open_at_zero();
        breaker.admit(at(600), 0.0);
        breaker.success();
        assert_eq!(breaker.state(), BreakerState::Closed);
        assert_eq!(breaker.admit(at(600), 0.0), Admission::Pass);
    }

    #[test]
    fn a_probe_that_fails_keeps_it_open() {
        let mut breaker = open_at_zero();
        breaker.admit(at(600), 0.0);
        breaker.failure(at(2_600), 0.0);
        assert_eq!(breaker.state(), BreakerState::Open);
        assert_eq!(breaker.admit(at(2_700), 0.0), Admission::Refuse(at(100)));
        assert_eq!(breaker.admit(at(2_800), 0.0), Admission::Probe);
    }

    #[test]
    fn a_probe_that_never_comes_back_does_not_block_the_next() {
        let mut breaker = open_at_zero();
        assert_eq!(breaker.admit(at(600), 1.0), Admission::Probe);
        assert_eq!(breaker.admit(at(1_599), 1.0), Admission::Refuse(at(1)));
        assert_eq!(breaker.admit(at(1_600), 1.0), Admission::Probe);
    }

    #[test]
    fn asking_without_entering_changes_nothing() {
        let mut breaker = open_at_zero();
        assert!(!breaker.would_refuse(at(600)));
        assert!(!breaker.would_refuse(at(600)));
        assert_eq!(breaker.admit(at(600), 0.0), Admission::Probe);
    }
}
