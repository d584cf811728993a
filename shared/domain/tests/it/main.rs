//! What was written by version 1 of each format is read for ever.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on stops where it stands"
)]

mod additive;
mod golden;
