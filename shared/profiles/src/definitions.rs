//! The control plane: stores, their trait groups and settings, and what became of changes (`memory-api.md` 5).
//!
//! Every change is one conditional statement on what was just read, and is tried again while somebody else is faster: a caller
//! who names a version is told that it is stale, everybody else overwrites what is there. It is in force when it is
//! answered, here at once and elsewhere when the [`catalog`](crate::catalog) looks again; so its operation is complete as
//! it begins. Only the deletion of a store has something to be done later (`ending.rs`).

use std::time::Duration;

use kith_domain::body::FieldError;
use kith_domain::id::{AccountSid, OperationId, StoreId};
use kith_domain::operation::{Operation, OperationStatus, Resource};
use kith_domain::store::StoreRecord;

use crate::Profiles;
use crate::environment::{Deadline, Environment};
use crate::error::Trouble;
use crate::ports::{Account, AccountStore, Clock, Control, Definitions, Ids, Written};

mod ending;
mod groups;
mod settings;
mod stores;

pub use ending::Ending;
pub use stores::new_store;

/// Between two tries of one statement.
const PAUSE: Duration = Duration::from_millis(10);
const DURING: &str = "changing definitions";

/// Why a change is not made. Nothing of it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The account has no such store, or none any more.
    NoStore,
    /// The store has no such trait group.
    NoGroup,
    /// The version that the caller names is not the one that is there.
    Stale,
    /// The account has as many stores as it may have.
    StoresMax,
    /// Another store of the account has the name.
    StoreNameTaken,
    /// The store has as many trait groups as it may have.
    GroupsMax,
    /// The store has a trait group of the name.
    GroupNameTaken,
    /// The trait group would have more traits than it may have.
    GroupFull,
    /// The group, or a trait of it, is protected.
    Protected,
    /// A rule is broken.
    Invalid(Vec<FieldError>),
}

/// What a use case of the control plane ends with.
pub type Refusable<T> = Result<Result<T, Refusal>, Trouble>;

/// The versions that a caller wants to change (`If-Match`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Expected {
    /// Whatever is there.
    #[default]
    Any,
    /// One of these.
    OneOf(Vec<u32>),
}

impl Expected {
    fn check(&self, version: u32) -> Result<(), Refusal> {
        match self {
            Self::OneOf(versions) if !versions.contains(&version) => Err(Refusal::Stale),
            Self::Any | Self::OneOf(_) => Ok(()),
        }
    }
}

/// What a change is about.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Whose store.
    pub account: AccountSid,
    /// Which store.
    pub store: StoreId,
    /// Which versions.
    pub expected: Expected,
    /// When it must have been answered.
    pub deadline: Deadline,
}

impl<E: Environment<Database: Definitions>> Profiles<E> {
    /// A store of this account as it is now, with the name and description that it has now.
    ///
    /// # Errors
    /// [`Trouble`].
    pub async fn defined(
        &self,
        account: &AccountSid,
        store: StoreId,
    ) -> Result<Option<StoreRecord>, Trouble> {
        let database = self.env.database();
        let (record, known) =
            futures_util::try_join!(database.store(store), database.account(account))?;
        let named = row_of(&known, store).and_then(|row| Some((row, row.display_name.clone()?)));
        let record = record.filter(|record| record.account == *account);
        Ok(record
            .zip(named)
            .map(|(record, (row, display_name))| StoreRecord {
                display_name,
                description: row.description.clone(),
                version: row.version,
                ..record
            }))
    }

    /// The stores of an account, in order of age.
    ///
    /// # Errors
    /// [`Trouble`].
    pub async fn stores_of(&self, account: &AccountSid) -> Result<Vec<StoreId>, Trouble> {
        let known = self.env.database().account(account).await?;
        self.try_to_finish(account, &known).await;
        Ok(known.store_ids())
    }

    /// An operation of this account, if it is still kept.
    ///
    /// # Errors
    /// [`Trouble`].
    pub async fn operation(
        &self,
        account: &AccountSid,
        operation: OperationId,
    ) -> Result<Option<Operation>, Trouble> {
        let database = self.env.database();
        let found = database.operation(account, operation).await?;
        if found
            .as_ref()
            .is_none_or(|found| found.status == OperationStatus::Completed)
        {
            return Ok(found);
        }
        let known = database.account(account).await?;
        self.try_to_finish(account, &known).await;
        Ok(database.operation(account, operation).await?)
    }

    /// A store of this account as it is now, but for its name and description.
    async fn record(
        &self,
        account: &AccountSid,
        store: StoreId,
    ) -> Result<Option<StoreRecord>, Trouble> {
        let record = self.env.database().store(store).await?;
        Ok(record.filter(|record| record.account == *account))
    }

    /// Notes a change that is in force.
    async fn complete(
        &self,
        account: &AccountSid,
        resource: Resource,
        removes: bool,
    ) -> Result<Operation, Trouble> {
        let now = self.env.clock().now()?;
        let operation = Operation::completed(self.new_operation(), now, resource, removes);
        let database = self.env.database();
        database.put_operation(account, &operation).await?;
        Ok(operation)
    }

    fn new_operation(&self) -> OperationId {
        OperationId::from_uuid(new_id(self.env.ids()))
    }

    /// Waits before the next try.
    ///
    /// # Errors
    /// [`Trouble::Deadline`]: there is none.
    async fn pause(&self, deadline: Deadline) -> Result<(), Trouble> {
        let clock = self.env.clock();
        if deadline.has_passed(clock) {
            return Err(Trouble::Deadline { during: DURING });
        }
        clock.sleep(PAUSE).await;
        Ok(())
    }
}

/// An id that sorts by age: those of profiles do, and it is only the prefix that tells them apart.
fn new_id(ids: &impl Ids) -> uuid::Uuid {
    ids.profile().as_uuid()
}

fn row_of(account: &Account, store: StoreId) -> Option<&AccountStore> {
    account.stores.iter().find(|row| row.store == store)
}

/// How the tries of one statement ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tried {
    Applied,
    Refused,
    /// Refused, after an answer that never came: that sending, or somebody else, was first.
    RefusedAfterUnknown,
}

impl Tried {
    /// What the answer to one sending says, if it says anything.
    const fn of(written: Written, is_first: bool) -> Option<Self> {
        match (written, is_first) {
            (Written::Applied, _) => Some(Self::Applied),
            (Written::Refused, true) => Some(Self::Refused),
            (Written::Refused, false) => Some(Self::RefusedAfterUnknown),
            (Written::Unknown, _) => None,
        }
    }
}
