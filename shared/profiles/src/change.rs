//! Writing to a profile that is named: patch, and adding, changing and removing its identifiers (`memory-api.md` 6.4, 6.10).

use std::collections::BTreeSet;
use std::sync::Arc;

use kith_domain::body::{TraitWriteOf, WriteSet};
use kith_domain::id::{ProfileId, ProfileKey, RequestId};
use kith_domain::identifier::{IdType, Identifier};
use kith_domain::settings::LimitPolicy;
use kith_domain::store::StoreRecord;
use kith_domain::time::Micros;

use crate::Profiles;
use crate::accept::{Write, accept, share};
use crate::environment::{Deadline, Environment, Omission};
use crate::error::Trouble;
use crate::ports::{
    CellBatch, CellWrite, Cells, Conditional, Durability, Identity, Outcome, Select,
};
use crate::protocol::attempt;
use crate::protocol::limits::{Held, by_value, held};
use crate::protocol::resolve::{Answered, Question, resolve_at};
use crate::protocol::stamp;
use crate::purge::ask_for_leftovers;
use crate::read::{Located, locate, members_of};

/// Who writes to which profile, and until when.
#[derive(Debug, Clone)]
pub struct Target {
    /// The store, as the request was validated against it.
    pub store: Arc<StoreRecord>,
    /// The profile that the path names.
    pub profile: ProfileId,
    /// The request.
    pub request: RequestId,
    /// When it must have been answered.
    pub deadline: Deadline,
}

/// Why a change of identifiers was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// It was.
    Done,
    /// The profile does not have the value, or no value of the type.
    NotThere,
    /// The profile has the new value already.
    AlreadyHere,
}

/// Which identifiers of a type are removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// One, by the type's policy: the oldest with fifo, the newest with lifo.
    One,
    /// All of the type.
    All,
}

impl<E: Environment> Profiles<E> {
    /// Writes traits to a profile. A promoted one records an identifier, and merges if somebody else has it.
    ///
    /// # Errors
    /// [`Trouble`]: the effect is unknown, and sending the request again is safe.
    pub async fn patch(&self, target: &Target, writes: &WriteSet) -> Result<Located<()>, Trouble> {
        if writes.writes.is_empty() {
            let database = self.env.database();
            return locate(database, target.store.id, target.profile).await;
        }
        let question = question(target, writes.identifiers.clone(), false);
        let attached = self.attach_and_accept(question, &writes.writes).await?;
        Ok(attached.map(drop))
    }

    /// Adds an identifier to a profile. One that it has keeps its age; one that somebody else has merges.
    ///
    /// # Errors
    /// [`Trouble`]: the effect is unknown, and sending the request again is safe.
    pub async fn add_identifier(
        &self,
        target: &Target,
        identifier: Identifier,
    ) -> Result<Located<()>, Trouble> {
        let question = question(target, vec![identifier], false);
        let attached = self.attach_and_accept(question, &[]).await?;
        Ok(attached.map(drop))
    }

    /// RESOLVE with the profile among the owners, then what belongs to traits.
    async fn attach_and_accept(
        &self,
        question: Question,
        traits: &[TraitWriteOf],
    ) -> Result<Located<Changed>, Trouble> {
        let mut resolved = match resolve_at(&*self.env, &question).await? {
            Answered::Resolved(resolved) => resolved,
            Answered::Moved(to) => return Ok(Located::Moved(to)),
            Answered::Gone => return Ok(Located::Gone),
            Answered::AlreadyHere => return Ok(Located::Here(Changed::AlreadyHere)),
        };
        let (store, request) = (Arc::clone(&question.store), question.request);
        let chores = resolved
            .chores
            .take()
            .map(|chores| share(Arc::clone(&self.env), question, chores, resolved.seen));
        let write = Write {
            store: &store,
            request,
            traits,
        };
        accept(&*self.env, &resolved, write, chores).await?;
        Ok(Located::Here(Changed::Done))
    }

    /// CHANGE: the new value is there before the old one goes. A crash between the two leaves both.
    ///
    /// # Errors
    /// [`Trouble`]: the effect is unknown. Sending the request again may find the new value there, and say so.
    pub async fn change_identifier(
        &self,
        target: &Target,
        old: &Identifier,
        new: Identifier,
    ) -> Result<Located<Changed>, Trouble> {
        let mut tries = 0;
        loop {
            let Some(held) = self.held_of(target, &old.id_type).await? else {
                return self.elsewhere(target).await;
            };
            let gone = held
                .into_iter()
                .find(|value| value.iter().any(|one| one.row.value == old.value));
            let Some(gone) = gone else {
                // Gone meanwhile, by this very request if an answer was lost: then the new value is there.
                return Ok(Located::Here(Changed::NotThere));
            };
            let question = question(target, vec![new.clone()], true);
            match self.attach_and_accept(question, &[]).await? {
                Located::Here(Changed::Done) => {}
                other @ (Located::Here(_) | Located::Moved(_) | Located::Gone) => return Ok(other),
            }
            if self.release(target, std::slice::from_ref(&gone)).await? {
                return Ok(Located::Here(Changed::Done));
            }
            self.again(target, &mut tries).await?;
        }
    }

    /// Removes identifiers of a type. Traits are untouched.
    ///
    /// # Errors
    /// [`Trouble`]: the effect is unknown. Sending the request again may remove another value.
    pub async fn remove_identifiers(
        &self,
        target: &Target,
        id_type: &IdType,
        removal: Removal,
    ) -> Result<Located<Changed>, Trouble> {
        let mut tries = 0;
        loop {
            let Some(held) = self.held_of(target, id_type).await? else {
                return self.elsewhere(target).await;
            };
            let policy = target
                .store
                .settings
                .config(id_type)
                .map(|config| config.limit_policy);
            let victims = match (removal, policy) {
                (Removal::All, _) => held.as_slice(),
                (Removal::One, Some(LimitPolicy::Lifo)) => &held[held.len().saturating_sub(1)..],
                (Removal::One, Some(LimitPolicy::Fifo) | None) => &held[..held.len().min(1)],
            };
            if victims.is_empty() {
                return Ok(Located::Here(Changed::NotThere));
            }
            if self.release(target, victims).await? {
                return Ok(Located::Here(Changed::Done));
            }
            self.again(target, &mut tries).await?;
        }
    }

    /// The values of a type on a canonical profile, oldest first, each with its rows; `None` if it is not canonical.
    async fn held_of(
        &self,
        target: &Target,
        id_type: &IdType,
    ) -> Result<Option<Vec<Vec<Held>>>, Trouble> {
        let database = self.env.database();
        let (store, profile) = (target.store.id, target.profile);
        let Located::Here(members) =
            members_of(database, store, profile, &[Select::Idents]).await?
        else {
            return Ok(None);
        };
        let wanted = |one: &IdType| one == id_type;
        let held = held(database, &target.store, &members, wanted).await?;
        let (env, store, request) = (&*self.env, &target.store, target.request);
        ask_for_leftovers(env, store, request, &members, &held, wanted).await;
        Ok(Some(by_value(held)))
    }

    /// Where a profile that is not canonical is.
    async fn elsewhere(&self, target: &Target) -> Result<Located<Changed>, Trouble> {
        let located = locate(self.env.database(), target.store.id, target.profile).await?;
        Ok(match located {
            // Canonical after all: it was not a moment ago, and a pointer never goes back once it is linked.
            Located::Here(()) | Located::Gone => Located::Gone,
            Located::Moved(to) => Located::Moved(to),
        })
    }

    /// RELEASE of exactly these values, and of their rows. False: somebody was there first with all rows of one, so start over.
    ///
    /// After an unknown outcome another id in the row is success: the value asked for is gone, and whoever has taken it since
    /// keeps it.
    async fn release(&self, target: &Target, values: &[Vec<Held>]) -> Result<bool, Trouble> {
        let env = &*self.env;
        let victims: Vec<&Held> = values.iter().flatten().collect();
        let releases: Vec<Conditional> = victims
            .iter()
            .map(|victim| victim.release(env.ids(), target.request))
            .collect();
        let first = env.database().attempt(&releases, Durability::Durable).await;
        let mut gone = BTreeSet::new();
        for ((release, victim), outcome) in releases.iter().zip(&victims).zip(first) {
            match outcome {
                Outcome::Applied => {}
                Outcome::Refused(_) => continue,
                Outcome::Unknown => {
                    let again = std::slice::from_ref(release);
                    let answers =
                        attempt::send(env, again, Durability::Durable, target.deadline).await?;
                    let is_lost = !answers.iter().all(|answer| answer.is_won());
                    if is_lost && env.omits(Omission::StopAfterUnknown) {
                        continue;
                    }
                }
            }
            gone.insert(victim.key);
        }
        let time = stamp::stamp(env, newest(&victims))?;
        let forget = victims.iter().map(|victim| CellBatch {
            at: ProfileKey {
                store: target.store.id,
                profile: victim.member,
            },
            time,
            writes: vec![CellWrite::ForgetIdent(
                victim.row.id_type.clone(),
                victim.row.value.clone(),
                victim.row.claim,
            )],
        });
        let batches: Vec<CellBatch> = forget.collect();
        env.database().write(&batches, Durability::Durable).await?;
        Ok(victims.iter().all(|victim| gone.contains(&victim.key)))
    }

    pub(crate) async fn again(&self, target: &Target, tries: &mut u32) -> Result<(), Trouble> {
        if target.deadline.has_passed(self.env.clock()) {
            return Err(Trouble::Deadline {
                during: "changing identifiers",
            });
        }
        attempt::back_off(&*self.env, *tries).await;
        *tries += 1;
        Ok(())
    }
}

fn question(target: &Target, identifiers: Vec<Identifier>, exclusive: bool) -> Question {
    Question {
        store: Arc::clone(&target.store),
        identifiers,
        at: Some(target.profile),
        exclusive,
        request: target.request,
        deadline: target.deadline,
    }
}

/// Rows are removed later than any of them was written, whatever this host's clock says.
fn newest(victims: &[&Held]) -> Micros {
    let added = victims.iter().map(|victim| victim.row.added_at);
    added.max().unwrap_or(Micros::EPOCH)
}
