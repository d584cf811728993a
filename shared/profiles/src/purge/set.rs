//! A dead set: its claims are released, and all cells of its members and their rows of the listing removed.
//!
//! - The set is known from the verdict rows of its nodes, which are never removed; and of a dead set they do not change any
//!   more, for LINK into its root is refused, and LINK into a member is refused since its pointer stands. So whoever repeats
//!   this finds the same members, whatever cells are gone by then. The link and member rows of the root make finding them
//!   one round instead of one a level: that is why **the root goes last**, and the others in the order opposite to that of
//!   their finding.
//! - A member's identifier rows are all that leads to its claims: so **its claims are released, each answered, before its
//!   cells go**. A release whose outcome is unknown ends this try.

use kith_domain::id::{ProfileId, ProfileKey, RequestId, StoreId};
use kith_domain::store::StoreRecord;
use kith_domain::time::Micros;

use super::{Purge, PurgeError, Purged, profile_keys, time_of};
use crate::error::PortError;
use crate::ports::{
    CellRows, Clock, Conditional, Database, Durability, Ids, Outcome, Select, TraitLog,
};
use crate::protocol::find::is_dead;
use crate::protocol::limits::held;
use crate::protocol::members::{Members, collect};

/// Members worked on at once.
const MEMBERS_AT_ONCE: usize = 16;

impl<D: Database, L: TraitLog, C: Clock, I: Ids> Purge<'_, D, L, C, I> {
    pub(super) async fn set(
        &self,
        root: ProfileKey,
        request: RequestId,
    ) -> Result<Purged, PurgeError> {
        let Self {
            database, clock, ..
        } = self;
        if !is_dead(*database, root).await? {
            return Ok(Purged::Alive);
        }
        let select = [Select::Idents, Select::Clock];
        let (members, store) = futures_util::try_join!(
            collect(*database, root.store, root.profile, &select),
            database.store(root.store),
        )?;
        let step = Step {
            database: *database,
            ids: self.ids,
            // Without its store's secret nobody can name a claim any more, and nobody has to.
            store: store.as_ref(),
            at: root.store,
            request,
            time: time_of(*clock, clocks(&members))?,
        };
        if let Some((root, others)) = members.rows.split_first() {
            for some in others.rchunks(MEMBERS_AT_ONCE) {
                step.erase(some).await?;
            }
            step.erase(std::slice::from_ref(root)).await?;
        }
        Ok(Purged::Dead {
            members: members.rows.len(),
        })
    }
}

fn clocks(members: &Members) -> Micros {
    let clocks = members.rows.iter().filter_map(|(_, rows)| rows.clock);
    clocks.max().unwrap_or(Micros::EPOCH)
}

/// What the steps of one purge have in common.
struct Step<'a, D, I> {
    database: &'a D,
    ids: &'a I,
    store: Option<&'a StoreRecord>,
    at: StoreId,
    request: RequestId,
    time: Micros,
}

impl<D: Database, I: Ids> Step<'_, D, I> {
    /// Releases the claims of some members, then removes their cells and their rows of the listing.
    async fn erase(&self, members: &[(ProfileId, CellRows)]) -> Result<(), PortError> {
        self.release(members).await?;
        let profiles = profile_keys(self.at, members.iter().map(|(profile, _)| *profile));
        let purge = self
            .database
            .purge(&profiles, self.time, Durability::Durable);
        let unlist = self.database.remove(&profiles, Durability::Durable);
        futures_util::try_join!(purge, unlist)?;
        Ok(())
    }

    /// Exactly those claims that an identifier row of a member leads to and that still name this member and this claim: a
    /// value that somebody else has taken by now is theirs.
    async fn release(&self, members: &[(ProfileId, CellRows)]) -> Result<(), PortError> {
        let Some(store) = self.store else {
            return Ok(());
        };
        let members = Members {
            rows: members.to_vec(),
            ..Members::default()
        };
        let releases: Vec<Conditional> = held(self.database, store, &members, |_| true)
            .await?
            .into_iter()
            .map(|held| held.release(self.ids, self.request))
            .collect();
        if releases.is_empty() {
            return Ok(());
        }
        // Refused: somebody else has taken or released it. Unknown: the repetition sees what became of it.
        let outcomes = self.database.attempt(&releases, Durability::Ordered).await;
        if outcomes.contains(&Outcome::Unknown) {
            return Err(PortError::Unavailable {
                operation: "release claims",
                cause: None,
            });
        }
        Ok(())
    }
}
