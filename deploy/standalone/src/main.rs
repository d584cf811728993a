//! `kith`: both services in one process, on the embedded store and log. What they do is in the libraries; here are the command
//! line, the engine, and the exit code. The commands for people, over HTTP, are in `client`.

mod client;
mod copies;
mod doctor;
mod letters;
mod serve;

use std::process::ExitCode;
use std::time::Duration;

use clap::Command;
use kith_runtime::config::{ConfigError, SettingSet, Settings, table};
use kith_runtime::lifecycle::{Exit, run_process};
use kith_runtime::probe;
use kith_runtime::telemetry::Telemetry;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What the last spans get at the end.
const FLUSH: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    if client::is_meant(&arguments) {
        return client::main(std::env::args_os());
    }
    let taken = taken();
    let matches = match taken.parse(command(&taken), std::env::args_os()) {
        Ok(matches) => matches,
        Err(refused) => return Exit::refused(refused).into(),
    };
    if let Some(command) = matches.subcommand_name().filter(|name| client::has(name)) {
        let reason = "takes none of the service's settings; its name comes first";
        return Exit::misconfigured(&ConfigError::new(command, reason)).into();
    }
    let is_doctor = matches.subcommand_name() == Some("doctor");
    match taken.load(&matches) {
        Ok(settings) if is_doctor => doctor::run(&settings).into(),
        Ok(settings) => {
            if let Some(asked) = matches.subcommand_matches(probe::NAME) {
                probe::run(&settings, asked).into()
            } else if let Some(chosen) = copies::chosen(&matches) {
                chosen.run(&settings).into()
            } else if let Some(asked) = letters::chosen(&matches) {
                copies::letters(&settings, &asked, std::env::args_os()).into()
            } else {
                run_process(run(settings))
            }
        }
        Err(error) => Exit::misconfigured(&error).into(),
    }
}

/// The settings that this binary takes.
fn taken() -> SettingSet {
    SettingSet::new("kith")
        .take(table::PROCESS)
        .take(table::HTTP)
        .take(table::EMBEDDED)
        .take(table::WORKER)
}

fn command(taken: &SettingSet) -> Command {
    let command = Command::new("kith")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Who is this person? Profiles, identity and traits, on one machine")
        .subcommand(Command::new("serve").about("Serve until told to end (the default)"))
        .subcommand(Command::new("doctor").about("Check settings, ports and data, and end"))
        .subcommand(probe::command())
        .subcommands(copies::commands())
        .subcommand(letters::command())
        // Listed here; they take other flags, and are read by themselves.
        .subcommands(client::outline());
    taken.command(command)
}

async fn run(settings: Settings) -> Exit {
    // Before anything is told, so that a wrong setting is the one line there is.
    let prepared = serve::Parts::from(&settings)
        .and_then(|parts| Ok((parts, Telemetry::init(&settings, "kith")?)));
    match prepared {
        Ok((parts, telemetry)) => {
            let exit = serve::run(parts).await;
            telemetry.shutdown(FLUSH).await;
            exit
        }
        Err(error) => Exit::misconfigured(&error),
    }
}

/// What a command line says about dead letters, which another process of ours was given.
fn letters_of(arguments: &[String]) -> Result<letters::Letters, String> {
    let taken = taken();
    let matches = taken.parse(command(&taken), arguments);
    let matches = matches.map_err(|_| "is of another version".to_owned())?;
    letters::chosen(&matches).ok_or_else(|| "is not about dead letters".to_owned())
}

/// Prints for whoever runs the command.
#[expect(
    clippy::print_stdout,
    reason = "the answer to a command, not a log line"
)]
fn say(text: &str) {
    println!("{text}");
}

/// Says on standard error, in one line, why the process does not start.
#[expect(
    clippy::print_stderr,
    reason = "for whoever started it, whatever the log is set to"
)]
fn refuse(reason: &str) -> Exit {
    eprintln!("{reason}");
    Exit::Failed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        command(&taken()).debug_assert();
    }

    #[test]
    fn it_takes_nothing_of_servers_that_it_does_not_have() {
        let names: Vec<&str> = taken()
            .settings()
            .iter()
            .map(|setting| setting.name)
            .collect();
        assert!(names.contains(&"data_dir") && names.contains(&"listen"));
        assert!(
            !names
                .iter()
                .any(|name| name.starts_with("cql_") || name.starts_with("kafka_"))
        );
    }
}
