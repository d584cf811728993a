//! What an operator does about what `doctor` found.

use kith_kafka::{About, Difference, SetupError};
use kith_runtime::config::{Setting, table};
use kith_scylla::{ConnectError, Drift, SessionError};

/// A clock of this host that runs ahead, or that cannot be read.
pub(super) const CLOCK: &str = "set the clock of this host, and keep it with NTP";
/// A node of the database that does not tell its clock.
pub(super) const NODE: &str = "see whether this node of the database runs";
/// A partition that nobody leads.
pub(super) const LEADER: &str = "see whether the brokers that have its replicas run";

/// About a database that is no use as it is.
pub(super) fn database(error: &ConnectError) -> String {
    match error {
        ConnectError::Config(_) => "correct this setting".to_owned(),
        ConnectError::Session(SessionError::Unreachable(_)) | ConnectError::Timeout(_) => format!(
            "see whether it runs where {} says, and wants TLS if and only if {} is set, and a certificate only with {}",
            table::CQL_NODES.variable(),
            table::CQL_CA_FILE.variable(),
            table::CQL_CERT_FILE.variable()
        ),
        ConnectError::Session(SessionError::Unauthorized(_)) => format!(
            "set {} and {} to a user of the database and that user's password",
            table::CQL_USERNAME.variable(),
            table::CQL_PASSWORD_FILE.variable()
        ),
        ConnectError::Session(SessionError::Untrusted(_)) => format!(
            "see whether it speaks TLS, and {} has the authority of its certificate, which names its address by number",
            table::CQL_CA_FILE.variable()
        ),
        ConnectError::UnknownDatacenter { .. } => {
            format!("set {} to one of these", table::CQL_LOCAL_DC.variable())
        }
        ConnectError::WrongDialect { found, .. } => {
            format!("set {} to {found}", table::CQL_DIALECT.variable())
        }
        ConnectError::Schema { drift, .. } => schema(drift),
        ConnectError::Check(_) => {
            "see whether its nodes run and the user may read system_schema".to_owned()
        }
        ConnectError::Prepare { .. } => format!(
            "if that was done, see whether {} says which server it is",
            table::CQL_DIALECT.variable()
        ),
        ConnectError::FirstRead(_) => "see whether most of its nodes run".to_owned(),
    }
}

fn schema(drift: &[Drift]) -> String {
    let keyspace = table::CQL_KEYSPACE.variable();
    let is_foreign = |drift: &Drift| matches!(drift, Drift::WrongColumn { .. });
    if drift.iter().any(is_foreign) {
        // `migrate` takes nothing away.
        format!("these tables are not Kith's, or were changed by hand: set {keyspace} to another")
    } else {
        format!("run `ingest-api migrate`, or set {keyspace} to the right one")
    }
}

/// What is wrong with the database, where all that follows from it would hide it.
pub(super) fn in_short(error: &ConnectError) -> Option<String> {
    match error {
        ConnectError::Schema { keyspace, drift } if drift.contains(&Drift::NoKeyspace) => {
            Some(format!("there is no keyspace {keyspace}"))
        }
        ConnectError::Schema { keyspace, drift } => {
            let drift: Vec<String> = drift.iter().map(ToString::to_string).collect();
            Some(format!("keyspace {keyspace}: {}", drift.join(", ")))
        }
        ConnectError::Config(_)
        | ConnectError::Session(_)
        | ConnectError::UnknownDatacenter { .. }
        | ConnectError::WrongDialect { .. }
        | ConnectError::Check(_)
        | ConnectError::Prepare { .. }
        | ConnectError::FirstRead(_)
        | ConnectError::Timeout(_) => None,
    }
}

/// About a log that cannot be asked.
pub(super) fn log(error: &SetupError) -> &'static str {
    match error {
        SetupError::Config(_)
        | SetupError::Client {
            setting: Some(_), ..
        } => "correct this setting",
        SetupError::Client { setting: None, .. } => {
            "see KITH_KAFKA_SECURITY_PROTOCOL, KITH_KAFKA_SASL_MECHANISM, and the files of certificates"
        }
        SetupError::Unreachable { reported, .. } => {
            match reported.as_ref().map(|reported| reported.about) {
                None | Some(About::Link) => {
                    "see whether a broker runs where KITH_KAFKA_BOOTSTRAP says, and speaks KITH_KAFKA_SECURITY_PROTOCOL"
                }
                Some(About::Login) => {
                    "set KITH_KAFKA_SASL_MECHANISM, KITH_KAFKA_SASL_USERNAME and KITH_KAFKA_SASL_PASSWORD_FILE to what the brokers know"
                }
                Some(About::Tls) => {
                    "see whether KITH_KAFKA_CA_FILE has the authority of the broker's certificate, which names the host in \
                     KITH_KAFKA_BOOTSTRAP, and whether it asks for KITH_KAFKA_CERT_FILE"
                }
            }
        }
        SetupError::Refused { .. } => {
            "see whether the user may describe this topic and its configuration"
        }
        SetupError::Thread(_) => "see the limits of this host on threads",
    }
}

/// About a topic that is not there: that of the traits, or that of the dead letters.
pub(super) fn missing_topic(is_traits: bool) -> String {
    let setting = if is_traits {
        &table::KAFKA_TRAITS_TOPIC
    } else {
        &table::KAFKA_DEAD_LETTER_TOPIC
    };
    let setting = setting.variable();
    format!("run `ingest-api migrate`, or set {setting} to the right one")
}

/// About a topic that is not as the settings want it. `migrate` makes what is missing, and never changes what is there.
pub(super) fn topic(difference: &Difference) -> String {
    let setting: &Setting = match difference.property {
        "partitions" => &table::KAFKA_TOPIC_PARTITIONS,
        "replication.factor" => &table::KAFKA_REPLICATION_FACTOR,
        "retention.ms" => &table::KAFKA_RETENTION,
        "min.insync.replicas" => &table::KAFKA_MIN_INSYNC_REPLICAS,
        "max.message.bytes" => &table::BODY_BYTES_MAX,
        // Such as cleanup.policy: compaction would remove facts, and no setting asks for it.
        _ => return "change the topic with Kafka's tools".to_owned(),
    };
    format!(
        "change the topic with Kafka's tools, or set {}",
        setting.variable()
    )
}
