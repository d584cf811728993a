//! The command line of a binary: flags and help from the table, subcommands from the binary.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgMatches, Command};

use super::table::CONFIG;
use super::{ConfigError, Setting, Settings, Source, file, rules};

/// The settings that one binary takes.
#[derive(Debug, Clone)]
pub struct SettingSet {
    binary: &'static str,
    taken: Vec<&'static Setting>,
    defaults: BTreeMap<&'static str, &'static str>,
}

/// Why a command line leads to no run. [`Exit::refused`](crate::lifecycle::Exit::refused) tells it.
#[derive(Debug)]
pub enum Refused {
    /// Help or version was asked for: print it to standard output and end with 0.
    Asked(String),
    /// Wrong: print the line to standard error and end with [`super::EXIT_CONFIG`].
    Wrong(ConfigError),
}

impl SettingSet {
    /// A binary that takes no setting yet.
    #[must_use]
    pub fn new(binary: &'static str) -> Self {
        Self {
            binary,
            taken: Vec::new(),
            defaults: BTreeMap::new(),
        }
    }

    /// Takes a group of settings.
    #[must_use]
    pub fn take(mut self, group: &[&'static Setting]) -> Self {
        for setting in group {
            if !self.taken.contains(setting) {
                self.taken.push(setting);
            }
        }
        self
    }

    /// Takes a setting with a default of this binary's own.
    #[must_use]
    pub fn take_with_default(mut self, setting: &'static Setting, default: &'static str) -> Self {
        self.defaults.insert(setting.name, default);
        self.take(&[setting])
    }

    /// What was taken, in that order.
    #[must_use]
    pub fn settings(&self) -> &[&'static Setting] {
        &self.taken
    }

    /// What holds if nobody sets it.
    #[must_use]
    pub fn default_of(&self, setting: &Setting) -> Option<&'static str> {
        self.defaults.get(setting.name).copied().or(setting.default)
    }

    /// Adds the flags to a command; its subcommands take them too, before or after their name.
    #[must_use]
    pub fn command(&self, command: Command) -> Command {
        let flags = std::iter::once(&CONFIG)
            .chain(self.taken.iter().copied())
            .map(|setting| self.flag(setting));
        command.args(flags)
    }

    fn flag(&self, setting: &'static Setting) -> Arg {
        let default = self
            .default_of(setting)
            .map_or_else(String::new, |default| format!(" [default: {default}]"));
        Arg::new(setting.name)
            .long(setting.name.replace('_', "-"))
            .value_name(setting.kind.placeholder())
            .help(format!(
                "{}{default} [env: {}]",
                setting.help,
                setting.variable()
            ))
            .help_heading("Settings")
            .hide_default_value(true)
            .global(true)
    }

    /// Parses a command line, made with [`SettingSet::command`] and the binary's subcommands.
    ///
    /// # Errors
    /// [`Refused`]: what to print instead of running.
    pub fn parse<I, T>(&self, command: Command, arguments: I) -> Result<ArgMatches, Refused>
    where
        I: IntoIterator<Item = T>,
        T: Into<OsString> + Clone,
    {
        command.try_get_matches_from(arguments).map_err(|error| {
            let asked = matches!(
                error.kind(),
                ErrorKind::DisplayHelp
                    | ErrorKind::DisplayVersion
                    | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
            );
            if asked {
                Refused::Asked(error.to_string())
            } else {
                Refused::Wrong(self.one_line(&error))
            }
        })
    }

    /// Clap explains itself over several lines; an operator's log wants one.
    fn one_line(&self, error: &clap::Error) -> ConfigError {
        let named = [ContextKind::InvalidArg, ContextKind::InvalidSubcommand]
            .into_iter()
            .find_map(|kind| match error.get(kind) {
                Some(ContextValue::String(name)) => Some(name.clone()),
                Some(ContextValue::Strings(names)) => names.first().cloned(),
                _ => None,
            });
        // `--cql-nodes <HOST:PORT,...>` is how clap names a flag that it knows.
        let key = named.as_deref().and_then(|name| name.split(' ').next());
        let key = key.unwrap_or(self.binary).to_owned();
        let reason = if error.kind() == ErrorKind::UnknownArgument {
            format!("unknown argument: not a flag of {}", self.binary)
        } else if error.kind() == ErrorKind::InvalidSubcommand {
            format!("unknown command of {}", self.binary)
        } else {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default();
            line.trim_start_matches("error: ").to_owned()
        };
        ConfigError::new(key, reason)
    }

    /// Loads and checks all settings, from the process's environment.
    ///
    /// # Errors
    /// The first thing that is wrong: an unreadable or malformed file, an unknown key, a malformed value, two settings
    /// that contradict each other.
    pub fn load(&self, matches: &ArgMatches) -> Result<Settings, ConfigError> {
        self.load_from(matches, &|name| std::env::var_os(name))
    }

    /// [`SettingSet::load`] from a given environment.
    ///
    /// # Errors
    /// As there.
    pub fn load_from(
        &self,
        matches: &ArgMatches,
        variable: &dyn Fn(&str) -> Option<OsString>,
    ) -> Result<Settings, ConfigError> {
        let set_by_hand =
            |setting: &'static Setting| -> Result<Option<(String, Source)>, ConfigError> {
                if let Some(text) = matches.get_one::<String>(setting.name) {
                    return Ok(Some((text.clone(), Source::Flag)));
                }
                match variable(&setting.variable()).map(OsString::into_string) {
                    // Compose files and shells set variables to nothing when they mean not to set them.
                    Some(Ok(text)) if text.is_empty() => Ok(None),
                    Some(Ok(text)) => Ok(Some((text, Source::Variable))),
                    Some(Err(_)) => Err(ConfigError::of(setting, Source::Variable, "is not UTF-8")),
                    None => Ok(None),
                }
            };

        let config = set_by_hand(&CONFIG)?;
        let file = match &config {
            None => BTreeMap::new(),
            Some((path, origin)) => file::read(Path::new(path), origin, self.binary, &self.taken)?,
        };
        let mut settings = Settings::new(self.binary);
        settings.put(&CONFIG, config.clone());
        for &setting in &self.taken {
            let from_file = || {
                let path = config.as_ref().map(|(path, _)| path.into())?;
                Some((file.get(setting.name)?.clone(), Source::File(path)))
            };
            let by_default = || Some((self.default_of(setting)?.to_owned(), Source::Default));
            let found = set_by_hand(setting)?.or_else(from_file).or_else(by_default);
            let checked = match found {
                None => None,
                Some((text, source)) => match setting.kind.parse(&text) {
                    Ok(text) => Some((text, source)),
                    Err(reason) => return Err(ConfigError::of(setting, source, reason)),
                },
            };
            settings.put(setting, checked);
        }
        rules::check(&settings)?;
        Ok(settings)
    }
}
