//! Reading one profile and the list of a store. Of one, always through FIND, so nothing of a dead set is ever seen; of the list,
//! by the first step of a find, which tells whoever is no root from whoever is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::stream::{self, StreamExt};
use kith_domain::id::{DefinitionId, ProfileId, ProfileKey, StoreId};
use kith_domain::identifier::{IdType, IdentifierValue};
use kith_domain::store::StoreRecord;
use kith_domain::traits::{TraitCell, join};

use crate::Profiles;
use crate::corrupt::{is_first, not_older};
use crate::environment::Environment;
use crate::error::{PortError, Trouble};
use crate::ports::{Database, Listing, NodeRead, Order, Pointer, Select, Verdict, Verdicts};
use crate::protocol::find::{End, Found, exists, find_all, verdict_of};
use crate::protocol::limits::{by_value, held};
use crate::protocol::members::{Members, collect, collect_if_root};

/// Profiles of a page that are asked for one by one, at once, when all together met a corrupt row.
const READS_AT_ONCE: usize = 16;

/// What a profile id means now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Located<T> {
    /// It is canonical.
    Here(T),
    /// It was merged away: the canonical id, at the end of the whole chain.
    Moved(ProfileId),
    /// Nobody, ever or any more.
    Gone,
}

impl<T> Located<T> {
    /// The same with something else about a profile that is canonical.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Located<U> {
        match self {
            Self::Here(value) => Located::Here(change(value)),
            Self::Moved(to) => Located::Moved(to),
            Self::Gone => Located::Gone,
        }
    }
}

/// A page of a store's canonical, live profiles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfilePage {
    /// The ids, in order.
    pub profiles: Vec<ProfileId>,
    /// The last id looked at, if there may be more after it.
    pub next_after: Option<ProfileId>,
}

/// Hints read for one page at the most, times its size: a page that meets nothing but merged ids ends, short, with a token.
const HINTS_MAX: usize = 10;
/// Hints read in one round at the most, times the size of the page.
const HINTS_AT_ONCE: usize = 2;

impl<E: Environment> Profiles<E> {
    /// Where a profile is.
    ///
    /// # Errors
    /// [`Trouble`].
    pub async fn locate(
        &self,
        store: &StoreRecord,
        profile: ProfileId,
    ) -> Result<Located<()>, Trouble> {
        locate(self.env.database(), store.id, profile).await
    }

    /// The newest write of every trait of a profile, removals included.
    ///
    /// # Errors
    /// [`Trouble`].
    pub async fn traits(
        &self,
        store: &StoreRecord,
        profile: ProfileId,
    ) -> Result<Located<BTreeMap<DefinitionId, TraitCell>>, Trouble> {
        let database = self.env.database();
        let members = match members_of(database, store.id, profile, &[Select::Traits]).await? {
            Located::Here(members) => members,
            Located::Moved(to) => return Ok(Located::Moved(to)),
            Located::Gone => return Ok(Located::Gone),
        };
        let cells = members
            .rows
            .into_iter()
            .flat_map(|(member, rows)| rows.traits.into_iter().map(move |cell| (member, cell)));
        Ok(Located::Here(join(cells)))
    }

    /// The identifiers of a profile by type, in the order of the store's settings, values oldest first. Types that are not
    /// configured are left out.
    ///
    /// # Errors
    /// [`Trouble`].
    pub async fn identifiers(
        &self,
        store: &StoreRecord,
        profile: ProfileId,
    ) -> Result<Located<Vec<(IdType, Vec<IdentifierValue>)>>, Trouble> {
        let database = self.env.database();
        let members = match members_of(database, store.id, profile, &[Select::Idents]).await? {
            Located::Here(members) => members,
            Located::Moved(to) => return Ok(Located::Moved(to)),
            Located::Gone => return Ok(Located::Gone),
        };
        let configured = |id_type: &IdType| store.settings.config(id_type).is_some();
        let mut by_type: BTreeMap<IdType, Vec<IdentifierValue>> = BTreeMap::new();
        let held = held(database, store, &members, configured).await?;
        for one in by_value(held)
            .into_iter()
            .filter_map(|value| value.into_iter().next())
        {
            by_type
                .entry(one.row.id_type)
                .or_default()
                .push(one.row.value);
        }
        let order = store.settings.identifier_configs.iter();
        let sets = order.filter_map(|config| {
            let values = by_type.remove(&config.id_type)?;
            Some((config.id_type.clone(), values))
        });
        Ok(Located::Here(sets.collect()))
    }

    /// A page of at most `size` profiles of a store. A profile with a corrupt row is left out, and told of: the others are a
    /// page all the same.
    ///
    /// # Errors
    /// [`Trouble`]; a corrupt row only where no other profile is on the page.
    pub async fn page(
        &self,
        store: &Arc<StoreRecord>,
        order: Order,
        after: Option<ProfileId>,
        size: usize,
    ) -> Result<ProfilePage, Trouble> {
        let database = self.env.database();
        let mut profiles = Vec::with_capacity(size);
        let mut position = after;
        let mut looked = 0;
        while profiles.len() < size && looked < HINTS_MAX * size {
            let wanted = size - profiles.len();
            let asked = hints_for(wanted, profiles.len(), looked).min(HINTS_AT_ONCE * size);
            let hints = database.page(store.id, order, position, asked).await?;
            let is_end = hints.len() < asked;
            looked += asked;
            position = hints.last().copied().or(position);
            let mut found = sound_of(database, store.id, hints).await?;
            if found.len() > wanted {
                // The next page begins with those that are too many for this one.
                found.truncate(wanted);
                position = found.last().copied().or(position);
            } else if is_end {
                position = None;
            }
            profiles.append(&mut found);
            if is_end {
                break;
            }
        }
        Ok(ProfilePage {
            profiles,
            next_after: position,
        })
    }
}

/// How many hints to ask for, to find as many profiles as are wanted where so many were found among those looked at. A few
/// more than that, for one that is missing costs another round: half of a store may have been merged or deleted.
fn hints_for(wanted: usize, found: usize, looked: usize) -> usize {
    if looked == 0 {
        return wanted;
    }
    let expected = wanted * looked / found.max(1);
    expected + expected / 8 + 4
}

/// [`canonical_of`], without those that lead to a corrupt row, unless all of them do.
async fn sound_of<D: Database>(
    database: &D,
    store: StoreId,
    hints: Vec<ProfileId>,
) -> Result<Vec<ProfileId>, PortError> {
    let all = canonical_of(database, store, hints.clone()).await;
    if hints.len() < 2 || !matches!(all, Err(PortError::Corrupt { .. })) {
        return all;
    }
    let mut each = stream::iter(hints)
        .map(|hint| canonical_of(database, store, vec![hint]))
        .buffered(READS_AT_ONCE);
    let (mut profiles, mut is_any_sound) = (Vec::new(), false);
    while let Some(one) = each.next().await {
        match one {
            Ok(one) => {
                is_any_sound = true;
                profiles.extend(one);
            }
            Err(PortError::Corrupt { operation, detail }) => {
                if is_first(&detail) {
                    tracing::error!(
                        operation,
                        detail,
                        "a profile with a corrupt row is not listed"
                    );
                }
            }
            Err(error) => return Err(error),
        }
    }
    if is_any_sound { Ok(profiles) } else { all }
}

/// Those of a listing's hints that are canonical and alive, in their order. Most have no pointer and no mark, and cost one
/// read; one that has a pointer is canonical unless its parent says `linked`, wherever the rest of the chain leads.
async fn canonical_of<D: Database>(
    database: &D,
    store: StoreId,
    mut hints: Vec<ProfileId>,
) -> Result<Vec<ProfileId>, PortError> {
    let read = |profile, verdicts| NodeRead {
        at: ProfileKey { store, profile },
        verdicts,
    };
    let reads: Vec<NodeRead> = hints
        .iter()
        .map(|profile| read(*profile, Verdicts::None))
        .collect();
    let nodes = database.nodes(&reads).await?;
    let mut pointing = Vec::new();
    let mut reads = Vec::new();
    let mut dead = BTreeSet::new();
    for (id, node) in hints.iter().zip(&nodes) {
        if node.dead.is_some() {
            dead.insert(*id);
        } else if let Some(Pointer { parent, token }) = node.pointer {
            if parent >= *id {
                return Err(not_older("list", store, *id, parent));
            }
            pointing.push((*id, token));
            reads.push(read(parent, Verdicts::Of(*id, token)));
        }
    }
    let parents = match reads.as_slice() {
        [] => Vec::new(),
        reads => database.nodes(reads).await?,
    };
    let linked: BTreeSet<ProfileId> = pointing
        .into_iter()
        .zip(&parents)
        .filter(|((id, token), parent)| verdict_of(parent, *id, *token) == Some(Verdict::Linked))
        .map(|((id, _), _)| id)
        .collect();
    hints.retain(|id| !dead.contains(id) && !linked.contains(id));
    Ok(hints)
}

/// Follows an id to what it means now. A profile exists when its cells or its node have a row.
pub(crate) async fn locate<D: Database>(
    database: &D,
    store: StoreId,
    profile: ProfileId,
) -> Result<Located<()>, Trouble> {
    let found = find_all(database, store, vec![(profile, Vec::new())])
        .await?
        .pop();
    let Some(found) = found else {
        return Ok(Located::Gone);
    };
    match found.end {
        End::Dead => Ok(Located::Gone),
        End::Live(root) | End::Undecided(root) if root.id != profile => Ok(Located::Moved(root.id)),
        End::Live(_) | End::Undecided(_) => {
            let is_known = exists(database, store, &found).await?;
            Ok(if is_known {
                Located::Here(())
            } else {
                Located::Gone
            })
        }
    }
}

/// The members of a canonical profile, each with the rows wanted of it, in one round where nobody was merged into it lately.
pub(crate) async fn members_of<D: Database>(
    database: &D,
    store: StoreId,
    profile: ProfileId,
    select: &[Select],
) -> Result<Located<Members>, Trouble> {
    if let Some(members) = collect_if_root(database, store, profile, select).await? {
        return Ok(Located::Here(members));
    }
    Ok(match locate(database, store, profile).await? {
        Located::Here(()) => Located::Here(collect(database, store, profile, select).await?),
        Located::Moved(to) => Located::Moved(to),
        Located::Gone => Located::Gone,
    })
}

/// The distinct canonical owners that finds ended at.
pub(crate) fn canonical(found: &[Found]) -> BTreeSet<ProfileId> {
    found
        .iter()
        .filter_map(Found::root)
        .map(|root| root.id)
        .collect()
}
