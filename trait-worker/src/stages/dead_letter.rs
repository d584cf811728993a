//! Dead letter: an invalid record kept as it was, with the reason, durable before its offset moves.

use std::sync::Arc;

use kith_domain::event::EventError;
use kith_profiles::error::PublishError;
use kith_profiles::ports::{DeadLetter, DeadLetters, LogRecord};

use super::Otherwise;
use crate::error::WorkerError;
use crate::ledger::Position;
use crate::trace::Trace;

/// The stage's name, in metrics and errors.
pub(crate) const STAGE: &str = "dead_letter";

/// A record that is invalid, with its bytes, key and headers.
#[derive(Debug)]
pub(crate) struct Letter {
    pub(crate) position: Position,
    pub(crate) record: LogRecord,
    pub(crate) error: EventError,
    /// What the record counts for in the budget.
    pub(crate) bytes: usize,
    pub(crate) trace: Trace,
}

/// Keeps the record. May be repeated: whoever reads dead letters knows each by its position.
pub(crate) async fn bury<L: DeadLetters>(
    letters: &L,
    topic: &str,
    letter: &Letter,
) -> Result<(), Otherwise> {
    let kept = DeadLetter {
        record: letter.record.clone(),
        topic: topic.to_owned(),
        reason: letter.error.reason(),
    };
    letters.bury(kept).await.map_err(|error| match error {
        PublishError::Full | PublishError::Unavailable(_) => Otherwise::TryLater(Arc::new(error)),
        // The letter topic's limit is below that of the trait log. Leaving the record out would lose it, and waiting would
        // look like an outage: only the operator can help.
        PublishError::TooLarge => Otherwise::Stop(WorkerError::DeadLetterTooLarge {
            partition: letter.position.partition.0,
            offset: letter.position.offset.as_i64(),
        }),
    })
}
