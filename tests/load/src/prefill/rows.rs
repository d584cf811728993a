//! The rows of some people: what a create, a merge and a deletion leave of them.

use std::ops::Range;

use bytes::Bytes;
use kith_domain::id::{ClaimId, DeleteId, LinkToken, ProfileKey, RequestId, StoreId};
use kith_domain::identifier::{IdType, Identifier, IdentifierValue};
use kith_domain::store::StoreRecord;
use kith_domain::time::Micros;
use kith_domain::traits::{CellBytes, TraitValue, TraitWrite};
use kith_profiles::ports::{CellBatch, CellWrite, Conditional, IdentRow, LinkRow};

use super::Extent;
use crate::population::{self, Fate, fate, internal, merged_into, profile};

/// What an internal id is for.
const CLAIM: u64 = 1;
const TOKEN: u64 = 2;
const KILL: u64 = 3;
const RELEASE: u64 = 4;
const REQUEST: u64 = 5;

/// Rows, by the step in which they are written.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// Claims and pointers.
    pub(super) first: Vec<Conditional>,
    /// Links into parents, which have their pointers by then, and marks.
    pub(super) then: Vec<Conditional>,
    pub(super) cells: Vec<CellBatch>,
    pub(super) listed: Vec<ProfileKey>,
    /// Whose cells go again.
    pub(super) purged: Vec<ProfileKey>,
    pub(super) purged_at: Micros,
    /// Releases of their claims.
    pub(super) last: Vec<Conditional>,
}

impl Rows {
    /// The rows of these people. A pattern of neighbours must not be cut.
    pub(super) fn of(store: &StoreRecord, people: Range<u64>, extent: Extent) -> Self {
        let mut rows = Self {
            purged_at: profile(people.end).created_at(),
            ..Self::default()
        };
        for n in people.clone() {
            rows.person(store, n, people.end, extent);
        }
        rows
    }

    fn person(&mut self, store: &StoreRecord, n: u64, end: u64, extent: Extent) {
        let at = key(store.id, n);
        self.listed.push(at);
        match fate(n) {
            Fate::Live => {}
            Fate::MergedInto(parent) => {
                self.first.push(Conditional::Point {
                    child: at,
                    expected: None,
                    parent: profile(parent),
                    token: token(n),
                });
                self.then.push(Conditional::Link {
                    parent: key(store.id, parent),
                    child: at.profile,
                    token: token(n),
                    // The younger of two that are merged one after another was linked while its parent was a root.
                    expected: match fate(parent) {
                        Fate::MergedInto(_) => Some(token(parent)),
                        Fate::Live | Fate::Dead | Fate::Purged => None,
                    },
                    decided_at: at.profile.created_at(),
                    evidence: Bytes::new(),
                });
            }
            Fate::Dead | Fate::Purged => self.then.push(Conditional::Kill {
                profile: at,
                expected: None,
                id: DeleteId::from_uuid(internal(n, KILL)),
            }),
        }
        if extent == Extent::All {
            self.cells(store, n, end);
        }
    }

    fn cells(&mut self, store: &StoreRecord, n: u64, end: u64) {
        let at = key(store.id, n);
        let mut writes = vec![CellWrite::Clock];
        writes.extend(self.claim(store, n));
        writes.extend(traits(store, n));
        let below = merged_into(n).iter().map(|more| n + more);
        for (place, child) in below.take_while(|child| *child < end).enumerate() {
            if place == 0 {
                writes.push(CellWrite::Link(LinkRow {
                    child: profile(child),
                    token: token(child),
                    settled: true,
                }));
            }
            writes.push(CellWrite::Member(profile(child)));
        }
        self.cells.push(CellBatch {
            at,
            time: at.profile.created_at(),
            writes,
        });
        if fate(n) == Fate::Purged {
            self.purged.push(at);
        }
    }

    /// Claims the e-mail address of a person, and gives the row beside it.
    fn claim(&mut self, store: &StoreRecord, n: u64) -> Option<CellWrite> {
        let identifier = email(n);
        let key = store.claim_secret.claim_key(&identifier);
        let claim = ClaimId::from_uuid(internal(n, CLAIM));
        let by_request = RequestId::from_uuid(internal(n, REQUEST));
        let added_at = profile(n).created_at();
        self.first.push(Conditional::Claim {
            key,
            expected: None,
            id: claim,
            profile: profile(n),
            added_at,
            place: 0,
            by_request,
        });
        if fate(n) == Fate::Purged {
            self.last.push(Conditional::Release {
                key,
                expected: claim,
                id: ClaimId::from_uuid(internal(n, RELEASE)),
                by_request,
            });
        }
        let Identifier { id_type, value } = identifier;
        Some(CellWrite::Ident(IdentRow {
            id_type,
            value,
            claim,
            added_at,
            settled: true,
        }))
    }
}

/// The e-mail address of a person, in its normal form.
fn email(n: u64) -> Identifier {
    Identifier {
        id_type: IdType::new("email"),
        value: IdentifierValue::new(&population::email(n)),
    }
}

fn traits(store: &StoreRecord, n: u64) -> impl Iterator<Item = CellWrite> {
    let values = [
        ("email", email(n).value.expose().to_owned()),
        ("firstName", format!("Person {n}")),
    ];
    values.into_iter().filter_map(|(name, value)| {
        let definition = store.definition("Contact", name)?.id;
        let bytes = CellBytes::from(&TraitWrite::Set(TraitValue::String(value)));
        Some(CellWrite::Trait(definition, bytes))
    })
}

/// The key of a person.
pub(super) fn key(store: StoreId, n: u64) -> ProfileKey {
    ProfileKey {
        store,
        profile: profile(n),
    }
}

fn token(n: u64) -> LinkToken {
    LinkToken::from_uuid(internal(n, TOKEN))
}
