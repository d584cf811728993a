//! Places in a topic, as an operator names them.

use std::collections::BTreeMap;

use kith_kafka::ReadFrom;
use kith_profiles::ports::Partition;
use trait_worker::letters::{position, time};

/// Where reading begins: `earliest`, a time, an offset of every partition, or `PARTITION:OFFSET` with commas between.
pub(crate) fn from(text: &str) -> Result<ReadFrom, String> {
    if text == "earliest" {
        return Ok(ReadFrom::Earliest);
    }
    if let Some(offset) = number(text) {
        return Ok(ReadFrom::Offset(offset));
    }
    if let Some(pairs) = text.split(',').map(pair).collect::<Option<Vec<_>>>() {
        let count = pairs.len();
        let offsets: BTreeMap<Partition, i64> = pairs.into_iter().collect();
        if offsets.len() < count {
            return Err("a partition stands in it twice".to_owned());
        }
        return Ok(ReadFrom::Offsets(offsets));
    }
    time(text).map(ReadFrom::Time).map_err(|_| {
        "neither earliest, nor a time such as 2026-01-31T08:00:00Z, nor an offset, nor PARTITION:OFFSET,.."
            .to_owned()
    })
}

fn pair(text: &str) -> Option<(Partition, i64)> {
    let (partition, offset) = position(text).ok()?;
    Some((partition, offset.as_i64()))
}

/// Digits only: neither a sign nor blanks.
fn number(text: &str) -> Option<i64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use kith_domain::time::Micros;

    use super::*;

    #[test]
    fn reading_begins_where_the_operator_says() {
        assert_eq!(from("earliest"), Ok(ReadFrom::Earliest));
        assert_eq!(from("17"), Ok(ReadFrom::Offset(17)));
        let offsets = BTreeMap::from([(Partition(0), 5), (Partition(12), 0)]);
        assert_eq!(from("12:0,0:5"), Ok(ReadFrom::Offsets(offsets)));
        let at = Micros::from_micros(1_735_732_800_250_000);
        for text in ["2025-01-01T12:00:00.25Z", "2025-01-01T13:00:00.25+01:00"] {
            assert_eq!(from(text), Ok(ReadFrom::Time(at)));
        }
    }

    #[test]
    fn what_names_no_place_is_refused() {
        for text in [
            "",
            "-1",
            "latest",
            "1:",
            ":1",
            "1:2,",
            "1:2,1:3",
            "1:-2",
            "2025-01-01",
            "99999999999999999999",
            "9999999999:1",
        ] {
            assert!(from(text).is_err(), "{text}");
        }
    }
}
