//! What a value may be.

use crate::error::ConfigError;

pub(super) fn missing(setting: &'static str, because: &'static str) -> ConfigError {
    ConfigError::Missing { setting, because }
}

pub(super) fn invalid(setting: &'static str, value: &str, problem: &'static str) -> ConfigError {
    ConfigError::Invalid {
        setting,
        value: value.to_owned(),
        problem,
    }
}

pub(super) fn present(setting: &'static str, value: &str) -> Result<(), ConfigError> {
    if value.trim().is_empty() || value.contains('\0') {
        return Err(invalid(
            setting,
            &format!("{value:?}"),
            "it must not be blank nor contain NUL",
        ));
    }
    Ok(())
}

/// Kafka's rule for names of topics.
pub(super) fn topic_name(setting: &'static str, name: &str) -> Result<(), ConfigError> {
    let good = (1..=249).contains(&name.len())
        && name != "."
        && name != ".."
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    if good {
        Ok(())
    } else {
        Err(invalid(
            setting,
            &format!("{name:?}"),
            "a topic's name has 1 to 249 letters, digits, dots, underscores and hyphens",
        ))
    }
}

pub(super) fn range(
    setting: &'static str,
    value: usize,
    least: usize,
    most: usize,
) -> Result<(), ConfigError> {
    if (least..=most).contains(&value) {
        Ok(())
    } else if value < least {
        Err(invalid(setting, &value.to_string(), "too small"))
    } else {
        Err(invalid(setting, &value.to_string(), "too large"))
    }
}
