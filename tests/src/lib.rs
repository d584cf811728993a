//! The harness of the suites that cross crates. Nothing here is shipped.
//!
//! Suites run against real servers and real processes: `deploy/local/test` starts a Kafka and a Cassandra and says where
//! they are in `KITH_TEST_CQL_NODES` and `KITH_TEST_KAFKA_BOOTSTRAP`. A missing server is a failure, never a skip.

#![expect(
    clippy::disallowed_methods,
    clippy::large_futures,
    clippy::wildcard_enum_match_arm,
    reason = "a harness has no lifecycle, is in no hurry, and compares a few of many cases"
)]

pub mod accept;
pub mod api;
pub mod balancer;
pub mod conformance;
#[cfg(test)]
mod contract_page;
pub mod crowd;
pub mod differences;
pub mod engines;
pub mod exposition;
pub mod facts;
pub mod history;
pub mod kept;
pub mod local;
pub mod message;
pub mod observability;
pub mod otlp;
pub mod pair;
pub mod poll;
pub mod privacy;
pub mod process;
pub mod promql;
pub mod proxy;
pub mod servers;
pub mod stage;
pub mod tables;
pub mod tampered;
pub mod told;
pub mod topics;
pub mod wire;
