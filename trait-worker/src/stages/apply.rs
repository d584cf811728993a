//! Apply: the events of one poll into one write a profile, by the rules of `trait-order.md` 4.
//!
//! Nothing is asked of a clock or of the database, and no event is dropped for being old: order is in the stamps.

use std::collections::BTreeMap;

use kith_domain::id::ProfileKey;
use kith_profiles::apply::fold;
use kith_profiles::ports::CellBatch;

use super::decode::Decoded;
use crate::ledger::Position;
use crate::trace::Trace;

/// What the records of one poll say of one profile.
#[derive(Debug)]
pub(crate) struct ProfileWrite {
    /// Which profile.
    pub(crate) at: ProfileKey,
    /// All of one profile.
    pub(crate) batches: Vec<CellBatch>,
    /// The records that are done when this is written.
    pub(crate) positions: Vec<Position>,
    /// What the records count for in the budget.
    pub(crate) bytes: usize,
    /// The trace of the record with the newest stamp, in which the write takes place.
    pub(crate) trace: Trace,
    /// Those of the other records, linked to the newest one's.
    #[expect(
        dead_code,
        reason = "held, so that these spans stay open until the write is done"
    )]
    pub(crate) others: Vec<Trace>,
}

/// Folds the events of one poll. At most one write a profile.
pub(crate) fn apply(decoded: Vec<Decoded>) -> Vec<ProfileWrite> {
    let mut profiles: BTreeMap<ProfileKey, Vec<Decoded>> = BTreeMap::new();
    for one in decoded {
        let at = ProfileKey {
            store: one.event.store,
            profile: one.event.profile,
        };
        // Most have one event in a poll, and events are large.
        let events = profiles.entry(at);
        events.or_insert_with(|| Vec::with_capacity(1)).push(one);
    }
    profiles
        .into_iter()
        .filter_map(|(at, decoded)| write_of(at, decoded))
        .collect()
}

fn write_of(at: ProfileKey, mut decoded: Vec<Decoded>) -> Option<ProfileWrite> {
    let positions = decoded.iter().map(|one| one.position).collect();
    let bytes = decoded.iter().map(|one| one.bytes).sum();
    // The last of those with the newest stamp.
    decoded.sort_by_key(|one| one.event.stamp);
    let (events, mut traces): (Vec<_>, Vec<_>) = decoded
        .into_iter()
        .map(|one| (one.event, one.trace))
        .unzip();
    let trace = traces.pop()?;
    for other in &traces {
        other.link_to(&trace);
    }
    Some(ProfileWrite {
        at,
        batches: fold(events),
        positions,
        bytes,
        trace,
        others: traces,
    })
}
