//! The settings file: flat TOML, one key a setting.

use std::collections::BTreeMap;
use std::path::Path;

use super::{ConfigError, Setting, Source};

/// A settings file is a page or two; something larger is not one.
const BYTES_MAX: u64 = 1 << 20;

/// Reads a settings file: the text of each key, as an environment variable would hold it.
///
/// # Errors
/// Names `origin` (the flag or variable that named the file) if the file cannot be read, and the key if it is not one of
/// `taken` or its value is of a type that no setting has.
pub(super) fn read(
    path: &Path,
    origin: &Source,
    binary: &str,
    taken: &[&'static Setting],
) -> Result<BTreeMap<&'static str, String>, ConfigError> {
    let refuse = |reason: String| ConfigError::of(&super::table::CONFIG, origin.clone(), reason);
    let place = path.display();
    let text =
        read_bounded(path, BYTES_MAX).map_err(|e| refuse(format!("cannot read {place}: {e}")))?;
    let table: toml::Table = toml::from_str(&text).map_err(|error| {
        let line = error.span().map_or(0, |span| line_of(&text, span.start));
        refuse(format!("{place}, line {line}: {}", error.message()))
    })?;

    let mut values = BTreeMap::new();
    for (key, value) in table {
        let refuse = |reason: String| ConfigError {
            key: key.clone(),
            source: Some(Source::File(path.to_owned())),
            reason,
        };
        let setting = taken
            .iter()
            .find(|setting| setting.name == key)
            .ok_or_else(|| refuse(format!("unknown key: not a setting of {binary}")))?;
        values.insert(setting.name, as_text(&value).map_err(refuse)?);
    }
    Ok(values)
}

/// Reads a small text file.
pub(crate) fn read_bounded(path: &Path, bytes_max: u64) -> std::io::Result<String> {
    use std::io::{Error, ErrorKind, Read};
    let mut text = String::new();
    let read = std::fs::File::open(path)?
        .take(bytes_max + 1)
        .read_to_string(&mut text)?;
    if u64::try_from(read).unwrap_or(u64::MAX) > bytes_max {
        return Err(Error::new(
            ErrorKind::FileTooLarge,
            format!("larger than {bytes_max} bytes"),
        ));
    }
    Ok(text)
}

/// The number of the line at a byte, from 1.
pub(crate) fn line_of(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}

/// A value as an environment variable would hold it. Lists of texts are for the settings that take several.
fn as_text(value: &toml::Value) -> Result<String, String> {
    match value {
        toml::Value::String(text) => Ok(text.clone()),
        toml::Value::Integer(number) => Ok(number.to_string()),
        toml::Value::Array(parts) => {
            let parts: Option<Vec<&str>> = parts
                .iter()
                .map(|part| part.as_str().filter(|text| !text.contains(',')))
                .collect();
            parts
                .map(|parts| parts.join(","))
                .ok_or_else(|| "expected a list of texts without commas".to_owned())
        }
        toml::Value::Float(_)
        | toml::Value::Boolean(_)
        | toml::Value::Datetime(_)
        | toml::Value::Table(_) => Err(format!(
            "expected a text, a whole number or a list of texts, got a {}",
            value.type_str()
        )),
    }
}
