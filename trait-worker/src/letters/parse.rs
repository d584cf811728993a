//! What an operator names.

use kith_domain::time::Micros;
use kith_profiles::ports::{Offset, Partition};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A point in time, in the form of RFC 3339.
///
/// # Errors
/// What is wrong with it.
pub fn time(text: &str) -> Result<Micros, String> {
    let at = OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|_| "no time such as 2026-01-31T08:00:00Z".to_owned())?;
    i64::try_from(at.unix_timestamp_nanos() / 1000)
        .map(Micros::from_micros)
        .map_err(|_| "out of range".to_owned())
}

/// One record: `PARTITION:OFFSET`, in digits only.
///
/// # Errors
/// What is wrong with it.
pub fn position(text: &str) -> Result<(Partition, Offset), String> {
    let wrong = || "not PARTITION:OFFSET".to_owned();
    let (partition, offset) = text.split_once(':').ok_or_else(wrong)?;
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<i64>().ok()).flatten()
    };
    let partition = number(partition).and_then(|number| i32::try_from(number).ok());
    let partition = partition.ok_or_else(wrong)?;
    let offset = number(offset).ok_or_else(wrong)?;
    Ok((Partition(partition), Offset::new(offset)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_named_by_its_partition_and_offset() {
        assert_eq!(position("3:4"), Ok((Partition(3), Offset::new(4))));
        for wrong in [
            "",
            "3",
            ":",
            "3:",
            ":4",
            "3:4,5:6",
            "-3:4",
            "3:+4",
            "9999999999:1",
        ] {
            assert!(position(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_time_may_stand_in_any_zone() {
        let at = Micros::from_micros(1_735_732_800_250_000);
        for text in ["2025-01-01T12:00:00.25Z", "2025-01-01T13:00:00.25+01:00"] {
            assert_eq!(time(text), Ok(at));
        }
        assert!(time("2025-01-01").is_err());
    }
}
