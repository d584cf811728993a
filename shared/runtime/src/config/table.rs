//! Every setting of every binary. A new one is added here and to one of the groups below; flags, help, the `doctor` command
//! and the tests follow by themselves.

use super::Kind;

/// One setting. Its name is the key of the settings file; variable and flag are the same name in other spellings.
#[derive(Debug, PartialEq, Eq)]
pub struct Setting {
    /// The name, in lower case with underscores.
    pub name: &'static str,
    /// What its value may be.
    pub kind: Kind,
    /// The value if nobody sets it; `None` if there is none, or a binary decides.
    pub default: Option<&'static str>,
    /// What it does, in one or two sentences, with the unit where the kind does not tell it.
    pub help: &'static str,
}

impl Setting {
    /// The environment variable: `KITH_CQL_NODES`.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("KITH_{}", self.name.to_ascii_uppercase())
    }

    /// The flag: `--cql-nodes`.
    #[must_use]
    pub fn flag(&self) -> String {
        format!("--{}", self.name.replace('_', "-"))
    }
}

/// Milliseconds in a second, a minute, an hour, a day: the unit of the limits of [`Kind::Duration`].
const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const PIB: u64 = 1 << 50;
const GIB: u64 = 1 << 30;

macro_rules! settings {
    ($($(#[$doc:meta])* $id:ident = $name:literal, $kind:expr, $default:expr, $help:literal;)*) => {
        $(
            #[doc = concat!("`", $name, "`: ", $help)]
            pub static $id: Setting = Setting { name: $name, kind: $kind, default: $default, help: $help };
        )*

        /// All settings there are.
        pub static ALL: &[&Setting] = &[$(&$id),*];
    };
}

settings! {
    CONFIG = "config", Kind::File, None,
        "Settings file, TOML; every other setting may be a key of it.";

    LISTEN = "listen", Kind::Address, Some("127.0.0.1:8080"),
        "Address of the API.";
    ADMIN_LISTEN = "admin_listen", Kind::Address, Some("127.0.0.1:8081"),
        "Address for the operator: /livez, /readyz and /metrics. Not for the public.";
    TLS_CERT_FILE = "tls_cert_file", Kind::File, None,
        "Certificate (PEM, with its chain) that the API shows, which then speaks HTTPS alone. By default plain HTTP.";
    TLS_KEY_FILE = "tls_key_file", Kind::SecretFile, None,
        "Key (PEM) of that certificate.";
    PUBLIC_URL = "public_url", Kind::Url, None,
        "Absolute base of redirects. By default each request's own scheme and host.";
    CREDENTIALS = "credentials", Kind::File, None,
        "TOML file with the accounts and their API keys.";
    REQUEST_DEADLINE = "request_deadline", Kind::Duration(100, MINUTE), Some("2.5s"),
        "Longest time until a request is answered, with 503 if need be.";
    REQUESTS_IN_FLIGHT_MAX = "requests_in_flight_max", Kind::Count(1, 1_000_000), Some("512"),
        "Requests worked on at once; more are answered 503.";
    BODY_BYTES_MAX = "body_bytes_max", Kind::Bytes(KIB, 64 * MIB), Some("4MiB"),
        "Largest request body. The same in every process: the log has to take the record of one.";
    BULK_BYTES_MAX = "bulk_bytes_max", Kind::Bytes(KIB, 64 * MIB), Some("32MiB"),
        "Largest request body of Bulk; each of its items is bound by body_bytes_max.";
    RATE_LIMIT = "rate_limit", Kind::Count(1, 1_000_000), None,
        "Requests a second of one account to one store, at this process; more are answered 429. By default any number.";
    RATE_LIMIT_BURST = "rate_limit_burst", Kind::Count(1, 1_000_000), None,
        "Requests at once that rate_limit lets pass after a silence. By default as many as it allows in a second.";
    SHUTDOWN_GRACE = "shutdown_grace", Kind::Duration(SECOND, 10 * MINUTE), Some("25s"),
        "Longest time from the signal to the end of the process; keep it below the orchestrator's.";
    LOG_FORMAT = "log_format", Kind::Choice(&["json", "text"]), Some("json"),
        "Form of the log lines on standard error; RUST_LOG chooses which.";

    DATA_DIR = "data_dir", Kind::Path, Some("kith-data"),
        "Directory of the embedded store and log. One process at a time.";
    LOG_PARTITIONS = "log_partitions", Kind::Count(1, 256), Some("4"),
        "Partitions of the embedded log. More can be added later, none taken away.";
    LOG_RETENTION = "log_retention", Kind::Duration(HOUR, 3_650 * DAY), Some("7d"),
        "How long the embedded log keeps records that were applied.";
    DEAD_LETTERS_RETENTION = "dead_letters_retention", Kind::Duration(HOUR, 3_650 * DAY), Some("30d"),
        "How long the embedded log keeps dead letters.";
    DISK_FREE_BYTES_WARN = "disk_free_bytes_warn", Kind::Bytes(1, PIB), Some("1GiB"),
        "Free bytes on the disk of the data directory below which a log line warns.";
    DISK_FREE_BYTES_MIN = "disk_free_bytes_min", Kind::Bytes(1, PIB), Some("256MiB"),
        "Free bytes on that disk below which writes are answered 503; what was accepted needs some room yet.";

    CQL_NODES = "cql_nodes", Kind::HostPorts, Some("127.0.0.1:9042"),
        "Nodes of the database to start from.";
    CQL_KEYSPACE = "cql_keyspace", Kind::Text, Some("kith"),
        "Keyspace.";
    CQL_DIALECT = "cql_dialect", Kind::Choice(&["scylla", "cassandra"]), Some("scylla"),
        "Which server it is.";
    CQL_REPLICATION_FACTOR = "cql_replication_factor", Kind::Count(1, 15), Some("3"),
        "Replicas in the data centre, when the keyspace is created.";
    CQL_LOCAL_DC = "cql_local_dc", Kind::Text, None,
        "Data centre of this process. By default any.";
    CQL_SERIAL = "cql_serial", Kind::Choice(&["local", "all"]), Some("local"),
        "Reach of conditional statements: local if one data centre writes, all if several do. The same in every process.";
    CQL_TABLETS = "cql_tablets", Kind::Choice(&["disabled", "enabled", "unspecified"]), Some("disabled"),
        "Tablets, when the keyspace is created on ScyllaDB. Before 2025.4 they know no conditional statements.";
    CQL_USERNAME = "cql_username", Kind::Text, None,
        "User at the database. By default none.";
    CQL_PASSWORD_FILE = "cql_password_file", Kind::SecretFile, None,
        "File with the user's password.";
    CQL_CA_FILE = "cql_ca_file", Kind::File, None,
        "Certificates (PEM) to check the database's by, and no others; starts TLS. Each node's has to name its address, by number.";
    CQL_CERT_FILE = "cql_cert_file", Kind::File, None,
        "Certificate (PEM) of this process, where the database asks for one.";
    CQL_KEY_FILE = "cql_key_file", Kind::SecretFile, None,
        "Key (PEM, not encrypted) of that certificate.";

    KAFKA_BOOTSTRAP = "kafka_bootstrap", Kind::HostPorts, Some("127.0.0.1:9092"),
        "Brokers to start from.";
    KAFKA_TRAITS_TOPIC = "kafka_traits_topic", Kind::Text, Some("kith.traits"),
        "Topic of the trait log.";
    KAFKA_DEAD_LETTER_TOPIC = "kafka_dead_letter_topic", Kind::Text, None,
        "Topic for records that no retry can make good. By default the traits topic's name and '.dead'.";
    KAFKA_TOPIC_PARTITIONS = "kafka_topic_partitions", Kind::Count(1, 10_000), Some("24"),
        "Partitions of each topic, when it is created.";
    KAFKA_REPLICATION_FACTOR = "kafka_replication_factor", Kind::Count(1, 15), Some("3"),
        "Replicas of the topics, when they are created.";
    KAFKA_MIN_INSYNC_REPLICAS = "kafka_min_insync_replicas", Kind::Count(1, 15), None,
        "Replicas that must have a record before it is acknowledged, when the topics are created. By default 2, or 1 if there is one.";
    KAFKA_RETENTION = "kafka_retention", Kind::Duration(HOUR, 3_650 * DAY), Some("14d"),
        "How long the topics keep records, read or not, when they are created; longer than any lag.";
    KAFKA_GROUP = "kafka_group", Kind::Text, Some("kith.trait-worker"),
        "Consumer group.";
    KAFKA_GROUP_INSTANCE_ID = "kafka_group_instance_id", Kind::Text, None,
        "Name of this consumer that survives a restart (static membership), such as the pod's. By default none.";
    KAFKA_SESSION_TIMEOUT = "kafka_session_timeout", Kind::Duration(6 * SECOND, 30 * MINUTE), Some("45s"),
        "Silence after which the group gives a consumer's partitions to others.";
    KAFKA_SECURITY_PROTOCOL = "kafka_security_protocol",
        Kind::Choice(&["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]), Some("PLAINTEXT"),
        "How to speak to the brokers.";
    KAFKA_SASL_MECHANISM = "kafka_sasl_mechanism",
        Kind::Choice(&["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]), None,
        "How to log in to the brokers, with a SASL protocol.";
    KAFKA_SASL_USERNAME = "kafka_sasl_username", Kind::Text, None,
        "User at the brokers, with a SASL protocol.";
    KAFKA_SASL_PASSWORD_FILE = "kafka_sasl_password_file", Kind::SecretFile, None,
        "File with the user's password.";
    KAFKA_CA_FILE = "kafka_ca_file", Kind::File, None,
        "Certificates (PEM) to check the brokers' by. By default the system's.";
    KAFKA_CERT_FILE = "kafka_cert_file", Kind::File, None,
        "Certificate (PEM) of this process, where brokers ask for one.";
    KAFKA_KEY_FILE = "kafka_key_file", Kind::SecretFile, None,
        "Key (PEM, not encrypted) of that certificate.";

    DEAD_LETTER_RATE_MAX = "dead_letter_rate_max", Kind::Count(1, 1_000_000), Some("100"),
        "Invalid records among the last 1,000; more stop the worker, so that one bad deployment does not empty the topic.";
    RECORDS_IN_FLIGHT_MAX = "records_in_flight_max", Kind::Count(1, 1_000_000), Some("4096"),
        "Records read by the worker and not yet done; past it, nothing more is read.";
    RECORD_BYTES_IN_FLIGHT_MAX = "record_bytes_in_flight_max", Kind::Bytes(MIB, 16 * GIB), Some("16MiB"),
        "Bytes of records held at once by the worker; past it, nothing more is read.";
}

/// What every process takes.
pub static PROCESS: &[&Setting] = &[&ADMIN_LISTEN, &SHUTDOWN_GRACE, &LOG_FORMAT];

/// What serves the API.
pub static HTTP: &[&Setting] = &[
    &LISTEN,
    &TLS_CERT_FILE,
    &TLS_KEY_FILE,
    &PUBLIC_URL,
    &CREDENTIALS,
    &REQUEST_DEADLINE,
    &REQUESTS_IN_FLIGHT_MAX,
    &BODY_BYTES_MAX,
    &BULK_BYTES_MAX,
    &RATE_LIMIT,
    &RATE_LIMIT_BURST,
];

/// What applies the trait log.
pub static WORKER: &[&Setting] = &[&RECORDS_IN_FLIGHT_MAX, &RECORD_BYTES_IN_FLIGHT_MAX];

/// What a worker takes that is a process of its own: one that stops takes nothing else down.
pub static WORKER_PROCESS: &[&Setting] = &[&DEAD_LETTER_RATE_MAX];

/// The embedded store and log.
pub static EMBEDDED: &[&Setting] = &[
    &DATA_DIR,
    &LOG_PARTITIONS,
    &LOG_RETENTION,
    &DEAD_LETTERS_RETENTION,
    &DISK_FREE_BYTES_WARN,
    &DISK_FREE_BYTES_MIN,
];

/// The database.
pub static CQL: &[&Setting] = &[
    &CQL_NODES,
    &CQL_KEYSPACE,
    &CQL_DIALECT,
    &CQL_REPLICATION_FACTOR,
    &CQL_LOCAL_DC,
    &CQL_SERIAL,
    &CQL_TABLETS,
    &CQL_USERNAME,
    &CQL_PASSWORD_FILE,
    &CQL_CA_FILE,
    &CQL_CERT_FILE,
    &CQL_KEY_FILE,
];

/// The brokers, for whoever reads or writes there.
pub static KAFKA: &[&Setting] = &[
    &KAFKA_BOOTSTRAP,
    &KAFKA_TRAITS_TOPIC,
    &KAFKA_DEAD_LETTER_TOPIC,
    &KAFKA_SECURITY_PROTOCOL,
    &KAFKA_SASL_MECHANISM,
    &KAFKA_SASL_USERNAME,
    &KAFKA_SASL_PASSWORD_FILE,
    &KAFKA_CA_FILE,
    &KAFKA_CERT_FILE,
    &KAFKA_KEY_FILE,
];

/// The topics, for whoever creates them.
pub static KAFKA_TOPICS: &[&Setting] = &[
    &KAFKA_TOPIC_PARTITIONS,
    &KAFKA_REPLICATION_FACTOR,
    &KAFKA_MIN_INSYNC_REPLICAS,
    &KAFKA_RETENTION,
];

/// The consumer group, for whoever is in it.
pub static KAFKA_CONSUMER: &[&Setting] = &[
    &KAFKA_GROUP,
    &KAFKA_GROUP_INSTANCE_ID,
    &KAFKA_SESSION_TIMEOUT,
];
