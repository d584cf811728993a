//! From the text of a setting to the type that the code wants.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::shown;

/// A type that a setting can be read as. Implement it for an enum of your own to read a word.
pub trait FromSetting: Sized {
    /// Reads a text that already passed the check of its setting.
    ///
    /// # Errors
    /// Why it is no value of this type.
    fn from_setting(text: &str) -> Result<Self, String>;
}

macro_rules! from_setting_by_from_str {
    ($($type:ty: $what:literal),* $(,)?) => {
        $(impl FromSetting for $type {
            fn from_setting(text: &str) -> Result<Self, String> {
                text.parse().map_err(|_| format!("expected {}, got {}", $what, shown(text)))
            }
        })*
    };
}

from_setting_by_from_str! {
    SocketAddr: "an address",
    NonZeroU32: "a whole number from 1 to 4294967295",
    u16: "a whole number up to 65535",
    u32: "a whole number up to 4294967295",
    u64: "a whole number",
    usize: "a whole number",
    i32: "a whole number up to 2147483647",
}

impl FromSetting for String {
    fn from_setting(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }
}

impl FromSetting for PathBuf {
    fn from_setting(text: &str) -> Result<Self, String> {
        Ok(Self::from(text))
    }
}

impl FromSetting for Vec<String> {
    fn from_setting(text: &str) -> Result<Self, String> {
        Ok(text.split(',').map(|part| part.trim().to_owned()).collect())
    }
}

impl FromSetting for Duration {
    fn from_setting(text: &str) -> Result<Self, String> {
        parse_duration(text)
    }
}

impl FromSetting for ByteSize {
    fn from_setting(text: &str) -> Result<Self, String> {
        text.parse()
    }
}

/// A number of bytes, as it is written in settings: `65536`, `64KiB`, `4MiB`, `1GiB`; `KB`, `MB` and `GB` are decimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// The number for an API that counts memory.
    #[must_use]
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = || {
            format!(
                "expected bytes like 4MiB, 64KiB or 1048576, got {}",
                shown(text)
            )
        };
        let digits = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let scale: u64 = match unit.trim_start() {
            "" | "B" => 1,
            "KB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return Err(refuse()),
        };
        let number: u64 = number.parse().map_err(|_| refuse())?;
        number.checked_mul(scale).map(Self).ok_or_else(refuse)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, scale) in [("GiB", 1u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
            if self.0 >= scale && self.0.is_multiple_of(scale) {
                return write!(f, "{}{unit}", self.0 / scale);
            }
        }
        write!(f, "{}B", self.0)
    }
}

/// Reads `500ms`, `2.5s`, `15m`, `1h` or `7d`. A number without a unit is refused: nobody can tell what was meant.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let refuse = || {
        format!(
            "expected a duration like 2.5s, 500ms, 15m, 1h or 7d, got {}",
            shown(text)
        )
    };
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .ok_or_else(refuse)?;
    let (number, unit) = text.split_at(split);
    let micros_per_unit: u64 = match unit.trim_start() {
        "ms" => 1_000,
        "s" => 1_000_000,
        "m" => 60_000_000,
        "h" => 3_600_000_000,
        "d" => 86_400_000_000,
        _ => return Err(refuse()),
    };
    // In whole numbers, so that 0.1s is exactly 100 ms.
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if fraction.is_empty() || fraction.len() > 6 {
        return Err(refuse());
    }
    let places = u32::try_from(fraction.len()).map_err(|_| refuse())?;
    let whole: u64 = whole.parse().map_err(|_| refuse())?;
    let fraction: u64 = fraction.parse().map_err(|_| refuse())?;
    whole
        .checked_mul(micros_per_unit)
        .and_then(|micros| micros.checked_add(fraction * micros_per_unit / 10u64.pow(places)))
        .map(Duration::from_micros)
        .ok_or_else(refuse)
}
