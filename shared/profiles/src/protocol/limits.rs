//! ENFORCE: at most `limit` values of a type on a set, oldest or newest evicted first (`identity-protocol.md` 6).
//!
//! A limit is a pure function of the list of a set, checked against the claims, so everybody who looks computes the same
//! victims. It is enforced after the caller's own writes are in place: of two requests that add to one set, the one that
//! reads its list last sees both.

use std::collections::BTreeMap;

use kith_domain::id::{ClaimId, ProfileId, RequestId};
use kith_domain::identifier::{ClaimKey, IdType, Identifier};
use kith_domain::settings::LimitPolicy;
use kith_domain::store::StoreRecord;

use super::attempt;
use super::members::Members;
use crate::environment::{Deadline, Environment};
use crate::error::{PortError, Trouble};
use crate::ports::{Claim, Conditional, Database, Durability, IdentRow, Ids};
use crate::purge::ask_for_leftovers;

/// An identifier that a set really has: its row, whose claim names the row's profile and claim id.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) member: ProfileId,
    pub(crate) row: IdentRow,
    pub(crate) key: ClaimKey,
    pub(crate) claim: Claim,
}

impl Held {
    /// The order of age: by the person's clock, then by document order, then by value, so that it is total.
    fn age(&self) -> (kith_domain::time::Micros, u16, &str) {
        (
            self.claim.added_at,
            self.claim.place,
            self.row.value.expose(),
        )
    }
}

/// The identifier rows of a set that count, of the types that `wanted` lets pass, oldest first.
///
/// # Errors
/// [`PortError`].
pub(crate) async fn held<D: Database>(
    database: &D,
    store: &StoreRecord,
    members: &Members,
    wanted: impl Fn(&IdType) -> bool,
) -> Result<Vec<Held>, PortError> {
    let rows: Vec<(ProfileId, &IdentRow)> = members
        .rows
        .iter()
        .flat_map(|(member, rows)| rows.idents.iter().map(move |row| (*member, row)))
        .filter(|(_, row)| wanted(&row.id_type))
        .collect();
    let keys: Vec<ClaimKey> = rows
        .iter()
        .map(|(_, row)| {
            store.claim_secret.claim_key(&Identifier {
                id_type: row.id_type.clone(),
                value: row.value.clone(),
            })
        })
        .collect();
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let claims = database.claims(&keys).await?;
    let mut held: Vec<Held> = rows
        .into_iter()
        .zip(keys)
        .zip(claims)
        .filter_map(|(((member, row), key), claim)| {
            let claim = claim?;
            (claim.profile == Some(member) && claim.id == row.claim).then(|| Held {
                member,
                row: row.clone(),
                key,
                claim,
            })
        })
        .collect();
    held.sort_by(|a, b| a.age().cmp(&b.age()));
    Ok(held)
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
    let mut counts: BTreeMap<&IdType, usize> = BTreeMap::new();
    for (_, rows) in &members.rows {
        for row in &rows.idents {
            *counts.entry(&row.id_type).or_default() += 1;
        }
    }
    // Rows are a superset of what counts: within the limit there is nothing to check.
    let over = |id_type: &IdType| {
        store.settings.config(id_type).is_some_and(|config| {
            counts
                .get(id_type)
                .is_some_and(|n| *n > usize::from(config.limit))
        })
    };
    if !counts.keys().any(|id_type| over(id_type)) {
        return Ok(Vec::new());
    }
    let held = held(env.database(), store, members, over).await?;
    ask_for_leftovers(env, store, request, members, &held, over).await;
    let victims = victims(store, held);
    let releases: Vec<Conditional> = victims
        .iter()
        .map(|victim| Conditional::Release {
            key: victim.key,
            expected: victim.claim.id,
            id: ClaimId::from_uuid(env.ids().random()),
            by_request: victim.claim.by_request,
        })
        .collect();
    // Not applied: it is gone already, which is what was wanted.
    attempt::send(env, &releases, Durability::Ordered, deadline).await?;
    Ok(victims)
}

/// Who must go, of identifiers sorted by age.
fn victims(store: &StoreRecord, held: Vec<Held>) -> Vec<Held> {
    let mut by_type: BTreeMap<IdType, Vec<Held>> = BTreeMap::new();
    for one in held {
        by_type
            .entry(one.row.id_type.clone())
            .or_default()
            .push(one);
    }
    let mut victims = Vec::new();
    for (id_type, mut list) in by_type {
        let Some(config) = store.settings.config(&id_type) else {
            continue;
        };
        let excess = list.len().saturating_sub(usize::from(config.limit));
        match config.limit_policy {
            LimitPolicy::Fifo => victims.extend(list.drain(..excess)),
            LimitPolicy::Lifo => victims.extend(list.drain(list.len() - excess..)),
        }
    }
    victims
}
