//! A value as people write it, by the type that its trait has.

use kith_domain::schema::DataType;
use serde_json::{Number, Value};

/// How a text says that the trait is to be removed, as the hosted service's imports have it.
pub(crate) const REMOVED: &str = "\\N";

/// Reads a value. `None`: nothing is given.
///
/// Whether the service takes it (its length, its range, the trait's own rules) is for the service to say.
///
/// # Errors
/// What it should be; never what it is.
pub(crate) fn read(data_type: DataType, text: &str) -> Result<Option<Value>, &'static str> {
    if text.is_empty() {
        return Ok(None);
    }
    if text == REMOVED {
        return Ok(Some(Value::Null));
    }
    let value = match data_type {
        DataType::String => Value::String(text.to_owned()),
        DataType::Number => Value::Number(number(text.trim()).ok_or("is not a number")?),
        DataType::Boolean => Value::Bool(boolean(text.trim()).ok_or("is not true or false")?),
        DataType::Array => array(text.trim()).ok_or("is not a JSON array, such as [\"a\",1]")?,
    };
    Ok(Some(value))
}

fn number(text: &str) -> Option<Number> {
    serde_json::from_str(text).ok()
}

fn boolean(text: &str) -> Option<bool> {
    // Spreadsheets write them in capitals.
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

fn array(text: &str) -> Option<Value> {
    let value: Value = serde_json::from_str(text).ok()?;
    value.is_array().then_some(value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_type_reads_what_it_can_hold() {
        let cases = [
            (DataType::String, "007", Some(json!("007"))),
            (DataType::String, " a ", Some(json!(" a "))),
            (DataType::Number, " 12.5 ", Some(json!(12.5))),
            (DataType::Number, "-3", Some(json!(-3))),
            (DataType::Number, "1e3", Some(json!(1000.0))),
            (DataType::Boolean, "TRUE", Some(json!(true))),
            (DataType::Boolean, "false", Some(json!(false))),
            (
                DataType::Array,
                "[\"a\", 1, true]",
                Some(json!(["a", 1, true])),
            ),
            (DataType::Array, "[]", Some(json!([]))),
            (DataType::Number, REMOVED, Some(Value::Null)),
            (DataType::String, REMOVED, Some(Value::Null)),
            (DataType::Number, "", None),
            (DataType::String, "", None),
        ];
        for (data_type, text, expected) in cases {
            assert_eq!(
                read(data_type, text),
                Ok(expected),
                "{data_type:?} {text:?}"
            );
        }
    }

    #[test]
    fn what_a_type_cannot_hold_is_refused_without_being_repeated() {
        let cases = [
            (DataType::Number, "twelve"),
            (DataType::Number, "1,5"),
            (DataType::Number, "NaN"),
            (DataType::Number, " "),
            (DataType::Boolean, "yes"),
            (DataType::Boolean, "1"),
            (DataType::Array, "a;b"),
            (DataType::Array, "{}"),
            (DataType::Array, "[1"),
        ];
        for (data_type, text) in cases {
            let reason = read(data_type, text).unwrap_err();
            assert!(
                reason.starts_with("is not "),
                "{data_type:?} {text:?}: {reason}"
            );
        }
    }
}
