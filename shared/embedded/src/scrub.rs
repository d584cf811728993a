//! Checks the tables that were too many to be checked before the engine opened.

use std::time::Duration;

use crate::audit::{Table, check_content};
use crate::engine::Shared;
use crate::error::{Failure, OpenError};

/// A pause after each table, so that reading them leaves the disk to others.
const PAUSE: Duration = Duration::from_millis(50);

/// Reads the tables one by one. A damaged one ends the engine: the next start says which file it is, and does not serve it.
pub(crate) fn run(shared: &Shared, tables: &[Table]) {
    for table in tables {
        if shared.queue.is_closed() {
            return;
        }
        match check_content(table) {
            Ok(()) => {}
            // Compaction has replaced it meanwhile.
            Err(_) if matches!(table.path.try_exists(), Ok(false)) => {}
            Err(OpenError::Io { file, source }) => {
                tracing::warn!(file = %file.display(), error = %source, "a table cannot be checked");
            }
            Err(error) => {
                shared.failure.set(Failure::new("check of tables", error));
                shared.queue.abandon();
                return;
            }
        }
        std::thread::park_timeout(PAUSE);
    }
    tracing::info!(tables = tables.len(), "all tables are as they were written");
}
