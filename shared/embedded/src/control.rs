//! The control port: stores with their settings and trait groups.

use kith_domain::id::{AccountSid, StoreId};
use kith_domain::store::StoreRecord;
use kith_profiles::error::PortError;
use kith_profiles::ports::{Control, Created, Durability};

use crate::definitions;
use crate::engine::Embedded;
use crate::error::ReadError;
use crate::group::Group;
use crate::layout::{Space, key};
use crate::telemetry::statement;

impl Control for Embedded {
    async fn store(&self, store: StoreId) -> Result<Option<StoreRecord>, PortError> {
        statement!("read", "control").run(|| {
            self.check("read control")?;
            self.view()
                .get(Space::Control, &key::store(store))
                .map_err(|error| error.port("read control"))?
                .filter(|bytes| !bytes.is_empty())
                .map(|bytes| {
                    serde_json::from_slice(&bytes).map_err(|_| PortError::Corrupt {
                        operation: "read control",
                        detail: format!("record of {store}"),
                    })
                })
                .transpose()
        })
    }

    async fn create_store(&self, record: &StoreRecord) -> Result<Created, PortError> {
        let (id, account) = (record.id, record.account.clone());
        let json = serde_json::to_vec(record)
            .map_err(|error| PortError::unavailable("create store", error))?;
        let named = definitions::named(record).map_err(|error| error.port("create store"))?;
        statement!("attempt", "control")
            .wait(async {
                let bytes = json.len();
                self.submit(Durability::Durable, bytes, move |group| {
                    create(group, id, &account, json, named)
                })
                .await
                .map_err(|error| error.port("create store"))?
                .map_err(|error| error.port("create store"))
            })
            .await
    }

    async fn delete_store(&self, account: &AccountSid, store: StoreId) -> Result<bool, PortError> {
        let account = account.clone();
        statement!("attempt", "control")
            .wait(async {
                self.submit(Durability::Durable, 64, move |group| {
                    delete(group, store, &account)
                })
                .await
                .map_err(|error| error.port("delete store"))?
                .map_err(|error| error.port("delete store"))
            })
            .await
    }

    async fn is_deleted(&self, store: StoreId) -> Result<bool, PortError> {
        statement!("read", "control").run(|| {
            self.check("read control")?;
            let row = self.view().get(Space::Control, &key::store(store));
            let row = row.map_err(|error| error.port("read control"))?;
            Ok(row.is_some_and(|bytes| bytes.is_empty()))
        })
    }
}

/// Stages the end of a store: an empty row stays in its place, so that the id is not used again.
fn delete(group: &mut Group<'_>, id: StoreId, account: &AccountSid) -> Result<bool, ReadError> {
    let record = definitions::record(group, id)?;
    if record.is_none_or(|record| record.account != *account) {
        return Ok(false);
    }
    group.staged.put(Space::Control, key::store(id), [0u8; 0]);
    definitions::unname(group, id, account)?;
    Ok(true)
}

/// Stages a store that is not there. Both rows are of one commit, so a store that is there is in its account, too.
fn create(
    group: &mut Group<'_>,
    id: StoreId,
    account: &AccountSid,
    json: Vec<u8>,
    named: Vec<u8>,
) -> Result<Created, ReadError> {
    let made = definitions::make(group, id, json)?;
    if made == Created::Now {
        let key = key::account_store(account, id);
        group.staged.put(Space::Control, key, named);
    }
    Ok(made)
}
