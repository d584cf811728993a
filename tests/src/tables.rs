//! Every row of every table of a keyspace, and the write time of each of its cells, read in CQL and past the adapter.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::{Result, ensure};
use futures_util::TryStreamExt;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::statement::Statement;

use crate::servers::Place;

/// The rows of each table as JSON, with `writetime(column)` beside each column that has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tables(pub BTreeMap<String, BTreeSet<String>>);

/// A session of the test's own at a place.
///
/// # Errors
/// When no node is reached.
pub async fn session(place: &Place) -> Result<Session> {
    let nodes = SessionBuilder::new().known_nodes(&place.cql_nodes);
    Ok(nodes.build().await?)
}

/// Reads all of it. Nothing else may be under way.
///
/// # Errors
/// When a table cannot be read.
pub async fn dump(session: &Session, keyspace: &str) -> Result<Tables> {
    let mut columns: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let asked =
        "SELECT table_name, column_name, kind FROM system_schema.columns WHERE keyspace_name = ?";
    let found = session.query_unpaged(asked, (keyspace,)).await?;
    for row in found
        .into_rows_result()?
        .rows::<(String, String, String)>()?
    {
        let (table, column, kind) = row?;
        let of = columns.entry(table).or_default();
        of.push(column.clone());
        if kind == "regular" || kind == "static" {
            of.push(format!("writetime({column})"));
        }
    }
    ensure!(!columns.is_empty(), "there is no keyspace {keyspace}");
    let mut tables = BTreeMap::new();
    for (table, columns) in columns {
        let columns = columns.join(", ");
        let all = Statement::new(format!("SELECT JSON {columns} FROM {keyspace}.{table}"));
        let rows = session.query_iter(all.with_page_size(1_000), &[]).await?;
        let rows = rows.rows_stream::<(String,)>()?.map_ok(|(row,)| row);
        tables.insert(table, rows.try_collect().await?);
    }
    Ok(Tables(tables))
}

impl Tables {
    /// Reads all of a place, by a session of its own.
    ///
    /// # Errors
    /// As [`session`] and [`dump`].
    pub async fn of(place: &Place) -> Result<Self> {
        dump(&session(place).await?, &place.keyspace).await
    }

    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.values().map(BTreeSet::len).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many rows a table has.
    #[must_use]
    pub fn rows(&self, table: &str) -> usize {
        self.0.get(table).map_or(0, BTreeSet::len)
    }

    /// Checks that there is nothing else in `later`, to the cell.
    ///
    /// # Errors
    /// When there is; with how many rows of which table differ. Rows are personal data, and not shown.
    pub fn is(&self, later: &Self) -> Result<()> {
        let mut found = String::new();
        for table in self.0.keys().chain(later.0.keys()).collect::<BTreeSet<_>>() {
            let none = BTreeSet::new();
            let (ours, theirs) = (
                self.0.get(table).unwrap_or(&none),
                later.0.get(table).unwrap_or(&none),
            );
            let (gone, new) = (
                ours.difference(theirs).count(),
                theirs.difference(ours).count(),
            );
            if gone + new > 0 {
                write!(found, " {table}: {gone} rows gone, {new} new;")?;
            }
        }
        ensure!(found.is_empty(), "the tables differ:{found}");
        Ok(())
    }
}
