//! A checker of histories over real servers: three database nodes with three copies of everything, a broker, three copies of
//! `ingest-api` and two of `trait-worker`, under load and under faults. Nothing here is shipped.
//!
//! Start reading at [`checker`] for what is checked, [`harm`] for what is done to the servers, and [`run`] for a run. What is
//! kept going for minutes is in `tests/sustained`, and judged by [`progress`].

#![expect(
    clippy::disallowed_methods,
    reason = "the callers of a harness have no lifecycle"
)]

pub mod broker;
pub mod checker;
pub mod cluster;
pub mod dump;
pub mod harm;
pub mod history;
pub mod load;
pub mod mounted;
pub mod progress;
pub mod prometheus;
pub mod row;
pub mod rows;
pub mod run;
pub mod stand;

/// The identifier type whose limit is low enough to be reached.
pub const LIMITED: &str = "chat";
