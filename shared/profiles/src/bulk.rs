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
    let groups = joined(&shared);
    let mut creates: Vec<WriteSet> = groups
        .into_iter()
        .map(|group| {
            fold(
                group
                    .into_iter()
                    .map(|item| std::mem::take(&mut items[item])),
            )
        })
        .collect();
    let shared: Vec<Vec<&Identifier>> = creates
        .iter()
        .map(|create| in_rules(settings, create, false))
        .collect();
    let lines = joined(&shared);
    lines
        .into_iter()
        .map(|line| {
            line.into_iter()
                .map(|create| std::mem::take(&mut creates[create]))
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
