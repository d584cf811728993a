//! Rows of `cells` and what they mean. The key of each kind stands in `schema.rs`.

use kith_domain::id::{ClaimId, DefinitionId, LinkToken, ProfileId, ProfileKey};
use kith_domain::identifier::{IdType, IdentifierValue};
use kith_domain::time::Micros;
use kith_domain::traits::{CellBytes, TraitCell};
use kith_profiles::ports::{CellRows, CellWrite, IdentRow, LinkRow};
use scylla::serialize::SerializationError;
use scylla::serialize::row::{RowSerializationContext, SerializeRow};
use scylla::serialize::writers::RowWriter;
use scylla::value::MaybeUnset;
use uuid::Uuid;

use crate::identity::partition;
use crate::send::Corrupt;

pub(super) const CLOCK: &str = "clock";
pub(super) const IDENT: &str = "ident";
pub(super) const LINK: &str = "link";
pub(super) const MEMBER: &str = "member";
pub(super) const ROOT: &str = "root";
pub(super) const TRAIT: &str = "trait";

/// kind, k1, k2, k3, value, time, settled
pub(super) type CellRow<'r> = (
    &'r str,
    &'r str,
    &'r str,
    &'r str,
    Option<&'r [u8]>,
    Option<i64>,
    Option<bool>,
);

/// The key of a row within its profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    kind: &'static str,
    k: [String; 3],
}

impl Key {
    fn new(kind: &'static str, k1: String, k2: String, k3: String) -> Self {
        Self {
            kind,
            k: [k1, k2, k3],
        }
    }

    pub(super) fn alone(kind: &'static str) -> Self {
        Self::new(kind, String::new(), String::new(), String::new())
    }

    fn of_id(kind: &'static str, id: Uuid) -> Self {
        Self::new(kind, text(id), String::new(), String::new())
    }

    pub(super) fn ident(id_type: &IdType, value: &IdentifierValue, claim: ClaimId) -> Self {
        let (id_type, value) = (id_type.as_str().to_owned(), value.expose().to_owned());
        Self::new(IDENT, id_type, value, text(claim.as_uuid()))
    }

    pub(super) fn link(child: ProfileId, token: LinkToken) -> Self {
        Self::new(
            LINK,
            text(child.as_uuid()),
            text(token.as_uuid()),
            String::new(),
        )
    }

    pub(super) fn kind(&self) -> &'static str {
        self.kind
    }

    pub(super) fn columns(&self) -> (&str, &str, &str, &str) {
        let [k1, k2, k3] = &self.k;
        (self.kind, k1, k2, k3)
    }
}

/// A write, bound to its statement.
#[derive(Debug)]
pub(super) enum Bound<'w> {
    Put(Put<'w>),
    Forget(Forget),
}

#[derive(Debug)]
pub(super) struct Put<'w> {
    partition: (Uuid, Uuid),
    key: Key,
    value: MaybeUnset<ValueBytes<'w>>,
    time: MaybeUnset<i64>,
    settled: MaybeUnset<bool>,
    stamp: i64,
}

#[derive(Debug)]
enum ValueBytes<'w> {
    Id(Uuid),
    Cell(&'w CellBytes),
}

#[derive(Debug)]
pub(super) struct Forget {
    partition: (Uuid, Uuid),
    key: Key,
    stamp: i64,
}

impl<'w> Bound<'w> {
    pub(super) fn new(at: ProfileKey, time: Micros, write: &'w CellWrite) -> Self {
        let stamp = time.as_micros();
        let put = |key| Put {
            partition: partition(at),
            key,
            value: MaybeUnset::Unset,
            time: MaybeUnset::Unset,
            settled: MaybeUnset::Unset,
            stamp,
        };
        // Never NULL, which would be a tombstone: what a write does not say is left as it is.
        let mark = |settled| {
            if settled {
                MaybeUnset::Set(true)
            } else {
                MaybeUnset::Unset
            }
        };
        Self::Put(match write {
            CellWrite::Clock => Put {
                time: MaybeUnset::Set(stamp),
                ..put(Key::alone(CLOCK))
            },
            CellWrite::Ident(IdentRow {
                id_type,
                value,
                claim,
                added_at,
                settled,
            }) => Put {
                time: MaybeUnset::Set(added_at.as_micros()),
                settled: mark(*settled),
                ..put(Key::ident(id_type, value, *claim))
            },
            CellWrite::Link(LinkRow {
                child,
                token,
                settled,
            }) => Put {
                settled: mark(*settled),
                ..put(Key::link(*child, *token))
            },
            CellWrite::Member(profile) => put(Key::of_id(MEMBER, profile.as_uuid())),
            CellWrite::Root(profile) => Put {
                value: MaybeUnset::Set(ValueBytes::Id(profile.as_uuid())),
                ..put(Key::alone(ROOT))
            },
            CellWrite::Trait(definition, bytes) => Put {
                value: MaybeUnset::Set(ValueBytes::Cell(bytes)),
                time: MaybeUnset::Set(stamp),
                ..put(Key::of_id(TRAIT, definition.as_uuid()))
            },
            CellWrite::ForgetIdent(id_type, value, claim) => {
                let key = Key::ident(id_type, value, *claim);
                return Self::Forget(Forget {
                    partition: partition(at),
                    key,
                    stamp,
                });
            }
        })
    }
}

impl SerializeRow for Bound<'_> {
    fn serialize(
        &self,
        context: &RowSerializationContext<'_>,
        writer: &mut RowWriter<'_>,
    ) -> Result<(), SerializationError> {
        match self {
            Self::Put(Put {
                partition: (store, profile),
                key,
                value,
                time,
                settled,
                stamp,
            }) => {
                let (kind, k1, k2, k3) = key.columns();
                let value: MaybeUnset<&[u8]> = match value {
                    MaybeUnset::Unset => MaybeUnset::Unset,
                    MaybeUnset::Set(ValueBytes::Id(id)) => MaybeUnset::Set(id.as_bytes()),
                    MaybeUnset::Set(ValueBytes::Cell(bytes)) => MaybeUnset::Set(bytes.as_slice()),
                };
                (
                    store, profile, kind, k1, k2, k3, value, time, settled, stamp,
                )
                    .serialize(context, writer)
            }
            Self::Forget(Forget {
                partition: (store, profile),
                key,
                stamp,
            }) => {
                let (kind, k1, k2, k3) = key.columns();
                (stamp, store, profile, kind, k1, k2, k3).serialize(context, writer)
            }
        }
    }

    fn is_empty(&self) -> bool {
        false
    }
}

/// Adds a row to what was read.
pub(super) fn absorb(rows: &mut CellRows, row: CellRow<'_>) -> Result<(), Corrupt> {
    let (kind, k1, k2, k3, value, time, settled) = row;
    // A value may be in the key; a row is told by its kind alone.
    let lacks = |what| Corrupt(format!("a row of kind {kind} has no {what}"));
    let time = || time.map(Micros::from_micros).ok_or_else(|| lacks("time"));
    let value = || value.ok_or_else(|| lacks("value"));
    let settled = settled.unwrap_or_default();
    match kind {
        CLOCK => rows.clock = Some(time()?),
        ROOT => {
            let id = Uuid::from_slice(value()?).map_err(|_| lacks("id"))?;
            rows.root = Some(ProfileId::from_uuid(id));
        }
        IDENT => rows.idents.push(IdentRow {
            id_type: IdType::new(k1),
            value: IdentifierValue::new(k2),
            claim: ClaimId::from_uuid(id(k3, lacks)?),
            added_at: time()?,
            settled,
        }),
        LINK => rows.links.push(LinkRow {
            child: ProfileId::from_uuid(id(k1, lacks)?),
            token: LinkToken::from_uuid(id(k2, lacks)?),
            settled,
        }),
        MEMBER => rows.members.push(ProfileId::from_uuid(id(k1, lacks)?)),
        TRAIT => rows.traits.push(TraitCell {
            definition: DefinitionId::from_uuid(id(k1, lacks)?),
            value: CellBytes::from_stored(value()?.to_vec()),
            time: time()?,
        }),
        _ => return Err(Corrupt(format!("a row of the unknown kind {kind}"))),
    }
    Ok(())
}

fn text(id: Uuid) -> String {
    id.as_hyphenated().to_string()
}

fn id(text: &str, lacks: impl Fn(&'static str) -> Corrupt) -> Result<Uuid, Corrupt> {
    Uuid::try_parse(text).map_err(|_| lacks("id in its key"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(row: CellRow<'_>) -> Result<CellRows, String> {
        let mut rows = CellRows::default();
        absorb(&mut rows, row).map_err(|Corrupt(detail)| detail)?;
        Ok(rows)
    }

    #[test]
    fn a_mark_that_was_never_written_is_not_set() {
        let id = text(Uuid::from_u128(1));
        let rows = read((
            "ident",
            "email",
            "ada@example.com",
            &id,
            None,
            Some(5),
            None,
        ))
        .unwrap();
        assert!(!rows.idents[0].settled);
        let rows = read(("link", &id, &id, "", None, None, Some(true))).unwrap();
        assert!(rows.links[0].settled);
    }

    #[test]
    fn a_corrupt_row_is_refused_without_showing_its_key() {
        let id = text(Uuid::from_u128(1));
        for row in [
            ("ident", "email", "ada@example.com", "", None, Some(5), None),
            (
                "ident",
                "email",
                "ada@example.com",
                id.as_str(),
                None,
                None,
                None,
            ),
            ("trait", id.as_str(), "", "", None, Some(5), None),
            ("root", "", "", "", Some(&b"short"[..]), None, None),
            ("clock", "", "", "", None, None, None),
            ("other", "ada@example.com", "", "", None, None, None),
        ] {
            let detail = read(row).unwrap_err();
            assert!(!detail.contains("ada"), "{detail}");
        }
    }

    #[test]
    fn what_a_write_does_not_say_is_unset() {
        let at = ProfileKey {
            store: kith_domain::id::StoreId::from_uuid(Uuid::nil()),
            profile: ProfileId::from_uuid(Uuid::from_u128(7)),
        };
        let link = |settled| {
            CellWrite::Link(LinkRow {
                child: at.profile,
                token: LinkToken::from_uuid(Uuid::from_u128(8)),
                settled,
            })
        };
        let (open, settled) = (link(false), link(true));
        let mark = |write| match Bound::new(at, Micros::from_micros(9), write) {
            Bound::Put(put) => (
                matches!(put.settled, MaybeUnset::Set(true)),
                matches!(put.settled, MaybeUnset::Unset),
            ),
            Bound::Forget(_) => panic!("not a removal"),
        };
        assert_eq!(mark(&open), (false, true));
        assert_eq!(mark(&settled), (true, false));
    }
}
