//! Purge: a set that is dead is erased, and its identifiers stop naming it.

use std::sync::Arc;

use kith_domain::event::PurgeEvent;
use kith_profiles::ports::{Clock, Database, Ids};
use kith_profiles::purge::{self, PurgeError, Purged};
use tracing::{debug, info};

use super::Otherwise;
use crate::ledger::Position;
use crate::trace::Trace;

/// The stage's name, in metrics and errors.
pub(crate) const STAGE: &str = "purge";

/// A set to be purged.
#[derive(Debug)]
pub(crate) struct SetPurge {
    pub(crate) event: PurgeEvent,
    pub(crate) position: Position,
    /// What the record counts for in the budget.
    pub(crate) bytes: usize,
    pub(crate) trace: Trace,
}

/// Purges the set. Everything in it may be repeated, from the start.
pub(crate) async fn purge<D: Database, C: Clock, I: Ids>(
    database: &D,
    clock: &C,
    ids: &I,
    event: PurgeEvent,
) -> Result<(), Otherwise> {
    let purged = purge::purge(database, clock, ids, &event)
        .await
        .map_err(|error| Otherwise::from_purge(STAGE, error))?;
    let PurgeEvent { store, profile, .. } = event;
    match purged {
        Purged::Dead { members } => info!(%store, %profile, members, "dead profile purged"),
        // A deletion that failed, or whose event was sent again before it was tried again.
        Purged::Alive => debug!(%store, %profile, "profile to be purged is alive"),
    }
    Ok(())
}

impl Otherwise {
    /// What the error of a purge means to a stage.
    pub(crate) fn from_purge(stage: &'static str, error: PurgeError) -> Self {
        match error {
            PurgeError::Port(error) => Self::from_port(stage, error),
            // The host's clock is somebody's to mend, and a purge can wait for it.
            PurgeError::Clock(error) => Self::TryLater(Arc::new(error)),
        }
    }
}
