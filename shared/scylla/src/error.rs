//! Errors, by what an operator can do about them, and the one way in which an error of the driver becomes a port error.

use std::path::PathBuf;
use std::time::Duration;

use kith_profiles::error::PortError;
use scylla::errors::{
    DbError, ExecutionError, PrepareError, RequestAttemptError, SchemaAgreementError,
};

use crate::config::Dialect;
use crate::schema::Drift;

mod session;

pub use session::SessionError;

/// A setting is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// No contact point.
    #[error("KITH_CQL_NODES names no node")]
    NoNodes,
    /// Not a name that needs no quotes.
    #[error(
        "'{0}' names no keyspace: one starts with a letter and has lower case letters, digits and underscores, at most 48"
    )]
    BadKeyspace(String),
    /// Not one of the words that a setting takes.
    #[error("the {setting} of the database is '{found}', but must be one of {allowed}")]
    UnknownWord {
        /// Which setting.
        setting: &'static str,
        /// What it says.
        found: String,
        /// What it may say.
        allowed: &'static str,
    },
    /// A user without a password, or the reverse.
    #[error("KITH_CQL_USERNAME and KITH_CQL_PASSWORD_FILE go together")]
    HalfCredentials,
    /// A certificate without its key, or the reverse.
    #[error("KITH_CQL_CERT_FILE and KITH_CQL_KEY_FILE go together")]
    HalfCertificate,
    /// A certificate that nobody would be shown: without an authority to trust, connections are not encrypted.
    #[error("KITH_CQL_CERT_FILE has no effect without KITH_CQL_CA_FILE")]
    UselessCertificate,
    /// A certificate authority was given, and this binary was built without OpenSSL.
    #[error("KITH_CQL_CA_FILE is set, which needs a binary built with the feature `ssl`")]
    TlsUnsupported,
    /// A file of certificates or of a key is no use.
    #[error("{setting}: {} {problem}", .path.display())]
    File {
        /// Which setting names it.
        setting: &'static str,
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it. Nothing of what it holds.
        problem: String,
    },
    /// No time to do anything in.
    #[error("a timeout of the database is zero")]
    ZeroTimeout,
}

/// Why no working connection was made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// A setting is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No contact point was reached, or none let us in.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// No node is in the data centre that was named; every statement would fail.
    #[error("KITH_CQL_LOCAL_DC is '{named}', but the nodes are in {found:?}")]
    UnknownDatacenter {
        /// What the setting says.
        named: String,
        /// The data centres of the nodes.
        found: Vec<String>,
    },
    /// The server is not the product that the settings name: its options would not be looked at.
    #[error("KITH_CQL_DIALECT is '{configured}', but the server is '{found}'")]
    WrongDialect {
        /// What the setting says.
        configured: Dialect,
        /// What the server is.
        found: Dialect,
    },
    /// The tables are not those that this version needs.
    #[error("the schema of keyspace {keyspace} does not fit, run `ingest-api migrate`: {}", list(.drift))]
    Schema {
        /// The keyspace.
        keyspace: String,
        /// What differs.
        drift: Vec<Drift>,
    },
    /// The shape of the tables could not be read.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// The server does not take a statement.
    #[error("statement '{statement}' cannot be prepared, run `ingest-api migrate`")]
    Prepare {
        /// Which one.
        statement: &'static str,
        /// Why.
        #[source]
        source: Box<PrepareError>,
    },
    /// Everything is prepared, but a first read gets no answer.
    #[error("the database does not answer a first read")]
    FirstRead(#[source] PortError),
    /// It took too long.
    #[error("no connection to the database within {0:?}")]
    Timeout(Duration),
}

/// Why the shape of the tables could not be read.
#[derive(Debug, thiserror::Error)]
#[error("the schema of keyspace {keyspace} cannot be read")]
pub struct CheckError {
    /// The keyspace.
    pub keyspace: String,
    /// Why.
    #[source]
    pub source: BoxedError,
}

/// Any cause.
pub type BoxedError = Box<dyn std::error::Error + Send + Sync>;

/// Why the schema could not be brought to where this version needs it. Running it again is always safe.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// A setting is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No contact point was reached, or none let us in.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The server is not the product that the settings name: its options would not be looked at.
    #[error("KITH_CQL_DIALECT is '{configured}', but the server is '{found}'")]
    WrongDialect {
        /// What the setting says.
        configured: Dialect,
        /// What the server is.
        found: Dialect,
    },
    /// The shape of the tables could not be read.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// A later version of Kith was here. Going back would need a plan that nobody has written.
    #[error(
        "keyspace {keyspace} has schema version {found}, this binary knows {known}: use a newer one"
    )]
    Newer {
        /// The keyspace.
        keyspace: String,
        /// What is recorded there.
        found: i32,
        /// What this binary would make.
        known: i32,
    },
    /// Tables are there that are not ours, or were changed by hand.
    #[error("keyspace {keyspace} cannot be migrated: {}", list(.drift))]
    Unfit {
        /// The keyspace.
        keyspace: String,
        /// What differs and cannot be changed by a statement.
        drift: Vec<Drift>,
    },
    /// A statement failed.
    #[error("'{statement}' failed")]
    Statement {
        /// Its text, or what it was for.
        statement: String,
        /// Why.
        #[source]
        source: Box<ExecutionError>,
    },
    /// A conditional statement never got a clear answer.
    #[error("'{statement}' got no clear answer")]
    Unclear {
        /// What it was for.
        statement: &'static str,
    },
    /// The nodes do not agree on the schema.
    #[error("the nodes do not agree on the schema")]
    Agreement(#[source] Box<SchemaAgreementError>),
}

fn list(drift: &[Drift]) -> String {
    let texts: Vec<_> = drift.iter().map(ToString::to_string).collect();
    texts.join("; ")
}

/// A statement failed at the server, on the way, or by running out of time.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) struct StatementError(ExecutionError);

impl StatementError {
    /// Takes an error of the driver, without what could carry a bound value.
    ///
    /// The driver's own texts name types and counts. The server's text is free, and where it speaks of a request it finds
    /// invalid, or of an exception inside, it may quote what was bound: those texts are left out, the class stays.
    pub(crate) fn new(error: ExecutionError) -> Self {
        let ExecutionError::LastAttemptError(RequestAttemptError::DbError(class, text)) = error
        else {
            return Self(error);
        };
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the enum is open, and an unknown class may quote anything"
        )]
        let text = match class {
            DbError::Unavailable { .. }
            | DbError::Overloaded
            | DbError::IsBootstrapping
            | DbError::ReadTimeout { .. }
            | DbError::WriteTimeout { .. }
            | DbError::ReadFailure { .. }
            | DbError::WriteFailure { .. }
            | DbError::Unauthorized
            | DbError::AuthenticationError
            | DbError::Unprepared { .. }
            | DbError::RateLimitReached { .. } => text,
            _ => "withheld".to_owned(),
        };
        Self(ExecutionError::LastAttemptError(
            RequestAttemptError::DbError(class, text),
        ))
    }

    /// A short name for telemetry (OpenTelemetry's `error.type`): few values, none of them from a request.
    pub(crate) fn kind(&self) -> &'static str {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "both enums are open; what is new gets a name when it matters"
        )]
        match &self.0 {
            ExecutionError::RequestTimeout(_) => "client_timeout",
            ExecutionError::ConnectionPoolError(_) | ExecutionError::EmptyPlan => "no_connection",
            ExecutionError::BadQuery(_) => "bad_statement",
            ExecutionError::LastAttemptError(attempt) => match attempt {
                RequestAttemptError::BrokenConnectionError(_) => "broken_connection",
                RequestAttemptError::UnableToAllocStreamId => "no_stream",
                RequestAttemptError::DbError(class, _) => match class {
                    DbError::Unavailable { .. } => "unavailable",
                    DbError::Overloaded | DbError::RateLimitReached { .. } => "overloaded",
                    DbError::IsBootstrapping => "bootstrapping",
                    DbError::ReadTimeout { .. } => "read_timeout",
                    DbError::WriteTimeout { .. } => "write_timeout",
                    DbError::ReadFailure { .. } => "read_failure",
                    DbError::WriteFailure { .. } => "write_failure",
                    DbError::Invalid | DbError::SyntaxError => "invalid_statement",
                    DbError::Unauthorized | DbError::AuthenticationError => "unauthorized",
                    DbError::Other(code) if *code == CAS_WRITE_UNKNOWN => "cas_write_unknown",
                    _ => "server_error",
                },
                _ => "bad_response",
            },
            _ => "other",
        }
    }

    /// The error as a port says it. Nothing in CQL is beyond repair within a process: the driver reconnects and prepares
    /// anew by itself.
    pub(crate) fn into_port(self, operation: &'static str) -> PortError {
        PortError::unavailable(operation, self)
    }
}

/// Cassandra's answer for a conditional statement whose proposal may or may not have been taken. The driver has no name
/// for it.
const CAS_WRITE_UNKNOWN: i32 = 0x1700;

#[cfg(test)]
mod tests {
    use super::*;

    fn db_error(class: DbError, text: &str) -> StatementError {
        StatementError::new(ExecutionError::LastAttemptError(
            RequestAttemptError::DbError(class, text.to_owned()),
        ))
    }

    #[test]
    fn what_a_server_may_quote_is_withheld() {
        for class in [
            DbError::Invalid,
            DbError::SyntaxError,
            DbError::ServerError,
            DbError::Other(7),
        ] {
            let port = db_error(class, "bad value ada@example.com").into_port("read claim");
            let shown = format!("{port} {port:?}");
            assert!(!shown.contains("ada"), "{shown}");
        }
        let shown = db_error(DbError::Overloaded, "too many requests").to_string();
        assert!(shown.contains("too many requests"), "{shown}");
    }

    #[test]
    fn the_kind_tells_timeouts_from_refusals() {
        assert_eq!(
            db_error(DbError::Other(CAS_WRITE_UNKNOWN), "").kind(),
            "cas_write_unknown"
        );
        assert_eq!(db_error(DbError::Overloaded, "").kind(), "overloaded");
        let timeout = StatementError::new(ExecutionError::RequestTimeout(Duration::from_secs(1)));
        assert_eq!(timeout.kind(), "client_timeout");
    }
}
