//! Settings as a PUT gives them (`memory-api.md` 5.3): every member checked by name, defaults filled in.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    IdentifierConfig, IdentitySettings, LimitPolicy, MatchingAlgo, Normalization, TYPES_MAX,
};
use crate::body::{BodyError, Problems};
use crate::identifier::IdType;
use crate::json::{self, Members};

impl IdentitySettings {
    /// Reads the body of a PUT, and checks it ([`IdentitySettings::validate`]). Other members than the two lists are ignored,
    /// so that what GET answered can be sent back; those of a type are not.
    ///
    /// # Errors
    /// [`BodyError`], with every fault of the shape, or else of the rules.
    pub fn parse(bytes: &[u8]) -> Result<Self, BodyError> {
        let body = json::object(bytes)?;
        let mut problems = Problems::default();
        let mut members = Members::of_body(&body, &mut problems);
        let configs = items(&mut members, "identifierConfigs");
        let rules = items(&mut members, "matchingRules");
        let identifier_configs = configs
            .iter()
            .enumerate()
            .filter_map(|(at, value)| {
                config(format!("identifierConfigs[{at}]"), value, &mut problems)
            })
            .collect();
        let mut matching_rules = Vec::new();
        for (at, rule) in rules.iter().enumerate() {
            match rule.as_str() {
                Some(name) => matching_rules.push(IdType::new(name)),
                None => problems.add(format!("matchingRules[{at}]"), "must be a string"),
            }
        }
        problems.none_or_errors().map_err(BodyError::Invalid)?;
        let given = Self {
            identifier_configs,
            matching_rules,
            shared_since: BTreeMap::new(),
        };
        given.validate().map_err(BodyError::Invalid)
    }
}

/// The items of a list; none, and a fault, unless it has 1 to 15.
fn items<'a>(members: &mut Members<'a, '_>, name: &'static str) -> &'a [Value] {
    let given = members.value(name);
    let Some(value) = members.required(name, given) else {
        return &[];
    };
    match value.as_array() {
        Some(items) if (1..=TYPES_MAX).contains(&items.len()) => items,
        _ => {
            members.fault(name, "must be an array of 1 to 15 items");
            &[]
        }
    }
}

fn config(path: String, value: &Value, problems: &mut Problems) -> Option<IdentifierConfig> {
    let mut members = Members::of(path, value, problems)?;
    let name = members.text("idType");
    let name = members.required("idType", name);
    let default = IdentifierConfig::new(IdType::new(name.unwrap_or_default()));
    let algorithms = [
        ("exact", MatchingAlgo::Exact),
        ("fuzzy", MatchingAlgo::Fuzzy),
    ];
    let policies = [("fifo", LimitPolicy::Fifo), ("lifo", LimitPolicy::Lifo)];
    let normalizations = [
        ("phone", Normalization::Phone),
        ("email", Normalization::Email),
        ("trim", Normalization::Trim),
        ("none", Normalization::None),
    ];
    let read = IdentifierConfig {
        matching_algo: members
            .word("matchingAlgo", &algorithms, "must be exact or fuzzy")
            .unwrap_or(default.matching_algo),
        matching_threshold: members
            .integer("matchingThreshold", "must be 50 to 99")
            .unwrap_or(default.matching_threshold),
        limit: members
            .integer("limit", "must be 1 to 100")
            .unwrap_or(default.limit),
        limit_policy: members
            .word("limitPolicy", &policies, "must be fifo or lifo")
            .unwrap_or(default.limit_policy),
        enforce_unique: members
            .boolean("enforceUnique")
            .unwrap_or(default.enforce_unique),
        normalization: members
            .word(
                "normalization",
                &normalizations,
                "must be phone, email, trim or none",
            )
            .unwrap_or(default.normalization),
        id_type: default.id_type,
    };
    members.refuse_others();
    name.map(|_| read)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(body: &str) -> Vec<String> {
        match IdentitySettings::parse(body.as_bytes()) {
            Err(BodyError::Invalid(errors)) => errors.into_iter().map(|e| e.field).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_read_back_can_be_sent_again() {
        let settings = IdentitySettings::default();
        let mut body = serde_json::to_value(&settings).unwrap();
        body["version"] = 7.into();
        // What is remembered of a store is nobody's to say.
        body["sharedSince"] = serde_json::json!({"email": 1});
        let read = IdentitySettings::parse(body.to_string().as_bytes());
        assert_eq!(read.unwrap(), settings);
    }

    #[test]
    fn members_left_out_take_their_defaults_and_words_are_read_in_any_case() {
        let body = r#"{"identifierConfigs": [{"idType": "phone"}, {"idType": "own", "limit": 3,
            "limitPolicy": "LIFO", "matchingAlgo": "Exact", "enforceUnique": null}], "matchingRules": ["own"]}"#;
        let read = IdentitySettings::parse(body.as_bytes()).unwrap();
        assert_eq!(
            read.identifier_configs[0].normalization,
            Normalization::Phone
        );
        let own = &read.identifier_configs[1];
        assert_eq!((own.limit, own.limit_policy), (3, LimitPolicy::Lifo));
        assert!(own.enforce_unique);
    }

    #[test]
    fn every_fault_is_named_by_its_place() {
        assert_eq!(fields("{}"), ["identifierConfigs", "matchingRules"]);
        assert_eq!(
            fields(r#"{"identifierConfigs": {}, "matchingRules": []}"#),
            ["identifierConfigs", "matchingRules"]
        );
        let body = r#"{"identifierConfigs": [7, {"limit": 0.5}, {"idType": "a", "limit": "1", "matchingThreshold": -1,
            "limitPolicy": "x", "enforceUnique": 1, "normalization": 3, "matchingAlgo": "y", "more": 1}],
            "matchingRules": [7]}"#;
        assert_eq!(
            fields(body),
            [
                "identifierConfigs[0]",
                "identifierConfigs[1].idType",
                "identifierConfigs[1].limit",
                "identifierConfigs[2].matchingAlgo",
                "identifierConfigs[2].matchingThreshold",
                "identifierConfigs[2].limit",
                "identifierConfigs[2].limitPolicy",
                "identifierConfigs[2].enforceUnique",
                "identifierConfigs[2].normalization",
                "identifierConfigs[2].more",
                "matchingRules[0]",
            ]
        );
        // Shape first, then rules.
        let body =
            r#"{"identifierConfigs": [{"idType": "a", "limit": 101}], "matchingRules": ["b"]}"#;
        assert_eq!(
            fields(body),
            [
                "identifierConfigs[0].idType",
                "identifierConfigs[0].limit",
                "matchingRules[0]"
            ]
        );
    }
}
