//! What the orchestrator asks: is the process alive, and may traffic be sent to it.
//!
//! *Alive* means that its loops turn: each registered [`Heartbeat`] was heard lately. *Ready* means that every named
//! condition held once it had to (statements prepared, log reached) and that the process is not draining. An outage of a
//! dependency later does not make a process unready: it answers 503 by itself, and taking every replica out of service at
//! once would help nobody. A part that such an outage holds up is named beside the answer.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

/// The health of a process. Clones share it.
#[derive(Clone)]
pub struct Health {
    shared: Arc<Shared>,
}

struct Shared {
    started: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    draining: bool,
    conditions: Vec<(&'static str, Result<(), String>)>,
    outages: Vec<(&'static str, Option<&'static str>)>,
    heartbeats: Vec<(&'static str, Duration, Arc<AtomicU64>)>,
}

/// The answer to `/readyz`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// Whether traffic may be sent here.
    pub ready: bool,
    /// Whether the process is on its way out.
    pub draining: bool,
    /// The conditions that do not hold, each with its reason.
    pub waiting: Vec<Waiting>,
    /// Which parts of a process cannot go on, and for want of what. They go on by themselves, so the process stays ready.
    pub held_up: Vec<HeldUp>,
}

/// A part of a process that cannot go on for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct HeldUp {
    /// The part.
    pub component: &'static str,
    /// The dependency that is out of reach.
    pub dependency: &'static str,
}

/// A condition that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Waiting {
    /// Its name.
    pub condition: &'static str,
    /// Why.
    pub reason: String,
}

/// The answer to `/livez`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Liveness {
    /// Whether every loop turns.
    pub alive: bool,
    /// The loops that were not heard of for too long.
    pub silent: Vec<&'static str>,
}

impl Health {
    /// The health of a process that has no conditions yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            shared: Arc::new(Shared {
                started: Instant::now(),
                state: Mutex::new(State::default()),
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a condition; it does not hold until it is set. The same name twice is the same condition.
    #[must_use]
    pub fn condition(&self, name: &'static str) -> Condition {
        let mut state = self.state();
        if !state.conditions.iter().any(|(known, _)| *known == name) {
            state.conditions.push((name, Err("not yet".to_owned())));
        }
        drop(state);
        Condition {
            health: self.clone(),
            name,
        }
    }

    /// Adds a part of the process that outages of dependencies may hold up.
    #[must_use]
    pub fn progress(&self, component: &'static str) -> Progress {
        self.state().outages.push((component, None));
        Progress {
            health: self.clone(),
            component,
        }
    }

    /// Adds a loop that is heard of at least every `silence_max`, or the process is dead.
    #[must_use]
    pub fn heartbeat(&self, name: &'static str, silence_max: Duration) -> Heartbeat {
        let last = Arc::new(AtomicU64::new(self.millis()));
        self.state()
            .heartbeats
            .push((name, silence_max, Arc::clone(&last)));
        Heartbeat {
            health: self.clone(),
            last,
        }
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.shared.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Says that the process is on its way out: not ready from now on.
    pub fn set_draining(&self) {
        self.state().draining = true;
    }

    /// Whether the process is on its way out.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.state().draining
    }

    /// Whether traffic may be sent here.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let state = self.state();
        !state.draining && state.conditions.iter().all(|(_, held)| held.is_ok())
    }

    /// Whether traffic may be sent here, and if not, why.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        let state = self.state();
        let waiting: Vec<Waiting> = state
            .conditions
            .iter()
            .filter_map(|(condition, held)| {
                let reason = held.as_ref().err()?.clone();
                Some(Waiting { condition, reason })
            })
            .collect();
        let held_up = state
            .outages
            .iter()
            .filter_map(|&(component, dependency)| {
                let dependency = dependency?;
                Some(HeldUp {
                    component,
                    dependency,
                })
            })
            .collect();
        Readiness {
            ready: !state.draining && waiting.is_empty(),
            draining: state.draining,
            waiting,
            held_up,
        }
    }

    /// Whether every loop turns, and if not, which do not. On the way out loops end one by one, and the grace period
    /// bounds it: then nothing counts as silent.
    #[must_use]
    pub fn liveness(&self) -> Liveness {
        let now = self.millis();
        let state = self.state();
        let silent: Vec<&'static str> = state
            .heartbeats
            .iter()
            .filter(|_| !state.draining)
            .filter(|(_, silence_max, last)| {
                let silence = now.saturating_sub(last.load(Ordering::Relaxed));
                Duration::from_millis(silence) > *silence_max
            })
            .map(|(name, _, _)| *name)
            .collect();
        Liveness {
            alive: silent.is_empty(),
            silent,
        }
    }
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Health").field(&self.readiness()).finish()
    }
}

/// One thing that has to hold before traffic may be sent here.
#[derive(Debug, Clone)]
pub struct Condition {
    health: Health,
    name: &'static str,
}

impl Condition {
    /// It holds.
    pub fn set_ready(&self) {
        self.set(Ok(()));
    }

    /// It does not hold, for this reason (an operator reads it: no personal data).
    pub fn set_not_ready(&self, reason: impl Into<String>) {
        self.set(Err(reason.into()));
    }

    fn set(&self, held: Result<(), String>) {
        let mut state = self.health.state();
        if let Some(slot) = state
            .conditions
            .iter_mut()
            .find(|(name, _)| *name == self.name)
        {
            slot.1 = held;
        }
    }
}

/// Whether one part of a process goes on.
#[derive(Debug, Clone)]
pub struct Progress {
    health: Health,
    component: &'static str,
}

impl Progress {
    /// It waits for this dependency, or for none.
    pub fn set_held_up(&self, dependency: Option<&'static str>) {
        let mut state = self.health.state();
        if let Some(slot) = state
            .outages
            .iter_mut()
            .find(|(component, _)| *component == self.component)
        {
            slot.1 = dependency;
        }
    }
}

/// The pulse of one loop.
#[derive(Debug, Clone)]
pub struct Heartbeat {
    health: Health,
    last: Arc<AtomicU64>,
}

impl Heartbeat {
    /// The loop has turned.
    pub fn beat(&self) {
        self.last.store(self.health.millis(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_without_conditions_is_ready() {
        assert!(Health::new().is_ready());
    }

    #[test]
    fn every_condition_has_to_hold_and_the_reason_is_told() {
        let health = Health::new();
        let (database, log) = (health.condition("database"), health.condition("log"));
        assert!(!health.is_ready());
        database.set_ready();
        log.set_not_ready("no broker answered");
        let expected = Readiness {
            ready: false,
            draining: false,
            waiting: vec![Waiting {
                condition: "log",
                reason: "no broker answered".to_owned(),
            }],
            held_up: Vec::new(),
        };
        assert_eq!(health.readiness(), expected);
        log.set_ready();
        assert!(health.is_ready());
        assert!(health.readiness().ready);
    }

    #[test]
    fn the_same_name_is_the_same_condition() {
        let health = Health::new();
        health.condition("log").set_ready();
        let again = health.condition("log");
        assert!(health.is_ready());
        again.set_not_ready("gone");
        assert!(!health.is_ready());
    }

    #[test]
    fn what_holds_a_part_up_is_told_and_leaves_the_process_ready() {
        let health = Health::new();
        let (worker, other) = (health.progress("worker"), health.progress("other"));
        other.set_held_up(None);
        worker.set_held_up(Some("database"));
        let expected = HeldUp {
            component: "worker",
            dependency: "database",
        };
        assert_eq!(health.readiness().held_up, vec![expected]);
        assert!(health.readiness().ready);
        worker.set_held_up(None);
        assert_eq!(health.readiness().held_up, vec![]);
    }

    #[test]
    fn draining_is_not_ready_whatever_holds() {
        let health = Health::new();
        health.condition("log").set_ready();
        health.set_draining();
        assert!(health.is_draining());
        assert!(!health.is_ready());
        assert!(!health.readiness().ready);
    }

    #[test]
    fn a_silent_loop_is_dead_until_it_is_heard_of() {
        let health = Health::new();
        let heart = health.heartbeat("poll", Duration::ZERO);
        let patient = health.heartbeat("main", Duration::from_secs(3600));
        patient.beat();
        let deadline = Instant::now() + Duration::from_secs(5);
        while health.liveness().alive {
            assert!(Instant::now() < deadline, "the silence went unnoticed");
            std::thread::yield_now();
        }
        assert_eq!(health.liveness().silent, vec!["poll"]);
        heart.beat();
        assert!(!health.liveness().silent.contains(&"main"));
        health.set_draining();
        assert!(health.liveness().alive);
    }
}
