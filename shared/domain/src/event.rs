//! Events: what goes through the log, and its versioned encoding.
//!
//! A trait event has the traits of one request (`trait-order.md` 4). It carries its stamp, and names the profile that the
//! request resolved to; whoever applies it, however late or often, only copies. A purge event names what is dead or stands for
//! nothing, of which nothing is to be left.
//!
//! Their form is a contract between releases: `tests/golden/v1/trait-event.json` and `tests/golden/v1/purge-set-event.json` show it.
//! A reader refuses what it does not know instead of dropping it, so a new member needs a new version, a new kind needs
//! readers that know it, and readers go first.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};

use crate::id::{DefinitionId, ProfileId, RequestId, StoreId};
use crate::time::Micros;
use crate::traits::{CellBytes, TraitValue, TraitWrite};
use crate::{body, object};

mod purge;
mod size;

pub use purge::{PurgeEvent, Scope};
pub use size::record_bytes_max;

/// The version that is written, and the only one that is read.
pub const VERSION: u64 = 1;
/// The kind of a [`TraitEvent`].
pub const KIND: &str = "traits";
/// Traits of one event at most: those of the largest body.
pub const TRAITS_MAX: usize = body::GROUPS_MAX * body::TRAITS_MAX;

/// What a record of the log says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Traits to be written.
    Traits(TraitEvent),
    /// Something to be purged.
    Purge(PurgeEvent),
}

/// Writes of one request to one profile, all under one stamp.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TraitEvent {
    /// The store.
    pub store: StoreId,
    /// The profile as the request resolved it; never re-addressed, also if it was merged since.
    pub profile: ProfileId,
    /// The time of the writes, for ever. After the epoch.
    pub stamp: Micros,
    /// The request, for logs and traces.
    pub request: RequestId,
    /// The version of the store's definitions that the values were checked against.
    pub schema_version: u32,
    /// The cells by definition: at least one, at most [`TRAITS_MAX`], no definition twice.
    pub traits: Vec<(DefinitionId, CellBytes)>,
}

/// Why bytes are no event that this release can apply. No retry makes one good: it goes to the dead letters. No message
/// holds content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// There are no bytes.
    #[error("empty record")]
    Empty,
    /// Not JSON, or of another shape than the version says: members missing, unknown, repeated or of another type.
    #[error("malformed event")]
    Malformed,
    /// Of a version that this release does not know: a newer one wrote it.
    #[error("event of unknown version {0}")]
    UnknownVersion(u64),
    /// Of this version, and of a kind that the reader does not know.
    #[error("event of unknown kind")]
    UnknownKind,
    /// The stamp is not after the epoch.
    #[error("event without a valid stamp")]
    BadStamp,
    /// There is no trait in it.
    #[error("event without traits")]
    NoTraits,
    /// One definition stands in it twice.
    #[error("event with a repeated trait")]
    RepeatedTrait,
    /// More than [`TRAITS_MAX`] traits.
    #[error("event with too many traits")]
    TooManyTraits,
}

impl EventError {
    /// A short label for metrics and dead letters.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Malformed => "malformed",
            Self::UnknownVersion(_) => "unknown_version",
            Self::UnknownKind => "unknown_kind",
            Self::BadStamp => "bad_stamp",
            Self::NoTraits => "no_traits",
            Self::RepeatedTrait => "repeated_trait",
            Self::TooManyTraits => "too_many_traits",
        }
    }
}

impl TraitEvent {
    /// The bytes of the event: one JSON object without blanks, members and traits always in the same order.
    ///
    /// An event that breaks what its fields promise, or holds a cell that cannot be decoded, is written all the same, and
    /// refused by [`TraitEvent::decode`].
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let wire = Written {
            version: VERSION,
            kind: KIND,
            store: self.store,
            profile: self.profile,
            stamp: self.stamp,
            request: self.request,
            schema: self.schema_version,
            traits: WrittenTraits(&self.traits),
        };
        // Plain members and string keys, written to memory: nothing here can fail. No bytes would be refused as empty.
        serde_json::to_vec(&wire).unwrap_or_default()
    }

    /// Reads an event of this kind. The cells have exactly the bytes that were encoded.
    ///
    /// # Errors
    /// [`EventError`]; [`EventError::UnknownKind`] for an event of another kind, too.
    pub fn decode(bytes: &[u8]) -> Result<Self, EventError> {
        match Event::decode(bytes)? {
            Event::Traits(event) => Ok(event),
            Event::Purge(_) => Err(EventError::UnknownKind),
        }
    }

    fn check(&self) -> Result<(), EventError> {
        if self.stamp <= Micros::EPOCH {
            return Err(EventError::BadStamp);
        }
        if self.traits.is_empty() {
            return Err(EventError::NoTraits);
        }
        if self.traits.len() > TRAITS_MAX {
            return Err(EventError::TooManyTraits);
        }
        let mut seen = HashSet::with_capacity(self.traits.len());
        if !self
            .traits
            .iter()
            .all(|(definition, _)| seen.insert(definition))
        {
            return Err(EventError::RepeatedTrait);
        }
        Ok(())
    }
}

impl Event {
    /// Reads an event of any kind.
    ///
    /// # Errors
    /// [`EventError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, EventError> {
        if bytes.is_empty() {
            return Err(EventError::Empty);
        }
        // Nearly all events are about traits: those are read once, and a head of its own is read only of what is left.
        let Ok(read) = read::<Read<'_>>(bytes) else {
            return match read_head(bytes)? {
                Kind::Traits => Err(EventError::Malformed),
                kind @ (Kind::PurgeSet | Kind::PurgeStore | Kind::PurgeLeftovers) => {
                    PurgeEvent::read(kind, bytes).map(Self::Purge)
                }
            };
        };
        let Kind::Traits = check_head(read.version, &read.kind)? else {
            return Err(EventError::Malformed);
        };
        let event = TraitEvent {
            store: read.store,
            profile: read.profile,
            stamp: read.stamp,
            request: read.request,
            schema_version: read.schema,
            traits: read.traits.0,
        };
        event.check()?;
        Ok(Self::Traits(event))
    }
}

/// The kinds of this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Traits,
    PurgeSet,
    PurgeStore,
    PurgeLeftovers,
}

impl Kind {
    const ALL: [Self; 4] = [
        Self::Traits,
        Self::PurgeSet,
        Self::PurgeStore,
        Self::PurgeLeftovers,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Traits => KIND,
            Self::PurgeSet => "purge",
            Self::PurgeStore => "purge-store",
            Self::PurgeLeftovers => "purge-leftovers",
        }
    }
}

fn check_head(version: u64, kind: &str) -> Result<Kind, EventError> {
    if version != VERSION {
        return Err(EventError::UnknownVersion(version));
    }
    Kind::ALL
        .into_iter()
        .find(|known| known.as_str() == kind)
        .ok_or(EventError::UnknownKind)
}

fn read<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, serde_json::Error> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let read = object::only(&mut json)?;
    json.end()?;
    Ok(read)
}

/// The kind of an event that is not about traits of this version, or why it has none.
fn read_head(bytes: &[u8]) -> Result<Kind, EventError> {
    #[derive(Deserialize)]
    struct Version {
        version: u64,
    }
    #[derive(Deserialize)]
    struct Head<'a> {
        version: u64,
        #[serde(borrow)]
        kind: Cow<'a, str>,
    }
    if let Ok(head) = serde_json::from_slice::<Head<'_>>(bytes) {
        return check_head(head.version, &head.kind);
    }
    // Another version need not have a kind.
    match serde_json::from_slice::<Version>(bytes) {
        Ok(Version { version }) if version != VERSION => Err(EventError::UnknownVersion(version)),
        _ => Err(EventError::Malformed),
    }
}

#[derive(Serialize)]
struct Written<'a> {
    version: u64,
    kind: &'static str,
    store: StoreId,
    profile: ProfileId,
    stamp: Micros,
    request: RequestId,
    schema: u32,
    traits: WrittenTraits<'a>,
}

struct WrittenTraits<'a>(&'a [(DefinitionId, CellBytes)]);

impl Serialize for WrittenTraits<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (definition, cell) in self.0 {
            // A cell that nobody can decode becomes `null`, which no reader takes for a write.
            map.serialize_entry(definition, &cell.decode().ok().map(Write::from))?;
        }
        map.end()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read<'a> {
    version: u64,
    #[serde(borrow)]
    kind: Cow<'a, str>,
    store: StoreId,
    profile: ProfileId,
    stamp: Micros,
    request: RequestId,
    schema: u32,
    traits: ReadTraits,
}

/// In the order of the document, repetitions included.
struct ReadTraits(Vec<(DefinitionId, CellBytes)>);

impl<'de> Deserialize<'de> for ReadTraits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Traits;
        impl<'de> Visitor<'de> for Traits {
            type Value = ReadTraits;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("writes by definition")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ReadTraits, A::Error> {
                let mut traits = Vec::new();
                while let Some((definition, OneWrite(write))) = map.next_entry()? {
                    traits.push((definition, CellBytes::from(&write)));
                }
                Ok(ReadTraits(traits))
            }
        }
        deserializer.deserialize_map(Traits)
    }
}

struct OneWrite(TraitWrite);

impl<'de> Deserialize<'de> for OneWrite {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let write: Write = object::only(deserializer)?;
        TraitWrite::try_from(write)
            .map(Self)
            .map_err(D::Error::custom)
    }
}

/// `{"set": value}` or `{"removed": true}`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Write {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    set: Option<TraitValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    removed: Option<bool>,
}

impl From<TraitWrite> for Write {
    fn from(write: TraitWrite) -> Self {
        match write {
            TraitWrite::Set(value) => Self {
                set: Some(value),
                removed: None,
            },
            TraitWrite::Removed => Self {
                set: None,
                removed: Some(true),
            },
        }
    }
}

impl TryFrom<Write> for TraitWrite {
    type Error = &'static str;

    fn try_from(write: Write) -> Result<Self, Self::Error> {
        match write {
            Write {
                set: Some(value),
                removed: None,
            } => Ok(Self::Set(value)),
            Write {
                set: None,
                removed: Some(true),
            } => Ok(Self::Removed),
            Write { .. } => Err("neither set nor removed"),
        }
    }
}

#[cfg(test)]
mod tests;
