//! The whole worker over doubles of its ports, on an executor and a clock of the test's own: no runtime, no real waiting.
//!
//! `sim.rs` has the executor and the clock, `log.rs`, `database.rs` and `letters.rs` the doubles. The log's double checks
//! at every commit that what is committed is durable, whatever the test is about.

#![expect(clippy::unwrap_used, reason = "a harness that is wrong fails its test")]

mod database;
mod letters;
mod log;
mod records;
mod sim;

mod dead_letters;
mod flow;
mod metrics;
mod outages;
mod ownership;
mod purges;
mod schedules;
mod tracing;
