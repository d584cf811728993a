//! A database that can be held up, taken away and broken.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use kith_domain::id::{DefinitionId, ProfileId, ProfileKey};
use kith_domain::identifier::ClaimKey;
use kith_domain::traits::TraitCell;
use kith_profiles::error::PortError;
use kith_profiles::ports::{
    CellBatch, CellRead, CellRows, CellWrite, Cells, Claim, Clock, Conditional, Durability,
    Identity, Node, NodeRead, Outcome,
};
use tracing::{Instrument as _, info_span};

use crate::sim::TestClock;

/// What a write meets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    #[default]
    Up,
    Down,
    Corrupt,
    Fatal,
}

#[derive(Clone)]
pub(crate) struct Database {
    clock: TestClock,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    mode: Mode,
    latency: BTreeMap<ProfileId, Duration>,
    held: BTreeSet<ProfileId>,
    waiting: Vec<Waker>,
    cells: BTreeMap<(ProfileKey, DefinitionId), TraitCell>,
    tries: usize,
    under_way: usize,
    most_under_way: usize,
    writes: Vec<ProfileId>,
}

impl Database {
    pub(crate) fn new(clock: TestClock) -> Self {
        Self {
            clock,
            state: Arc::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_mode(&self, mode: Mode) {
        self.state().mode = mode;
    }

    /// Writes of this profile wait until it is let go.
    pub(crate) fn hold(&self, profile: ProfileId) {
        self.state().held.insert(profile);
    }

    pub(crate) fn let_go(&self, profile: ProfileId) {
        let mut state = self.state();
        state.held.remove(&profile);
        state.waiting.drain(..).for_each(Waker::wake);
    }

    pub(crate) fn set_latency(&self, profile: ProfileId, latency: Duration) {
        self.state().latency.insert(profile, latency);
    }

    pub(crate) fn cells(&self) -> BTreeMap<(ProfileKey, DefinitionId), TraitCell> {
        self.state().cells.clone()
    }

    /// Whether what this cell says, or something newer, is there.
    pub(crate) fn covers(&self, at: ProfileKey, cell: &TraitCell) -> bool {
        let state = self.state();
        let held = state.cells.get(&(at, cell.definition));
        held.is_some_and(|held| !cell.replaces(held))
    }

    /// Profiles in the order of their finished writes.
    pub(crate) fn writes(&self) -> Vec<ProfileId> {
        self.state().writes.clone()
    }

    /// Writes begun.
    pub(crate) fn tries(&self) -> usize {
        self.state().tries
    }

    pub(crate) fn most_under_way(&self) -> usize {
        self.state().most_under_way
    }

    async fn write_now(&self, batches: &[CellBatch]) -> Result<(), PortError> {
        let profiles: BTreeSet<_> = batches.iter().map(|batch| batch.at.profile).collect();
        assert_eq!(profiles.len(), 1, "a write is of one profile");
        let latency = {
            let mut state = self.state();
            state.tries += 1;
            let latency = profiles.iter().filter_map(|p| state.latency.get(p)).max();
            latency.copied().unwrap_or_default()
        };
        self.clock.sleep(latency).await;
        poll_fn(|context| {
            let mut state = self.state();
            if state.mode == Mode::Up && !state.held.is_disjoint(&profiles) {
                state.waiting.push(context.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(())
        })
        .await;
        let operation = "write cells";
        let mut state = self.state();
        match state.mode {
            Mode::Up => {}
            Mode::Down => return Err(unavailable(operation)),
            Mode::Corrupt => {
                let detail = "a row".to_owned();
                return Err(PortError::Corrupt { operation, detail });
            }
            Mode::Fatal => {
                return Err(PortError::Fatal {
                    operation,
                    cause: None,
                });
            }
        }
        for batch in batches {
            for write in &batch.writes {
                let CellWrite::Trait(definition, value) = write else {
                    panic!("a worker writes traits only");
                };
                let cell = TraitCell {
                    definition: *definition,
                    value: value.clone(),
                    time: batch.time,
                };
                let key = (batch.at, *definition);
                if state.cells.get(&key).is_none_or(|held| cell.replaces(held)) {
                    state.cells.insert(key, cell);
                }
            }
        }
        state.writes.extend(profiles);
        Ok(())
    }
}

pub(crate) fn unavailable(operation: &'static str) -> PortError {
    PortError::Unavailable {
        operation,
        cause: None,
    }
}

/// Counts a write for as long as somebody waits for it.
struct UnderWay<'a>(&'a Database);

impl<'a> UnderWay<'a> {
    fn of(database: &'a Database) -> Self {
        let mut state = database.state();
        state.under_way += 1;
        state.most_under_way = state.most_under_way.max(state.under_way);
        Self(database)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.state().under_way -= 1;
    }
}

impl Cells for Database {
    async fn read(&self, _: &[CellRead]) -> Result<Vec<CellRows>, PortError> {
        panic!("a worker compares with nothing that is stored")
    }

    async fn write(&self, batches: &[CellBatch], durability: Durability) -> Result<(), PortError> {
        assert_eq!(durability, Durability::Durable, "before the offset moves");
        let _under_way = UnderWay::of(self);
        self.write_now(batches)
            .instrument(info_span!("write cells"))
            .await
    }
}

impl Identity for Database {
    async fn claims(&self, _: &[ClaimKey]) -> Result<Vec<Option<Claim>>, PortError> {
        panic!("a worker re-addresses nothing")
    }

    async fn nodes(&self, reads: &[NodeRead]) -> Result<Vec<Node>, PortError> {
        Ok(reads.iter().map(|_| Node::default()).collect())
    }

    async fn attempt(&self, _: &[Conditional], _: Durability) -> Vec<Outcome> {
        panic!("a worker decides nothing")
    }
}
