//! The harness of the suites that cross crates. Nothing here is shipped.
//!
//! Suites run against real servers and real processes: `deploy/local/test` starts a Kafka and a Cassandra and says where
//! they are in `KITH_TEST_CQL_NODES` and `KITH_TEST_KAFKA_BOOTSTRAP`. A missing server is a failure, never a skip.

pub mod api;
pub mod conformance;
pub mod history;
pub mod otlp;
pub mod pair;
pub mod poll;
pub mod privacy;
pub mod process;
pub mod proxy;
pub mod servers;
