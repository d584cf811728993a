//! The stores that this process knows: a cache of control rows, never older than two seconds.
//!
//! Misses are kept too, and another account's store costs the same statement and gives the same answer as one that does not
//! exist. Idle stores cost nothing: an entry is read again when it is used, not before.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kith_domain::id::{AccountSid, StoreId};
use kith_domain::store::StoreRecord;

use crate::environment::Environment;
use crate::error::PortError;
use crate::ports::{Clock, Control};

/// How old an entry may be when it is used: a change of a store is seen everywhere within this time.
pub const FRESH_FOR: Duration = Duration::from_secs(2);
/// Entries kept before stale ones are swept out.
const ENTRIES_MAX: usize = 10_000;

type Key = (AccountSid, StoreId);

/// What was read of one store: by now, and when.
#[derive(Debug, Default)]
struct Entry {
    read: Option<(Duration, Option<Arc<StoreRecord>>)>,
}

/// A cache of stores by account.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    entries: Mutex<HashMap<Key, Arc<async_lock::Mutex<Entry>>>>,
}

impl Catalog {
    /// The store, if it is this account's.
    ///
    /// # Errors
    /// [`PortError`] if it had to be read and could not be.
    pub(crate) async fn store<E: Environment>(
        &self,
        env: &E,
        account: &AccountSid,
        store: StoreId,
    ) -> Result<Option<Arc<StoreRecord>>, PortError> {
        let entry = self.entry(account, store);
        // Whoever comes while an entry is being read waits for that read, and finds it fresh.
        let mut entry = entry.lock().await;
        let now = env.clock().monotonic();
        if let Some((at, record)) = &entry.read
            && now.saturating_sub(*at) < FRESH_FOR
        {
            return Ok(record.clone());
        }
        // The age counts from before the read: what it returns may have changed right after.
        let record = env.database().store(store).await?;
        let record = record
            .filter(|record| record.account == *account)
            .map(Arc::new);
        entry.read = Some((now, record.clone()));
        Ok(record)
    }

    /// Forgets a store that was changed here, so that this process sees the change at once.
    pub(crate) fn forget(&self, account: &AccountSid, store: StoreId) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever reads it now puts what was read into an entry that nobody finds any more.
        entries.remove(&(account.clone(), store));
    }

    fn entry(&self, account: &AccountSid, store: StoreId) -> Arc<async_lock::Mutex<Entry>> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= ENTRIES_MAX {
            // An entry is worth two seconds; whoever holds one goes on with it.
            entries.clear();
        }
        Arc::clone(entries.entry((account.clone(), store)).or_default())
    }
}
