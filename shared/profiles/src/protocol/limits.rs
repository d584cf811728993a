//! ENFORCE: at most `limit` values of a type on a set, oldest or newest evicted first (`identity-protocol.md` 6).
//!
//! A limit is a pure function of the list of a set, checked against the claims, so everybody who looks computes the same
//! victims. It is enforced after the caller's own writes are in place: of two requests that add to one set, the one that
//! reads its list last sees both.

use std::collections::{BTreeMap, BTreeSet};

use kith_domain::id::{ClaimId, OwnersStamp, ProfileId, RequestId};
use kith_domain::identifier::{ClaimKey, IdType, Identifier, IdentifierValue};
use kith_domain::settings::LimitPolicy;
use kith_domain::store::StoreRecord;
use kith_domain::time::Micros;

use super::attempt;
use super::members::Members;
use crate::environment::{Deadline, Environment};
use crate::error::{PortError, Trouble};
use crate::ports::{Conditional, Database, Durability, IdentRow, Ids, OwnerRows, OwnersRead};
use crate::purge::ask_for_leftovers;

/// An identifier that a set really has: its row, whose claim names the row's profile and claim id.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) member: ProfileId,
    pub(crate) row: IdentRow,
    pub(crate) key: ClaimKey,
    /// The request that put it there.
    pub(crate) by_request: RequestId,
    /// When the value was added, by the person's clock.
    pub(crate) added_at: Micros,
    place: u16,
    /// Whether it is one of the owners of a value that several may own.
    is_shared: bool,
}

impl Held {
    /// The order of age: by the person's clock, then by document order, then by value, so that it is total.
    fn age(&self) -> (Micros, u16, &str, ProfileId) {
        (
            self.added_at,
            self.place,
            self.row.value.expose(),
            self.member,
        )
    }

    /// RELEASE of exactly this.
    pub(crate) fn release<I: Ids>(&self, ids: &I, by_request: RequestId) -> Conditional {
        let id = ClaimId::from_uuid(ids.random());
        if self.is_shared {
            Conditional::Unshare {
                key: self.key,
                profile: self.member,
                expected: self.row.claim,
                id,
                stamp: OwnersStamp::from_uuid(ids.random()),
                by_request,
            }
        } else {
            Conditional::Release {
                key: self.key,
                expected: self.row.claim,
                id,
                by_request,
            }
        }
    }
}

/// The identifier rows of a set that count, of the types that `wanted` lets pass, oldest first.
///
/// Where a row's claim stands, the settings say; one that was written under other settings stands in the other table.
///
/// # Errors
/// [`PortError`].
pub(crate) async fn held<D: Database>(
    database: &D,
    store: &StoreRecord,
    members: &Members,
    wanted: impl Fn(&IdType) -> bool,
) -> Result<Vec<Held>, PortError> {
    let (mut claimed, mut shared) = (Vec::new(), Vec::new());
    for (member, rows) in &members.rows {
        for row in rows.idents.iter().filter(|row| wanted(&row.id_type)) {
            let key = store.claim_secret.claim_key(&Identifier {
                id_type: row.id_type.clone(),
                value: row.value.clone(),
            });
            if store.settings.is_unique(&row.id_type) {
                claimed.push((*member, row, key));
            } else {
                shared.push((*member, row, key));
            }
        }
    }
    let (mut held, more) = futures_util::try_join!(
        of_claims(database, &mut claimed),
        of_owners(database, &mut shared)
    )?;
    held.extend(more);
    let (more, others) = futures_util::try_join!(
        of_claims(database, &mut shared),
        of_owners(database, &mut claimed)
    )?;
    held.extend(more);
    held.extend(others);
    held.sort_by(|a, b| a.age().cmp(&b.age()));
    Ok(held)
}

type Hint<'a> = (ProfileId, &'a IdentRow, ClaimKey);

/// Those of the rows that have a claim; the others are left.
async fn of_claims<D: Database>(
    database: &D,
    hints: &mut Vec<Hint<'_>>,
) -> Result<Vec<Held>, PortError> {
    if hints.is_empty() {
        return Ok(Vec::new());
    }
    let keys: Vec<ClaimKey> = hints.iter().map(|(_, _, key)| *key).collect();
    let mut claims = database.claims(&keys).await?.into_iter();
    let mut held = Vec::new();
    hints.retain(|(member, row, key)| {
        let claim = claims.next().flatten();
        let claim = claim.filter(|claim| claim.profile == Some(*member) && claim.id == row.claim);
        held.extend(claim.map(|claim| Held {
            member: *member,
            row: (*row).clone(),
            key: *key,
            by_request: claim.by_request,
            added_at: claim.added_at,
            place: claim.place,
            is_shared: false,
        }));
        claim.is_none()
    });
    Ok(held)
}

/// Those of the rows whose member is an owner by them; the others are left.
async fn of_owners<D: Database>(
    database: &D,
    hints: &mut Vec<Hint<'_>>,
) -> Result<Vec<Held>, PortError> {
    if hints.is_empty() {
        return Ok(Vec::new());
    }
    let reads: Vec<OwnersRead> = hints
        .iter()
        .map(|(member, _, key)| OwnersRead {
            key: *key,
            rows: OwnerRows::Of(*member),
        })
        .collect();
    let mut owners = database.owners(&reads).await?.into_iter();
    let mut held = Vec::new();
    hints.retain(|(member, row, key)| {
        let owner = owners.next().and_then(|mut owners| owners.rows.pop());
        let owner = owner.filter(|owner| !owner.released && owner.id == row.claim);
        held.extend(owner.map(|owner| Held {
            member: *member,
            row: (*row).clone(),
            key: *key,
            by_request: owner.by_request,
            added_at: owner.added_at,
            place: owner.place,
            is_shared: true,
        }));
        owner.is_none()
    });
    Ok(held)
}

/// The values in their order, each with its rows: of a value that several may own, each member of a set may have one. The
/// oldest of them says the value's age.
pub(crate) fn by_value(held: Vec<Held>) -> Vec<Vec<Held>> {
    let mut places: BTreeMap<ClaimKey, usize> = BTreeMap::new();
    let mut values: Vec<Vec<Held>> = Vec::new();
    for one in held {
        let place = *places.entry(one.key).or_insert_with(|| {
            values.push(Vec::new());
            values.len() - 1
        });
        values[place].push(one);
    }
    values
}

/// Enforces the limits of the store's settings on a set, whose identifier rows `members` holds. Returns what was evicted.
///
/// # Errors
/// [`Trouble`].
pub(crate) async fn enforce<E: Environment>(
    env: &E,
    store: &StoreRecord,
    members: &Members,
    request: RequestId,
    deadline: Deadline,
) -> Result<Vec<Held>, Trouble> {
    let mut counts: BTreeMap<&IdType, BTreeSet<&IdentifierValue>> = BTreeMap::new();
    for (_, rows) in &members.rows {
        for row in &rows.idents {
            counts.entry(&row.id_type).or_default().insert(&row.value);
        }
    }
    // Rows are a superset of what counts: within the limit there is nothing to check.
    let over = |id_type: &IdType| {
        store.settings.config(id_type).is_some_and(|config| {
            counts
                .get(id_type)
                .is_some_and(|values| values.len() > usize::from(config.limit))
        })
    };
    if !counts.keys().any(|id_type| over(id_type)) {
        return Ok(Vec::new());
    }
    let held = held(env.database(), store, members, over).await?;
    ask_for_leftovers(env, store, request, members, &held, over).await;
    let victims = victims(store, by_value(held));
    let releases: Vec<Conditional> = victims
        .iter()
        .map(|victim| victim.release(env.ids(), victim.by_request))
        .collect();
    // Not applied: it is gone already, which is what was wanted.
    attempt::send(env, &releases, Durability::Ordered, deadline).await?;
    Ok(victims)
}

/// Who must go, of values sorted by age.
fn victims(store: &StoreRecord, values: Vec<Vec<Held>>) -> Vec<Held> {
    let mut by_type: BTreeMap<IdType, Vec<Vec<Held>>> = BTreeMap::new();
    for value in values {
        if let Some(first) = value.first() {
            let id_type = first.row.id_type.clone();
            by_type.entry(id_type).or_default().push(value);
        }
    }
    let mut victims = Vec::new();
    for (id_type, mut list) in by_type {
        let Some(config) = store.settings.config(&id_type) else {
            continue;
        };
        let excess = list.len().saturating_sub(usize::from(config.limit));
        match config.limit_policy {
            LimitPolicy::Fifo => victims.extend(list.drain(..excess).flatten()),
            LimitPolicy::Lifo => victims.extend(list.drain(list.len() - excess..).flatten()),
        }
    }
    victims
}
