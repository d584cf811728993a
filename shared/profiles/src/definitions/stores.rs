//! Creating stores, and changing their names and descriptions.

use kith_domain::id::{AccountSid, DefinitionId, StoreId};
use kith_domain::identifier::ClaimSecret;
use kith_domain::operation::{Operation, Resource};
use kith_domain::schema::contact_group;
use kith_domain::settings::IdentitySettings;
use kith_domain::store::{Places, STORES_MAX, StoreBody, StoreRecord, StoreStatus};
use kith_domain::time::Micros;

use super::{Refusable, Refusal, Subject, Tried, new_id, row_of};
use crate::Profiles;
use crate::environment::{Deadline, Environment};
use crate::error::Trouble;
use crate::ports::{Account, AccountStore, AccountWrite, Clock, Control, Definitions, Ids};

/// A new store: default settings, the `Contact` group, and a secret of its own.
#[must_use]
pub fn new_store(
    id: StoreId,
    account: AccountSid,
    display_name: String,
    description: Option<String>,
    now: Micros,
    ids: &impl Ids,
) -> StoreRecord {
    StoreRecord {
        id,
        account,
        display_name,
        description,
        status: StoreStatus::Active,
        version: 1,
        settings: IdentitySettings::default(),
        settings_version: 1,
        schema_version: 1,
        claim_secret: claim_secret(ids),
        groups: vec![contact_group(now, || DefinitionId::from_uuid(ids.random()))],
        places: Places::default(),
    }
}

/// A random id has 122 random bits at least; two halves of a secret make 244.
fn claim_secret(ids: &impl Ids) -> ClaimSecret {
    let mut secret = [0; 32];
    secret[..16].copy_from_slice(ids.random().as_bytes());
    secret[16..].copy_from_slice(ids.random().as_bytes());
    ClaimSecret::from_bytes(secret)
}

impl<E: Environment<Database: Definitions>> Profiles<E> {
    /// Creates a store, and names it in its account. A crash between the two leaves a store that nobody can name.
    ///
    /// # Errors
    /// [`Trouble`]: the effect is unknown. Sending the request again may find the name taken, by the store it made.
    pub async fn create_store(
        &self,
        account: &AccountSid,
        body: &StoreBody,
        deadline: Deadline,
    ) -> Refusable<Operation> {
        let (env, database) = (&*self.env, self.env.database());
        let id = StoreId::from_uuid(new_id(env.ids()));
        let name = body.display_name.clone().unwrap_or_default();
        let now = env.clock().now()?;
        let description = body.description.clone();
        let record = new_store(
            id,
            account.clone(),
            name.clone(),
            description,
            now,
            env.ids(),
        );
        let mut is_made = false;
        loop {
            let known = database.account(account).await?;
            self.try_to_finish(account, &known).await;
            if row_of(&known, id).is_some() {
                break;
            }
            if let Err(refusal) = room_for(&known, &name) {
                if is_made {
                    database.delete_store(account, id).await?;
                }
                return Ok(Err(refusal));
            }
            if !is_made {
                database.make_store(&record).await?;
                is_made = true;
            }
            let row = AccountStore {
                store: id,
                display_name: Some(name.clone()),
                description: body.description.clone(),
                version: 1,
                ending: None,
            };
            if self.replace(account, &known, row, deadline).await? == Tried::Applied {
                break;
            }
            self.pause(deadline).await?;
        }
        let resource = Resource::Store { store: id };
        Ok(Ok(self.complete(account, resource, false).await?))
    }

    /// Changes a store's name and description; what the body leaves out stays.
    ///
    /// # Errors
    /// [`Trouble`]: the effect is unknown.
    pub async fn update_store(&self, subject: &Subject, body: &StoreBody) -> Refusable<Operation> {
        let (account, store) = (&subject.account, subject.store);
        loop {
            let known = self.env.database().account(account).await?;
            let row = match changed(&known, subject, body) {
                Ok(row) => row,
                Err(refusal) => return Ok(Err(refusal)),
            };
            match self.replace(account, &known, row, subject.deadline).await? {
                Tried::Applied => break,
                Tried::Refused => self.pause(subject.deadline).await?,
                // It may have been applied, and changed again since: whoever asked decides what to do.
                Tried::RefusedAfterUnknown => {
                    return Err(Trouble::Deadline {
                        during: super::DURING,
                    });
                }
            }
        }
        self.catalog.forget(account, store);
        let resource = Resource::Store { store };
        Ok(Ok(self.complete(account, resource, false).await?))
    }

    /// Puts a row into an account that is as it was read.
    pub(super) async fn replace(
        &self,
        account: &AccountSid,
        known: &Account,
        row: AccountStore,
        deadline: Deadline,
    ) -> Result<Tried, Trouble> {
        let (env, database) = (&*self.env, self.env.database());
        let write = AccountWrite {
            account: account.clone(),
            expected: known.revision,
            revision: env.ids().random(),
            row,
        };
        let mut is_first = true;
        loop {
            let written = database.write_account(&write).await?;
            match Tried::of(written, is_first) {
                // The revision is of this write alone: lost to itself.
                Some(Tried::RefusedAfterUnknown)
                    if database.account(account).await?.revision == Some(write.revision) =>
                {
                    return Ok(Tried::Applied);
                }
                Some(tried) => return Ok(tried),
                None => {
                    is_first = false;
                    self.pause(deadline).await?;
                }
            }
        }
    }
}

/// Whether an account takes another store of this name.
fn room_for(account: &Account, name: &str) -> Result<(), Refusal> {
    let names = || {
        account
            .stores
            .iter()
            .filter_map(|row| row.display_name.as_deref())
    };
    if names().any(|other| other == name) {
        return Err(Refusal::StoreNameTaken);
    }
    if names().count() >= STORES_MAX {
        return Err(Refusal::StoresMax);
    }
    Ok(())
}

/// The row of a store after a change.
fn changed(
    account: &Account,
    subject: &Subject,
    body: &StoreBody,
) -> Result<AccountStore, Refusal> {
    let row = row_of(account, subject.store).filter(|row| row.display_name.is_some());
    let row = row.ok_or(Refusal::NoStore)?;
    subject.expected.check(row.version)?;
    let others = account
        .stores
        .iter()
        .filter(|other| other.store != row.store);
    if let Some(name) = &body.display_name
        && others
            .into_iter()
            .any(|other| other.display_name.as_ref() == Some(name))
    {
        return Err(Refusal::StoreNameTaken);
    }
    Ok(AccountStore {
        store: row.store,
        display_name: body
            .display_name
            .clone()
            .or_else(|| row.display_name.clone()),
        description: body.description.clone().or_else(|| row.description.clone()),
        version: row.version + 1,
        ending: row.ending,
    })
}
