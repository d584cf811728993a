//! The trace that a record is worked on in.

use std::future::Future;

use kith_profiles::ports::LogRecord;
use kith_runtime::trace_context::{self, from_record, process_span, within};
use opentelemetry::Context;
use opentelemetry::trace::TraceContextExt as _;
use tracing::{Instrument as _, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::settings::Settings;

/// The consumer span of one record, open from its decoding until its outcome, and the context that it came in.
#[derive(Debug)]
pub(crate) struct Trace {
    span: Span,
    context: Context,
}

impl Trace {
    /// Begins the span: the child of the one that published the record.
    pub(crate) fn of(record: &LogRecord, settings: &Settings) -> Self {
        let context = from_record(&record.headers);
        let (topic, group) = (&settings.topic, &settings.group);
        let span = process_span(record, &context, topic, group, settings.system);
        Self { span, context }
    }

    /// Works within the span, so that what engines do hangs under it.
    pub(crate) fn around<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        within(self.context.clone(), work.instrument(self.span.clone()))
    }

    /// Logs within the span.
    pub(crate) fn scope(&self, log: impl FnOnce()) {
        let _attached = self.context.clone().attach();
        self.span.in_scope(log);
    }

    /// The record's traits are written with those of another record, in that one's trace: says so in this one.
    pub(crate) fn link_to(&self, other: &Self) {
        let context = other.span.context();
        let theirs = context.span().span_context().clone();
        if theirs.is_valid() {
            self.span.add_link(theirs);
        }
    }

    /// Marks the span as failed.
    pub(crate) fn failed(&self, error_type: &'static str) {
        trace_context::failed(&self.span, error_type);
    }
}
