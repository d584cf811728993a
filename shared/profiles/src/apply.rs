//! Applying trait events: what a worker does with decoded records.
//!
//! A pure last-write-wins applier: any order, any number of times, in parallel. It never asks for the time, compares with
//! what is stored, re-addresses, or drops an event for being old (`trait-order.md` 4).

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use kith_domain::event::TraitEvent;
use kith_domain::id::{DefinitionId, ProfileKey};
use kith_domain::time::Micros;
use kith_domain::traits::TraitCell;

use crate::error::PortError;
use crate::ports::{CellBatch, CellWrite, Cells, Durability};

/// Folds events into the batches that write them: per profile and trait only the newest write is left. At most one batch a
/// profile and stamp.
#[must_use]
pub fn fold(events: impl IntoIterator<Item = TraitEvent>) -> Vec<CellBatch> {
    let mut cells: BTreeMap<(ProfileKey, DefinitionId), TraitCell> = BTreeMap::new();
    for event in events {
        let at = ProfileKey {
            store: event.store,
            profile: event.profile,
        };
        for (definition, value) in event.traits {
            let cell = TraitCell {
                definition,
                value,
                time: event.stamp,
            };
            match cells.entry((at, definition)) {
                Entry::Occupied(mut held) if cell.replaces(held.get()) => {
                    held.insert(cell);
                }
                Entry::Occupied(_) => {}
                Entry::Vacant(free) => {
                    free.insert(cell);
                }
            }
        }
    }
    let mut batches: BTreeMap<(ProfileKey, Micros), Vec<CellWrite>> = BTreeMap::new();
    for ((at, definition), cell) in cells {
        let write = CellWrite::Trait(definition, cell.value);
        batches.entry((at, cell.time)).or_default().push(write);
    }
    batches
        .into_iter()
        .map(|((at, time), writes)| CellBatch { at, time, writes })
        .collect()
}

/// Writes folded batches, each cell under its event's stamp.
///
/// # Errors
/// [`PortError`]: any part may have been written; applying all of it again is safe.
pub async fn apply<C: Cells>(cells: &C, batches: &[CellBatch]) -> Result<(), PortError> {
    if batches.is_empty() {
        return Ok(());
    }
    cells.write(batches, Durability::Durable).await
}

#[cfg(test)]
mod tests {
    use kith_domain::id::{ProfileId, RequestId, StoreId};
    use kith_domain::traits::{CellBytes, TraitValue, TraitWrite};
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn any_event() -> impl Strategy<Value = TraitEvent> {
        let cells = proptest::collection::btree_map(0u128..4, 0u8..3, 1..4);
        (0u128..3, 1i64..4, cells).prop_map(|(profile, stamp, cells)| TraitEvent {
            store: StoreId::from_uuid(Uuid::nil()),
            profile: ProfileId::from_uuid(Uuid::from_u128(profile)),
            stamp: Micros::from_micros(stamp),
            request: RequestId::from_uuid(Uuid::nil()),
            schema_version: 1,
            traits: cells
                .into_iter()
                .map(|(definition, value)| {
                    let write = match value {
                        0 => TraitWrite::Removed,
                        more => TraitWrite::Set(TraitValue::String(more.to_string())),
                    };
                    let definition = DefinitionId::from_uuid(Uuid::from_u128(definition));
                    (definition, CellBytes::from(&write))
                })
                .collect(),
        })
    }

    type Stored = BTreeMap<(ProfileKey, DefinitionId), TraitCell>;

    /// What an engine holds after these batches, by the rule of every engine.
    fn store(into: &mut Stored, batches: Vec<CellBatch>) {
        for batch in batches {
            for write in batch.writes {
                let CellWrite::Trait(definition, value) = write else {
                    panic!("events write traits only");
                };
                let cell = TraitCell {
                    definition,
                    value,
                    time: batch.time,
                };
                let held = into
                    .entry((batch.at, definition))
                    .or_insert_with(|| cell.clone());
                if cell.replaces(held) {
                    *held = cell;
                }
            }
        }
    }

    fn one_by_one<'a>(events: impl Iterator<Item = &'a TraitEvent>) -> Stored {
        let mut stored = Stored::new();
        for event in events {
            store(&mut stored, fold([event.clone()]));
        }
        stored
    }

    proptest! {
        #[test]
        fn folded_in_any_portions_and_order_the_cells_are_the_same(
            events in proptest::collection::vec(any_event(), 0..12),
            cut in 0usize..12,
        ) {
            let each = one_by_one(events.iter());
            prop_assert_eq!(&one_by_one(events.iter().rev()), &each);
            let (early, late) = events.split_at(cut.min(events.len()));
            let mut stored = Stored::new();
            // The later part first, and the whole of it again.
            for part in [late, early, &events] {
                store(&mut stored, fold(part.iter().cloned()));
            }
            prop_assert_eq!(stored, each);
        }

        #[test]
        fn a_cell_is_written_once_and_a_profile_in_as_many_batches_as_it_has_stamps(
            events in proptest::collection::vec(any_event(), 0..12),
        ) {
            let batches = fold(events.clone());
            let cells: usize = batches.iter().map(|batch| batch.writes.len()).sum();
            prop_assert_eq!(cells, one_by_one(events.iter()).len());
            let mut keys: Vec<_> = batches.iter().map(|batch| (batch.at, batch.time)).collect();
            keys.dedup();
            prop_assert_eq!(keys.len(), batches.len());
        }
    }
}
