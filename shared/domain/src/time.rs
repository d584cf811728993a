//! Points in time: microseconds since the Unix epoch, and their form on the wire.

use std::fmt;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

/// Whole seconds and `Z`: the only form that every official client parses (`memory-api.md` 2.3).
const WIRE: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");

/// The first second of the year 0 and the last of the year 9999.
const YEAR_0: i64 = -62_167_219_200;
const YEAR_9999: i64 = 253_402_300_799;

/// Microseconds since the Unix epoch. The unit of stamps, and of `USING TIMESTAMP`.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Micros(i64);

impl Micros {
    /// The epoch: older than every stamp.
    pub const EPOCH: Self = Self(0);

    /// Takes microseconds since the epoch.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the epoch.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// The next microsecond.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// This much later.
    #[must_use]
    pub fn plus(self, duration: std::time::Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(micros))
    }

    /// How much later than `earlier` this is; zero if it is not.
    #[must_use]
    pub fn since(self, earlier: Self) -> std::time::Duration {
        let micros = u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0);
        std::time::Duration::from_micros(micros)
    }
}

/// The wire form: RFC 3339 in UTC, cut to whole seconds. The form has four digits for the year: a time outside them is shown
/// as the nearest one inside, because a stored number, however wrong, must not make an answer fail.
impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.div_euclid(1_000_000).clamp(YEAR_0, YEAR_9999);
        let at = OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| fmt::Error)?;
        f.write_str(&at.format(WIRE).map_err(|_| fmt::Error)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_form_has_whole_seconds_and_a_z() {
        let at = Micros::from_micros(1_735_732_800_999_999);
        assert_eq!(at.to_string(), "2025-01-01T12:00:00Z");
    }

    #[test]
    fn a_time_outside_the_wire_form_is_shown_at_its_border() {
        for (micros, shown) in [
            (i64::MIN, "0000-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (0, "1970-01-01T00:00:00Z"),
            (YEAR_9999 * 1_000_000, "9999-12-31T23:59:59Z"),
            (i64::MAX, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(Micros::from_micros(micros).to_string(), shown);
        }
    }

    #[test]
    fn arithmetic_stops_at_the_ends() {
        use std::time::Duration;
        let (early, late) = (Micros::from_micros(5), Micros::from_micros(9));
        assert_eq!(late.since(early), Duration::from_micros(4));
        assert_eq!(early.since(late), Duration::ZERO);
        assert_eq!(early.plus(Duration::from_micros(4)), late);
        let end = Micros::from_micros(i64::MAX);
        assert_eq!(end.next(), end);
        assert_eq!(early.plus(Duration::MAX), end);
        assert_eq!(Micros::from_micros(i64::MIN).since(end), Duration::ZERO);
    }
}
