//! The stages in order, and the types between them.
//!
//! ```text
//! poll ──LogRecord──▶ decode ──Decoded──▶ apply ──ProfileWrite──▶ persist ──positions──▶ commit
//!                        ├────PurgeWork──▶ purge ───────────────────positions────────────┤
//!                        └─────Letter───▶ dead_letter ──────────────positions────────────┘
//! ```
//!
//! A stage is done (`Ok`), or says one of three other things ([`Otherwise`]). It never waits by itself and never tries
//! again by itself: the pipeline does, for all of them alike.

use kith_domain::event::EventError;
use kith_profiles::error::PortError;

use crate::error::WorkerError;

pub(crate) mod apply;
pub(crate) mod commit;
pub(crate) mod dead_letter;
pub(crate) mod decode;
pub(crate) mod persist;
pub(crate) mod poll;
pub(crate) mod purge;

/// What a stage says when it is not done.
#[derive(Debug)]
pub(crate) enum Otherwise {
    /// A dependency is out of reach. The same work is done again later, for as long as it takes; it is never given up for
    /// that, and no offset moves over it.
    TryLater(std::sync::Arc<dyn std::error::Error + Send + Sync>),
    /// No retry can make this record good.
    BadRecord(EventError),
    /// The process has to end.
    Stop(WorkerError),
}

impl Otherwise {
    /// What the error of a port means to a stage.
    pub(crate) fn from_port(stage: &'static str, error: PortError) -> Self {
        match error {
            PortError::Unavailable { .. } => Self::TryLater(std::sync::Arc::new(error)),
            cause @ (PortError::Corrupt { .. } | PortError::Fatal { .. }) => {
                Self::Stop(WorkerError::Engine { stage, cause })
            }
        }
    }
}
