//! Steps 1 to 3 of a resolve: what the reads of one try say.

use std::collections::BTreeMap;

use bytes::Bytes;
use kith_domain::id::{ClaimId, ProfileId, RequestId};
use kith_domain::identifier::{ClaimKey, Identifier};
use kith_domain::time::Micros;

use super::evidence::evidence;
use super::find::{End, Found, Passed, Root};
use super::resolve::Question;
use crate::environment::{Environment, Omission};
use crate::error::Trouble;
use crate::ports::{Claim, IdentRow, Identity, Pointer};

/// One identifier and what is known of its claim.
pub(super) struct Wanted<'a> {
    pub(super) identifier: &'a Identifier,
    pub(super) key: ClaimKey,
    pub(super) place: u16,
    /// Whether it is claimed for one profile. Else several may own it, and a claim is one that was made under other settings:
    /// it still counts.
    pub(super) unique: bool,
    pub(super) claim: Option<Claim>,
}

impl Wanted<'_> {
    pub(super) fn row(&self, claim: ClaimId, added_at: Micros, settled: bool) -> IdentRow {
        IdentRow {
            id_type: self.identifier.id_type.clone(),
            value: self.identifier.value.clone(),
            claim,
            added_at,
            settled,
        }
    }
}

/// What the reads of one try say: steps 1 to 3.
pub(super) struct Survey<'a> {
    pub(super) wanted: Vec<Wanted<'a>>,
    pub(super) found: BTreeMap<ProfileId, Found>,
    /// The distinct live roots.
    pub(super) roots: BTreeMap<ProfileId, Root>,
    /// Those whose pointer has no verdict yet.
    pub(super) undecided: BTreeMap<ProfileId, Pointer>,
}

impl<'a> Survey<'a> {
    pub(super) fn new(wanted: Vec<Wanted<'a>>, found: BTreeMap<ProfileId, Found>) -> Self {
        let roots = found.values().filter_map(Found::root);
        let roots = roots.map(|root| (root.id, root)).collect();
        let undecided = found
            .values()
            .filter_map(|found| match found.end {
                End::Undecided(Root {
                    id,
                    pointer: Some(pointer),
                }) => Some((id, pointer)),
                End::Undecided(_) | End::Live(_) | End::Dead => None,
            })
            .collect();
        Self {
            wanted,
            found,
            roots,
            undecided,
        }
    }

    /// Why these are joined.
    pub(super) fn evidence(&self, question: &Question) -> Bytes {
        let claims = self.wanted.iter();
        evidence(
            question,
            claims.map(|one| (&one.identifier.id_type, one.claim.map(|claim| claim.id))),
        )
    }

    /// The oldest root, which survives.
    pub(super) fn target<E: Environment>(&self, env: &E) -> Option<Root> {
        if env.omits(Omission::EarliestSurvives) {
            return self.roots.last_key_value().map(|(_, root)| *root);
        }
        self.roots.first_key_value().map(|(_, root)| *root)
    }

    /// The find of whoever owns an identifier; `None` if it is free.
    pub(super) fn owner(&self, one: &Wanted<'_>) -> Option<&Found> {
        let profile = one.claim?.profile?;
        let found = self.found.get(&profile)?;
        (found.end != End::Dead).then_some(found)
    }

    pub(super) fn free(&self) -> impl Iterator<Item = &Wanted<'a>> {
        let unique = self.wanted.iter().filter(|one| one.unique);
        unique.filter(|one| self.owner(one).is_none())
    }

    /// Rows of known identifiers that are missing or not settled, each at the profile whose claim it is.
    pub(super) fn unsettled<E: Environment>(&self, env: &E) -> Vec<(ProfileId, IdentRow)> {
        let marks = !env.omits(Omission::Settled);
        self.rows(|row| row.is_none_or(|row| marks && !row.settled))
    }

    /// Rows of known identifiers that are missing: whoever claimed them wrote no row. They have to be there before limits are
    /// looked at, which count rows.
    pub(super) fn missing(&self) -> Vec<(ProfileId, IdentRow)> {
        let mut rows = self.rows(|row| row.is_none());
        for (_, row) in &mut rows {
            row.settled = false;
        }
        rows
    }

    /// The settled rows of those known identifiers whose row, as it was read, `wants` picks.
    fn rows(&self, wants: impl Fn(Option<&IdentRow>) -> bool) -> Vec<(ProfileId, IdentRow)> {
        let owned = self.wanted.iter().filter_map(|one| {
            let found = self.owner(one)?;
            let claim = one.claim?;
            let row = found.rows.idents.iter().find(|row| {
                row.claim == claim.id
                    && row.id_type == one.identifier.id_type
                    && row.value == one.identifier.value
            });
            wants(row).then(|| (found.start, one.row(claim.id, claim.added_at, true)))
        });
        owned.collect()
    }

    /// Links that were passed and are not settled.
    pub(super) fn open_links<E: Environment>(&self, env: &E) -> Vec<Passed> {
        if env.omits(Omission::Settled) {
            return Vec::new();
        }
        let mut links: Vec<Passed> = Vec::new();
        for passed in self.found.values().flat_map(|found| &found.passed) {
            if !passed.settled && !links.contains(passed) {
                links.push(*passed);
            }
        }
        links
    }

    /// Where a find took more than one hop: a hint saves them.
    pub(super) fn far_starts(&self) -> Vec<ProfileId> {
        let far = self.found.values().filter(|found| {
            found.end != End::Dead && found.passed.len() + usize::from(found.hinted) > 1
        });
        far.map(|found| found.start).collect()
    }
}

/// The identifiers of a question, with their keys and places.
pub(super) fn wanted(question: &Question) -> Vec<Wanted<'_>> {
    let store = &question.store;
    let identifiers = question.identifiers.iter().enumerate();
    identifiers
        .map(|(place, identifier)| Wanted {
            identifier,
            key: store.claim_secret.claim_key(identifier),
            // A batch may name more than there are places: what comes after is of one age, and told apart by value.
            place: u16::try_from(place).unwrap_or(u16::MAX),
            unique: store.settings.is_unique(&identifier.id_type),
            claim: None,
        })
        .collect()
}

/// Step 1.
pub(super) async fn read_claims<E: Environment>(
    env: &E,
    wanted: &mut [Wanted<'_>],
) -> Result<(), Trouble> {
    if wanted.is_empty() {
        return Ok(());
    }
    let keys: Vec<ClaimKey> = wanted.iter().map(|one| one.key).collect();
    let claims = env.database().claims(&keys).await?;
    for (one, claim) in wanted.iter_mut().zip(claims) {
        one.claim = claim;
    }
    Ok(())
}

/// Whether an identifier is on the set of this root, and another request put it there.
pub(super) fn is_taken(survey: &Survey<'_>, root: Root, request: RequestId) -> bool {
    survey.wanted.iter().any(|one| {
        let here = survey.owner(one).and_then(Found::root);
        here.is_some_and(|owner| owner.id == root.id)
            && one.claim.is_some_and(|claim| claim.by_request != request)
    })
}
