//! `trait-worker`: the worker on Kafka and ScyllaDB. What it does is in the library; here are the command line, the
//! engines, and the exit code.

mod servers;

use std::process::ExitCode;
use std::time::Duration;

use clap::{ArgMatches, Args as _, Command, FromArgMatches as _, Subcommand as _};
use kith_runtime::config::{ConfigError, SettingSet, Settings, table};
use kith_runtime::lifecycle::{Exit, run_process};
use kith_runtime::probe;
use kith_runtime::telemetry::Telemetry;

use servers::letters::{self, Letters};
use servers::replay::{self, Replay};
use servers::{Servers, serve};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What the last spans get at the end.
const FLUSH: Duration = Duration::from_secs(2);

/// What was asked for.
#[derive(Debug)]
enum Ask {
    Serve,
    Doctor,
    Replay(Replay),
    Letters(Letters),
}

impl Ask {
    /// What the command line asks for. Its subcommands were checked while it was parsed.
    fn of(matches: &ArgMatches) -> Result<Self, clap::Error> {
        match matches.subcommand() {
            Some(("doctor", _)) => Ok(Self::Doctor),
            Some(("replay", matches)) => Replay::from_arg_matches(matches).map(Self::Replay),
            Some(("dead-letters", matches)) => {
                Letters::from_arg_matches(matches).map(Self::Letters)
            }
            _ => Ok(Self::Serve),
        }
    }
}

fn main() -> ExitCode {
    let taken = taken();
    let matches = match taken.parse(command(&taken), std::env::args_os()) {
        Ok(matches) => matches,
        Err(refused) => return Exit::refused(refused).into(),
    };
    let ask = match Ask::of(&matches) {
        Ok(ask) => ask,
        Err(error) => error.exit(),
    };
    match taken.load(&matches) {
        Ok(settings) if let Some(asked) = matches.subcommand_matches(probe::NAME) => {
            probe::run(&settings, asked).into()
        }
        Ok(settings) => run_process(run(ask, settings)),
        Err(error) => Exit::misconfigured(&error).into(),
    }
}

/// The settings that this binary takes.
fn taken() -> SettingSet {
    SettingSet::new("trait-worker")
        .take_with_default(&table::ADMIN_LISTEN, "127.0.0.1:8082")
        .take(table::PROCESS)
        .take(table::WORKER)
        .take(table::WORKER_PROCESS)
        .take(table::CQL)
        .take(table::KAFKA)
        .take(table::KAFKA_TOPICS)
        .take(table::KAFKA_CONSUMER)
        .take(&[&table::BODY_BYTES_MAX])
}

fn command(taken: &SettingSet) -> Command {
    let command = Command::new("trait-worker")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Merges the traits of the log into profiles")
        .subcommand(Command::new("serve").about("Work until told to end (the default)"))
        .subcommand(
            Command::new("doctor")
                .about("Check settings, servers, clocks, tables and topics, and end"),
        )
        .subcommand(probe::command())
        .subcommand(
            Replay::augment_args(Command::new("replay"))
                .about("Apply records of the traits topic once more, and end"),
        )
        .subcommand(
            Letters::augment_subcommands(Command::new("dead-letters"))
                .about("Look at records that were put aside, or send them again, and end")
                .subcommand_required(true)
                .arg_required_else_help(true),
        );
    taken.command(command)
}

async fn run(ask: Ask, settings: Settings) -> Exit {
    match ask {
        Ask::Doctor => kith_servers::doctor::run(&settings, servers::configure, servers::say).await,
        ask @ (Ask::Serve | Ask::Replay(_) | Ask::Letters(_)) => {
            match start(ask, &settings).await {
                Ok(exit) => exit,
                Err(error) => Exit::misconfigured(&error),
            }
        }
    }
}

async fn start(ask: Ask, settings: &Settings) -> Result<Exit, ConfigError> {
    // Before anything is told, so that a wrong setting is the one line there is.
    let servers = Servers::from(settings)?;
    let telemetry = Telemetry::init(settings, "trait-worker")?;
    let exit = match ask {
        Ask::Replay(replay) => replay::run(replay, settings, servers).await,
        Ask::Letters(asked) => letters::run(asked, settings, servers.kafka).await,
        Ask::Serve | Ask::Doctor => serve::run(settings, servers).await,
    };
    telemetry.shutdown(FLUSH).await;
    exit
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(arguments: &[&str], variables: &[(&str, &str)]) -> Result<Settings, ConfigError> {
        let taken = taken();
        let arguments = [&["trait-worker"], arguments].concat();
        let matches = taken.parse(command(&taken), arguments).unwrap();
        taken.load_from(&matches, &|name| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| (*value).into())
        })
    }

    #[test]
    fn the_command_line_holds_together() {
        command(&taken()).debug_assert();
    }

    #[test]
    fn without_any_setting_the_engines_have_their_defaults() {
        let settings = load(&[], &[]).unwrap();
        let servers = Servers::from(&settings).unwrap();
        assert_eq!(servers.cql.nodes, ["127.0.0.1:9042"]);
        assert_eq!(servers.kafka.bootstrap, "127.0.0.1:9092");
        assert_eq!(servers.worker.topic, "kith.traits");
        assert_eq!(servers.worker.group, "kith.trait-worker");
        assert_eq!(settings.text(&table::ADMIN_LISTEN), Some("127.0.0.1:8082"));
        let (ours, theirs) = (servers.worker, trait_worker::Settings::default());
        assert_eq!(ours.records_in_flight_max, theirs.records_in_flight_max);
        assert_eq!(
            ours.record_bytes_in_flight_max,
            theirs.record_bytes_in_flight_max
        );
        assert_eq!(ours.invalid_max, theirs.invalid_max);
    }

    #[test]
    fn the_settings_reach_the_engines() {
        let flags = [
            "--kafka-group",
            "other",
            "--cql-dialect=cassandra",
            "doctor",
        ];
        let variables = [
            ("KITH_KAFKA_TRAITS_TOPIC", "t"),
            ("KITH_CQL_NODES", "a:1,b:2"),
            ("KITH_KAFKA_REPLICATION_FACTOR", "1"),
            ("KITH_RECORDS_IN_FLIGHT_MAX", "7"),
        ];
        let settings = load(&flags, &variables).unwrap();
        let servers = Servers::from(&settings).unwrap();
        assert_eq!(servers.kafka.consumer.group, "other");
        assert_eq!(servers.cql.dialect, kith_scylla::Dialect::Cassandra);
        assert_eq!(servers.cql.nodes, ["a:1", "b:2"]);
        assert_eq!(
            (servers.worker.topic.as_str(), servers.worker.group.as_str()),
            ("t", "other")
        );
        assert_eq!(servers.worker.records_in_flight_max, 7);
    }

    #[test]
    fn what_ends_the_process_fits_into_its_grace_period() {
        for grace in ["1s", "25s", "10m"] {
            let settings = load(&["--shutdown-grace", grace], &[]).unwrap();
            let servers = Servers::from(&settings).unwrap();
            let grace: Duration = settings.get(&table::SHUTDOWN_GRACE).unwrap();
            assert!(servers.worker.drain + servers.worker.close < grace);
        }
    }
}
