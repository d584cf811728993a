//! The settings that are in force.

use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;

use secrecy::SecretString;

use super::file::read_bounded;
use super::{ConfigError, FromSetting, Setting, Source};

/// A password is a line; something larger is the wrong file.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// Variables of the commands for people, which are no settings of a process (`docs/cli.md`).
const CLIENT: [&str; 2] = ["KITH_URL", "KITH_STORE"];

/// The settings of a process, checked. Holds paths of secrets, never secrets.
#[derive(Debug, Clone)]
pub struct Settings {
    binary: &'static str,
    values: Vec<(&'static Setting, Option<(String, Source)>)>,
}

/// One setting in force, for an operator to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// The setting.
    pub setting: &'static Setting,
    /// Its value in its one spelling; `None` if it has none. Of a secret, the path of its file.
    pub value: Option<String>,
    /// Where the value came from.
    pub source: Source,
}

impl Settings {
    pub(super) fn new(binary: &'static str) -> Self {
        Self {
            binary,
            values: Vec::new(),
        }
    }

    pub(super) fn put(&mut self, setting: &'static Setting, value: Option<(String, Source)>) {
        self.values.push((setting, value));
    }

    /// The name of the binary that took them.
    #[must_use]
    pub fn binary(&self) -> &'static str {
        self.binary
    }

    /// The text of a setting, if it is taken and has a value.
    #[must_use]
    pub fn text(&self, setting: &Setting) -> Option<&str> {
        self.found(setting).map(|(text, _)| text)
    }

    fn found(&self, setting: &Setting) -> Option<(&str, &Source)> {
        let (_, value) = self
            .values
            .iter()
            .find(|(one, _)| one.name == setting.name)?;
        value.as_ref().map(|(text, source)| (text.as_str(), source))
    }

    /// The value of a setting.
    ///
    /// # Errors
    /// It has none, or it is not a `T` (a number too large for the type, say).
    pub fn get<T: FromSetting>(&self, setting: &Setting) -> Result<T, ConfigError> {
        self.get_opt(setting)?.ok_or_else(|| {
            ConfigError::of(setting, Source::Default, "is required, and has no default")
        })
    }

    /// The value of a setting, or `None` if it has none.
    ///
    /// # Errors
    /// It is not a `T`.
    pub fn get_opt<T: FromSetting>(&self, setting: &Setting) -> Result<Option<T>, ConfigError> {
        self.found(setting)
            .map(|(text, source)| {
                T::from_setting(text)
                    .map_err(|reason| ConfigError::of(setting, source.clone(), reason))
            })
            .transpose()
    }

    /// The value of a setting as a type of another crate that reads itself from a word.
    ///
    /// # Errors
    /// It has none, or the type does not know the word.
    pub fn parse<T>(&self, setting: &Setting) -> Result<T, ConfigError>
    where
        T: FromStr<Err: Display>,
    {
        let text: String = self.get(setting)?;
        text.parse().map_err(|error| self.refuse(setting, error))
    }

    /// The secret in the file that a setting names, without the line end that editors leave; `None` if it names none.
    ///
    /// # Errors
    /// The file cannot be read, or holds nothing.
    pub fn secret(&self, setting: &Setting) -> Result<Option<SecretString>, ConfigError> {
        let Some(path) = self.get_opt::<PathBuf>(setting)? else {
            return Ok(None);
        };
        let refuse = |reason: String| self.refuse(setting, reason);
        let text = read_bounded(&path, SECRET_BYTES_MAX)
            .map_err(|error| refuse(format!("cannot read {}: {error}", path.display())))?;
        let secret = text.strip_suffix('\n').unwrap_or(&text);
        let secret = secret.strip_suffix('\r').unwrap_or(secret);
        if secret.is_empty() {
            return Err(refuse(format!("{} is empty", path.display())));
        }
        Ok(Some(SecretString::from(secret)))
    }

    /// An error about a setting of these, naming where its value came from.
    #[must_use]
    pub fn refuse(&self, setting: &Setting, reason: impl Display) -> ConfigError {
        let source = self.found(setting).map(|(_, source)| source.clone());
        ConfigError::of(setting, source.unwrap_or(Source::Default), reason)
    }

    /// Every setting with its value and source, for `doctor`. Secrets are files, and only their paths are here.
    pub fn describe(&self) -> impl Iterator<Item = Described> + '_ {
        self.values.iter().map(|(setting, value)| {
            let (value, source) = value
                .clone()
                .map_or((None, Source::Default), |(text, source)| {
                    (Some(text), source)
                });
            Described {
                setting,
                value,
                source,
            }
        })
    }

    /// A line for each setting, and one for each variable of this process that looks like one and is none: what a `doctor`
    /// says first.
    #[must_use]
    pub fn report(&self) -> Vec<String> {
        let mut lines: Vec<String> = self
            .describe()
            .map(|one| {
                let value = one.value.as_deref().unwrap_or("-");
                format!(
                    "      {} = {value} ({})",
                    one.setting.variable(),
                    one.source
                )
            })
            .collect();
        let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        let unknown = Self::unknown_variables(names).into_iter();
        lines.extend(unknown.map(|name| format!("note  {name} is no setting")));
        lines
    }

    /// Variables of the environment that look like settings and are none of any binary: typing errors, mostly. For
    /// `doctor` to warn of.
    #[must_use]
    pub fn unknown_variables(names: impl Iterator<Item = String>) -> Vec<String> {
        names
            .filter(|name| name.starts_with("KITH_") && !CLIENT.contains(&name.as_str()))
            .filter(|name| {
                super::table::ALL
                    .iter()
                    .all(|setting| setting.variable() != *name)
            })
            .collect()
    }
}
