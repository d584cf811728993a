//! Trait groups: names, types and rules of the values that a store takes (`memory-api.md` 5.2, 7).

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::body::{FieldError, Problems, shown};
use crate::id::DefinitionId;
use crate::identifier::IdType;
use crate::settings::IdentitySettings;
use crate::time::Micros;

mod given;
mod rule;

pub use given::{GroupBody, GroupFault, TraitChange};
pub use rule::{PATTERN_CHARS_MAX, Pattern, PatternError, ValidationRule};

/// Trait groups of a store at most.
pub const GROUPS_MAX: usize = 50;
/// Traits defined in a group at most. One body may carry a few more ([`body`](crate::body)); they are not defined.
pub const DEFINITIONS_MAX: usize = 95;
/// Characters of a trait's or a group's name at most.
pub const NAME_CHARS_MAX: usize = 64;
/// Characters of a trait's or a group's description at most.
pub const DESCRIPTION_CHARS_MAX: usize = 1024;
/// The group that every store has, and whose promoted traits are protected (`memory-api.md` 5.2).
pub const CONTACT: &str = "Contact";

/// A named set of trait definitions. The name is the key, matched exactly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TraitGroup {
    /// 1 to 64 of `a-z A-Z 0-9 _ - .`; never changes.
    pub name: String,
    /// At most 1024 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// From 1; one more with each change.
    pub version: u32,
    /// When the group was created; what groups are listed by.
    pub created_at: Micros,
    /// The definitions by [`camel_name`], in the order in which they were defined.
    pub traits: IndexMap<String, TraitDefinition>,
}

/// What a trait may hold, and whether it names a person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TraitDefinition {
    /// Names the definition in cells and events. A name that is created again gets another id, so that its old values stay
    /// hidden.
    pub id: DefinitionId,
    /// The type; never changes.
    pub data_type: DataType,
    /// At most 1024 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What values must satisfy beside their type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_rule: Option<ValidationRule>,
    /// The identifier type that values of this trait are recorded under: the trait is *promoted*.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_type_promotion: Option<IdType>,
}

/// The type of a trait's values; upper case on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum DataType {
    /// A JSON string of at most 1024 characters.
    String,
    /// A JSON number from -2147483648 to 2147483647, fractions included.
    Number,
    /// `true` or `false`.
    Boolean,
    /// At most 100 strings, numbers and booleans, mixed; no nulls and no nesting.
    Array,
}

impl DataType {
    /// Whether values of this type can name a person.
    #[must_use]
    pub const fn promotable(self) -> bool {
        matches!(self, Self::String | Self::Number)
    }
}

impl TraitGroup {
    /// The definition of a trait, by a name in any of its spellings ([`camel_name`]).
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&TraitDefinition> {
        // Most callers spell a name as it is defined.
        let exact = self.traits.get(name);
        exact.or_else(|| self.traits.get(&camel_name(name)?))
    }

    /// Checks a group that is to be created or to replace another of its name, against the settings of its store
    /// (`memory-api.md` 4, 5.2, 7). What depends on other groups (a name that is taken, the number of groups) and on the
    /// group's former state (types that change, protected traits) is not looked at.
    ///
    /// # Errors
    /// Every fault found (the first [`ERRORS_MAX`](crate::body::ERRORS_MAX)), in document order, named like
    /// `traits.loyaltyTier.validationRule.pattern`.
    pub fn validate(&self, settings: &IdentitySettings) -> Result<(), Vec<FieldError>> {
        let mut problems = Problems::default();
        if !is_group_name(&self.name) {
            problems.add(
                "displayName",
                "must be 1 to 64 letters, digits, underscores, hyphens or dots",
            );
        }
        check_description("description", self.description.as_deref(), &mut problems);
        if self.traits.len() > DEFINITIONS_MAX {
            problems.add("traits", "must have at most 95 members");
        }
        for (name, definition) in &self.traits {
            let path = format!("traits.{}", shown(name));
            if camel_name(name).as_ref() != Some(name) {
                problems.add(
                    path.clone(),
                    "is not a trait name in lower camel case of at most 64 characters",
                );
            }
            definition.validate(&path, settings, &mut problems);
        }
        problems.none_or_errors()
    }
}

impl TraitDefinition {
    fn validate(&self, path: &str, settings: &IdentitySettings, problems: &mut Problems) {
        check_description(
            &format!("{path}.description"),
            self.description.as_deref(),
            problems,
        );
        if let Some(rule) = &self.validation_rule {
            if rule.data_type() != self.data_type {
                problems.add(
                    format!("{path}.validationRule.ruleType"),
                    "must equal dataType",
                );
            }
            if let Some((member, reason)) = rule.fault() {
                problems.add(format!("{path}.validationRule.{member}"), reason);
            }
        }
        if let Some(id_type) = &self.id_type_promotion {
            let field = || format!("{path}.idTypePromotion");
            if settings.config(id_type).is_none() {
                problems.add(field(), "is not one of the configured types");
            }
            if !self.data_type.promotable() {
                problems.add(field(), "is for STRING and NUMBER only");
            }
        }
    }
}

fn check_description(field: &str, description: Option<&str>, problems: &mut Problems) {
    if description.is_some_and(|text| text.chars().nth(DESCRIPTION_CHARS_MAX).is_some()) {
        problems.add(field.to_owned(), "must be at most 1024 characters");
    }
    if description.is_some_and(|text| text.contains('\0')) {
        problems.add(field.to_owned(), "must not have the character U+0000");
    }
}

/// Whether a text can be the name of a trait group: `^[a-zA-Z0-9_\-\.]+$`, 1 to 64.
#[must_use]
pub fn is_group_name(text: &str) -> bool {
    (1..=NAME_CHARS_MAX).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
}

/// The name under which a trait is kept, for any of its spellings (`memory-api.md` 7): split on `_ - .` and spaces, joined in
/// camel case, the first letter lowered. `None` unless that gives `^[a-z][a-zA-Z0-9]*$` of at most 64 characters.
///
/// A name it gives stands for itself. Letters inside a part keep their case: `firstName` stays, and `FIRST_NAME` is
/// `fIRSTNAME`.
#[must_use]
pub fn camel_name(raw: &str) -> Option<String> {
    let mut name = String::with_capacity(raw.len().min(NAME_CHARS_MAX));
    for part in raw.split(['_', '-', '.', ' ']) {
        let mut letters = part.chars();
        let Some(first) = letters.next() else {
            continue;
        };
        name.push(if name.is_empty() {
            first.to_ascii_lowercase()
        } else {
            first.to_ascii_uppercase()
        });
        name.push_str(letters.as_str());
        if name.len() > NAME_CHARS_MAX {
            return None;
        }
    }
    let valid = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_alphanumeric());
    valid.then_some(name)
}

/// The `Contact` group that every new store has (`memory-api.md` 5.2). Ids are asked for in the order of the definitions.
#[must_use]
pub fn contact_group(created_at: Micros, mut new_id: impl FnMut() -> DefinitionId) -> TraitGroup {
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
    let define = |(name, promotion): (&str, Option<&str>)| {
        let definition = TraitDefinition {
            id: new_id(),
            data_type: DataType::String,
            description: None,
            validation_rule: None,
            id_type_promotion: promotion.map(IdType::new),
        };
        (name.to_owned(), definition)
    };
    TraitGroup {
        name: CONTACT.to_owned(),
        description: None,
        version: 1,
        created_at,
        traits: TRAITS.into_iter().map(define).collect(),
    }
}

#[cfg(test)]
mod tests;
