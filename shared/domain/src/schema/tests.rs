use proptest::prelude::*;
use regex::Regex;
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::settings::is_type_name;
use crate::store::is_display_name;

fn id(n: u128) -> DefinitionId {
    DefinitionId::from_uuid(Uuid::from_u128(n))
}

fn contact() -> TraitGroup {
    let mut next = 0;
    contact_group(Micros::from_micros(5), || {
        next += 1;
        id(next)
    })
}

/// A group with these definitions, as JSON without their ids.
fn group(traits: Value) -> TraitGroup {
    let mut group = json!({"name": "Work", "version": 1, "createdAt": 0, "traits": traits});
    for (n, definition) in group["traits"]
        .as_object_mut()
        .unwrap()
        .values_mut()
        .enumerate()
    {
        definition["id"] = json!(id(n as u128));
    }
    serde_json::from_value(group).unwrap()
}

fn faults(group: &TraitGroup) -> Vec<String> {
    let errors = group.validate(&IdentitySettings::default()).unwrap_err();
    errors.into_iter().map(|error| error.field).collect()
}

#[test]
fn names_are_brought_to_lower_camel_case() {
    for (raw, name) in [
        ("firstName", "firstName"),
        ("FirstName", "firstName"),
        ("preferred_channel", "preferredChannel"),
        ("preferred-channel", "preferredChannel"),
        ("preferred.channel", "preferredChannel"),
        ("preferred channel", "preferredChannel"),
        ("Preferred_Channel", "preferredChannel"),
        ("preferred__channel", "preferredChannel"),
        ("_x", "x"),
        ("x_", "x"),
        ("a_1b", "a1b"),
        ("a", "a"),
        ("FIRST_NAME", "fIRSTNAME"),
        ("chatID", "chatID"),
    ] {
        assert_eq!(camel_name(raw).as_deref(), Some(name), "{raw}");
    }
}

#[test]
fn what_does_not_become_a_name_is_none() {
    for raw in [
        "",
        "_",
        "-. _",
        "1a",
        "_1a",
        "na\u{ef}ve",
        "\u{e9}t\u{e9}",
        "a/b",
        "a\tb",
        "a$",
        "日本",
    ] {
        assert_eq!(camel_name(raw), None, "{raw}");
    }
    assert_eq!(camel_name(&"a".repeat(64)), Some("a".repeat(64)));
    assert_eq!(camel_name(&"a".repeat(65)), None);
    // What counts is the name, not how it was spelt.
    assert_eq!(
        camel_name(&"a_".repeat(64)).map(|name| name.len()),
        Some(64)
    );
    assert_eq!(camel_name(&"a_".repeat(65)), None);
}

#[test]
fn the_contact_group_is_that_of_the_contract() {
    let group = contact();
    assert_eq!((group.name.as_str(), group.version), ("Contact", 1));
    let shown: Vec<_> = group
        .traits
        .iter()
        .map(|(name, trait_)| {
            (
                name.as_str(),
                trait_.id_type_promotion.as_ref().map(IdType::as_str),
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("email", Some("email")),
            ("phone", Some("phone")),
            ("whatsapp", Some("whatsapp")),
            ("chatId", Some("chat")),
            ("firstName", None),
            ("lastName", None),
            ("street", None),
            ("city", None),
            ("state", None),
            ("postalCode", None),
            ("country", None),
            ("preferredLanguage", None),
        ]
    );
    assert!(
        group
            .traits
            .values()
            .all(|trait_| trait_.data_type == DataType::String)
    );
    let ids: Vec<_> = group.traits.values().map(|trait_| trait_.id).collect();
    assert_eq!(ids, (1..=12).map(id).collect::<Vec<_>>());
    assert_eq!(group.validate(&IdentitySettings::default()), Ok(()));
}

#[test]
fn a_trait_is_found_by_any_spelling_of_its_name() {
    let group = contact();
    let found = |name| group.find(name).map(|trait_| trait_.id);
    assert_eq!(found("firstName"), Some(id(5)));
    assert_eq!(found("first_name"), Some(id(5)));
    assert_eq!(found("First Name"), Some(id(5)));
    assert_eq!(found("firstname"), None);
    assert_eq!(found("first/name"), None);
}

#[test]
fn storage_keeps_a_group_and_its_order() {
    let rules = json!({
        "zeta": {"dataType": "STRING", "description": "last letter first",
            "validationRule": {"ruleType": "STRING", "pattern": "^a+$", "minLength": 1, "maxLength": 9}},
        "alpha": {"dataType": "NUMBER", "validationRule": {"ruleType": "NUMBER", "min": -1, "max": 2.5},
            "idTypePromotion": "chat"},
        "beta": {"dataType": "BOOLEAN", "validationRule": {"ruleType": "BOOLEAN"}},
        "gamma": {"dataType": "ARRAY", "validationRule": {"ruleType": "ARRAY", "minItems": 1, "maxItems": 5}},
    });
    let group = group(rules.clone());
    let stored = serde_json::to_string(&group).unwrap();
    assert_eq!(serde_json::from_str::<TraitGroup>(&stored).unwrap(), group);
    assert_eq!(
        group.traits.keys().collect::<Vec<_>>(),
        ["zeta", "alpha", "beta", "gamma"]
    );
    let mut written = serde_json::to_value(&group.traits).unwrap();
    for definition in written.as_object_mut().unwrap().values_mut() {
        definition.as_object_mut().unwrap().remove("id");
    }
    assert_eq!(written, rules);
    assert_eq!(group.validate(&IdentitySettings::default()), Ok(()));
}

#[test]
fn every_fault_of_a_group_is_named() {
    let mut group = group(json!({
        "a": {"dataType": "STRING", "validationRule": {"ruleType": "NUMBER"}},
        "b": {"dataType": "STRING", "validationRule": {"ruleType": "STRING", "pattern": "(?=x)"}},
        "c": {"dataType": "STRING", "validationRule": {"ruleType": "STRING", "maxLength": 0}},
        "d": {"dataType": "STRING", "validationRule": {"ruleType": "STRING", "minLength": 2, "maxLength": 1}},
        "e": {"dataType": "NUMBER", "validationRule": {"ruleType": "NUMBER", "min": 2, "max": 1.5}},
        "f": {"dataType": "ARRAY", "validationRule": {"ruleType": "ARRAY", "minItems": 2, "maxItems": 1}},
        "g": {"dataType": "STRING", "idTypePromotion": "nothing"},
        "h": {"dataType": "BOOLEAN", "idTypePromotion": "chat"},
        "i": {"dataType": "ARRAY", "idTypePromotion": "chat"},
        "j_k": {"dataType": "STRING"},
        "l": {"dataType": "STRING", "description": "d".repeat(1025)},
        "m": {"dataType": "STRING", "validationRule": {"ruleType": "STRING", "pattern": "a".repeat(1001)}},
        "n": {"dataType": "STRING", "validationRule": {"ruleType": "STRING", "pattern": r"(\w{1,500}){1,500}"}},
    }));
    group.name = "no spaces".into();
    group.description = Some("d".repeat(1025));
    assert_eq!(
        faults(&group),
        [
            "displayName",
            "description",
            "traits.a.validationRule.ruleType",
            "traits.b.validationRule.pattern",
            "traits.c.validationRule.maxLength",
            "traits.d.validationRule.minLength",
            "traits.e.validationRule.min",
            "traits.f.validationRule.minItems",
            "traits.g.idTypePromotion",
            "traits.h.idTypePromotion",
            "traits.i.idTypePromotion",
            "traits.j_k",
            "traits.l.description",
            "traits.m.validationRule.pattern",
            "traits.n.validationRule.pattern",
        ]
    );
}

#[test]
fn a_group_defines_95_traits_at_most() {
    let traits = |n: usize| {
        let one = |i| (format!("t{i}"), json!({"dataType": "STRING"}));
        group(Value::Object((0..n).map(one).collect()))
    };
    assert_eq!(traits(95).validate(&IdentitySettings::default()), Ok(()));
    assert_eq!(faults(&traits(96)), ["traits"]);
}

#[test]
fn group_names_follow_their_pattern() {
    assert!(
        ["Contact", "a", "A-b_c.9", "a".repeat(64).as_str()]
            .into_iter()
            .all(is_group_name)
    );
    assert!(
        !["", "a b", "é", "a/b", "a".repeat(65).as_str()]
            .into_iter()
            .any(is_group_name)
    );
}

/// Texts around the border of the patterns of names.
fn nearly_a_name() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[a-zA-Z0-9_.-]{0,66}",
        "[ -~]{0,4}",
        "[a-z]{1,3}[\\x00-\\x1f\u{e9}\n/%][a-z]{0,3}",
    ]
}

proptest! {
    #[test]
    fn names_are_what_their_patterns_say(text in nearly_a_name()) {
        let says = |pattern: &str| Regex::new(pattern).unwrap().is_match(&text);
        prop_assert_eq!(is_group_name(&text), says(r"\A[a-zA-Z0-9_\-.]{1,64}\z"));
        prop_assert_eq!(is_display_name(&text), says(r"\A[a-zA-Z0-9-]{1,64}\z"));
        prop_assert_eq!(is_type_name(&text), says(r"\A[a-zA-Z0-9_-]{2,30}\z"));
        // Without what parts words, a name is what its pattern says, but for its first letter.
        if !text.contains(['_', '-', '.', ' ']) {
            let taken = camel_name(&text).is_some();
            prop_assert_eq!(taken, says(r"\A[a-zA-Z][a-zA-Z0-9]{0,63}\z"));
        }
    }

    #[test]
    fn a_name_stands_for_itself(raw in prop_oneof![any::<String>(), "[ a-zA-Z0-9_.-]{0,70}"]) {
        if let Some(name) = camel_name(&raw) {
            prop_assert!(name.len() <= 64 && name.starts_with(|c: char| c.is_ascii_lowercase()));
            prop_assert!(name.bytes().all(|b| b.is_ascii_alphanumeric()));
            prop_assert_eq!(camel_name(&name), Some(name));
        }
    }
}
