//! What callers saw, and the predicates that judge it (`identity-protocol.md` 8, `trait-order.md` 10).

use std::collections::{BTreeMap, BTreeSet};

use kith_domain::id::{ProfileId, ProfileKey, RequestId, StoreId};
use kith_domain::identifier::Identifier;
use kith_domain::store::StoreRecord;
use kith_domain::traits::{TraitCell, join};
use kith_profiles::ports::{Pointer, Verdict};

use crate::world::World;

/// One create as its caller saw it.
#[derive(Debug, Clone)]
pub struct Create {
    /// Which request.
    pub request: RequestId,
    /// Its identifiers.
    pub identifiers: Vec<Identifier>,
    /// What it writes to the one trait that every create writes.
    pub value: String,
    /// When it was sent.
    pub sent: u64,
    /// When it was answered, and with which profile.
    pub answer: Option<(u64, ProfileId)>,
    /// Creates that had been acknowledged for the same person when this one was sent: it must win over them.
    pub after: BTreeSet<usize>,
}

/// The history of one run.
#[derive(Debug, Default)]
pub struct History {
    /// All creates, in the order of sending.
    pub creates: Vec<Create>,
    tick: u64,
}

impl History {
    /// Notes that a create is sent; returns its number.
    pub fn send(&mut self, world: &World, store: &StoreRecord, mut create: Create) -> usize {
        self.tick += 1;
        create.sent = self.tick;
        let named: BTreeSet<ProfileId> = create
            .identifiers
            .iter()
            .filter_map(|one| owner(world, store, one))
            .collect();
        create.after = (0..self.creates.len())
            .filter(|other| {
                let answered = self.creates[*other].answer.map(|(_, profile)| profile);
                let root = answered.and_then(|profile| {
                    world.root_of(ProfileKey {
                        store: store.id,
                        profile,
                    })
                });
                root.is_some_and(|root| named.contains(&root))
            })
            .collect();
        self.creates.push(create);
        self.creates.len() - 1
    }

    /// Notes an answer.
    pub fn answer(&mut self, create: usize, profile: ProfileId) {
        self.tick += 1;
        self.creates[create].answer = Some((self.tick, profile));
    }
}

/// The root that an identifier leads to now.
fn owner(world: &World, store: &StoreRecord, identifier: &Identifier) -> Option<ProfileId> {
    let claim = world
        .claims()
        .get(&store.claim_secret.claim_key(identifier))?;
    world.root_of(ProfileKey {
        store: store.id,
        profile: claim.profile?,
    })
}

/// True in every state, whatever is still under way.
#[must_use]
pub fn state_findings(world: &World, history: &History, store: &StoreRecord) -> Vec<String> {
    let mut findings = Vec::new();
    for (at, node) in world.nodes() {
        if let Some(Pointer { parent, .. }) = node.pointer
            && parent >= at.profile
        {
            findings.push(format!(
                "{} points at {parent}, which is not older",
                at.profile
            ));
        }
        for row in node
            .verdicts
            .iter()
            .filter(|row| row.verdict == Verdict::Linked)
        {
            let child = world.nodes().get(&ProfileKey {
                profile: row.child,
                ..*at
            });
            let pointer = child.and_then(|node| node.pointer);
            if pointer
                .is_none_or(|pointer| pointer.parent != at.profile || pointer.token != row.token)
            {
                findings.push(format!(
                    "{} is linked at {} without pointing there",
                    row.child, at.profile
                ));
            }
            findings.extend(copied(world, *at, row.child, row.token));
        }
    }
    // The clock row of a live root covers every acknowledged stamp of its set.
    for create in &history.creates {
        let Some((_, profile)) = create.answer else {
            continue;
        };
        let (Some(root), Some(stamp)) = (
            world.root_of(ProfileKey {
                store: store.id,
                profile,
            }),
            world.stamps.get(&create.request),
        ) else {
            continue;
        };
        let clock = world
            .cells()
            .get(&ProfileKey {
                store: store.id,
                profile: root,
            })
            .and_then(|rows| rows.clock);
        if clock.is_none_or(|clock| clock < *stamp) {
            findings.push(format!(
                "the clock of {root} is {clock:?}, below the acknowledged {stamp:?}"
            ));
        }
    }
    findings
}

/// Where a link is settled, the parent's member rows hold the child and everybody below it.
fn copied(
    world: &World,
    parent: ProfileKey,
    child: ProfileId,
    token: kith_domain::id::LinkToken,
) -> Vec<String> {
    let rows = world.cells().get(&parent).cloned().unwrap_or_default();
    let is_settled = rows
        .links
        .iter()
        .any(|link| link.child == child && link.token == token && link.settled);
    if !is_settled {
        return Vec::new();
    }
    let mut below = vec![child];
    let mut findings = Vec::new();
    while let Some(member) = below.pop() {
        if !rows.members.contains(&member) {
            findings.push(format!(
                "{} settled a link and misses its member {member}",
                parent.profile
            ));
        }
        if let Some(node) = world.nodes().get(&ProfileKey {
            profile: member,
            ..parent
        }) {
            let linked = node
                .verdicts
                .iter()
                .filter(|row| row.verdict == Verdict::Linked);
            below.extend(linked.map(|row| row.child));
        }
    }
    findings
}

/// True once nothing is under way: every request answered or repeated, every record applied.
#[must_use]
pub fn quiet_findings(world: &World, history: &History, store: &StoreRecord) -> Vec<String> {
    let mut findings = Vec::new();
    if world.poison > 0 {
        findings.push(format!("{} records of the log are no events", world.poison));
    }
    // Invariant 1, and the answer with it.
    for create in &history.creates {
        let Some((_, profile)) = create.answer else {
            continue;
        };
        let mut roots: BTreeSet<Option<ProfileId>> = create
            .identifiers
            .iter()
            .map(|one| owner(world, store, one))
            .collect();
        roots.insert(world.root_of(ProfileKey {
            store: store.id,
            profile,
        }));
        if roots.len() != 1 || roots.contains(&None) {
            findings.push(format!("{:?} is split over {roots:?}", create.request));
        }
    }
    // Invariant 2: every id that points, directly or not, at a root is younger than it.
    for at in world.nodes().keys().chain(world.cells().keys()) {
        if world.root_of(*at).is_some_and(|root| root > at.profile) {
            findings.push(format!("{} survives under a younger root", at.profile));
        }
    }
    for claim in world.claims().values() {
        let Some(profile) = claim.profile else {
            continue;
        };
        let at = ProfileKey {
            store: store.id,
            profile,
        };
        let has_row = world
            .cells()
            .get(&at)
            .is_some_and(|rows| rows.idents.iter().any(|row| row.claim == claim.id));
        if !has_row {
            findings.push(format!("a claim of {profile} has no identifier row"));
        }
    }
    // Invariants 3 and 4, and what a person would see.
    let joined = profiles(world, store.id);
    let mut visible: BTreeMap<ProfileId, String> = BTreeMap::new();
    let definition = store
        .definition("Contact", "firstName")
        .map(|definition| definition.id);
    for (root, cells) in &joined {
        let cell = definition.and_then(|definition| cells.get(&definition));
        if let Some(cell) = cell
            && let Ok(kith_domain::traits::TraitWrite::Set(
                kith_domain::traits::TraitValue::String(value),
            )) = cell.value.decode()
        {
            visible.insert(*root, value);
        }
    }
    for create in &history.creates {
        let Some((_, profile)) = create.answer else {
            continue;
        };
        let Some(root) = world.root_of(ProfileKey {
            store: store.id,
            profile,
        }) else {
            continue;
        };
        match visible.get(&root) {
            None => findings.push(format!(
                "{:?} was acknowledged, and {root} shows nothing",
                create.request
            )),
            Some(value) => {
                let beaten = create
                    .after
                    .iter()
                    .any(|older| history.creates[*older].value == *value);
                if beaten {
                    findings.push(format!(
                        "{:?} came after the write that {root} shows",
                        create.request
                    ));
                }
            }
        }
    }
    findings
}

/// The traits of every live profile: the join over its members.
#[must_use]
pub fn profiles(
    world: &World,
    store: StoreId,
) -> BTreeMap<ProfileId, BTreeMap<kith_domain::id::DefinitionId, TraitCell>> {
    let mut members: BTreeMap<ProfileId, Vec<(ProfileId, TraitCell)>> = BTreeMap::new();
    for (at, rows) in world.cells().iter().filter(|(at, _)| at.store == store) {
        if let Some(root) = world.root_of(*at) {
            let cells = rows.traits.iter().cloned().map(|cell| (at.profile, cell));
            members.entry(root).or_default().extend(cells);
        }
    }
    members
        .into_iter()
        .map(|(root, cells)| (root, join(cells)))
        .collect()
}
