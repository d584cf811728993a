//! Purge: what is dead, or stands for nothing, is erased.

use std::sync::Arc;

use kith_domain::event::PurgeEvent;
use kith_profiles::error::PortError;
use kith_profiles::ports::{Clock, Database, Ids, TraitLog};
use kith_profiles::purge::{Purge, PurgeError, Purged};
use tracing::{debug, error, info};

use super::Otherwise;
use crate::ledger::Position;
use crate::trace::Trace;

/// The stage's name, in metrics and errors.
pub(crate) const STAGE: &str = "purge";

/// Something to be purged.
#[derive(Debug)]
pub(crate) struct PurgeWork {
    pub(crate) event: PurgeEvent,
    pub(crate) position: Position,
    /// What the record counts for in the budget.
    pub(crate) bytes: usize,
    pub(crate) trace: Trace,
}

/// Purges it. Everything in it may be repeated, from the start.
pub(crate) async fn purge<D: Database, L: TraitLog, C: Clock, I: Ids>(
    purge: Purge<'_, D, L, C, I>,
    event: PurgeEvent,
) -> Result<(), Otherwise> {
    let PurgeEvent { store, .. } = event;
    let profile = event.profile();
    let purged = match purge.run(&event).await {
        Ok(purged) => purged,
        // Somebody has to look at it, and every other record must not wait for that. A repeated deletion asks again.
        Err(PurgeError::Port(error @ PortError::Corrupt { .. })) => {
            let error: &(dyn std::error::Error + 'static) = &error;
            error!(%store, ?profile, error, "what is to be purged cannot be read, and stays");
            return Ok(());
        }
        Err(error) => return Err(Otherwise::from_purge(STAGE, error)),
    };
    match purged {
        Purged::Dead { members } => info!(%store, ?profile, members, "dead profile purged"),
        Purged::Store { profiles, has_more } => {
            info!(%store, profiles, has_more, "part of a deleted store purged");
        }
        Purged::Leftovers { rows } => debug!(%store, ?profile, rows, "leftovers purged"),
        // A deletion that failed, or whose event was sent again before it was tried again; or one that a snapshot does not know, which
        // is to be named: it has to be made again.
        Purged::Alive => info!(%store, ?profile, "what is to be purged is alive"),
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
            PurgeError::Publish(error) => Self::TryLater(Arc::new(error)),
        }
    }
}
