//! Identity, cells, listing and control in CQL, for ScyllaDB and Cassandra: the ports of `kith-profiles` on [`Cql`].
//!
//! Start reading at `schema.rs` for the tables, `statements.rs` for everything that is ever sent, and `identity.rs` for
//! what the rest exists for. What must never happen here:
//!
//! - a table that is written both by conditional and by plain statements;
//! - a conditional statement that is sent twice by itself, or an outcome called refused when it is not known to be: the
//!   use case sends it again, and knows that it did;
//! - a bound value in a log, a span, a metric or an error;
//! - a change of the schema by anything but [`migrate`].
//!
//! Everything was run on Cassandra 5.0. Nothing was run on ScyllaDB; where the two are known to differ the code follows
//! both, and says so.

mod bare;
mod cells;
mod check;
mod clock;
mod config;
mod control;
mod definitions;
mod error;
mod identity;
mod listing;
mod migrate;
mod outcome;
mod schema;
mod send;
mod session;
mod statements;
mod telemetry;
#[cfg_attr(not(feature = "ssl"), path = "no_tls.rs")]
mod tls;

pub use crate::bare::Bare;
pub use crate::clock::NodeClock;
pub use crate::config::{CqlConfig, Dialect, Keyspace, Reach, Tablets};
pub use crate::error::{
    BoxedError, CheckError, ConfigError, ConnectError, MigrateError, SessionError,
};
pub use crate::migrate::{MigrationReport, migrate};
pub use crate::schema::{Drift, SCHEMA_VERSION};
pub use crate::session::Cql;
pub use crate::telemetry::{STATEMENT_SECONDS, UNKNOWN_OUTCOMES};
