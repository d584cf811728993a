//! The ports over a [`World`]: a call puts its statements in flight and waits until the schedule has run them.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use kith_domain::id::{AccountSid, ProfileId, ProfileKey, StoreId};
use kith_domain::identifier::ClaimKey;
use kith_domain::store::StoreRecord;
use kith_domain::time::Micros;
use kith_profiles::environment::{Environment, Omission};
use kith_profiles::error::{ClockUnsound, PortError, PublishError};
use kith_profiles::ports::{
    CellBatch, CellRead, CellRows, Cells, Claim, Clock, Conditional, Control, Created, Durability,
    Identity, Ids, LinkEvidence, Listing, NewRecord, Node, NodeRead, Order, Outcome, Owners,
    OwnersRead, TraitLog,
};
use uuid::Uuid;

use crate::world::{Reply, Statement, World};

/// The world, shared by every port.
pub type Shared = Arc<Mutex<World>>;

/// Locks the world. One thread: nobody else ever holds it.
pub fn lock(world: &Shared) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The environment of one client, with a step left out if a case says so.
#[derive(Debug, Clone)]
pub struct SimParts {
    port: Port,
    omission: Option<Omission>,
}

/// The environment of a client.
#[must_use]
pub fn parts(world: &Shared, client: usize, omission: Option<Omission>) -> SimParts {
    let port = Port::of(world, client);
    SimParts { port, omission }
}

impl Environment for SimParts {
    type Database = Port;
    type Log = Port;
    type Clock = Port;
    type Ids = Port;

    fn database(&self) -> &Port {
        &self.port
    }

    fn log(&self) -> &Port {
        &self.port
    }

    fn clock(&self) -> &Port {
        &self.port
    }

    fn ids(&self) -> &Port {
        &self.port
    }

    fn omits(&self, step: Omission) -> bool {
        self.omission == Some(step)
    }
}

/// Every port of one client.
#[derive(Debug, Clone)]
pub struct Port {
    world: Shared,
    client: usize,
}

impl Port {
    /// The ports of a client.
    #[must_use]
    pub fn of(world: &Shared, client: usize) -> Self {
        Self {
            world: Arc::clone(world),
            client,
        }
    }

    /// The world behind it.
    #[must_use]
    pub fn world(&self) -> &Shared {
        &self.world
    }

    /// Waits until one statement is answered.
    pub async fn one(&self, statement: Statement) -> Reply {
        self.call([statement]).await.pop().unwrap_or(Reply::Failed)
    }

    fn call(&self, statements: impl IntoIterator<Item = Statement>) -> Call {
        let mut world = lock(&self.world);
        let flights = statements
            .into_iter()
            .map(|one| (world.depart(self.client, one), None))
            .collect();
        Call {
            world: Arc::clone(&self.world),
            flights,
        }
    }
}

/// A round in flight.
struct Call {
    world: Shared,
    flights: Vec<(u64, Option<Reply>)>,
}

impl Future for Call {
    type Output = Vec<Reply>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Vec<Reply>> {
        let world = Arc::clone(&self.world);
        let mut world = lock(&world);
        let mut is_open = false;
        for (flight, reply) in &mut self.flights {
            if reply.is_none() {
                *reply = world.collect(*flight, context.waker());
                is_open |= reply.is_none();
            }
        }
        if is_open {
            return Poll::Pending;
        }
        Poll::Ready(
            self.flights
                .drain(..)
                .filter_map(|(_, reply)| reply)
                .collect(),
        )
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let mut world = lock(&self.world);
        for (flight, reply) in &self.flights {
            if reply.is_none() {
                world.abandon(*flight);
            }
        }
    }
}

fn unavailable(operation: &'static str) -> PortError {
    PortError::Unavailable {
        operation,
        cause: None,
    }
}

/// Takes the answers of a round of one kind; anything else is a failure of the port.
macro_rules! answers {
    ($replies:expr, $operation:literal, $pattern:pat => $value:expr) => {
        $replies
            .await
            .into_iter()
            .map(|reply| match reply {
                $pattern => Ok($value),
                _ => Err(unavailable($operation)),
            })
            .collect::<Result<Vec<_>, PortError>>()
    };
}

impl Identity for Port {
    async fn claims(&self, keys: &[ClaimKey]) -> Result<Vec<Option<Claim>>, PortError> {
        let call = self.call(keys.iter().map(|key| Statement::ReadClaim(*key)));
        answers!(call, "claims", Reply::Claim(claim) => claim)
    }

    async fn owners(&self, reads: &[OwnersRead]) -> Result<Vec<Owners>, PortError> {
        let call = self.call(reads.iter().map(|read| Statement::ReadOwners(*read)));
        answers!(call, "owners", Reply::Owners(owners) => owners)
    }

    async fn nodes(&self, reads: &[NodeRead]) -> Result<Vec<Node>, PortError> {
        let call = self.call(reads.iter().map(|read| Statement::ReadNode(*read)));
        answers!(call, "nodes", Reply::Node(node) => node)
    }

    async fn links(&self, of: &[ProfileKey]) -> Result<Vec<Vec<LinkEvidence>>, PortError> {
        let call = self.call(of.iter().map(|at| Statement::ReadLinks(*at)));
        answers!(call, "links", Reply::Links(links) => links)
    }

    async fn attempt(&self, statements: &[Conditional], _: Durability) -> Vec<Outcome> {
        let call = self.call(statements.iter().cloned().map(Statement::Attempt));
        let replies = call.await.into_iter();
        replies
            .map(|reply| match reply {
                Reply::Outcome(outcome) => outcome,
                Reply::Failed
                | Reply::Done
                | Reply::Claim(_)
                | Reply::Owners(_)
                | Reply::Node(_)
                | Reply::Links(_)
                | Reply::Rows(_)
                | Reply::Page(_)
                | Reply::Store(_)
                | Reply::Deleted(_) => Outcome::Unknown,
            })
            .collect()
    }
}

impl Cells for Port {
    async fn read(&self, reads: &[CellRead]) -> Result<Vec<CellRows>, PortError> {
        let call = self.call(reads.iter().cloned().map(Statement::ReadCells));
        answers!(call, "cells", Reply::Rows(rows) => rows)
    }

    async fn write(&self, batches: &[CellBatch], _: Durability) -> Result<(), PortError> {
        let call = self.call(batches.iter().cloned().map(Statement::WriteCells));
        answers!(call, "cells", Reply::Done => ()).map(drop)
    }

    async fn purge(
        &self,
        profiles: &[ProfileKey],
        time: Micros,
        _: Durability,
    ) -> Result<(), PortError> {
        let call = self.call(profiles.iter().map(|at| Statement::Purge(*at, time)));
        answers!(call, "cells", Reply::Done => ()).map(drop)
    }
}

impl Listing for Port {
    async fn add(&self, profile: ProfileKey, _: Durability) -> Result<(), PortError> {
        let call = self.call([Statement::List(profile)]);
        answers!(call, "listing", Reply::Done => ()).map(drop)
    }

    async fn remove(&self, profiles: &[ProfileKey], _: Durability) -> Result<(), PortError> {
        let call = self.call(profiles.iter().map(|at| Statement::Unlist(*at)));
        answers!(call, "listing", Reply::Done => ()).map(drop)
    }

    async fn page(
        &self,
        store: StoreId,
        order: Order,
        after: Option<ProfileId>,
        limit: usize,
    ) -> Result<Vec<ProfileId>, PortError> {
        let call = self.call([Statement::Page(store, order, after, limit)]);
        let mut pages = answers!(call, "listing", Reply::Page(page) => page)?;
        Ok(pages.pop().unwrap_or_default())
    }
}

impl Control for Port {
    async fn store(&self, store: StoreId) -> Result<Option<StoreRecord>, PortError> {
        let call = self.call([Statement::ReadStore(store)]);
        let mut stores = answers!(call, "control", Reply::Store(store) => *store)?;
        Ok(stores.pop().flatten())
    }

    async fn create_store(&self, record: &StoreRecord) -> Result<Created, PortError> {
        // Stores are given to a simulation, not made in it.
        let mut world = lock(&self.world);
        Ok(match world.stores.insert(record.id, record.clone()) {
            None => Created::Now,
            Some(_) => Created::Already,
        })
    }

    async fn delete_store(&self, account: &AccountSid, store: StoreId) -> Result<bool, PortError> {
        let mut world = lock(&self.world);
        let is_theirs = |record: &StoreRecord| record.account == *account;
        if !world.stores.get(&store).is_some_and(is_theirs) {
            return Ok(false);
        }
        world.stores.remove(&store);
        world.deleted_stores.insert(store);
        Ok(true)
    }

    async fn is_deleted(&self, store: StoreId) -> Result<bool, PortError> {
        let call = self.call([Statement::ReadStatus(store)]);
        let mut answers = answers!(call, "control", Reply::Deleted(is) => is)?;
        Ok(answers.pop().unwrap_or_default())
    }
}

impl TraitLog for Port {
    async fn publish(&self, record: NewRecord) -> Result<(), PublishError> {
        let call = self.call([Statement::Publish(record)]);
        match call.await.pop() {
            Some(Reply::Done) => Ok(()),
            _ => Err(PublishError::Unavailable(None)),
        }
    }
}

/// Microseconds of simulated time a step.
const STEP: u64 = 1_000;
/// Where simulated time begins.
const START: i64 = 1_700_000_000_000_000;

/// The time after so many steps, by a clock that is right.
pub(crate) fn wall_clock(steps: u64) -> Micros {
    let elapsed = i64::try_from(steps * STEP).unwrap_or(i64::MAX / 2);
    Micros::from_micros(START + elapsed)
}

impl Clock for Port {
    fn now(&self) -> Result<Micros, ClockUnsound> {
        let world = lock(&self.world);
        let skew = world.skews.get(&self.client).copied().unwrap_or(0);
        Ok(Micros::from_micros(
            wall_clock(world.steps).as_micros() + skew,
        ))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_micros(lock(&self.world).steps * STEP)
    }

    async fn sleep(&self, _: Duration) {
        self.call([Statement::Sleep]).await;
    }
}

impl Ids for Port {
    fn profile(&self) -> ProfileId {
        let mut world = lock(&self.world);
        // Counted, so that ids are in the order of their making; their milliseconds are of no matter here.
        let number = world.count();
        ProfileId::from_uuid(Uuid::from_u128((0x0190_0000_0000 << 80) | number))
    }

    fn random(&self) -> Uuid {
        let number = lock(&self.world).count();
        Uuid::from_u128((0xffff << 112) | number)
    }
}
