//! A span and a measure for each statement. No bound value ever gets into either.

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use tracing::{Instrument, Span, field};

use crate::error::StatementError;
use crate::statements::Text;

/// Seconds from sending a statement to its answer, the driver's retries included; each page of a long answer by itself. Labels: `operation` (the statement's
/// word), `collection` (its table), `outcome`: `ok` or `error`; of conditional ones `applied`, `refused` or `unknown`.
pub const STATEMENT_SECONDS: &str = "kith_db_statement_seconds";

/// Conditional statements whose effect stayed unknown: timeouts, contention that answers like one, broken connections.
/// Labels: `operation`, `collection`.
pub const UNKNOWN_OUTCOMES: &str = "kith_db_unknown_outcomes_total";

/// Tells the metrics recorder what the names mean.
pub(crate) fn describe() {
    metrics::describe_histogram!(
        STATEMENT_SECONDS,
        metrics::Unit::Seconds,
        "Seconds from sending a database statement to its answer"
    );
    metrics::describe_counter!(
        UNKNOWN_OUTCOMES,
        metrics::Unit::Count,
        "Conditional database statements whose effect stayed unknown"
    );
}

/// Shows the count of a conditional statement before it counts: one that appears with 1 has no rate.
pub(crate) fn show_unknown_outcomes(text: &Text) {
    metrics::counter!(UNKNOWN_OUTCOMES, "operation" => text.word, "collection" => text.table)
        .increment(0);
}

/// What all spans of a connection say.
#[derive(Debug, Clone)]
pub(crate) struct Telemetry {
    pub(crate) system: &'static str,
    pub(crate) namespace: Arc<str>,
}

impl Telemetry {
    /// Of a level that only traces take, and of those only sampled ones: log lines have nothing to say of it, and a request
    /// has several.
    fn span(&self, text: &Text) -> Span {
        tracing::debug_span!(
            "cql",
            otel.name = text.span,
            otel.kind = "client",
            otel.status_code = field::Empty,
            db.system.name = self.system,
            db.namespace = &*self.namespace,
            db.operation.name = text.verb,
            db.collection.name = text.table,
            kith.statement = text.word,
            "error.type" = field::Empty,
        )
    }

    /// Sends a read or a plain write.
    pub(crate) async fn plain<T>(
        &self,
        text: &Text,
        sending: impl Future<Output = Result<T, StatementError>> + Send,
    ) -> Result<T, StatementError> {
        let (span, start) = (self.span(text), Instant::now());
        let result = sending.instrument(span.clone()).await;
        let outcome = match &result {
            Ok(_) => "ok",
            Err(error) => {
                mark(&span, error.kind());
                "error"
            }
        };
        record(text, start, outcome);
        result
    }

    /// Sends a conditional statement. An answer that cannot be told apart is an error; every error is an unknown outcome,
    /// and this is where it is logged: the port has no place for the cause.
    pub(crate) async fn conditional<T>(
        &self,
        text: &Text,
        sending: impl Future<Output = Result<T, StatementError>> + Send,
        applied: impl FnOnce(&T) -> Option<bool>,
    ) -> Option<T> {
        let (span, start) = (self.span(text), Instant::now());
        let result = sending.instrument(span.clone()).await;
        let (kind, cause): (_, &dyn std::fmt::Display) = match &result {
            Ok(answer) => match applied(answer) {
                Some(applied) => {
                    record(text, start, if applied { "applied" } else { "refused" });
                    return result.ok();
                }
                None => ("bad_response", &"an answer without [applied]"),
            },
            Err(error) => (error.kind(), error),
        };
        mark(&span, kind);
        record(text, start, "unknown");
        metrics::counter!(UNKNOWN_OUTCOMES, "operation" => text.word, "collection" => text.table)
            .increment(1);
        span.in_scope(|| {
            tracing::warn!(
                statement = text.label,
                "error.type" = kind,
                cause = %cause,
                "outcome of conditional statement '{}' is unknown ({kind})", text.label
            );
        });
        None
    }
}

fn mark(span: &Span, kind: &'static str) {
    span.record("error.type", kind);
    span.record("otel.status_code", "ERROR");
}

fn record(text: &Text, start: Instant, outcome: &'static str) {
    metrics::histogram!(
        STATEMENT_SECONDS,
        "operation" => text.word,
        "collection" => text.table,
        "outcome" => outcome,
    )
    .record(start.elapsed().as_secs_f64());
}

#[cfg(test)]
mod tests;
