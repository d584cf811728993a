//! The bodies of requests and answers, as JSON Schema. Every limit is the constant that the code itself checks.
//!
//! Answers have exactly the members that are described, so their objects are closed. In requests a member that may be left out
//! may be null, too, which means the same; and the words of a list are taken in any case, which no schema says.

use kith_domain::body::{
    ARRAY_ITEMS_MAX, BULK_ITEMS_MAX, ERRORS_MAX, GROUPS_MAX as BODY_GROUPS_MAX, STRING_CHARS_MAX,
    TRAITS_MAX,
};
use kith_domain::id::{OperationId, ProfileId, StoreId};
use kith_domain::identifier::IdType;
use kith_domain::normalize::VALUE_CHARS_MAX;
use kith_domain::operation::OperationStatus;
use kith_domain::schema::{
    DEFINITIONS_MAX, DESCRIPTION_CHARS_MAX, DataType, GROUPS_MAX, NAME_CHARS_MAX, PATTERN_CHARS_MAX,
};
use kith_domain::settings::{
    IdentifierConfig, LIMITS, LimitPolicy, MatchingAlgo, Normalization, THRESHOLDS, TYPE_CHARS,
    TYPES_MAX,
};
use kith_domain::store::{DESCRIPTION_CHARS, NAME_CHARS_MAX as STORE_NAME_CHARS_MAX, StoreStatus};
use kith_profiles::lookup::PROFILES_MAX;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::error::MESSAGE_CHARS_MAX;
use crate::handlers::page::PAGE_SIZE_MAX as DEFINITIONS_PAGE_MAX;
use crate::query::PAGE_SIZE_MAX;
use crate::token::CHARS_MAX as TOKEN_CHARS_MAX;

/// Names of stores ([`is_display_name`](kith_domain::store::is_display_name)).
const STORE_NAME: &str = "^[a-zA-Z0-9-]+$";
/// Names of trait groups ([`is_group_name`](kith_domain::schema::is_group_name)).
const GROUP_NAME: &str = r"^[a-zA-Z0-9_\-\.]+$";
/// Names of identifier types ([`is_type_name`](kith_domain::settings::is_type_name)).
const TYPE_NAME: &str = "^[a-zA-Z0-9_-]+$";
/// Names of traits as they are kept.
const TRAIT_NAME: &str = "^[a-z][a-zA-Z0-9]*$";
/// Names of traits as they may be given ([`camel_name`](kith_domain::schema::camel_name)).
const GIVEN_TRAIT_NAME: &str = r"^[_\-. ]*[a-zA-Z][a-zA-Z0-9_\-. ]*$";
/// What `Twilio-Request-Id` says.
pub(super) const REQUEST_ID: &str = "^RQ[0-9a-f]{32}$";
/// UTC, whole seconds.
const SECONDS: &str = "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$";

/// Every schema, by name.
pub(super) fn all() -> Value {
    let groups = [
        errors(),
        answers(),
        profiles(),
        explanation(),
        identifiers(),
        stores(),
        trait_groups(),
        settings(),
    ];
    let mut all = Map::new();
    for group in groups {
        if let Value::Object(group) = group {
            all.extend(group);
        }
    }
    Value::Object(all)
}

/// A reference to a schema.
pub(super) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn errors() -> Value {
    let field = json!({
        "type": "string",
        "description": "Where, such as `traits.Contact.email`.",
    });
    let reason = json!({ "type": "string", "description": "What must be mended." });
    let errors = json!({
        "type": "array",
        "minItems": 1,
        "maxItems": ERRORS_MAX,
        "items": closed(&["field", "reason"], json!({ "field": field, "reason": reason })),
    });
    json!({
        "Error": described(
            "Every answer that is neither what was asked for nor a redirect.",
            closed(&["code", "message", "more_info", "status"], json!({
                "code": {
                    "type": "integer", "minimum": 100, "maximum": 999_999,
                    "description": "What went wrong, for programs.",
                },
                "message": described("What went wrong, for people.", text(0, MESSAGE_CHARS_MAX)),
                "more_info": described("Where the code is explained.", uri()),
                "status": {
                    "type": "integer", "minimum": 400, "maximum": 599,
                    "description": "The status of the answer.",
                },
                "details": described(
                    "Which fields are wrong, where fields are.",
                    closed(&["errors"], json!({ "errors": errors })),
                ),
            })),
        ),
        "Moved": described(
            "The profile was merged into another.",
            closed(&["message", "uri"], json!({
                "message": message(),
                "uri": described("The same of the other profile.", uri()),
            })),
        ),
    })
}

fn answers() -> Value {
    json!({
        "Accepted": closed(&["message"], json!({ "message": message() })),
        "AcceptedProfile": closed(&["message", "id"], json!({
            "message": message(),
            "id": described("The profile, new or known.", reference("ProfileId")),
        })),
        "AcceptedOperation": closed(&["message", "statusUrl"], json!({
            "message": message(),
            "statusUrl": described("Where to ask for what became of it.", uri()),
        })),
        "OperationStatus": closed(
            &["operationId", "status", "statusUrl", "createdAt"],
            json!({
                "operationId": reference("OperationId"),
                "status": one_of(&[OperationStatus::Running, OperationStatus::Completed]),
                "statusUrl": uri(),
                "createdAt": time(),
                "completedAt": described("Once it is done.", time()),
                "resultUrl": described("Where the resource is, unless it was removed.", uri()),
                "result": described("Once it is done.", closed(&["type", "id"], json!({
                    "type": { "type": "string", "enum": ["RESOURCE_ID"] },
                    "id": described("The store, or the name of the trait group.", text(0, 128)),
                }))),
            }),
        ),
        "OperationId": { "type": "string", "pattern": OperationId::PATTERN },
        "Meta": closed(&["key", "pageSize"], json!({
            "key": described("The member that is the list.", text(0, 64)),
            "pageSize": {
                "type": "integer", "minimum": 0, "description": "How many items this page has.",
            },
            "nextToken": described(
                "What to ask for the next page with; not there on the last one.",
                text(0, TOKEN_CHARS_MAX),
            ),
        })),
    })
}

fn profiles() -> Value {
    json!({
        "ProfileId": { "type": "string", "pattern": ProfileId::PATTERN },
        "ProfileList": page("profiles", reference("ProfileId"), PAGE_SIZE_MAX),
        "Profile": closed(&["id", "createdAt", "traits"], json!({
            "id": reference("ProfileId"),
            "createdAt": time(),
            "traits": described("Values by group and trait.", values(&reference("TraitValue"))),
        })),
        "ProfileData": closed(&["traits"], json!({
            "traits": described(
                "Values by group and trait; at least one of them is an identifier. Null removes a trait.",
                with(given_values(), "minProperties", 1),
            ),
        })),
        "ProfilePatch": closed(&[], json!({
            "traits": described("Values by group and trait. Null removes a trait.", or_null(given_values())),
        })),
        "ProfileBatch": closed(&["profiles"], json!({
            "profiles": list(1, BULK_ITEMS_MAX, reference("ProfileData")),
        })),
        "TraitValue": {
            "description": "A text, a number, true or false, or a list of those.",
            "anyOf": [
                scalar_text(), number(), boolean(),
                list(0, ARRAY_ITEMS_MAX, json!({ "anyOf": [scalar_text(), number(), boolean()] })),
            ],
        },
        "TraitList": page("traits", reference("Trait"), DEFINITIONS_PAGE_MAX),
        "Trait": closed(&["name", "value", "traitGroup", "timestamp"], json!({
            "name": trait_name(),
            "value": reference("TraitValue"),
            "traitGroup": group_name(),
            "timestamp": described("When it was written.", time()),
        })),
    })
}

fn explanation() -> Value {
    let request = || json!({ "type": "string", "pattern": REQUEST_ID });
    let value = || described("Normalised.", text(1, VALUE_CHARS_MAX));
    let members = closed(
        &["id", "createdAt"],
        json!({ "id": reference("ProfileId"), "createdAt": time() }),
    );
    let identifiers = closed(
        &["idType", "value", "profileId", "addedAt", "requestId"],
        json!({
            "idType": id_type(),
            "value": value(),
            "profileId": described("The member that it was given to.", reference("ProfileId")),
            "addedAt": time(),
            "requestId": described("The request that added it.", request()),
        }),
    );
    let carried = closed(
        &["idType"],
        json!({
            "idType": id_type(),
            "value": described("Not there once it was removed.", value()),
            "profileId": described("The member that has it.", reference("ProfileId")),
        }),
    );
    let merges = closed(
        &["profileId", "into", "mergedAt", "identifiers"],
        json!({
            "profileId": described("The younger one.", reference("ProfileId")),
            "into": described("The older one.", reference("ProfileId")),
            "mergedAt": time(),
            "requestId": described("The request that merged them.", request()),
            "settingsVersion": described("Of the identity resolution settings that it went by.", version()),
            "identifiers": described("What the request carried.", json!({ "type": "array", "items": carried })),
        }),
    );
    let oldest_first =
        |items: Value| described("Oldest first.", json!({ "type": "array", "items": items }));
    json!({
        "ProfileExplanation": closed(&["id", "createdAt", "members", "identifiers", "merges"], json!({
            "id": reference("ProfileId"),
            "createdAt": time(),
            "members": described(
                "Every profile of the set, this one among them; oldest first.",
                json!({ "type": "array", "minItems": 1, "items": members }),
            ),
            "identifiers": oldest_first(identifiers),
            "merges": oldest_first(merges),
        })),
    })
}

fn identifiers() -> Value {
    let given = || described("Before it is normalised.", text(1, VALUE_CHARS_MAX));
    let normalized = || described("Normalised.", text(0, VALUE_CHARS_MAX));
    let values = described(
        "Oldest first.",
        list(0, usize::from(*LIMITS.end()), normalized()),
    );
    json!({
        "Identifier": closed(&["idType", "value"], json!({ "idType": id_type(), "value": given() })),
        "IdentifierUpdate": closed(&["idType", "oldValue", "newValue"], json!({
            "idType": id_type(), "oldValue": given(), "newValue": given(),
        })),
        "IdentifierSet": closed(&["idType", "values"], json!({ "idType": id_type(), "values": values })),
        "IdentifierList": closed(&["identifiers"], json!({
            "identifiers": list(0, TYPES_MAX, reference("IdentifierSet")),
        })),
        "LookupResult": closed(&["normalizedValue", "profiles"], json!({
            "normalizedValue": normalized(),
            "profiles": described(
                "Whose it is; more than one only for a type that is not unique.",
                list(0, PROFILES_MAX, reference("ProfileId")),
            ),
        })),
    })
}

fn stores() -> Value {
    let name = || {
        let name = with(text(0, STORE_NAME_CHARS_MAX), "pattern", STORE_NAME);
        described("Unique in the account.", name)
    };
    let description = || text(*DESCRIPTION_CHARS.start(), *DESCRIPTION_CHARS.end());
    let statuses = [
        StoreStatus::Queued,
        StoreStatus::Provisioning,
        StoreStatus::Active,
        StoreStatus::Failed,
    ];
    json!({
        "StoreId": { "type": "string", "pattern": StoreId::PATTERN },
        "StoreList": page("stores", reference("StoreId"), DEFINITIONS_PAGE_MAX),
        "StoreRequest": open(&["displayName"], json!({
            "displayName": name(), "description": or_null(description()),
        })),
        "StorePatch": open(&[], json!({
            "displayName": or_null(name()), "description": or_null(description()),
        })),
        "Store": closed(&["id", "displayName", "status", "intelligenceServiceId", "version"], json!({
            "id": reference("StoreId"),
            "displayName": name(),
            "description": description(),
            "status": one_of(&statuses),
            "intelligenceServiceId": { "type": "null", "description": "Of a product that is not here." },
            "version": version(),
        })),
    })
}

fn trait_groups() -> Value {
    let types = [
        DataType::String,
        DataType::Number,
        DataType::Boolean,
        DataType::Array,
    ];
    let description = || text(0, DESCRIPTION_CHARS_MAX);
    let mut given_type = one_of(&types);
    if let Some(words) = given_type["enum"].as_array_mut() {
        words.push("".into());
    }
    let given_type = described("Empty: the trait is to go.", given_type);
    let map = |names: Value, of: &str| {
        json!({
            "type": "object",
            "maxProperties": DEFINITIONS_MAX,
            "propertyNames": names,
            "additionalProperties": reference(of),
        })
    };
    let given_traits = || {
        let names = json!({ "pattern": GIVEN_TRAIT_NAME });
        or_null(map(names, "GivenTraitDefinition"))
    };
    json!({
        "TraitGroup": closed(&["displayName", "version"], json!({
            "displayName": group_name(),
            "description": description(),
            "traits": map(json!({ "pattern": TRAIT_NAME, "maxLength": NAME_CHARS_MAX }), "TraitDefinition"),
            "version": version(),
        })),
        "TraitGroupList": page("traitGroups", reference("TraitGroup"), GROUPS_MAX),
        "TraitGroupPage": closed(&["traitGroup", "meta"], json!({
            "traitGroup": described("With the traits of this page.", reference("TraitGroup")),
            "meta": reference("Meta"),
        })),
        "TraitGroupRequest": open(&["displayName"], json!({
            "displayName": group_name(),
            "description": or_null(description()),
            "traits": given_traits(),
        })),
        "TraitGroupPatch": open(&[], json!({
            "description": or_null(description()),
            "traits": described(
                "What is here replaces what there was; what is not stays.",
                given_traits(),
            ),
        })),
        "TraitDefinition": closed(&["dataType"], json!({
            "dataType": one_of(&types),
            "description": description(),
            "validationRule": reference("ValidationRule"),
            "idTypePromotion": described("Its values are identifiers of this type.", id_type()),
        })),
        "GivenTraitDefinition": closed(&["dataType"], json!({
            "dataType": given_type,
            "description": or_null(description()),
            "validationRule": or_null(reference("GivenValidationRule")),
            "idTypePromotion": or_null(described("Its values are identifiers of this type.", id_type())),
        })),
        "ValidationRule": rule(|member| member),
        "GivenValidationRule": rule(or_null),
    })
}

fn rule(member: impl Fn(Value) -> Value) -> Value {
    let of = |data_type: DataType, mut members: Value| {
        members["ruleType"] = one_of(&[data_type]);
        closed(&["ruleType"], members)
    };
    let count =
        |min: u32| member(json!({ "type": "integer", "minimum": min, "maximum": u32::MAX }));
    let bound = || member(json!({ "type": "number" }));
    json!({ "oneOf": [
        of(DataType::String, json!({
            "pattern": member(described(
                "Must be found in the value. Of linear time: no look-around, no back-references.",
                text(0, PATTERN_CHARS_MAX),
            )),
            "minLength": count(0),
            "maxLength": count(1),
        })),
        of(DataType::Number, json!({ "min": bound(), "max": bound() })),
        of(DataType::Boolean, json!({})),
        of(DataType::Array, json!({ "minItems": count(0), "maxItems": count(0) })),
    ] })
}

fn settings() -> Value {
    // Fuzzy matching is refused, and so never answered.
    let default = IdentifierConfig::new(IdType::new(""));
    let members = json!({
        "matchingAlgo": with(one_of(&[MatchingAlgo::Exact]), "default", word(default.matching_algo)),
        "matchingThreshold": {
            "type": "integer", "minimum": THRESHOLDS.start(), "maximum": THRESHOLDS.end(),
            "default": default.matching_threshold,
            "description": "Kept, and used by nothing.",
        },
        "limit": {
            "type": "integer", "minimum": LIMITS.start(), "maximum": LIMITS.end(), "default": default.limit,
            "description": "Values that a profile keeps at most.",
        },
        "limitPolicy": described(
            "Which value goes when there are more: the oldest, or the newest.",
            with(
                one_of(&[LimitPolicy::Fifo, LimitPolicy::Lifo]),
                "default",
                word(default.limit_policy),
            ),
        ),
        "enforceUnique": {
            "type": "boolean", "default": default.enforce_unique,
            "description": "Whether a value belongs to one profile at most.",
        },
        "normalization": described(
            "What is done to values first.",
            with(
                one_of(&[
                    Normalization::Phone,
                    Normalization::Email,
                    Normalization::Trim,
                    Normalization::None,
                ]),
                "default",
                word(default.normalization),
            ),
        ),
    });
    let name = || with(id_type(), "pattern", TYPE_NAME);
    let mut shown = json!({ "idType": name() });
    let mut given = json!({ "idType": name() });
    let mut all = vec!["idType"];
    for (member, schema) in members.as_object().into_iter().flatten() {
        shown[member] = schema.clone();
        given[member] = or_null(schema.clone());
        all.push(member);
    }
    let lists = |of: &str| {
        json!({
            "identifierConfigs": list(1, TYPES_MAX, reference(of)),
            "matchingRules": described("The most important first.", list(1, TYPES_MAX, id_type())),
        })
    };
    let mut versioned = lists("IdentifierConfig");
    versioned["version"] = version();
    let required = ["identifierConfigs", "matchingRules", "version"];
    json!({
        "IdentityResolutionSettings": closed(&required, versioned),
        "IdentityResolutionSettingsCore": open(&required[..2], lists("GivenIdentifierConfig")),
        "IdentifierConfig": closed(&all, shown),
        "GivenIdentifierConfig": closed(&["idType"], given),
    })
}

/// An object with these members and no others.
fn closed(required: &[&str], members: Value) -> Value {
    with(open(required, members), "additionalProperties", false)
}

/// An object with these members; others are ignored.
fn open(required: &[&str], members: Value) -> Value {
    json!({ "type": "object", "required": required, "properties": members })
}

/// A page of a list.
fn page(key: &str, items: Value, max: usize) -> Value {
    closed(
        &[key, "meta"],
        json!({ key: list(0, max, items), "meta": reference("Meta") }),
    )
}

fn list(min: usize, max: usize, items: Value) -> Value {
    let list = json!({ "type": "array", "maxItems": max, "items": items });
    if min == 0 {
        list
    } else {
        with(list, "minItems", min)
    }
}

/// A text of so many characters: Unicode scalar values, as JSON Schema counts.
fn text(min: usize, max: usize) -> Value {
    let text = json!({ "type": "string", "maxLength": max });
    if min == 0 {
        text
    } else {
        with(text, "minLength", min)
    }
}

/// One of the words that these values are written as.
fn one_of(values: &[impl Serialize]) -> Value {
    let words: Vec<Value> = values.iter().map(word).collect();
    json!({ "type": "string", "enum": words })
}

/// What a value without a body is written as.
fn word(value: impl Serialize) -> Value {
    // Unit variants, written to memory: nothing here can fail.
    serde_json::to_value(value).unwrap_or_default()
}

/// The same, or null.
fn or_null(mut schema: Value) -> Value {
    let kind = schema["type"].take();
    if kind.is_null() {
        return json!({ "anyOf": [without_type(schema), { "type": "null" }] });
    }
    schema["type"] = json!([kind, "null"]);
    if let Some(words) = schema.get_mut("enum").and_then(Value::as_array_mut) {
        words.push(Value::Null);
    }
    schema
}

fn without_type(mut schema: Value) -> Value {
    if let Some(members) = schema.as_object_mut() {
        members.remove("type");
    }
    schema
}

fn with(mut schema: Value, keyword: &str, value: impl Into<Value>) -> Value {
    schema[keyword] = value.into();
    schema
}

fn described(description: &str, schema: Value) -> Value {
    with(schema, "description", description)
}

fn message() -> Value {
    text(0, 255)
}

fn uri() -> Value {
    json!({ "type": "string", "format": "uri" })
}

fn time() -> Value {
    json!({ "type": "string", "format": "date-time", "pattern": SECONDS })
}

fn version() -> Value {
    json!({ "type": "integer", "minimum": 1, "description": "One more with each change." })
}

fn boolean() -> Value {
    json!({ "type": "boolean" })
}

fn number() -> Value {
    json!({ "type": "number", "minimum": i32::MIN, "maximum": i32::MAX })
}

fn scalar_text() -> Value {
    text(0, STRING_CHARS_MAX)
}

fn id_type() -> Value {
    text(*TYPE_CHARS.start(), *TYPE_CHARS.end())
}

fn trait_name() -> Value {
    with(text(1, NAME_CHARS_MAX), "pattern", TRAIT_NAME)
}

fn group_name() -> Value {
    with(text(1, NAME_CHARS_MAX), "pattern", GROUP_NAME)
}

/// Values by group and trait.
fn values(value: &Value) -> Value {
    let traits = json!({
        "type": "object", "maxProperties": TRAITS_MAX, "additionalProperties": value,
    });
    json!({ "type": "object", "maxProperties": BODY_GROUPS_MAX, "additionalProperties": traits })
}

fn given_values() -> Value {
    values(&json!({ "anyOf": [reference("TraitValue"), { "type": "null" }] }))
}
