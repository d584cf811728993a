//! Errors of the ports, by what the caller can do about them.

use std::error::Error;
use std::sync::Arc;

/// The cause of an error, for the operator's log; shared because coalesced requests share their errors.
pub type Cause = Arc<dyn Error + Send + Sync>;

/// What went wrong behind a port.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PortError {
    /// Out of reach, overloaded or timed out. A plain write may have been applied. Trying again is safe.
    #[error("{operation}: unavailable")]
    Unavailable {
        /// What was tried: a name without personal data.
        operation: &'static str,
        /// Why, if known.
        #[source]
        cause: Option<Cause>,
    },
    /// A row that no code of ours could have written. Trying again will not help.
    #[error("{operation}: corrupt data: {detail}")]
    Corrupt {
        /// What was tried.
        operation: &'static str,
        /// Which row, by ids only.
        detail: String,
    },
    /// The engine is broken beyond repair within this process: it must end and start anew.
    #[error("{operation}: fatal")]
    Fatal {
        /// What was tried.
        operation: &'static str,
        /// Why, if known.
        #[source]
        cause: Option<Cause>,
    },
}

impl PortError {
    /// An [`PortError::Unavailable`] with its cause.
    pub fn unavailable(operation: &'static str, cause: impl Error + Send + Sync + 'static) -> Self {
        Self::Unavailable {
            operation,
            cause: Some(Arc::new(cause)),
        }
    }

    /// An [`PortError::Fatal`] with its cause.
    pub fn fatal(operation: &'static str, cause: impl Error + Send + Sync + 'static) -> Self {
        Self::Fatal {
            operation,
            cause: Some(Arc::new(cause)),
        }
    }
}

/// Why a record was not acknowledged.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PublishError {
    /// The queue in front of the log is full. The record was not taken.
    #[error("publish: queue full")]
    Full,
    /// The log does not take a record of this size. It was not taken, and never will be.
    #[error("publish: record too large")]
    TooLarge,
    /// Out of reach or too slow. The record may be there, or may yet appear.
    #[error("publish: unavailable")]
    Unavailable(#[source] Option<Cause>),
}

impl PublishError {
    /// The label of metrics for an outcome of publishing.
    #[must_use]
    pub const fn outcome(result: &Result<(), Self>) -> &'static str {
        match result {
            Ok(()) => "ok",
            Err(Self::Full) => "full",
            Err(Self::TooLarge) => "too_large",
            Err(Self::Unavailable(_)) => "unavailable",
        }
    }
}

/// The wall clock jumped, or runs ahead of the database: stamps would be wrong for ever, so none are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("wall clock cannot be trusted")]
pub struct ClockUnsound;

/// Why a use case could not do what was asked, although it was asked rightly.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Trouble {
    /// A port failed.
    #[error(transparent)]
    Port(#[from] PortError),
    /// The event could not be published.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// No stamp can be given.
    #[error(transparent)]
    Clock(#[from] ClockUnsound),
    /// The deadline passed: the effect is unknown, and a retry is safe.
    #[error("deadline passed while {during}")]
    Deadline {
        /// What was being tried.
        during: &'static str,
    },
}
