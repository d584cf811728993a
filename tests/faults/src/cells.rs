//! Every cell of a keyspace with the time of its write, as text: for what must change nothing, not even by writing the same again
//! under another time.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use futures_util::TryStreamExt;
use kith_tests::servers::Place;
use scylla::client::session::Session;
use scylla::statement::Statement;

use crate::dump;

/// All rows of all tables.
///
/// # Errors
/// When one cannot be read.
pub async fn cells(place: &Place) -> Result<BTreeSet<String>> {
    let session = dump::session(place).await?;
    let mut tables: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let text = format!(
        "SELECT table_name, column_name, kind FROM system_schema.columns WHERE keyspace_name = '{}'",
        place.keyspace
    );
    let mut columns = session
        .query_iter(text, &[])
        .await?
        .rows_stream::<(String, String, String)>()?;
    while let Some((table, column, kind)) = columns.try_next().await? {
        let columns = tables.entry(table).or_default();
        columns.push(column.clone());
        if matches!(kind.as_str(), "regular" | "static") {
            columns.push(format!("writetime({column})"));
        }
    }
    let mut cells = BTreeSet::new();
    for (table, columns) in &tables {
        read(&session, &place.keyspace, table, columns, &mut cells).await?;
    }
    Ok(cells)
}

async fn read(
    session: &Session,
    keyspace: &str,
    table: &str,
    columns: &[String],
    cells: &mut BTreeSet<String>,
) -> Result<()> {
    let columns = columns.join(", ");
    let text = format!("SELECT JSON {columns} FROM {keyspace}.{table}");
    let statement = Statement::new(text).with_page_size(1_000);
    let mut rows = session
        .query_iter(statement, &[])
        .await?
        .rows_stream::<(String,)>()?;
    while let Some((row,)) = rows.try_next().await? {
        cells.insert(format!("{table} {row}"));
    }
    Ok(())
}
