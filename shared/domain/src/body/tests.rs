use proptest::prelude::*;
use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::id::DefinitionId;
use crate::identifier::IdType;
use crate::schema::{TraitGroup, contact_group};
use crate::settings::{IdentifierConfig, IdentitySettings, Normalization};
use crate::time::Micros;
use crate::traits::{TraitValue, TraitWrite};

fn id(n: u128) -> DefinitionId {
    DefinitionId::from_uuid(Uuid::from_u128(n))
}

/// `Contact` with the definitions 1 to 12, and `Kinds` with one trait of each sort, from 21.
fn groups() -> Vec<TraitGroup> {
    let mut next = 0;
    let contact = contact_group(Micros::from_micros(1), || {
        next += 1;
        id(next)
    });
    let kinds = json!({
        "name": "Kinds", "version": 1, "createdAt": 2,
        "traits": {
            "text": {"id": id(21), "dataType": "STRING"},
            "number": {"id": id(22), "dataType": "NUMBER"},
            "flag": {"id": id(23), "dataType": "BOOLEAN"},
            "list": {"id": id(24), "dataType": "ARRAY"},
            "account": {"id": id(25), "dataType": "NUMBER", "idTypePromotion": "account"},
            "mail": {"id": id(26), "dataType": "STRING", "idTypePromotion": "email"},
            "former": {"id": id(27), "dataType": "STRING", "idTypePromotion": "former"},
            "code": {"id": id(28), "dataType": "STRING",
                "validationRule": {"ruleType": "STRING", "pattern": "^[A-Z]+$", "minLength": 2, "maxLength": 4}},
            "short": {"id": id(29), "dataType": "ARRAY", "validationRule": {"ruleType": "ARRAY", "maxItems": 1}},
            "small": {"id": id(30), "dataType": "NUMBER", "validationRule": {"ruleType": "NUMBER", "min": 1, "max": 9}},
            "raw": {"id": id(31), "dataType": "STRING", "idTypePromotion": "raw"},
        },
    });
    vec![contact, serde_json::from_value(kinds).unwrap()]
}

fn settings() -> IdentitySettings {
    let mut settings = IdentitySettings::default();
    for (name, normalization) in [
        ("account", Normalization::Trim),
        ("raw", Normalization::None),
    ] {
        let config = IdentifierConfig::new(IdType::new(name));
        settings.identifier_configs.push(IdentifierConfig {
            normalization,
            ..config
        });
    }
    settings
}

fn parse(body: &str) -> Result<TraitsBody, BodyError> {
    TraitsBody::parse(body.as_bytes())
}

fn check(body: &str) -> Result<WriteSet, Vec<FieldError>> {
    validate(&parse(body).unwrap(), &groups(), &settings())
}

/// The body with these members in `Kinds`.
fn kinds(members: &str) -> String {
    format!(r#"{{"traits": {{"Kinds": {{{members}}}}}}}"#)
}

fn contact(members: &str) -> String {
    format!(r#"{{"traits": {{"Contact": {{{members}}}}}}}"#)
}

fn fields(errors: Vec<FieldError>) -> Vec<String> {
    errors.into_iter().map(|error| error.field).collect()
}

/// Where the one fault of a body's shape is.
#[track_caller]
fn misshapen(body: &str) -> Vec<String> {
    match parse(body) {
        Err(BodyError::Invalid(errors)) => fields(errors),
        other => panic!("{other:?}"),
    }
}

fn identifiers(set: &WriteSet) -> Vec<(&str, &str)> {
    set.identifiers
        .iter()
        .map(|identifier| (identifier.id_type.as_str(), identifier.value.expose()))
        .collect()
}

fn write(definition: u128, value: TraitValue, promoted: bool) -> TraitWriteOf {
    TraitWriteOf {
        definition: id(definition),
        write: TraitWrite::Set(value),
        promoted,
    }
}

fn text(text: &str) -> TraitValue {
    TraitValue::String(text.into())
}

// ---------------------------------------------------------------------------------------------------------------- reading

#[test]
fn a_body_keeps_the_order_of_the_document() {
    let body = parse(r#"{"traits": {"Z": {"b": 1, "a": 2}, "A": {"c": "x"}}}"#).unwrap();
    let order: Vec<_> = body
        .groups()
        .iter()
        .flat_map(|(group, traits)| traits.keys().map(move |name| format!("{group}.{name}")))
        .collect();
    assert_eq!(order, ["Z.b", "Z.a", "A.c"]);
}

#[test]
fn no_traits_may_be_said_in_three_ways() {
    for body in ["{}", r#"{"traits": null}"#, r#"{"traits": {}}"#, " \n{ }\t"] {
        let body = parse(body).unwrap();
        assert!(body.is_empty());
        assert_eq!(
            validate(&body, &groups(), &settings()),
            Ok(WriteSet::default())
        );
    }
    assert!(!parse(r#"{"traits": {"Contact": {}}}"#).unwrap().is_empty());
}

#[test]
fn what_is_not_json_is_malformed_and_its_place_is_told() {
    for body in [
        "",
        " ",
        "{",
        r#"{"traits": {}"#,
        r#"{"traits": {},}"#,
        "{'traits': {}}",
        "{} {}",
        "nonsense",
        "{\"traits\": {\"a\": {\"b\": 01}}}",
    ] {
        assert!(
            matches!(parse(body), Err(BodyError::Malformed { .. })),
            "{body}"
        );
    }
    let error = parse("{\n \"traits\": {\"Contact\": {\"email\": secret}}}").unwrap_err();
    assert_eq!(
        error,
        BodyError::Malformed {
            line: 2,
            column: 34
        }
    );
    assert_eq!(error.to_string(), "malformed JSON at line 2, column 34");
}

#[test]
fn bytes_that_are_no_text_are_malformed() {
    for bytes in [
        &b"\xef\xbb\xbf{}"[..],
        b"{\"traits\": {\"a\": {\"b\": \"\xff\"}}}",
        b"{\"\xff\": 1}",
        br#"{"traits": {"a": {"b": "\ud800"}}}"#,
    ] {
        assert!(matches!(
            TraitsBody::parse(bytes),
            Err(BodyError::Malformed { .. })
        ));
    }
}

#[test]
fn numbers_are_finite() {
    let body = kinds(r#""number": 1e999"#);
    assert!(matches!(parse(&body), Err(BodyError::Malformed { .. })));
}

#[test]
fn no_depth_overflows_the_stack() {
    let deep = format!("{}{}", "[".repeat(500_000), "]".repeat(500_000));
    let errors = check(&kinds(&format!(r#""list": {deep}"#))).unwrap_err();
    assert_eq!(fields(errors), ["traits.Kinds.list"]);
    assert_eq!(misshapen(&format!(r#"{{"other": {deep}}}"#)), ["other"]);
    assert!(matches!(
        parse(&"[".repeat(500_000)),
        Err(BodyError::Malformed { .. })
    ));
    let objects = r#"{"traits":"#.repeat(500_000);
    assert!(matches!(parse(&objects), Err(BodyError::Malformed { .. })));
}

#[test]
fn other_members_of_the_body_are_refused() {
    assert_eq!(misshapen(r#"{"traits": {}, "id": 1}"#), ["id"]);
    assert_eq!(misshapen(r#"{"Traits": {}}"#), ["Traits"]);
    assert_eq!(misshapen(r#"{"a": {"deep": [1]}, "b": null}"#), ["a", "b"]);
}

#[test]
fn a_key_given_twice_is_refused_at_every_level() {
    assert_eq!(misshapen(r#"{"traits": {}, "traits": {}}"#), ["traits"]);
    assert_eq!(misshapen(r#"{"traits": {"A": {}, "A": {}}}"#), ["traits.A"]);
    assert_eq!(
        misshapen(r#"{"traits": {"A": {"x": 1, "y": 2, "x": 1}}}"#),
        ["traits.A.x"]
    );
    // The same key in another spelling of JSON.
    assert_eq!(
        misshapen("{\"traits\": {\"A\": {\"x\": 1, \"\\u0078\": 1}}}"),
        ["traits.A.x"]
    );
    // The same name in two groups is two keys.
    assert!(parse(r#"{"traits": {"A": {"x": 1}, "B": {"x": 1}}}"#).is_ok());
    // Inside a value it is refused with the object around it.
    let nested = check(&kinds(r#""text": {"x": 1, "x": 2}"#)).unwrap_err();
    assert_eq!(fields(nested), ["traits.Kinds.text"]);
}

#[test]
fn a_part_that_is_no_object_is_refused() {
    for other in [
        "null",
        "true",
        "-1",
        "1",
        "1.5",
        "\"text\"",
        "[]",
        "[{\"traits\": {}}]",
    ] {
        assert_eq!(misshapen(other), ["body"], "{other}");
        assert_eq!(
            misshapen(&format!(r#"{{"traits": {{"A": {other}}}}}"#)),
            ["traits.A"],
            "{other}"
        );
        if other != "null" {
            assert_eq!(
                misshapen(&format!(r#"{{"traits": {other}}}"#)),
                ["traits"],
                "{other}"
            );
        }
    }
}

#[test]
fn a_body_has_50_groups_of_99_traits_at_most() {
    let object = |n: usize, value: &str| {
        let members: Vec<_> = (0..n).map(|i| format!(r#""k{i}": {value}"#)).collect();
        format!("{{{}}}", members.join(", "))
    };
    let of_groups = |n| format!(r#"{{"traits": {}}}"#, object(n, "{}"));
    assert_eq!(parse(&of_groups(50)).unwrap().groups().len(), 50);
    assert_eq!(misshapen(&of_groups(51)), ["traits"]);
    assert_eq!(misshapen(&of_groups(5000)), ["traits"]);
    let of_traits = |n| format!(r#"{{"traits": {{"A": {}, "B": {{}}}}}}"#, object(n, "1"));
    assert_eq!(parse(&of_traits(99)).unwrap().groups()["A"].len(), 99);
    assert_eq!(misshapen(&of_traits(100)), ["traits.A"]);
    assert_eq!(misshapen(&of_traits(5000)), ["traits.A"]);
}

#[test]
fn faults_are_told_together_and_their_number_is_bounded() {
    let body = r#"{"extra": 1, "traits": {"A": 1, "B": {"x": 1, "x": 2}, "B": {}}}"#;
    assert_eq!(
        misshapen(body),
        ["extra", "traits.A", "traits.B.x", "traits.B"]
    );
    let many: Vec<_> = (0..40).map(|i| format!(r#""G{i}": 1"#)).collect();
    assert_eq!(
        misshapen(&format!(r#"{{"traits": {{{}}}}}"#, many.join(","))).len(),
        ERRORS_MAX
    );
}

#[test]
fn long_names_are_cut_where_they_are_repeated() {
    let long = "é".repeat(100_000);
    let shown = misshapen(&format!(r#"{{"{long}": 1}}"#));
    assert_eq!(shown, [format!("{}…", "é".repeat(64))]);
}

#[test]
fn an_array_is_kept_as_far_as_it_could_be_a_value() {
    let items = vec!["[1, 2]"; 5_000].join(",");
    let body = parse(&kinds(&format!(r#""list": [{items}]"#))).unwrap();
    let BodyValue::Array(kept) = &body.groups()["Kinds"]["list"] else {
        panic!()
    };
    assert_eq!(kept.len(), ARRAY_ITEMS_MAX + 1);
    assert!(kept.iter().all(|item| *item == BodyValue::Array(vec![])));
}

#[test]
fn nothing_personal_is_shown() {
    let body = parse(&contact(r#""secretName": "secret value""#)).unwrap();
    let shown = format!(
        "{body:?} {:?} {:?}",
        body.groups()["Contact"]["secretName"],
        BulkBody {
            items: vec![body.clone()]
        }
    );
    assert!(!shown.contains("secret"), "{shown}");
    let set = check(&contact(r#""email": "secret@example.com""#)).unwrap();
    assert!(!format!("{set:?}").contains("secret"));
}

#[test]
fn a_bulk_body_has_1_to_1000_items() {
    let bulk = |items: &str| BulkBody::parse(format!(r#"{{"profiles": {items}}}"#).as_bytes());
    let wrong = |items: &str| match bulk(items) {
        Err(BodyError::Invalid(errors)) => fields(errors),
        other => panic!("{other:?}"),
    };
    let list = |n: usize| format!("[{}]", vec!["{}"; n].join(","));
    assert_eq!(bulk(&list(1)).unwrap().items.len(), 1);
    assert_eq!(bulk(&list(1000)).unwrap().items.len(), 1000);
    for items in ["[]", &list(1001), "null", "{}", "{\"a\": 1}", "5", "\"x\""] {
        assert_eq!(wrong(items), ["profiles"]);
    }
    let parse = |body: &str| match BulkBody::parse(body.as_bytes()) {
        Err(BodyError::Invalid(errors)) => fields(errors),
        other => panic!("{other:?}"),
    };
    assert_eq!(parse("{}"), ["profiles"]);
    assert_eq!(parse("[]"), ["body"]);
    assert_eq!(
        parse(r#"{"profiles": [{}], "profiles": [{}], "x": 1}"#),
        ["profiles", "x"]
    );
}

#[test]
fn faults_of_a_bulk_item_name_its_place() {
    let body = br#"{"profiles": [{"traits": {}}, 5, {"x": 1, "traits": 1}, {"traits": {"A": {"b": 1, "b": 1}}}]}"#;
    let Err(BodyError::Invalid(errors)) = BulkBody::parse(body) else {
        panic!()
    };
    assert_eq!(
        fields(errors),
        [
            "profiles[1]",
            "profiles[2].x",
            "profiles[2].traits",
            "profiles[3].traits.A.b"
        ]
    );

    let body = br#"{"profiles": [{"traits": {"Contact": {"email": "a@x"}}}, {"traits": {"Contact": {"email": 5}}}]}"#;
    let items = BulkBody::parse(body).unwrap().items;
    assert!(validate(&items[0], &groups(), &settings()).is_ok());
    let errors = validate(&items[1], &groups(), &settings()).unwrap_err();
    assert_eq!(fields(errors), ["profiles[1].traits.Contact.email"]);
}

// --------------------------------------------------------------------------------------------------------------- checking

#[test]
fn a_new_person_of_the_contract() {
    // E1: the trait as sent, the identifier normalised.
    let set = check(&contact(
        r#""email": "Ada@Example.com", "firstName": "Ada""#,
    ))
    .unwrap();
    assert_eq!(
        set.writes,
        [
            write(1, text("Ada@Example.com"), true),
            write(5, text("Ada"), false)
        ]
    );
    assert_eq!(identifiers(&set), [("email", "ada@example.com")]);
}

#[test]
fn identifiers_come_in_document_order_without_repetition() {
    // E34, and one value in two spellings.
    let body = r#"{"traits": {"Contact": {"phone": "317-555-0100", "email": "a1@x"}, "Kinds": {"mail": "a2@x"}}}"#;
    let set = check(body).unwrap();
    assert_eq!(
        identifiers(&set),
        [
            ("phone", "+13175550100"),
            ("email", "a1@x"),
            ("email", "a2@x")
        ]
    );
    let body = r#"{"traits": {"Kinds": {"mail": " A1@X"}, "Contact": {"email": "a1@x"}}}"#;
    let set = check(body).unwrap();
    assert_eq!(identifiers(&set), [("email", "a1@x")]);
    assert_eq!(set.writes.len(), 2);
}

#[test]
fn a_person_without_a_usable_identifier_is_told_by_its_absence() {
    // E21
    for members in [
        r#""firstName": "Ada""#,
        r#""email": """#,
        r#""email": " \t""#,
        r#""email": null, "firstName": "Ada""#,
    ] {
        let set = check(&contact(members)).unwrap();
        assert!(set.identifiers.is_empty(), "{members}");
        assert!(!set.writes.is_empty());
    }
}

#[test]
fn null_removes_and_names_nobody() {
    let set = check(&contact(r#""email": null, "firstName": null"#)).unwrap();
    let removed = |definition, promoted| TraitWriteOf {
        definition: id(definition),
        write: TraitWrite::Removed,
        promoted,
    };
    assert_eq!(set.writes, [removed(1, true), removed(5, false)]);
}

#[test]
fn a_value_of_another_type_is_refused() {
    // E22, and Q12: no coercion.
    for (name, good, bad) in [
        (
            "text",
            &[r#""""#, r#""x""#][..],
            &["1", "true", "[]", "{}"][..],
        ),
        (
            "number",
            &["1", "-1", "1.5", "1e3", "0", "-0"],
            &[r#""1""#, "true", "[1]", "{}"],
        ),
        (
            "flag",
            &["true", "false"],
            &[r#""true""#, "1", "0", "[]", "{}"],
        ),
        (
            "list",
            &["[]", r#"["a", 1, 1.5, true]"#],
            &["1", r#""a""#, "{}", "[null]", "[[]]", "[{}]", "[[1]]"],
        ),
    ] {
        let body = |value| kinds(&format!(r#""{name}": {value}"#));
        for value in good {
            assert_eq!(
                check(&body(value)).map(|set| set.writes.len()),
                Ok(1),
                "{name} {value}"
            );
        }
        for value in bad {
            assert_eq!(
                check(&body(value)).map_err(fields),
                Err(vec![format!("traits.Kinds.{name}")]),
                "{name} {value}"
            );
        }
    }
    for value in ["42", r#"["a@x"]"#, r#"{"v": "a@x"}"#] {
        let errors = check(&contact(&format!(
            r#""email": {value}, "phone": "3175550100""#
        )))
        .unwrap_err();
        assert_eq!(fields(errors), ["traits.Contact.email"]);
    }
}

#[test]
fn values_are_kept_as_sent() {
    let set = check(&kinds(
        r#""number": 1.0, "list": ["a", 2, 2.50, false], "text": " Ä "  "#,
    ))
    .unwrap();
    let values: Vec<_> = set
        .writes
        .into_iter()
        .map(|one| match one.write {
            TraitWrite::Set(value) => serde_json::to_string(&value).unwrap(),
            TraitWrite::Removed => panic!(),
        })
        .collect();
    assert_eq!(values, ["1.0", r#"["a",2,2.5,false]"#, r#"" Ä ""#]);
}

#[test]
fn a_string_has_1024_characters_at_most() {
    for n in [1024, 1025] {
        let long = "é".repeat(n);
        for body in [
            kinds(&format!(r#""text": "{long}""#)),
            kinds(&format!(r#""list": ["{long}"]"#)),
        ] {
            assert_eq!(check(&body).is_ok(), n == 1024);
        }
    }
}

#[test]
fn a_number_has_32_bits_with_or_without_a_fraction() {
    for good in [
        "2147483647",
        "-2147483648",
        "2147483646.5",
        "2147483647.0",
        "1e9",
    ] {
        assert!(
            check(&kinds(&format!(r#""number": {good}, "list": [{good}]"#))).is_ok(),
            "{good}"
        );
    }
    for bad in [
        "2147483648",
        "-2147483649",
        "2147483647.5",
        "-2147483648.5",
        "1e10",
        "18446744073709551615",
        "1e300",
    ] {
        let errors = check(&kinds(&format!(r#""number": {bad}, "list": [{bad}]"#))).unwrap_err();
        assert_eq!(errors.len(), 2, "{bad}");
    }
}

#[test]
fn an_array_has_100_items_at_most() {
    let of = |n: usize| check(&kinds(&format!(r#""list": [{}]"#, vec!["1"; n].join(","))));
    assert!(of(100).is_ok());
    assert_eq!(fields(of(101).unwrap_err()), ["traits.Kinds.list"]);
    assert_eq!(fields(of(5000).unwrap_err()), ["traits.Kinds.list"]);
}

#[test]
fn undefined_names_are_refused() {
    // E24
    let body = r#"{"traits": {"Contact": {"email": "a@x", "favouriteColour": "red"}, "Nothing": {"x": 1}, "contact": {}}}"#;
    let errors = check(body).unwrap_err();
    assert_eq!(
        fields(errors),
        [
            "traits.Contact.favouriteColour",
            "traits.Nothing",
            "traits.contact"
        ]
    );
    // Null does not define a name.
    assert!(check(&contact(r#""favouriteColour": null"#)).is_err());
}

#[test]
fn names_of_traits_may_be_spelt_in_other_ways() {
    let body = contact(r#""first_name": "Ada", "Last Name": "L", "chat.id": "c""#);
    let set = check(&body).unwrap();
    let definitions: Vec<_> = set.writes.iter().map(|one| one.definition).collect();
    assert_eq!(definitions, [id(5), id(6), id(4)]);
    assert_eq!(identifiers(&set), [("chat", "c")]);
}

#[test]
fn two_keys_for_one_trait_are_refused() {
    let errors = check(&contact(
        r#""firstName": "A", "first_name": "A", "first-name": null"#,
    ))
    .unwrap_err();
    assert_eq!(
        fields(errors),
        ["traits.Contact.first_name", "traits.Contact.first-name"]
    );
}

#[test]
fn a_value_must_satisfy_its_rule() {
    for (members, passes) in [
        (r#""code": "ABC""#, true),
        (r#""code": "A""#, false),
        (r#""code": "ABCDE""#, false),
        (r#""code": "abc""#, false),
        (r#""code": """#, false),
        (r#""code": null"#, true),
        (r#""short": [1]"#, true),
        (r#""short": [1, 2]"#, false),
        (r#""small": 9"#, true),
        (r#""small": 9.5"#, false),
        (r#""small": 0"#, false),
    ] {
        assert_eq!(check(&kinds(members)).is_ok(), passes, "{members}");
    }
}

#[test]
fn a_promoted_value_must_be_normalisable() {
    // E23
    let errors = check(&contact(
        r#""phone": "12345", "email": "a@x", "whatsapp": 5"#,
    ))
    .unwrap_err();
    assert_eq!(errors[0].reason, "cannot be normalised");
    assert_eq!(
        fields(errors),
        ["traits.Contact.phone", "traits.Contact.whatsapp"]
    );
    let long = contact(&format!(r#""chatId": "{}""#, "c".repeat(256)));
    let errors = check(&long).unwrap_err();
    assert_eq!(errors[0].reason, "longer than 255 characters");
    assert_eq!(fields(errors), ["traits.Contact.chatId"]);
    // The same length is no matter where nothing is promoted.
    assert!(check(&kinds(&format!(r#""text": "{}""#, "c".repeat(256)))).is_ok());
}

#[test]
fn a_promoted_number_is_a_plain_integer() {
    for (number, identifier) in [
        ("1000", "1000"),
        ("1000.0", "1000"),
        ("1e3", "1000"),
        ("-7", "-7"),
        ("-0", "0"),
        ("-0.0", "0"),
        ("2147483647", "2147483647"),
        ("-2147483648.0", "-2147483648"),
    ] {
        let set = check(&kinds(&format!(r#""account": {number}"#))).unwrap();
        assert_eq!(identifiers(&set), [("account", identifier)], "{number}");
    }
    for number in ["0.5", "1000.25", "1e-3"] {
        let errors = check(&kinds(&format!(r#""account": {number}"#))).unwrap_err();
        assert_eq!(errors[0].reason, "cannot be normalised", "{number}");
    }
}

#[test]
fn a_promotion_to_a_type_no_longer_configured_is_ignored() {
    let long = "f".repeat(300);
    let set = check(&kinds(&format!(r#""former": "{long}""#))).unwrap();
    assert_eq!(set.writes, [write(27, text(&long), true)]);
    assert!(set.identifiers.is_empty());
}

#[test]
fn a_value_of_no_normalisation_is_taken_as_sent() {
    let set = check(&kinds(r#""raw": "  Bob ""#)).unwrap();
    assert_eq!(identifiers(&set), [("raw", "  Bob ")]);
    assert!(
        check(&kinds(r#""raw": "   ""#))
            .unwrap()
            .identifiers
            .is_empty()
    );
}

#[test]
fn every_fault_of_values_is_told_up_to_a_bound_and_none_shows_a_value() {
    let members: Vec<_> = (0..40)
        .map(|i| format!(r#""unknown{i}": "secret""#))
        .collect();
    let errors = check(&contact(&members.join(","))).unwrap_err();
    assert_eq!(errors.len(), ERRORS_MAX);
    let body = kinds(
        r#""text": 7310, "number": "secret", "code": "secret", "small": 7310, "flag": "secret", "account": 7310.5, "mail": "secret""#,
    );
    let errors = check(&body).unwrap_err();
    assert_eq!(errors.len(), 7);
    let shown = serde_json::to_string(&errors).unwrap();
    assert!(
        !shown.contains("secret") && !shown.contains("7310"),
        "{shown}"
    );
    assert!(
        shown.starts_with(r#"[{"field":"traits.Kinds.text","reason":"#),
        "{shown}"
    );
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        "[a-z@+0-9 ]{0,12}".prop_map(Into::into),
    ];
    let key = prop_oneof![
        "traits",
        "Contact",
        "Kinds",
        "email",
        "phone",
        "text",
        "list",
        "first_name",
        "[a-z]{1,4}"
    ];
    leaf.prop_recursive(5, 60, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            proptest::collection::vec((key.clone(), inner), 0..6)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>) {
        let _ = TraitsBody::parse(&bytes).is_ok();
        let _ = BulkBody::parse(&bytes).is_ok();
    }

    #[test]
    fn no_json_makes_it_panic_and_what_is_read_is_what_was_sent(traits in any_json()) {
        let sent = json!({"traits": traits});
        if let Ok(body) = parse(&sent.to_string()) {
            let _ = validate(&body, &groups(), &settings()).is_ok();
            for (group, members) in body.groups() {
                prop_assert_eq!(
                    members.keys().collect::<Vec<_>>(),
                    sent["traits"][group].as_object().unwrap().keys().collect::<Vec<_>>()
                );
            }
        }
    }

    #[test]
    fn any_text_is_written_as_sent(value: String) {
        let body = json!({"traits": {"Kinds": {"text": value}}});
        let expected = value.chars().count() <= STRING_CHARS_MAX;
        let set = check(&body.to_string());
        prop_assert_eq!(set.is_ok(), expected);
        if let Ok(set) = set {
            prop_assert_eq!(set.writes, [write(21, text(&value), false)]);
        }
    }
}
