//! A database that can be held up, taken away and broken.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use kith_domain::id::{AccountSid, DefinitionId, ProfileId, ProfileKey, StoreId};
use kith_domain::identifier::ClaimKey;
use kith_domain::store::StoreRecord;
use kith_domain::time::Micros;
use kith_domain::traits::TraitCell;
use kith_profiles::error::PortError;
use kith_profiles::ports::{
    CellBatch, CellRead, CellRows, CellWrite, Cells, Claim, Clock, Conditional, Control, Created,
    Durability, Identity, LinkEvidence, Listing, Node, NodeRead, Order, Outcome, Owners,
    OwnersRead, Select, Standing, Verdicts,
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
    nodes: BTreeMap<ProfileKey, Node>,
    corrupt_nodes: bool,
    /// What is there beside traits.
    rows: BTreeMap<ProfileKey, CellRows>,
    claims: BTreeMap<ClaimKey, Claim>,
    store: Option<StoreRecord>,
    store_is_deleted: bool,
    purged: BTreeMap<ProfileKey, Micros>,
    purges: Vec<ProfileId>,
    /// Statements that are answered yet; the ones after them fail, until this is taken away.
    calls_left: Option<usize>,
    calls: usize,
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
        if state.purged.get(&at).is_some_and(|time| *time >= cell.time) {
            return true;
        }
        let held = state.cells.get(&(at, cell.definition));
        held.is_some_and(|held| !cell.replaces(held))
    }

    /// What of a purge can be seen, in the order in which it has to come: no claim names the set, no cell of it is left.
    pub(crate) fn is_purged(&self, at: ProfileKey) -> bool {
        let state = self.state();
        let is_named = state
            .claims
            .values()
            .any(|claim| claim.profile == Some(at.profile));
        let is_dead = state.nodes.get(&at).is_some_and(|node| node.dead.is_some());
        !is_dead || (state.purged.contains_key(&at) && !is_named)
    }

    /// Puts a node there.
    pub(crate) fn set_node(&self, at: ProfileKey, node: Node) {
        self.state().nodes.insert(at, node);
    }

    pub(crate) fn set_nodes_corrupt(&self, corrupt: bool) {
        self.state().corrupt_nodes = corrupt;
    }

    /// Puts rows beside traits there.
    pub(crate) fn set_rows(&self, at: ProfileKey, rows: CellRows) {
        self.state().rows.insert(at, rows);
    }

    pub(crate) fn set_claim(&self, key: ClaimKey, claim: Claim) {
        self.state().claims.insert(key, claim);
    }

    pub(crate) fn set_store(&self, store: StoreRecord) {
        self.state().store = Some(store);
    }

    pub(crate) fn set_store_deleted(&self) {
        self.state().store_is_deleted = true;
    }

    pub(crate) fn claim(&self, key: &ClaimKey) -> Option<Claim> {
        self.state().claims.get(key).copied()
    }

    /// The rows beside traits that are left.
    pub(crate) fn rows(&self) -> BTreeMap<ProfileKey, CellRows> {
        self.state().rows.clone()
    }

    /// Profiles in the order of their purges.
    pub(crate) fn purges(&self) -> Vec<ProfileId> {
        self.state().purges.clone()
    }

    pub(crate) fn purged_at(&self, at: ProfileKey) -> Option<Micros> {
        self.state().purged.get(&at).copied()
    }

    /// Removals are forgotten, as when the grace for late writes is over.
    pub(crate) fn forget_purges(&self) {
        self.state().purged.clear();
    }

    /// So many statements are answered yet.
    pub(crate) fn answer_only(&self, calls: Option<usize>) {
        self.state().calls_left = calls;
    }

    /// Statements so far.
    pub(crate) fn calls(&self) -> usize {
        self.state().calls
    }

    fn take_call(&self, operation: &'static str) -> Result<(), PortError> {
        let mut state = self.state();
        state.calls += 1;
        match &mut state.calls_left {
            None => Ok(()),
            Some(0) => Err(unavailable(operation)),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
        }
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
            let purged = state.purged.get(&batch.at);
            if purged.is_some_and(|time| *time >= batch.time) {
                continue;
            }
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
    async fn read(&self, reads: &[CellRead]) -> Result<Vec<CellRows>, PortError> {
        self.take_call("read cells")?;
        let state = self.state();
        let rows = |read: &CellRead| {
            assert!(
                !read.select.contains(&Select::Traits),
                "a worker compares with nothing that is stored"
            );
            state.rows.get(&read.at).cloned().unwrap_or_default()
        };
        Ok(reads.iter().map(rows).collect())
    }

    async fn write(&self, batches: &[CellBatch], durability: Durability) -> Result<(), PortError> {
        assert_eq!(durability, Durability::Durable, "before the offset moves");
        let _under_way = UnderWay::of(self);
        self.take_call("write cells")?;
        self.write_now(batches)
            .instrument(info_span!("write cells"))
            .await
    }

    async fn purge(
        &self,
        profiles: &[ProfileKey],
        time: Micros,
        durability: Durability,
    ) -> Result<(), PortError> {
        assert_eq!(durability, Durability::Durable, "before the offset moves");
        self.take_call("purge cells")?;
        let mut state = self.state();
        for at in profiles {
            let claims = state.claims.values();
            let named = claims.filter(|claim| claim.profile == Some(at.profile));
            let known = state.rows.get(at).map(|rows| rows.idents.clone());
            let known = known.unwrap_or_default();
            assert!(
                named
                    .into_iter()
                    .all(|claim| known.iter().all(|row| row.claim != claim.id)),
                "rows go before the claims that only they lead to"
            );
            let purged = state.purged.entry(*at).or_insert(time);
            *purged = (*purged).max(time);
            state.rows.remove(at);
            state
                .cells
                .retain(|(of, _), cell| of != at || cell.time > time);
            state.purges.push(at.profile);
        }
        Ok(())
    }
}

impl Identity for Database {
    async fn claims(&self, keys: &[ClaimKey]) -> Result<Vec<Option<Claim>>, PortError> {
        self.take_call("read claims")?;
        let state = self.state();
        Ok(keys
            .iter()
            .map(|key| state.claims.get(key).copied())
            .collect())
    }

    async fn owners(&self, reads: &[OwnersRead]) -> Result<Vec<Owners>, PortError> {
        self.take_call("read owners")?;
        Ok(reads.iter().map(|_| Owners::default()).collect())
    }

    async fn nodes(&self, reads: &[NodeRead]) -> Result<Vec<Node>, PortError> {
        self.take_call("read nodes")?;
        let state = self.state();
        if state.corrupt_nodes {
            return Err(PortError::Corrupt {
                operation: "read nodes",
                detail: "a node".to_owned(),
            });
        }
        let node = |read: &NodeRead| {
            let mut node = state.nodes.get(&read.at).cloned().unwrap_or_default();
            match read.verdicts {
                Verdicts::All => {}
                Verdicts::None => node.verdicts.clear(),
                Verdicts::Of(child, token) => node
                    .verdicts
                    .retain(|row| row.child == child && row.token == token),
            }
            node
        };
        Ok(reads.iter().map(node).collect())
    }

    async fn links(&self, of: &[ProfileKey]) -> Result<Vec<Vec<LinkEvidence>>, PortError> {
        self.take_call("read links")?;
        Ok(of.iter().map(|_| Vec::new()).collect())
    }

    async fn attempt(&self, statements: &[Conditional], _: Durability) -> Vec<Outcome> {
        let is_lost = self.take_call("attempt").is_err();
        let mut state = self.state();
        let one = |statement: &Conditional| {
            let Conditional::Release {
                key, expected, id, ..
            } = statement
            else {
                panic!("a worker decides nothing");
            };
            let claim = state.claims.get_mut(key).expect("a claim that was read");
            let applied = claim.id == *expected;
            if applied {
                claim.profile = None;
                claim.id = *id;
            }
            if is_lost {
                // It arrived, and its answer did not.
                Outcome::Unknown
            } else if applied {
                Outcome::Applied
            } else {
                Outcome::Refused(Standing::default())
            }
        };
        statements.iter().map(one).collect()
    }
}

impl Listing for Database {
    async fn add(&self, _: ProfileKey, _: Durability) -> Result<(), PortError> {
        panic!("a worker lists nothing")
    }

    async fn remove(&self, _: &[ProfileKey], _: Durability) -> Result<(), PortError> {
        Ok(())
    }

    async fn page(
        &self,
        _: StoreId,
        _: Order,
        _: Option<ProfileId>,
        _: usize,
    ) -> Result<Vec<ProfileId>, PortError> {
        panic!("a worker lists nothing")
    }
}

impl Control for Database {
    async fn store(&self, _: StoreId) -> Result<Option<StoreRecord>, PortError> {
        self.take_call("read store")?;
        Ok(self.state().store.clone())
    }

    async fn create_store(&self, _: &StoreRecord) -> Result<Created, PortError> {
        panic!("a worker makes no stores")
    }

    async fn delete_store(&self, _: &AccountSid, _: StoreId) -> Result<bool, PortError> {
        panic!("a worker deletes no stores")
    }

    async fn is_deleted(&self, _: StoreId) -> Result<bool, PortError> {
        Ok(self.state().store_is_deleted)
    }
}
