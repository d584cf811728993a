//! The HTTP service over real connections, on the embedded engine.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails; the lint's own exemption ends at helper functions"
)]

mod bad_input;
mod bulk;
mod debts;
mod definitions;
mod drain;
mod explain;
mod harness;
mod hostile;
mod keys;
mod limits;
mod openapi;
mod operations;
mod order_of_checks;
mod outages;
mod paging;
mod rate;
mod redirects;
mod routes;
mod telemetry;
mod tenancy;
mod tls;
mod watched;
mod wire;
mod writes;
