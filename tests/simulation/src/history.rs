//! What callers saw, and the predicates that judge it (`identity-protocol.md` 8, `trait-order.md` 10).

use std::collections::{BTreeMap, BTreeSet};

use kith_domain::id::{ProfileId, ProfileKey, RequestId, StoreId};
use kith_domain::identifier::Identifier;
use kith_domain::store::StoreRecord;
use kith_domain::traits::{TraitCell, join};
use kith_profiles::ports::{Pointer, Verdict};

use crate::case::Op;
use crate::world::World;

/// What is added to a request's number when it is sent again.
pub const REPEATED: u128 = 1_000_000;

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

/// One deletion as its caller saw it.
#[derive(Debug, Clone, Copy)]
pub struct Delete {
    /// Whom.
    pub profile: ProfileId,
    /// When it was answered, and whether it did it.
    pub answer: Option<(u64, bool)>,
}

/// The history of one run.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// All creates and patches, in the order of sending.
    pub creates: Vec<Create>,
    /// All deletions.
    pub deletes: Vec<Delete>,
    /// Identifiers that a change or a removal was about: where they lead is not asked.
    freed: BTreeSet<Identifier>,
    /// Requests that were sent and not answered.
    open: BTreeMap<u128, Op>,
    tick: u64,
}

impl History {
    /// Notes that a request is sent.
    pub fn begin(&mut self, number: u128, op: Op) {
        self.open.insert(number, op);
    }

    /// Notes that a request was answered, whatever the answer.
    pub fn end(&mut self, number: u128) {
        self.open.remove(&number);
    }

    /// The requests without an answer.
    #[must_use]
    pub fn open(&self) -> Vec<(u128, Op)> {
        self.open
            .iter()
            .map(|(number, op)| (*number, op.clone()))
            .collect()
    }

    /// Notes that an identifier is changed or removed.
    pub fn free(&mut self, identifier: Identifier) {
        self.freed.insert(identifier);
    }

    /// Notes that a deletion is sent; returns its number.
    pub fn delete(&mut self, profile: ProfileId) -> usize {
        self.deletes.push(Delete {
            profile,
            answer: None,
        });
        self.deletes.len() - 1
    }

    /// Notes the answer to a deletion.
    pub fn deleted(&mut self, delete: usize, is_done: bool) {
        self.tick += 1;
        self.deletes[delete].answer = Some((self.tick, is_done));
    }

    /// Notes that a create is sent, or a patch of `profile`; returns its number.
    pub fn send(
        &mut self,
        world: &World,
        store: &StoreRecord,
        mut create: Create,
        profile: Option<ProfileId>,
    ) -> usize {
        self.tick += 1;
        create.sent = self.tick;
        let patched = profile.and_then(|profile| {
            world.root_of(ProfileKey {
                store: store.id,
                profile,
            })
        });
        let mut named: BTreeSet<ProfileId> = create
            .identifiers
            .iter()
            .filter_map(|one| owner(world, store, one))
            .collect();
        named.extend(patched);
        create.after = (0..self.creates.len())
            .filter(|other| {
                let answered = self.acknowledged(*other);
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

    /// The profile that a create was answered with, or that its repetition was: a failed attempt never beats a write that was
    /// sent after its repetition was acknowledged.
    fn acknowledged(&self, create: usize) -> Option<ProfileId> {
        let one = &self.creates[create];
        let repeated = one.request.as_uuid().as_u128() + REPEATED;
        let repetition = self
            .creates
            .iter()
            .find(|other| other.request.as_uuid().as_u128() == repeated);
        let answer = one.answer.or_else(|| repetition?.answer);
        answer.map(|(_, profile)| profile)
    }

    /// Notes an answer. What came before it must be on the same person still: a release that overlapped may have taken the
    /// identifier away, and then this is another person's first write.
    pub fn answer(
        &mut self,
        world: &World,
        store: &StoreRecord,
        create: usize,
        profile: ProfileId,
    ) {
        self.tick += 1;
        self.creates[create].answer = Some((self.tick, profile));
        let root_of = |profile| {
            world.root_of(ProfileKey {
                store: store.id,
                profile,
            })
        };
        let root = root_of(profile);
        let after: BTreeSet<usize> = self.creates[create]
            .after
            .iter()
            .copied()
            .filter(|older| {
                self.acknowledged(*older)
                    .is_some_and(|older| root_of(older) == root)
            })
            .collect();
        self.creates[create].after = after;
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

/// Where a link is settled and the child is a member, the parent's member rows hold everybody below it.
fn copied(
    world: &World,
    parent: ProfileKey,
    child: ProfileId,
    token: kith_domain::id::LinkToken,
) -> Vec<String> {
    let rows = world.cells().get(&parent).cloned().unwrap_or_default();
    let is_settled = rows.members.contains(&child)
        && rows
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

/// Every live claim has its identifier row, once every identifier was sent again.
#[must_use]
pub fn row_findings(world: &World, store: &StoreRecord) -> Vec<String> {
    let mut findings = Vec::new();
    for claim in world.claims().values() {
        let Some(profile) = claim.profile else {
            continue;
        };
        let at = ProfileKey {
            store: store.id,
            profile,
        };
        // What is dead may have been purged.
        if world.root_of(at).is_none() {
            continue;
        }
        let rows = world.cells().get(&at);
        if !rows.is_some_and(|rows| rows.idents.iter().any(|row| row.claim == claim.id)) {
            findings.push(format!("a claim of {profile} has no identifier row"));
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
    // Invariant 1, and the answer with it; invariant 6: nothing else dies.
    for create in &history.creates {
        let Some((_, profile)) = create.answer else {
            continue;
        };
        let root = world.root_of(ProfileKey {
            store: store.id,
            profile,
        });
        if root.is_none() {
            let is_excused = history.deletes.iter().any(|delete| {
                delete
                    .answer
                    .is_none_or(|(answered, _)| answered > create.sent)
            });
            if !is_excused {
                findings.push(format!(
                    "{:?} was sent after every deletion, and is dead",
                    create.request
                ));
            }
            continue;
        }
        let limited = |one: &Identifier| {
            store
                .settings
                .config(&one.id_type)
                .is_none_or(|config| config.limit < 10)
        };
        let owners: BTreeSet<Option<ProfileId>> = create
            .identifiers
            .iter()
            .filter(|one| !history.freed.contains(one) && !limited(one))
            .map(|one| owner(world, store, one))
            .collect();
        if owners.iter().any(|owner| *owner != root) {
            findings.push(format!(
                "{:?} at {root:?} is split over {owners:?}",
                create.request
            ));
        }
        if root.is_some_and(|root| {
            !world.is_listed(ProfileKey {
                store: store.id,
                profile: root,
            })
        }) {
            findings.push(format!("{root:?} is not listed"));
        }
    }
    // Invariant 6: deleted stays deleted.
    for delete in &history.deletes {
        let at = ProfileKey {
            store: store.id,
            profile: delete.profile,
        };
        if delete.answer.is_some_and(|(_, is_done)| is_done) && world.root_of(at).is_some() {
            findings.push(format!("{} was deleted, and lives", delete.profile));
        }
    }
    findings.extend(limit_findings(world, store));
    // Invariant 2: every id that points, directly or not, at a root is younger than it.
    for at in world.nodes().keys().chain(world.cells().keys()) {
        if world.root_of(*at).is_some_and(|root| root > at.profile) {
            findings.push(format!("{} survives under a younger root", at.profile));
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

/// Per live set and type, at most the limit.
fn limit_findings(world: &World, store: &StoreRecord) -> Vec<String> {
    let mut counts: BTreeMap<(ProfileId, String), usize> = BTreeMap::new();
    for (at, rows) in world.cells() {
        let Some(root) = world.root_of(*at) else {
            continue;
        };
        for row in &rows.idents {
            let key = store.claim_secret.claim_key(&Identifier {
                id_type: row.id_type.clone(),
                value: row.value.clone(),
            });
            let claim = world.claims().get(&key);
            if claim.is_some_and(|claim| claim.id == row.claim && claim.profile == Some(at.profile))
            {
                *counts.entry((root, row.id_type.to_string())).or_default() += 1;
            }
        }
    }
    let over = counts.into_iter().filter(|((_, id_type), count)| {
        let config = store
            .settings
            .config(&kith_domain::identifier::IdType::new(id_type));
        config.is_some_and(|config| *count > usize::from(config.limit))
    });
    over.map(|((root, id_type), count)| format!("{root} has {count} values of {id_type}"))
        .collect()
}
