//! The HTTP service over real connections, on the embedded engine.

#![expect(
    missing_docs,
    reason = "a test binary"
)]

mod bad_input;
mod drain;
mod harness;
mod operations;
mod order_of_checks;
mod outages;
mod paging;
mod redirects;
mod routes;
mod watched;
mod wire;
