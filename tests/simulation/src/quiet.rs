//! What is true once nothing is under way: every request answered or repeated, every record applied.

use std::collections::BTreeMap;

use kith_domain::id::{DefinitionId, ProfileId, ProfileKey, StoreId};
use kith_domain::identifier::Identifier;
use kith_domain::settings::LimitPolicy;
use kith_domain::store::StoreRecord;
use kith_domain::time::Micros;
use kith_domain::traits::{TraitCell, TraitWrite, join};

use crate::history::{Call, History};
use crate::linear::Asked;
use crate::world::World;

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
    for create in &history.creates {
        let Some((_, profile)) = create.answer else {
            continue;
        };
        let root = world.root_of(ProfileKey {
            store: store.id,
            profile,
        });
        if root.is_some_and(|root| {
            !world.is_listed(ProfileKey {
                store: store.id,
                profile: root,
            })
        }) {
            findings.push(format!("{root:?} is not listed"));
        }
    }
    findings.extend(limit_findings(world, store));
    findings.extend(newest_findings(world, history, store));
    // Invariant 2: every id that points, directly or not, at a root is younger than it.
    for at in world.nodes().keys().chain(world.cells().keys()) {
        if world.root_of(*at).is_some_and(|root| root > at.profile) {
            findings.push(format!("{} survives under a younger root", at.profile));
        }
    }
    // Invariants 3 and 4, and what a person would see.
    let joined = profiles(world, store.id);
    let mut visible: BTreeMap<ProfileId, Micros> = BTreeMap::new();
    let definition = store
        .definition("Contact", "firstName")
        .map(|definition| definition.id);
    for (root, cells) in &joined {
        if let Some(cell) = definition.and_then(|definition| cells.get(&definition)) {
            visible.insert(*root, cell.time);
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
            Some(time) => {
                let beaten = create.after.iter().any(|older| {
                    let older = history.creates[*older].request;
                    world.stamps.get(&older) == Some(time)
                });
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
) -> BTreeMap<ProfileId, BTreeMap<DefinitionId, TraitCell>> {
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

/// What a read of every live profile shows: removed traits are not there.
#[must_use]
pub fn visible(
    world: &World,
    store: StoreId,
) -> BTreeMap<ProfileId, BTreeMap<DefinitionId, TraitCell>> {
    let mut profiles = profiles(world, store);
    for traits in profiles.values_mut() {
        traits.retain(|_, cell| !matches!(cell.value.decode(), Ok(TraitWrite::Removed)));
    }
    profiles
}

/// Fifo, and nothing was released, changed or deleted: a set has kept the newest of all values that were ever added to it.
fn newest_findings(world: &World, history: &History, store: &StoreRecord) -> Vec<String> {
    let takes_away = |call: &Call| {
        matches!(
            call.asked,
            Asked::Delete(_) | Asked::Remove { .. } | Asked::Change { .. }
        )
    };
    if history.calls.iter().any(takes_away) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for config in &store.settings.identifier_configs {
        if config.limit_policy != LimitPolicy::Fifo {
            continue;
        }
        // Per set, oldest first; and whether each is held.
        let mut added: BTreeMap<ProfileId, Vec<(Micros, u16, &str, bool)>> = BTreeMap::new();
        for (identifier, key) in &history.identifiers {
            let claim = world.added.get(key);
            let profile = claim.and_then(|claim| claim.profile);
            let root = profile.and_then(|profile| {
                world.root_of(ProfileKey {
                    store: store.id,
                    profile,
                })
            });
            if identifier.id_type == config.id_type
                && let (Some(claim), Some(root)) = (claim, root)
            {
                let is_held = world
                    .claims()
                    .get(key)
                    .is_some_and(|held| held.id == claim.id);
                let value = identifier.value.expose();
                added
                    .entry(root)
                    .or_default()
                    .push((claim.added_at, claim.place, value, is_held));
            }
        }
        for (root, mut values) in added {
            values.sort_unstable();
            let gone = values.len().saturating_sub(usize::from(config.limit));
            let mut numbered = values.into_iter().enumerate();
            if numbered.any(|(place, (.., is_held))| is_held != (place >= gone)) {
                findings.push(format!(
                    "{root} has not kept the newest values of {}",
                    config.id_type
                ));
            }
        }
    }
    findings
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
