//! Clients: what they send, what they were answered, and the notes that they take of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kith_domain::body::WriteSet;
use kith_domain::id::ProfileId;
use kith_domain::identifier::{IdType, Identifier, IdentifierValue};
use kith_domain::store::StoreRecord;
use kith_profiles::Profiles;
use kith_profiles::change::{Changed, Removal, Target};
use kith_profiles::create::Create as CreateRequest;
use kith_profiles::environment::Environment;
use kith_profiles::ports::TraitLog;
use kith_profiles::purge::purge_record;
use kith_profiles::read::Located;

use crate::case::{IDENTIFIERS, Op, identifier, request, writes};
use crate::history::{Create, History};
use crate::linear::{Asked, Set, Told};
use crate::ports::SimParts;
use crate::world::World;

/// The use cases of one process.
pub type Process = Profiles<SimParts>;

/// Long enough for every schedule.
pub const PATIENCE: Duration = Duration::from_secs(3_600);

/// What a client notes of one request, by the request's number.
#[derive(Debug, Clone)]
pub enum Note {
    /// It is sent.
    Begun(u128, Op),
    /// It writes: these identifiers and this value, to a profile if it names one.
    Writes(u128, Vec<Identifier>, String, Option<ProfileId>),
    /// The write was answered with this profile.
    Wrote(u128, ProfileId),
    /// It asks this of identity.
    Asks(u128, Asked<ProfileId>),
    /// What it asked was answered.
    Told(u128, Told<ProfileId>),
    /// It was answered, whatever the answer.
    Ended(u128),
}

/// Notes that nobody has read yet, in the order of their taking.
pub type Notes = Arc<Mutex<Vec<Note>>>;

/// Takes the notes that are there.
pub fn take(notes: &Notes) -> Vec<Note> {
    std::mem::take(&mut *notes.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Puts notes into a history, as the world is when they are taken.
#[derive(Debug, Clone)]
pub struct Recorder {
    /// The history so far.
    pub history: History,
    creates: BTreeMap<u128, usize>,
    calls: BTreeMap<u128, usize>,
}

/// What is added to a request's number for the lookup that tells it whom to name.
const LOOKUP: u128 = 1 << 64;

impl Recorder {
    /// Nothing yet.
    #[must_use]
    pub fn new(store: &StoreRecord) -> Self {
        let identifiers = (0..IDENTIFIERS.len()).map(|number| identifier(store, number));
        Self {
            history: History::of(identifiers, store),
            creates: BTreeMap::new(),
            calls: BTreeMap::new(),
        }
    }

    /// Puts one note into the history.
    pub fn record(&mut self, world: &World, store: &StoreRecord, note: Note) {
        match note {
            Note::Begun(number, op) => self.history.begin(number, op),
            Note::Writes(number, identifiers, value, profile) => {
                let create = Create {
                    request: request(number),
                    identifiers,
                    value,
                    sent: 0,
                    answer: None,
                    after: std::collections::BTreeSet::new(),
                };
                let index = self.history.send(world, store, create, profile);
                self.creates.insert(number, index);
            }
            Note::Wrote(number, profile) => {
                let index = self.creates[&number];
                self.history.answer(world, store, index, profile);
            }
            Note::Asks(number, asked) => {
                let call = self.history.ask(world, request(number), asked);
                self.calls.insert(number, call);
            }
            Note::Told(number, told) => {
                if let Some(call) = self.calls.get(&number) {
                    self.history.tell(world, *call, told);
                }
            }
            Note::Ended(number) => self.history.end(number),
        }
    }
}

/// Whoever sends requests.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The store.
    pub store: Arc<StoreRecord>,
    /// Where notes are taken.
    pub notes: Notes,
    /// Whom the owners of these identifiers are known to be; of others it asks.
    pub known: Arc<BTreeMap<usize, ProfileId>>,
}

impl Caller {
    fn note(&self, note: Note) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        notes.push(note);
    }

    /// One request, from its sending to its answer.
    pub async fn send(&self, process: &Process, number: u128, op: &Op) {
        self.note(Note::Begun(number, op.clone()));
        let is_answered = match op {
            Op::Create(identifiers) => self.create(process, number, identifiers).await,
            Op::Patch(of, _)
            | Op::Add(of, _)
            | Op::Change(of, _)
            | Op::Remove(of)
            | Op::Delete(of)
            | Op::Lookup(of)
            | Op::Fetch(of)
            | Op::List(of)
            | Op::Clear(of) => match self.owner(process, number, *of).await {
                Some(Some(profile)) => self.write(process, number, op, profile).await,
                Some(None) => true,
                None => false,
            },
        };
        if is_answered {
            self.note(Note::Ended(number));
        }
    }

    /// Who has an identifier, if anybody; `None` if that is not answered.
    async fn owner(&self, process: &Process, number: u128, of: usize) -> Option<Option<ProfileId>> {
        if let Some(profile) = self.known.get(&of) {
            return Some(Some(*profile));
        }
        self.note(Note::Asks(number + LOOKUP, Asked::Lookup(small(of))));
        let identifier = identifier(&self.store, of);
        let owners = process.lookup(&self.store, identifier).await.ok()?;
        let owner = owners.first().copied();
        self.note(Note::Told(number + LOOKUP, Told::Owner(owner)));
        Some(owner)
    }

    async fn create(&self, process: &Process, number: u128, identifiers: &[usize]) -> bool {
        let writes = self.writes(number, identifiers, None);
        let ids = set(identifiers);
        self.note(Note::Asks(number, Asked::Resolve { ids, at: None }));
        let create = CreateRequest {
            store: Arc::clone(&self.store),
            writes,
            request: request(number),
            deadline: process.environment().deadline_in(PATIENCE),
        };
        let answer = process.create(create).await;
        if let Ok(accepted) = &answer {
            self.note(Note::Wrote(number, accepted.profile));
            self.note(Note::Told(number, Told::At(accepted.profile)));
        }
        answer.is_ok()
    }

    /// The body of a request that writes.
    fn writes(&self, number: u128, identifiers: &[usize], profile: Option<ProfileId>) -> WriteSet {
        let value = format!("value-{number}");
        let writes = writes(&self.store, identifiers, Some(&value));
        let identifiers = writes.identifiers.clone();
        self.note(Note::Writes(number, identifiers, value, profile));
        writes
    }

    /// A request that names a profile; whether it was answered.
    async fn write(&self, process: &Process, number: u128, op: &Op, profile: ProfileId) -> bool {
        let target = Target {
            store: Arc::clone(&self.store),
            profile,
            request: request(number),
            deadline: process.environment().deadline_in(PATIENCE),
        };
        let at = Some(profile);
        match op {
            Op::Create(_) | Op::Lookup(_) => true,
            Op::Patch(_, identifiers) => {
                let writes = self.writes(number, identifiers, at);
                let ids = set(identifiers);
                self.note(Note::Asks(number, Asked::Resolve { ids, at }));
                let answer = process.patch(&target, &writes).await.ok();
                if let Some(Located::Here(())) = &answer {
                    self.note(Note::Wrote(number, profile));
                }
                self.located(number, answer.map(done))
            }
            Op::Clear(_) => {
                let writes = writes(&self.store, &[], None);
                let value = REMOVED.to_owned();
                self.note(Note::Writes(number, Vec::new(), value, at));
                self.note(Note::Asks(number, Asked::Resolve { ids: 0, at }));
                let answer = process.patch(&target, &writes).await.ok();
                if let Some(Located::Here(())) = &answer {
                    self.note(Note::Wrote(number, profile));
                }
                self.located(number, answer.map(done))
            }
            Op::Add(_, other) => {
                let ids = set(&[*other]);
                self.note(Note::Asks(number, Asked::Resolve { ids, at }));
                let added = process.add_identifier(&target, identifier(&self.store, *other));
                self.located(number, added.await.ok().map(done))
            }
            Op::Change(of, other) => {
                self.note(Note::Asks(
                    number,
                    Asked::Change {
                        at: profile,
                        old: small(*of),
                        new: small(*other),
                    },
                ));
                let (old, new) = (
                    identifier(&self.store, *of),
                    identifier(&self.store, *other),
                );
                let answer = process.change_identifier(&target, &old, new).await;
                self.located(number, answer.ok().map(changed))
            }
            Op::Remove(of) => {
                let id_type = identifier(&self.store, *of).id_type;
                let of_type: Vec<usize> = (0..IDENTIFIERS.len())
                    .filter(|number| identifier(&self.store, *number).id_type == id_type)
                    .collect();
                let ids = set(&of_type);
                self.note(Note::Asks(number, Asked::Remove { at: profile, ids }));
                let removed = process.remove_identifiers(&target, &id_type, Removal::One);
                self.located(number, removed.await.ok().map(changed))
            }
            Op::Delete(_) => {
                self.note(Note::Asks(number, Asked::Delete(profile)));
                let answer = process.delete(&target).await;
                let is_done = matches!(answer, Ok(Located::Here(())));
                let is_answered = self.located(number, answer.ok().map(done));
                if is_done {
                    // What the set had written is garbage from now on. A record that is not answered for may be there.
                    let record = purge_record(self.store.id, profile, request(number));
                    process.environment().log().publish(record).await.ok();
                }
                is_answered
            }
            Op::Fetch(_) => {
                self.note(Note::Asks(number, Asked::Fetch(profile)));
                let answer = process.traits(&self.store, profile).await.ok();
                let answer = answer.map(|located| located_as(located, |_| Told::Done));
                self.located(number, answer)
            }
            Op::List(_) => {
                self.note(Note::Asks(number, Asked::List(profile)));
                let answer = process.identifiers(&self.store, profile).await.ok();
                let answer = answer.map(|located| {
                    located_as(located, |listed| Told::Listed(self.listed(&listed)))
                });
                self.located(number, answer)
            }
        }
    }

    /// Notes an answer, if there is one.
    fn located(&self, number: u128, told: Option<Told<ProfileId>>) -> bool {
        if let Some(told) = told {
            self.note(Note::Told(number, told));
        }
        told.is_some()
    }

    /// The numbers of identifiers in a list.
    fn listed(&self, listed: &[(IdType, Vec<IdentifierValue>)]) -> Set {
        let numbers: Vec<usize> = (0..IDENTIFIERS.len())
            .filter(|number| {
                let one = identifier(&self.store, *number);
                let mut types = listed.iter();
                types
                    .any(|(id_type, values)| *id_type == one.id_type && values.contains(&one.value))
            })
            .collect();
        set(&numbers)
    }
}

/// What a removal writes, in a history.
pub const REMOVED: &str = "(removed)";

fn small(number: usize) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}

fn set(numbers: &[usize]) -> Set {
    numbers.iter().fold(0, |set, number| set | 1 << number)
}

fn located_as<T>(located: Located<T>, told: impl FnOnce(T) -> Told<ProfileId>) -> Told<ProfileId> {
    match located {
        Located::Here(here) => told(here),
        Located::Moved(to) => Told::Moved(to),
        Located::Gone => Told::Gone,
    }
}

fn done(located: Located<()>) -> Told<ProfileId> {
    located_as(located, |()| Told::Done)
}

fn changed(located: Located<Changed>) -> Told<ProfileId> {
    located_as(located, |changed| match changed {
        Changed::Done => Told::Done,
        Changed::NotThere => Told::NotThere,
        Changed::AlreadyHere => Told::AlreadyHere,
    })
}
