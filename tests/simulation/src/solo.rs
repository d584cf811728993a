//! One request alone: every statement of a round runs at once, and is counted.

use std::future::Future;
use std::ops::Add;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kith_domain::body::{TraitsBody, WriteSet, validate};
use kith_domain::id::{ProfileId, RequestId};
use kith_domain::settings::IdentitySettings;
use kith_domain::store::StoreRecord;
use kith_profiles::Profiles;
use kith_profiles::change::Target;
use kith_profiles::create::Create;
use kith_profiles::environment::Environment;
use uuid::Uuid;

use crate::executor::Executor;
use crate::ports::{Shared, SimParts, lock, parts};
use crate::run::store;
use crate::world::{Statement, World};

/// What one request cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Sequential steps.
    pub rounds: usize,
    /// Claims read, and owners of shared values.
    pub claims: usize,
    /// Nodes read.
    pub nodes: usize,
    /// Partitions of cells read.
    pub cells: usize,
    /// Conditional statements.
    pub conditional: usize,
    /// Batches of plain writes, rows of the listing among them.
    pub writes: usize,
    /// Records published.
    pub records: usize,
}

/// What becomes of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It runs and is answered.
    Answered,
    /// It stays without an answer, and is applied.
    AppliedInSilence,
    /// It stays without an answer, and is not applied, or not yet.
    Silence,
}

/// A world with one store, and one request in it at a time.
#[derive(Debug)]
pub struct Solo {
    /// The world.
    pub world: Shared,
    /// The store.
    pub store: Arc<StoreRecord>,
    executor: Executor,
    requests: u128,
}

/// The use cases over the world.
pub type Process = Arc<Profiles<SimParts>>;

/// More than any request takes.
const ROUNDS_MAX: usize = 5_000;

impl Solo {
    /// An empty world with a store of these settings.
    #[must_use]
    pub fn new(settings: IdentitySettings) -> Self {
        let store = Arc::new(store(settings));
        let world = World::default();
        let world = Arc::new(Mutex::new(world));
        lock(&world).stores.insert(store.id, (*store).clone());
        Self {
            world,
            store,
            executor: Executor::default(),
            requests: 0,
        }
    }

    /// A process that knows nothing yet.
    #[must_use]
    pub fn process(&self) -> Process {
        Arc::new(Profiles::new(parts(&self.world, 0, None)))
    }

    /// What a body with these traits of `Contact` writes.
    #[must_use]
    pub fn writes(&self, contact: &[(&str, &str)]) -> WriteSet {
        let members: Vec<String> = contact
            .iter()
            .map(|(name, value)| format!("\"{name}\":\"{value}\""))
            .collect();
        let body = format!("{{\"traits\":{{\"Contact\":{{{}}}}}}}", members.join(","));
        #[expect(clippy::expect_used, reason = "the bodies of a case are valid")]
        TraitsBody::parse(body.as_bytes())
            .ok()
            .and_then(|body| validate(&body, &self.store.groups, &self.store.settings).ok())
            .expect("a valid body")
    }

    /// A request about this profile, which must be answered within this time.
    pub fn target(&mut self, profile: ProfileId, within: Duration) -> Target {
        self.requests += 1;
        Target {
            store: Arc::clone(&self.store),
            profile,
            request: RequestId::from_uuid(Uuid::from_u128(self.requests)),
            deadline: parts(&self.world, 0, None).deadline_in(within),
        }
    }

    /// A create with these traits of `Contact`.
    pub fn create(&mut self, contact: &[(&str, &str)], within: Duration) -> Create {
        let target = self.target(ProfileId::from_uuid(Uuid::nil()), within);
        Create {
            store: target.store,
            writes: self.writes(contact),
            request: target.request,
            deadline: target.deadline,
        }
    }

    /// Runs to the end, with what it cost; every statement is answered.
    pub fn run<T: Send + 'static>(
        &mut self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> (T, Cost) {
        self.run_under(work, |_| Fate::Answered)
    }

    /// Runs to the end, with what it cost, where `fate` decides about each statement.
    ///
    /// # Panics
    /// If it does not end.
    pub fn run_under<T: Send + 'static>(
        &mut self,
        work: impl Future<Output = T> + Send + 'static,
        mut fate: impl FnMut(&Statement) -> Fate,
    ) -> (T, Cost) {
        let done = Arc::new(Mutex::new(None));
        let result = Arc::clone(&done);
        let task = self.executor.spawn(async move {
            let value = work.await;
            *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
        });
        let mut cost = Cost::default();
        for _ in 0..ROUNDS_MAX {
            self.executor.settle();
            if !self.executor.is_running(task) {
                break;
            }
            let open = lock(&self.world).in_flight();
            cost.rounds += 1;
            for (flight, is_orphan) in open {
                if is_orphan {
                    continue;
                }
                let entry = lock(&self.world)
                    .flight(flight)
                    .map(|entry| entry.statement.clone());
                let Some(statement) = entry else {
                    continue;
                };
                cost.count(&statement);
                // Asked while nobody holds the world, so that it may change something in it.
                let fate = fate(&statement);
                let mut world = lock(&self.world);
                match fate {
                    Fate::Answered => world.execute(flight),
                    Fate::AppliedInSilence => world.execute_unknown(flight, true),
                    Fate::Silence => world.execute_unknown(flight, false),
                }
            }
        }
        let value = done.lock().unwrap_or_else(PoisonError::into_inner).take();
        #[expect(
            clippy::expect_used,
            reason = "a request that does not end fails its test"
        )]
        let value = value.expect("the request ends");
        (value, cost)
    }
}

impl Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            rounds: self.rounds + other.rounds,
            claims: self.claims + other.claims,
            nodes: self.nodes + other.nodes,
            cells: self.cells + other.cells,
            conditional: self.conditional + other.conditional,
            writes: self.writes + other.writes,
            records: self.records + other.records,
        }
    }
}

impl Cost {
    fn count(&mut self, statement: &Statement) {
        match statement {
            Statement::ReadClaim(_) | Statement::ReadOwners(_) => self.claims += 1,
            Statement::ReadNode(_) | Statement::ReadStatics(_) | Statement::ReadLinks(_) => {
                self.nodes += 1
            }
            Statement::ReadCells(_) | Statement::ReadMarks(..) => self.cells += 1,
            Statement::Attempt(_) => self.conditional += 1,
            Statement::WriteCells(_)
            | Statement::List(_)
            | Statement::Unlist(_)
            | Statement::Purge(..) => self.writes += 1,
            Statement::Publish(_) => self.records += 1,
            Statement::Page(..)
            | Statement::ReadStore(_)
            | Statement::ReadStatus(_)
            | Statement::Bury(..)
            | Statement::Fetch(_)
            | Statement::Stop
            | Statement::Sleep => {}
        }
    }
}
