//! A database that has nothing of its own to do: what it compacts after one loop is not for the next to pay.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use scylla::client::session::Session;

/// What Cassandra compacts at the moment.
const TASKS: &str = "SELECT task_id FROM system_views.sstable_tasks";
/// One task may follow on another.
const LOOKS: u32 = 3;
const LOOK_EVERY: Duration = Duration::from_millis(40);
/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// Waits until nothing is compacted.
///
/// # Errors
/// When that takes too long, or the database is none of Cassandra's.
pub async fn calm(session: &Session) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let mut calm = 0;
    loop {
        let tasks = session.query_unpaged(TASKS, ()).await?;
        let tasks = tasks.into_rows_result()?.rows_num();
        calm = if tasks == 0 { calm + 1 } else { 0 };
        if calm == LOOKS {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "{tasks} tables are still compacted"
        );
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
