//! Real processes: signals and exit codes, the operator's server, and traces to a collector; and the page about them.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail by panicking, too"
)]

mod child;
mod collector;
mod lives;
mod page;
mod parent;
mod traces;
