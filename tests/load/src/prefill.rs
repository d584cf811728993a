//! Puts a population into a database, through its ports: the rows that creates, merges and deletions leave, in the order in
//! which they are written, many people at a time.

mod plain;
mod rows;

use std::future::Future;
use std::time::Duration;

use anyhow::{Result, ensure};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use kith_domain::store::StoreRecord;
use kith_profiles::ports::{Conditional, Database, Durability, Outcome};

pub use plain::PlainWriter;

use crate::prefill::rows::Rows;

/// People whose rows go together.
const CHUNK: u64 = 256;
/// Chunks under way at once.
const CHUNKS_AT_ONCE: u64 = 4;
/// How often a write is tried.
const TRIES: u32 = 20;
/// Between two tries.
const PAUSE: Duration = Duration::from_secs(1);
/// Rows of a listing under way at once, of each chunk.
const ADDED_AT_ONCE: usize = 64;

/// How much of a person is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Everything: claims and cells, too.
    All,
    /// What a listing reads: its own rows, and nodes.
    Listed,
}

/// Writes the rows of tables that know conditional statements only.
pub trait Conditionals: Sync {
    /// Writes what these statements write. No two of them are about one row.
    ///
    /// # Errors
    /// When one is not applied.
    fn write(&self, statements: &[Conditional]) -> impl Future<Output = Result<()>> + Send;
}

/// The port itself: every statement with its condition.
#[derive(Debug)]
pub struct ByTheirConditions<'a, D>(pub &'a D);

impl<D: Database> Conditionals for ByTheirConditions<'_, D> {
    async fn write(&self, statements: &[Conditional]) -> Result<()> {
        let outcomes = self.0.attempt(statements, Durability::Ordered).await;
        let refused = outcomes.iter().find(|one| **one != Outcome::Applied);
        ensure!(
            refused.is_none(),
            "a statement was not applied: {refused:?}"
        );
        Ok(())
    }
}

/// Writes people `0..profiles` of a store.
///
/// # Errors
/// When a write fails.
pub async fn prefill<D: Database>(
    database: &D,
    conditionals: &impl Conditionals,
    store: &StoreRecord,
    profiles: u64,
    extent: Extent,
) -> Result<()> {
    let chunks = (0..profiles.div_ceil(CHUNK)).map(|chunk| {
        let first = chunk * CHUNK;
        Rows::of(store, first..(first + CHUNK).min(profiles), extent)
    });
    stream::iter(chunks.map(|rows| write(database, conditionals, rows)))
        .buffer_unordered(usize::try_from(CHUNKS_AT_ONCE)?)
        .try_collect::<()>()
        .await?;
    // Nothing of it may be waiting for the disk when the measuring begins. The row is there already.
    Ok(database
        .add(rows::key(store.id, 0), Durability::Durable)
        .await?)
}

async fn write<D: Database>(
    database: &D,
    conditionals: &impl Conditionals,
    rows: Rows,
) -> Result<()> {
    conditionals.write(&rows.first).await?;
    conditionals.write(&rows.then).await?;
    patiently(|| database.write(&rows.cells, Durability::Ordered)).await?;
    stream::iter(rows.listed)
        .map(Ok)
        .try_for_each_concurrent(ADDED_AT_ONCE, |at| {
            patiently(move || database.add(at, Durability::Ordered))
        })
        .await?;
    patiently(|| database.purge(&rows.purged, rows.purged_at, Durability::Ordered)).await?;
    conditionals.write(&rows.last).await
}

/// Writes what can be written twice, again if a database that flushes and compacts does not answer in time.
async fn patiently<T, E, F>(mut write: impl FnMut() -> F) -> Result<T, E>
where
    F: Future<Output = Result<T, E>>,
{
    for _ in 1..TRIES {
        if let Ok(done) = write().await {
            return Ok(done);
        }
        tokio::time::sleep(PAUSE).await;
    }
    write().await
}
