//! Step 8 of a resolve: limits, then marks and copies, then hints.

use std::collections::{BTreeMap, BTreeSet};

use kith_domain::id::{ProfileId, ProfileKey, StoreId};
use kith_domain::time::Micros;

use super::find::{Found, Passed, find_all};
use super::members::{self, Members, collect, collect_all};
use super::resolve::Question;
use super::{limits, stamp};
use crate::environment::{Environment, Omission};
use crate::error::{PortError, Trouble};
use crate::ports::{CellBatch, CellWrite, Cells, Database, Durability, IdentRow, Listing, Select};

/// Step 8: what is owed before the answer, and what the next request would do if this one crashed first.
#[derive(Debug, Clone)]
pub(crate) struct Chores {
    /// The root whose limits are enforced.
    pub(super) root: ProfileId,
    /// Identifier rows to be marked, each at the member whose claim it belongs to.
    pub(super) idents: Vec<(ProfileId, IdentRow)>,
    /// Links made, or met unsettled.
    pub(super) links: Vec<Passed>,
    /// Profiles that may not be in the listing yet.
    pub(super) listing: BTreeSet<ProfileId>,
    /// Where a hint at the root saves hops.
    pub(super) hints: Vec<ProfileId>,
}

impl Chores {
    /// Nothing yet.
    pub(super) const fn of(root: ProfileId) -> Self {
        Self {
            root,
            idents: Vec::new(),
            links: Vec::new(),
            listing: BTreeSet::new(),
            hints: Vec::new(),
        }
    }

    /// Whether nothing is owed.
    pub(super) fn is_empty(&self) -> bool {
        self.idents.is_empty()
            && self.links.is_empty()
            && self.listing.is_empty()
            && self.hints.is_empty()
    }

    /// Takes over what a find has passed that is not settled.
    pub(super) fn meet(&mut self, found: &Found) {
        for passed in found.passed.iter().filter(|passed| !passed.settled) {
            if !self.links.contains(passed) {
                self.links.push(*passed);
            }
        }
    }

    /// Takes over what else is owed.
    pub(super) fn extend(&mut self, more: Self) {
        self.idents.extend(more.idents);
        self.links.extend(more.links);
        self.listing.extend(more.listing);
        self.hints.extend(more.hints);
    }
}

/// Does what is owed.
///
/// # Errors
/// [`Trouble`]: what is left undone, the next request that passes over it does.
pub(crate) async fn do_chores<E: Environment>(
    env: &E,
    question: &Question,
    chores: &Chores,
    seen: Micros,
) -> Result<(), Trouble> {
    let store = &question.store;
    let database = env.database();
    let time = stamp::stamp(env, seen)?;
    let hints: BTreeMap<ProfileId, Vec<CellWrite>> = (chores.hints.iter())
        .map(|start| (*start, vec![CellWrite::Root(chores.root)]))
        .collect();
    if env.omits(Omission::HintAfterCopies) {
        write(env, store.id, time, hints.clone()).await?;
    }
    let mut batches: BTreeMap<ProfileId, Vec<CellWrite>> = BTreeMap::new();
    let list = async {
        for profile in &chores.listing {
            let key = ProfileKey {
                store: store.id,
                profile: *profile,
            };
            database.add(key, Durability::Ordered).await?;
        }
        Ok(())
    };
    if chores.idents.is_empty() && chores.links.is_empty() {
        list.await?;
    } else {
        let children: Vec<ProfileId> = chores.links.iter().map(|link| link.child).collect();
        let (set, below, ()) = futures_util::try_join!(
            whole_set(database, store.id, chores.root),
            collect_all(database, store.id, &children, &[]),
            list,
        )?;
        let set = if env.omits(Omission::CountMembers) {
            set.only(chores.root)
        } else {
            set
        };
        let evicted = if env.omits(Omission::EnforceAfterMerge) && !chores.links.is_empty() {
            Vec::new()
        } else {
            limits::enforce(env, store, &set, question.request, question.deadline).await?
        };
        for (member, row) in &chores.idents {
            batches
                .entry(*member)
                .or_default()
                .push(CellWrite::Ident(row.clone()));
        }
        for (link, below) in chores.links.iter().zip(&below) {
            let alone = env
                .omits(Omission::CopyMembers)
                .then(|| below.clone().only(link.child));
            let below = alone.as_ref().unwrap_or(below);
            batches
                .entry(link.parent)
                .or_default()
                .extend(members::copy(link.child, link.token, below));
        }
        for gone in evicted {
            let row = gone.row;
            // A mark on a row that is gone would bring it back.
            if let Some(writes) = batches.get_mut(&gone.member) {
                writes.retain(
                    |write| !matches!(write, CellWrite::Ident(kept) if kept.claim == row.claim),
                );
            }
            batches
                .entry(gone.member)
                .or_default()
                .push(CellWrite::ForgetIdent(row.id_type, row.value, row.claim));
        }
        write(env, store.id, time, batches).await?;
    }
    // Not beside the copies: a find from a hint does not meet the rows that it skips.
    write(env, store.id, time, hints).await?;
    Ok(())
}

/// The identifier rows of the whole set that a profile is in by now. Whoever links a profile away reads its rows after its
/// pointer; so either that one sees the rows that were written here before, or this one sees the pointer.
async fn whole_set<D: Database>(
    database: &D,
    store: StoreId,
    profile: ProfileId,
) -> Result<Members, PortError> {
    let mut root = profile;
    loop {
        let set = collect(database, store, root, &[Select::Idents]).await?;
        if set.pointer.is_none() {
            return Ok(set);
        }
        let found = find_all(database, store, vec![(root, Vec::new())]).await?;
        match found.first().and_then(Found::root) {
            Some(above) if above.id != root => root = above.id,
            // Still the root, or dead: then there is nothing to keep within limits.
            Some(_) | None => return Ok(set),
        }
    }
}

pub(super) async fn write<E: Environment>(
    env: &E,
    store: StoreId,
    time: Micros,
    batches: BTreeMap<ProfileId, Vec<CellWrite>>,
) -> Result<(), Trouble> {
    let batches: Vec<CellBatch> = batches
        .into_iter()
        .filter(|(_, writes)| !writes.is_empty())
        .map(|(profile, writes)| CellBatch {
            at: ProfileKey { store, profile },
            time,
            writes,
        })
        .collect();
    if batches.is_empty() {
        return Ok(());
    }
    Ok(env.database().write(&batches, Durability::Ordered).await?)
}
