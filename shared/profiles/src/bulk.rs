//! Bulk: many creates in one request, resolved while it waits (`memory-api.md` 6.6, `trait-order.md` 7).
//!
//! Items that name one person become one create, whose writes are theirs folded in order: they converge whatever the store
//! knows, and a later item wins. Nothing is left for the worker to resolve: an item accepted before a deletion would make a
//! new person out of the deleted one's data.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use futures_util::stream::{self, StreamExt};
use kith_domain::body::WriteSet;
use kith_domain::id::{DefinitionId, RequestId};
use kith_domain::identifier::Identifier;
use kith_domain::settings::IdentitySettings;
use kith_domain::store::StoreRecord;

use crate::Profiles;
use crate::create::Create;
use crate::environment::{Deadline, Environment};
use crate::error::Trouble;

/// Creates of one batch that are under way at once.
const CREATES_AT_ONCE: usize = 32;
/// Bytes of values that several items of one person have together at most, to be one event: the log takes it, whatever a
/// batch holds.
const FOLDED_BYTES_MAX: usize = 1 << 20;

/// A batch of creates, parsed and valid, each with at least one identifier.
#[derive(Debug, Clone)]
pub struct Bulk {
    /// The store, as the request was validated against it.
    pub store: Arc<StoreRecord>,
    /// What the items say, in document order.
    pub items: Vec<WriteSet>,
    /// The request.
    pub request: RequestId,
    /// When it must have been answered.
    pub deadline: Deadline,
}

impl<E: Environment> Profiles<E> {
    /// Creates, finds or merges for every item; returns when each is as durable as a create.
    ///
    /// # Errors
    /// The first [`Trouble`] of the batch: some items may be done, nothing is undone, and sending the batch again is safe.
    pub async fn bulk(&self, bulk: Bulk) -> Result<(), Trouble> {
        let failed = OnceLock::new();
        let Bulk {
            store,
            items,
            request,
            deadline,
        } = bulk;
        let lines = stream::iter(lines(&store.settings, items));
        let (store, failed) = (&store, &failed);
        let work = lines.for_each_concurrent(CREATES_AT_ONCE, |line| async move {
            for writes in line {
                // The batch fails as a whole. What is under way goes on to its end: a statement given up is one more whose
                // outcome nobody knows.
                if failed.get().is_some() {
                    return;
                }
                let create = Create {
                    store: Arc::clone(store),
                    writes,
                    request,
                    deadline,
                };
                if let Err(trouble) = self.create(create).await {
                    // The first is told.
                    drop(failed.set(trouble));
                }
            }
        });
        work.await;
        failed.get().cloned().map_or(Ok(()), Err)
    }
}

/// The creates that the items of a batch come to: lines that may go side by side, each of creates that go one after another.
///
/// A value of a unique type in the rules names one person, so items that share one, directly or over others, are one create.
/// A value of a non-unique type may name several: items that share nothing else stay apart, as they would if they were sent
/// alone, and wait for each other, so that the later one finds what the earlier one made and writes after it. Values outside
/// the rules name nobody.
fn lines(settings: &IdentitySettings, mut items: Vec<WriteSet>) -> Vec<Vec<WriteSet>> {
    let shared: Vec<Vec<&Identifier>> = items
        .iter()
        .map(|item| in_rules(settings, item, true))
        .collect();
    let people = joined(&shared);
    let mut creates: Vec<Vec<WriteSet>> = people
        .into_iter()
        .map(|items_of| {
            folded(
                items_of
                    .into_iter()
                    .map(|item| std::mem::take(&mut items[item])),
            )
        })
        .collect();
    let shared: Vec<Vec<&Identifier>> = creates
        .iter()
        .map(|creates| {
            let shared = creates.iter().map(|one| in_rules(settings, one, false));
            shared.flatten().collect()
        })
        .collect();
    let lines = joined(&shared);
    lines
        .into_iter()
        .map(|line| {
            line.into_iter()
                .flat_map(|person| std::mem::take(&mut creates[person]))
                .collect()
        })
        .collect()
}

/// The identifiers of an item whose type is in the matching rules, unique or not.
fn in_rules<'a>(
    settings: &IdentitySettings,
    item: &'a WriteSet,
    unique: bool,
) -> Vec<&'a Identifier> {
    let wanted = |one: &&Identifier| {
        let config = settings.config(&one.id_type);
        settings.rule_of(&one.id_type).is_some()
            && config.is_some_and(|config| config.enforce_unique == unique)
    };
    item.identifiers.iter().filter(wanted).collect()
}

/// Groups of places that share an identifier, directly or over others, by union-find: the groups in the order of their first
/// places, places in order.
fn joined(shared: &[Vec<&Identifier>]) -> Vec<Vec<usize>> {
    let mut above: Vec<usize> = (0..shared.len()).collect();
    let mut first: HashMap<&Identifier, usize> = HashMap::new();
    for (place, identifiers) in shared.iter().enumerate() {
        for identifier in identifiers {
            let other = *first.entry(identifier).or_insert(place);
            let (one, other) = (root(&mut above, place), root(&mut above, other));
            above[one.max(other)] = one.min(other);
        }
    }
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for place in 0..shared.len() {
        let root = root(&mut above, place);
        groups.entry(root).or_default().push(place);
    }
    groups.into_values().collect()
}

fn root(above: &mut [usize], mut place: usize) -> usize {
    while above[place] != place {
        above[place] = above[above[place]];
        place = above[place];
    }
    place
}

/// The creates that the items of one person come to: one, unless it would make an event of more than [`FOLDED_BYTES_MAX`]. An
/// item that is larger by itself is one alone.
fn folded(items: impl Iterator<Item = WriteSet>) -> Vec<WriteSet> {
    let mut creates = Vec::new();
    let (mut together, mut bytes) = (Vec::new(), 0);
    for item in items {
        let more = bytes_of(&item);
        if bytes + more > FOLDED_BYTES_MAX && !together.is_empty() {
            creates.push(fold(std::mem::take(&mut together)));
            bytes = 0;
        }
        bytes += more;
        together.push(item);
    }
    creates.push(fold(together));
    creates
}

/// Bytes that the values of an item take in an event. Names become ids there, of which a body has so many at most.
#[must_use]
pub fn bytes_of(item: &WriteSet) -> usize {
    let mut count = Count(0);
    for write in &item.writes {
        // Counting does not fail, and neither does a value of plain members.
        drop(serde_json::to_writer(&mut count, &write.write));
    }
    count.0
}

/// Counts what is written to it.
struct Count(usize);

impl std::io::Write for Count {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What items write together: per trait the last one's write, and every identifier once, in document order, which is the
/// order of their age.
fn fold(items: impl IntoIterator<Item = WriteSet>) -> WriteSet {
    let mut folded = WriteSet::default();
    let mut places: HashMap<DefinitionId, usize> = HashMap::new();
    let mut known: HashSet<Identifier> = HashSet::new();
    for item in items {
        for write in item.writes {
            match places.get(&write.definition) {
                Some(place) => folded.writes[*place] = write,
                None => {
                    places.insert(write.definition, folded.writes.len());
                    folded.writes.push(write);
                }
            }
        }
        for identifier in item.identifiers {
            if known.insert(identifier.clone()) {
                folded.identifiers.push(identifier);
            }
        }
    }
    folded
}

#[cfg(test)]
mod tests;
