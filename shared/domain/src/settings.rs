//! Identity resolution settings: identifier types with their rules, the order in which types are matched, and the defaults
//! of a new store (`memory-api.md` 5.3, 8.1).

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Deserializer, Serialize};

use crate::body::{FieldError, Problems};
use crate::identifier::{IdType, Identifier};
use crate::normalize::NormalizeError;
use crate::object;
use crate::time::Micros;

mod given;

/// Identifier types of a store at most; there is at least one. The same holds for matching rules.
pub const TYPES_MAX: usize = 15;
/// Characters of the name of an identifier type.
pub const TYPE_CHARS: std::ops::RangeInclusive<usize> = 2..=30;
/// Percent of a threshold of [`MatchingAlgo::Fuzzy`].
pub const THRESHOLDS: std::ops::RangeInclusive<u8> = 50..=99;
/// Values of a type that a profile keeps at most: what settings may say.
pub const LIMITS: std::ops::RangeInclusive<u16> = 1..=100;

/// How values of a type are compared. Read in any case, written in lower case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MatchingAlgo {
    /// Normalised values are equal or not.
    #[default]
    Exact,
    /// Announced by the contract, available nowhere: refused by [`IdentitySettings::validate`].
    Fuzzy,
}

/// Which value goes when a profile has more of a type than its limit (`memory-api.md` 8.5). Read in any case, written in
/// lower case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LimitPolicy {
    /// The oldest.
    #[default]
    Fifo,
    /// The newest: the incoming value itself, when the limit was reached before.
    Lifo,
}

/// What is done to a value before it is stored or compared (`memory-api.md` 8.2); the rules are in
/// [`normalize`](crate::normalize). Read in any case, written in lower case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Normalization {
    /// E.164; numbers of ten digits are read as North American.
    Phone,
    /// Lower case, without blanks.
    Email,
    /// Without blanks at both ends.
    #[default]
    Trim,
    /// As it was sent.
    None,
}

/// Reads an enum of the settings by its lower-case name, in any case.
macro_rules! read_in_any_case {
    ($name:ident { $($text:literal => $variant:ident),+ }) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = Cow::<'de, str>::deserialize(deserializer)?;
                $(if text.eq_ignore_ascii_case($text) {
                    return Ok(Self::$variant);
                })+
                Err(serde::de::Error::custom(concat!("must be one of" $(, " ", $text)+)))
            }
        }
    };
}

read_in_any_case!(MatchingAlgo { "exact" => Exact, "fuzzy" => Fuzzy });
read_in_any_case!(LimitPolicy { "fifo" => Fifo, "lifo" => Lifo });
read_in_any_case!(Normalization { "phone" => Phone, "email" => Email, "trim" => Trim, "none" => None });

/// One identifier type and its rules. Members left out take the contract's defaults when it is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IdentifierConfig {
    /// The name: 2 to 30 letters, digits, `-` or `_`; unique in its list.
    pub id_type: IdType,
    /// How values are compared.
    pub matching_algo: MatchingAlgo,
    /// Percent, 50 to 99. For [`MatchingAlgo::Fuzzy`]: kept, and used by nothing.
    pub matching_threshold: u8,
    /// Values kept per profile, 1 to 100.
    pub limit: u16,
    /// Which value goes when there are more.
    pub limit_policy: LimitPolicy,
    /// Whether a value belongs to one profile at most (`memory-api.md` 8.6).
    pub enforce_unique: bool,
    /// What is done to values first.
    pub normalization: Normalization,
}

impl IdentifierConfig {
    /// A type with the contract's defaults: exact, threshold 75, limit 100, fifo, unique, and the normalisation of the
    /// reserved type of this name, else `trim`.
    #[must_use]
    pub fn new(id_type: IdType) -> Self {
        let normalization = reserved(&id_type).unwrap_or_default();
        Self {
            id_type,
            matching_algo: MatchingAlgo::Exact,
            matching_threshold: 75,
            limit: 100,
            limit_policy: LimitPolicy::Fifo,
            enforce_unique: true,
            normalization,
        }
    }
}

/// A type as a body or a store gives it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct GivenConfig {
    id_type: IdType,
    matching_algo: Option<MatchingAlgo>,
    matching_threshold: Option<u8>,
    limit: Option<u16>,
    limit_policy: Option<LimitPolicy>,
    enforce_unique: Option<bool>,
    normalization: Option<Normalization>,
}

impl<'de> Deserialize<'de> for IdentifierConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let given: GivenConfig = object::only(deserializer)?;
        let default = Self::new(given.id_type);
        Ok(Self {
            matching_algo: given.matching_algo.unwrap_or(default.matching_algo),
            matching_threshold: given
                .matching_threshold
                .unwrap_or(default.matching_threshold),
            limit: given.limit.unwrap_or(default.limit),
            limit_policy: given.limit_policy.unwrap_or(default.limit_policy),
            enforce_unique: given.enforce_unique.unwrap_or(default.enforce_unique),
            normalization: given.normalization.unwrap_or(default.normalization),
            id_type: default.id_type,
        })
    }
}

/// The identity resolution settings of a store, as the contract writes them, and what is remembered of those before.
///
/// Read leniently (defaults filled in, other members of the object ignored, so that what GET answered can be sent back);
/// what a caller sends passes [`IdentitySettings::validate`] before it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IdentitySettings {
    /// The types, in the order given.
    pub identifier_configs: Vec<IdentifierConfig>,
    /// Names of types that match, the most important first.
    pub matching_rules: Vec<IdType>,
    /// Since when values that several may own match, of types of which they have not always: kept with the store, and never
    /// shown.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub shared_since: BTreeMap<IdType, Micros>,
}

impl<'de> Deserialize<'de> for IdentitySettings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // A list that is left out is empty, so that it is refused by name.
        #[derive(Default, Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        struct Given {
            identifier_configs: Vec<IdentifierConfig>,
            matching_rules: Vec<IdType>,
            shared_since: BTreeMap<IdType, Micros>,
        }
        let given: Given = object::only(deserializer)?;
        Ok(Self {
            identifier_configs: given.identifier_configs,
            matching_rules: given.matching_rules,
            shared_since: given.shared_since,
        })
    }
}

impl Default for IdentitySettings {
    /// Of a new store (`memory-api.md` 8.1): the reserved types, all of them matching, in their order.
    fn default() -> Self {
        let types = Self::RESERVED.map(|(name, _)| IdType::new(name));
        Self {
            identifier_configs: types.iter().cloned().map(IdentifierConfig::new).collect(),
            matching_rules: types.to_vec(),
            shared_since: BTreeMap::new(),
        }
    }
}

fn reserved(id_type: &IdType) -> Option<Normalization> {
    IdentitySettings::RESERVED
        .iter()
        .find(|(name, _)| *name == id_type.as_str())
        .map(|(_, normalization)| *normalization)
}

/// Why a type and a value name no identifier. No message holds the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdentifierError {
    /// The type is not configured: 400 where it stands in a body, 404 where it stands in the path.
    #[error("unknown identifier type")]
    UnknownType,
    /// Nothing is left of the value once blanks are removed.
    #[error("the value is empty")]
    Empty,
    /// The value has more than 255 characters, before or after normalising.
    #[error("the value is longer than 255 characters")]
    TooLong,
    /// The value has the character U+0000.
    #[error("the value has the character U+0000")]
    HasNul,
    /// The type's rule cannot read the value.
    #[error("the value cannot be normalised")]
    NotNormalizable,
}

impl From<NormalizeError> for IdentifierError {
    fn from(error: NormalizeError) -> Self {
        match error {
            NormalizeError::TooLong => Self::TooLong,
            NormalizeError::HasNul => Self::HasNul,
            NormalizeError::NotNormalizable => Self::NotNormalizable,
        }
    }
}

impl IdentitySettings {
    /// The types of a new store and the normalisation each keeps, in the order of their rules (`memory-api.md` 8.1). They
    /// may be left out of the settings; their normalisation may not be changed.
    pub const RESERVED: [(&'static str, Normalization); 4] = [
        ("email", Normalization::Email),
        ("whatsapp", Normalization::Trim),
        ("phone", Normalization::Phone),
        ("chat", Normalization::Trim),
    ];

    /// The rules of a type; `None` if it is not configured.
    #[must_use]
    pub fn config(&self, t: &IdType) -> Option<&IdentifierConfig> {
        // At most 15: walking them is quicker than any index.
        self.identifier_configs
            .iter()
            .find(|config| config.id_type == *t)
    }

    /// The position of a type in the matching rules, 0 the most important; `None` if it never matches.
    #[must_use]
    pub fn rule_of(&self, t: &IdType) -> Option<usize> {
        self.matching_rules.iter().position(|rule| rule == t)
    }

    /// Whether a value of this type belongs to one profile at most: the type is unique, and matches. A value of any other type
    /// may sit on many profiles (`memory-api.md` 8.3, 8.6).
    #[must_use]
    pub fn is_unique(&self, t: &IdType) -> bool {
        self.rule_of(t).is_some() && self.config(t).is_some_and(|config| config.enforce_unique)
    }

    /// Whether values of this type match and may sit on many profiles.
    fn is_shared(&self, t: &IdType) -> bool {
        self.rule_of(t).is_some() && self.config(t).is_some_and(|config| !config.enforce_unique)
    }

    /// These settings as they replace others: values of a type that begins to match without being unique do so only if they
    /// are written from now on (`memory-api.md` 5.3).
    #[must_use]
    pub fn replacing(mut self, before: &Self, now: Micros) -> Self {
        let shared = self.matching_rules.iter().filter(|t| self.is_shared(t));
        let since = shared.filter_map(|t| {
            let since = if before.is_shared(t) {
                *before.shared_since.get(t)?
            } else {
                now
            };
            Some((t.clone(), since))
        });
        self.shared_since = since.collect();
        self
    }

    /// Whether a value that several may own, added at this time, matches if its type does.
    #[must_use]
    pub fn matched_since(&self, t: &IdType, added_at: Micros) -> bool {
        self.shared_since
            .get(t)
            .is_none_or(|since| added_at >= *since)
    }

    /// The identifier that a type and a value as sent name, where a value is asked for (Lookup, Identifiers).
    ///
    /// # Errors
    /// [`IdentifierError`]: a bad request in each case.
    pub fn identifier(&self, id_type: &IdType, raw: &str) -> Result<Identifier, IdentifierError> {
        let config = self.config(id_type).ok_or(IdentifierError::UnknownType)?;
        let value = config.normalization.apply(raw)?;
        Ok(Identifier {
            id_type: config.id_type.clone(),
            value: value.ok_or(IdentifierError::Empty)?,
        })
    }

    /// Whether one of these identifiers is of a unique type that matches: such a request is never decided by a single
    /// value that may sit on many profiles (`memory-api.md` 8.3).
    #[must_use]
    pub fn has_unique_in_rules(&self, identifiers: &[Identifier]) -> bool {
        identifiers.iter().any(|one| self.is_unique(&one.id_type))
    }

    /// Checks settings that are to replace a store's (PUT, `memory-api.md` 5.3).
    ///
    /// # Errors
    /// Every fault found (the first [`ERRORS_MAX`](crate::body::ERRORS_MAX)), in document order, named like
    /// `identifierConfigs[2].limit`.
    pub fn validate(self) -> Result<Self, Vec<FieldError>> {
        let mut problems = Problems::default();
        self.check_configs(&mut problems);
        self.check_rules(&mut problems);
        problems.none_or_errors()?;
        Ok(self)
    }

    fn check_configs(&self, problems: &mut Problems) {
        let configs = &self.identifier_configs;
        if configs.is_empty() || configs.len() > TYPES_MAX {
            problems.add("identifierConfigs", "must have 1 to 15 items");
        }
        let mut seen = HashSet::new();
        for (at, config) in configs.iter().take(TYPES_MAX).enumerate() {
            let mut fault = |member: &str, reason: &'static str| {
                problems.add(format!("identifierConfigs[{at}].{member}"), reason);
            };
            if !is_type_name(config.id_type.as_str()) {
                fault(
                    "idType",
                    "must be 2 to 30 letters, digits, hyphens or underscores",
                );
            }
            if !seen.insert(&config.id_type) {
                fault("idType", "is given twice");
            }
            if config.matching_algo == MatchingAlgo::Fuzzy {
                fault("matchingAlgo", "fuzzy matching is not available");
            }
            if !THRESHOLDS.contains(&config.matching_threshold) {
                fault("matchingThreshold", "must be 50 to 99");
            }
            if !LIMITS.contains(&config.limit) {
                fault("limit", "must be 1 to 100");
            }
            if reserved(&config.id_type).is_some_and(|own| own != config.normalization) {
                fault("normalization", "is fixed for a reserved type");
            }
        }
    }

    fn check_rules(&self, problems: &mut Problems) {
        let rules = &self.matching_rules;
        if rules.is_empty() || rules.len() > TYPES_MAX {
            problems.add("matchingRules", "must have 1 to 15 items");
        }
        let mut seen = HashSet::new();
        for (at, rule) in rules.iter().take(TYPES_MAX).enumerate() {
            if self.config(rule).is_none() {
                problems.add(
                    format!("matchingRules[{at}]"),
                    "is not one of the configured types",
                );
            }
            if !seen.insert(rule) {
                problems.add(format!("matchingRules[{at}]"), "is given twice");
            }
        }
    }
}

/// Whether a text can be the name of an identifier type: 2 to 30 ASCII letters, digits, `-` or `_`.
#[must_use]
pub fn is_type_name(text: &str) -> bool {
    TYPE_CHARS.contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

#[cfg(test)]
mod tests;
