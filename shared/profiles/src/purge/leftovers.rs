//! Leftovers: identifier rows whose claim names somebody else, or nobody.
//!
//! Whoever gives an identifier up forgets its row; one that died in between leaves it, and a claim that was lost leaves one,
//! too. No read shows them, since a row counts only with its claim; but each is a value that nobody wants kept, and makes every
//! look at limits dearer. They are settled when no request can be under way that wrote them: the claim of a younger row may be
//! on its way still, and must not land without its row.

use std::time::Duration;

use kith_domain::event::Scope;
use kith_domain::id::{ProfileId, ProfileKey, RequestId};
use kith_domain::identifier::IdType;
use kith_domain::store::StoreRecord;
use kith_domain::time::Micros;

use super::{Purge, PurgeError, Purged, purge_record, time_of};
use crate::environment::Environment;
use crate::ports::{
    CellBatch, CellRead, CellWrite, Clock, Database, Durability, IdentRow, Ids, Select, TraitLog,
};
use crate::protocol::limits::{Held, held};
use crate::protocol::members::Members;

/// No request and no statement of one is alive for so long.
const SETTLED_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

fn is_settled(row: &IdentRow, now: Micros) -> bool {
    row.added_at.plus(SETTLED_AFTER) < now
}

/// Whether the row of a member is none of those that count.
fn is_leftover(member: ProfileId, row: &IdentRow, held: &[Held]) -> bool {
    !held
        .iter()
        .any(|held| held.member == member && held.row.claim == row.claim)
}

/// Asks for the purge of leftovers that were met by chance among the rows of these types, `held` being those that count. A
/// request does not fail for it: the next one meets them again.
pub(crate) async fn ask<E: Environment>(
    env: &E,
    store: &StoreRecord,
    request: RequestId,
    members: &Members,
    held: &[Held],
    types: impl Fn(&IdType) -> bool,
) {
    let Ok(now) = env.clock().now() else {
        return;
    };
    for (member, rows) in &members.rows {
        let met = rows.idents.iter().any(|row| {
            types(&row.id_type) && is_settled(row, now) && is_leftover(*member, row, held)
        });
        if met {
            let record = purge_record(store.id, Scope::Leftovers(*member), request);
            if let Err(error) = env.log().publish(record).await {
                tracing::debug!(%error, "leftovers stay until they are met again");
            }
        }
    }
}

impl<D: Database, L: TraitLog, C: Clock, I: Ids> Purge<'_, D, L, C, I> {
    pub(super) async fn leftovers(&self, at: ProfileKey) -> Result<Purged, PurgeError> {
        let read = CellRead {
            at,
            select: vec![Select::Idents, Select::Clock],
        };
        let reads = [read];
        let (rows, store) =
            futures_util::try_join!(self.database.read(&reads), self.database.store(at.store))?;
        let (Some(rows), Some(store)) = (rows.into_iter().next(), store) else {
            return Ok(Purged::Alive);
        };
        let clock = rows.clock.unwrap_or(Micros::EPOCH);
        let members = Members {
            rows: vec![(at.profile, rows)],
            ..Members::default()
        };
        let held = held(self.database, &store, &members, |_| true).await?;
        let now = self.clock.now()?;
        let rows = members.rows.into_iter().flat_map(|(_, rows)| rows.idents);
        let writes: Vec<CellWrite> = rows
            .filter(|row| is_settled(row, now) && is_leftover(at.profile, row, &held))
            .map(|row| CellWrite::ForgetIdent(row.id_type, row.value, row.claim))
            .collect();
        let rows = writes.len();
        if rows > 0 {
            // Its claim never comes back, so nobody will want to write the row again.
            let time = time_of(self.clock, clock)?;
            let batch = CellBatch { at, time, writes };
            self.database.write(&[batch], Durability::Durable).await?;
        }
        Ok(Purged::Leftovers { rows })
    }
}
