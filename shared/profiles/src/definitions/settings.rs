//! Identity resolution settings: replaced whole. Profiles that are there are not resolved again.

use kith_domain::operation::{Operation, Resource};
use kith_domain::settings::IdentitySettings;

use super::{Refusable, Refusal, Subject};
use crate::Profiles;
use crate::environment::Environment;
use crate::ports::{Clock, Definitions, StorePart, StoreWrite};

impl<E: Environment<Database: Definitions>> Profiles<E> {
    /// Replaces the settings of a store.
    ///
    /// # Errors
    /// [`Trouble`](crate::error::Trouble): the effect is unknown.
    pub async fn replace_settings(
        &self,
        subject: &Subject,
        settings: &IdentitySettings,
    ) -> Refusable<Operation> {
        let (account, store) = (&subject.account, subject.store);
        let now = self.env.clock().now()?;
        loop {
            let Some(record) = self.record(account, store).await? else {
                return Ok(Err(Refusal::NoStore));
            };
            if let Err(refusal) = subject.expected.check(record.settings_version) {
                return Ok(Err(refusal));
            }
            let write = StoreWrite {
                store,
                expected: record.settings_version,
                part: StorePart::Settings(settings.clone().replacing(&record.settings, now)),
            };
            if self.write(subject, &write).await? {
                break;
            }
            self.pause(subject.deadline).await?;
        }
        let resource = Resource::Settings { store };
        Ok(Ok(self.complete(account, resource, false).await?))
    }
}
