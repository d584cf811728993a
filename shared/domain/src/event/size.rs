//! How large a record of the log can be, told from the largest body: whoever makes or checks a log goes by it. A record that the log
//! refuses would be found too large only after its identifiers were claimed.

use super::TRAITS_MAX;
use crate::body::ARRAY_ITEMS_MAX;

/// Bytes by which a number of a body can grow: `2e9` is written as `2000000000.0`.
const NUMBER_GROWTH: usize = 9;
/// Bytes of a body that such a number takes at least, with the comma behind it.
const NUMBER_BYTES_MIN: usize = 4;
/// What a trait has in an event beside its value: its definition's id, and what tells a removal from a value.
const TRAIT_BYTES: usize = 64;
/// Everything else of an event, and the key and the headers of its record.
const FRAME_BYTES: usize = 64 * 1024;

/// Bytes of the record of a body of so many bytes, at most: key, headers and event.
///
/// Texts are never written longer than they were sent, and blanks are not written at all. What grows is names, which become
/// ids, and numbers in the notation of science.
#[must_use]
pub const fn record_bytes_max(body_bytes_max: usize) -> usize {
    let by_size = body_bytes_max / NUMBER_BYTES_MIN;
    let by_count = TRAITS_MAX * ARRAY_ITEMS_MAX;
    let numbers = if by_size < by_count {
        by_size
    } else {
        by_count
    };
    body_bytes_max
        .saturating_add(numbers * NUMBER_GROWTH)
        .saturating_add(TRAITS_MAX * TRAIT_BYTES + FRAME_BYTES)
}

#[cfg(test)]
mod tests {
    use serde_json::Number;
    use uuid::Uuid;

    use super::*;
    use crate::body::{TraitsBody, validate};
    use crate::event::TraitEvent;
    use crate::id::{DefinitionId, ProfileId, RequestId, StoreId};
    use crate::schema::{DataType, TraitDefinition, TraitGroup};
    use crate::settings::IdentitySettings;
    use crate::time::Micros;
    use crate::traits::CellBytes;

    const GROUPS: usize = 50;
    const TRAITS: usize = 95;

    /// As many groups and traits as a store may have, all of arrays.
    fn groups() -> Vec<TraitGroup> {
        let definition = || TraitDefinition {
            id: DefinitionId::from_uuid(Uuid::new_v4()),
            data_type: DataType::Array,
            description: None,
            validation_rule: None,
            id_type_promotion: None,
        };
        (0..GROUPS)
            .map(|group| TraitGroup {
                name: format!("g{group}"),
                description: None,
                version: 1,
                created_at: Micros::EPOCH,
                traits: (0..TRAITS)
                    .map(|name| (format!("t{name}"), definition()))
                    .collect(),
            })
            .collect()
    }

    /// A body with this item a hundred times in every trait.
    fn body(item: &str) -> String {
        let array = format!("[{}]", vec![item; ARRAY_ITEMS_MAX].join(","));
        let traits: Vec<String> = (0..TRAITS)
            .map(|name| format!("\"t{name}\":{array}"))
            .collect();
        let traits = traits.join(",");
        let groups: Vec<String> = (0..GROUPS)
            .map(|group| format!("\"g{group}\":{{{traits}}}"))
            .collect();
        format!("{{\"traits\":{{{}}}}}", groups.join(","))
    }

    fn event_of(body: &str) -> usize {
        let read = TraitsBody::parse(body.as_bytes()).unwrap();
        let set = validate(&read, &groups(), &IdentitySettings::default()).unwrap();
        let traits = set.writes.iter();
        let event = TraitEvent {
            store: StoreId::from_uuid(Uuid::nil()),
            profile: ProfileId::from_uuid(Uuid::nil()),
            stamp: Micros::from_micros(i64::MAX),
            request: RequestId::from_uuid(Uuid::nil()),
            schema_version: u32::MAX,
            traits: traits
                .map(|one| (one.definition, CellBytes::from(&one.write)))
                .collect(),
        };
        event.encode().len()
    }

    #[test]
    fn no_body_makes_a_larger_record_than_the_rule_says() {
        for item in [
            "2e9",
            "-2e9",
            "1e-5",
            "0",
            "true",
            "\"\"",
            "\"\\u0001\"",
            "\"\u{7f}\u{e9}\u{1f600}\"",
        ] {
            let body = body(item);
            let event = event_of(&body);
            assert!(event <= record_bytes_max(body.len()), "{item}");
        }
        // The rule is not idle: this event is more than twice its body.
        let grows = body("2e9");
        assert!(event_of(&grows) > 2 * grows.len());
    }

    #[test]
    fn no_number_grows_by_more_than_the_rule_says() {
        let mut most = 0;
        for digits in ["1", "2", "12", "2147483647", "0.1", "-2"] {
            for exponent in -330..=9 {
                let sent = format!("{digits}e{exponent}");
                let Ok(number) = sent.parse::<Number>() else {
                    continue;
                };
                if number.as_f64().is_some_and(|value| value.abs() <= 2e9) {
                    let growth = number.to_string().len().saturating_sub(sent.len());
                    most = most.max(growth);
                }
            }
        }
        assert_eq!(most, NUMBER_GROWTH);
    }

    #[test]
    fn a_small_body_has_room_for_few_numbers() {
        assert_eq!(
            record_bytes_max(1024) - record_bytes_max(0),
            1024 + 256 * NUMBER_GROWTH
        );
        assert_eq!(record_bytes_max(usize::MAX), usize::MAX);
    }
}
