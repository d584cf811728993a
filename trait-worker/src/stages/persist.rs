//! Persist: one write of one profile, durable in the database.
//!
//! Two steps, in this order: write, then look at what was written to. The order is what lets nothing outlive a deletion: a
//! deletion that the look does not see comes after the write, and purges it.

use kith_profiles::apply;
use kith_profiles::ports::{Cells, Identity};

use super::Otherwise;
use super::apply::ProfileWrite;

/// The stage's name, in metrics and errors.
pub(crate) const STAGE: &str = "persist";

/// Writes the cells. Everything in it may be repeated.
pub(crate) async fn persist<D: Cells + Identity>(
    database: &D,
    write: &ProfileWrite,
) -> Result<(), Otherwise> {
    apply::apply(database, &write.batches)
        .await
        .map_err(|error| Otherwise::from_port(STAGE, error))
}
