use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::traits::tests::any_write;

const EXAMPLE: &[u8] = include_bytes!("../../tests/golden/v1/trait-event.json");

fn example() -> TraitEvent {
    TraitEvent::decode(EXAMPLE).unwrap()
}

fn definition(n: u128) -> DefinitionId {
    DefinitionId::from_uuid(Uuid::from_u128(n))
}

/// The example with something else in its place.
fn changed(from: &str, to: &str) -> Result<TraitEvent, EventError> {
    let text = std::str::from_utf8(EXAMPLE).unwrap();
    assert_eq!(text.matches(from).count(), 1, "{from}");
    TraitEvent::decode(text.replace(from, to).as_bytes())
}

#[test]
fn the_example_is_read_and_written_back_byte_for_byte() {
    let event = example();
    assert_eq!(event.stamp, Micros::from_micros(1_700_000_000_000_000));
    assert_eq!(event.schema_version, 3);
    let writes: Vec<_> = event
        .traits
        .iter()
        .map(|(_, cell)| cell.decode().unwrap())
        .collect();
    assert_eq!(
        writes[0],
        TraitWrite::Set(TraitValue::String(
            "Ada \"Countess\" Lovelace, Königin".into()
        ))
    );
    assert_eq!(writes[1], TraitWrite::Removed);
    assert_eq!(writes.len(), 7);
    assert_eq!(event.encode(), EXAMPLE);
}

#[test]
fn blanks_and_the_order_of_members_do_not_matter() {
    let reordered: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(EXAMPLE).unwrap();
    let reordered: serde_json::Map<_, _> = reordered.into_iter().rev().collect();
    let pretty = serde_json::to_vec_pretty(&reordered).unwrap();
    assert_eq!(TraitEvent::decode(&pretty), Ok(example()));
}

#[test]
fn no_bytes_are_told_from_bad_bytes() {
    assert_eq!(TraitEvent::decode(b""), Err(EventError::Empty));
    for bytes in [
        &b" "[..],
        b"{",
        b"{}",
        b"null",
        b"[]",
        b"\"traits\"",
        b"\xff\xfe",
        &EXAMPLE[1..],
    ] {
        assert_eq!(TraitEvent::decode(bytes), Err(EventError::Malformed));
    }
    let trailing = [EXAMPLE, b"x"].concat();
    assert_eq!(TraitEvent::decode(&trailing), Err(EventError::Malformed));
}

#[test]
fn another_version_is_named_whatever_its_form() {
    assert_eq!(
        changed(r#""version":1"#, r#""version":2"#),
        Err(EventError::UnknownVersion(2))
    );
    let later = [r#"{"version":3}"#, r#"{"what":[],"version":3,"kind":{}}"#];
    for text in later {
        assert_eq!(
            TraitEvent::decode(text.as_bytes()),
            Err(EventError::UnknownVersion(3))
        );
    }
    assert_eq!(
        TraitEvent::decode(br#"{"version":1}"#),
        Err(EventError::Malformed)
    );
    assert_eq!(
        TraitEvent::decode(br#"{"version":"2"}"#),
        Err(EventError::Malformed)
    );
    assert_eq!(
        TraitEvent::decode(br#"{"version":-1}"#),
        Err(EventError::Malformed)
    );
}

#[test]
fn another_kind_is_named_whatever_its_form() {
    assert_eq!(
        changed(r#""kind":"traits""#, r#""kind":"deletes""#),
        Err(EventError::UnknownKind)
    );
    assert_eq!(
        TraitEvent::decode(br#"{"version":1,"kind":"other","x":1}"#),
        Err(EventError::UnknownKind)
    );
}

#[test]
fn nothing_unknown_missing_or_repeated_passes() {
    let malformed = Err(EventError::Malformed);
    assert_eq!(
        changed(r#""schema":3"#, r#""schema":3,"more":1"#),
        malformed
    );
    assert_eq!(changed(r#""schema":3,"#, ""), malformed);
    assert_eq!(
        changed(r#""schema":3"#, r#""schema":3,"schema":3"#),
        malformed
    );
    assert_eq!(changed(r#""schema":3"#, r#""schema":-3"#), malformed);
    assert_eq!(changed(r#""schema":3"#, r#""schema":null"#), malformed);
    assert_eq!(changed("mem_store_", "mem_profile_"), malformed);
    assert_eq!(changed("RQ", "QR"), malformed);
}

#[test]
fn an_array_of_the_members_is_no_event() {
    let event: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(EXAMPLE).unwrap();
    let members: Vec<_> = event.into_iter().map(|(_, value)| value).collect();
    let bytes = serde_json::to_vec(&members).unwrap();
    assert_eq!(TraitEvent::decode(&bytes), Err(EventError::Malformed));
}

#[test]
fn a_write_is_set_or_removed() {
    for write in [
        r#"{}"#,
        r#"null"#,
        r#"true"#,
        r#"[null,true]"#,
        r#"{"set":null}"#,
        r#"{"set":{}}"#,
        r#"{"set":[[1]]}"#,
        r#"{"set":[null]}"#,
        r#"{"removed":false}"#,
        r#"{"removed":1}"#,
        r#"{"set":1,"removed":true}"#,
        r#"{"removed":true,"removed":true}"#,
        r#"{"set":1,"more":1}"#,
    ] {
        assert_eq!(
            changed(r#"{"removed":true}"#, write),
            Err(EventError::Malformed),
            "{write}"
        );
    }
}

#[test]
fn a_definition_has_one_spelling() {
    let id = "018bcfe5-6800-7000-8000-000000000002";
    for other in [
        &id.to_uppercase(),
        &id.replace('-', ""),
        "",
        &format!("{{{id}}}"),
    ] {
        assert_eq!(changed(id, other), Err(EventError::Malformed), "{other}");
    }
}

#[test]
fn a_definition_stands_in_it_once() {
    let (first, second) = (
        "018bcfe5-6800-7000-8000-000000000001",
        "018bcfe5-6800-7000-8000-000000000002",
    );
    assert_eq!(changed(first, second), Err(EventError::RepeatedTrait));
}

#[test]
fn a_stamp_is_after_the_epoch() {
    let stamp = r#""stamp":1700000000000000"#;
    assert_eq!(changed(stamp, r#""stamp":0"#), Err(EventError::BadStamp));
    assert_eq!(changed(stamp, r#""stamp":-5"#), Err(EventError::BadStamp));
    assert_eq!(
        changed(stamp, r#""stamp":1"#).unwrap().stamp,
        Micros::from_micros(1)
    );
    assert_eq!(changed(stamp, r#""stamp":1.5"#), Err(EventError::Malformed));
    assert_eq!(
        changed(stamp, r#""stamp":9223372036854775808"#),
        Err(EventError::Malformed)
    );
}

#[test]
fn there_is_at_least_one_trait_and_no_more_than_a_body_can_hold() {
    let with = |n: usize| {
        let cell = CellBytes::from(&TraitWrite::Removed);
        let traits = (0..n)
            .map(|i| (definition(i as u128), cell.clone()))
            .collect();
        TraitEvent::decode(
            &TraitEvent {
                traits,
                ..example()
            }
            .encode(),
        )
    };
    assert_eq!(with(0), Err(EventError::NoTraits));
    assert!(with(TRAITS_MAX).is_ok());
    assert_eq!(with(TRAITS_MAX + 1), Err(EventError::TooManyTraits));
}

#[test]
fn a_corrupt_cell_is_refused_by_every_reader() {
    for bytes in [
        &b""[..],
        b"\x01",
        b"\x02",
        b"\x01{}",
        b"\x011},\"x\":{\"set\":1",
    ] {
        let cell = CellBytes::from_stored(bytes.to_vec());
        let event = TraitEvent {
            traits: vec![(definition(1), cell)],
            ..example()
        };
        assert_eq!(
            TraitEvent::decode(&event.encode()),
            Err(EventError::Malformed)
        );
    }
}

#[test]
fn reasons_are_labels_and_messages_show_no_content() {
    let errors = [
        EventError::Empty,
        EventError::Malformed,
        EventError::UnknownVersion(9),
        EventError::UnknownKind,
        EventError::BadStamp,
        EventError::NoTraits,
        EventError::RepeatedTrait,
        EventError::TooManyTraits,
    ];
    let labels: HashSet<_> = errors.iter().map(EventError::reason).collect();
    assert_eq!(labels.len(), errors.len());
    assert!(
        labels
            .iter()
            .all(|label| label.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
    );
    let error = changed(r#""kind":"traits""#, r#""kind":"secret""#).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("secret"));
}

fn any_event() -> impl Strategy<Value = TraitEvent> {
    let traits = proptest::collection::btree_map(any::<u128>(), any_write(), 1..20);
    let traits = traits
        .prop_map(|traits| traits.into_iter().collect::<Vec<_>>())
        .prop_shuffle();
    (any::<[u128; 3]>(), 1i64.., any::<u32>(), traits).prop_map(
        |(ids, stamp, schema_version, traits)| {
            let [store, profile, request] = ids.map(Uuid::from_u128);
            let cell = |(id, write): (u128, TraitWrite)| (definition(id), CellBytes::from(&write));
            TraitEvent {
                store: StoreId::from_uuid(store),
                profile: ProfileId::from_uuid(profile),
                stamp: Micros::from_micros(stamp),
                request: RequestId::from_uuid(request),
                schema_version,
                traits: traits.into_iter().map(cell).collect(),
            }
        },
    )
}

proptest! {
    #[test]
    fn an_event_is_read_as_it_was_written(event in any_event()) {
        let bytes = event.encode();
        // Equality of cells is equality of their bytes.
        prop_assert_eq!(&TraitEvent::decode(&bytes), &Ok(event));
        prop_assert!(!bytes.contains(&b'\n'));
    }

    #[test]
    fn every_finite_number_survives(value in proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL | proptest::num::f64::ZERO) {
        let number = serde_json::Number::from_f64(value).unwrap();
        let cell = CellBytes::from(&TraitWrite::Set(TraitValue::Number(number)));
        let event = TraitEvent { traits: vec![(definition(1), cell)], ..example() };
        prop_assert_eq!(TraitEvent::decode(&event.encode()), Ok(event));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>) {
        prop_assert!(TraitEvent::decode(&bytes).is_err());
    }

    #[test]
    fn a_damaged_event_never_makes_it_panic(at in 0..EXAMPLE.len(), byte: u8) {
        let mut bytes = EXAMPLE.to_vec();
        bytes[at] = byte;
        if let Ok(event) = TraitEvent::decode(&bytes) {
            prop_assert_eq!(TraitEvent::decode(&event.encode()), Ok(event));
        }
    }
}
