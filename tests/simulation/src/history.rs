//! What callers saw.

use std::collections::{BTreeMap, BTreeSet};

use kith_domain::id::{ProfileId, ProfileKey, RequestId};
use kith_domain::identifier::{ClaimKey, Identifier};
use kith_domain::store::StoreRecord;

use crate::case::Op;
use crate::linear::{self, Asked, Facts, Place, Problem, Profile, Set, Told};
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
    /// Those of them that were acknowledged for the profile that this one names by its id.
    by_id: BTreeSet<usize>,
}

impl Create {
    /// One that is to be sent.
    #[must_use]
    pub fn new(request: RequestId, identifiers: Vec<Identifier>, value: String) -> Self {
        Self {
            request,
            identifiers,
            value,
            sent: 0,
            answer: None,
            after: BTreeSet::new(),
            by_id: BTreeSet::new(),
        }
    }
}

/// One request as its caller saw it: identity only.
#[derive(Debug, Clone)]
pub struct Call {
    /// Which request.
    pub request: RequestId,
    /// What it asks for.
    pub asked: Asked<ProfileId>,
    /// When it was sent.
    pub sent: u64,
    /// When it was answered, and how.
    pub answered: Option<(u64, Told<ProfileId>)>,
    /// How many outcomes had been unknown when it was sent, and then, when it was answered.
    unknowns: (u64, u64),
}

/// The history of one run.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// All creates and patches, in the order of sending.
    pub creates: Vec<Create>,
    /// All requests, reads among them, in the order of sending.
    pub calls: Vec<Call>,
    /// The identifiers by their numbers, with the keys of their claims.
    pub identifiers: Vec<(Identifier, ClaimKey)>,
    /// Requests that were sent and not answered.
    open: BTreeMap<u128, Op>,
    tick: u64,
}

impl Call {
    /// Whether an outcome was unknown since it was sent, and until it was answered if it was.
    #[must_use]
    pub fn is_unsure(&self, world: &World) -> bool {
        let last = match self.answered {
            Some(_) => self.unknowns.1,
            None => world.unknowns,
        };
        self.unknowns.0 != last
    }
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

    /// A history of requests about these identifiers.
    #[must_use]
    pub fn of(identifiers: impl IntoIterator<Item = Identifier>, store: &StoreRecord) -> Self {
        let keyed = identifiers.into_iter().map(|one| {
            let key = store.claim_secret.claim_key(&one);
            (one, key)
        });
        Self {
            identifiers: keyed.collect(),
            ..Self::default()
        }
    }

    /// How often anything was sent or answered.
    #[must_use]
    pub fn tick(&self) -> u64 {
        self.tick
    }

    /// The set of those identifiers that `is_one` picks.
    pub fn set(&self, is_one: impl Fn(usize, &Identifier) -> bool) -> Set {
        let numbers = self.identifiers.iter().enumerate();
        numbers
            .filter(|(number, (one, _))| is_one(*number, one))
            .fold(0, |set, (number, _)| set | 1 << number)
    }

    /// Notes that a request is sent; returns its place among the calls.
    pub fn ask(&mut self, world: &World, request: RequestId, asked: Asked<ProfileId>) -> usize {
        self.tick += 1;
        self.calls.push(Call {
            request,
            asked,
            sent: self.tick,
            answered: None,
            unknowns: (world.unknowns, world.unknowns),
        });
        self.calls.len() - 1
    }

    /// Notes the answer.
    pub fn tell(&mut self, world: &World, call: usize, told: Told<ProfileId>) {
        self.tick += 1;
        let call = &mut self.calls[call];
        call.answered = Some((self.tick, told));
        call.unknowns.1 = world.unknowns;
    }

    /// The history as a question whether it can be explained; what it cannot even be asked about.
    ///
    /// # Errors
    /// A profile in an answer that nobody ever made.
    pub fn problem(&self, world: &World, store: &StoreRecord) -> Result<Problem, String> {
        let profiles: Vec<ProfileId> = world.made.keys().copied().collect();
        let name = |id: ProfileId| {
            let at = profiles.binary_search(&id).ok()?;
            Profile::try_from(at).ok()
        };
        let calls = self.calls.iter().map(|call| {
            let made = world.made.iter().filter(|(_, by)| **by == call.request);
            let answered = match call.answered {
                Some((answered, told)) => Some((answered, told.rename(name)?)),
                None => None,
            };
            Some(linear::Call {
                sent: call.sent,
                answered,
                asked: call.asked.rename(name)?,
                // Empty for whatever makes none.
                makes: made.filter_map(|(id, _)| name(*id)).collect(),
                unsure: call.unknowns.0 != call.unknowns.1,
            })
        });
        let calls = calls
            .collect::<Option<Vec<_>>>()
            .ok_or("an answer names a profile that nobody made")?;
        let place = |profile: &ProfileId| {
            let (store, profile) = (store.id, *profile);
            match world.root_of(ProfileKey { store, profile }) {
                Some(root) => name(root).map_or(Place::Unborn, Place::Under),
                None => Place::Dead,
            }
        };
        let mut owners = [None; linear::IDENTIFIERS];
        for (owner, (_, key)) in owners.iter_mut().zip(&self.identifiers) {
            *owner = owner_of(world, store, key).and_then(name);
        }
        let limits = store.settings.identifier_configs.iter().map(|config| {
            let set = self.set(|_, one| one.id_type == config.id_type);
            (set, u32::from(config.limit))
        });
        Ok(Problem {
            calls,
            now: Facts {
                places: world.made.keys().map(place).collect(),
                owners,
            },
            limits: limits
                .filter(|(set, limit)| set.count_ones() > *limit)
                .collect(),
        })
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
        let named: BTreeSet<ProfileId> = create
            .identifiers
            .iter()
            .filter_map(|one| owner_of(world, store, &store.claim_secret.claim_key(one)))
            .collect();
        for older in 0..self.creates.len() {
            let answered = self.acknowledged(older);
            let root = answered.and_then(|profile| {
                world.root_of(ProfileKey {
                    store: store.id,
                    profile,
                })
            });
            let is_by_id = root.is_some() && root == patched;
            if is_by_id {
                create.by_id.insert(older);
            }
            if is_by_id || root.is_some_and(|root| named.contains(&root)) {
                create.after.insert(older);
            }
        }
        self.creates.push(create);
        self.creates.len() - 1
    }

    /// Who has the first identifier of a create.
    #[must_use]
    pub fn owner(&self, world: &World, store: &StoreRecord, create: usize) -> Option<ProfileId> {
        let first = self.creates[create].identifiers.first()?;
        owner_of(world, store, &store.claim_secret.claim_key(first))
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

    /// Whether a change or a removal that may have taken an identifier of a create overlapped it.
    fn is_released_beside(&self, create: usize) -> bool {
        let create = &self.creates[create];
        let own = self.set(|_, one| create.identifiers.contains(one));
        self.calls.iter().any(|call| {
            let ids = match call.asked {
                Asked::Remove { ids, .. } => ids,
                Asked::Change { old, .. } => 1 << old,
                Asked::Resolve { .. }
                | Asked::Delete(_)
                | Asked::Lookup(_)
                | Asked::Fetch(_)
                | Asked::List(_) => 0,
            };
            let is_over = |(answered, _)| answered < create.sent;
            ids & own != 0 && !call.answered.is_some_and(is_over)
        })
    }

    /// Notes an answer. What came before it must be on the same person still, who lives: of two dead sets nobody knows any more
    /// whether they were one, and a purge may have taken the clock row before this write read it. And a release that overlapped
    /// may have taken an identifier away, and then this is another person's first write, whoever that person is merged with since.
    pub fn answer(
        &mut self,
        world: &World,
        store: &StoreRecord,
        create: usize,
        profile: ProfileId,
    ) {
        self.tick += 1;
        self.creates[create].answer = Some((self.tick, profile));
        if self.is_released_beside(create) {
            let by_id = self.creates[create].by_id.clone();
            self.creates[create].after = by_id;
        }
        let root_of = |profile| {
            world.root_of(ProfileKey {
                store: store.id,
                profile,
            })
        };
        let Some(root) = root_of(profile) else {
            self.creates[create].after.clear();
            return;
        };
        let after: BTreeSet<usize> = self.creates[create]
            .after
            .iter()
            .copied()
            .filter(|older| self.acknowledged(*older).and_then(root_of) == Some(root))
            .collect();
        self.creates[create].after = after;
    }
}

/// The root that an identifier leads to now.
fn owner_of(world: &World, store: &StoreRecord, key: &ClaimKey) -> Option<ProfileId> {
    let claim = world.claims().get(key)?;
    world.root_of(ProfileKey {
        store: store.id,
        profile: claim.profile?,
    })
}
