//! Stores with their settings and trait groups.

use kith_domain::id::{AccountSid, StoreId};
use kith_domain::identifier::ClaimSecret;
use kith_domain::schema::TraitGroup;
use kith_domain::store::StoreRecord;
use kith_profiles::error::PortError;
use kith_profiles::ports::{Control, Created};
use scylla::DeserializeRow;
use scylla::serialize::row::SerializeRow;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::outcome::Decision;
use crate::send::{Corrupt, corrupt, one_partition_batch};
use crate::session::Cql;
use crate::statements::{STORE_BATCH, Text};

/// What an entry that is a trait group is called: this, then its name. Other kinds of entries may come.
pub(crate) const GROUP: &str = "group/";

/// The status of a store that was deleted. Its partition has nothing else to say, but whose it was.
const DELETED: &str = "DELETED";

/// A row of `store_control`. Every row repeats the columns that the partition has once.
#[derive(DeserializeRow)]
struct StoreRow {
    entry: Option<String>,
    body: Option<String>,
    account: Option<String>,
    status: Option<String>,
    version: Option<i64>,
    display_name: Option<String>,
    description: Option<String>,
    claim_secret: Option<Vec<u8>>,
    settings: Option<String>,
    settings_version: Option<i64>,
    schema_version: Option<i64>,
}

impl Control for Cql {
    async fn store(&self, store: StoreId) -> Result<Option<StoreRecord>, PortError> {
        let prepared = &self.0.statements.store_read;
        let mut rows = Vec::new();
        self.pages(prepared, (store.as_uuid(),), |page| {
            for row in page.rows::<StoreRow>()? {
                rows.push(row?);
            }
            Ok(())
        })
        .await?;
        record(store, rows)
            .map_err(|Corrupt(detail)| corrupt(&prepared.text, format!("{store}: {detail}")))
    }

    /// The store comes first, with everything in it, then its name in the account. A crash between the two leaves a store
    /// that its account does not list; the repetition finds it there and lists it. In the other order a repetition with
    /// another account's record would list a store of somebody else, for only the store's own partition says whose it is.
    async fn create_store(&self, record: &StoreRecord) -> Result<Created, PortError> {
        let created = match self.try_create(record).await? {
            Decision::Applied => Created::Now,
            Decision::Refused(_) => Created::Already,
            Decision::Unknown => return Err(unclear(&STORE_BATCH)),
        };
        let ours = match created {
            Created::Now => true,
            Created::Already => {
                let there = self.store(record.id).await?;
                there.is_some_and(|there| there.account == record.account)
            }
        };
        if ours {
            self.name_in_account(record).await?;
        }
        Ok(created)
    }

    /// The store first, then its name in the account: a crash between the two leaves a name of nothing, which the
    /// repetition takes away.
    async fn delete_store(&self, account: &AccountSid, store: StoreId) -> Result<bool, PortError> {
        let statements = &self.0.statements;
        let prepared = &statements.store_delete;
        let values = (store.as_uuid(), account.as_str());
        let is_done = match self.attempt(prepared, values).await {
            Decision::Applied => true,
            Decision::Refused(_) => false,
            Decision::Unknown => return Err(unclear(&prepared.text)),
        };
        let prepared = &statements.account_forget;
        let values = (account.as_str(), store.as_uuid());
        match self.attempt(prepared, values).await {
            Decision::Applied | Decision::Refused(_) => Ok(is_done),
            Decision::Unknown => Err(unclear(&prepared.text)),
        }
    }

    async fn is_deleted(&self, store: StoreId) -> Result<bool, PortError> {
        let status = self
            .one::<(Option<String>,)>(&self.0.statements.store_status, (store.as_uuid(),))
            .await?;
        Ok(status.is_some_and(|(status,)| status.as_deref() == Some(DELETED)))
    }
}

impl Cql {
    /// One statement on one partition. Every part of it has a condition of the same kind, since Cassandra takes no mixture.
    pub(crate) async fn try_create(&self, record: &StoreRecord) -> Result<Decision, PortError> {
        let statements = &self.0.statements;
        let mut batch = one_partition_batch();
        let mut values: Vec<Box<dyn SerializeRow + Send + Sync>> = Vec::new();
        batch.append_statement(statements.store_create.statement.clone());
        values.push(Box::new((
            record.account.as_str().to_owned(),
            plain_text(&record.status)?,
            i64::from(record.version),
            record.display_name.clone(),
            record.description.clone(),
            record.claim_secret.expose().to_vec(),
            json(&record.settings)?,
            i64::from(record.settings_version),
            i64::from(record.schema_version),
            record.id.as_uuid(),
        )));
        for group in &record.groups {
            batch.append_statement(statements.group_create.statement.clone());
            values.push(Box::new((
                json(group)?,
                record.id.as_uuid(),
                format!("{GROUP}{}", group.name),
            )));
        }
        Ok(self.attempt_batch(&STORE_BATCH, batch, values).await)
    }

    async fn name_in_account(&self, record: &StoreRecord) -> Result<(), PortError> {
        let prepared = &self.0.statements.account_name;
        let values = (
            &record.display_name,
            &record.description,
            i64::from(record.version),
            record.account.as_str(),
            record.id.as_uuid(),
        );
        match self.attempt(prepared, values).await {
            Decision::Applied | Decision::Refused(_) => Ok(()),
            Decision::Unknown => Err(unclear(&prepared.text)),
        }
    }
}

pub(crate) fn unclear(text: &Text) -> PortError {
    // The cause was logged where it was met.
    PortError::Unavailable {
        operation: text.label,
        cause: None,
    }
}

fn record(id: StoreId, rows: Vec<StoreRow>) -> Result<Option<StoreRecord>, Corrupt> {
    let mut groups = Vec::new();
    let mut head = None;
    for mut row in rows {
        if let (Some(entry), Some(body)) = (&row.entry, row.body.take())
            && entry.starts_with(GROUP)
        {
            groups.push(from_json::<TraitGroup>("trait group", &body)?);
        }
        head = Some(row);
    }
    let Some(StoreRow {
        account: Some(account),
        status,
        version,
        display_name,
        description,
        claim_secret,
        settings,
        settings_version,
        schema_version,
        ..
    }) = head
    else {
        // No row, or rows of a store that was never made: only the creation writes the account.
        return Ok(None);
    };
    if status.as_deref() == Some(DELETED) {
        return Ok(None);
    }
    groups.sort_by(|a, b| (a.created_at, &a.name).cmp(&(b.created_at, &b.name)));
    let secret: [u8; 32] = there("claim secret", claim_secret)?
        .try_into()
        .map_err(|_| Corrupt("the claim secret is not 32 bytes long".to_owned()))?;
    Ok(Some(StoreRecord {
        id,
        account: account.parse()?,
        display_name: there("display name", display_name)?,
        description,
        status: from_plain_text("status", there("status", status)?)?,
        version: count("version", version)?,
        settings: from_json("settings", &there("settings", settings)?)?,
        settings_version: count("settings version", settings_version)?,
        schema_version: count("schema version", schema_version)?,
        claim_secret: ClaimSecret::from_bytes(secret),
        groups,
        places: Default::default(),
    }))
}

fn there<T>(what: &str, value: Option<T>) -> Result<T, Corrupt> {
    value.ok_or_else(|| Corrupt(format!("no {what}")))
}

pub(crate) fn count(what: &str, value: Option<i64>) -> Result<u32, Corrupt> {
    u32::try_from(there(what, value)?).map_err(|_| Corrupt(format!("{what} out of range")))
}

/// What JSON calls wrong is named by its class and place only: the text itself may quote what a customer wrote.
pub(crate) fn from_json<T: DeserializeOwned>(what: &str, text: &str) -> Result<T, Corrupt> {
    serde_json::from_str(text).map_err(|e| {
        Corrupt(format!(
            "{what}: {:?} at column {}",
            e.classify(),
            e.column()
        ))
    })
}

fn from_plain_text<T: DeserializeOwned>(what: &str, text: String) -> Result<T, Corrupt> {
    serde_json::from_value(serde_json::Value::String(text))
        .map_err(|_| Corrupt(format!("unknown {what}")))
}

pub(crate) fn json(value: &impl Serialize) -> Result<String, PortError> {
    serde_json::to_string(value).map_err(|e| PortError::fatal(STORE_BATCH.label, e))
}

/// A value whose JSON is one word, without its quotes.
fn plain_text(value: &impl Serialize) -> Result<String, PortError> {
    json(value).map(|text| text.trim_matches('"').to_owned())
}
