//! The deletion of a store: in force at once, purged when nobody can write to it any more.
//!
//! A process that read the store a moment before its deletion goes on with it until its catalogue looks again, and whatever
//! began before that writes for as long as a request may. The purge is asked for after that, for what is written behind its
//! back would stay. Until it is, the account's row of the store says that it is owed: whoever meets an old debt pays it, be
//! it the process that starts again or any request of the account that reads its stores.

use std::time::Duration;

use kith_domain::event::Scope;
use kith_domain::id::{AccountSid, OperationId, RequestId, StoreId};
use kith_domain::operation::Operation;

use super::{Refusable, Refusal, Tried, row_of};
use crate::Profiles;
use crate::catalog;
use crate::environment::{Deadline, Environment};
use crate::error::Trouble;
use crate::ports::{Account, AccountStore, Clock, Control, Definitions, TraitLog};
use crate::purge::purge_record;

/// How old a debt is when others than the process of the request pay it: far more than that process takes, and than clocks
/// of hosts differ.
const OVERDUE: Duration = Duration::from_secs(60);
/// What is left of a deletion has no request that waits for it; a try of it ends all the same.
const FINISHED_WITHIN: Duration = Duration::from_secs(10);

/// A store that is deleted and not purged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// Whose it was.
    pub account: AccountSid,
    /// Which.
    pub store: StoreId,
    /// The deletion.
    pub operation: OperationId,
}

impl<E: Environment<Database: Definitions>> Profiles<E> {
    /// Deletes a store. The caller sees to it that [`finish_deletion`](Self::finish_deletion) runs.
    ///
    /// # Errors
    /// [`Trouble`]: the effect is unknown. Sending the request again may find the store gone.
    pub async fn delete_store(
        &self,
        account: &AccountSid,
        store: StoreId,
        deadline: Deadline,
    ) -> Refusable<Ending> {
        let database = self.env.database();
        let mut operation = self.new_operation();
        // The debt first: what is deleted is owed a purge, whatever happens.
        loop {
            let known = database.account(account).await?;
            self.try_to_finish(account, &known).await;
            let Some(row) = row_of(&known, store).filter(|row| row.display_name.is_some()) else {
                return Ok(Err(Refusal::NoStore));
            };
            if let Some(earlier) = row.ending {
                // Of a deletion that did not come to its end, or is just about to.
                operation = earlier;
                break;
            }
            let row = AccountStore {
                ending: Some(operation),
                ..row.clone()
            };
            match self.replace(account, &known, row, deadline).await? {
                Tried::Applied => break,
                Tried::Refused | Tried::RefusedAfterUnknown => self.pause(deadline).await?,
            }
        }
        let now = self.env.clock().now()?;
        let deletion = Operation::deletion(operation, now, store);
        database.put_operation(account, &deletion).await?;
        database.delete_store(account, store).await?;
        self.catalog.forget(account, store);
        let ending = Ending {
            account: account.clone(),
            store,
            operation,
        };
        self.note(&ending, Some(operation), deadline).await?;
        Ok(Ok(ending))
    }

    /// What a deletion leaves to be done: once nobody can use the store any more, asks for its purge and completes the
    /// operation. `longest` is the longest that a request which has the store may write.
    ///
    /// # Errors
    /// [`Trouble`]: the debt stays. Doing it again is safe.
    pub async fn finish_deletion(&self, ending: &Ending, longest: Duration) -> Result<(), Trouble> {
        self.env.clock().sleep(catalog::FRESH_FOR + longest).await;
        self.finish(ending).await
    }

    /// Pays the old debts of an account: of deletions whose process died. When to come again, if there are younger ones.
    ///
    /// # Errors
    /// [`Trouble`]: some are still owed.
    pub async fn finish_deletions(
        &self,
        account: &AccountSid,
    ) -> Result<Option<Duration>, Trouble> {
        let known = self.env.database().account(account).await?;
        self.finish_overdue(account, &known).await
    }

    /// The same for a request that met them on its way, and is about something else: what cannot be paid now stays.
    pub(super) async fn try_to_finish(&self, account: &AccountSid, known: &Account) {
        drop(self.finish_overdue(account, known).await);
    }

    async fn finish_overdue(
        &self,
        account: &AccountSid,
        known: &Account,
    ) -> Result<Option<Duration>, Trouble> {
        let mut next: Option<Duration> = None;
        for row in &known.stores {
            let Some(operation) = row.ending else {
                continue;
            };
            let age = self.env.clock().now()?.since(operation.created_at());
            if age < OVERDUE {
                let left = OVERDUE - age;
                next = Some(next.map_or(left, |next| next.max(left)));
                continue;
            }
            let ending = Ending {
                account: account.clone(),
                store: row.store,
                operation,
            };
            if self.env.database().is_deleted(row.store).await? {
                self.finish(&ending).await?;
            } else {
                // It was announced, and never came: nothing is owed.
                let deadline = self.env.deadline_in(FINISHED_WITHIN);
                self.forgive(&ending, deadline).await?;
            }
        }
        Ok(next)
    }

    async fn finish(&self, ending: &Ending) -> Result<(), Trouble> {
        let (env, database) = (&*self.env, self.env.database());
        let request = RequestId::from_uuid(ending.operation.as_uuid());
        let record = purge_record(ending.store, Scope::Store(None), request);
        env.log().publish(record).await?;
        let found = database
            .operation(&ending.account, ending.operation)
            .await?;
        if let Some(operation) = found {
            let done = operation.done(env.clock().now()?);
            database.put_operation(&ending.account, &done).await?;
        }
        self.note(ending, None, env.deadline_in(FINISHED_WITHIN))
            .await
    }

    /// Says in the account that the store is deleted, and whether its purge is owed.
    async fn note(
        &self,
        ending: &Ending,
        owed: Option<OperationId>,
        deadline: Deadline,
    ) -> Result<(), Trouble> {
        self.rewrite(ending, deadline, |row| {
            (row.ending != owed || row.display_name.is_some()).then_some(AccountStore {
                store: row.store,
                display_name: None,
                description: None,
                version: 0,
                ending: owed,
            })
        })
        .await
    }

    /// Takes back that a store was to be deleted.
    async fn forgive(&self, ending: &Ending, deadline: Deadline) -> Result<(), Trouble> {
        self.rewrite(ending, deadline, |row| {
            (row.ending == Some(ending.operation)).then(|| AccountStore {
                ending: None,
                ..row.clone()
            })
        })
        .await
    }

    /// Changes the row of a store until there is nothing to be changed.
    async fn rewrite(
        &self,
        ending: &Ending,
        deadline: Deadline,
        change: impl Fn(&AccountStore) -> Option<AccountStore> + Send,
    ) -> Result<(), Trouble> {
        loop {
            let known = self.env.database().account(&ending.account).await?;
            // No row at all: somebody else has paid.
            let Some(row) = row_of(&known, ending.store).and_then(&change) else {
                return Ok(());
            };
            match self.replace(&ending.account, &known, row, deadline).await? {
                Tried::Applied => return Ok(()),
                Tried::Refused | Tried::RefusedAfterUnknown => self.pause(deadline).await?,
            }
        }
    }
}
