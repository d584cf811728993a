//! Bodies of a few members, all of them texts and all required: `{"idType": ..., "value": ...}` and its like
//! (`memory-api.md` 6.7, 6.10).

use std::fmt;

use kith_domain::body::{BodyError, FieldError};
use kith_domain::settings::TYPE_CHARS;
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

/// The member that names an identifier type.
pub(crate) const ID_TYPE: &str = "idType";

/// Characters of a caller's own name that a fault repeats at most.
const SHOWN_CHARS_MAX: usize = 64;
/// Faults that are told at most.
const ERRORS_MAX: usize = 20;

/// The texts of these members, in the order of their names. Personal data, so nothing here has a `Debug`.
///
/// # Errors
/// [`BodyError`]: malformed; no object; a member missing, given twice, unknown, or no text; a type whose name is too short
/// or too long.
pub(crate) fn parse<const N: usize>(
    names: [&'static str; N],
    bytes: &[u8],
) -> Result<[String; N], BodyError> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let found = Wanted(&names).deserialize(&mut json);
    let found = found.and_then(|found| json.end().map(|()| found));
    let mut found = found.map_err(|e| BodyError::from(&e))?;
    let mut texts = names.map(|_| String::new());
    for (at, name) in names.into_iter().enumerate() {
        let member = found.members.get_mut(at).and_then(Option::take);
        let Some(text) = wanted(member, name, &mut found.errors) else {
            continue;
        };
        if name == ID_TYPE && !TYPE_CHARS.contains(&text.chars().count()) {
            found.errors.push(fault(name, "must be 2 to 30 characters"));
        }
        texts[at] = text;
    }
    if found.errors.is_empty() {
        Ok(texts)
    } else {
        Err(BodyError::Invalid(found.errors))
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

/// The members that count, in the order of their names, and the faults of the others. What is too much is skipped and not
/// kept.
#[derive(Default)]
struct Found {
    members: Vec<Option<Member>>,
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

/// The names of the members that count.
struct Wanted<'a>(&'a [&'static str]);

impl<'de> DeserializeSeed<'de> for Wanted<'_> {
    type Value = Found;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Found, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Wanted<'_> {
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
        found.members.resize_with(self.0.len(), || None);
        while let Some(name) = members.next_key::<std::borrow::Cow<'de, str>>()? {
            let Some(at) = self.0.iter().position(|wanted| *wanted == name) else {
                found.refuse(&name, "is not known");
                members.next_value::<IgnoredAny>()?;
                continue;
            };
            let before = found.members[at].replace(members.next_value()?);
            if before.is_some() {
                found.refuse(&name, "is given twice");
            }
        }
        Ok(found)
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
        match parse(["idType", "value"], json.as_bytes()) {
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
            let texts = parse(["idType", "value"], json.as_bytes()).ok().unwrap();
            assert_eq!(texts, ["email", "a"]);
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
            (
                r#"{"idType":"","value":"a"}"#,
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
