//! The writing half of the control plane: what [`Control`] reads is changed here, and only where somebody defines something.
//!
//! Two partitions, each written by one conditional statement at a time. An account's has one row a store, with its name,
//! description and version, under a *revision* that is fresh with every change: so names are unique and counted without a
//! lock. A store's has settings and trait groups under their versions. Operations are plain rows that go by themselves.

use std::fmt;
use std::future::Future;

use kith_domain::id::{AccountSid, OperationId, StoreId};
use kith_domain::operation::Operation;
use kith_domain::schema::TraitGroup;
use kith_domain::settings::IdentitySettings;
use kith_domain::store::StoreRecord;
use uuid::Uuid;

use super::{Control, Created};
use crate::error::PortError;

/// The key that page tokens are authenticated with: one for all processes on one database, made with its tables.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenKey([u8; 32]);

impl TokenKey {
    /// Takes 32 random bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey(..)")
    }
}

/// The stores of an account. The default: it never had one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    /// Names the state that was read.
    pub revision: Option<Uuid>,
    /// Its stores, in order of age; deleted ones too while something of them is owed.
    pub stores: Vec<AccountStore>,
}

impl Account {
    /// The stores that are there, in order of age.
    #[must_use]
    pub fn store_ids(&self) -> Vec<StoreId> {
        let named = self.stores.iter().filter(|row| row.display_name.is_some());
        named.map(|row| row.store).collect()
    }
}

/// A store as its account keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountStore {
    /// Which.
    pub store: StoreId,
    /// Its name; `None` once it is deleted.
    pub display_name: Option<String>,
    /// Its description.
    pub description: Option<String>,
    /// Of name and description.
    pub version: u32,
    /// The deletion that is under way: the purge of the store is not asked for yet.
    pub ending: Option<OperationId>,
}

/// Replaces one store's row in an account. Condition: the revision is as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountWrite {
    /// Whose.
    pub account: AccountSid,
    /// The revision read; `None` if there was none.
    pub expected: Option<Uuid>,
    /// The fresh revision.
    pub revision: Uuid,
    /// The row as it is to be. Without name and ending it is none.
    pub row: AccountStore,
}

/// Changes one part of a store. Condition: the store is there, not deleted, and the part's version is as read; the version is
/// one more then.
#[derive(Debug, Clone, PartialEq)]
pub struct StoreWrite {
    /// Which store.
    pub store: StoreId,
    /// The version read: of the settings for [`StorePart::Settings`], of all definitions for the others.
    pub expected: u32,
    /// The part as it is to be.
    pub part: StorePart,
}

/// A part of a store.
#[derive(Debug, Clone, PartialEq)]
pub enum StorePart {
    /// The identity resolution settings.
    Settings(IdentitySettings),
    /// A trait group, new or instead of the one of its name.
    Group(TraitGroup),
    /// The group of this name is to go.
    NoGroup(String),
}

/// How a conditional write of a definition ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// It was applied.
    Applied,
    /// It was not, and never will be.
    Refused,
    /// It may have been applied, now or at any later time: send the same again.
    Unknown,
}

/// Changes of stores and their definitions.
pub trait Definitions: Control {
    /// The key of page tokens. The same for ever.
    ///
    /// # Errors
    /// [`PortError`].
    fn token_key(&self) -> impl Future<Output = Result<TokenKey, PortError>> + Send;

    /// Reads the stores of an account.
    ///
    /// # Errors
    /// [`PortError`].
    fn account(
        &self,
        account: &AccountSid,
    ) -> impl Future<Output = Result<Account, PortError>> + Send;

    /// Replaces a row of an account.
    ///
    /// # Errors
    /// [`PortError`]: nothing was changed.
    fn write_account(
        &self,
        write: &AccountWrite,
    ) -> impl Future<Output = Result<Written, PortError>> + Send;

    /// Creates a store with everything in its record that its account does not name yet. Repeating it is safe.
    ///
    /// # Errors
    /// [`PortError`]: the effect is unknown; repeating is safe.
    fn make_store(
        &self,
        record: &StoreRecord,
    ) -> impl Future<Output = Result<Created, PortError>> + Send;

    /// Changes a part of a store.
    ///
    /// # Errors
    /// [`PortError`]: nothing was changed.
    fn write_store(
        &self,
        write: &StoreWrite,
    ) -> impl Future<Output = Result<Written, PortError>> + Send;

    /// An operation of this account; `None` if there is none, or none any more.
    ///
    /// # Errors
    /// [`PortError`].
    fn operation(
        &self,
        account: &AccountSid,
        operation: OperationId,
    ) -> impl Future<Output = Result<Option<Operation>, PortError>> + Send;

    /// Keeps an operation for [`KEPT_FOR`](kith_domain::operation::KEPT_FOR) from now on, instead of what was kept under its
    /// id. Of two at once, either stays.
    ///
    /// # Errors
    /// [`PortError`]: it may be kept; repeating is safe.
    fn put_operation(
        &self,
        account: &AccountSid,
        operation: &Operation,
    ) -> impl Future<Output = Result<(), PortError>> + Send;
}
