//! Clients: what they send, what they were answered, and the notes that they take of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kith_domain::body::WriteSet;
use kith_domain::id::ProfileId;
use kith_domain::identifier::Identifier;
use kith_domain::store::StoreRecord;
use kith_profiles::Profiles;
use kith_profiles::change::{Removal, Target};
use kith_profiles::create::Create as CreateRequest;
use kith_profiles::environment::Environment;
use kith_profiles::ports::TraitLog;
use kith_profiles::purge::purge_record;
use kith_profiles::read::Located;

use crate::case::{IDENTIFIERS, Op, identifier, request, writes};
use crate::history::{Create, History};
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
    /// It changes or removes an identifier.
    Freed(Identifier),
    /// It deletes.
    Deletes(u128, ProfileId),
    /// The deletion was answered; whether it did it.
    Deleted(u128, bool),
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
#[derive(Debug, Clone, Default)]
pub struct Recorder {
    /// The history so far.
    pub history: History,
    creates: BTreeMap<u128, usize>,
    deletes: BTreeMap<u128, usize>,
}

impl Recorder {
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
            Note::Freed(identifier) => self.history.free(identifier),
            Note::Deletes(number, profile) => {
                let index = self.history.delete(profile);
                self.deletes.insert(number, index);
            }
            Note::Deleted(number, is_done) => {
                self.history.deleted(self.deletes[&number], is_done);
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
            | Op::Delete(of) => match self.owner(process, *of).await {
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
    async fn owner(&self, process: &Process, of: usize) -> Option<Option<ProfileId>> {
        if let Some(profile) = self.known.get(&of) {
            return Some(Some(*profile));
        }
        let identifier = identifier(&self.store, of);
        let owners = process.lookup(&self.store, identifier).await.ok()?;
        Some(owners.first().copied())
    }

    async fn create(&self, process: &Process, number: u128, identifiers: &[usize]) -> bool {
        let writes = self.writes(number, identifiers, None);
        let create = CreateRequest {
            store: Arc::clone(&self.store),
            writes,
            request: request(number),
            deadline: process.environment().deadline_in(PATIENCE),
        };
        let answer = process.create(create).await;
        if let Ok(accepted) = &answer {
            self.note(Note::Wrote(number, accepted.profile));
        }
        answer.is_ok()
    }

    /// The body of a request that writes.
    fn writes(&self, number: u128, identifiers: &[usize], profile: Option<ProfileId>) -> WriteSet {
        let value = format!("value-{number}");
        let writes = writes(&self.store, identifiers, &value);
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
        match op {
            Op::Create(_) => true,
            Op::Patch(_, identifiers) => {
                let writes = self.writes(number, identifiers, Some(profile));
                let answer = process.patch(&target, &writes).await;
                if let Ok(Located::Here(())) = &answer {
                    self.note(Note::Wrote(number, profile));
                }
                answer.is_ok()
            }
            Op::Add(_, other) => {
                let added = process.add_identifier(&target, identifier(&self.store, *other));
                added.await.is_ok()
            }
            Op::Change(of, other) => {
                let (old, new) = (
                    identifier(&self.store, *of),
                    identifier(&self.store, *other),
                );
                self.note(Note::Freed(old.clone()));
                self.note(Note::Freed(new.clone()));
                process.change_identifier(&target, &old, new).await.is_ok()
            }
            Op::Remove(of) => {
                let id_type = identifier(&self.store, *of).id_type;
                for number in 0..IDENTIFIERS.len() {
                    let one = identifier(&self.store, number);
                    if one.id_type == id_type {
                        self.note(Note::Freed(one));
                    }
                }
                let removed = process.remove_identifiers(&target, &id_type, Removal::One);
                removed.await.is_ok()
            }
            Op::Delete(_) => {
                self.note(Note::Deletes(number, profile));
                let answer = process.delete(&target).await;
                if let Ok(located) = &answer {
                    let is_done = matches!(located, Located::Here(()));
                    self.note(Note::Deleted(number, is_done));
                    if is_done {
                        // What the set had written is garbage from now on. A record that is not answered for may be there.
                        let record = purge_record(self.store.id, profile, request(number));
                        process.environment().log().publish(record).await.ok();
                    }
                }
                answer.is_ok()
            }
        }
    }
}
