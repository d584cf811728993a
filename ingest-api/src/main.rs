//! `ingest-api`: the HTTP service on Kafka and ScyllaDB. What it does is in the library; here are the command line, the
//! engines, and the exit code.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command};
use ingest_api::servers::{self, doctor, migrate, serve, taken};
use kith_runtime::config::{SettingSet, Settings};
use kith_runtime::lifecycle::{Exit, run_process};
use kith_runtime::probe;
use kith_runtime::telemetry::Telemetry;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What the last spans get at the end.
const FLUSH: Duration = Duration::from_secs(2);
const DEVELOPMENT_STORE: &str = "development-store";

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ask {
    Serve,
    Migrate { development_store: bool },
    Doctor,
}

fn main() -> ExitCode {
    let taken = taken();
    let matches = match taken.parse(command(&taken), std::env::args_os()) {
        Ok(matches) => matches,
        Err(refused) => return Exit::refused(refused).into(),
    };
    match taken.load(&matches) {
        Ok(settings) if let Some(asked) = matches.subcommand_matches(probe::NAME) => {
            probe::run(&settings, asked).into()
        }
        Ok(settings) => run_process(run(asked(&matches), settings)),
        Err(error) => Exit::misconfigured(&error).into(),
    }
}

fn command(taken: &SettingSet) -> Command {
    let command = Command::new("ingest-api")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Resolves identity and takes traits in, over HTTP")
        .subcommand(Command::new("serve").about("Serve until told to end (the default)"))
        .subcommand(
            Command::new("migrate")
                .about("Make or complete the keyspace, the tables and the topics, and end")
                .arg(
                    Arg::new(DEVELOPMENT_STORE)
                        .long(DEVELOPMENT_STORE)
                        .action(ArgAction::SetTrue)
                        .help("Also make the development account's store"),
                ),
        )
        .subcommand(
            Command::new("doctor")
                .about("Check settings, servers, clocks, tables and topics, and end"),
        )
        .subcommand(probe::command());
    taken.command(command)
}

fn asked(matches: &ArgMatches) -> Ask {
    match matches.subcommand() {
        Some(("migrate", matches)) => Ask::Migrate {
            development_store: matches.get_flag(DEVELOPMENT_STORE),
        },
        Some(("doctor", _)) => Ask::Doctor,
        _ => Ask::Serve,
    }
}

async fn run(ask: Ask, settings: Settings) -> Exit {
    // Before anything is started, so that a wrong setting is the one line there is.
    match ask {
        Ask::Doctor => doctor::run(&settings).await,
        Ask::Migrate { development_store } => match servers::configure(&settings) {
            Ok((cql, kafka)) => migrate::run(&cql, &kafka, development_store).await,
            Err(error) => Exit::misconfigured(&error),
        },
        Ask::Serve => {
            let configured = servers::configure(&settings).and_then(|(cql, kafka)| {
                let parts = serve::Parts::from(&settings)?;
                Ok((cql, kafka, parts, Telemetry::init(&settings, "ingest-api")?))
            });
            match configured {
                Ok((cql, kafka, parts, telemetry)) => {
                    let exit = serve::run(&settings, cql, kafka, parts, |engines| engines).await;
                    telemetry.shutdown(FLUSH).await;
                    exit.unwrap_or_else(|error| Exit::misconfigured(&error))
                }
                Err(error) => Exit::misconfigured(&error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        command(&taken()).debug_assert();
    }

    #[test]
    fn serving_is_the_default() {
        let taken = taken();
        let ask = |arguments: &[&str]| {
            let arguments = [&["ingest-api"], arguments].concat();
            asked(&taken.parse(command(&taken), arguments).unwrap())
        };
        assert_eq!(ask(&[]), Ask::Serve);
        assert_eq!(ask(&["serve"]), Ask::Serve);
        assert_eq!(
            ask(&["migrate"]),
            Ask::Migrate {
                development_store: false
            }
        );
        assert_eq!(
            ask(&["migrate", "--development-store"]),
            Ask::Migrate {
                development_store: true
            }
        );
    }
    fn load(arguments: &[&str], variables: &[(&str, &str)]) -> Settings {
        let taken = taken();
        let arguments = [&["ingest-api"], arguments].concat();
        let matches = taken.parse(command(&taken), arguments).unwrap();
        let variable = |name: &str| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| (*value).into())
        };
        taken.load_from(&matches, &variable).unwrap()
    }

    #[test]
    fn the_log_takes_the_event_of_the_largest_body() {
        let (_, kafka) = servers::configure(&load(&[], &[])).unwrap();
        assert!(kafka.topics.record_bytes_max > 4 << 20);
        let settings = load(&["--body-bytes-max", "64MiB"], &[]);
        let (_, kafka) = servers::configure(&settings).unwrap();
        assert!(kafka.topics.record_bytes_max > 64 << 20);
        kafka.validate().unwrap();
    }

    #[test]
    fn the_settings_reach_the_engines() {
        let variables = [
            ("KITH_KAFKA_TRAITS_TOPIC", "t"),
            ("KITH_CQL_NODES", "a:1,b:2"),
        ];
        let settings = load(&["--cql-dialect=cassandra"], &variables);
        let (cql, kafka) = servers::configure(&settings).unwrap();
        assert_eq!(cql.dialect, kith_scylla::Dialect::Cassandra);
        assert_eq!(cql.nodes, ["a:1", "b:2"]);
        assert_eq!(kafka.traits_topic, "t");
    }

    #[test]
    fn serving_needs_credentials_whatever_it_listens_at() {
        let error = serve::Parts::from(&load(&[], &[])).err().unwrap();
        let error = error.to_string();
        assert!(error.starts_with("KITH_CREDENTIALS: "), "{error}");
    }
}
