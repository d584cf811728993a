//! The command line for people: stores, profiles and imports, over the API of a Kith that runs.
//!
//! It knows the API and nothing of the engines, so it works against `kith serve` and `ingest-api` alike. Start reading at
//! [`target`] for where a command goes, at [`failure`] for how it ends, and at [`import`] for what is not one request.

use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use kith_runtime::output::say;

use crate::client::failure::Failure;
use crate::client::http::Http;

mod cell;
mod failure;
mod http;
mod import;
mod output;
mod profile;
mod schema;
mod store;
mod target;

/// Who is this person? Stores, profiles and imports of a Kith that runs
#[derive(Debug, Parser)]
#[command(name = "kith", version)]
struct Line {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    flags: target::Flags,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Stores of the account
    #[command(subcommand)]
    Store(store::Command),
    /// One profile: create, get, lookup, delete, explain
    #[command(subcommand)]
    Profile(profile::Command),
    /// Import profiles from a CSV file
    Import(import::Import),
}

/// The commands of the client with what each is about, for the list of all commands.
pub(crate) fn outline() -> Vec<clap::Command> {
    let line = Line::command();
    let commands = line.get_subcommands().map(|command| {
        let about = command.get_about().cloned().unwrap_or_default();
        clap::Command::new(command.get_name().to_owned()).about(about)
    });
    commands.collect()
}

/// Whether a command is one of the client's.
pub(crate) fn has(name: &str) -> bool {
    let line = Line::command();
    line.get_subcommands().any(|one| one.get_name() == name)
}

/// Whether a command line, without the name of the binary, is for the client.
pub(crate) fn is_meant(arguments: &[OsString]) -> bool {
    let mut words = arguments.iter().map(OsString::as_os_str);
    let first = words.find(|word| *word != "help");
    first.and_then(OsStr::to_str).is_some_and(has)
}

/// Does what a command line asks for.
pub(crate) fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let line = match Line::try_parse_from(arguments) {
        Ok(line) => line,
        Err(error) if error.use_stderr() => {
            return Failure::Wrong(error.render().to_string().trim_end().to_owned()).told();
        }
        // Help and version.
        Err(error) => {
            return match say(error.render().to_string().trim_end()) {
                Ok(()) => ExitCode::SUCCESS,
                Err(hung_up) => Failure::from(hung_up).told(),
            };
        }
    };
    match run(line) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.told(),
    }
}

fn run(line: Line) -> Result<(), Failure> {
    let http = Http::new(line.flags.target()?)?;
    let json = line.flags.json;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match &line.command {
            Command::Store(command) => store::run(command, &http, json).await,
            Command::Profile(command) => profile::run(command, &http, json).await,
            Command::Import(import) => import::run(import, &http, json).await,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn the_command_line_holds_together() {
        Line::command().debug_assert();
    }

    #[test]
    fn the_service_keeps_its_own_command_lines() {
        for line in [
            "",
            "serve",
            "doctor",
            "--listen 127.0.0.1:1",
            "--help",
            "help",
            "help serve",
            "profiles",
        ] {
            assert!(!is_meant(&words(line)), "{line}");
        }
        for line in [
            "store create x",
            "profile",
            "import --help",
            "help profile get",
        ] {
            assert!(is_meant(&words(line)), "{line}");
        }
    }

    #[test]
    fn flags_go_before_or_after_what_they_are_for() {
        for line in [
            "kith import a.csv --url http://127.0.0.1:1 --json",
            "kith profile --url http://127.0.0.1:1 --json get x",
        ] {
            let line = Line::try_parse_from(words(line)).unwrap();
            assert!(line.flags.json);
            assert_eq!(line.flags.target().unwrap().url.port(), Some(1));
        }
    }

    #[test]
    fn every_command_is_in_the_list() {
        let names: Vec<_> = outline()
            .iter()
            .map(|one| one.get_name().to_owned())
            .collect();
        assert_eq!(names, ["store", "profile", "import"]);
    }
}
