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
use super::find::{End, Found, Passed, Root, find_all};
use super::survey::{Survey, Wanted, evidence, is_taken, read_claims};
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
    /// What must be done before the answer; `None` on the known path.
    pub(crate) chores: Option<Chores>,
}

/// What a resolve came to.
#[derive(Debug, Clone)]
pub(crate) enum Answered {
    /// Identity is decided. May be answered only after the [`Chores`] are done.
    Resolved(Resolved),
    /// The profile that was named is dead.
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
        Answered::Gone | Answered::AlreadyHere => Err(Trouble::Port(PortError::Corrupt {
            operation: "resolve",
            detail: "an answer about a profile that was not named".to_owned(),
        })),
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
struct State {
    /// The id of the profile this request makes, if it makes one.
    own: ProfileId,
    seen: Micros,
    merged: bool,
    created: bool,
}

impl State {
    /// Steps 1 to 7 once. `None`: something moved meanwhile, go to 1.
    async fn attempt<E: Environment>(
        &mut self,
        env: &E,
        question: &Question,
    ) -> Result<Option<Answered>, Trouble> {
        // 1. The claims of all identifiers. 2. The root of every owner, with its rows of these identifiers.
        let wanted = read_claims(env, question).await?;
        let found = self.find_owners(env, question, &wanted).await?;
        let survey = Survey::new(wanted, found);
        if let Some(at) = question.at {
            let Some(root) = survey.found.get(&at).and_then(Found::root) else {
                return Ok(Some(Answered::Gone));
            };
            if question.exclusive && is_taken(&survey, root, question.request) {
                return Ok(Some(Answered::AlreadyHere));
            }
        }

        // 3. The live roots, and the target among them.
        let is_open = survey.roots.len() > 1 && !survey.undecided.is_empty();
        if is_open && !env.omits(Omission::SettleBeforeLink) {
            let evidence = evidence(question, &survey.wanted);
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
            root: target.id,
            idents: survey.unsettled(env),
            links: survey.open_links(env),
            listing: BTreeSet::new(),
            hints: survey.far_starts(),
        };
        // 4. Known: nothing to claim, nothing to merge, nothing left unsettled.
        let is_known = survey.roots.len() == 1 && survey.free().next().is_none();
        if is_known && chores.idents.is_empty() && chores.links.is_empty() {
            let chores = (!chores.hints.is_empty()).then_some(chores);
            return Ok(Some(self.resolved(target.id, chores)));
        }
        chores
            .listing
            .extend(chores.idents.iter().map(|(member, _)| *member));

        // 5, and the first half of 6.
        let Some(joining) = self
            .claim_and_point(env, question, &survey, target, &mut chores)
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
            let evidence = evidence(question, &survey.wanted);
            if !self
                .link(env, question, target, &joining, &survey.found, evidence)
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
        Ok(Some(self.resolved(chores.root, Some(chores))))
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
        let found = find_all(env.database(), question.store.id, starts).await?;
        let Some(found) = found.first() else {
            return Ok(None);
        };
        self.seen = self.seen.max(found.seen(env));
        for passed in found.passed.iter().filter(|passed| !passed.settled) {
            if !chores.links.contains(passed) {
                chores.links.push(*passed);
            }
        }
        Ok(found.root().map(|root| root.id))
    }

    fn resolved(&self, target: ProfileId, chores: Option<Chores>) -> Answered {
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
            chores,
        })
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
        if owners.is_empty() {
            return Ok(BTreeMap::new());
        }
        let starts = owners.into_iter().collect();
        let found = find_all(env.database(), question.store.id, starts).await?;
        for one in &found {
            self.seen = self.seen.max(one.seen(env));
        }
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
