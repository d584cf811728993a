//! Persist: one write of one profile, durable in the database.
//!
//! Two steps, in this order: write, then look at what was written to. The order is what lets nothing outlive a deletion: a
//! deletion that the look does not see comes after the write, and purges it.

use kith_domain::time::Micros;
use kith_profiles::apply;
use kith_profiles::corrupt::is_first;
use kith_profiles::error::PortError;
use kith_profiles::ports::{Clock, Database};
use kith_profiles::purge::{self, EndedStores, PurgeError};
use tracing::{debug, error};

use super::Otherwise;
use super::apply::ProfileWrite;

/// The stage's name, in metrics and errors.
pub(crate) const STAGE: &str = "persist";

/// Writes the cells, and takes them back if the profile is dead. Everything in it may be repeated.
pub(crate) async fn persist<D: Database, C: Clock>(
    database: &D,
    clock: &C,
    ended: &EndedStores,
    write: &ProfileWrite,
) -> Result<(), Otherwise> {
    apply::apply(database, &write.batches)
        .await
        .map_err(|error| Otherwise::from_port(STAGE, error))?;
    let newest = write.batches.iter().map(|batch| batch.time).max();
    let written = newest.unwrap_or(Micros::EPOCH);
    match purge::look(database, clock, ended, write.at, written).await {
        Ok(false) => Ok(()),
        Ok(true) => {
            let profile = write.at.profile;
            debug!(%profile, "traits of a dead profile were dropped");
            Ok(())
        }
        // The traits are durable, and whether somebody's node can be read is not this record's business: it would stop every
        // worker, one after another.
        Err(PurgeError::Port(PortError::Corrupt { detail, .. })) => {
            if is_first(&detail) {
                error!(detail, "whether a profile is dead cannot be read");
            }
            Ok(())
        }
        Err(error) => Err(Otherwise::from_purge(STAGE, error)),
    }
}
