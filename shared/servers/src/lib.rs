//! Kafka and a CQL database, as the settings of the two services describe them: what `ingest-api` and `trait-worker` share
//! in their mains, and nothing that the standalone carries.
//!
//! Start reading at [`cql`] and [`kafka`] for what settings become, [`insist`] for the start, [`doctor`] for the checks.

pub mod doctor;
mod reach;
mod settings;

pub use reach::{Hopeless, REACH_LIMIT, compare_clocks, insist};
pub use settings::{cql, kafka};
