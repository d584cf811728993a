//! The trait log, traced.

use kith_profiles::error::PublishError;
use kith_profiles::ports::{NewRecord, TraitLog};
use opentelemetry::Context;
use opentelemetry::trace::TraceContextExt;
use tracing::{Instrument as _, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::into_record;
use super::spans::{failed, send_span};

/// Publishes each record in a producer span, whose context travels in the record's headers. Engines measure how long it
/// takes.
#[derive(Debug, Clone)]
pub struct TracedLog<L> {
    inner: L,
    topic: String,
    system: &'static str,
}

impl<L> TracedLog<L> {
    /// Traces a log. `topic` is its name in spans; `system` is `kafka` or `kith`.
    pub fn new(inner: L, topic: impl Into<String>, system: &'static str) -> Self {
        Self {
            inner,
            topic: topic.into(),
            system,
        }
    }
}

impl<L: TraitLog> TraitLog for TracedLog<L> {
    async fn publish(&self, mut record: NewRecord) -> Result<(), PublishError> {
        let span = send_span(&self.topic, self.system);
        into_record(&context_of(&span), &mut record.headers);
        let result = self.inner.publish(record).instrument(span.clone()).await;
        match &result {
            Ok(()) => {}
            Err(PublishError::Full) => failed(&span, "full"),
            Err(PublishError::TooLarge) => failed(&span, "too_large"),
            Err(PublishError::Unavailable(_)) => failed(&span, "unavailable"),
        }
        result
    }
}

/// The context of a span, or without export the current one.
fn context_of(span: &Span) -> Context {
    let own = span.context();
    if own.has_active_span() {
        own
    } else {
        Context::current()
    }
}
