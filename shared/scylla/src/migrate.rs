//! Brings a keyspace to the tables that this version needs. From one job, never from the services.
//!
//! What to do is worked out from what is there: the keyspace, each table, each column that is missing is made, and the
//! version is recorded last. So it may be run again after any failure, on an empty cluster and on one of any earlier
//! version alike. Two at once are not guarded against: both products have had trouble with one table made twice at once.

use std::collections::BTreeSet;
use std::time::Duration;

use scylla::client::session::Session;
use scylla::errors::ExecutionError;
use scylla::serialize::row::SerializeRow;
use scylla::statement::unprepared::Statement;
use uuid::Uuid;

use crate::check::{self, COMPONENT};
use crate::config::{CqlConfig, Keyspace};
use crate::definitions::TOKEN_KEY;
use crate::error::{CheckError, MigrateError};
use crate::outcome::Answer;
use crate::schema::{Drift, Family, Place, SCHEMA_VERSION, TABLES, Table};
use crate::session::{open, profiles};
use crate::tls;

/// Sendings of one conditional statement. Each waits longer than the server does, so these are some twelve seconds.
const TRIES: usize = 5;

/// A change of the schema travels to every node, and is often the first thing that a cold cluster is asked for.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(60);

/// What a migration did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationReport {
    /// The version that was recorded before, if any was.
    pub from: Option<i32>,
    /// The version that is recorded now.
    pub to: i32,
    /// The statements that changed the schema, in order; none: everything was there.
    pub statements: Vec<String>,
}

/// Brings the keyspace to [`SCHEMA_VERSION`], or finds that it is there already.
///
/// # Errors
/// [`MigrateError`]. Whatever was done stays; running it again goes on from there.
pub async fn migrate(config: &CqlConfig) -> Result<MigrationReport, MigrateError> {
    config.validate()?;
    let session = open(config, tls::context(config)?).await?;
    let (configured, found) = (config.dialect, check::product(&session, config).await?);
    if found != configured {
        return Err(MigrateError::WrongDialect { configured, found });
    }
    let migration = Migration { session, config };
    migration.run().await
}

struct Migration<'c> {
    session: Session,
    config: &'c CqlConfig,
}

impl Migration<'_> {
    async fn run(&self) -> Result<MigrationReport, MigrateError> {
        let drift = check::drift(&self.session, self.config).await?;
        let from = self.refuse_newer(&drift).await?;
        let mut statements = Vec::new();
        let mut unfit = Vec::new();
        for drift in drift {
            match (drift.remedy(self.config), &drift) {
                (Some(statement), _) => statements.push(statement),
                (None, Drift::Version { .. }) => {}
                (None, _) => unfit.push(drift),
            }
        }
        if !unfit.is_empty() {
            return Err(MigrateError::Unfit {
                keyspace: self.config.keyspace.to_string(),
                drift: unfit,
            });
        }
        for statement in &statements {
            // The driver waits until all nodes have it.
            self.change(statement).await?;
        }
        let agreed = self.session.await_schema_agreement().await;
        agreed.map_err(|e| MigrateError::Agreement(Box::new(e)))?;

        self.warm_up().await?;
        self.make_token_key().await?;
        self.record(from).await?;
        let left = check::drift(&self.session, self.config).await?;
        if !left.is_empty() {
            return Err(MigrateError::Unfit {
                keyspace: self.config.keyspace.to_string(),
                drift: left,
            });
        }
        Ok(MigrationReport {
            from,
            to: SCHEMA_VERSION,
            statements,
        })
    }

    async fn refuse_newer(&self, drift: &[Drift]) -> Result<Option<i32>, MigrateError> {
        let absent: BTreeSet<_> = drift
            .iter()
            .filter_map(|drift| {
                if let Drift::NoTable { table } = drift {
                    Some(*table)
                } else {
                    None
                }
            })
            .collect();
        if absent.contains("schema_version") {
            return Ok(None);
        }
        let keyspace = &self.config.keyspace;
        let found = check::recorded_version(&self.session, keyspace)
            .await
            .map_err(|source| CheckError {
                keyspace: keyspace.to_string(),
                source,
            })?;
        match found {
            Some(found) if found > SCHEMA_VERSION => Err(MigrateError::Newer {
                keyspace: keyspace.to_string(),
                found,
                known: SCHEMA_VERSION,
            }),
            found => Ok(found),
        }
    }

    /// One conditional statement on each table that will see them, which changes nothing. ScyllaDB makes a hidden table for
    /// each on the first one, and that is better done here than by a thousand requests at once; and where conditional
    /// statements cannot work (tablets before 2025.4), this is where it shows.
    async fn warm_up(&self) -> Result<(), MigrateError> {
        for table in TABLES.iter().filter(|t| t.family == Family::Conditional) {
            let statement = throw_away(table, &self.config.keyspace);
            self.conditional(&statement, (), "a first conditional statement")
                .await?;
        }
        Ok(())
    }

    /// The key of page tokens: made once, and the same for ever. Refused: there is one.
    async fn make_token_key(&self) -> Result<(), MigrateError> {
        let statement = make_token_key(&self.config.keyspace);
        // 122 random bits at least in each half.
        let key = [Uuid::new_v4(), Uuid::new_v4()]
            .map(Uuid::into_bytes)
            .concat();
        self.conditional(
            &statement,
            (key, TOKEN_KEY),
            "making the key of page tokens",
        )
        .await
    }

    async fn record(&self, from: Option<i32>) -> Result<(), MigrateError> {
        if from == Some(SCHEMA_VERSION) {
            return Ok(());
        }
        let statement = record(&self.config.keyspace);
        let values = (SCHEMA_VERSION, COMPONENT, from);
        // Refused: another run recorded something since, or an earlier sending of this very statement did. The check that
        // follows judges what stands there.
        self.conditional(&statement, values, "recording the version")
            .await
    }

    async fn change(&self, text: &str) -> Result<(), MigrateError> {
        let mut statement = Statement::new(text);
        statement.set_request_timeout(Some(CHANGE_TIMEOUT));
        let result = self.session.query_unpaged(statement, ()).await;
        result.map(|_| ()).map_err(|e| failed(text, e))
    }

    async fn conditional(
        &self,
        text: &str,
        values: impl SerializeRow,
        what: &'static str,
    ) -> Result<(), MigrateError> {
        let mut statement = Statement::new(text);
        statement.set_execution_profile_handle(Some(profiles(self.config).conditional));
        let mut last = MigrateError::Unclear { statement: what };
        for _ in 0..TRIES {
            match self.session.query_unpaged(statement.clone(), &values).await {
                Ok(result) => {
                    if Answer::read(result).applied().is_some() {
                        return Ok(());
                    }
                }
                Err(error) => last = failed(text, error),
            }
        }
        Err(last)
    }
}

fn failed(statement: &str, source: ExecutionError) -> MigrateError {
    MigrateError::Statement {
        statement: statement.to_owned(),
        source: Box::new(source),
    }
}

fn record(keyspace: &Keyspace) -> String {
    format!("UPDATE {keyspace}.schema_version SET version = ? WHERE component = ? IF version = ?")
}

fn make_token_key(keyspace: &Keyspace) -> String {
    format!("UPDATE {keyspace}.secret SET value = ? WHERE name = ? IF value = null")
}

/// A conditional statement that can never be applied: it wants a row that nobody writes to hold a value that is not null.
fn throw_away(table: &Table, keyspace: &Keyspace) -> String {
    let literal = |cql_type| match cql_type {
        "uuid" => "00000000-0000-0000-0000-000000000000",
        "blob" => "0x00",
        "text" => "'throw-away'",
        "boolean" => "false",
        _ => "0",
    };
    let keys: Vec<_> = table
        .columns
        .iter()
        .filter(|c| matches!(c.place, Place::Partition | Place::Clustering))
        .map(|c| format!("{} = {}", c.name, literal(c.cql_type)))
        .collect();
    let column = table.columns.iter().find(|c| c.place == Place::Regular);
    let (name, value) = column.map_or(("", ""), |c| (c.name, literal(c.cql_type)));
    format!(
        "UPDATE {keyspace}.{} SET {name} = null WHERE {} IF {name} = {value}",
        table.name,
        keys.join(" AND ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statements::tests::breach;

    #[test]
    fn what_a_migration_writes_keeps_to_the_families() {
        let keyspace = Keyspace::default();
        assert_eq!(breach(&record(&keyspace)), None);
        assert_eq!(breach(&make_token_key(&keyspace)), None);
        for table in TABLES.iter().filter(|t| t.family == Family::Conditional) {
            let statement = throw_away(table, &keyspace);
            assert_eq!(breach(&statement), None, "{statement}");
            assert!(
                table.columns.iter().any(|c| c.place == Place::Regular),
                "{}",
                table.name
            );
        }
    }

    #[test]
    fn a_throw_away_statement_wants_what_is_not_there() {
        let node = TABLES.iter().find(|t| t.name == "node").unwrap();
        let nil = "00000000-0000-0000-0000-000000000000";
        assert_eq!(
            throw_away(node, &Keyspace::default()),
            format!(
                "UPDATE kith.node SET verdict = null WHERE store = {nil} AND profile = {nil} AND child = {nil} \
                 AND link_token = {nil} IF verdict = 'throw-away'"
            )
        );
    }
}
