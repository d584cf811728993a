//! A deleted store, a part at a time: the cells of everybody who is listed and of their members, then the rows of the listing.
//!
//! One part is one page of the listing, oldest first, and ends with an event for the next: no record of the log takes long,
//! and whoever dies in the middle has the part repeated, which finds less of it. The claims stay: without the key of the store
//! nobody can tell what they are of.

use kith_domain::event::Scope;
use kith_domain::id::{ProfileId, RequestId, StoreId};
use kith_domain::time::Micros;

use super::{Purge, PurgeError, Purged, profile_keys, purge_record, time_of};
use crate::ports::{Clock, Database, Durability, Ids, Order, TraitLog};
use crate::protocol::members::{Members, collect_all};

/// Profiles of one part.
const PART: usize = 256;
/// Profiles worked on at once.
const AT_ONCE: usize = 32;

impl<D: Database, L: TraitLog, C: Clock, I: Ids> Purge<'_, D, L, C, I> {
    pub(super) async fn store(
        &self,
        store: StoreId,
        after: Option<ProfileId>,
        request: RequestId,
    ) -> Result<Purged, PurgeError> {
        let database = self.database;
        if !database.is_deleted(store).await? {
            return Ok(Purged::Alive);
        }
        let part = database.page(store, Order::Ascending, after, PART).await?;
        for some in part.chunks(AT_ONCE) {
            let sets = collect_all(database, store, some, &[]).await?;
            let members = profile_keys(store, sets.iter().flat_map(Members::ids));
            let time = time_of(self.clock, Micros::EPOCH)?;
            database.purge(&members, time, Durability::Durable).await?;
        }
        let rows = profile_keys(store, part.iter().copied());
        database.remove(&rows, Durability::Durable).await?;
        let next = part.last().filter(|_| part.len() == PART);
        if let Some(last) = next {
            let record = purge_record(store, Scope::Store(Some(*last)), request);
            self.log.publish(record).await?;
        }
        Ok(Purged::Store {
            profiles: part.len(),
            has_more: next.is_some(),
        })
    }
}
