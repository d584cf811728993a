//! One request for everybody, alone, from any state: it ends, and everything leads to its answer (`identity-protocol.md` 8).

use std::sync::{Arc, Mutex, PoisonError};

use kith_domain::id::{ProfileId, ProfileKey};
use kith_domain::store::StoreRecord;
use kith_profiles::Profiles;
use kith_profiles::create::Create;
use kith_profiles::environment::{Environment, Omission};

use crate::case::{request, writes};
use crate::client::PATIENCE;
use crate::executor::Executor;
use crate::history::History;
use crate::ports::{lock, parts};
use crate::world::World;

/// Statements of a request for six identifiers at the most: 84 was the largest seen.
pub const STATEMENTS_MAX: usize = 160;

/// Whose statements the probe's are.
const PROBER: usize = 98;
/// The probe's number as a request.
const NUMBER: u128 = 8_000_000;

/// What is wrong with a state if everybody crashed there, and then one request carried every identifier.
#[must_use]
pub fn probe_findings(
    world: &World,
    history: &History,
    store: &Arc<StoreRecord>,
    omission: Option<Omission>,
) -> Vec<String> {
    let world = Arc::new(Mutex::new(world.crashed()));
    let process = Profiles::new(parts(&world, PROBER, omission));
    let mut everybody = writes(store, &[0], Some("probe"));
    everybody.identifiers = (history.identifiers.iter())
        .map(|(identifier, _)| identifier.clone())
        .collect();
    let create = Create {
        store: Arc::clone(store),
        writes: everybody,
        request: request(NUMBER),
        deadline: process.environment().deadline_in(PATIENCE),
    };
    let answer: Arc<Mutex<Option<ProfileId>>> = Arc::default();
    let answered = Arc::clone(&answer);
    let mut executor = Executor::default();
    let task = executor.spawn(async move {
        let accepted = process.create(create).await.ok();
        *answered.lock().unwrap_or_else(PoisonError::into_inner) =
            accepted.map(|accepted| accepted.profile);
    });
    for _ in 0..STATEMENTS_MAX {
        executor.settle();
        if !executor.is_running(task) {
            break;
        }
        let mut world = lock(&world);
        if let Some((flight, _)) = world.in_flight().first() {
            world.execute(*flight);
        }
    }
    let Some(answer) = *answer.lock().unwrap_or_else(PoisonError::into_inner) else {
        return vec![format!(
            "a request for everybody, alone, does not end within {STATEMENTS_MAX} statements"
        )];
    };
    let world = lock(&world);
    let keep = |one: &kith_domain::identifier::Identifier| {
        let config = store.settings.config(&one.id_type);
        config.is_none_or(|config| usize::from(config.limit) >= history.identifiers.len())
    };
    let root_of = |profile| {
        let store = store.id;
        world.root_of(ProfileKey { store, profile })
    };
    let mut findings = Vec::new();
    if root_of(answer) != Some(answer) {
        findings.push(format!(
            "a request for everybody, alone, was answered {answer}, which is no live root"
        ));
    }
    for (identifier, key) in &history.identifiers {
        let claim = world.claims().get(key).and_then(|claim| claim.profile);
        if keep(identifier) && claim.and_then(root_of) != Some(answer) {
            findings.push(format!(
                "after a request for everybody, alone, an identifier does not lead to its answer {answer}"
            ));
        }
    }
    findings
}
