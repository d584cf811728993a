//! What a request says of a person: traits of the group `Contact`, some of which are identifiers.

use std::collections::BTreeMap;

use kith_domain::settings::IdentitySettings;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Traits of `Contact`, and the identifier type of those that are promoted.
const TRAITS: [(&str, Option<&str>); 12] = [
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
];
/// Characters of a value at most.
const VALUE_CHARS_MAX: usize = 1_024;

/// The body of Create.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Body {
    traits: Groups,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct Groups {
    contact: BTreeMap<String, String>,
}

/// An identifier as the table has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Identifier {
    pub(crate) kind: i16,
    pub(crate) value: String,
}

/// A body that was checked.
#[derive(Debug, PartialEq)]
pub(crate) struct Contact {
    pub(crate) identifiers: Vec<Identifier>,
    /// As the table has them.
    pub(crate) traits: Value,
}

/// A body that is no good. What for is not told: it may hold a value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused;

impl Contact {
    /// Checks a body that was received at this microsecond.
    pub(crate) fn new(body: Body, received: i64) -> Result<Self, Refused> {
        let mut identifiers = Vec::new();
        let mut traits = Map::new();
        for (name, value) in body.traits.contact {
            let known = TRAITS.iter().find(|(known, _)| *known == name);
            let (name, promoted) = known.ok_or(Refused)?;
            if value.chars().count() > VALUE_CHARS_MAX {
                return Err(Refused);
            }
            if let Some(id_type) = promoted {
                identifiers.push(identifier(id_type, &value)?);
            }
            traits.insert(format!("Contact.{name}"), json!([value, received]));
        }
        if identifiers.is_empty() {
            return Err(Refused);
        }
        Ok(Self {
            identifiers,
            traits: Value::Object(traits),
        })
    }
}

/// Normalises a value by the rule of its type.
pub(crate) fn identifier(id_type: &str, value: &str) -> Result<Identifier, Refused> {
    let types = IdentitySettings::RESERVED;
    let place = types.iter().position(|(name, _)| *name == id_type);
    let place = place.ok_or(Refused)?;
    let normalized = types[place].1.apply(value).map_err(|_| Refused)?;
    let normalized = normalized.ok_or(Refused)?;
    Ok(Identifier {
        kind: i16::try_from(place).map_err(|_| Refused)?,
        value: normalized.expose().to_owned(),
    })
}

/// The traits of a row, as an answer shows them.
pub(crate) fn shown(traits: &Value) -> Value {
    let mut groups: Map<String, Value> = Map::new();
    for (name, value) in traits.as_object().into_iter().flatten() {
        let Some((group, name)) = name.split_once('.') else {
            continue;
        };
        groups
            .entry(group)
            .or_insert_with(|| json!({}))
            .as_object_mut()
            .and_then(|group| group.insert(name.to_owned(), value[0].clone()));
    }
    Value::Object(groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contact(traits: &Value) -> Result<Contact, Refused> {
        let body = serde_json::from_value(json!({ "traits": { "Contact": traits } }));
        Contact::new(body.unwrap(), 7)
    }

    #[test]
    fn promoted_traits_are_normalised_identifiers() {
        let sent = json!({ "email": " A@Example.com ", "phone": "(317) 555-6789", "city": "Bonn" });
        let contact = contact(&sent).unwrap();
        let normalized = |kind, value: &str| Identifier {
            kind,
            value: value.to_owned(),
        };
        let expected = [
            normalized(0, "a@example.com"),
            normalized(2, "+13175556789"),
        ];
        assert_eq!(contact.identifiers, expected);
        assert_eq!(shown(&contact.traits), json!({ "Contact": sent }));
    }

    #[test]
    fn what_names_nobody_or_nothing_known_is_refused() {
        for traits in [
            json!({ "city": "Bonn" }),
            json!({ "email": "a@example.com", "shoe": "42" }),
            json!({ "phone": "0" }),
            json!({ "email": "a@example.com", "city": "x".repeat(1_025) }),
        ] {
            assert_eq!(contact(&traits), Err(Refused), "{traits}");
        }
    }
}
