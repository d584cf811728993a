//! Changes of stores and their definitions, and operations.

use kith_domain::id::{AccountSid, OperationId, StoreId};
use kith_domain::operation::{KEPT_FOR, Operation};
use kith_domain::store::StoreRecord;
use kith_profiles::error::PortError;
use kith_profiles::ports::{
    Account, AccountStore, AccountWrite, Created, Definitions, StorePart, StoreWrite, TokenKey,
    Written,
};
use scylla::DeserializeRow;
use uuid::Uuid;

use crate::control::{GROUP, count, from_json, json, unclear};
use crate::outcome::Decision;
use crate::send::{Corrupt, corrupt};
use crate::session::Cql;
use crate::statements::STORE_BATCH;

/// What the key of page tokens is called among the secrets.
pub(crate) const TOKEN_KEY: &str = "page tokens";

/// A row of `account_store`. Every row repeats the revision, and an account without stores has one row of nothing else.
#[derive(DeserializeRow)]
struct AccountRow {
    store: Option<Uuid>,
    display_name: Option<String>,
    revision: Option<Uuid>,
    description: Option<String>,
    version: Option<i64>,
    ending: Option<Uuid>,
}

impl From<Decision> for Written {
    fn from(decision: Decision) -> Self {
        match decision {
            Decision::Applied => Self::Applied,
            Decision::Refused(_) => Self::Refused,
            Decision::Unknown => Self::Unknown,
        }
    }
}

impl Definitions for Cql {
    async fn token_key(&self) -> Result<TokenKey, PortError> {
        let prepared = &self.0.statements.secret_read;
        let row = self
            .one::<(Option<Vec<u8>>,)>(prepared, (TOKEN_KEY,))
            .await?;
        let bytes = row.and_then(|(value,)| value);
        let key = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        key.map(TokenKey::from_bytes)
            .ok_or_else(|| corrupt(&prepared.text, "the key of page tokens"))
    }

    async fn account(&self, account: &AccountSid) -> Result<Account, PortError> {
        let mut known = Account::default();
        let prepared = &self.0.statements.account_read;
        self.pages(prepared, (account.as_str(),), |page| {
            for row in page.rows::<AccountRow>()? {
                let row = row?;
                known.revision = row.revision;
                known.stores.extend(account_store(row)?);
            }
            Ok(())
        })
        .await?;
        // The table sorts by version first; ids sort by age.
        known.stores.sort_unstable_by_key(|row| row.store);
        Ok(known)
    }

    async fn write_account(&self, write: &AccountWrite) -> Result<Written, PortError> {
        let row = &write.row;
        // All columns null: no row is left of it.
        let version = row.display_name.as_ref().map(|_| i64::from(row.version));
        let values = (
            write.revision,
            &row.display_name,
            &row.description,
            version,
            row.ending.map(|operation| operation.as_uuid()),
            write.account.as_str(),
            row.store.as_uuid(),
            write.expected,
        );
        let decision = self.attempt(&self.0.statements.account_write, values).await;
        Ok(decision.into())
    }

    async fn make_store(&self, record: &StoreRecord) -> Result<Created, PortError> {
        match self.try_create(record).await? {
            Decision::Applied => Ok(Created::Now),
            Decision::Refused(_) => Ok(Created::Already),
            Decision::Unknown => Err(unclear(&STORE_BATCH)),
        }
    }

    async fn write_store(&self, write: &StoreWrite) -> Result<Written, PortError> {
        let statements = &self.0.statements;
        let (store, expected) = (write.store.as_uuid(), i64::from(write.expected));
        let next = expected + 1;
        let decision = match &write.part {
            StorePart::Settings(settings) => {
                let values = (json(settings)?, next, store, expected);
                self.attempt(&statements.settings_write, values).await
            }
            StorePart::Group(group) => {
                let entry = format!("{GROUP}{}", group.name);
                let values = (next, Some(json(group)?), store, entry, expected);
                self.attempt(&statements.group_write, values).await
            }
            StorePart::NoGroup(name) => {
                let values = (
                    next,
                    None::<String>,
                    store,
                    format!("{GROUP}{name}"),
                    expected,
                );
                self.attempt(&statements.group_write, values).await
            }
        };
        Ok(decision.into())
    }

    async fn operation(
        &self,
        account: &AccountSid,
        operation: OperationId,
    ) -> Result<Option<Operation>, PortError> {
        let prepared = &self.0.statements.operation_read;
        let row = self
            .one::<(Option<String>,)>(prepared, (account.as_str(), operation.as_uuid()))
            .await?;
        let body = row.and_then(|(body,)| body);
        let read = body.map(|body| from_json("operation", &body)).transpose();
        read.map_err(|Corrupt(detail)| corrupt(&prepared.text, format!("{operation}: {detail}")))
    }

    async fn put_operation(
        &self,
        account: &AccountSid,
        operation: &Operation,
    ) -> Result<(), PortError> {
        let written_at = operation.completed_at.unwrap_or(operation.created_at);
        let values = (
            account.as_str(),
            operation.id.as_uuid(),
            json(operation)?,
            written_at.as_micros(),
            i32::try_from(KEPT_FOR.as_secs()).unwrap_or(i32::MAX),
        );
        let prepared = &self.0.statements.operation_put;
        self.send(prepared, values).await.map(drop)
    }
}

fn account_store(row: AccountRow) -> Result<Option<AccountStore>, Corrupt> {
    let Some(store) = row.store else {
        return Ok(None);
    };
    Ok(Some(AccountStore {
        store: StoreId::from_uuid(store),
        display_name: row.display_name,
        description: row.description,
        // Rows of the first version of these tables have a name and nothing else.
        version: row
            .version
            .map_or(Ok(1), |version| count("version", Some(version)))?,
        ending: row.ending.map(OperationId::from_uuid),
    }))
}
