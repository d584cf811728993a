//! RESOLVE: the profile that a set of identifiers means, created, found or merged (`identity-protocol.md` 4).
//!
//! The numbers in comments are the steps there. A resolve has two parts: [`resolve`] ends when identity is decided
//! (step 7), and [`Chores`] are what the request still owes before it answers (step 8): limits, marks and copies. They are
//! apart so that the caller can do its own writes beside them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use kith_domain::id::{ClaimId, LinkToken, ProfileId, ProfileKey, RequestId};
use kith_domain::identifier::Identifier;
use kith_domain::store::StoreRecord;
use kith_domain::time::Micros;

use super::attempt::{self, Answer};
use super::chores::{Chores, write};
use super::find::{End, Found, Passed, Root, exists, find_all};
use super::share::{self, Collected, Shared};
use super::survey::{self, Survey, Wanted, is_taken, read_claims};
use super::{settle, stamp};
use crate::environment::{Deadline, Environment, Omission};
use crate::error::{PortError, Trouble};
use crate::ports::{CellWrite, Claim, Conditional, Durability, Ids, Pointer, Select};

/// What a resolve is asked.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    /// The store, with its settings.
    pub(crate) store: Arc<StoreRecord>,
    /// The identifiers, in document order, each once.
    pub(crate) identifiers: Vec<Identifier>,
    /// A profile that the identifiers are attached to, whoever has them.
    pub(crate) at: Option<ProfileId>,
    /// The identifiers must be new to that profile, or have been put there by this request.
    pub(crate) exclusive: bool,
    /// Who asks.
    pub(crate) request: RequestId,
    /// Until when.
    pub(crate) deadline: Deadline,
}

/// What became of the identifiers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// Nobody had any of them.
    Created,
    /// They belonged to one profile, or now do.
    Found,
    /// They joined two or more profiles.
    Merged,
}

impl Resolution {
    /// The label of the metric and the span.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Found => "found",
            Self::Merged => "merged",
        }
    }
}

/// Identity, decided.
#[derive(Debug, Clone)]
pub(crate) struct Resolved {
    /// The profile.
    pub(crate) target: ProfileId,
    /// How it came about.
    pub(crate) resolution: Resolution,
    /// The newest clock row of every profile met: a stamp must be newer (`trait-order.md` R1).
    pub(crate) seen: Micros,
    /// The other profiles from which this one was found. They get the clock row too, before anything else is written: a retry
    /// starts from them, and a hint may lead it past the profile, and its clock, by then.
    pub(crate) starts: Vec<ProfileId>,
    /// What must be done before the answer; `None` on the known path.
    pub(crate) chores: Option<Chores>,
}

/// What a resolve came to.
#[derive(Debug, Clone)]
pub(crate) enum Answered {
    /// Identity is decided. May be answered only after the [`Chores`] are done.
    Resolved(Resolved),
    /// The profile that was named was merged away before: its root.
    Moved(ProfileId),
    /// The profile that was named is dead, or never was.
    Gone,
    /// The one identifier of an exclusive question is on the profile already, put there by another request.
    AlreadyHere,
}

/// Resolves a question that names no profile. The answer is final, but may be given only after the [`Chores`] are done.
///
/// # Errors
/// [`Trouble`]: nothing is undone, and a retry goes on from whatever was reached.
pub(crate) async fn resolve<E: Environment>(
    env: &E,
    question: &Question,
) -> Result<Resolved, Trouble> {
    match resolve_at(env, question).await? {
        Answered::Resolved(resolved) => Ok(resolved),
        Answered::Moved(_) | Answered::Gone | Answered::AlreadyHere => {
            Err(Trouble::Port(PortError::Corrupt {
                operation: "resolve",
                detail: "an answer about a profile that was not named".to_owned(),
            }))
        }
    }
}

/// Resolves a question that may name a profile.
///
/// # Errors
/// [`Trouble`]: nothing is undone, and a retry goes on from whatever was reached.
pub(crate) async fn resolve_at<E: Environment>(
    env: &E,
    question: &Question,
) -> Result<Answered, Trouble> {
    let mut state = State {
        own: env.ids().profile(),
        seen: Micros::EPOCH,
        starts: BTreeSet::new(),
        located: false,
        merged: false,
        created: false,
    };
    let mut tries = 0;
    loop {
        if let Some(answered) = state.attempt(env, question).await? {
            return Ok(answered);
        }
        metrics::counter!("kith_retries_total", "operation" => "resolve").increment(1);
        if question.deadline.has_passed(env.clock()) {
            return Err(Trouble::Deadline {
                during: "resolving identity",
            });
        }
        if tries > 0 {
            attempt::back_off(env, tries).await;
        }
        tries += 1;
    }
}

/// What a resolve keeps over "go to 1".
pub(super) struct State {
    /// The id of the profile this request makes, if it makes one.
    pub(super) own: ProfileId,
    pub(super) seen: Micros,
    /// The live profiles from which this try's finds began.
    starts: BTreeSet<ProfileId>,
    /// Whether the profile that was named was found canonical. From then on this request may merge it away itself.
    located: bool,
    merged: bool,
    pub(super) created: bool,
}

/// Where steps 1 to 7 ended.
pub(super) struct Joined {
    /// The live root that has, or may be given, everything.
    pub(super) target: ProfileId,
    /// Whether nobody had been there.
    pub(super) is_new: bool,
    /// What is owed so far.
    pub(super) chores: Chores,
}

impl State {
    /// The whole of it once. `None`: something moved meanwhile, go to 1.
    async fn attempt<E: Environment>(
        &mut self,
        env: &E,
        question: &Question,
    ) -> Result<Option<Answered>, Trouble> {
        self.starts.clear();
        // 11. Without a unique value the shared ones decide, and are collected first.
        let mut wanted = survey::wanted(question);
        let is_shared = question.at.is_none() && wanted.iter().all(|one| !one.unique);
        let first = if is_shared {
            Some(share::collect(env, question, &wanted, None).await?)
        } else {
            None
        };

        // 1. The claims of all identifiers. 2. The root of every owner, with its rows of these identifiers.
        read_claims(env, &mut wanted).await?;
        let mut found = self.find_owners(env, question, &wanted).await?;
        if let Some(first) = &first {
            let is_claimed = found.values().any(|found| found.root().is_some());
            let mut named = first.candidates(&question.store.settings, is_claimed);
            if self.created {
                // What this request has made is its own, and nobody else knows of it yet.
                named.insert(self.own);
            }
            self.meet_owners(env, first, &named);
            let starts = named.iter().map(|profile| (*profile, Vec::new())).collect();
            let named = self.find(env, question, starts).await?;
            let is_gone = |found: &Found| found.start != self.own && found.end == End::Dead;
            if named.iter().any(is_gone) {
                return Ok(None);
            }
            for one in named {
                found.entry(one.start).or_insert(one);
            }
        }
        let survey = Survey::new(wanted, found);
        if let Some(at) = question.at {
            let named = survey.found.get(&at);
            let Some((named, root)) = named.and_then(|named| Some((named, named.root()?))) else {
                return Ok(Some(Answered::Gone));
            };
            if !self.located {
                if root.id != at {
                    return Ok(Some(Answered::Moved(root.id)));
                }
                if !exists(env.database(), question.store.id, named).await? {
                    return Ok(Some(Answered::Gone));
                }
                self.located = true;
            }
            if question.exclusive && is_taken(&survey, root, question.request) {
                return Ok(Some(Answered::AlreadyHere));
            }
        }
        let evidence = || survey.evidence(question);
        if env.omits(Omission::ClaimBeforeShare) && first.is_none() {
            let target = survey.target(env).map_or(self.own, |root| root.id);
            let mut early = Joined {
                target,
                is_new: survey.roots.is_empty(),
                chores: Chores::of(target),
            };
            share::add(self, env, question, &survey.wanted, None, &mut early).await?;
        }
        let Some(mut joined) = self.join(env, question, &survey, evidence).await? else {
            return Ok(None);
        };
        let shared = share::share(
            self,
            env,
            question,
            &survey.wanted,
            first.as_ref(),
            &mut joined,
        );
        match shared.await? {
            Shared::Done => Ok(Some(self.resolved(joined))),
            Shared::AlreadyHere => Ok(Some(Answered::AlreadyHere)),
            Shared::Moved => Ok(None),
        }
    }

    /// Steps 3 to 7: claims what is free, and joins whoever was found. `None`: go to 1.
    pub(super) async fn join<E: Environment>(
        &mut self,
        env: &E,
        question: &Question,
        survey: &Survey<'_>,
        evidence: impl Fn() -> Bytes,
    ) -> Result<Option<Joined>, Trouble> {
        // 3. The live roots, and the target among them.
        let is_open = survey.roots.len() > 1 && !survey.undecided.is_empty();
        if is_open && !env.omits(Omission::SettleBeforeLink) {
            let evidence = evidence();
            for (child, pointer) in &survey.undecided {
                settle::settle(
                    env,
                    question.store.id,
                    *child,
                    *pointer,
                    evidence.clone(),
                    question.deadline,
                )
                .await?;
            }
            return Ok(None);
        }
        let own = survey.found.get(&self.own);
        if own.is_some_and(|own| own.end == End::Dead) {
            self.own = env.ids().profile();
            self.created = false;
        }
        let target = match survey.target(env) {
            Some(root) => root,
            None => Root {
                id: self.own,
                pointer: None,
            },
        };

        let mut chores = Chores {
            idents: survey.unsettled(env),
            links: survey.open_links(env),
            hints: survey.far_starts(),
            ..Chores::of(target.id)
        };
        // 4. Known: nothing to claim, nothing to merge, nothing left unsettled.
        let is_known = survey.roots.len() == 1 && survey.free().next().is_none();
        // Whoever made a profile that is named here may have died before it was listed, and this request be the first that
        // is answered about it.
        if !env.omits(Omission::ListNamed) {
            chores.listing.extend(question.at.map(|_| target.id));
        }
        if is_known && chores.idents.is_empty() && chores.links.is_empty() {
            return Ok(Some(Joined {
                target: target.id,
                is_new: false,
                chores,
            }));
        }
        chores
            .listing
            .extend(chores.idents.iter().map(|(member, _)| *member));

        // 5, and the first half of 6.
        let Some(joining) = self
            .claim_and_point(env, question, survey, target, &mut chores)
            .await?
        else {
            return Ok(None);
        };
        if joining.is_empty() {
            // 7. Claims alone do not prove that their root still lives.
            let is_proven = survey.roots.is_empty() || env.omits(Omission::LookAfterClaim);
            if survey.free().next().is_some() && !is_proven {
                match self.look_at(env, question, target, &mut chores).await? {
                    Some(root) => chores.root = root,
                    None => return Ok(None),
                }
            }
        } else {
            // 6. Link what points at the target, with the target's own pointer as it was read.
            if !self
                .link(env, question, target, &joining, &survey.found, evidence())
                .await?
            {
                return Ok(None);
            }
            chores
                .links
                .extend(joining.iter().map(|(child, pointer)| Passed {
                    parent: pointer.parent,
                    child: *child,
                    token: pointer.token,
                    settled: false,
                }));
            self.merged = true;
        }
        // Whoever made the root may have died before it was listed, and none of its identifiers need be among these.
        chores.listing.insert(chores.root);
        Ok(Some(Joined {
            target: chores.root,
            is_new: survey.roots.is_empty(),
            chores,
        }))
    }

    /// Claims what is free for the target and points every other root at it, in one round, with the identifier rows beside
    /// it. The pointers made; `None` if anything was lost.
    async fn claim_and_point<E: Environment>(
        &mut self,
        env: &E,
        question: &Question,
        survey: &Survey<'_>,
        target: Root,
        chores: &mut Chores,
    ) -> Result<Option<Vec<(ProfileId, Pointer)>>, Trouble> {
        let store = question.store.id;
        let added_at = stamp::stamp(env, self.seen)?;
        let mut statements = Vec::new();
        let mut rows: BTreeMap<ProfileId, Vec<CellWrite>> = BTreeMap::new();
        for (member, row) in survey.missing() {
            rows.entry(member).or_default().push(CellWrite::Ident(row));
        }
        for one in survey.free() {
            let id = ClaimId::from_uuid(env.ids().random());
            statements.push(Conditional::Claim {
                key: one.key,
                expected: one.claim.map(|claim| claim.id),
                id,
                profile: target.id,
                added_at,
                place: one.place,
                by_request: question.request,
            });
            let row = CellWrite::Ident(one.row(id, added_at, false));
            rows.entry(target.id).or_default().push(row);
            chores.idents.push((target.id, one.row(id, added_at, true)));
            chores.listing.insert(target.id);
        }
        let claims = statements.len();
        let mut joining = Vec::new();
        for root in survey.roots.values().filter(|root| root.id != target.id) {
            let token = if env.omits(Omission::FreshToken) {
                LinkToken::from_uuid(uuid::Uuid::nil())
            } else {
                LinkToken::from_uuid(env.ids().random())
            };
            let parent = target.id;
            statements.push(Conditional::Point {
                child: ProfileKey {
                    store,
                    profile: root.id,
                },
                expected: root.token(),
                parent,
                token,
            });
            joining.push((root.id, Pointer { parent, token }));
        }
        // Every statement of the round is answered before anything else is sent, also after a loss.
        let (answers, written) = futures_util::join!(
            attempt::send(env, &statements, Durability::Ordered, question.deadline),
            write(env, store, added_at, rows)
        );
        let answers = answers?;
        written?;
        if survey.roots.is_empty() && answers[..claims].iter().any(|answer| answer.is_won()) {
            self.created = true;
        }
        Ok(answers
            .iter()
            .all(|answer| answer.is_won())
            .then_some(joining))
    }

    /// The root that the target leads to now, with what the find met added to the chores; `None` if it is dead.
    async fn look_at<E: Environment>(
        &mut self,
        env: &E,
        question: &Question,
        target: Root,
        chores: &mut Chores,
    ) -> Result<Option<ProfileId>, Trouble> {
        let starts = vec![(target.id, Vec::new())];
        let found = self.find(env, question, starts).await?;
        let Some(found) = found.first() else {
            return Ok(None);
        };
        chores.meet(found);
        Ok(found.root().map(|root| root.id))
    }

    fn resolved(&self, joined: Joined) -> Answered {
        let Joined { target, chores, .. } = joined;
        let resolution = if self.merged {
            Resolution::Merged
        } else if self.created && target == self.own {
            Resolution::Created
        } else {
            Resolution::Found
        };
        Answered::Resolved(Resolved {
            target,
            resolution,
            seen: self.seen,
            starts: self
                .starts
                .iter()
                .copied()
                .filter(|start| *start != target)
                .collect(),
            chores: (!chores.is_empty()).then_some(chores),
        })
    }

    /// FIND of several profiles, whose clocks the stamp has to beat.
    pub(super) async fn find<E: Environment>(
        &mut self,
        env: &E,
        question: &Question,
        starts: Vec<(ProfileId, Vec<Select>)>,
    ) -> Result<Vec<Found>, Trouble> {
        let found = find_all(env.database(), question.store.id, starts).await?;
        for one in &found {
            self.meet(env, one);
        }
        Ok(found)
    }

    /// R1: the clocks of a find count, and its start is where a retry will begin.
    pub(super) fn meet<E: Environment>(&mut self, env: &E, found: &Found) {
        self.seen = self.seen.max(found.seen(env));
        if found.end != End::Dead {
            self.starts.insert(found.start);
        }
    }

    /// The same for the owners of shared values that lead to one of these roots.
    pub(super) fn meet_owners<E: Environment>(
        &mut self,
        env: &E,
        collected: &Collected,
        roots: &BTreeSet<ProfileId>,
    ) {
        for found in collected.leading_to(roots) {
            self.meet(env, found);
        }
    }

    async fn find_owners<E: Environment>(
        &mut self,
        env: &E,
        question: &Question,
        wanted: &[Wanted<'_>],
    ) -> Result<BTreeMap<ProfileId, Found>, Trouble> {
        let mut owners: BTreeMap<ProfileId, Vec<Select>> = BTreeMap::new();
        if let Some(at) = question.at {
            owners.insert(at, Vec::new());
        }
        for one in wanted {
            if let Some(Claim {
                profile: Some(profile),
                id,
                ..
            }) = one.claim
            {
                owners.entry(profile).or_default().push(Select::Ident(
                    one.identifier.id_type.clone(),
                    one.identifier.value.clone(),
                    id,
                ));
            }
        }
        let found = self
            .find(env, question, owners.into_iter().collect())
            .await?;
        Ok(found
            .into_iter()
            .map(|found| (found.start, found))
            .collect())
    }

    /// LINK for every pointer of the round, after the clocks were carried up. Whether all ended linked.
    async fn link<E: Environment>(
        &mut self,
        env: &E,
        question: &Question,
        target: Root,
        joining: &[(ProfileId, Pointer)],
        found: &BTreeMap<ProfileId, Found>,
        evidence: Bytes,
    ) -> Result<bool, Trouble> {
        let store = question.store.id;
        let known = found
            .values()
            .filter(|found| found.start == target.id)
            .filter_map(|found| found.rows.clock)
            .max();
        let carry = || {
            let carried = joining
                .iter()
                .map(|(child, _)| stamp::carry_clock(env, store, *child, target.id, known));
            futures_util::future::try_join_all(carried)
        };
        if !env.omits(Omission::CarryClock) && !env.omits(Omission::CarryBeforeLink) {
            for clock in carry().await? {
                self.seen = self.seen.max(clock);
            }
        }
        let statements = joining
            .iter()
            .map(|(child, pointer)| {
                settle::link(env, store, *child, *pointer, target, evidence.clone())
            })
            .collect::<Result<Vec<_>, _>>()?;
        let answers =
            attempt::send(env, &statements, Durability::Ordered, question.deadline).await?;
        if env.omits(Omission::CarryBeforeLink) {
            carry().await?;
        }
        let mut all = true;
        for ((child, pointer), answer) in joining.iter().zip(answers) {
            if let Answer::Lost(standing) = answer {
                all = false;
                if standing.verdict.is_none() {
                    settle::settle(
                        env,
                        store,
                        *child,
                        *pointer,
                        evidence.clone(),
                        question.deadline,
                    )
                    .await?;
                }
            }
        }
        Ok(all)
    }
}
