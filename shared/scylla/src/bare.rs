//! The driver as this crate uses it, with nothing of this crate around it: for whoever measures how much of a request's time is
//! the database's and the driver's, and how much is ours.

use scylla::client::session::Session;
use scylla::statement::batch::Batch;
use scylla::statement::prepared::PreparedStatement;

use crate::config::CqlConfig;
use crate::error::ConnectError;
use crate::send::{PAGE_ROWS, one_partition_batch};
use crate::session::{open, profiles};
use crate::statements::{ALL, Profiles, prepare};
use crate::tls;

/// A session with the settings of [`Cql`](crate::Cql), and its statements.
#[derive(Debug)]
pub struct Bare {
    session: Session,
    config: CqlConfig,
    profiles: Profiles,
}

impl Bare {
    /// Connects; the tables are not looked at.
    ///
    /// # Errors
    /// [`ConnectError::Session`] if no node is reached.
    pub async fn open(config: &CqlConfig) -> Result<Self, ConnectError> {
        Ok(Self {
            session: open(config, tls::context(config)?).await?,
            config: config.clone(),
            profiles: profiles(config),
        })
    }

    /// The driver's session.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Prepares the statement that has these labels in [`STATEMENT_SECONDS`](crate::STATEMENT_SECONDS); `None` if there is
    /// none.
    ///
    /// # Errors
    /// [`ConnectError::Prepare`] if the server does not take it.
    pub async fn prepare(
        &self,
        operation: &str,
        collection: &str,
    ) -> Result<Option<PreparedStatement>, ConnectError> {
        let named = |text: &&_| is(text, operation, collection);
        let Some(text) = ALL.iter().find(named) else {
            return Ok(None);
        };
        let prepared = prepare(&self.session, &self.config.keyspace, &self.profiles, *text);
        let mut statement = prepared.await?.statement;
        statement.set_page_size(PAGE_ROWS);
        Ok(Some(statement))
    }

    /// An empty batch for rows of one profile's cells.
    #[must_use]
    pub fn cells_batch(&self) -> Batch {
        let mut batch = one_partition_batch();
        batch.set_is_idempotent(true);
        batch.set_execution_profile_handle(Some(self.profiles.plain.clone()));
        batch
    }
}

fn is(text: &crate::statements::Text, operation: &str, collection: &str) -> bool {
    text.word == operation && text.table == collection
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_name_one_statement() {
        for text in ALL {
            let same = ALL.iter().filter(|one| is(one, text.word, text.table));
            assert_eq!(same.count(), 1, "{}", text.label);
        }
    }
}
