//! A database over another one that does two things otherwise, for suites that must notice.

use std::future::Future;

use kith_domain::id::{AccountSid, OperationId, ProfileId, ProfileKey, StoreId};
use kith_domain::identifier::ClaimKey;
use kith_domain::operation::Operation;
use kith_domain::store::StoreRecord;
use kith_domain::time::Micros;
use kith_profiles::error::PortError;
use kith_profiles::ports::{
    Account, AccountWrite, CellBatch, CellRead, CellRows, Cells, Claim, Conditional, Control,
    Created, Database, Definitions, Durability, Identity, LinkEvidence, Listing, Node, NodeRead,
    Order, Outcome, Owners, OwnersRead, StoreWrite, TokenKey, Written,
};

/// What is done otherwise; by default nothing.
pub trait Tamper<D: Database + Definitions>: Send + Sync + 'static {
    /// Conditional statements of identity.
    fn attempt(
        &self,
        inner: &D,
        statements: &[Conditional],
        durability: Durability,
    ) -> impl Future<Output = Vec<Outcome>> + Send {
        inner.attempt(statements, durability)
    }

    /// A row of an account.
    fn write_account(
        &self,
        inner: &D,
        write: &AccountWrite,
    ) -> impl Future<Output = Result<Written, PortError>> + Send {
        inner.write_account(write)
    }
}

/// The database, and how it is wrong.
#[derive(Debug, Clone)]
pub struct Tampered<D, T> {
    /// What does the work.
    pub inner: D,
    /// What it does otherwise.
    pub how: T,
}

impl<D: Database + Definitions, T: Tamper<D>> Identity for Tampered<D, T> {
    async fn claims(&self, keys: &[ClaimKey]) -> Result<Vec<Option<Claim>>, PortError> {
        self.inner.claims(keys).await
    }

    async fn owners(&self, reads: &[OwnersRead]) -> Result<Vec<Owners>, PortError> {
        self.inner.owners(reads).await
    }

    async fn nodes(&self, reads: &[NodeRead]) -> Result<Vec<Node>, PortError> {
        self.inner.nodes(reads).await
    }

    async fn links(&self, of: &[ProfileKey]) -> Result<Vec<Vec<LinkEvidence>>, PortError> {
        self.inner.links(of).await
    }

    async fn attempt(&self, statements: &[Conditional], durability: Durability) -> Vec<Outcome> {
        self.how.attempt(&self.inner, statements, durability).await
    }
}

impl<D: Database + Definitions, T: Tamper<D>> Cells for Tampered<D, T> {
    const IS_NEAR: bool = D::IS_NEAR;

    async fn read(&self, reads: &[CellRead]) -> Result<Vec<CellRows>, PortError> {
        self.inner.read(reads).await
    }

    async fn write(&self, batches: &[CellBatch], durability: Durability) -> Result<(), PortError> {
        self.inner.write(batches, durability).await
    }

    async fn purge(
        &self,
        profiles: &[ProfileKey],
        time: Micros,
        durability: Durability,
    ) -> Result<(), PortError> {
        self.inner.purge(profiles, time, durability).await
    }
}

impl<D: Database + Definitions, T: Tamper<D>> Listing for Tampered<D, T> {
    async fn add(&self, profile: ProfileKey, durability: Durability) -> Result<(), PortError> {
        self.inner.add(profile, durability).await
    }

    async fn remove(
        &self,
        profiles: &[ProfileKey],
        durability: Durability,
    ) -> Result<(), PortError> {
        self.inner.remove(profiles, durability).await
    }

    async fn page(
        &self,
        store: StoreId,
        order: Order,
        after: Option<ProfileId>,
        limit: usize,
    ) -> Result<Vec<ProfileId>, PortError> {
        self.inner.page(store, order, after, limit).await
    }
}

impl<D: Database + Definitions, T: Tamper<D>> Control for Tampered<D, T> {
    async fn store(&self, store: StoreId) -> Result<Option<StoreRecord>, PortError> {
        self.inner.store(store).await
    }

    async fn create_store(&self, record: &StoreRecord) -> Result<Created, PortError> {
        self.inner.create_store(record).await
    }

    async fn delete_store(&self, account: &AccountSid, store: StoreId) -> Result<bool, PortError> {
        self.inner.delete_store(account, store).await
    }

    async fn is_deleted(&self, store: StoreId) -> Result<bool, PortError> {
        self.inner.is_deleted(store).await
    }
}

impl<D: Database + Definitions, T: Tamper<D>> Definitions for Tampered<D, T> {
    async fn token_key(&self) -> Result<TokenKey, PortError> {
        self.inner.token_key().await
    }

    async fn account(&self, account: &AccountSid) -> Result<Account, PortError> {
        self.inner.account(account).await
    }

    async fn write_account(&self, write: &AccountWrite) -> Result<Written, PortError> {
        self.how.write_account(&self.inner, write).await
    }

    async fn make_store(&self, record: &StoreRecord) -> Result<Created, PortError> {
        self.inner.make_store(record).await
    }

    async fn write_store(&self, write: &StoreWrite) -> Result<Written, PortError> {
        self.inner.write_store(write).await
    }

    async fn operation(
        &self,
        account: &AccountSid,
        operation: OperationId,
    ) -> Result<Option<Operation>, PortError> {
        self.inner.operation(account, operation).await
    }

    async fn put_operation(
        &self,
        account: &AccountSid,
        operation: &Operation,
    ) -> Result<(), PortError> {
        self.inner.put_operation(account, operation).await
    }
}
