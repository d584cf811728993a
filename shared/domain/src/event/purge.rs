//! The purge event: something is dead or stands for nothing, and nothing of it is to be left.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{EventError, Kind, VERSION, read};
use crate::id::{ProfileId, ProfileKey, RequestId, StoreId};

/// What is to be purged. Whoever applies it looks whether that is so, and erases what there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PurgeEvent {
    /// The store.
    pub store: StoreId,
    /// What of it.
    pub scope: Scope,
    /// The request that asked for it, for logs and traces.
    pub request: RequestId,
}

/// What of a store is to be purged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// A dead set, by the root that was killed.
    Set(ProfileId),
    /// All profiles of a deleted store that are younger than this one; from the oldest on if `None`.
    Store(Option<ProfileId>),
    /// Identifier rows of a profile whose claims have been somebody else's, or nobody's, for long.
    Leftovers(ProfileId),
}

impl PurgeEvent {
    /// The profile that it is about; of a store, the one after which to go on.
    #[must_use]
    pub const fn profile(&self) -> Option<ProfileId> {
        match self.scope {
            Scope::Set(profile) | Scope::Leftovers(profile) => Some(profile),
            Scope::Store(after) => after,
        }
    }

    /// The partition of the profile that it is about.
    #[must_use]
    pub fn key(&self) -> Option<ProfileKey> {
        self.profile().map(|profile| ProfileKey {
            store: self.store,
            profile,
        })
    }

    /// The bytes of the event: one JSON object without blanks, members always in the same order. Read by
    /// [`super::Event::decode`].
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let kind = match self.scope {
            Scope::Set(_) => Kind::PurgeSet,
            Scope::Store(_) => Kind::PurgeStore,
            Scope::Leftovers(_) => Kind::PurgeLeftovers,
        };
        let wire = Wire {
            version: VERSION,
            kind: Cow::Borrowed(kind.as_str()),
            store: self.store,
            profile: self.profile(),
            request: self.request,
        };
        // Plain members, written to memory: nothing here can fail. No bytes would be refused as empty.
        serde_json::to_vec(&wire).unwrap_or_default()
    }

    /// Reads what has the head of a purge event of this kind.
    pub(super) fn read(kind: Kind, bytes: &[u8]) -> Result<Self, EventError> {
        let wire: Wire<'_> = read(bytes).map_err(|_| EventError::Malformed)?;
        let scope = match (kind, wire.profile) {
            (Kind::PurgeSet, Some(profile)) => Scope::Set(profile),
            (Kind::PurgeStore, after) => Scope::Store(after),
            (Kind::PurgeLeftovers, Some(profile)) => Scope::Leftovers(profile),
            (Kind::PurgeSet | Kind::PurgeLeftovers, None) | (Kind::Traits, _) => {
                return Err(EventError::Malformed);
            }
        };
        Ok(Self {
            store: wire.store,
            scope,
            request: wire.request,
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire<'a> {
    version: u64,
    #[serde(borrow)]
    kind: Cow<'a, str>,
    store: StoreId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    profile: Option<ProfileId>,
    request: RequestId,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::super::{Event, TraitEvent};
    use super::*;

    const EXAMPLE: &[u8] = include_bytes!("../../tests/golden/v1/purge-set-event.json");

    fn example() -> PurgeEvent {
        match Event::decode(EXAMPLE).unwrap() {
            Event::Purge(event) => event,
            Event::Traits(_) => panic!("a purge event"),
        }
    }

    /// The example with something else in its place.
    fn changed(from: &str, to: &str) -> Result<Event, EventError> {
        let text = std::str::from_utf8(EXAMPLE).unwrap();
        assert_eq!(text.matches(from).count(), 1, "{from}");
        Event::decode(text.replace(from, to).as_bytes())
    }

    #[test]
    fn the_example_is_read_and_written_back_byte_for_byte() {
        let event = example();
        assert_eq!(event.encode(), EXAMPLE);
        assert_eq!(
            event
                .profile()
                .map(|profile| profile.to_string())
                .as_deref(),
            Some("mem_profile_01hf7ya00070g80000000000ad")
        );
    }

    #[test]
    fn a_reader_of_traits_does_not_take_it_for_traits() {
        assert_eq!(TraitEvent::decode(EXAMPLE), Err(EventError::UnknownKind));
        let traits = include_bytes!("../../tests/golden/v1/trait-event.json");
        let disguised = std::str::from_utf8(traits)
            .unwrap()
            .replace(r#""kind":"traits""#, r#""kind":"purge""#);
        assert_eq!(
            Event::decode(disguised.as_bytes()),
            Err(EventError::Malformed)
        );
        assert_eq!(
            changed(r#""kind":"purge""#, r#""kind":"traits""#),
            Err(EventError::Malformed)
        );
    }

    #[test]
    fn another_version_or_kind_is_named() {
        assert_eq!(
            changed(r#""version":1"#, r#""version":2"#),
            Err(EventError::UnknownVersion(2))
        );
        assert_eq!(
            changed(r#""kind":"purge""#, r#""kind":"purge all""#),
            Err(EventError::UnknownKind)
        );
    }

    #[test]
    fn nothing_unknown_missing_or_repeated_passes() {
        let malformed = Err(EventError::Malformed);
        let kind = r#""kind":"purge""#;
        assert_eq!(changed(kind, r#""kind":"purge","more":1"#), malformed);
        assert_eq!(changed(kind, r#""kind":"purge","kind":"purge""#), malformed);
        assert_eq!(changed("\"store\"", "\"shop\""), malformed);
        assert_eq!(changed("mem_store_", "mem_profile_"), malformed);
        assert_eq!(changed("RQ", "QR"), malformed);
        let profile = r#""profile":"mem_profile_01hf7ya00070g80000000000ad","#;
        assert_eq!(changed(profile, ""), malformed);
        let array = serde_json::to_vec(&[1]).unwrap();
        assert_eq!(Event::decode(&array), malformed);
        let trailing = [EXAMPLE, b"x"].concat();
        assert_eq!(Event::decode(&trailing), malformed);
        assert_eq!(Event::decode(b""), Err(EventError::Empty));
    }

    proptest! {
        #[test]
        fn an_event_is_read_as_it_was_written(ids: [u128; 3], scope in 0..4) {
            let [store, profile, request] = ids.map(Uuid::from_u128);
            let profile = ProfileId::from_uuid(profile);
            let event = PurgeEvent {
                store: StoreId::from_uuid(store),
                scope: match scope {
                    0 => Scope::Set(profile),
                    1 => Scope::Store(None),
                    2 => Scope::Store(Some(profile)),
                    _ => Scope::Leftovers(profile),
                },
                request: RequestId::from_uuid(request),
            };
            prop_assert_eq!(Event::decode(&event.encode()), Ok(Event::Purge(event)));
        }

        #[test]
        fn a_damaged_event_never_makes_it_panic(at in 0..EXAMPLE.len(), byte: u8) {
            let mut bytes = EXAMPLE.to_vec();
            bytes[at] = byte;
            if let Ok(Event::Purge(event)) = Event::decode(&bytes) {
                prop_assert_eq!(Event::decode(&event.encode()), Ok(Event::Purge(event)));
            }
        }
    }
}
