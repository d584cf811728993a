//! The body of Lookup: `{"idType": ..., "value": ...}`, and nothing else (`memory-api.md` 6.7).

use std::fmt;

use kith_domain::body::{BodyError, FieldError};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Characters of a type's name at most; there are at least two.
const TYPE_CHARS: std::ops::RangeInclusive<usize> = 2..=30;
/// Characters of a caller's own name that a fault repeats at most.
const SHOWN_CHARS_MAX: usize = 64;
/// Faults that are told at most.
const ERRORS_MAX: usize = 20;

/// What is looked up, as sent. Personal data, so there is no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct LookupBody {
    /// The name of an identifier type.
    pub(crate) id_type: String,
    /// A value of it.
    pub(crate) value: String,
}

impl LookupBody {
    /// Reads a body.
    ///
    /// # Errors
    /// [`BodyError`]: malformed; no object; a member missing, given twice, unknown, or no text.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, BodyError> {
        let found: Found = serde_json::from_slice(bytes).map_err(|e| BodyError::from(&e))?;
        let mut errors = found.errors;
        let id_type = wanted(found.id_type, "idType", &mut errors);
        let value = wanted(found.value, "value", &mut errors);
        if id_type
            .as_ref()
            .is_some_and(|text| !TYPE_CHARS.contains(&text.chars().count()))
        {
            errors.push(fault("idType", "must be 2 to 30 characters"));
        }
        match (id_type, value) {
            (Some(id_type), Some(value)) if errors.is_empty() => Ok(Self { id_type, value }),
            _ => Err(BodyError::Invalid(errors)),
        }
    }
}

fn fault(field: impl Into<String>, reason: &'static str) -> FieldError {
    FieldError {
        field: field.into(),
        reason: reason.into(),
    }
}

fn wanted(member: Option<Member>, name: &str, errors: &mut Vec<FieldError>) -> Option<String> {
    match member {
        Some(Member::Text(text)) => Some(text),
        Some(Member::Other) => {
            errors.push(fault(name, "must be a string"));
            None
        }
        // What is no object has no members to miss.
        None if errors.iter().any(|error| error.field == "body") => None,
        None => {
            errors.push(fault(name, "is required"));
            None
        }
    }
}

/// Visits of what is neither a text nor an object.
macro_rules! others {
    ($value:expr) => {
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
            while items.next_element::<IgnoredAny>()?.is_some() {}
            Ok($value)
        }
    };
}

/// The members that count, and the faults of the others. What is too much is skipped and not kept.
#[derive(Default)]
struct Found {
    id_type: Option<Member>,
    value: Option<Member>,
    errors: Vec<FieldError>,
}

impl Found {
    fn no_object() -> Self {
        Self {
            errors: vec![fault("body", "must be an object")],
            ..Self::default()
        }
    }

    fn refuse(&mut self, name: &str, reason: &'static str) {
        if self.errors.len() < ERRORS_MAX {
            let name: String = name.chars().take(SHOWN_CHARS_MAX).collect();
            self.errors.push(fault(name, reason));
        }
    }
}

impl<'de> Deserialize<'de> for Found {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Body;

        impl<'de> Visitor<'de> for Body {
            type Value = Found;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a body")
            }

            others!(Found::no_object());

            fn visit_str<E>(self, _: &str) -> Result<Found, E> {
                Ok(Found::no_object())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Found, A::Error> {
                let mut found = Found::default();
                while let Some(name) = members.next_key::<std::borrow::Cow<'de, str>>()? {
                    let slot = match name.as_ref() {
                        "idType" => &mut found.id_type,
                        "value" => &mut found.value,
                        other => {
                            found.refuse(other, "is not known");
                            members.next_value::<IgnoredAny>()?;
                            continue;
                        }
                    };
                    let is_second = slot.is_some();
                    *slot = Some(members.next_value()?);
                    if is_second {
                        found.refuse(&name, "is given twice");
                    }
                }
                Ok(found)
            }
        }

        deserializer.deserialize_any(Body)
    }
}

enum Member {
    Text(String),
    Other,
}

impl<'de> Deserialize<'de> for Member {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl<'de> Visitor<'de> for Text {
            type Value = Member;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            others!(Member::Other);

            fn visit_str<E>(self, text: &str) -> Result<Member, E> {
                Ok(Member::Text(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Member, A::Error> {
                while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Member::Other)
            }
        }

        deserializer.deserialize_any(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(json: &str) -> String {
        match LookupBody::parse(json.as_bytes()) {
            Ok(_) => "none".to_owned(),
            Err(BodyError::Malformed { .. }) => "malformed".to_owned(),
            Err(BodyError::Invalid(errors)) => {
                let told: Vec<_> = errors
                    .iter()
                    .map(|e| format!("{} {}", e.field, e.reason))
                    .collect();
                told.join("; ")
            }
        }
    }

    #[test]
    fn two_texts_are_a_body_in_any_order() {
        for json in [
            r#"{"idType":"email","value":"a"}"#,
            r#" {"value":"a", "idType":"email"} "#,
        ] {
            let body = LookupBody::parse(json.as_bytes()).ok().unwrap();
            assert_eq!((body.id_type.as_str(), body.value.as_str()), ("email", "a"));
        }
    }

    #[test]
    fn every_fault_is_told() {
        for (json, expected) in [
            ("{}", "idType is required; value is required"),
            (r#"{"idType":"email"}"#, "value is required"),
            (
                r#"{"idType":null,"value":7}"#,
                "idType must be a string; value must be a string",
            ),
            (
                r#"{"idType":["email"],"value":{"a":1}}"#,
                "idType must be a string; value must be a string",
            ),
            (
                r#"{"idType":"email","value":"a","extra":{"b":[1]}}"#,
                "extra is not known",
            ),
            (
                r#"{"idType":"email","value":"a","value":"b"}"#,
                "value is given twice",
            ),
            (
                r#"{"idType":"e","value":"a"}"#,
                "idType must be 2 to 30 characters",
            ),
            ("[]", "body must be an object"),
            ("\"email\"", "body must be an object"),
            ("null", "body must be an object"),
            ("", "malformed"),
            ("{", "malformed"),
            (r#"{"idType":"email","value":"a"} {}"#, "malformed"),
            (r#"{"idType":"email","value":"a",}"#, "malformed"),
        ] {
            assert_eq!(faults(json), expected, "{json}");
        }
    }

    #[test]
    fn unknown_members_are_told_up_to_a_bound() {
        let members: Vec<String> = (0..1_000).map(|i| format!("\"x{i}\":0")).collect();
        let told = faults(&format!("{{{}}}", members.join(",")));
        assert!(told.matches("is not known").count() <= ERRORS_MAX);
    }
}
