//! Purge: what a dead set had written is erased, and its identifiers stop naming it (`trait-order.md` 6).
//!
//! The set died in one conditional step on its root, before anything here begins: nobody reads it any more, and its
//! identifiers are free. All of this is garbage collection. It may crash anywhere and be repeated, and what it finds done it
//! does again, because of its order:
//!
//! - The set is known from the verdict rows of its nodes, which are never removed; and of a dead set they do not change any
//!   more, for LINK into its root is refused, and LINK into a member is refused since its pointer stands. So whoever repeats
//!   this finds the same members, whatever cells are gone by then. The link and member rows of the root make finding them
//!   one round instead of one a level: that is why **the root goes last**, and the others in the order opposite to that of
//!   their finding.
//! - A member's identifier rows are all that leads to its claims: so **its claims are released, each answered, before its
//!   cells go**. A release whose outcome is unknown ends this try.
//!
//! What is written later than the purge and names an earlier time stays covered by it, for as long as the database remembers
//! it; [`look`] takes care of workers that are later still.

use std::time::Duration;

use bytes::Bytes;
use kith_domain::event::PurgeEvent;
use kith_domain::id::{ProfileId, ProfileKey, RequestId, StoreId};
use kith_domain::store::StoreRecord;
use kith_domain::time::Micros;

use crate::error::{ClockUnsound, PortError};
use crate::ports::{
    CellRows, Clock, Conditional, Database, Durability, Ids, NewRecord, Outcome, Select,
};
use crate::protocol::find::is_dead;
use crate::protocol::limits::held;
use crate::protocol::members::{Members, collect};

/// How far ahead of everything known a purge is timed: late writers are covered for as long, and ids never come back. Below
/// the three days ahead that ScyllaDB refuses.
const AHEAD: Duration = Duration::from_secs(24 * 60 * 60);

/// Members worked on at once.
const MEMBERS_AT_ONCE: usize = 16;

/// Why a purge is not done. Repeating all of it is safe.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PurgeError {
    /// A port failed, or could not say what became of a statement.
    #[error(transparent)]
    Port(#[from] PortError),
    /// The purge has no time.
    #[error(transparent)]
    Clock(#[from] ClockUnsound),
}

/// What there was to purge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purged {
    /// Nothing: the profile is alive. Its event belongs to a request that failed, or is not of this world.
    Alive,
    /// A dead set of so many members, now without cells.
    Dead {
        /// How many.
        members: usize,
    },
}

/// The record that asks for the purge of a set, to be published once its root is dead: before that it has no effect.
#[must_use]
pub fn purge_record(store: StoreId, profile: ProfileId, request: RequestId) -> NewRecord {
    let event = PurgeEvent {
        store,
        profile,
        request,
    };
    NewRecord {
        key: Bytes::copy_from_slice(profile.as_uuid().as_bytes()),
        payload: event.encode().into(),
        headers: Vec::new(),
    }
}

/// Purges a dead set: releases the claims that still name its members, and removes all their cells.
///
/// # Errors
/// [`PurgeError`]: any part may have been done; all of it has to be done again.
pub async fn purge<D: Database, C: Clock, I: Ids>(
    database: &D,
    clock: &C,
    ids: &I,
    event: &PurgeEvent,
) -> Result<Purged, PurgeError> {
    let root = event.root();
    if !is_dead(database, root).await? {
        return Ok(Purged::Alive);
    }
    let select = [Select::Idents, Select::Clock];
    let (members, store) = futures_util::try_join!(
        collect(database, root.store, root.profile, &select),
        database.store(root.store),
    )?;
    let time = time_of(clock, clocks(&members))?;
    let step = Step {
        database,
        ids,
        // Without its store's secret nobody can name a claim any more, and nobody has to.
        store: store.as_ref(),
        at: root.store,
        request: event.request,
        time,
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

/// The look of a worker after it has written to a profile: if the profile is dead, what was written goes again, everything up
/// to `written` for certain. Whether it is dead; one read of its node, if it is nobody's member.
///
/// Either the purge of the set comes after the write, and covers it, or this look comes after the kill, and sees it: so
/// nothing outlives a deletion, also if the database has forgotten the purge by now.
///
/// # Errors
/// [`PurgeError`]: the write and the look have to be done again.
pub async fn look<D: Database, C: Clock>(
    database: &D,
    clock: &C,
    at: ProfileKey,
    written: Micros,
) -> Result<bool, PurgeError> {
    if !is_dead(database, at).await? {
        return Ok(false);
    }
    let time = time_of(clock, written)?;
    database.purge(&[at], time, Durability::Durable).await?;
    Ok(true)
}

fn clocks(members: &Members) -> Micros {
    let clocks = members.rows.iter().filter_map(|(_, rows)| rows.clock);
    clocks.max().unwrap_or(Micros::EPOCH)
}

/// Later than now and than every stamp that is known, by enough.
fn time_of<C: Clock>(clock: &C, newest: Micros) -> Result<Micros, ClockUnsound> {
    Ok(clock.now()?.max(newest).plus(AHEAD))
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
    /// Releases the claims of some members, then removes their cells.
    async fn erase(&self, members: &[(ProfileId, CellRows)]) -> Result<(), PortError> {
        self.release(members).await?;
        let profiles: Vec<ProfileKey> = members
            .iter()
            .map(|(profile, _)| ProfileKey {
                store: self.at,
                profile: *profile,
            })
            .collect();
        self.database
            .purge(&profiles, self.time, Durability::Durable)
            .await
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
