//! Purge: what is dead, or stands for nothing, is erased (`trait-order.md` 6).
//!
//! All of this is garbage collection: a set died in one conditional step on its root, a store in one on its control row,
//! before anything here begins. It may crash anywhere and be repeated, and what it finds done it does again.
//!
//! What is written later than the purge and names an earlier time stays covered by it, for as long as the database remembers
//! it; [`look`] takes care of workers that are later still.

use std::time::Duration;

use bytes::Bytes;
use kith_domain::event::{PurgeEvent, Scope};
use kith_domain::id::{ProfileId, ProfileKey, RequestId, StoreId};
use kith_domain::time::Micros;

use crate::error::{ClockUnsound, PortError, PublishError};
use crate::ports::{Clock, Database, Durability, Ids, NewRecord, TraitLog};
use crate::protocol::find::is_dead;

mod ended_stores;
mod leftovers;
mod set;
mod store;

pub use ended_stores::EndedStores;
pub(crate) use leftovers::ask as ask_for_leftovers;

/// How far ahead of everything known a purge is timed: late writers are covered for as long, and ids never come back. Below
/// the three days ahead that ScyllaDB refuses.
const AHEAD: Duration = Duration::from_secs(24 * 60 * 60);

/// Why a purge is not done. Repeating all of it is safe.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PurgeError {
    /// A port failed, or could not say what became of a statement.
    #[error(transparent)]
    Port(#[from] PortError),
    /// The purge has no time.
    #[error(transparent)]
    Clock(#[from] ClockUnsound),
    /// The event that goes on with it may not be in the log.
    #[error(transparent)]
    Publish(#[from] PublishError),
}

/// What there was to purge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purged {
    /// Nothing: what the event names is alive. The event belongs to a request that failed, or is not of this world.
    Alive,
    /// A dead set of so many members, now without cells.
    Dead {
        /// How many.
        members: usize,
    },
    /// A part of a deleted store, now without cells and rows of its listing.
    Store {
        /// Profiles of this part.
        profiles: usize,
        /// Whether an event was published that goes on.
        has_more: bool,
    },
    /// Rows that stood for nothing.
    Leftovers {
        /// How many.
        rows: usize,
    },
}

/// The record that asks for a purge, to be published once what it names is dead: before that it has no effect.
#[must_use]
pub fn purge_record(store: StoreId, scope: Scope, request: RequestId) -> NewRecord {
    let event = PurgeEvent {
        store,
        scope,
        request,
    };
    let key = match event.profile() {
        Some(profile) => profile.as_uuid(),
        None => store.as_uuid(),
    };
    NewRecord {
        key: Bytes::copy_from_slice(key.as_bytes()),
        payload: event.encode().into(),
        headers: Vec::new(),
    }
}

/// What a purge needs of the world.
#[derive(Debug)]
pub struct Purge<'a, D, L, C, I> {
    /// The database.
    pub database: &'a D,
    /// Where a long purge asks for its next part.
    pub log: &'a L,
    /// The clock.
    pub clock: &'a C,
    /// Ids of releases.
    pub ids: &'a I,
}

impl<D: Database, L: TraitLog, C: Clock, I: Ids> Purge<'_, D, L, C, I> {
    /// Does what an event asks for.
    ///
    /// # Errors
    /// [`PurgeError`]: any part may have been done; all of it has to be done again.
    pub async fn run(&self, event: &PurgeEvent) -> Result<Purged, PurgeError> {
        match event.scope {
            Scope::Set(profile) => {
                let root = ProfileKey {
                    store: event.store,
                    profile,
                };
                self.set(root, event.request).await
            }
            Scope::Store(after) => self.store(event.store, after, event.request).await,
            Scope::Leftovers(profile) => {
                let at = ProfileKey {
                    store: event.store,
                    profile,
                };
                self.leftovers(at).await
            }
        }
    }
}

/// The look of a worker after it has written to a profile: if the profile is dead, or its store deleted, what was written
/// goes again, everything up to `written` for certain. Whether it was; one read of its node, if it is nobody's member.
///
/// Either the purge comes after the write, and covers it, or this look comes after the deletion, and sees it: so nothing
/// outlives a deletion, also if the database has forgotten the purge by now.
///
/// # Errors
/// [`PurgeError`]: the write and the look have to be done again.
pub async fn look<D: Database, C: Clock>(
    database: &D,
    clock: &C,
    ended: &EndedStores,
    at: ProfileKey,
    written: Micros,
) -> Result<bool, PurgeError> {
    let (is_dead, is_ended) = futures_util::try_join!(
        is_dead(database, at),
        ended.contain(database, clock, at.store)
    )?;
    if !is_dead && !is_ended {
        return Ok(false);
    }
    let time = time_of(clock, written)?;
    database.purge(&[at], time, Durability::Durable).await?;
    Ok(true)
}

/// Later than now and than every stamp that is known, by enough.
fn time_of<C: Clock>(clock: &C, newest: Micros) -> Result<Micros, ClockUnsound> {
    Ok(clock.now()?.max(newest).plus(AHEAD))
}

fn profile_keys(store: StoreId, profiles: impl Iterator<Item = ProfileId>) -> Vec<ProfileKey> {
    profiles
        .map(|profile| ProfileKey { store, profile })
        .collect()
}
