//! The adapter on a real server. `KITH_TEST_CQL_NODES` names it (`127.0.0.1:9042`); without it every test fails.
//!
//! Each test has a keyspace of its own, which is dropped at the end. `KITH_TEST_CQL_DIALECT` says `scylla` or `cassandra`
//! (the default here).
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on stops where it stands"
)]

mod cells;
mod control;
mod golden;
mod harness;
mod identity;
mod listing;
mod proxy;
mod schema;
mod unknown;
