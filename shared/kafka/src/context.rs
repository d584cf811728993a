//! What the client library says on its own account: log lines and errors.

use std::sync::Arc;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use tokio::sync::watch;

use crate::metrics;

/// A line of the library's own log.
pub(crate) fn log(client: &'static str, level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error
        // A broker out of reach is an "error" line per try; what it means for us is said where it is handled.
        | RDKafkaLogLevel::Warning => {
            tracing::warn!(client, facility, message, "client library");
        }
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
            tracing::info!(client, facility, message, "client library");
        }
        RDKafkaLogLevel::Debug => tracing::debug!(client, facility, message, "client library"),
    }
}

/// An error that belongs to no call of ours.
pub(crate) fn note(client: &'static str, error: &KafkaError, reason: &str) {
    metrics::client_error(client, error);
    tracing::warn!(client, %error, reason, "client error");
}

/// What a producer has told.
#[derive(Debug, Clone, Default)]
pub(crate) struct ProducerState {
    /// It has its id from the cluster: the next record waits for nothing but its own acknowledgement.
    pub(crate) ready: bool,
    /// How many errors it reported. The event of a fatal one carries the code of its cause and nothing that says fatal, so
    /// whoever wants to know asks the client each time that this grows.
    errors: u64,
}

pub(crate) struct ProducerContext {
    pub(crate) state: Arc<watch::Sender<ProducerState>>,
}

impl ClientContext for ProducerContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log("producer", level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        note("producer", &error, reason);
        self.state.send_modify(|state| state.errors += 1);
    }

    /// The raw form, since one word of some kilobytes is all we want, and that once.
    fn stats_raw(&self, statistics: &[u8]) {
        if !self.state.borrow().ready && has_producer_id(statistics) {
            self.state.send_modify(|state| state.ready = true);
        }
    }
}

/// Whether statistics say that the idempotent producer has its id.
fn has_producer_id(statistics: &[u8]) -> bool {
    const ASSIGNED: &[u8] = br#""idemp_state": "Assigned""#;
    statistics
        .windows(ASSIGNED.len())
        .any(|window| window == ASSIGNED)
}
