//! The definitions port: changes of stores, and operations.

use kith_domain::id::{AccountSid, OperationId, StoreId};
use kith_domain::operation::{KEPT_FOR, Operation};
use kith_domain::store::StoreRecord;
use kith_domain::time::Micros;
use kith_profiles::error::PortError;
use kith_profiles::ports::{
    Account, AccountStore, AccountWrite, Created, Definitions, Durability, StorePart, StoreWrite,
    TokenKey, Written,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::database::View;
use crate::engine::Embedded;
use crate::error::ReadError;
use crate::group::Group;
use crate::layout::{CorruptRow, Space, key};
use crate::telemetry::statement;

/// Expired operations that one new one takes away at most: more than it adds.
const EXPIRED_AT_ONCE: usize = 4;

const READ: &str = "read definitions";
const WRITE: &str = "write definitions";

/// What an account's row says of a store. No bytes at all: a name and nothing else, which the store's record has.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AccountRow {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    display_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ending: Option<OperationId>,
}

impl Definitions for Embedded {
    async fn token_key(&self) -> Result<TokenKey, PortError> {
        statement!("read", "control").run(|| {
            self.check(READ)?;
            let bytes = self.view().get(Space::Meta, key::TOKEN_KEY);
            let bytes = bytes.map_err(|error| error.port(READ))?;
            let key = bytes.and_then(|bytes| <[u8; 32]>::try_from(&*bytes).ok());
            key.map(TokenKey::from_bytes).ok_or(PortError::Corrupt {
                operation: READ,
                detail: "the key of page tokens".to_owned(),
            })
        })
    }

    async fn account(&self, account: &AccountSid) -> Result<Account, PortError> {
        statement!("read", "control").run(|| {
            self.check(READ)?;
            let view = self.view();
            let read = || {
                let revision = view.get(Space::Control, &key::account_revision(account))?;
                let revision = revision.map(|bytes| revision_of(&bytes)).transpose()?;
                Ok(Account {
                    revision,
                    stores: stores_of(&view, account)?,
                })
            };
            read().map_err(|error: ReadError| error.port(READ))
        })
    }

    async fn write_account(&self, write: &AccountWrite) -> Result<Written, PortError> {
        let write = write.clone();
        self.change(256, move |group| write_account(group, &write))
            .await
    }

    async fn make_store(&self, record: &StoreRecord) -> Result<Created, PortError> {
        let id = record.id;
        let json =
            serde_json::to_vec(record).map_err(|error| PortError::unavailable(WRITE, error))?;
        let bytes = json.len();
        self.change(bytes, move |group| make(group, id, json)).await
    }

    async fn write_store(&self, write: &StoreWrite) -> Result<Written, PortError> {
        let write = write.clone();
        self.change(4096, move |group| write_store(group, write))
            .await
    }

    async fn operation(
        &self,
        account: &AccountSid,
        operation: OperationId,
    ) -> Result<Option<Operation>, PortError> {
        let now = self.now();
        statement!("read", "control").run(|| {
            self.check(READ)?;
            let row = self
                .view()
                .get(Space::Control, &key::operation(account, operation));
            let row = row.map_err(|error| error.port(READ))?;
            let read = row.map(|bytes| kept(&bytes)).transpose();
            let read = read.map_err(|_| PortError::Corrupt {
                operation: READ,
                detail: operation.to_string(),
            })?;
            Ok(read
                .filter(|(until, _)| *until > now)
                .map(|(_, operation)| operation))
        })
    }

    async fn put_operation(
        &self,
        account: &AccountSid,
        operation: &Operation,
    ) -> Result<(), PortError> {
        let json =
            serde_json::to_vec(operation).map_err(|error| PortError::unavailable(WRITE, error))?;
        let (account, id) = (account.clone(), operation.id);
        self.change(json.len(), move |group| {
            let now = group.now;
            let rows = &mut group.staged;
            let oldest = rows.first(
                Space::Control,
                &key::account_operations(&account),
                EXPIRED_AT_ONCE,
            )?;
            for (key, value) in oldest {
                let (until, _) = kept(&value).map_err(ReadError::row(Space::Control))?;
                if until <= now {
                    rows.remove(Space::Control, key);
                }
            }
            let mut row = now.plus(KEPT_FOR).as_micros().to_be_bytes().to_vec();
            row.extend(json);
            rows.put(Space::Control, key::operation(&account, id), row);
            Ok(())
        })
        .await
    }
}

impl Embedded {
    async fn change<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce(&mut Group<'_>) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, PortError> {
        statement!("attempt", "control")
            .wait(async {
                self.submit(Durability::Durable, bytes, work)
                    .await
                    .map_err(|error| error.port(WRITE))?
                    .map_err(|error| error.port(WRITE))
            })
            .await
    }
}

impl From<StoreRecord> for AccountRow {
    fn from(record: StoreRecord) -> Self {
        Self {
            display_name: Some(record.display_name),
            description: record.description,
            version: record.version,
            ending: None,
        }
    }
}

/// The row that names a store as its record does.
pub(crate) fn named(record: &StoreRecord) -> Result<Vec<u8>, ReadError> {
    encoded(&AccountRow::from(record.clone()))
}

/// Stages the record of a store that is not there.
pub(crate) fn make(
    group: &mut Group<'_>,
    store: StoreId,
    json: Vec<u8>,
) -> Result<Created, ReadError> {
    let (rows, key) = (&mut group.staged, key::store(store));
    if rows.get(Space::Control, &key)?.is_some() {
        return Ok(Created::Already);
    }
    rows.put(Space::Control, key, json);
    Ok(Created::Now)
}

/// The stores of an account. Their ids sort by age, and so do the keys.
fn stores_of(view: &View, account: &AccountSid) -> Result<Vec<AccountStore>, ReadError> {
    let rows = view.prefix(Space::Control, &key::account_stores(account));
    rows.map(|row| {
        let (name, value) = row?;
        let corrupt = ReadError::row(Space::Control);
        let store = key::store_of_account(&name, account).map_err(corrupt)?;
        let row = if value.is_empty() {
            named_by_record(view, store)?
        } else {
            account_row(&value)?
        };
        Ok(AccountStore {
            store,
            display_name: row.display_name,
            description: row.description,
            version: row.version,
            ending: row.ending,
        })
    })
    .collect()
}

fn named_by_record(view: &View, store: StoreId) -> Result<AccountRow, ReadError> {
    let record = view.get(Space::Control, &key::store(store))?;
    let record: Option<StoreRecord> = record.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let record = record.ok_or_else(|| ReadError::row(Space::Control)(CorruptRow))?;
    Ok(record.into())
}

fn write_account(group: &mut Group<'_>, write: &AccountWrite) -> Result<Written, ReadError> {
    let (rows, revision) = (&mut group.staged, key::account_revision(&write.account));
    let found = rows.get(Space::Control, &revision)?;
    let found = found.map(|bytes| revision_of(&bytes)).transpose()?;
    if found != write.expected {
        return Ok(Written::Refused);
    }
    rows.put(Space::Control, revision, *write.revision.as_bytes());
    let AccountStore {
        store,
        display_name,
        description,
        version,
        ending,
    } = write.row.clone();
    let row = AccountRow {
        display_name,
        description,
        version,
        ending,
    };
    put_row(group, key::account_store(&write.account, store), &row)?;
    Ok(Written::Applied)
}

/// Takes the name of a store out of its account.
pub(crate) fn unname(
    group: &mut Group<'_>,
    store: StoreId,
    account: &AccountSid,
) -> Result<(), ReadError> {
    let key = key::account_store(account, store);
    let Some(bytes) = group.staged.get(Space::Control, &key)? else {
        return Ok(());
    };
    let ending = if bytes.is_empty() {
        None
    } else {
        account_row(&bytes)?.ending
    };
    let row = AccountRow {
        display_name: None,
        description: None,
        version: 0,
        ending,
    };
    put_row(group, key, &row)
}

/// The record of a store that is there and not deleted.
pub(crate) fn record(group: &Group<'_>, store: StoreId) -> Result<Option<StoreRecord>, ReadError> {
    let row = group.staged.get(Space::Control, &key::store(store))?;
    let row = row.filter(|row| !row.is_empty());
    row.map(|bytes| serde_json::from_slice(&bytes))
        .transpose()
        .map_err(|_| ReadError::row(Space::Control)(CorruptRow))
}

/// Without a name and an ending, a row is none.
fn put_row(group: &mut Group<'_>, key: Vec<u8>, row: &AccountRow) -> Result<(), ReadError> {
    if row.display_name.is_none() && row.ending.is_none() {
        group.staged.remove(Space::Control, key);
    } else {
        group.staged.put(Space::Control, key, encoded(row)?);
    }
    Ok(())
}

/// Looks whether bytes are an account's row of a store.
pub(crate) fn is_account_row(bytes: &[u8]) -> Result<(), CorruptRow> {
    if bytes.is_empty() {
        return Ok(());
    }
    account_row(bytes).map(drop).map_err(|_| CorruptRow)
}

fn account_row(bytes: &[u8]) -> Result<AccountRow, ReadError> {
    serde_json::from_slice(bytes).map_err(|_| ReadError::row(Space::Control)(CorruptRow))
}

fn write_store(group: &mut Group<'_>, write: StoreWrite) -> Result<Written, ReadError> {
    let Some(mut record) = record(group, write.store)? else {
        return Ok(Written::Refused);
    };
    let version = match &write.part {
        StorePart::Settings(_) => &mut record.settings_version,
        StorePart::Group(_) | StorePart::NoGroup(_) => &mut record.schema_version,
    };
    if *version != write.expected {
        return Ok(Written::Refused);
    }
    *version += 1;
    match write.part {
        StorePart::Settings(settings) => record.settings = settings,
        StorePart::NoGroup(name) => record.groups.retain(|group| group.name != name),
        StorePart::Group(group) => {
            let place = record.groups.iter().position(|old| old.name == group.name);
            match place {
                Some(place) => record.groups[place] = group,
                None => record.groups.push(group),
            }
            // As they are listed.
            record
                .groups
                .sort_by(|a, b| (a.created_at, &a.name).cmp(&(b.created_at, &b.name)));
        }
    }
    group
        .staged
        .put(Space::Control, key::store(write.store), encoded(&record)?);
    Ok(Written::Applied)
}

/// Until when an operation is kept, and the operation.
pub(crate) fn kept(bytes: &[u8]) -> Result<(Micros, Operation), CorruptRow> {
    let (until, json) = bytes.split_first_chunk().ok_or(CorruptRow)?;
    let operation = serde_json::from_slice(json).map_err(|_| CorruptRow)?;
    Ok((Micros::from_micros(i64::from_be_bytes(*until)), operation))
}

fn revision_of(bytes: &[u8]) -> Result<Uuid, ReadError> {
    Uuid::from_slice(bytes).map_err(|_| ReadError::row(Space::Control)(CorruptRow))
}

/// Never empty: a store's row without bytes means that the store was deleted.
fn encoded(value: &impl Serialize) -> Result<Vec<u8>, ReadError> {
    serde_json::to_vec(value).map_err(|_| ReadError::row(Space::Control)(CorruptRow))
}
