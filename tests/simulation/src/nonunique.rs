//! Values that several profiles may own: identifiers for such situations, and the predicates that judge them
//! (`identity-protocol.md` 11).

use std::collections::{BTreeMap, BTreeSet};

use kith_domain::id::{ProfileId, ProfileKey, RequestId};
use kith_domain::identifier::{IdType, Identifier, IdentifierValue};
use kith_domain::settings::{IdentifierConfig, IdentitySettings};
use kith_domain::store::StoreRecord;
use kith_profiles::ports::SharedClaim;

use crate::history::History;
use crate::world::World;

/// Default types, two that are not unique, last in the rules, and one that never matches.
#[must_use]
pub fn settings() -> IdentitySettings {
    let mut settings = IdentitySettings::default();
    for name in ["household", "deviceGroup"] {
        let mut config = IdentifierConfig::new(IdType::new(name));
        config.enforce_unique = false;
        settings.identifier_configs.push(config);
        settings.matching_rules.push(IdType::new(name));
    }
    let legacy = IdentifierConfig::new(IdType::new("legacyId"));
    settings.identifier_configs.push(legacy);
    settings
}

/// The identifier of a short name: `e` and `f` are unique, `h` and `g` are not, `l` never matches. What follows is its value.
///
/// # Panics
/// On any other name.
#[must_use]
pub fn identifier(name: &str) -> Identifier {
    let id_type = match name.as_bytes().first() {
        Some(b'e') => "email",
        Some(b'f') => "whatsapp",
        Some(b'h') => "household",
        Some(b'g') => "deviceGroup",
        Some(b'l') => "legacyId",
        _ => panic!("no identifier is called {name}"),
    };
    Identifier {
        id_type: IdType::new(id_type),
        value: IdentifierValue::new(name),
    }
}

/// A create as its caller saw it.
#[derive(Debug, Clone)]
pub struct Request {
    /// Which.
    pub id: RequestId,
    /// Its identifiers.
    pub identifiers: Vec<Identifier>,
    /// When it was sent.
    pub sent: u64,
    /// The profile of its answer.
    pub answer: Option<ProfileId>,
    /// Members of every set that two of its types agreed on when it was sent.
    pub agreed: Vec<ProfileId>,
}

/// What callers saw.
#[derive(Debug, Default)]
pub struct Seen {
    /// Creates, in the order of sending.
    pub requests: Vec<Request>,
    /// When each deletion was answered, if it was.
    pub deletes: Vec<Option<u64>>,
    /// Orders them.
    pub tick: u64,
}

impl Seen {
    /// The creates of a history in which nobody deletes anything. Whom two types agreed on is not known any more.
    #[must_use]
    pub fn of(history: &History) -> Self {
        let creates = history.creates.iter().map(|create| Request {
            id: create.request,
            identifiers: create.identifiers.clone(),
            sent: create.sent,
            answer: create.answer.map(|(_, profile)| profile),
            agreed: Vec::new(),
        });
        Self {
            requests: creates.collect(),
            ..Self::default()
        }
    }
}

fn at(store: &StoreRecord, profile: ProfileId) -> ProfileKey {
    ProfileKey {
        store: store.id,
        profile,
    }
}

/// The rows of a value that count, each with the live root of its owner.
fn holders<'a>(
    world: &'a World,
    store: &StoreRecord,
    identifier: &Identifier,
) -> Vec<(ProfileId, &'a SharedClaim)> {
    let key = store.claim_secret.claim_key(identifier);
    let owners = world.owners().get(&key);
    let rows = owners.into_iter().flat_map(|owners| &owners.rows);
    rows.filter(|row| !row.released)
        .filter_map(|row| Some((world.root_of(at(store, row.profile))?, row)))
        .collect()
}

fn matches(store: &StoreRecord, one: &Identifier) -> bool {
    store.settings.rule_of(&one.id_type).is_some()
}

fn is_unique(store: &StoreRecord, one: &Identifier) -> bool {
    store.settings.is_unique(&one.id_type)
}

/// Members of every live set that has values of two types among these that match and are not unique.
#[must_use]
pub fn agreed(world: &World, store: &StoreRecord, identifiers: &[Identifier]) -> Vec<ProfileId> {
    let mut sets: BTreeMap<ProfileId, (BTreeSet<&IdType>, Vec<ProfileId>)> = BTreeMap::new();
    let shared = identifiers
        .iter()
        .filter(|one| matches(store, one) && !is_unique(store, one));
    for one in shared {
        for (root, row) in holders(world, store, one) {
            let (types, members) = sets.entry(root).or_default();
            types.insert(&one.id_type);
            members.push(row.profile);
        }
    }
    let sets = sets.into_values().filter(|(types, _)| types.len() > 1);
    sets.flat_map(|(_, members)| members).collect()
}

/// True once nothing is under way and every request without an answer was sent again. `may_go` says whether values that are
/// not unique may have gone, over a limit or removed: then nothing is said about who has them.
#[must_use]
pub fn findings(world: &World, store: &StoreRecord, seen: &Seen, may_go: bool) -> Vec<String> {
    let mut findings = Vec::new();
    let root_of = |profile| world.root_of(at(store, profile));
    let rooted: Vec<(&Request, ProfileId)> = seen
        .requests
        .iter()
        .filter_map(|one| Some((one, root_of(one.answer?)?)))
        .collect();
    for one in &seen.requests {
        let dead = one.answer.is_some_and(|answer| root_of(answer).is_none());
        let excuse = |answered: &Option<u64>| answered.is_none_or(|answered| answered > one.sent);
        if dead && !seen.deletes.iter().any(excuse) {
            findings.push(format!(
                "{} was sent after every deletion, and is dead",
                one.id
            ));
        }
    }
    for (place, (one, root)) in rooted.iter().enumerate() {
        if !may_go {
            // Two that carried the same values of two types.
            for (other, elsewhere) in &rooted[..place] {
                let shared = one.identifiers.iter().filter(|id| {
                    matches(store, id) && !is_unique(store, id) && other.identifiers.contains(id)
                });
                let types: BTreeSet<&IdType> = shared.map(|id| &id.id_type).collect();
                if types.len() > 1 && root != elsewhere {
                    findings.push(format!(
                        "{} and {} agree, and are {root} and {elsewhere}",
                        one.id, other.id
                    ));
                }
            }
            // And whoever two types agreed on before it was sent.
            let apart = one.agreed.iter().copied().filter_map(root_of);
            if apart.into_iter().any(|other| other != *root) {
                findings.push(format!("{} missed whom it agreed with", one.id));
            }
        }
        for id in &one.identifiers {
            if is_unique(store, id) {
                let claim = world.claims().get(&store.claim_secret.claim_key(id));
                let owner = claim.and_then(|claim| root_of(claim.profile?));
                if owner != Some(*root) {
                    findings.push(format!("a unique value of {} is at {owner:?}", one.id));
                }
            } else if !may_go && !holders(world, store, id).iter().any(|(of, _)| of == root) {
                findings.push(format!("{root} lost a value of {}", one.id));
            }
        }
        if !world.is_listed(at(store, *root)) {
            findings.push(format!("{root} is not listed"));
        }
    }
    findings.extend(row_findings(world, store, seen, may_go));
    findings.extend(limit_findings(world, store));
    findings
}

/// What every row of an owner owes, whoever wrote it.
fn row_findings(world: &World, store: &StoreRecord, seen: &Seen, may_go: bool) -> Vec<String> {
    let mut findings = Vec::new();
    let mut made: BTreeMap<&Identifier, BTreeSet<ProfileId>> = BTreeMap::new();
    let identifiers: BTreeSet<&Identifier> = seen
        .requests
        .iter()
        .flat_map(|one| &one.identifiers)
        .filter(|one| !is_unique(store, one))
        .collect();
    for id in identifiers {
        for (root, row) in holders(world, store, id) {
            let cells = world.cells().get(&at(store, row.profile));
            if !cells.is_some_and(|cells| cells.idents.iter().any(|one| one.claim == row.id)) {
                findings.push(format!(
                    "an owner's row of {} has no identifier row",
                    row.profile
                ));
            }
            let Some(by) = seen.requests.iter().find(|one| one.id == row.by_request) else {
                continue;
            };
            let unique: Vec<&Identifier> = by
                .identifiers
                .iter()
                .filter(|one| is_unique(store, one))
                .collect();
            let leads_here = |one: &&Identifier| {
                let claim = world.claims().get(&store.claim_secret.claim_key(one));
                claim.and_then(|claim| world.root_of(at(store, claim.profile?))) == Some(root)
            };
            if !unique.is_empty() && !unique.iter().any(leads_here) {
                findings.push(format!("{root} has a value of {} and nothing else", by.id));
            }
            // Alone it adds a row only where nobody has the value.
            let is_alone = by.identifiers.len() == 1 && matches(store, id);
            if is_alone && seen.deletes.is_empty() && !may_go {
                made.entry(id).or_default().insert(row.profile);
            }
        }
    }
    let twice = made.values().filter(|profiles| profiles.len() > 1);
    findings.extend(twice.map(|profiles| format!("one value made {profiles:?}")));
    findings
}

/// Per live set and type, at most the limit, counted by values.
fn limit_findings(world: &World, store: &StoreRecord) -> Vec<String> {
    let mut values: BTreeMap<(ProfileId, IdType), BTreeSet<IdentifierValue>> = BTreeMap::new();
    for (of, rows) in world.cells() {
        let Some(root) = world.root_of(*of) else {
            continue;
        };
        for row in &rows.idents {
            let id = Identifier {
                id_type: row.id_type.clone(),
                value: row.value.clone(),
            };
            let holders = holders(world, store, &id);
            let mut rows = holders.iter().map(|(_, held)| held);
            if rows.any(|held| held.id == row.claim && held.profile == of.profile) {
                let key = (root, row.id_type.clone());
                values.entry(key).or_default().insert(row.value.clone());
            }
        }
    }
    let over = values.into_iter().filter(|((_, id_type), values)| {
        let config = store.settings.config(id_type);
        config.is_some_and(|config| values.len() > usize::from(config.limit))
    });
    over.map(|((root, id_type), values)| format!("{root} has {} of {id_type}", values.len()))
        .collect()
}

/// The members of a set that have a value of this type, by the values of these requests.
#[must_use]
pub fn owners_of(
    world: &World,
    store: &StoreRecord,
    seen: &Seen,
    id_type: &IdType,
) -> BTreeMap<ProfileId, BTreeSet<ProfileId>> {
    let mut owners: BTreeMap<ProfileId, BTreeSet<ProfileId>> = BTreeMap::new();
    let values = seen.requests.iter().flat_map(|one| &one.identifiers);
    for id in values.filter(|id| id.id_type == *id_type) {
        for (root, row) in holders(world, store, id) {
            owners.entry(root).or_default().insert(row.profile);
        }
    }
    owners
}

/// True once every dead set was purged: nobody who is dead is an owner.
#[must_use]
pub fn purge_findings(world: &World, store: &StoreRecord) -> Vec<String> {
    let rows = world.owners().values().flat_map(|owners| &owners.rows);
    rows.filter(|row| !row.released && world.root_of(at(store, row.profile)).is_none())
        .map(|row| format!("{} is dead, and an owner", row.profile))
        .collect()
}
