use std::cell::RefCell;
use std::io;

use clap::Command;
use kith_domain::time::Micros;
use kith_kafka::Difference;
use kith_profiles::error::{ClockUnsound, PortError};
use kith_runtime::config::{SettingSet, table};
use kith_scylla::{ConnectError, Drift};

use super::*;

thread_local! {
    static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Tests run on a thread each.
fn note(line: &str) {
    LINES.with_borrow_mut(|lines| lines.push(line.to_owned()));
}

fn noted() -> Vec<String> {
    LINES.take()
}

fn report() -> Report {
    Report {
        failed: false,
        say: note,
    }
}

fn settings(flags: &[&str]) -> Settings {
    let taken = SettingSet::new("test")
        .take(table::CQL)
        .take(table::KAFKA)
        .take(table::KAFKA_TOPICS)
        .take(&[&table::BODY_BYTES_MAX]);
    let matches = taken
        .parse(
            taken.command(Command::new("test")),
            [&["test"], flags].concat(),
        )
        .unwrap();
    taken.load_from(&matches, &|_| None).unwrap()
}

fn configured(
    settings: &Settings,
) -> Result<(CqlConfig, KafkaConfig), kith_runtime::config::ConfigError> {
    Ok((
        crate::cql(settings)?,
        crate::kafka(settings, "test", false)?,
    ))
}

/// The one line that begins like this.
fn line<'a>(lines: &'a [String], begins: &str) -> &'a str {
    let mut found = lines.iter().filter(|line| line.starts_with(begins));
    let line = found.next().unwrap_or_else(|| panic!("no line {begins}"));
    assert_eq!(found.next(), None);
    line
}

#[tokio::test]
async fn where_nothing_listens_it_says_which_settings_lead_there() {
    // Port 1 is nobody's.
    let settings = settings(&["--cql-nodes=127.0.0.1:1", "--kafka-bootstrap=127.0.0.1:1"]);
    let exit = run(&settings, configured, note).await;
    assert_eq!(exit, Exit::Failed);
    let lines = noted();
    line(&lines, "ok    settings: ");
    let database = line(&lines, "FAIL  database: the database cannot be reached: ");
    assert!(
        database.ends_with(
            "; see whether it runs where KITH_CQL_NODES says, and wants TLS if and only if KITH_CQL_CA_FILE is set, and a certificate only with KITH_CQL_CERT_FILE"
        ),
        "{database}"
    );
    assert_eq!(
        database.matches("Connection refused").count(),
        1,
        "{database}"
    );
    let log = line(&lines, "FAIL  log: the log cannot be reached: ");
    assert!(log.contains("Connection refused"), "{log}");
    assert!(
        log.ends_with(
            "; see whether a broker runs where KITH_KAFKA_BOOTSTRAP says, and speaks KITH_KAFKA_SECURITY_PROTOCOL"
        ),
        "{log}"
    );
    let failed = lines.iter().filter(|line| line.starts_with("FAIL"));
    assert_eq!(failed.count(), 2, "{lines:?}");
}

#[tokio::test]
async fn settings_that_an_engine_refuses_end_it_before_anything_is_asked() {
    let settings = settings(&["--cql-keyspace=Not-A-Keyspace"]);
    assert_eq!(run(&settings, configured, note).await, Exit::Misconfigured);
    let lines = noted();
    assert!(
        lines
            .iter()
            .all(|line| line.starts_with("      ") || line.starts_with("note ")),
        "{lines:?}"
    );
}

#[test]
fn a_schema_that_does_not_fit_says_what_to_run() {
    let schema = |drift| ConnectError::Schema {
        keyspace: "kith".to_owned(),
        drift,
    };
    let missing = schema(vec![
        Drift::NoKeyspace,
        Drift::NoTable { table: "claim" },
        Drift::Version {
            found: None,
            known: 1,
        },
    ]);
    assert_eq!(
        remedy::in_short(&missing).unwrap(),
        "there is no keyspace kith"
    );
    assert!(remedy::database(&missing).contains("`ingest-api migrate`"));

    let older = schema(vec![Drift::NoTable { table: "claim" }]);
    assert_eq!(
        remedy::in_short(&older).unwrap(),
        "keyspace kith: table claim is missing"
    );
    assert!(remedy::database(&older).contains("`ingest-api migrate`"));

    let foreign = schema(vec![Drift::WrongColumn {
        table: "claim",
        column: "key",
        expected: "blob".to_owned(),
        found: "text".to_owned(),
    }]);
    let remedy = remedy::database(&foreign);
    assert!(!remedy.contains("migrate"), "{remedy}");
    assert!(remedy.contains("KITH_CQL_KEYSPACE"), "{remedy}");
}

#[test]
fn every_other_fault_of_the_database_has_its_remedy() {
    let cause = || io::Error::other("cause");
    let faults = [
        (ConnectError::Timeout(LIMIT), "KITH_CQL_NODES"),
        (
            ConnectError::UnknownDatacenter {
                named: "dc1".to_owned(),
                found: vec!["datacenter1".to_owned()],
            },
            "KITH_CQL_LOCAL_DC",
        ),
        (
            ConnectError::WrongDialect {
                configured: kith_scylla::Dialect::Scylla,
                found: kith_scylla::Dialect::Cassandra,
            },
            "KITH_CQL_DIALECT",
        ),
        (
            ConnectError::Check(kith_scylla::CheckError {
                keyspace: "kith".to_owned(),
                source: Box::new(cause()),
            }),
            "system_schema",
        ),
        (
            ConnectError::FirstRead(PortError::unavailable("ping", cause())),
            "most of its nodes",
        ),
    ];
    for (error, remedy) in faults {
        let told = remedy::database(&error);
        assert!(told.contains(remedy), "{error}: {told}");
    }
}

#[test]
fn a_topic_is_migrated_if_it_is_missing_and_changed_by_hand_if_it_differs() {
    let remedy = |property| {
        remedy::topic(&Difference {
            topic: "kith.traits".to_owned(),
            property,
            wanted: "a".to_owned(),
            found: "b".to_owned(),
        })
    };
    assert_eq!(
        remedy::missing_topic(true),
        "run `ingest-api migrate`, or set KITH_KAFKA_TRAITS_TOPIC to the right one"
    );
    assert_eq!(
        remedy::missing_topic(false),
        "run `ingest-api migrate`, or set KITH_KAFKA_DEAD_LETTER_TOPIC to the right one"
    );
    for (property, setting) in [
        ("partitions", "KITH_KAFKA_TOPIC_PARTITIONS"),
        ("replication.factor", "KITH_KAFKA_REPLICATION_FACTOR"),
        ("retention.ms", "KITH_KAFKA_RETENTION"),
        ("min.insync.replicas", "KITH_KAFKA_MIN_INSYNC_REPLICAS"),
        ("max.message.bytes", "KITH_BODY_BYTES_MAX"),
    ] {
        let remedy = remedy(property);
        assert!(remedy.starts_with("change the topic"), "{remedy}");
        assert!(remedy.ends_with(setting), "{remedy}");
    }
    assert_eq!(
        remedy("cleanup.policy"),
        "change the topic with Kafka's tools"
    );
}

/// A clock of this host that is off, or not to be read.
struct Host(Result<Micros, ClockUnsound>);

impl Clock for Host {
    fn now(&self) -> Result<Micros, ClockUnsound> {
        self.0
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    async fn sleep(&self, _: Duration) {}
}

const NOON: Micros = Micros::from_micros(1_800_000_000_000_000);

fn compared(own: Result<Micros, ClockUnsound>, theirs: Result<Micros, PortError>) -> String {
    let node = NodeClock {
        node: "127.0.0.2:9042".to_owned(),
        at: theirs,
    };
    compare(&mut report(), &Host(own), node);
    noted().pop().unwrap()
}

#[test]
fn a_host_that_runs_ahead_is_to_set_its_clock_and_one_behind_is_not() {
    let ahead = compared(Ok(NOON.plus(Duration::from_secs(6))), Ok(NOON));
    assert_eq!(
        ahead,
        "FAIL  clock of 127.0.0.2:9042: this host is 6s ahead; set the clock of this host, and keep it with NTP"
    );
    for (own, off) in [(0, "0ns"), (5, "5s")] {
        let near = compared(Ok(NOON.plus(Duration::from_secs(own))), Ok(NOON));
        assert_eq!(
            near,
            format!("ok    clock of 127.0.0.2:9042: this host is {off} off")
        );
    }
    let behind = compared(Ok(NOON), Ok(NOON.plus(Duration::from_secs(60))));
    assert!(behind.starts_with("ok    "), "{behind}");
}

#[test]
fn a_clock_that_cannot_be_asked_says_whose_it_is() {
    let gone = PortError::unavailable("clock", io::Error::other("gone"));
    let node = compared(Ok(NOON), Err(gone));
    assert!(node.ends_with(remedy::NODE), "{node}");
    let own = compared(Err(ClockUnsound), Ok(NOON));
    assert!(own.ends_with(remedy::CLOCK), "{own}");
}

#[test]
fn a_cause_that_was_told_is_not_told_again() {
    #[derive(Debug)]
    struct Outer(io::Error);
    impl std::fmt::Display for Outer {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "outer: {}", self.0)
        }
    }
    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }
    assert_eq!(
        chain(&Outer(io::Error::other("inner\nline"))),
        "outer: inner line"
    );
}
