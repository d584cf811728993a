//! When the wall clock may be trusted: pure, so that it can be tested without waiting.
//!
//! Two witnesses. The *monotonic clock* sees a step the moment it happens: on Linux both clocks are slewed alike, so their
//! difference changes only when the wall clock is set, or the machine was suspended. A step forward of more than
//! [`JUMP_MAX`] since the last look makes the clock unsound; a step back is harmless (the next stamp is `seen + 1`) and
//! simply becomes the new normal. The *database's clock* sees what was wrong from the start.
//!
//! After a jump the clock is sound again as soon as one of these holds: it went back to where it was; the database agrees
//! with it; or it has kept step with the monotonic clock for [`AGREEMENT`]. The last is for a process without a database
//! to ask: the new time is then as good as the old one was, and refusing for ever would turn a correction by NTP into an
//! outage. While the database says that the clock runs ahead, only the database clears it.

use std::time::Duration;

use kith_domain::time::Micros;

/// The largest step forward that is taken for noise.
pub const JUMP_MAX: Duration = Duration::from_secs(1);
/// How far ahead of the database the wall clock may be.
pub const AHEAD_MAX: Duration = Duration::from_secs(5);
/// How long a clock that jumped must keep step before it is trusted without another witness.
pub const AGREEMENT: Duration = Duration::from_secs(30);

const fn micros(duration: Duration) -> i64 {
    // The constants above, all far below the limit.
    duration.as_secs() as i64 * 1_000_000
}

/// One look at both clocks. The thread may be stopped between any two of the three, so a single pair would show jumps
/// that never were.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    /// The wall clock.
    pub(super) wall: Micros,
    /// The monotonic clock, read before.
    pub(super) before: Duration,
    /// The monotonic clock, read after.
    pub(super) after: Duration,
}

impl Reading {
    /// The least that wall minus monotonic can have been, in microseconds.
    fn offset_low(self) -> i64 {
        self.wall.as_micros() - i64::try_from(self.after.as_micros()).unwrap_or(i64::MAX)
    }

    /// The most that it can have been.
    fn offset_high(self) -> i64 {
        self.wall.as_micros() - i64::try_from(self.before.as_micros()).unwrap_or(i64::MAX)
    }
}

/// What an operator should hear of. By how much is in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// The wall clock stepped forward.
    Jumped(i64),
    /// It runs ahead of the database.
    Ahead(i64),
    /// It runs behind the database.
    Behind(i64),
    /// It was unsound and is not any more.
    Trusted,
    /// It was behind and is not any more.
    CaughtUp,
}

/// What is known about the wall clock.
#[derive(Debug, Default)]
pub(super) struct Guard {
    /// Wall minus monotonic when the clock was last trusted; the most it can have been.
    offset: Option<i64>,
    /// Where a jump led and since when, if it was not cleared.
    jump: Option<(i64, Duration)>,
    ahead: bool,
    behind: bool,
}

impl Guard {
    /// Whether stamps may be given.
    pub(super) fn is_sound(&self) -> bool {
        self.jump.is_none() && !self.ahead
    }

    /// Takes a look into account.
    pub(super) fn check(&mut self, reading: Reading) -> Option<Change> {
        let was_sound = self.is_sound();
        let (low, high) = (reading.offset_low(), reading.offset_high());
        let slack = micros(JUMP_MAX);
        let offset = *self.offset.get_or_insert(high);
        let jumped_by = low.saturating_sub(offset);

        match self.jump {
            _ if jumped_by <= slack => {
                self.jump = None;
                self.offset = Some(high);
            }
            Some((to, since)) if low <= to + slack && high >= to - slack => {
                if reading.after.saturating_sub(since) >= AGREEMENT {
                    self.jump = None;
                    self.offset = Some(high);
                }
            }
            // The first jump, or another one on top of it: the time of agreement begins anew.
            None | Some(_) => self.jump = Some((high, reading.after)),
        }

        match (was_sound, self.is_sound()) {
            (true, false) => Some(Change::Jumped(jumped_by)),
            (false, true) => Some(Change::Trusted),
            (true, true) | (false, false) => None,
        }
    }

    /// Takes a look and what the database's clock said beside it into account.
    pub(super) fn compare(&mut self, reading: Reading, database: Micros) -> Vec<Change> {
        let mut changes: Vec<Change> = self.check(reading).into_iter().collect();
        let was_sound = self.is_sound();
        let ahead_by = reading
            .wall
            .as_micros()
            .saturating_sub(database.as_micros());
        let was_ahead = std::mem::replace(&mut self.ahead, ahead_by > micros(AHEAD_MAX));
        if self.ahead {
            if !was_ahead {
                changes.push(Change::Ahead(ahead_by));
            }
        } else {
            self.jump = None;
            self.offset = Some(reading.offset_high());
            if !was_sound {
                changes.push(Change::Trusted);
            }
        }

        let was_behind = std::mem::replace(&mut self.behind, -ahead_by > micros(AHEAD_MAX));
        match (was_behind, self.behind) {
            (false, true) => changes.push(Change::Behind(-ahead_by)),
            (true, false) => changes.push(Change::CaughtUp),
            (true, true) | (false, false) => {}
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_700_000_000_000_000;

    /// A look at `seconds` of the monotonic clock, with the wall clock `off` seconds from where it started.
    fn at(seconds: f64, off: f64) -> Reading {
        let elapsed = Duration::from_secs_f64(seconds);
        let ahead = Micros::from_micros(START).plus(elapsed);
        let off_by = i64::try_from(Duration::from_secs_f64(off.abs()).as_micros()).unwrap();
        let off_by = if off < 0.0 { -off_by } else { off_by };
        Reading {
            wall: Micros::from_micros(ahead.as_micros() + off_by),
            before: elapsed,
            after: elapsed,
        }
    }

    fn database(seconds: f64) -> Micros {
        at(seconds, 0.0).wall
    }

    fn sound_at_zero() -> Guard {
        let mut guard = Guard::default();
        assert_eq!(guard.check(at(0.0, 0.0)), None);
        assert!(guard.is_sound());
        guard
    }

    #[test]
    fn a_clock_that_keeps_step_is_sound() {
        let mut guard = sound_at_zero();
        for second in 1..1_000 {
            assert_eq!(guard.check(at(f64::from(second), 0.0)), None);
        }
        assert!(guard.is_sound());
    }

    #[test]
    fn a_step_of_up_to_a_second_is_noise_also_after_an_idle_hour() {
        let mut guard = sound_at_zero();
        guard.check(at(3_600.0, 1.0));
        assert!(guard.is_sound());
        guard.check(at(7_200.0, 2.0));
        assert!(guard.is_sound());
    }

    #[test]
    fn a_jump_ahead_is_unsound_at_once() {
        let mut guard = sound_at_zero();
        assert_eq!(guard.check(at(1.0, 1.1)), Some(Change::Jumped(1_100_000)));
        assert!(!guard.is_sound());
    }

    #[test]
    fn going_back_clears_a_jump() {
        let mut guard = sound_at_zero();
        guard.check(at(1.0, 60.0));
        assert_eq!(guard.check(at(2.0, 0.1)), Some(Change::Trusted));
        assert!(guard.is_sound());
    }

    #[test]
    fn a_step_back_is_harmless_and_becomes_normal() {
        let mut guard = sound_at_zero();
        assert_eq!(guard.check(at(1.0, -60.0)), None);
        assert!(guard.is_sound());
        // From there, the way back is a jump like any other.
        assert!(matches!(guard.check(at(2.0, 0.0)), Some(Change::Jumped(_))));
    }

    #[test]
    fn keeping_step_long_enough_clears_a_jump() {
        let mut guard = sound_at_zero();
        guard.check(at(1.0, 60.0));
        guard.check(at(30.9, 60.0));
        assert!(!guard.is_sound());
        assert_eq!(guard.check(at(31.0, 60.0)), Some(Change::Trusted));
        assert_eq!(guard.check(at(32.0, 60.0)), None);
        assert!(guard.is_sound());
    }

    #[test]
    fn a_second_jump_starts_the_wait_again() {
        let mut guard = sound_at_zero();
        guard.check(at(1.0, 60.0));
        guard.check(at(20.0, 120.0));
        guard.check(at(31.0, 120.0));
        assert!(!guard.is_sound());
        guard.check(at(50.0, 120.0));
        assert!(guard.is_sound());
    }

    #[test]
    fn the_database_clears_a_jump_that_it_agrees_with() {
        let mut guard = sound_at_zero();
        guard.check(at(1.0, 60.0));
        let agreeing = Micros::from_micros(database(2.0).as_micros() + 60_000_000);
        assert_eq!(
            guard.compare(at(2.0, 60.0), agreeing),
            vec![Change::Trusted]
        );
        assert_eq!(guard.check(at(3.0, 60.0)), None);
        assert!(guard.is_sound());
    }

    #[test]
    fn running_ahead_of_the_database_is_unsound_until_it_agrees() {
        let mut guard = sound_at_zero();
        let earlier = Micros::from_micros(database(1.0).as_micros() - 5_000_001);
        assert_eq!(
            guard.compare(at(1.0, 0.0), earlier),
            vec![Change::Ahead(5_000_001)]
        );
        // However long it keeps step.
        guard.check(at(100.0, 0.0));
        assert!(!guard.is_sound());
        assert_eq!(guard.compare(at(101.0, 0.0), earlier), vec![]);
        assert_eq!(
            guard.compare(at(102.0, 0.0), database(102.0)),
            vec![Change::Trusted]
        );
        assert!(guard.is_sound());
    }

    #[test]
    fn a_jump_that_the_database_refutes_stays_unsound() {
        let mut guard = sound_at_zero();
        let changes = guard.compare(at(1.0, 60.0), database(1.0));
        assert_eq!(
            changes,
            vec![Change::Jumped(60_000_000), Change::Ahead(60_000_000)]
        );
        guard.check(at(100.0, 60.0));
        assert!(!guard.is_sound());
    }

    #[test]
    fn being_behind_is_told_once_and_stamps_go_on() {
        let mut guard = sound_at_zero();
        let later = Micros::from_micros(database(1.0).as_micros() + 6_000_000);
        assert_eq!(
            guard.compare(at(1.0, 0.0), later),
            vec![Change::Behind(6_000_000)]
        );
        assert!(guard.is_sound());
        assert_eq!(guard.compare(at(1.0, 0.0), later), vec![]);
        assert_eq!(
            guard.compare(at(2.0, 0.0), database(2.0)),
            vec![Change::CaughtUp]
        );
    }

    #[test]
    fn a_thread_stopped_between_the_clocks_is_no_jump() {
        let mut guard = sound_at_zero();
        for stopped in [
            // Between the first look at the monotonic clock and the wall clock, ...
            Reading {
                before: Duration::from_secs(10),
                ..at(20.0, 0.0)
            },
            // ... and between the wall clock and the second.
            Reading {
                after: Duration::from_secs(40),
                ..at(30.0, 0.0)
            },
        ] {
            assert_eq!(guard.check(stopped), None);
            assert_eq!(guard.check(at(50.0, 0.0)), None);
        }
        assert!(guard.is_sound());
    }
}
