//! Settings: one table, four sources, one line when something is wrong.
//!
//! A value comes from the first of: flag, environment variable, settings file (TOML, named by `--config` or
//! `KITH_CONFIG`), default. The three names of a setting are one name in three spellings (`cql_nodes`, `KITH_CQL_NODES`,
//! `--cql-nodes`), and [`table`] lists all of them. A binary declares which it takes ([`SettingSet`]); a flag or a key of
//! the file that it does not take is refused, so that a typing error is not a silent default. Unknown variables are not
//! refused, because an orchestrator may inject some that look like ours (`KITH_PORT` for a service named `kith`).
//!
//! Everything is checked when it is loaded, before anything starts: [`SettingSet::load`].

use std::fmt;
use std::path::PathBuf;

mod command;
mod file;
mod kind;
mod rules;
mod settings;
pub mod table;
mod value;

#[cfg(test)]
mod tests;

pub use command::{Refused, SettingSet};
pub use kind::Kind;
pub use settings::{Described, Settings};
pub use table::Setting;
pub use value::{ByteSize, FromSetting};

pub(crate) use file::{line_of, read_bounded};

/// The exit code of a process that was set up wrongly: `EX_CONFIG` of `sysexits.h`. Starting it again will not help.
pub const EXIT_CONFIG: u8 = 78;

/// Where the value of a setting came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Nobody set it: the default, or nothing.
    Default,
    /// A key of the settings file.
    File(PathBuf),
    /// The environment variable.
    Variable,
    /// The flag.
    Flag,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Variable => f.write_str("environment"),
            Self::Flag => f.write_str("flag"),
        }
    }
}

/// Something is wrong with the settings. Shown as one line that names the setting; the process ends with [`EXIT_CONFIG`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// What has to be changed: an environment variable, or a flag or key nobody knows.
    pub key: String,
    /// Where the value came from, if there is one.
    pub source: Option<Source>,
    /// What is wrong. Never holds a secret.
    pub reason: String,
}

impl ConfigError {
    /// An error about something that is not a setting of ours, or has no value.
    pub fn new(key: impl Into<String>, reason: impl fmt::Display) -> Self {
        Self {
            key: key.into(),
            source: None,
            reason: reason.to_string(),
        }
    }

    /// An error about a setting and where its value came from.
    #[must_use]
    pub fn of(setting: &Setting, source: Source, reason: impl fmt::Display) -> Self {
        Self {
            key: setting.variable(),
            source: Some(source),
            reason: reason.to_string(),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = match &self.source {
            None | Some(Source::Default) => format!("{}: {}", self.key, self.reason),
            Some(source) => format!("{} ({source}): {}", self.key, self.reason),
        };
        // One line whatever a cause or a path has in it: operators grep for it.
        for c in line.chars() {
            let c = if c.is_control() { ' ' } else { c };
            fmt::Write::write_char(f, c)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// A value as it may be shown: quoted, in one line, and not too long.
fn shown(text: &str) -> String {
    const LONGEST: usize = 80;
    if text.chars().count() > LONGEST {
        let head: String = text.chars().take(LONGEST).collect();
        format!("{head:?}...")
    } else {
        format!("{text:?}")
    }
}
