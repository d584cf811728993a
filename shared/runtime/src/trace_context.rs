//! The trace of a request on its way through the log: W3C trace context in the headers of records.
//!
//! With export, contexts belong to spans, and entering a span makes its context the current one. Without export, and in a trace
//! that this process does not keep, there are no spans of OpenTelemetry, yet a trace that comes in has to come out: then the
//! incoming context itself is the current one for as long as the request is worked on ([`within`]), at the price of one
//! reference count. Always [`opentelemetry::Context::current`] is what goes into a record, and what the log lines show.

use std::future::Future;
use std::sync::LazyLock;

use actix_web::http::header::HeaderMap;
use bytes::Bytes;
use kith_profiles::ports::Header;
use opentelemetry::Context;
use opentelemetry::context::{FutureExt as _, WithContext};
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::TraceContextExt;
use opentelemetry_sdk::propagation::TraceContextPropagator;

use crate::telemetry::sampling::decided;

mod spans;
mod traced;

#[cfg(test)]
mod tests;

pub use spans::{failed, process_span};
pub use traced::TracedLog;

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";

static PROPAGATOR: LazyLock<TraceContextPropagator> = LazyLock::new(TraceContextPropagator::new);

/// The context that the headers of a record carry; an empty one if they carry none, or a malformed one. Of one that they carry it
/// is decided whether this process keeps its trace.
#[must_use]
pub fn from_record(headers: &[Header]) -> Context {
    let carried = PROPAGATOR.extract_with_context(&Context::new(), &RecordHeaders(headers));
    if carried.has_active_span() {
        decided(carried)
    } else {
        carried
    }
}

/// The context that the headers of an HTTP request carry; an empty one if they carry none, or a malformed one. It is decided
/// whether this process keeps its trace, or the one that begins here.
#[must_use]
pub fn from_request(headers: &HeaderMap) -> Context {
    decided(PROPAGATOR.extract_with_context(&Context::new(), &HttpHeaders(headers)))
}

/// Puts a context into the headers of a record, in place of one that they carry. An empty context changes nothing.
pub fn into_record(context: &Context, headers: &mut Vec<Header>) {
    if context.span().span_context().is_valid() {
        headers.retain(|(name, _)| !is_ours(name));
        PROPAGATOR.inject_context(context, &mut NewHeaders(headers));
    }
}

/// Works within a context: spans begun in it have it as parent, records published in it carry it, lines logged in it show
/// it. Give it what [`from_request`] or [`from_record`] found.
pub fn within<F: Future>(context: Context, work: F) -> WithContext<F> {
    work.with_context(context)
}

/// The value of the `traceresponse` header (W3C Trace Context, level 2) for the current span; `None` if it is not traced
/// by this process. Call it within the span of the request.
#[must_use]
pub fn traceresponse_header() -> Option<String> {
    Context::map_current(|context| {
        let span = context.span();
        let own = span.span_context();
        (own.is_valid() && !own.is_remote()).then(|| {
            format!(
                "00-{}-{}-{:02x}",
                own.trace_id(),
                own.span_id(),
                own.trace_flags().to_u8()
            )
        })
    })
}

fn is_ours(name: &str) -> bool {
    name.eq_ignore_ascii_case(TRACEPARENT) || name.eq_ignore_ascii_case(TRACESTATE)
}

struct RecordHeaders<'a>(&'a [Header]);

impl Extractor for RecordHeaders<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        let (_, value) = self
            .0
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(key))?;
        std::str::from_utf8(value).ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| name.as_str()).collect()
    }
}

struct HttpHeaders<'a>(&'a HeaderMap);

impl Extractor for HttpHeaders<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(|name| name.as_str()).collect()
    }
}

struct NewHeaders<'a>(&'a mut Vec<Header>);

impl Injector for NewHeaders<'_> {
    fn set(&mut self, key: &str, value: String) {
        // The propagator sets an empty tracestate when there is none.
        if !value.is_empty() {
            self.0.push((key.to_owned(), Bytes::from(value)));
        }
    }
}
