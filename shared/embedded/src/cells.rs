//! The cells port: plain rows of a profile, and its listing.

use std::ops::Bound;

use kith_domain::id::{ProfileId, ProfileKey, StoreId};
use kith_domain::time::Micros;
use kith_domain::traits::{CellBytes, TraitCell};
use kith_profiles::error::PortError;
use kith_profiles::ports::{
    CellBatch, CellRead, CellRows, CellWrite, Cells, Durability, IdentRow, LinkRow, Listing, Order,
    Select,
};

use crate::database::View;
use crate::engine::{Embedded, Unanswered};
use crate::error::ReadError;
use crate::group::Group;
use crate::layout::key::{CellKind, CellName};
use crate::layout::row::{IdentCell, LinkCell, Row, TimeCell, ValueCell};
use crate::layout::{CorruptRow, Space, key};
use crate::merge::{self, Outlive};
use crate::staged::Staged;
use crate::telemetry::statement;

impl Cells for Embedded {
    const IS_NEAR: bool = true;

    async fn read(&self, reads: &[CellRead]) -> Result<Vec<CellRows>, PortError> {
        statement!("read", "cells").run(|| {
            self.check("read cells")?;
            let view = self.view();
            reads
                .iter()
                .map(|read| rows(&view, read))
                .collect::<Result<_, _>>()
                .map_err(|error| error.port("read cells"))
        })
    }

    async fn write(&self, batches: &[CellBatch], durability: Durability) -> Result<(), PortError> {
        if batches.is_empty() {
            return Ok(());
        }
        let bytes = batches.iter().flat_map(|b| &b.writes).map(size_of).sum();
        let batches = batches.to_vec();
        statement!("write", "cells")
            .wait(async {
                self.submit(durability, bytes, move |group| {
                    batches
                        .into_iter()
                        .try_for_each(|batch| write_batch(group, batch))
                })
                .await
                .map_err(|error| error.port("write cells"))?
                .map_err(|error| error.port("write cells"))
            })
            .await
    }

    async fn purge(
        &self,
        profiles: &[ProfileKey],
        time: Micros,
        durability: Durability,
    ) -> Result<(), PortError> {
        if profiles.is_empty() {
            return Ok(());
        }
        let bytes = 128 * profiles.len();
        let profiles = profiles.to_vec();
        statement!("purge", "cells")
            .wait(async {
                self.submit(durability, bytes, move |group| {
                    profiles
                        .iter()
                        .try_for_each(|at| purge(&mut group.staged, at, time))
                })
                .await
                .map_err(|error| error.port("purge cells"))?
                .map_err(|error| error.port("purge cells"))
            })
            .await
    }
}

impl Listing for Embedded {
    async fn add(&self, profile: ProfileKey, durability: Durability) -> Result<(), PortError> {
        statement!("write", "listing")
            .wait(async {
                self.submit(durability, 32, move |group| {
                    group
                        .staged
                        .put(Space::Listing, key::listing(&profile), [0u8; 0]);
                })
                .await
                .map_err(|error: Unanswered| error.port("write listing"))
            })
            .await
    }

    async fn remove(
        &self,
        profiles: &[ProfileKey],
        durability: Durability,
    ) -> Result<(), PortError> {
        let keys: Vec<Vec<u8>> = profiles.iter().map(key::listing).collect();
        statement!("purge", "listing")
            .wait(async {
                self.submit(durability, 32 * keys.len(), move |group| {
                    for key in keys {
                        group.staged.remove(Space::Listing, key);
                    }
                })
                .await
                .map_err(|error: Unanswered| error.port("purge listing"))
            })
            .await
    }

    async fn page(
        &self,
        store: StoreId,
        order: Order,
        after: Option<ProfileId>,
        limit: usize,
    ) -> Result<Vec<ProfileId>, PortError> {
        statement!("read", "listing").run(|| {
            self.check("read listing")?;
            let (first, last) = key::listing_of(store);
            let after =
                after.map(|profile| Bound::Excluded(key::listing(&ProfileKey { store, profile })));
            let (first, last) = (Bound::Included(first), Bound::Included(last));
            let range = match order {
                Order::Ascending => (after.unwrap_or(first), last),
                Order::Descending => (first, after.unwrap_or(last)),
            };
            let rows = self.view().range(Space::Listing, range);
            let profile = |row: Result<(fjall::Slice, fjall::Slice), ReadError>| {
                let (name, _) = row?;
                key::profile_of(&name).map_err(ReadError::row(Space::Listing))
            };
            match order {
                Order::Ascending => rows.take(limit).map(profile).collect::<Result<_, _>>(),
                Order::Descending => rows.rev().take(limit).map(profile).collect(),
            }
            .map_err(|error| error.port("read listing"))
        })
    }
}

/// The rows that one read selects. What several selections name comes once.
fn rows(view: &View, read: &CellRead) -> Result<CellRows, ReadError> {
    let mut rows = CellRows::default();
    let at = &read.at;
    for select in &read.select {
        match select {
            // A row that is named is looked up: a scan would look into every table, and at every version of the row in memory.
            Select::Clock => get(view, &mut rows, &key::cells_of(at, CellKind::Clock))?,
            Select::Root => get(view, &mut rows, &key::cells_of(at, CellKind::Root))?,
            Select::Link(child, token) => {
                if !read.select.contains(&Select::LinksAndMembers) {
                    get(view, &mut rows, &key::link(at, *child, *token))?;
                }
            }
            Select::Ident(id_type, value, claim) => {
                // Too long for a key: it was never written.
                if !read.select.contains(&Select::Idents)
                    && let Some(name) = key::ident(at, id_type, value, *claim)
                {
                    get(view, &mut rows, &name)?;
                }
            }
            Select::Idents | Select::LinksAndMembers | Select::Traits => {}
        }
    }
    for (first, last) in neighbours(&read.select) {
        let range = key::cells_between(at, first, last);
        for row in view.range(Space::Cells, range) {
            let (name, value) = row?;
            take(&mut rows, &name, &value).map_err(ReadError::row(Space::Cells))?;
        }
    }
    Ok(rows)
}

/// The kinds that are selected as a whole, those that sort side by side together: each scan begins in every table.
fn neighbours(select: &[Select]) -> Vec<(CellKind, CellKind)> {
    let whole = [
        (Select::Idents, CellKind::Ident, CellKind::Ident),
        (Select::LinksAndMembers, CellKind::Link, CellKind::Member),
        (Select::Traits, CellKind::Trait, CellKind::Trait),
    ];
    let mut scans: Vec<(CellKind, CellKind)> = Vec::new();
    for (_, first, last) in whole.into_iter().filter(|(one, ..)| select.contains(one)) {
        match scans.last_mut() {
            Some((_, before)) if *before as u8 + 1 == first as u8 => *before = last,
            _ => scans.push((first, last)),
        }
    }
    scans
}

fn get(view: &View, rows: &mut CellRows, name: &[u8]) -> Result<(), ReadError> {
    if let Some(value) = view.get(Space::Cells, name)? {
        take(rows, name, &value).map_err(ReadError::row(Space::Cells))?;
    }
    Ok(())
}

/// Puts a row where its key says.
fn take(rows: &mut CellRows, name: &[u8], value: &[u8]) -> Result<(), CorruptRow> {
    match key::cell(name)? {
        CellName::Clock => rows.clock = Some(TimeCell::decode(value)?.0),
        CellName::Root => {
            let ancestor = uuid::Uuid::from_slice(&ValueCell::decode(value)?.value);
            rows.root = Some(ProfileId::from_uuid(ancestor.map_err(|_| CorruptRow)?));
        }
        CellName::Ident(id_type, value_of, claim) => {
            let cell = IdentCell::decode(value)?;
            // Without it the row is the trace of a removal.
            if let Some((_, added_at)) = cell.added {
                rows.idents.push(IdentRow {
                    id_type,
                    value: value_of,
                    claim,
                    added_at,
                    settled: cell.settled.is_some(),
                });
            }
        }
        CellName::Link(child, token) => {
            let settled = LinkCell::decode(value)?.settled.is_some();
            let row = LinkRow {
                child,
                token,
                settled,
            };
            if !rows.links.contains(&row) {
                rows.links.push(row);
            }
        }
        CellName::Member(profile) => rows.members.push(profile),
        CellName::Trait(definition) => {
            let ValueCell { time, value } = ValueCell::decode(value)?;
            rows.traits.push(TraitCell {
                definition,
                value: CellBytes::from_stored(value),
                time,
            });
        }
        // No selection names it.
        CellName::Purged => {}
    }
    Ok(())
}

/// Why a batch was not written as a whole.
#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("an identifier is too long for a key")]
    TooLong,
}

impl WriteError {
    fn port(self, operation: &'static str) -> PortError {
        match self {
            Self::Read(error) => error.port(operation),
            Self::TooLong => PortError::Corrupt {
                operation,
                detail: self.to_string(),
            },
        }
    }
}

/// Stages a batch, each cell as it meets what is there.
fn write_batch(group: &mut Group<'_>, batch: CellBatch) -> Result<(), WriteError> {
    let CellBatch { at, time, writes } = batch;
    let rows = &mut group.staged;
    let space = Space::Cells;
    let clock_name = key::cells_of(&at, CellKind::Clock);
    let clock: Option<TimeCell> = if writes.iter().any(comes_with_a_clock) {
        rows.row(space, &clock_name)?
    } else {
        None
    };
    // The whole batch has one time: it comes after a removal of the partition, or it leaves nothing. What is as new as the clock
    // row does come after it, as that row did. Most batches are, and hardly a partition has been removed: to see that, its row
    // would be looked for in every table.
    let is_new = clock.is_some_and(|TimeCell(clock)| clock <= time);
    if !is_new && purged(rows, &at)?.is_some_and(|TimeCell(purged)| purged >= time) {
        return Ok(());
    }
    for write in writes {
        match write {
            CellWrite::Clock => rows.change(space, clock_name.clone(), clock, |before| {
                merge::time(before, time)
            }),
            CellWrite::Member(profile) => {
                let name = key::member(&at, profile);
                rows.update(space, name, |before| merge::time(before, time))?;
            }
            CellWrite::Root(ancestor) => {
                let name = key::cells_of(&at, CellKind::Root);
                let value = ancestor.as_uuid().as_bytes().to_vec();
                rows.update(space, name, |before| merge::value(before, time, value))?;
            }
            CellWrite::Trait(definition, bytes) => {
                let name = key::trait_cell(&at, definition);
                let value = bytes.as_slice().to_vec();
                rows.update(space, name, |before| merge::value(before, time, value))?;
            }
            CellWrite::Link(link) => {
                let name = key::link(&at, link.child, link.token);
                rows.update(space, name, |before| {
                    merge::link(before, time, link.settled)
                })?;
            }
            CellWrite::Ident(ident) => {
                let name = key::ident(&at, &ident.id_type, &ident.value, ident.claim)
                    .ok_or(WriteError::TooLong)?;
                rows.update(space, name, |before| {
                    merge::ident(before, time, ident.added_at, ident.settled)
                })?;
            }
            CellWrite::ForgetIdent(id_type, value, claim) => {
                let name = key::ident(&at, &id_type, &value, claim).ok_or(WriteError::TooLong)?;
                rows.update(space, name, |before| merge::forget(before, time))?;
            }
        }
    }
    Ok(())
}

/// Whether a row is written with the clock row, or after it.
const fn comes_with_a_clock(write: &CellWrite) -> bool {
    matches!(write, CellWrite::Clock | CellWrite::Trait(..))
}

fn purged(rows: &Staged<'_>, at: &ProfileKey) -> Result<Option<TimeCell>, ReadError> {
    rows.row(Space::Cells, &key::cells_of(at, CellKind::Purged))
}

/// Stages the removal of a partition: its rows go, and a row that names the time keeps late ones away. That row stays for
/// ever; ids never come back, so it is all that is left of a profile.
fn purge(rows: &mut Staged<'_>, at: &ProfileKey, time: Micros) -> Result<(), ReadError> {
    for (name, value) in rows.prefix(Space::Cells, &key::cell_partition(at))? {
        let left = outlive(&name, &value, time).map_err(ReadError::row(Space::Cells))?;
        match left {
            Some(left) => rows.put(Space::Cells, name, left),
            None => rows.remove(Space::Cells, name),
        }
    }
    let row = merge::time(purged(rows, at)?, time);
    let name = key::cells_of(at, CellKind::Purged);
    rows.put_row(Space::Cells, name, &row);
    Ok(())
}

/// What is left of a row.
fn outlive(name: &[u8], value: &[u8], purged: Micros) -> Result<Option<Vec<u8>>, CorruptRow> {
    fn left<R: Row + Outlive>(value: &[u8], purged: Micros) -> Result<Option<Vec<u8>>, CorruptRow> {
        Ok(R::decode(value)?.outlive(purged).map(|row| row.encode()))
    }
    match key::cell(name)? {
        CellName::Clock | CellName::Member(_) => left::<TimeCell>(value, purged),
        CellName::Root | CellName::Trait(_) => left::<ValueCell>(value, purged),
        CellName::Ident(..) => left::<IdentCell>(value, purged),
        CellName::Link(..) => left::<LinkCell>(value, purged),
        // Written anew by whoever asks.
        CellName::Purged => Ok(Some(value.to_vec())),
    }
}

/// What a write holds on to while it waits, roughly.
fn size_of(write: &CellWrite) -> usize {
    128 + match write {
        CellWrite::Ident(row) => row.value.expose().len(),
        CellWrite::ForgetIdent(_, value, _) => value.expose().len(),
        CellWrite::Trait(_, bytes) => bytes.as_slice().len(),
        CellWrite::Clock | CellWrite::Link(_) | CellWrite::Member(_) | CellWrite::Root(_) => 0,
    }
}
