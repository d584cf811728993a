//! RESOLVE: the profile that a set of identifiers means, created, found or merged (`identity-protocol.md` 4).
//!
//! The numbers in comments are the steps there. A resolve has two parts: [`resolve`] ends when identity is decided
//! (step 7), and [`Chores`] are what the request still owes before it answers (step 8): limits, marks and copies. They are
//! apart so that the caller can do its own writes beside them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use kith_domain::id::{ClaimId, LinkToken, ProfileId, ProfileKey, RequestId};
use kith_domain::identifier::{ClaimKey, Identifier};
use kith_domain::store::StoreRecord;
use kith_domain::time::Micros;

use super::attempt::{self, Answer};
use super::find::{End, Found, Passed, Root, find_all};
use super::members::{self, collect, collect_all};
use super::{limits, settle, stamp};
use crate::environment::{Deadline, Environment};
use crate::error::Trouble;
use crate::ports::{
    CellBatch, CellWrite, Cells, Claim, Conditional, Durability, IdentRow, Identity, Ids, Listing,
    Pointer, Select,
};

/// What a resolve is asked.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    /// The store, with its settings.
    pub(crate) store: Arc<StoreRecord>,
    /// The identifiers, in document order, each once.
    pub(crate) identifiers: Vec<Identifier>,
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

/// Step 8: what is owed before the answer, and what the next request would do if this one crashed first.
#[derive(Debug, Clone)]
pub(crate) struct Chores {
    /// The root whose limits are enforced.
    root: ProfileId,
    /// Identifier rows to be marked, each at the member whose claim it belongs to.
    idents: Vec<(ProfileId, IdentRow)>,
    /// Links made, or met unsettled.
    links: Vec<Passed>,
    /// Profiles that may not be in the listing yet.
    listing: BTreeSet<ProfileId>,
    /// Where a hint at the root saves hops.
    hints: Vec<ProfileId>,
}

/// One identifier and what is known of its claim.
struct Wanted<'a> {
    identifier: &'a Identifier,
    key: ClaimKey,
    place: u16,
    claim: Option<Claim>,
}

impl Wanted<'_> {
    fn row(&self, claim: ClaimId, added_at: Micros, settled: bool) -> IdentRow {
        IdentRow {
            id_type: self.identifier.id_type.clone(),
            value: self.identifier.value.clone(),
            claim,
            added_at,
            settled,
        }
    }
}

/// Resolves. The answer is final, but may be given only after the [`Chores`] are done.
///
/// # Errors
/// [`Trouble`]: nothing is undone, and a retry goes on from whatever was reached.
pub(crate) async fn resolve<E: Environment>(
    env: &E,
    question: &Question,
) -> Result<Resolved, Trouble> {
    let mut state = State {
        own: env.ids().profile(),
        seen: Micros::EPOCH,
        merged: false,
        created: false,
    };
    let mut tries = 0;
    loop {
        if let Some(resolved) = state.attempt(env, question).await? {
            return Ok(resolved);
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
    ) -> Result<Option<Resolved>, Trouble> {
        let store = &question.store;
        // 1. The claims of all identifiers.
        let mut wanted: Vec<Wanted<'_>> = question
            .identifiers
            .iter()
            .zip(0..)
            .map(|(identifier, place)| Wanted {
                identifier,
                key: store.claim_secret.claim_key(identifier),
                place,
                claim: None,
            })
            .collect();
        let keys: Vec<ClaimKey> = wanted.iter().map(|one| one.key).collect();
        for (one, claim) in wanted.iter_mut().zip(env.database().claims(&keys).await?) {
            one.claim = claim;
        }

        // 2. The root of every owner, with its rows of these identifiers.
        let found = self.find_owners(env, question, &wanted).await?;
        let owner = |one: &Wanted<'_>| -> Option<&Found> {
            let profile = one.claim?.profile?;
            found.get(&profile).filter(|found| found.end != End::Dead)
        };

        // 3. The live roots, and the target among them.
        let roots: BTreeMap<ProfileId, Root> = found
            .values()
            .filter_map(Found::root)
            .map(|root| (root.id, root))
            .collect();
        let undecided: BTreeMap<ProfileId, Pointer> = found
            .values()
            .filter_map(|found| match found.end {
                End::Undecided(Root {
                    id,
                    pointer: Some(pointer),
                }) => Some((id, pointer)),
                End::Undecided(_) | End::Live(_) | End::Dead => None,
            })
            .collect();
        if roots.len() > 1 && !undecided.is_empty() {
            let evidence = evidence(question, &wanted);
            for (child, pointer) in undecided {
                settle::settle(
                    env,
                    store.id,
                    child,
                    pointer,
                    evidence.clone(),
                    question.deadline,
                )
                .await?;
            }
            return Ok(None);
        }
        if found.get(&self.own).is_some_and(|own| own.end == End::Dead) {
            self.own = env.ids().profile();
            self.created = false;
        }
        let target = roots.first_key_value().map_or(
            Root {
                id: self.own,
                pointer: None,
            },
            |(_, root)| *root,
        );
        let is_new = roots.is_empty();

        let (mut idents, free): (Vec<_>, Vec<_>) = {
            let (owned, free): (Vec<_>, Vec<_>) =
                wanted.iter().partition(|one| owner(one).is_some());
            let owned = owned.into_iter().filter_map(|one| {
                let found = owner(one)?;
                let claim = one.claim?;
                let settled = found.rows.idents.iter().any(|row| {
                    row.claim == claim.id
                        && row.id_type == one.identifier.id_type
                        && row.value == one.identifier.value
                        && row.settled
                });
                (!settled).then(|| (found.start, one.row(claim.id, claim.added_at, true)))
            });
            (owned.collect(), free)
        };
        let mut links: Vec<Passed> = Vec::new();
        for passed in found.values().flat_map(|found| &found.passed) {
            if !passed.settled && !links.contains(passed) {
                links.push(*passed);
            }
        }
        // A hint saves hops where a find took more than one.
        let hints: Vec<ProfileId> = found
            .values()
            .filter(|found| {
                found.end != End::Dead && found.passed.len() + usize::from(found.hinted) > 1
            })
            .map(|found| found.start)
            .collect();

        // 4. Known: nothing to claim, nothing to merge, nothing left unsettled.
        if free.is_empty() && roots.len() == 1 && idents.is_empty() && links.is_empty() {
            let chores = (!hints.is_empty()).then(|| Chores {
                root: target.id,
                idents,
                links,
                listing: BTreeSet::new(),
                hints,
            });
            return Ok(Some(self.resolved(target.id, chores)));
        }
        let mut listing: BTreeSet<ProfileId> = idents.iter().map(|(member, _)| *member).collect();

        // 5 and the first half of 6: claim what is free, point every other root at the target.
        let added_at = stamp::stamp(env, self.seen)?;
        let mut statements = Vec::new();
        let mut rows = Vec::new();
        for one in &free {
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
            rows.push(CellWrite::Ident(one.row(id, added_at, false)));
            idents.push((target.id, one.row(id, added_at, true)));
        }
        let mut joining = Vec::new();
        for root in roots.values().filter(|root| root.id != target.id) {
            let token = LinkToken::from_uuid(env.ids().random());
            statements.push(Conditional::Point {
                child: ProfileKey {
                    store: store.id,
                    profile: root.id,
                },
                expected: root.token(),
                parent: target.id,
                token,
            });
            joining.push((
                root.id,
                Pointer {
                    parent: target.id,
                    token,
                },
            ));
        }
        if !statements.is_empty() {
            if !free.is_empty() {
                listing.insert(target.id);
            }
            let here = ProfileKey {
                store: store.id,
                profile: target.id,
            };
            let batches = if rows.is_empty() {
                Vec::new()
            } else {
                vec![CellBatch {
                    at: here,
                    time: added_at,
                    writes: rows,
                }]
            };
            let write = async {
                if batches.is_empty() {
                    return Ok(());
                }
                env.database()
                    .write(&batches, Durability::Ordered)
                    .await
                    .map_err(Trouble::from)
            };
            // Every statement of the round is answered before anything else is sent, also after a loss.
            let (answers, written) = futures_util::join!(
                attempt::send(env, &statements, Durability::Ordered, question.deadline),
                write
            );
            let answers = answers?;
            written?;
            if is_new
                && statements.iter().zip(&answers).any(|(statement, answer)| {
                    matches!(statement, Conditional::Claim { .. }) && answer.is_won()
                })
            {
                self.created = true;
            }
            if !answers.iter().all(|answer| answer.is_won()) {
                return Ok(None);
            }
        }

        // 6. Link what points at the target, with the target's own pointer as it was read.
        let mut answer = target.id;
        if joining.is_empty() {
            // 7. Claims alone do not prove that their root still lives.
            if !free.is_empty() && !is_new {
                let mut again =
                    find_all(env.database(), store.id, vec![(target.id, Vec::new())]).await?;
                let Some(again) = again.pop() else {
                    return Ok(None);
                };
                self.seen = self.seen.max(again.clock);
                let Some(root) = again.root() else {
                    return Ok(None);
                };
                for passed in again.passed.iter().filter(|passed| !passed.settled) {
                    if !links.contains(passed) {
                        links.push(*passed);
                    }
                }
                answer = root.id;
            }
        } else {
            let evidence = evidence(question, &wanted);
            if !self
                .link(env, question, target, &joining, &found, evidence)
                .await?
            {
                return Ok(None);
            }
            links.extend(joining.iter().map(|(child, pointer)| Passed {
                parent: pointer.parent,
                child: *child,
                token: pointer.token,
                settled: false,
            }));
            self.merged = true;
        }
        let chores = Chores {
            root: answer,
            idents,
            links,
            listing,
            hints,
        };
        Ok(Some(self.resolved(answer, Some(chores))))
    }

    fn resolved(&self, target: ProfileId, chores: Option<Chores>) -> Resolved {
        let resolution = if self.merged {
            Resolution::Merged
        } else if self.created && target == self.own {
            Resolution::Created
        } else {
            Resolution::Found
        };
        Resolved {
            target,
            resolution,
            seen: self.seen,
            chores,
        }
    }

    async fn find_owners<E: Environment>(
        &mut self,
        env: &E,
        question: &Question,
        wanted: &[Wanted<'_>],
    ) -> Result<BTreeMap<ProfileId, Found>, Trouble> {
        let mut owners: BTreeMap<ProfileId, Vec<Select>> = BTreeMap::new();
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
            self.seen = self.seen.max(one.clock);
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
        let carried = futures_util::future::try_join_all(
            joining
                .iter()
                .map(|(child, _)| stamp::carry_clock(env, store, *child, target.id, known)),
        )
        .await?;
        for clock in carried {
            self.seen = self.seen.max(clock);
        }
        let statements = joining
            .iter()
            .map(|(child, pointer)| {
                settle::link(env, store, *child, *pointer, target, evidence.clone())
            })
            .collect::<Result<Vec<_>, _>>()?;
        let answers =
            attempt::send(env, &statements, Durability::Ordered, question.deadline).await?;
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

/// Step 8: limits, then marks and copies, then hints.
///
/// # Errors
/// [`Trouble`]: what is left undone, the next request that passes over it does.
pub(crate) async fn do_chores<E: Environment>(
    env: &E,
    question: &Question,
    chores: &Chores,
    seen: Micros,
) -> Result<(), Trouble> {
    let store = &question.store;
    let database = env.database();
    let time = stamp::stamp(env, seen)?;
    let mut batches: BTreeMap<ProfileId, Vec<CellWrite>> = BTreeMap::new();
    if !chores.idents.is_empty() || !chores.links.is_empty() {
        let children: Vec<ProfileId> = chores.links.iter().map(|link| link.child).collect();
        let list = async {
            for profile in &chores.listing {
                let key = ProfileKey {
                    store: store.id,
                    profile: *profile,
                };
                database.add(key, Durability::Ordered).await?;
            }
            Ok(())
        };
        let (set, below, ()) = futures_util::try_join!(
            collect(database, store.id, chores.root, &[Select::Idents]),
            collect_all(database, store.id, &children, &[]),
            list,
        )?;
        let evicted = limits::enforce(env, store, &set, question.deadline).await?;
        for (member, row) in &chores.idents {
            batches
                .entry(*member)
                .or_default()
                .push(CellWrite::Ident(row.clone()));
        }
        for (link, below) in chores.links.iter().zip(&below) {
            batches
                .entry(link.parent)
                .or_default()
                .extend(members::copy(link.child, link.token, below));
        }
        for gone in evicted {
            let row = gone.row;
            // A mark on a row that is gone would bring it back.
            if let Some(writes) = batches.get_mut(&gone.member) {
                writes.retain(
                    |write| !matches!(write, CellWrite::Ident(kept) if kept.claim == row.claim),
                );
            }
            batches
                .entry(gone.member)
                .or_default()
                .push(CellWrite::ForgetIdent(row.id_type, row.value, row.claim));
        }
        write(env, store.id, time, batches).await?;
    }
    // Not beside the copies: a find from a hint does not meet the rows that it skips.
    if !chores.hints.is_empty() {
        let hints = chores
            .hints
            .iter()
            .map(|start| (*start, vec![CellWrite::Root(chores.root)]))
            .collect();
        write(env, store.id, time, hints).await?;
    }
    Ok(())
}

async fn write<E: Environment>(
    env: &E,
    store: kith_domain::id::StoreId,
    time: Micros,
    batches: BTreeMap<ProfileId, Vec<CellWrite>>,
) -> Result<(), Trouble> {
    let batches: Vec<CellBatch> = batches
        .into_iter()
        .filter(|(_, writes)| !writes.is_empty())
        .map(|(profile, writes)| CellBatch {
            at: ProfileKey { store, profile },
            time,
            writes,
        })
        .collect();
    if batches.is_empty() {
        return Ok(());
    }
    Ok(env.database().write(&batches, Durability::Ordered).await?)
}

/// Why two profiles are joined: who asked, under which settings, and by which identifiers, named by their claims as they
/// were read. No identifier values; an un-merge finds them in the identifier rows of these claims.
fn evidence(question: &Question, wanted: &[Wanted<'_>]) -> Bytes {
    let identifiers: Vec<_> = wanted
        .iter()
        .map(|one| {
            serde_json::json!({
                "type": one.identifier.id_type,
                "claim": one.claim.map(|claim| claim.id),
            })
        })
        .collect();
    let evidence = serde_json::json!({
        "version": 1,
        "request": question.request,
        "settings": question.store.settings_version,
        "identifiers": identifiers,
    });
    evidence.to_string().into()
}
