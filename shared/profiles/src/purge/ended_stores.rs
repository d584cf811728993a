//! Which stores are not deleted, remembered for a while: a worker looks after every write.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use kith_domain::id::StoreId;

use crate::error::PortError;
use crate::ports::{Clock, Control};

/// How long a store that was alive counts as alive. Until it is over, the purge of a deletion covers what is written.
const FRESH_FOR: Duration = Duration::from_secs(60);
/// Stores remembered at most.
const REMEMBERED_MAX: usize = 10_000;

/// The stores that have ended, asked of the database, and what is known of the others.
#[derive(Debug, Default)]
pub struct EndedStores {
    alive: Mutex<HashMap<StoreId, Duration>>,
}

impl EndedStores {
    /// Whether the store was deleted, as of a minute ago at the most.
    ///
    /// # Errors
    /// [`PortError`] if it had to be asked and could not be.
    pub async fn contain<D: Control, C: Clock>(
        &self,
        database: &D,
        clock: &C,
        store: StoreId,
    ) -> Result<bool, PortError> {
        let now = clock.monotonic();
        let seen = {
            let alive = self.alive.lock().unwrap_or_else(PoisonError::into_inner);
            alive.get(&store).copied()
        };
        if seen.is_some_and(|seen| now.saturating_sub(seen) < FRESH_FOR) {
            return Ok(false);
        }
        if database.is_deleted(store).await? {
            return Ok(true);
        }
        let mut alive = self.alive.lock().unwrap_or_else(PoisonError::into_inner);
        if alive.len() >= REMEMBERED_MAX {
            alive.clear();
        }
        alive.insert(store, now);
        Ok(false)
    }
}
