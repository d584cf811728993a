//! Why a profile is what it is: who was merged into it, where each identifier came from, and what each merge went by.
//!
//! For people who look into a case. Nothing is decided by it, and it is put together from reads of several moments: what
//! changes meanwhile may show in one part and not in the other.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use kith_domain::id::{ClaimId, ProfileId, ProfileKey, RequestId};
use kith_domain::identifier::{IdType, IdentifierValue};
use kith_domain::store::StoreRecord;
use kith_domain::time::Micros;

use crate::Profiles;
use crate::environment::Environment;
use crate::error::Trouble;
use crate::ports::{Identity, LinkEvidence, Select};
use crate::protocol::evidence::{Carried, Evidence};
use crate::protocol::limits::{Held, held};
use crate::protocol::members::Members;
use crate::read::{Located, members_of};

/// What there is to know about a profile's identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// Every profile of the set, oldest first: the canonical one, and those that were merged into it.
    pub members: Vec<ProfileId>,
    /// The identifiers of configured types, oldest first, each where it was claimed. A value that several may own stands
    /// once for each member that has it.
    pub identifiers: Vec<Origin>,
    /// The merges, oldest first.
    pub merges: Vec<Merge>,
}

/// An identifier and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Its type.
    pub id_type: IdType,
    /// Its value.
    pub value: IdentifierValue,
    /// The member that claimed it: claims never move in a merge.
    pub member: ProfileId,
    /// When it was added, by the person's clock.
    pub added_at: Micros,
    /// The request that added it.
    pub request: RequestId,
}

/// One profile that was joined to an older one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merge {
    /// The younger one, whose id leads to the other since.
    pub profile: ProfileId,
    /// The older one.
    pub into: ProfileId,
    /// When.
    pub at: Micros,
    /// Why; `None` where the link carries nothing that can be read.
    pub reason: Option<Reason>,
}

/// What a merge went by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// The request that made the link.
    pub request: RequestId,
    /// The version of the identity resolution settings that it went by.
    pub settings_version: u32,
    /// The identifiers that the request carried. None where it completed what another had begun.
    pub identifiers: Vec<Carrier>,
}

/// An identifier that a merging request carried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carrier {
    /// Its type.
    pub id_type: IdType,
    /// Its value and the member that has it; `None` once it was removed, changed or evicted.
    pub held: Option<(IdentifierValue, ProfileId)>,
}

impl<E: Environment> Profiles<E> {
    /// Explains a profile.
    ///
    /// # Errors
    /// [`Trouble`].
    pub async fn explain(
        &self,
        store: &StoreRecord,
        profile: ProfileId,
    ) -> Result<Located<Explanation>, Trouble> {
        let database = self.env.database();
        let members = match members_of(database, store.id, profile, &[Select::Idents]).await? {
            Located::Here(members) => members,
            Located::Moved(to) => return Ok(Located::Moved(to)),
            Located::Gone => return Ok(Located::Gone),
        };
        let nodes: Vec<ProfileKey> = members
            .ids()
            .map(|profile| ProfileKey {
                store: store.id,
                profile,
            })
            .collect();
        let (held, links) = futures_util::try_join!(
            held(database, store, &members, |_| true),
            database.links(&nodes)
        )?;
        let links = members.ids().zip(links).collect();
        Ok(Located::Here(explained(store, &members, held, links)))
    }
}

/// Puts together what was read. `held` is in order of age.
fn explained(
    store: &StoreRecord,
    members: &Members,
    held: Vec<Held>,
    links: Vec<(ProfileId, Vec<LinkEvidence>)>,
) -> Explanation {
    let ids: BTreeSet<ProfileId> = members.ids().collect();
    let values = Values::of(&held);
    let mut merges: Vec<Merge> = links
        .into_iter()
        .flat_map(|(into, links)| links.into_iter().map(move |link| (into, link)))
        // A link that came after the members were collected is told the next time.
        .filter(|(_, link)| ids.contains(&link.child))
        .map(|(into, link)| Merge {
            profile: link.child,
            into,
            at: link.decided_at,
            reason: Evidence::decode(&link.evidence).map(|evidence| values.reason(evidence)),
        })
        .collect();
    merges.sort_by_key(|merge| (merge.at, merge.profile));
    let configured = held
        .into_iter()
        .filter(|one| store.settings.config(&one.row.id_type).is_some());
    Explanation {
        members: ids.into_iter().collect(),
        identifiers: configured.map(origin).collect(),
        merges,
    }
}

fn origin(held: Held) -> Origin {
    Origin {
        id_type: held.row.id_type,
        value: held.row.value,
        member: held.member,
        added_at: held.added_at,
        request: held.by_request,
    }
}

/// The identifiers of a set, as evidence names them.
struct Values<'a> {
    by_claim: BTreeMap<ClaimId, &'a Held>,
    by_request: BTreeMap<(RequestId, &'a IdType), Vec<&'a Held>>,
}

impl<'a> Values<'a> {
    fn of(held: &'a [Held]) -> Self {
        let mut by_request: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for one in held {
            let key = (one.by_request, &one.row.id_type);
            by_request.entry(key).or_default().push(one);
        }
        let by_claim = held.iter().map(|one| (one.row.claim, one)).collect();
        Self {
            by_claim,
            by_request,
        }
    }

    fn reason(&self, evidence: Evidence) -> Reason {
        // What was free when the request read it was claimed by the request itself, in the same order.
        let mut own: BTreeMap<&IdType, VecDeque<&Held>> = BTreeMap::new();
        for ((request, id_type), held) in &self.by_request {
            if *request == evidence.request {
                own.insert(id_type, held.iter().copied().collect());
            }
        }
        let carrier = |carried: Carried| {
            let known = carried.claim.and_then(|claim| self.by_claim.get(&claim));
            let held = known
                .copied()
                .or_else(|| own.get_mut(&carried.id_type)?.pop_front());
            Carrier {
                held: held.map(|held| (held.row.value.clone(), held.member)),
                id_type: carried.id_type,
            }
        };
        Reason {
            request: evidence.request,
            settings_version: evidence.settings_version,
            identifiers: evidence.identifiers.into_iter().map(carrier).collect(),
        }
    }
}
