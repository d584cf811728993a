//! Decode: bytes into an event, or the reason why they are none. The only stage that may call a record bad.

use kith_domain::event::{Event, TraitEvent};
use kith_profiles::ports::LogRecord;

use super::Otherwise;
use crate::ledger::Position;
use crate::trace::Trace;

/// What a record takes beside its bytes while it is in flight: its span, its entry in the ledger, the parts of its event.
const RECORD_OVERHEAD_BYTES: usize = 512;

/// A trait event that was read, and what its record goes by from here on. The bytes of the record are gone.
#[derive(Debug)]
pub(crate) struct Decoded {
    pub(crate) position: Position,
    pub(crate) event: TraitEvent,
    pub(crate) bytes: usize,
    pub(crate) trace: Trace,
}

/// Reads the event of a record.
pub(crate) fn decode(record: &LogRecord) -> Result<Event, Otherwise> {
    Event::decode(&record.payload).map_err(Otherwise::BadRecord)
}

/// What a record counts for in the budget.
pub(crate) fn bytes_of(record: &LogRecord) -> usize {
    let headers: usize = record
        .headers
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    record.key.len() + record.payload.len() + headers + RECORD_OVERHEAD_BYTES
}
