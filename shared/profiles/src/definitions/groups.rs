//! Trait groups: created, changed and removed under the version of all definitions of the store.

use kith_domain::id::DefinitionId;
use kith_domain::operation::{Operation, Resource};
use kith_domain::schema::{CONTACT, GROUPS_MAX, GroupBody, GroupFault};
use kith_domain::store::StoreRecord;

use super::{Refusable, Refusal, Subject, Tried};
use crate::Profiles;
use crate::environment::Environment;
use crate::error::Trouble;
use crate::ports::{Clock, Definitions, Ids, StorePart, StoreWrite};

impl From<GroupFault> for Refusal {
    fn from(fault: GroupFault) -> Self {
        match fault {
            GroupFault::Invalid(errors) => Self::Invalid(errors),
            GroupFault::Full => Self::GroupFull,
            GroupFault::Protected => Self::Protected,
        }
    }
}

impl<E: Environment<Database: Definitions>> Profiles<E> {
    /// Creates a trait group.
    ///
    /// # Errors
    /// [`Trouble`]: the effect is unknown. Sending the request again may find the name taken, by the group it made.
    pub async fn create_group(&self, subject: &Subject, body: &GroupBody) -> Refusable<Operation> {
        let now = self.env.clock().now()?;
        let name = body.name.clone().unwrap_or_default();
        let plan = |record: &StoreRecord| {
            if record.group(&name).is_some() {
                return Err(Refusal::GroupNameTaken);
            }
            if record.groups.len() >= GROUPS_MAX {
                return Err(Refusal::GroupsMax);
            }
            let group = body.create(&record.settings, now, || self.new_definition())?;
            Ok(StorePart::Group(group))
        };
        self.change_groups(subject, &name, false, plan).await
    }

    /// Changes a trait group as the body says.
    ///
    /// # Errors
    /// [`Trouble`]: the effect is unknown.
    pub async fn update_group(
        &self,
        subject: &Subject,
        name: &str,
        body: &GroupBody,
    ) -> Refusable<Operation> {
        let plan = |record: &StoreRecord| {
            let before = record.group(name).ok_or(Refusal::NoGroup)?;
            subject.expected.check(before.version)?;
            let group = body.apply(before, &record.settings, || self.new_definition())?;
            Ok(StorePart::Group(group))
        };
        self.change_groups(subject, name, false, plan).await
    }

    /// Removes a trait group. Values of its traits cannot be seen from then on, and do not come back with the name.
    ///
    /// # Errors
    /// [`Trouble`]: the effect is unknown. Sending the request again may find the group gone.
    pub async fn delete_group(&self, subject: &Subject, name: &str) -> Refusable<Operation> {
        let plan = |record: &StoreRecord| {
            record.group(name).ok_or(Refusal::NoGroup)?;
            if name == CONTACT {
                return Err(Refusal::Protected);
            }
            Ok(StorePart::NoGroup(name.to_owned()))
        };
        self.change_groups(subject, name, true, plan).await
    }

    fn new_definition(&self) -> DefinitionId {
        DefinitionId::from_uuid(self.env.ids().random())
    }

    async fn change_groups(
        &self,
        subject: &Subject,
        name: &str,
        removes: bool,
        plan: impl Fn(&StoreRecord) -> Result<StorePart, Refusal> + Send,
    ) -> Refusable<Operation> {
        let (account, store) = (&subject.account, subject.store);
        loop {
            let Some(record) = self.record(account, store).await? else {
                return Ok(Err(Refusal::NoStore));
            };
            let part = match plan(&record) {
                Ok(part) => part,
                Err(refusal) => return Ok(Err(refusal)),
            };
            let write = StoreWrite {
                store,
                expected: record.schema_version,
                part,
            };
            if self.write(subject, &write).await? {
                break;
            }
            self.pause(subject.deadline).await?;
        }
        let resource = Resource::Group {
            store,
            name: name.to_owned(),
        };
        Ok(Ok(self.complete(account, resource, removes).await?))
    }

    /// Whether a part of a store is as it was to be. If not, somebody else was first.
    pub(super) async fn write(
        &self,
        subject: &Subject,
        write: &StoreWrite,
    ) -> Result<bool, Trouble> {
        let mut is_first = true;
        let tried = loop {
            let written = self.env.database().write_store(write).await?;
            if let Some(tried) = Tried::of(written, is_first) {
                break tried;
            }
            is_first = false;
            self.pause(subject.deadline).await?;
        };
        let is_there = match tried {
            Tried::Applied => true,
            Tried::Refused => false,
            Tried::RefusedAfterUnknown => {
                let record = self.record(&subject.account, subject.store).await?;
                record.is_some_and(|record| has(&record, write))
            }
        };
        // Whatever happened, somebody changed it.
        self.catalog.forget(&subject.account, subject.store);
        Ok(is_there)
    }
}

/// Whether a store has what a write was to put there.
fn has(record: &StoreRecord, write: &StoreWrite) -> bool {
    match &write.part {
        StorePart::Settings(settings) => {
            record.settings_version == write.expected + 1 && record.settings == *settings
        }
        // With its version and fresh ids it is that of this write, or equal to it.
        StorePart::Group(group) => record.group(&group.name) == Some(group),
        StorePart::NoGroup(name) => record.group(name).is_none(),
    }
}
