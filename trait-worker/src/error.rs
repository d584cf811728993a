//! Why a worker ends before it is told to.

use kith_profiles::error::PortError;

pub use crate::ledger::LedgerError;

/// Why a worker stopped. The process ends with it, and starts anew from what was committed; nothing is lost.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// An engine is broken for good, or holds what no code of ours could have written.
    #[error("{stage}: an engine cannot go on")]
    Engine {
        /// The stage that met it.
        stage: &'static str,
        /// What the engine said.
        #[source]
        cause: PortError,
    },
    /// The bookkeeping of offsets is broken: a bug here or in the log's engine.
    #[error("the bookkeeping of offsets is broken")]
    Books(#[from] LedgerError),
    /// Too many of the last records were invalid ([`crate::InvalidMax`]): something was deployed that should not have been.
    #[error("more than {records} of the last {window} records were invalid")]
    TooManyInvalid {
        /// The limit.
        records: usize,
        /// The window.
        window: usize,
    },
    /// The dead letters do not take a record of this size: their limit must be above that of the trait log.
    #[error("record of partition {partition} at {offset}: too large for the dead letters")]
    DeadLetterTooLarge {
        /// The partition.
        partition: i32,
        /// The offset.
        offset: i64,
    },
}
