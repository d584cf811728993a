//! A store as its control row keeps it: settings, definitions and the key of its claims; and what of a profile's cells its
//! definitions let be seen.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::id::{AccountSid, DefinitionId, StoreId};
use crate::identifier::ClaimSecret;
use crate::schema::{TraitDefinition, TraitGroup};
use crate::settings::IdentitySettings;
use crate::time::Micros;
use crate::traits::{CorruptCell, TraitCell, TraitValue, TraitWrite};

mod given;

pub use given::StoreBody;

/// Stores of an account at most.
pub const STORES_MAX: usize = 15;
/// Characters of a store's name at most.
pub const NAME_CHARS_MAX: usize = 64;
/// Characters of a store's description.
pub const DESCRIPTION_CHARS: std::ops::RangeInclusive<usize> = 1..=128;

/// Everything about a store but its profiles. Serialised for storage; the contract's view of it is made elsewhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoreRecord {
    /// Its id.
    pub id: StoreId,
    /// Whose it is.
    pub account: AccountSid,
    /// Unique in the account: [`is_display_name`].
    pub display_name: String,
    /// 1 to 128 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Whether it can be used.
    pub status: StoreStatus,
    /// Of name and description: from 1, one more with each change.
    pub version: u32,
    /// How its profiles are told apart.
    pub settings: IdentitySettings,
    /// Of the settings: from 1, one more with each change.
    pub settings_version: u32,
    /// Of all definitions together: from 1, one more with each change of any group.
    pub schema_version: u32,
    /// The key of its claims.
    pub claim_secret: ClaimSecret,
    /// Its trait groups, in the order in which they were created.
    pub groups: Vec<TraitGroup>,
    /// Where each definition stands in `groups`: built when it is first asked. `Default::default()` where a record is made.
    #[serde(skip)]
    pub places: Places,
}

/// The state of a store; upper case on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum StoreStatus {
    /// Accepted.
    Queued,
    /// Being made.
    Provisioning,
    /// In use: the only state that takes requests for profiles.
    Active,
    /// Failed for good.
    Failed,
}

/// Where definitions stand in the groups of a [`StoreRecord`]. A memory of what can be worked out: all are equal, and a clone
/// starts anew, so that it fits a copy that is about to be changed.
#[derive(Debug, Default)]
pub struct Places(OnceLock<Index>);

#[derive(Debug)]
struct Index {
    /// The version of the definitions that it was built for.
    schema_version: u32,
    places: HashMap<DefinitionId, Place>,
}

impl Clone for Places {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Places {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// Positions of a definition: of its group, and in it. Sorts like the definitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    group: usize,
    definition: usize,
}

impl StoreRecord {
    /// The definition of a trait: the group by its exact name, the trait by any spelling of its name.
    #[must_use]
    pub fn definition(&self, group: &str, name: &str) -> Option<&TraitDefinition> {
        self.group(group)?.find(name)
    }

    /// A group by its exact name.
    #[must_use]
    pub fn group(&self, name: &str) -> Option<&TraitGroup> {
        self.groups.iter().find(|group| group.name == name)
    }

    /// Group and name of a definition; `None` if it is not, or no longer, defined. In constant time, provided that a change
    /// of the groups in place comes with another [`schema_version`](Self::schema_version), as it must.
    #[must_use]
    pub fn name_of(&self, id: DefinitionId) -> Option<(&str, &str)> {
        self.at(self.place_of(id)?)
    }

    fn place_of(&self, id: DefinitionId) -> Option<Place> {
        let index = self.places.0.get_or_init(|| Index {
            schema_version: self.schema_version,
            places: self.all_places().collect(),
        });
        if index.schema_version == self.schema_version {
            index.places.get(&id).copied()
        } else {
            self.all_places()
                .find(|(other, _)| *other == id)
                .map(|(_, place)| place)
        }
    }

    fn all_places(&self) -> impl Iterator<Item = (DefinitionId, Place)> {
        self.groups
            .iter()
            .enumerate()
            .flat_map(|(group, TraitGroup { traits, .. })| {
                let definitions = traits.values().enumerate();
                definitions.map(move |(at, definition)| {
                    (
                        definition.id,
                        Place {
                            group,
                            definition: at,
                        },
                    )
                })
            })
    }

    fn at(&self, place: Place) -> Option<(&str, &str)> {
        let group = self.groups.get(place.group)?;
        let (name, _) = group.traits.get_index(place.definition)?;
        Some((&group.name, name))
    }
}

/// A value of a profile that its store's definitions let be seen.
#[derive(Debug, Clone, PartialEq)]
pub struct VisibleTrait<'a> {
    /// The group's name.
    pub group: &'a str,
    /// The trait's name.
    pub name: &'a str,
    /// The value; it has the type that was defined when it was written.
    pub value: TraitValue,
    /// When it was written.
    pub time: Micros,
}

/// What of a profile's joined cells can be seen: in the order of the definitions, removed traits and unknown definitions
/// left out. `filter` names the groups that are wanted (`traitGroups`); names that do not exist are ignored.
///
/// # Errors
/// [`CorruptCell`] if a cell that would be seen cannot be decoded.
pub fn visible<'a>(
    record: &'a StoreRecord,
    joined: &BTreeMap<DefinitionId, TraitCell>,
    filter: Option<&BTreeSet<String>>,
) -> Result<Vec<VisibleTrait<'a>>, CorruptCell> {
    placed(record, joined, filter)
        .filter_map(|(group, name, cell)| match cell.value.decode() {
            Ok(TraitWrite::Set(value)) => Some(Ok(VisibleTrait {
                group,
                name,
                value,
                time: cell.time,
            })),
            Ok(TraitWrite::Removed) => None,
            Err(corrupt) => Some(Err(corrupt)),
        })
        .collect()
}

/// The cells of known definitions of the wanted groups, with their names, in the order of the definitions.
fn placed<'a, 'c>(
    record: &'a StoreRecord,
    joined: &'c BTreeMap<DefinitionId, TraitCell>,
    filter: Option<&BTreeSet<String>>,
) -> impl Iterator<Item = (&'a str, &'a str, &'c TraitCell)> {
    let mut cells: Vec<_> = joined
        .iter()
        .filter_map(|(id, cell)| Some((record.place_of(*id)?, cell)))
        .collect();
    cells.sort_unstable_by_key(|(place, _)| *place);
    cells.into_iter().filter_map(move |(place, cell)| {
        let (group, name) = record.at(place)?;
        let wanted = filter.is_none_or(|filter| filter.contains(group));
        wanted.then_some((group, name, cell))
    })
}

/// Groups values by group and name, in their order: the member `traits` of a profile (`memory-api.md` 6.3). Groups without
/// values do not appear.
#[must_use]
pub fn grouped<'a>(traits: impl IntoIterator<Item = VisibleTrait<'a>>) -> Map<String, Value> {
    let mut groups = Map::new();
    for VisibleTrait {
        group, name, value, ..
    } in traits
    {
        let members = groups
            .entry(group)
            .or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(members) = members {
            members.insert(name.to_owned(), value.into());
        }
    }
    groups
}

/// [`visible`] and [`grouped`] in one, for a caller that has no use for a corrupt cell: it is left out.
#[must_use]
pub fn profile_traits(
    record: &StoreRecord,
    joined: BTreeMap<DefinitionId, TraitCell>,
    filter: Option<&BTreeSet<String>>,
) -> Map<String, Value> {
    grouped(
        placed(record, &joined, filter).filter_map(|(group, name, cell)| {
            match cell.value.decode() {
                Ok(TraitWrite::Set(value)) => Some(VisibleTrait {
                    group,
                    name,
                    value,
                    time: cell.time,
                }),
                Ok(TraitWrite::Removed) | Err(CorruptCell) => None,
            }
        }),
    )
}

/// Whether a text can be the name of a store: `^[a-zA-Z0-9-]+$`, at most 64 characters (`memory-api.md` 4).
#[must_use]
pub fn is_display_name(text: &str) -> bool {
    (1..=NAME_CHARS_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// Whether a text can be the description of a store: 1 to 128 characters, none of them U+0000.
#[must_use]
pub fn is_description(text: &str) -> bool {
    let chars = text.chars().take(DESCRIPTION_CHARS.end() + 1).count();
    DESCRIPTION_CHARS.contains(&chars) && !text.contains('\0')
}

#[cfg(test)]
mod tests;
