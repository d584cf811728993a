//! Whether the tables of a keyspace are those that this version needs. Reads only.

use std::collections::{BTreeMap, HashMap};

use scylla::client::session::Session;
use scylla::deserialize::row::DeserializeRow;
use scylla::serialize::row::SerializeRow;

use crate::config::{CqlConfig, Dialect, Keyspace};
use crate::error::{BoxedError, CheckError};
use crate::schema::{Column, Drift, SCHEMA_VERSION, TABLES};

/// The row of `schema_version` that speaks of all tables.
pub(crate) const COMPONENT: &str = "kith";

/// A column as `system_schema.columns` has it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct FoundColumn {
    place: String,
    position: i32,
    cql_type: String,
    order: String,
}

/// What is there.
#[derive(Debug, Default)]
struct Found {
    durable_writes: Option<bool>,
    columns: HashMap<String, BTreeMap<String, FoundColumn>>,
    /// By table; empty where the product has no such option.
    read_repair: HashMap<String, String>,
    version: Option<i32>,
}

/// Every way in which the keyspace differs from what this version needs; none: it fits. Tables and columns that are there
/// beside ours are nobody's business.
pub(crate) async fn drift(session: &Session, config: &CqlConfig) -> Result<Vec<Drift>, CheckError> {
    let found = read(session, config).await.map_err(|source| CheckError {
        keyspace: config.keyspace.to_string(),
        source,
    })?;
    Ok(compare(&found, config.dialect))
}

/// Which product answers: only `ScyllaDB` describes its tables in `scylla_tables`.
///
/// # Errors
/// [`CheckError`].
pub(crate) async fn product(session: &Session, config: &CqlConfig) -> Result<Dialect, CheckError> {
    let own: Result<Vec<(String,)>, BoxedError> = rows(
        session,
        "SELECT table_name FROM system_schema.tables WHERE keyspace_name = 'system_schema' \
         AND table_name = 'scylla_tables'",
        (),
    )
    .await;
    let own = own.map_err(|source| CheckError {
        keyspace: config.keyspace.to_string(),
        source,
    })?;
    Ok(if own.is_empty() {
        Dialect::Cassandra
    } else {
        Dialect::Scylla
    })
}

/// What version is recorded in the keyspace, if the tables are there at all.
pub(crate) async fn recorded_version(
    session: &Session,
    keyspace: &Keyspace,
) -> Result<Option<i32>, BoxedError> {
    let text =
        format!("SELECT version FROM {keyspace}.schema_version WHERE component = '{COMPONENT}'");
    let rows: Vec<(Option<i32>,)> = rows(session, text, ()).await?;
    Ok(rows.first().and_then(|(version,)| *version))
}

async fn read(session: &Session, config: &CqlConfig) -> Result<Found, BoxedError> {
    let name = config.keyspace.as_str();
    let mut found = Found::default();

    let keyspaces: Vec<(bool,)> = rows(
        session,
        "SELECT durable_writes FROM system_schema.keyspaces WHERE keyspace_name = ?",
        (name,),
    )
    .await?;
    let Some((durable,)) = keyspaces.first() else {
        return Ok(found);
    };
    found.durable_writes = Some(*durable);

    let columns: Vec<(String, String, String, i32, String, String)> = rows(
        session,
        "SELECT table_name, column_name, kind, position, type, clustering_order FROM system_schema.columns \
         WHERE keyspace_name = ?",
        (name,),
    )
    .await?;
    for (table, column, place, position, cql_type, order) in columns {
        let shape = FoundColumn {
            place,
            position,
            cql_type,
            order,
        };
        found
            .columns
            .entry(table)
            .or_default()
            .insert(column, shape);
    }

    if config.dialect == Dialect::Cassandra {
        let options: Vec<(String, String)> = rows(
            session,
            "SELECT table_name, read_repair FROM system_schema.tables WHERE keyspace_name = ?",
            (name,),
        )
        .await?;
        found.read_repair = options.into_iter().collect();
    }
    if found.columns.contains_key("schema_version") {
        found.version = recorded_version(session, &config.keyspace).await?;
    }
    Ok(found)
}

async fn rows<R>(
    session: &Session,
    text: impl Into<String>,
    values: impl SerializeRow,
) -> Result<Vec<R>, BoxedError>
where
    R: for<'f, 'm> DeserializeRow<'f, 'm>,
{
    let result = session
        .query_unpaged(text.into(), values)
        .await?
        .into_rows_result()?;
    let rows = result.rows::<R>()?.collect::<Result<Vec<_>, _>>()?;
    Ok(rows)
}

fn compare(found: &Found, dialect: Dialect) -> Vec<Drift> {
    let mut drift = Vec::new();
    match found.durable_writes {
        None => drift.push(Drift::NoKeyspace),
        Some(false) => drift.push(Drift::NotDurable),
        Some(true) => {}
    }
    for table in TABLES {
        let Some(columns) = found.columns.get(table.name) else {
            drift.push(Drift::NoTable { table: table.name });
            continue;
        };
        drift.extend(
            table
                .columns
                .iter()
                .enumerate()
                .filter_map(|(index, column)| {
                    compare_column(table.name, table.columns, index, columns.get(column.name))
                }),
        );
        if dialect == Dialect::Cassandra {
            let option = found.read_repair.get(table.name).map_or("", String::as_str);
            if !option.eq_ignore_ascii_case("BLOCKING") {
                drift.push(Drift::ReadRepair {
                    table: table.name,
                    found: format!("'{option}'"),
                });
            }
        }
    }
    if found.version.is_none_or(|version| version < SCHEMA_VERSION) {
        drift.push(Drift::Version {
            found: found.version,
            known: SCHEMA_VERSION,
        });
    }
    drift
}

fn compare_column(
    table: &'static str,
    columns: &[Column],
    index: usize,
    found: Option<&FoundColumn>,
) -> Option<Drift> {
    let column = columns[index];
    let Some(found) = found else {
        return Some(Drift::NoColumn {
            table,
            column: column.name,
        });
    };
    let before = columns[..index]
        .iter()
        .filter(|c| c.place == column.place)
        .count();
    // Static and regular columns have no position, which both products write as -1.
    let (position, order) = match column.place {
        crate::schema::Place::Partition => (i32::try_from(before).unwrap_or(i32::MAX), "none"),
        crate::schema::Place::Clustering => (i32::try_from(before).unwrap_or(i32::MAX), "asc"),
        crate::schema::Place::Static | crate::schema::Place::Regular => (-1, "none"),
    };
    let expected = FoundColumn {
        place: column.place.as_str().to_owned(),
        position,
        cql_type: column.cql_type.to_owned(),
        order: order.to_owned(),
    };
    (expected != *found).then(|| Drift::WrongColumn {
        table,
        column: column.name,
        expected: expected.describe(),
        found: found.describe(),
    })
}

impl FoundColumn {
    fn describe(&self) -> String {
        format!(
            "{} {} {} {}",
            self.cql_type, self.place, self.position, self.order
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Place;

    fn as_described(dialect: Dialect) -> Found {
        let mut found = Found {
            durable_writes: Some(true),
            version: Some(SCHEMA_VERSION),
            ..Found::default()
        };
        for table in TABLES {
            let mut counts = HashMap::new();
            for column in table.columns {
                let count = counts.entry(column.place.as_str()).or_insert(0);
                let keyed = matches!(column.place, Place::Partition | Place::Clustering);
                let shape = FoundColumn {
                    place: column.place.as_str().to_owned(),
                    position: if keyed { *count } else { -1 },
                    cql_type: column.cql_type.to_owned(),
                    order: if column.place == Place::Clustering {
                        "asc"
                    } else {
                        "none"
                    }
                    .to_owned(),
                };
                *count += 1;
                let columns = found.columns.entry(table.name.to_owned()).or_default();
                columns.insert(column.name.to_owned(), shape);
            }
            if dialect == Dialect::Cassandra {
                found
                    .read_repair
                    .insert(table.name.to_owned(), "BLOCKING".to_owned());
            }
        }
        found
    }

    #[test]
    fn what_is_described_fits() {
        for dialect in [Dialect::Scylla, Dialect::Cassandra] {
            assert_eq!(compare(&as_described(dialect), dialect), []);
        }
    }

    #[test]
    fn reads_that_are_not_monotone_are_found_on_cassandra() {
        let mut found = as_described(Dialect::Cassandra);
        found
            .read_repair
            .insert("node".to_owned(), "NONE".to_owned());
        assert_eq!(
            compare(&found, Dialect::Cassandra),
            [Drift::ReadRepair {
                table: "node",
                found: "'NONE'".to_owned()
            }]
        );
    }

    #[test]
    fn an_older_version_is_drift_and_a_newer_one_is_not() {
        let mut found = as_described(Dialect::Scylla);
        found.version = Some(SCHEMA_VERSION + 1);
        assert_eq!(compare(&found, Dialect::Scylla), []);
        found.version = None;
        assert_eq!(
            compare(&found, Dialect::Scylla),
            [Drift::Version {
                found: None,
                known: SCHEMA_VERSION
            }]
        );
    }

    #[test]
    fn missing_and_changed_columns_are_found() {
        let mut found = as_described(Dialect::Scylla);
        let claim = found.columns.get_mut("claim").unwrap();
        claim.remove("place");
        claim.get_mut("added_at").unwrap().cql_type = "text".to_owned();
        let drift = compare(&found, Dialect::Scylla);
        assert!(
            drift.contains(&Drift::NoColumn {
                table: "claim",
                column: "place"
            }),
            "{drift:?}"
        );
        assert!(
            matches!(
                &drift[..],
                [
                    Drift::WrongColumn {
                        column: "added_at",
                        ..
                    },
                    _
                ]
            ),
            "{drift:?}"
        );
    }

    #[test]
    fn nothing_at_all_is_a_missing_keyspace_and_missing_tables() {
        let drift = compare(&Found::default(), Dialect::Scylla);
        assert_eq!(drift[0], Drift::NoKeyspace);
        assert_eq!(drift.len(), 2 + TABLES.len());
    }
}
