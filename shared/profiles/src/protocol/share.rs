//! Values that several profiles may own: collecting their owners, adding rows, and joining whoever two types agree on
//! (`identity-protocol.md` 11).
//!
//! A request's own rows come before its look at everybody's: of two that carry the same values, the one that looks last sees
//! both, settled or not. And they come after its unique values are claimed: rows written before would stay on an id that
//! nobody was given. Each row's identifier row is written before it, so that whoever lists or removes misses none.

use std::collections::{BTreeMap, BTreeSet};

use kith_domain::id::{ClaimId, OwnersStamp, ProfileId};
use kith_domain::identifier::{ClaimKey, IdType};
use kith_domain::matching::{self, Match};
use kith_domain::settings::IdentitySettings;

use super::attempt;
use super::chores::write;
use super::evidence::evidence;
use super::find::{End, Found, find_all};
use super::limits::{Held, held};
use super::members::collect as collect_members;
use super::resolve::{Joined, Question, State};
use super::stamp;
use super::survey::{Survey, Wanted};
use crate::environment::{Environment, Omission};
use crate::error::Trouble;
use crate::ports::{
    CellWrite, Conditional, Durability, Identity, Ids, OwnerRows, Owners, OwnersRead, Select,
    SharedClaim,
};

/// What became of the shared values of a request.
pub(super) enum Shared {
    /// The target has them, and whoever two types agree on is joined.
    Done,
    /// The target had the value of an exclusive question already.
    AlreadyHere,
    /// Somebody was there first: go to 1.
    Moved,
}

/// The owners of a request's shared values that match, and where they lead.
pub(super) struct Collected {
    values: Vec<Value>,
    found: BTreeMap<ProfileId, Found>,
}

/// The owners of one value.
struct Value {
    key: ClaimKey,
    id_type: IdType,
    stamp: Option<OwnersStamp>,
    owners: Vec<(ProfileId, ClaimId)>,
}

impl Collected {
    fn root_of(&self, profile: ProfileId) -> Option<ProfileId> {
        Some(self.found.get(&profile)?.root()?.id)
    }

    /// The roots that decide: those that two types agree on, or, where nothing `else_decides`, the best single match.
    pub(super) fn candidates(
        &self,
        settings: &IdentitySettings,
        else_decides: bool,
    ) -> BTreeSet<ProfileId> {
        let matches: Vec<Match> = self
            .values
            .iter()
            .flat_map(|value| value.owners.iter().map(move |(owner, _)| (value, *owner)))
            .filter_map(|(value, owner)| {
                Some(Match {
                    id_type: value.id_type.clone(),
                    owner: self.root_of(owner)?,
                })
            })
            .collect();
        matching::candidates(settings, else_decides, &matches)
    }

    fn stamp_of(&self, key: &ClaimKey) -> Option<Option<OwnersStamp>> {
        let value = self.values.iter().find(|value| value.key == *key)?;
        Some(value.stamp)
    }

    /// The finds that ended at one of these roots.
    pub(super) fn leading_to(&self, roots: &BTreeSet<ProfileId>) -> impl Iterator<Item = &Found> {
        let is_led = |found: &&Found| found.root().is_some_and(|root| roots.contains(&root.id));
        self.found.values().filter(is_led)
    }

    fn roots(&self) -> BTreeSet<ProfileId> {
        let roots = self.found.values().filter_map(Found::root);
        roots.map(|root| root.id).collect()
    }

    /// Whether two looks saw the same rows and roots.
    fn agrees(&self, other: &Self) -> bool {
        let rows = |one: &Self| -> BTreeSet<(ClaimKey, ProfileId, ClaimId)> {
            let owners = one.values.iter().flat_map(|value| {
                let owners = value.owners.iter();
                owners.map(|(owner, id)| (value.key, *owner, *id))
            });
            owners.collect()
        };
        let roots = |one: &Self| -> Vec<(ProfileId, Option<ProfileId>)> {
            let starts = one.found.keys();
            starts.map(|start| (*start, one.root_of(*start))).collect()
        };
        rows(self) == rows(other) && roots(self) == roots(other)
    }
}

/// The shared values that match.
fn matching<'a>(question: &Question, wanted: &'a [Wanted<'a>]) -> Vec<&'a Wanted<'a>> {
    let shared = wanted.iter().filter(|one| !one.unique);
    let rule = |one: &&Wanted<'_>| question.store.settings.rule_of(&one.identifier.id_type);
    shared.filter(|one| rule(one).is_some()).collect()
}

/// Reads the owners of every shared value that matches, and finds their roots, with that of `target` among them: again, until
/// two looks agree, where more than one root is seen. A root merged between two finds would hide a match for ever. Without a
/// target, which has the request's own rows, two values are always looked at twice.
pub(super) async fn collect<E: Environment>(
    env: &E,
    question: &Question,
    wanted: &[Wanted<'_>],
    target: Option<ProfileId>,
) -> Result<Collected, Trouble> {
    let values = matching(question, wanted);
    let mut before: Option<Collected> = None;
    loop {
        let now = look(env, question, &values, target).await?;
        let is_plain = now.roots().len() <= 1 && (target.is_some() || values.len() <= 1);
        let is_sure = is_plain || before.is_some_and(|before| before.agrees(&now));
        if is_sure || env.omits(Omission::CollectTwice) {
            return Ok(now);
        }
        if question.deadline.has_passed(env.clock()) {
            return Err(Trouble::Deadline {
                during: "collecting owners",
            });
        }
        before = Some(now);
    }
}

async fn look<E: Environment>(
    env: &E,
    question: &Question,
    wanted: &[&Wanted<'_>],
    target: Option<ProfileId>,
) -> Result<Collected, Trouble> {
    let reads: Vec<OwnersRead> = wanted
        .iter()
        .map(|one| OwnersRead {
            key: one.key,
            rows: OwnerRows::All,
        })
        .collect();
    let owners = if reads.is_empty() {
        Vec::new()
    } else {
        env.database().owners(&reads).await?
    };
    let value = |(one, owners): (&&Wanted<'_>, Owners)| {
        let (id_type, settings) = (&one.identifier.id_type, &question.store.settings);
        let matches =
            |row: &SharedClaim| !row.released && settings.matched_since(id_type, row.added_at);
        let rows = owners.rows.into_iter().filter(matches);
        Value {
            key: one.key,
            id_type: one.identifier.id_type.clone(),
            stamp: owners.stamp,
            owners: rows.map(|row| (row.profile, row.id)).collect(),
        }
    };
    let mut values: Vec<Value> = wanted.iter().zip(owners).map(value).collect();
    let mut starts: BTreeMap<ProfileId, Vec<Select>> = BTreeMap::new();
    if let Some(target) = target {
        starts.insert(target, Vec::new());
    }
    let counts_unsettled = !env.omits(Omission::CountUnsettled);
    for (one, value) in wanted.iter().zip(&values) {
        for (owner, id) in &value.owners {
            let select = starts.entry(*owner).or_default();
            if !counts_unsettled {
                let (id_type, text) = (&one.identifier.id_type, &one.identifier.value);
                select.push(Select::Ident(id_type.clone(), text.clone(), *id));
            }
        }
    }
    let found = find_all(
        env.database(),
        question.store.id,
        starts.into_iter().collect(),
    )
    .await?;
    if !counts_unsettled {
        let mut rows = found.iter().flat_map(|found| &found.rows.idents);
        let settled: BTreeSet<ClaimId> = rows
            .by_ref()
            .filter(|row| row.settled)
            .map(|row| row.claim)
            .collect();
        for value in &mut values {
            value.owners.retain(|(_, id)| settled.contains(id));
        }
    }
    let found = found.into_iter().map(|found| (found.start, found));
    Ok(Collected {
        values,
        found: found.collect(),
    })
}

/// Gives the target the shared values of a request, and joins whoever two types agree on.
pub(super) async fn share<E: Environment>(
    state: &mut State,
    env: &E,
    question: &Question,
    wanted: &[Wanted<'_>],
    first: Option<&Collected>,
    joined: &mut Joined,
) -> Result<Shared, Trouble> {
    if env.omits(Omission::ShareBeforeCollect) {
        return match agree(state, env, question, wanted, joined).await? {
            Shared::Done => add(state, env, question, wanted, first, joined).await,
            other @ (Shared::AlreadyHere | Shared::Moved) => Ok(other),
        };
    }
    match add(state, env, question, wanted, first, joined).await? {
        Shared::Done => agree(state, env, question, wanted, joined).await,
        other @ (Shared::AlreadyHere | Shared::Moved) => Ok(other),
    }
}

/// Adds the shared values that the target's set does not have, each identifier row before its owner's row. What the set has and
/// is not settled is owed.
pub(super) async fn add<E: Environment>(
    state: &mut State,
    env: &E,
    question: &Question,
    wanted: &[Wanted<'_>],
    first: Option<&Collected>,
    joined: &mut Joined,
) -> Result<Shared, Trouble> {
    let shared: Vec<&Wanted<'_>> = wanted.iter().filter(|one| !one.unique).collect();
    if shared.is_empty() {
        return Ok(Shared::Done);
    }
    let (store, target) = (&question.store, joined.target);
    let reads: Vec<OwnersRead> = shared
        .iter()
        .map(|one| OwnersRead {
            key: one.key,
            rows: OwnerRows::Of(target),
        })
        .collect();
    let (of_set, of_target) =
        futures_util::try_join!(of_set(env, question, &shared, joined), async {
            Ok::<_, Trouble>(env.database().owners(&reads).await?)
        })?;
    let added_at = stamp::stamp(env, state.seen)?;
    let (mut rows, mut statements) = (Vec::new(), Vec::new());
    for (one, owners) in shared.iter().zip(of_target) {
        let mut here = of_set.iter().filter(|held| held.key == one.key).peekable();
        if here.peek().is_some() {
            for held in here {
                if question.exclusive && held.by_request != question.request {
                    return Ok(Shared::AlreadyHere);
                }
                if !held.row.settled && !env.omits(Omission::Settled) {
                    let mut row = held.row.clone();
                    row.settled = true;
                    joined.chores.idents.push((held.member, row));
                    joined.chores.listing.insert(held.member);
                }
            }
            continue;
        }
        let row = owners.rows.first();
        let id = match row {
            // Its identifier row is gone, or was never there: it is written again.
            Some(row) if !row.released => row.id,
            _ => {
                let id = ClaimId::from_uuid(env.ids().random());
                let as_read = first
                    .and_then(|first| first.stamp_of(&one.key))
                    .filter(|_| !env.omits(Omission::ShareAsRead));
                statements.push(Conditional::Share {
                    key: one.key,
                    profile: target,
                    expected: row.map(|row| row.id),
                    as_read,
                    id,
                    stamp: OwnersStamp::from_uuid(env.ids().random()),
                    added_at,
                    place: one.place,
                    by_request: question.request,
                });
                id
            }
        };
        let added_at = row
            .filter(|row| !row.released)
            .map_or(added_at, |row| row.added_at);
        rows.push(CellWrite::Ident(one.row(id, added_at, false)));
        let settled = one.row(id, added_at, true);
        joined.chores.idents.push((target, settled));
        joined.chores.listing.insert(target);
    }
    if rows.is_empty() {
        return Ok(Shared::Done);
    }
    write(env, store.id, added_at, BTreeMap::from([(target, rows)])).await?;
    let answers = attempt::send(env, &statements, Durability::Ordered, question.deadline).await?;
    if target == state.own && answers.iter().any(|answer| answer.is_won()) {
        state.created = true;
    }
    if answers.iter().all(|answer| answer.is_won()) {
        return Ok(Shared::Done);
    }
    // What was refused can never be added later, so nothing will stand behind its identifier row.
    let refused = statements
        .iter()
        .zip(answers)
        .filter(|(_, answer)| !answer.is_won());
    let forget = refused.filter_map(|(statement, _)| {
        let Conditional::Share { key, id, .. } = statement else {
            return None;
        };
        let one = shared.iter().find(|one| one.key == *key)?.identifier;
        let (id_type, value) = (one.id_type.clone(), one.value.clone());
        Some(CellWrite::ForgetIdent(id_type, value, *id))
    });
    let forget = BTreeMap::from([(target, forget.collect())]);
    write(env, store.id, added_at.next(), forget).await?;
    Ok(Shared::Moved)
}

/// What the target's set has of the types of these values.
async fn of_set<E: Environment>(
    env: &E,
    question: &Question,
    shared: &[&Wanted<'_>],
    joined: &Joined,
) -> Result<Vec<Held>, Trouble> {
    if joined.is_new {
        return Ok(Vec::new());
    }
    let (store, database) = (&question.store, env.database());
    let set = collect_members(database, store.id, joined.target, &[Select::Idents]).await?;
    let is_of = |id_type: &IdType| shared.iter().any(|one| one.identifier.id_type == *id_type);
    Ok(held(database, store, &set, is_of).await?)
}

/// Steps 2 and 3 of section 11: looks who has the values, and joins the target with whoever two types agree on.
async fn agree<E: Environment>(
    state: &mut State,
    env: &E,
    question: &Question,
    wanted: &[Wanted<'_>],
    joined: &mut Joined,
) -> Result<Shared, Trouble> {
    let store = &question.store;
    let types: BTreeSet<_> = matching(question, wanted)
        .iter()
        .map(|one| &one.identifier.id_type)
        .collect();
    // One type alone agrees with nobody.
    while types.len() > 1 {
        if question.deadline.has_passed(env.clock()) {
            return Err(Trouble::Deadline {
                during: "joining whoever agrees",
            });
        }
        let met = collect(env, question, wanted, Some(joined.target)).await?;
        let Some(target) = met.found.get(&joined.target) else {
            return Ok(Shared::Moved);
        };
        let Some(root) = target.root() else {
            return Ok(Shared::Moved);
        };
        state.meet(env, target);
        joined.chores.meet(target);
        joined.target = root.id;
        joined.chores.root = root.id;
        let mut candidates = met.candidates(&store.settings, true);
        candidates.insert(root.id);
        state.meet_owners(env, &met, &candidates);
        if candidates.len() == 1 {
            break;
        }
        let rows = met.values.iter().flat_map(|value| {
            let owners = value.owners.iter();
            owners.map(move |(owner, id)| (&value.id_type, *owner, *id))
        });
        let agreed = rows.filter(|(_, owner, _)| {
            met.root_of(*owner)
                .is_some_and(|root| candidates.contains(&root))
        });
        let evidence = evidence(question, agreed.map(|(id_type, _, id)| (id_type, Some(id))));
        let evidence = || evidence.clone();
        let starts = candidates.iter().map(|root| (*root, Vec::new())).collect();
        let found = state.find(env, question, starts).await?;
        if found.iter().any(|found| found.end == End::Dead) {
            return Ok(Shared::Moved);
        }
        let found = found.into_iter().map(|found| (found.start, found));
        let survey = Survey::new(Vec::new(), found.collect());
        let Some(more) = state.join(env, question, &survey, evidence).await? else {
            return Ok(Shared::Moved);
        };
        joined.target = more.target;
        joined.chores.root = more.target;
        joined.chores.extend(more.chores);
    }
    Ok(Shared::Done)
}
