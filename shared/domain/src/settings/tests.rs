use serde_json::{Value, json};

use super::*;

fn read(settings: Value) -> IdentitySettings {
    serde_json::from_value(settings).unwrap()
}

fn faults(settings: IdentitySettings) -> Vec<(String, String)> {
    let errors = settings.validate().unwrap_err();
    errors
        .into_iter()
        .map(|error| (error.field, error.reason.into_owned()))
        .collect()
}

fn fields(settings: IdentitySettings) -> Vec<String> {
    faults(settings)
        .into_iter()
        .map(|(field, _)| field)
        .collect()
}

fn types(n: usize) -> IdentitySettings {
    let configs: Vec<_> = (0..n)
        .map(|i| json!({"idType": format!("type{i}")}))
        .collect();
    read(json!({"identifierConfigs": configs, "matchingRules": ["type0"]}))
}

#[test]
fn a_new_store_has_the_reserved_types_in_the_order_of_their_rules() {
    let settings = IdentitySettings::default();
    let config = |name: &str, normalization: &str| {
        json!({
            "idType": name, "matchingAlgo": "exact", "matchingThreshold": 75, "limit": 100,
            "limitPolicy": "fifo", "enforceUnique": true, "normalization": normalization,
        })
    };
    let expected = json!({
        "identifierConfigs": [
            config("email", "email"), config("whatsapp", "trim"),
            config("phone", "phone"), config("chat", "trim"),
        ],
        "matchingRules": ["email", "whatsapp", "phone", "chat"],
    });
    assert_eq!(serde_json::to_value(&settings).unwrap(), expected);
    assert_eq!(settings.clone().validate(), Ok(settings));
}

#[test]
fn members_left_out_take_their_defaults() {
    let settings = read(json!({
        "identifierConfigs": [{"idType": "userId"}, {"idType": "phone", "limit": null}, {"idType": "email"}],
        "matchingRules": ["userId"],
    }));
    let config = |name: &str| settings.config(&IdType::new(name)).unwrap();
    assert_eq!(
        *config("userId"),
        IdentifierConfig::new(IdType::new("userId"))
    );
    assert_eq!(config("userId").normalization, Normalization::Trim);
    // A reserved type keeps its own normalisation, not `trim`.
    assert_eq!(config("phone").normalization, Normalization::Phone);
    assert_eq!(config("email").normalization, Normalization::Email);
    assert_eq!(config("phone").limit, 100);
    assert!(settings.validate().is_ok());
}

#[test]
fn enums_are_read_in_any_case_and_written_in_lower_case() {
    let settings = read(json!({
        "identifierConfigs": [{"idType": "phone", "matchingAlgo": "EXACT", "limitPolicy": "Lifo", "normalization": "PHONE"}],
        "matchingRules": ["phone"],
    }));
    let written = serde_json::to_value(settings.validate().unwrap()).unwrap();
    let config = &written["identifierConfigs"][0];
    assert_eq!(
        [
            &config["matchingAlgo"],
            &config["limitPolicy"],
            &config["normalization"]
        ],
        ["exact", "lifo", "phone"]
    );
}

#[test]
fn what_was_answered_can_be_sent_back() {
    let mut answered = serde_json::to_value(IdentitySettings::default()).unwrap();
    answered["version"] = 7.into();
    assert_eq!(read(answered).validate(), Ok(IdentitySettings::default()));
}

#[test]
fn configurations_have_no_other_members_types_or_spellings() {
    for config in [
        json!({"idType": "userId", "extra": 1}),
        json!({"limit": 5}),
        json!({"idType": "userId", "limit": 70_000}),
        json!({"idType": "userId", "limit": "5"}),
        json!({"idType": "userId", "limitPolicy": "oldest"}),
        json!({"idType": "userId", "enforceUnique": "true"}),
        json!(["userId"]),
    ] {
        let settings = json!({"identifierConfigs": [config], "matchingRules": ["userId"]});
        assert!(
            serde_json::from_value::<IdentitySettings>(settings).is_err(),
            "{config}"
        );
    }
    let twice =
        r#"{"identifierConfigs": [{"idType": "a1", "idType": "a2"}], "matchingRules": ["a1"]}"#;
    assert!(serde_json::from_str::<IdentitySettings>(twice).is_err());
}

#[test]
fn an_unknown_spelling_is_not_repeated() {
    let error = serde_json::from_str::<Normalization>("\"secret\"")
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("must be one of phone email trim none"),
        "{error}"
    );
    assert!(!error.contains("secret"));
}

#[test]
fn there_are_1_to_15_types_and_rules() {
    assert_eq!(
        fields(read(json!({}))),
        ["identifierConfigs", "matchingRules"]
    );
    assert!(types(15).validate().is_ok());
    assert_eq!(fields(types(16)), ["identifierConfigs"]);
    let mut rules = types(15);
    rules.matching_rules = (0..16)
        .map(|i| IdType::new(&format!("type{}", i % 15)))
        .collect();
    assert_eq!(fields(rules), ["matchingRules"]);
}

#[test]
fn every_fault_is_named() {
    let settings = read(json!({
        "identifierConfigs": [
            {"idType": "x"},
            {"idType": "has space"},
            {"idType": "a".repeat(31)},
            {"idType": "userId", "matchingAlgo": "fuzzy"},
            {"idType": "userId", "matchingThreshold": 49},
            {"idType": "one", "matchingThreshold": 100},
            {"idType": "two", "limit": 0},
            {"idType": "three", "limit": 101},
            {"idType": "email", "normalization": "trim"},
            {"idType": "chat", "normalization": "none"},
        ],
        "matchingRules": ["userId", "nobody", "userId"],
    }));
    assert_eq!(
        fields(settings),
        [
            "identifierConfigs[0].idType",
            "identifierConfigs[1].idType",
            "identifierConfigs[2].idType",
            "identifierConfigs[3].matchingAlgo",
            "identifierConfigs[4].idType",
            "identifierConfigs[4].matchingThreshold",
            "identifierConfigs[5].matchingThreshold",
            "identifierConfigs[6].limit",
            "identifierConfigs[7].limit",
            "identifierConfigs[8].normalization",
            "identifierConfigs[9].normalization",
            "matchingRules[1]",
            "matchingRules[2]",
        ]
    );
}

#[test]
fn the_borders_are_inside() {
    let settings = read(json!({
        "identifierConfigs": [
            {"idType": "ab", "matchingThreshold": 50, "limit": 1},
            {"idType": format!("{}-_9", "a".repeat(27)), "matchingThreshold": 99, "limit": 100},
        ],
        "matchingRules": ["ab"],
    }));
    assert!(settings.validate().is_ok());
}

#[test]
fn a_reserved_type_may_be_left_out() {
    let settings = read(json!({
        "identifierConfigs": [{"idType": "email"}, {"idType": "whatsapp"}, {"idType": "phone"}],
        "matchingRules": ["email", "whatsapp", "phone"],
    }));
    assert!(settings.validate().is_ok());
}

#[test]
fn an_identifier_is_normalised_by_its_type() {
    let settings = IdentitySettings::default();
    let value = |name: &str, raw: &str| {
        let identifier = settings.identifier(&IdType::new(name), raw);
        identifier.map(|identifier| identifier.value.expose().to_owned())
    };
    assert_eq!(
        value("email", " ADA@example.com"),
        Ok("ada@example.com".into())
    );
    assert_eq!(value("phone", "317-555-0100"), Ok("+13175550100".into()));
    assert_eq!(
        value("phone_number", "1"),
        Err(IdentifierError::UnknownType)
    );
    assert_eq!(value("chat", " \t"), Err(IdentifierError::Empty));
    assert_eq!(
        value("chat", &"c".repeat(256)),
        Err(IdentifierError::TooLong)
    );
    // E23
    assert_eq!(
        value("phone", "12345"),
        Err(IdentifierError::NotNormalizable)
    );
}

#[test]
fn a_type_matches_if_it_stands_in_the_rules() {
    let mut settings = types(3);
    settings.matching_rules = vec![IdType::new("type2"), IdType::new("type0")];
    settings.identifier_configs[2].enforce_unique = false;
    let rule = |name: &str| settings.rule_of(&IdType::new(name));
    assert_eq!(
        [rule("type2"), rule("type0"), rule("type1")],
        [Some(0), Some(1), None]
    );

    let of = |name: &str| settings.identifier(&IdType::new(name), "v").unwrap();
    assert!(settings.has_unique_in_rules(&[of("type2"), of("type0")]));
    // Unique outside the rules, and in the rules without being unique.
    assert!(!settings.has_unique_in_rules(&[of("type1"), of("type2")]));
    assert!(!settings.has_unique_in_rules(&[]));
}

#[test]
fn values_match_from_when_their_type_began_to_without_being_unique() {
    let at = Micros::from_micros;
    let home = IdType::new("home");
    let with = |in_rules: bool, unique: bool| {
        let mut settings = IdentitySettings::default();
        let mut config = IdentifierConfig::new(home.clone());
        config.enforce_unique = unique;
        settings.identifier_configs.push(config);
        if in_rules {
            settings.matching_rules.push(home.clone());
        }
        settings
    };
    let outside = with(false, false).replacing(&IdentitySettings::default(), at(1));
    assert_eq!(outside, with(false, false));
    let shared = with(true, false).replacing(&outside, at(10));
    assert!(!shared.matched_since(&home, at(9)));
    assert!(shared.matched_since(&home, at(10)));
    assert!(shared.matched_since(&IdType::new("email"), at(0)));
    // Another change leaves it; one that ends it makes it begin anew.
    let still = with(true, false).replacing(&shared, at(20));
    assert_eq!(still.shared_since, shared.shared_since);
    let unique = with(true, true).replacing(&still, at(30));
    assert!(unique.shared_since.is_empty());
    let again = with(true, false).replacing(&unique, at(40));
    assert!(!again.matched_since(&home, at(39)));
    // A store that was made with it has always had it.
    let always = with(true, false).replacing(&with(true, false), at(50));
    assert!(always.matched_since(&home, at(0)));
    let kept: IdentitySettings =
        serde_json::from_value(serde_json::to_value(&again).unwrap()).unwrap();
    assert_eq!(kept, again);
}
