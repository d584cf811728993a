//! Ports that count what is written through them, and that fail or hang on demand.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use kith_domain::id::{AccountSid, OperationId, ProfileId, ProfileKey, StoreId};
use kith_domain::identifier::ClaimKey;
use kith_domain::operation::Operation;
use kith_domain::store::StoreRecord;
use kith_domain::time::Micros;
use kith_profiles::error::{PortError, PublishError};
use kith_profiles::ports::{
    Account, AccountWrite, CellBatch, CellRead, CellRows, Cells, Claim, Conditional, Control,
    Created, Definitions, Durability, Identity, LinkEvidence, Listing, NewRecord, Node, NodeRead,
    Order, Outcome, Owners, OwnersRead, StoreWrite, TokenKey, TraitLog, Written,
};

/// What a dependency does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Up,
    /// Every call fails at once.
    Down,
    /// No call ends.
    Hanging,
    /// Conditional statements are lost, and have no answer.
    Unanswered,
    /// Every call panics.
    Panicking,
    /// Every read finds nonsense, always in this row: a process tells of each but once.
    Corrupt(u32),
}

/// Counts and modes of a process's ports.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) reads: AtomicUsize,
    pub(crate) writes: AtomicUsize,
    pub(crate) records: AtomicUsize,
    statements: Mutex<Vec<String>>,
    database: Mutex<Mode>,
    log: Mutex<Mode>,
}

impl Watch {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            reads: AtomicUsize::new(0),
            writes: AtomicUsize::new(0),
            records: AtomicUsize::new(0),
            statements: Mutex::default(),
            database: Mutex::new(Mode::Up),
            log: Mutex::new(Mode::Up),
        })
    }

    pub(crate) fn set_database(&self, mode: Mode) {
        *self.database.lock().unwrap() = mode;
    }

    pub(crate) fn set_log(&self, mode: Mode) {
        *self.log.lock().unwrap() = mode;
    }

    /// Statements that write and records, so far.
    pub(crate) fn written(&self) -> usize {
        self.writes.load(Ordering::SeqCst) + self.records.load(Ordering::SeqCst)
    }

    /// Records, so far.
    pub(crate) fn published(&self) -> usize {
        self.records.load(Ordering::SeqCst)
    }

    pub(crate) fn read(&self) -> usize {
        self.reads.load(Ordering::SeqCst)
    }

    /// The statements since this was last asked, each with what it was about.
    pub(crate) fn statements(&self) -> Vec<String> {
        std::mem::take(&mut *self.statements.lock().unwrap())
    }
}

async fn meet(mode: Mode) -> Result<(), PortError> {
    match mode {
        Mode::Up | Mode::Unanswered => Ok(()),
        Mode::Down => Err(PortError::Unavailable {
            operation: "test",
            cause: None,
        }),
        Mode::Hanging => std::future::pending().await,
        Mode::Panicking => panic!("a panic on purpose"),
        Mode::Corrupt(row) => Err(PortError::Corrupt {
            operation: "test",
            detail: format!("row {row}"),
        }),
    }
}

#[derive(Debug, Clone)]
pub(crate) struct WatchedDatabase<D> {
    pub(crate) inner: D,
    pub(crate) watch: Arc<Watch>,
}

impl<D> WatchedDatabase<D> {
    fn reads(
        &self,
        statement: String,
    ) -> impl Future<Output = Result<(), PortError>> + Send + use<D> {
        self.watch.reads.fetch_add(1, Ordering::SeqCst);
        self.meets(statement)
    }

    fn writes(
        &self,
        statement: String,
    ) -> impl Future<Output = Result<(), PortError>> + Send + use<D> {
        self.watch.writes.fetch_add(1, Ordering::SeqCst);
        self.meets(statement)
    }

    fn meets(
        &self,
        statement: String,
    ) -> impl Future<Output = Result<(), PortError>> + Send + use<D> {
        self.watch.statements.lock().unwrap().push(statement);
        meet(*self.watch.database.lock().unwrap())
    }
}

impl<D: Identity> Identity for WatchedDatabase<D> {
    async fn claims(&self, keys: &[ClaimKey]) -> Result<Vec<Option<Claim>>, PortError> {
        self.reads(format!("claims of {} keys", keys.len())).await?;
        self.inner.claims(keys).await
    }

    async fn owners(&self, reads: &[OwnersRead]) -> Result<Vec<Owners>, PortError> {
        self.reads(format!("owners of {} keys", reads.len()))
            .await?;
        self.inner.owners(reads).await
    }

    async fn nodes(&self, reads: &[NodeRead]) -> Result<Vec<Node>, PortError> {
        self.reads(format!("nodes {reads:?}")).await?;
        self.inner.nodes(reads).await
    }

    async fn links(&self, of: &[ProfileKey]) -> Result<Vec<Vec<LinkEvidence>>, PortError> {
        self.reads(format!("links of {of:?}")).await?;
        self.inner.links(of).await
    }

    async fn attempt(&self, statements: &[Conditional], durability: Durability) -> Vec<Outcome> {
        let is_lost = *self.watch.database.lock().unwrap() == Mode::Unanswered;
        match self
            .writes(format!("attempt {} statements", statements.len()))
            .await
        {
            Ok(()) if !is_lost => self.inner.attempt(statements, durability).await,
            Ok(()) | Err(_) => vec![Outcome::Unknown; statements.len()],
        }
    }
}

impl<D: Cells> Cells for WatchedDatabase<D> {
    const IS_NEAR: bool = D::IS_NEAR;

    async fn read(&self, reads: &[CellRead]) -> Result<Vec<CellRows>, PortError> {
        self.reads(format!("read {reads:?}")).await?;
        self.inner.read(reads).await
    }

    async fn write(&self, batches: &[CellBatch], durability: Durability) -> Result<(), PortError> {
        self.writes(format!("write {} batches", batches.len()))
            .await?;
        self.inner.write(batches, durability).await
    }

    async fn purge(
        &self,
        profiles: &[ProfileKey],
        time: Micros,
        durability: Durability,
    ) -> Result<(), PortError> {
        self.writes(format!("purge {profiles:?}")).await?;
        self.inner.purge(profiles, time, durability).await
    }
}

impl<D: Listing> Listing for WatchedDatabase<D> {
    async fn add(&self, profile: ProfileKey, durability: Durability) -> Result<(), PortError> {
        self.writes(format!("add {profile:?}")).await?;
        self.inner.add(profile, durability).await
    }

    async fn remove(
        &self,
        profiles: &[ProfileKey],
        durability: Durability,
    ) -> Result<(), PortError> {
        self.writes(format!("remove {profiles:?}")).await?;
        self.inner.remove(profiles, durability).await
    }

    async fn page(
        &self,
        store: StoreId,
        order: Order,
        after: Option<ProfileId>,
        limit: usize,
    ) -> Result<Vec<ProfileId>, PortError> {
        self.reads(format!("page {store} {order:?} {after:?} {limit}"))
            .await?;
        self.inner.page(store, order, after, limit).await
    }
}

impl<D: Definitions> Definitions for WatchedDatabase<D> {
    async fn token_key(&self) -> Result<TokenKey, PortError> {
        self.inner.token_key().await
    }

    async fn account(&self, account: &AccountSid) -> Result<Account, PortError> {
        self.reads(format!("account {account}")).await?;
        self.inner.account(account).await
    }

    async fn write_account(&self, write: &AccountWrite) -> Result<Written, PortError> {
        self.writes(format!("write account {}", write.account))
            .await?;
        self.inner.write_account(write).await
    }

    async fn make_store(&self, record: &StoreRecord) -> Result<Created, PortError> {
        self.writes("make store".to_owned()).await?;
        self.inner.make_store(record).await
    }

    async fn write_store(&self, write: &StoreWrite) -> Result<Written, PortError> {
        self.writes("write store".to_owned()).await?;
        self.inner.write_store(write).await
    }

    async fn operation(
        &self,
        account: &AccountSid,
        operation: OperationId,
    ) -> Result<Option<Operation>, PortError> {
        self.reads(format!("operation {account} {operation}"))
            .await?;
        self.inner.operation(account, operation).await
    }

    async fn put_operation(
        &self,
        account: &AccountSid,
        operation: &Operation,
    ) -> Result<(), PortError> {
        self.writes(format!("put operation {account}")).await?;
        self.inner.put_operation(account, operation).await
    }
}

impl<D: Control> Control for WatchedDatabase<D> {
    async fn store(&self, store: StoreId) -> Result<Option<StoreRecord>, PortError> {
        self.reads(format!("store {store}")).await?;
        self.inner.store(store).await
    }

    async fn create_store(&self, record: &StoreRecord) -> Result<Created, PortError> {
        self.writes("create store".to_owned()).await?;
        self.inner.create_store(record).await
    }

    async fn delete_store(&self, account: &AccountSid, store: StoreId) -> Result<bool, PortError> {
        self.writes(format!("delete store {account} {store}"))
            .await?;
        self.inner.delete_store(account, store).await
    }

    async fn is_deleted(&self, store: StoreId) -> Result<bool, PortError> {
        self.reads(format!("is deleted {store}")).await?;
        self.inner.is_deleted(store).await
    }
}

#[derive(Debug, Clone)]
pub(crate) struct WatchedLog<L> {
    pub(crate) inner: L,
    pub(crate) watch: Arc<Watch>,
}

impl<L: TraitLog> TraitLog for WatchedLog<L> {
    async fn publish(&self, record: NewRecord) -> Result<(), PublishError> {
        self.watch.records.fetch_add(1, Ordering::SeqCst);
        let mode = *self.watch.log.lock().unwrap();
        meet(mode)
            .await
            .map_err(|_| PublishError::Unavailable(None))?;
        self.inner.publish(record).await
    }
}
