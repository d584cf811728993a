//! `backup`, `restore` and `verify`: copies of the data directory, made and checked.
//!
//! A process that serves holds the data directory's lock, so it is the one that makes a backup of it: `backup` asks it over a socket in that
//! directory ([`socket`]), and does it by itself if nobody serves. The other two work on directories that nobody has open.

mod ask;
mod say;
mod socket;
mod wire;

use std::path::{Path, PathBuf};

use clap::{Arg, ArgMatches, Command, value_parser};
use kith_embedded::{Checked, CopyError};
use kith_runtime::config::{Settings, table};
use kith_runtime::lifecycle::Exit;

use crate::{refuse, say};

pub(crate) use ask::letters;
pub(crate) use socket::Socket;

const DIR: &str = "dir";

/// One of the three, as it was asked for.
pub(crate) enum Chosen {
    Backup(PathBuf),
    Restore(PathBuf),
    Verify(Option<PathBuf>),
}

/// The subcommands.
pub(crate) fn commands() -> [Command; 3] {
    let dir = |help| {
        Arg::new(DIR)
            .value_name("DIR")
            .help(help)
            .value_parser(value_parser!(PathBuf))
    };
    [
        Command::new("backup")
            .about("Copy the data directory as it is now into a new directory; beside a running kith, too")
            .arg(dir("Directory to make; must not be there, or be empty").required(true)),
        Command::new("restore")
            .about("Check a backup and make the data directory of it, which must not be there, or be empty")
            .arg(dir("The backup").required(true)),
        Command::new("verify")
            .about("Check every file and every row of a data directory that no process has open, or of a backup")
            .arg(dir("Directory to check [default: the data directory]")),
    ]
}

/// Which one the command line asks for, if it does.
pub(crate) fn chosen(matches: &ArgMatches) -> Option<Chosen> {
    let (name, matches) = matches.subcommand()?;
    let dir = || matches.get_one::<PathBuf>(DIR).cloned();
    match name {
        "backup" => dir().map(Chosen::Backup),
        "restore" => dir().map(Chosen::Restore),
        "verify" => Some(Chosen::Verify(dir())),
        _ => None,
    }
}

impl Chosen {
    /// Does it, and ends with 0 if all is well, 1 otherwise.
    pub(crate) fn run(self, settings: &Settings) -> Exit {
        let data: PathBuf = match settings.get(&table::DATA_DIR) {
            Ok(data) => data,
            Err(error) => return Exit::misconfigured(&error),
        };
        match self {
            Self::Backup(target) => ask::run(settings, &data, &target),
            Self::Restore(backup) => restore(&backup, &data),
            Self::Verify(dir) => verify(&dir.unwrap_or(data)),
        }
    }
}

fn restore(backup: &Path, data: &Path) -> Exit {
    match kith_embedded::restore(backup, data) {
        Ok(checked) => {
            say(&format!(
                "{} holds what {} does",
                data.display(),
                backup.display()
            ));
            say::counts(&checked);
            Exit::Clean
        }
        Err(error) => refused(&error),
    }
}

fn verify(dir: &Path) -> Exit {
    match kith_embedded::verify(dir) {
        Ok(checked) if checked.wrong == 0 => {
            say(&format!("{} is sound", dir.display()));
            say::counts(&checked);
            Exit::Clean
        }
        Ok(checked) => wrong(dir, &checked),
        Err(error) => refused(&error),
    }
}

fn refused(error: &CopyError) -> Exit {
    if let CopyError::Wrong { dir, checked } = error {
        return wrong(dir, checked);
    }
    refuse(&error.to_string())
}

fn wrong(dir: &Path, checked: &Checked) -> Exit {
    for finding in &checked.findings {
        say(&format!("FAIL  {finding}"));
    }
    say::counts(checked);
    refuse(&format!(
        "{} can be read, and {} things in it are wrong: a bug to be reported, or a disk that loses writes; go back to \
         a backup from before",
        dir.display(),
        checked.wrong
    ))
}
