//! Time and chance of a real process: the [`Clock`] and [`Ids`] ports on the machine's own clocks.
//!
//! Order never depends on the wall clock, but stamps are shown as times, decide between two merged people, and a stamp far
//! in the future cannot be taken back (`trait-order.md` 8). So the wall clock is guarded on every call, by the rules in
//! `guard.rs`; while it cannot be trusted, [`Clock::now`] says so and requests that would stamp are answered 503.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use kith_domain::id::ProfileId;
use kith_domain::time::Micros;
use kith_profiles::error::ClockUnsound;
use kith_profiles::ports::{Clock, Ids};
use metrics::gauge;
use tracing::{info, warn};
use uuid::Uuid;

use crate::health::Condition;
use crate::metrics::names;

mod guard;

pub use guard::{AGREEMENT, AHEAD_MAX, JUMP_MAX};
use guard::{Change, Guard, Reading};

/// The machine's clocks. Clones share what is known about them.
#[derive(Debug, Clone)]
pub struct SystemClock {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    origin: Instant,
    guard: Mutex<Guard>,
    condition: OnceLock<Condition>,
}

impl SystemClock {
    /// Starts to watch the wall clock, which is trusted as it is now.
    #[must_use]
    pub fn new() -> Self {
        let clock = Self {
            shared: Arc::new(Shared {
                origin: Instant::now(),
                guard: Mutex::new(Guard::default()),
                condition: OnceLock::new(),
            }),
        };
        gauge!(names::CLOCK_UNSOUND).set(0.0);
        clock.check();
        clock
    }

    /// Ties readiness to this clock: the condition is ready while the clock can be trusted. Once; later calls do nothing.
    pub fn report_to(&self, condition: Condition) {
        let condition = self.shared.condition.get_or_init(|| condition);
        report(condition, self.guard().is_sound());
    }

    /// Looks at the wall clock without using it. For a process that may be idle for long: a jump is seen when it happens.
    pub fn check(&self) {
        // The answer is for requests; what changed was told already.
        let _: Result<Micros, ClockUnsound> = self.now();
    }

    /// Compares the own clock with the median of the database nodes' clocks, which was just read. Call it every ten
    /// seconds.
    ///
    /// A reply on its way makes the own clock look ahead by as much, so drop replies that took longer than a second.
    /// Running ahead by more than [`AHEAD_MAX`] makes the clock unsound until a later comparison; being behind is
    /// harmless and only told. A comparison that is good clears a jump, too: the database is the better witness.
    pub fn observe_database_time(&self, now: Micros) {
        let (changes, skew, sound) = {
            let mut guard = self.guard();
            let Some(reading) = self.read() else {
                return;
            };
            let changes = guard.compare(reading, now);
            (
                changes,
                reading.wall.as_micros() - now.as_micros(),
                guard.is_sound(),
            )
        };
        #[expect(clippy::cast_precision_loss, reason = "a skew, for a graph")]
        gauge!(names::CLOCK_DATABASE_SKEW).set(skew as f64 / 1e6);
        self.tell(&changes, sound);
    }

    fn guard(&self) -> MutexGuard<'_, Guard> {
        // Plain numbers: a panic elsewhere cannot have left them half written in a way that matters.
        self.shared
            .guard
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// One look at both clocks; `None` if the wall clock stands before 1970.
    fn read(&self) -> Option<Reading> {
        let before = self.shared.origin.elapsed();
        #[expect(
            clippy::disallowed_methods,
            reason = "this is the Clock port of a real process"
        )]
        let wall = SystemTime::now();
        let after = self.shared.origin.elapsed();
        let wall = wall.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        let wall = Micros::from_micros(i64::try_from(wall.as_micros()).ok()?);
        Some(Reading {
            wall,
            before,
            after,
        })
    }

    fn tell(&self, changes: &[Change], sound: bool) {
        if changes.is_empty() {
            return;
        }
        for change in changes {
            match *change {
                Change::Jumped(by) => warn!(
                    by_micros = by,
                    "wall clock jumped ahead, no stamps are given"
                ),
                Change::Ahead(by) => {
                    warn!(
                        by_micros = by,
                        "wall clock runs ahead of the database, no stamps are given"
                    );
                }
                Change::Behind(by) => warn!(by_micros = by, "wall clock runs behind the database"),
                Change::Trusted => info!("wall clock can be trusted again"),
                Change::CaughtUp => info!("wall clock caught up with the database"),
            }
        }
        gauge!(names::CLOCK_UNSOUND).set(if sound { 0.0 } else { 1.0 });
        if let Some(condition) = self.shared.condition.get() {
            report(condition, sound);
        }
    }
}

fn report(condition: &Condition, sound: bool) {
    if sound {
        condition.set_ready();
    } else {
        condition.set_not_ready("wall clock cannot be trusted");
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Result<Micros, ClockUnsound> {
        let (reading, change, sound) = {
            let mut guard = self.guard();
            // Read under the lock, so that the guard sees the readings in their order.
            let reading = self.read().ok_or(ClockUnsound)?;
            let change = guard.check(reading);
            (reading, change, guard.is_sound())
        };
        self.tell(change.as_slice(), sound);
        if sound {
            Ok(reading.wall)
        } else {
            Err(ClockUnsound)
        }
    }

    fn monotonic(&self) -> Duration {
        self.shared.origin.elapsed()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// Ids of a real process.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemIds;

impl Ids for SystemIds {
    /// UUIDv7 of one generator for the whole process: ordered even when the wall clock steps back.
    fn profile(&self) -> ProfileId {
        ProfileId::from_uuid(Uuid::now_v7())
    }

    fn random(&self) -> Uuid {
        Uuid::new_v4()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::Health;

    fn wall_micros() -> i64 {
        SystemClock::new().now().unwrap().as_micros()
    }

    #[test]
    fn now_is_the_wall_clock() {
        let clock = SystemClock::new();
        let now = clock.now().unwrap();
        assert!(now.as_micros() > 1_700_000_000_000_000, "{now:?}");
        let later = clock.now().unwrap();
        assert!(later >= now || later.as_micros() - now.as_micros() > -1_000_000);
    }

    #[test]
    fn running_ahead_of_the_database_stops_stamps_and_readiness_until_it_agrees() {
        let health = Health::new();
        let clock = SystemClock::new();
        clock.report_to(health.condition("clock"));
        assert!(health.is_ready());

        let behind = Micros::from_micros(wall_micros() - 6_000_000);
        clock.observe_database_time(behind);
        assert_eq!(clock.now(), Err(ClockUnsound));
        assert!(!health.is_ready());

        clock.observe_database_time(Micros::from_micros(wall_micros()));
        assert!(clock.now().is_ok());
        assert!(health.is_ready());
    }

    #[test]
    fn a_host_behind_the_database_may_stamp() {
        let clock = SystemClock::new();
        clock.observe_database_time(Micros::from_micros(wall_micros() + 60_000_000));
        assert!(clock.now().is_ok());
    }

    #[test]
    fn profile_ids_grow_across_threads_of_the_process() {
        let made: Vec<Vec<ProfileId>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..10_000).map(|_| SystemIds.profile()).collect()))
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        for ids in &made {
            assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
        }
        let mut all: Vec<ProfileId> = made.concat();
        let before = SystemIds.profile();
        assert!(all.iter().all(|id| *id < before));
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 40_000);
    }

    #[tokio::test]
    async fn sleep_waits() {
        let clock = SystemClock::new();
        let started = clock.monotonic();
        clock.sleep(Duration::from_millis(20)).await;
        assert!(clock.monotonic() - started >= Duration::from_millis(20));
    }
}
