//! The spans of messaging, by OpenTelemetry's semantic conventions (`engineering.md` 3.5).

use kith_profiles::ports::LogRecord;
use opentelemetry::Context;
use opentelemetry::trace::TraceContextExt as _;
use tracing::{Span, debug_span, field, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The span of publishing one record: the child of the current span. Where no trace is kept there is none.
pub(super) fn send_span(topic: &str, system: &'static str) -> Span {
    debug_span!(
        "send",
        "otel.name" = format!("send {topic}"),
        "otel.kind" = "producer",
        "otel.status_code" = field::Empty,
        "messaging.system" = system,
        "messaging.operation.name" = "send",
        "messaging.operation.type" = "send",
        "messaging.destination.name" = topic,
        "error.type" = field::Empty,
    )
}

/// The span of working on one record: the child of the span that published it, in its trace, or a root if the record
/// carries no context. `context` is what [`from_record`](super::from_record) found; `system` is `kafka` or `kith`.
///
/// Instrument the work with it, and put that [`within`](super::within) the record's context, so that without export the
/// log lines show the trace all the same.
#[must_use]
pub fn process_span(
    record: &LogRecord,
    context: &Context,
    topic: &str,
    group: &str,
    system: &'static str,
) -> Span {
    // Where it is decided whether anybody wants the span.
    let _attached = context.clone().attach();
    let span = info_span!(
        parent: None,
        "process",
        "otel.name" = format!("process {topic}"),
        "otel.kind" = "consumer",
        "otel.status_code" = field::Empty,
        "messaging.system" = system,
        "messaging.operation.name" = "process",
        "messaging.operation.type" = "process",
        "messaging.destination.name" = topic,
        "messaging.destination.partition.id" = %record.partition.0,
        "messaging.kafka.offset" = record.offset.as_i64(),
        "messaging.consumer.group.name" = group,
        "error.type" = field::Empty,
    );
    if context.has_active_span() {
        // Fails without export, and where the trace is not kept: then there is nothing to connect.
        let _ = span.set_parent(context.clone());
    }
    span
}

/// Marks a span as failed. The type is a short label, not a text.
pub fn failed(span: &Span, error_type: &'static str) {
    span.record("error.type", error_type);
    span.record("otel.status_code", "ERROR");
}
