//! Checking a body against a store's definitions and settings.

use std::borrow::Cow;
use std::collections::HashSet;

use serde_json::Number;

use super::{
    ARRAY_ITEMS_MAX, BodyValue, FieldError, Problems, STRING_CHARS_MAX, TraitsBody, shown,
};
use crate::id::DefinitionId;
use crate::identifier::Identifier;
use crate::normalize::NormalizeError;
use crate::schema::{DataType, TraitDefinition, TraitGroup};
use crate::settings::IdentitySettings;
use crate::traits::{Scalar, TraitValue, TraitWrite};

/// What a body writes, all of it checked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WriteSet {
    /// The writes, in document order, one a definition at most.
    pub writes: Vec<TraitWriteOf>,
    /// The identifiers that promoted traits name, normalised, in document order and without repetition; of configured types
    /// only. Empty means that the body names nobody: Create and Bulk refuse that, PATCH does not.
    pub identifiers: Vec<Identifier>,
}

/// One write of one trait.
#[derive(Debug, Clone, PartialEq)]
pub struct TraitWriteOf {
    /// Which trait.
    pub definition: DefinitionId,
    /// The value as sent, or removed.
    pub write: TraitWrite,
    /// Whether the definition names an identifier type, configured or not: such writes are durable when the request is
    /// answered, the others may still be in the log (`memory-api.md` 6.1, step 4). Removals included.
    pub promoted: bool,
}

/// Checks a body against a store's definitions and settings.
///
/// Groups are matched exactly, traits in any spelling of their name ([`camel_name`](crate::schema::camel_name)). Values are
/// kept as sent; what they identify is normalised. Nothing left of a promoted value once blanks are removed: no identifier.
///
/// # Errors
/// Every fault found, in document order, the first [`ERRORS_MAX`](super::ERRORS_MAX): an undefined group or trait, two keys
/// for one trait, a value of the wrong type or size, one that its rule or its normalisation refuses. One fault refuses the
/// whole body.
pub fn validate(
    body: &TraitsBody,
    groups: &[TraitGroup],
    settings: &IdentitySettings,
) -> Result<WriteSet, Vec<FieldError>> {
    let mut problems = Problems::default();
    let mut set = WriteSet::default();
    let mut seen = HashSet::new();
    for (group_name, traits) in &body.groups {
        let path = format!("{}traits.{}", body.prefix, shown(group_name));
        let Some(group) = groups.iter().find(|group| group.name == *group_name) else {
            problems.add(path, "is not a defined trait group");
            continue;
        };
        for (name, value) in traits {
            let mut fault = |reason| problems.add(format!("{path}.{}", shown(name)), reason);
            let Some(definition) = group.find(name) else {
                fault("is not a defined trait".into());
                continue;
            };
            if !seen.insert(definition.id) {
                fault("names a trait that another key names too".into());
                continue;
            }
            let write = match write_of(definition, value) {
                Ok(write) => write,
                Err(reason) => {
                    fault(reason);
                    continue;
                }
            };
            match identifier_of(definition, &write, settings) {
                Ok(None) => {}
                // A request names few identifiers: comparing them all is quicker than hashing.
                Ok(Some(identifier)) if set.identifiers.contains(&identifier) => {}
                Ok(Some(identifier)) => set.identifiers.push(identifier),
                Err(error) => fault(error.to_string().into()),
            }
            set.writes.push(TraitWriteOf {
                definition: definition.id,
                write,
                promoted: definition.id_type_promotion.is_some(),
            });
        }
    }
    problems.none_or_errors()?;
    Ok(set)
}

/// The write of a value to a trait, if its type and its rule take the value; else the reason.
fn write_of(
    definition: &TraitDefinition,
    given: &BodyValue,
) -> Result<TraitWrite, Cow<'static, str>> {
    let value = match (definition.data_type, given) {
        (_, BodyValue::Null) => return Ok(TraitWrite::Removed),
        (_, BodyValue::Object) => return Err("must not be an object".into()),
        (DataType::String, BodyValue::String(text)) => TraitValue::String(checked_text(text)?),
        (DataType::Number, BodyValue::Number(number)) => {
            TraitValue::Number(checked_number(number)?)
        }
        (DataType::Boolean, BodyValue::Boolean(value)) => TraitValue::Boolean(*value),
        (DataType::Array, BodyValue::Array(items)) => TraitValue::Array(checked_items(items)?),
        (DataType::String, _) => return Err("must be a string".into()),
        (DataType::Number, _) => return Err("must be a number".into()),
        (DataType::Boolean, _) => return Err("must be true or false".into()),
        (DataType::Array, _) => return Err("must be an array".into()),
    };
    if let Some(rule) = &definition.validation_rule {
        rule.check(&value)?;
    }
    Ok(TraitWrite::Set(value))
}

fn checked_text(text: &str) -> Result<String, &'static str> {
    if text.chars().nth(STRING_CHARS_MAX).is_some() {
        return Err("must be at most 1024 characters");
    }
    // Tools that read it out of a database take it for the end of the text.
    if text.contains('\0') {
        return Err("must not have the character U+0000");
    }
    Ok(text.to_owned())
}

fn checked_number(number: &Number) -> Result<Number, &'static str> {
    let range = f64::from(i32::MIN)..=f64::from(i32::MAX);
    if !number.as_f64().is_some_and(|value| range.contains(&value)) {
        return Err("must be from -2147483648 to 2147483647");
    }
    Ok(number.clone())
}

fn checked_items(items: &[BodyValue]) -> Result<Vec<Scalar>, &'static str> {
    if items.len() > ARRAY_ITEMS_MAX {
        return Err("must have at most 100 items");
    }
    let scalar = |item: &BodyValue| match item {
        BodyValue::Boolean(value) => Ok(Scalar::Boolean(*value)),
        BodyValue::Number(number) => checked_number(number).map(Scalar::Number),
        BodyValue::String(text) => checked_text(text).map(Scalar::String),
        BodyValue::Null | BodyValue::Array(_) | BodyValue::Object => {
            Err("must have strings, numbers, true or false as items")
        }
    };
    items.iter().map(scalar).collect()
}

/// The identifier that a write of a promoted trait names, if its type is configured and there is a value.
fn identifier_of(
    definition: &TraitDefinition,
    write: &TraitWrite,
    settings: &IdentitySettings,
) -> Result<Option<Identifier>, NormalizeError> {
    let (Some(id_type), TraitWrite::Set(value)) = (&definition.id_type_promotion, write) else {
        return Ok(None);
    };
    let Some(config) = settings.config(id_type) else {
        return Ok(None);
    };
    let raw: Cow<'_, str> = match value {
        TraitValue::String(text) => text.into(),
        TraitValue::Number(number) => plain_integer(number)
            .ok_or(NormalizeError::NotNormalizable)?
            .into(),
        // Neither can be promoted.
        TraitValue::Boolean(_) | TraitValue::Array(_) => return Ok(None),
    };
    let identifier = |value| Identifier {
        id_type: config.id_type.clone(),
        value,
    };
    Ok(config.normalization.apply(&raw)?.map(identifier))
}

/// A number as a plain decimal integer: `1000.0` is `1000`. `None` if it has a fraction.
fn plain_integer(number: &Number) -> Option<String> {
    if let Some(integer) = number.as_i64() {
        return Some(integer.to_string());
    }
    let value = number.as_f64().filter(|value| value.fract() == 0.0)?;
    // Adding zero makes a negative zero positive.
    Some(format!("{:.0}", value + 0.0))
}
