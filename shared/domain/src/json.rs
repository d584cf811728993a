//! Bodies of the control plane: any JSON object, read whole, and its members asked for one by one, each fault by its field.
//!
//! They are small and rare, unlike those of profiles ([`body`](crate::body)), and hold no personal data: they are kept as
//! values. A key that is given twice is a fault here as there, which a map would hide.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::body::{BodyError, Problems, shown};

/// Reads a body that is an object.
///
/// # Errors
/// [`BodyError`]: malformed; no object; a key given twice, at any level.
pub(crate) fn object(bytes: &[u8]) -> Result<Map<String, Value>, BodyError> {
    let problems = RefCell::default();
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let seed = Strict {
        path: "",
        problems: &problems,
    };
    let value = seed.deserialize(&mut json);
    let value = value.and_then(|value| json.end().map(|()| value));
    let value = value.map_err(|error| BodyError::from(&error))?;
    let mut problems = problems.into_inner();
    let members = if let Value::Object(members) = value {
        members
    } else {
        problems.add("body", "must be an object");
        Map::new()
    };
    problems.none_or_errors().map_err(BodyError::Invalid)?;
    Ok(members)
}

/// Reads a value, and notes keys that are given twice.
struct Strict<'a> {
    path: &'a str,
    problems: &'a RefCell<Problems>,
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut given: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        loop {
            let path = format!("{}[{}]", self.path, items.len());
            let item = given.next_element_seed(Strict {
                path: &path,
                problems: self.problems,
            })?;
            match item {
                Some(item) => items.push(item),
                None => return Ok(items.into()),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut given: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = given.next_key::<Key>()? {
            let path = join(self.path, &name.0);
            let value = given.next_value_seed(Strict {
                path: &path,
                problems: self.problems,
            })?;
            if members.insert(name.0, value).is_some() {
                self.problems.borrow_mut().add(path, "is given twice");
            }
        }
        Ok(Value::Object(members))
    }
}

struct Key(String);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        shown(name).into_owned()
    } else {
        format!("{path}.{}", shown(name))
    }
}

/// The members of an object, asked for by name. What is `null` counts as left out: the official clients send it.
pub(crate) struct Members<'a, 'p> {
    path: String,
    members: &'a Map<String, Value>,
    asked: HashSet<&'static str>,
    problems: &'p mut Problems,
}

impl<'a, 'p> Members<'a, 'p> {
    /// The members of a body.
    pub(crate) fn of_body(members: &'a Map<String, Value>, problems: &'p mut Problems) -> Self {
        Self {
            path: String::new(),
            members,
            asked: HashSet::new(),
            problems,
        }
    }

    /// The members of a value at `path`; none, and a fault, if it is no object.
    pub(crate) fn of(path: String, value: &'a Value, problems: &'p mut Problems) -> Option<Self> {
        let Value::Object(members) = value else {
            problems.add(path, "must be an object");
            return None;
        };
        Some(Self {
            path,
            members,
            asked: HashSet::new(),
            problems,
        })
    }

    /// The value of a member.
    pub(crate) fn value(&mut self, name: &'static str) -> Option<&'a Value> {
        self.asked.insert(name);
        self.members.get(name).filter(|value| !value.is_null())
    }

    /// A fault of a member.
    pub(crate) fn fault(&mut self, name: &str, reason: &'static str) {
        self.problems.add(join(&self.path, name), reason);
    }

    /// A text.
    pub(crate) fn text(&mut self, name: &'static str) -> Option<&'a str> {
        let text = self.value(name)?.as_str();
        if text.is_none() {
            self.fault(name, "must be a string");
        }
        text
    }

    /// A text that satisfies a rule.
    pub(crate) fn text_where(
        &mut self,
        name: &'static str,
        rule: impl Fn(&str) -> bool,
        reason: &'static str,
    ) -> Option<&'a str> {
        let text = self.text(name)?;
        if rule(text) {
            return Some(text);
        }
        self.fault(name, reason);
        None
    }

    /// A member that must be there.
    pub(crate) fn required<T>(&mut self, name: &'static str, value: Option<T>) -> Option<T> {
        let is_missing = self.members.get(name).is_none_or(Value::is_null);
        if value.is_none() && is_missing {
            self.fault(name, "is required");
        }
        value
    }

    /// A boolean.
    pub(crate) fn boolean(&mut self, name: &'static str) -> Option<bool> {
        let value = self.value(name)?.as_bool();
        if value.is_none() {
            self.fault(name, "must be true or false");
        }
        value
    }

    /// An integer of a range.
    pub(crate) fn integer<T: TryFrom<u64>>(
        &mut self,
        name: &'static str,
        reason: &'static str,
    ) -> Option<T> {
        let value = self.value(name)?.as_u64();
        let value = value.and_then(|number| T::try_from(number).ok());
        if value.is_none() {
            self.fault(name, reason);
        }
        value
    }

    /// A value of a list of words, read in any case.
    pub(crate) fn word<T: Copy>(
        &mut self,
        name: &'static str,
        words: &[(&str, T)],
        reason: &'static str,
    ) -> Option<T> {
        let text = self.value(name)?.as_str();
        let word = text.and_then(|text| {
            let mut words = words.iter();
            words.find(|(word, _)| word.eq_ignore_ascii_case(text))
        });
        if word.is_none() {
            self.fault(name, reason);
        }
        word.map(|(_, value)| *value)
    }

    /// Where faults are noted.
    pub(crate) fn problems(&mut self) -> &mut Problems {
        self.problems
    }

    /// Notes members that nobody asked for.
    pub(crate) fn refuse_others(self) {
        for name in self.members.keys() {
            if !self.asked.contains(name.as_str()) {
                self.problems.add(join(&self.path, name), "is not known");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(bytes: &str) -> Vec<String> {
        match object(bytes.as_bytes()) {
            Err(BodyError::Invalid(errors)) => errors.into_iter().map(|e| e.field).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_key_given_twice_is_found_wherever_it_is() {
        assert_eq!(fields(r#"{"a": 1, "a": 1}"#), ["a"]);
        assert_eq!(
            fields(r#"{"a": [{}, {"b": {"c": 1, "c": 2}}]}"#),
            ["a[1].b.c"]
        );
        assert_eq!(fields(r#"{"a": {"\u0062": 1, "b": 2}}"#), ["a.b"]);
    }

    #[test]
    fn what_is_no_object_is_named_and_what_is_no_json_has_a_place() {
        for text in ["1", "[]", "null", "\"a\""] {
            assert_eq!(fields(text), ["body"], "{text}");
        }
        for text in ["", "{", "{\"a\": 1,}", "{} {}", "\u{feff}{}"] {
            let malformed = object(text.as_bytes());
            assert!(
                matches!(malformed, Err(BodyError::Malformed { .. })),
                "{text}"
            );
        }
    }
}
