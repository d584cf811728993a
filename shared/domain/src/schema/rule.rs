//! Rules of values beside their type, and the patterns in them.

use std::borrow::Cow;
use std::sync::OnceLock;

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Number;

use super::DataType;
use crate::traits::TraitValue;

/// Characters of a pattern at most.
pub const PATTERN_CHARS_MAX: usize = 1000;

/// Bytes that a compiled pattern may take, and its cache of states beside it. A pattern is the tenant's to write and ours
/// to run: a counted repetition of a Unicode class would otherwise take megabytes.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// What values must satisfy beside their type (`memory-api.md` 5.2). The wire form is `{"ruleType": "STRING", ...}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "ruleType",
    rename_all = "UPPERCASE",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum ValidationRule {
    /// Of a [`DataType::String`]. Lengths are in characters (Unicode scalar values).
    String {
        /// Must be found somewhere in the value.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pattern: Option<Pattern>,
        /// The least length.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        min_length: Option<u32>,
        /// The greatest length, at least 1.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max_length: Option<u32>,
    },
    /// Of a [`DataType::Number`]; bounds are inclusive.
    Number {
        /// The least value.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        min: Option<Number>,
        /// The greatest value.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max: Option<Number>,
    },
    /// Of a [`DataType::Boolean`]: asks nothing.
    Boolean {},
    /// Of a [`DataType::Array`].
    Array {
        /// The least number of items.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        min_items: Option<u32>,
        /// The greatest number of items.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max_items: Option<u32>,
    },
}

impl ValidationRule {
    /// The type of the values that the rule is for.
    #[must_use]
    pub const fn data_type(&self) -> DataType {
        match self {
            Self::String { .. } => DataType::String,
            Self::Number { .. } => DataType::Number,
            Self::Boolean {} => DataType::Boolean,
            Self::Array { .. } => DataType::Array,
        }
    }

    /// Whether a value satisfies the rule. A value of another type does not.
    ///
    /// # Errors
    /// The reason, for a [`FieldError`](crate::body::FieldError): it shows the rule, never the value.
    pub fn check(&self, value: &TraitValue) -> Result<(), Cow<'static, str>> {
        match (self, value) {
            (
                Self::String {
                    pattern,
                    min_length,
                    max_length,
                },
                TraitValue::String(text),
            ) => {
                let length = text.chars().count();
                check_length("characters", length, *min_length, *max_length)?;
                match pattern.as_ref().map(|pattern| pattern.is_found_in(text)) {
                    None | Some(Ok(true)) => Ok(()),
                    Some(Ok(false)) => Err("does not match the trait's pattern".into()),
                    Some(Err(error)) => Err(error.to_string().into()),
                }
            }
            (Self::Number { min, max }, TraitValue::Number(number)) => {
                let number = number.as_f64();
                let bound = |bound: &Option<Number>| bound.as_ref().and_then(Number::as_f64);
                match (bound(min), bound(max)) {
                    (Some(min), _) if number < Some(min) => {
                        Err(format!("must be at least {min}").into())
                    }
                    (_, Some(max)) if number > Some(max) => {
                        Err(format!("must be at most {max}").into())
                    }
                    _ => Ok(()),
                }
            }
            (Self::Boolean {}, TraitValue::Boolean(_)) => Ok(()),
            (
                Self::Array {
                    min_items,
                    max_items,
                },
                TraitValue::Array(items),
            ) => check_length("items", items.len(), *min_items, *max_items),
            _ => Err("does not have the type of the trait's rule".into()),
        }
    }

    /// What is wrong with the rule itself: the member and the reason.
    pub(super) fn fault(&self) -> Option<(&'static str, &'static str)> {
        let crossed = |min: Option<u32>, max: Option<u32>| matches!((min, max), (Some(min), Some(max)) if min > max);
        match self {
            Self::String {
                pattern,
                min_length,
                max_length,
            } => {
                if let Some(pattern) = pattern {
                    if pattern.source().chars().nth(PATTERN_CHARS_MAX).is_some() {
                        return Some(("pattern", "must be at most 1000 characters"));
                    }
                    if pattern.compiled().is_err() {
                        return Some((
                            "pattern",
                            "is not a pattern of linear time and moderate size",
                        ));
                    }
                }
                if *max_length == Some(0) {
                    return Some(("maxLength", "must be at least 1"));
                }
                crossed(*min_length, *max_length)
                    .then_some(("minLength", "must not be above maxLength"))
            }
            Self::Number { min, max } => {
                let bound = |bound: &Option<Number>| bound.as_ref().and_then(Number::as_f64);
                matches!((bound(min), bound(max)), (Some(min), Some(max)) if min > max)
                    .then_some(("min", "must not be above max"))
            }
            Self::Boolean {} => None,
            Self::Array {
                min_items,
                max_items,
            } => crossed(*min_items, *max_items)
                .then_some(("minItems", "must not be above maxItems")),
        }
    }
}

fn check_length(
    unit: &str,
    length: usize,
    min: Option<u32>,
    max: Option<u32>,
) -> Result<(), Cow<'static, str>> {
    // A length in memory that no u32 holds is above every bound that one states.
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    match (min, max) {
        (Some(min), _) if length < min => Err(format!("must have at least {min} {unit}").into()),
        (_, Some(max)) if length > max => Err(format!("must have at most {max} {unit}").into()),
        _ => Ok(()),
    }
}

/// A pattern cannot be compiled within its limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the trait's pattern cannot be used")]
pub struct PatternError;

/// A regular expression of a rule, compiled when it is first used and kept compiled.
///
/// Found anywhere in a text, as in JSON Schema; in linear time, so there are neither look-around nor back-references.
/// `Clone` shares what was compiled; equality and storage are those of the text.
#[derive(Clone)]
pub struct Pattern {
    source: String,
    compiled: OnceLock<Result<Regex, PatternError>>,
}

impl Pattern {
    /// Takes a pattern, whether it can be compiled or not.
    #[must_use]
    pub fn new(source: &str) -> Self {
        Self {
            source: source.to_owned(),
            compiled: OnceLock::new(),
        }
    }

    /// The text of the pattern.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    fn compiled(&self) -> Result<&Regex, PatternError> {
        let compile = || {
            RegexBuilder::new(&self.source)
                .size_limit(PATTERN_BYTES_MAX)
                .dfa_size_limit(PATTERN_BYTES_MAX)
                .build()
                .map_err(|_| PatternError)
        };
        self.compiled
            .get_or_init(compile)
            .as_ref()
            .map_err(|error| *error)
    }

    /// Whether the pattern is found somewhere in a text.
    ///
    /// # Errors
    /// [`PatternError`] if it cannot be compiled, which its definition was refused for, unless another release defined it.
    pub fn is_found_in(&self, text: &str) -> Result<bool, PatternError> {
        Ok(self.compiled()?.is_match(text))
    }
}

impl std::fmt::Debug for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Pattern").field(&self.source).finish()
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Pattern {}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.source)
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let source = String::deserialize(deserializer)?;
        Ok(Self {
            source,
            compiled: OnceLock::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::traits::Scalar;

    fn rule(rule: Value) -> ValidationRule {
        serde_json::from_value(rule).unwrap()
    }

    fn text(text: &str) -> TraitValue {
        TraitValue::String(text.into())
    }

    #[test]
    fn rules_have_no_other_members() {
        for rule in [
            json!({"ruleType": "STRING", "min": 1}),
            json!({"ruleType": "BOOLEAN", "min": 1}),
            json!({"ruleType": "NUMBER", "min": "1"}),
            json!({"ruleType": "ARRAY", "minItems": -1}),
            json!({"ruleType": "string"}),
            json!({"pattern": "a"}),
        ] {
            assert!(
                serde_json::from_value::<ValidationRule>(rule.clone()).is_err(),
                "{rule}"
            );
        }
    }

    #[test]
    fn a_pattern_is_searched_for_unless_it_is_anchored() {
        let search = rule(json!({"ruleType": "STRING", "pattern": "b+"}));
        assert!(search.check(&text("abbc")).is_ok());
        assert!(search.check(&text("ac")).is_err());
        let whole = rule(json!({"ruleType": "STRING", "pattern": "^b+$"}));
        assert!(whole.check(&text("bb")).is_ok());
        assert!(whole.check(&text("abb")).is_err());
    }

    #[test]
    fn lengths_count_characters_and_bounds_are_inside() {
        let length = rule(json!({"ruleType": "STRING", "minLength": 2, "maxLength": 3}));
        let passes = |value: &str| length.check(&text(value)).is_ok();
        assert_eq!(
            ["é", "éé", "ééé", "éééé"].map(passes),
            [false, true, true, false]
        );

        let number = rule(json!({"ruleType": "NUMBER", "min": -1, "max": 2.5}));
        let passes = |value: f64| {
            let number_value = Number::from_f64(value).unwrap();
            number.check(&TraitValue::Number(number_value)).is_ok()
        };
        assert_eq!(
            [-1.5, -1.0, 2.5, 2.6].map(passes),
            [false, true, true, false]
        );

        let items = rule(json!({"ruleType": "ARRAY", "minItems": 1, "maxItems": 2}));
        let passes = |n: usize| {
            let item = Scalar::Boolean(true);
            items.check(&TraitValue::Array(vec![item; n])).is_ok()
        };
        assert_eq!([0, 1, 2, 3].map(passes), [false, true, true, false]);
    }

    #[test]
    fn a_rule_without_bounds_asks_nothing() {
        assert!(rule(json!({"ruleType": "STRING"})).check(&text("")).is_ok());
        assert!(
            rule(json!({"ruleType": "BOOLEAN"}))
                .check(&TraitValue::Boolean(false))
                .is_ok()
        );
    }

    #[test]
    fn a_reason_shows_the_rule_and_not_the_value() {
        let length = rule(json!({"ruleType": "STRING", "minLength": 12}));
        assert_eq!(
            length.check(&text("secret")).unwrap_err(),
            "must have at least 12 characters"
        );
        let range = rule(json!({"ruleType": "NUMBER", "max": 5}));
        assert_eq!(
            range.check(&TraitValue::Number(77.into())).unwrap_err(),
            "must be at most 5"
        );
    }

    #[test]
    fn a_pattern_that_cannot_be_compiled_refuses_every_value() {
        let broken = rule(json!({"ruleType": "STRING", "pattern": "("}));
        assert!(broken.check(&text("anything")).is_err());
    }

    #[test]
    fn a_pattern_is_compiled_once_and_a_clone_shares_it() {
        let pattern = Pattern::new("a");
        let first = std::ptr::from_ref(pattern.compiled().unwrap());
        assert_eq!(first, std::ptr::from_ref(pattern.compiled().unwrap()));
        assert!(pattern.clone().compiled.get().is_some());
        assert_eq!(pattern, Pattern::new("a"));
        assert_ne!(pattern, Pattern::new("b"));
    }

    #[test]
    fn a_pattern_that_would_backtrack_is_quick() {
        let hostile = rule(json!({"ruleType": "STRING", "pattern": "^(a+)+$"}));
        assert!(
            hostile
                .check(&text(&format!("{}b", "a".repeat(1023))))
                .is_err()
        );
    }

    proptest! {
        #[test]
        fn no_pattern_and_no_text_make_a_rule_panic(pattern in any::<String>(), value in any::<String>()) {
            let rule = ValidationRule::String { pattern: Some(Pattern::new(&pattern)), min_length: None, max_length: None };
            let fault = rule.fault();
            prop_assert!(fault.is_none() || rule.check(&text(&value)).is_err());
        }
    }
}
