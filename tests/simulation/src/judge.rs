//! When each predicate is asked, and what is remembered from one state to the next.

use std::collections::BTreeMap;
use std::sync::Arc;

use kith_domain::id::ProfileKey;
use kith_domain::store::StoreRecord;
use kith_profiles::environment::Omission;
use kith_profiles::ports::Node;

use crate::history::History;
use crate::linear::{Explained, explain};
use crate::probe::probe_findings;
use crate::states::{changed_findings, state_findings};
use crate::world::World;

/// In one of so many states the history is judged.
const EXPLAINED_EVERY: u64 = 32;
/// In one of so many states a request for everybody is tried out.
const PROBED_EVERY: u64 = 128;

/// Judges the states of one run.
#[derive(Debug)]
pub struct Judge {
    store: Arc<StoreRecord>,
    omission: Option<Omission>,
    /// Nodes as they were.
    former: BTreeMap<ProfileKey, Node>,
    /// What had changed when the state was judged last.
    seen: (u64, u64),
    /// How often the history was to be explained, and how often the search for an order was given up.
    pub judged: (u32, u32),
}

impl Judge {
    /// For a run in this store.
    #[must_use]
    pub fn new(store: &Arc<StoreRecord>, omission: Option<Omission>) -> Self {
        Self {
            store: Arc::clone(store),
            omission,
            former: BTreeMap::new(),
            seen: (0, 0),
            judged: (0, 0),
        }
    }

    /// What is wrong with a state. `lot` says which of the dearer predicates are asked.
    pub fn state(&mut self, world: &World, history: &History, lot: u64) -> Vec<String> {
        let now = (world.changes, history.tick());
        if now == self.seen {
            return Vec::new();
        }
        self.seen = now;
        let mut findings = state_findings(world, history, &self.store);
        if self.former != *world.nodes() {
            findings.extend(changed_findings(&self.former, world));
            self.former.clone_from(world.nodes());
        }
        if lot.is_multiple_of(EXPLAINED_EVERY) {
            findings.extend(self.explain(world, history));
        }
        if lot.is_multiple_of(PROBED_EVERY) {
            findings.extend(probe_findings(world, history, &self.store, self.omission));
        }
        findings
    }

    /// Whether what callers saw, and what is there now, has an explanation; whoever is under way counts as crashed.
    pub fn explain(&mut self, world: &World, history: &History) -> Option<String> {
        self.judged.0 += 1;
        match unexplained(world, history, &self.store) {
            Ok(explained) => {
                self.judged.1 += u32::from(explained == Explained::NotJudged);
                None
            }
            Err(finding) => Some(finding),
        }
    }
}

/// Whether a history and the state at its end are explained.
///
/// # Errors
/// They are not.
pub fn unexplained(
    world: &World,
    history: &History,
    store: &StoreRecord,
) -> Result<Explained, String> {
    let problem = history.problem(world, store)?;
    match explain(&problem) {
        Explained::No => Err(format!(
            "no order of the requests explains the answers and the state: {problem}"
        )),
        explained @ (Explained::Yes | Explained::NotJudged) => Ok(explained),
    }
}
