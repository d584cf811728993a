//! Log lines as JSON: one object a line that reads alone.
//!
//! Our own, because the stock formatter knows nothing of traces: each line has `trace_id` and `span_id` of the current
//! context, so that one id finds the answer, the record, and every line about it. Fields of the event come at the top
//! level; those of the spans around it are in `spans`, outermost first.

use std::fmt::{self, Write as _};

use opentelemetry::Context;
use opentelemetry::trace::TraceContextExt as _;
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::span::Record;
use tracing::{Event, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// Keys that a line has by itself; a field of this name gets an underscore.
const RESERVED: [&str; 6] = [
    "timestamp",
    "level",
    "target",
    "trace_id",
    "span_id",
    "spans",
];

/// The formatter. Wants [`SpanFields`] for the fields of spans.
#[derive(Debug, Clone, Copy)]
pub(super) struct JsonLines;

impl<S> FormatEvent<S, SpanFields> for JsonLines
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, SpanFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Written::new(&RESERVED);
        event.record(&mut fields);

        let mut line = String::with_capacity(256);
        line.push_str("{\"timestamp\":\"");
        SystemTime.format_time(&mut Writer::new(&mut line))?;
        let metadata = event.metadata();
        write!(line, "\",\"level\":\"{}\",\"target\":", metadata.level())?;
        let target = fields.log_target.as_deref().unwrap_or(metadata.target());
        write!(line, "{}", Value::from(target))?;
        line.push_str(&fields.text);

        Context::map_current(|context| {
            let span = context.span();
            let own = span.span_context();
            if own.is_valid() {
                write!(
                    line,
                    ",\"trace_id\":\"{}\",\"span_id\":\"{}\"",
                    own.trace_id(),
                    own.span_id()
                )
            } else {
                Ok(())
            }
        })?;

        if let Some(scope) = context.event_scope() {
            let mut separator = ",\"spans\":[";
            for span in scope.from_root() {
                write!(line, "{separator}{{\"name\":\"{}\"", span.name())?;
                separator = ",";
                let extensions = span.extensions();
                if let Some(written) = extensions.get::<FormattedFields<SpanFields>>() {
                    line.push_str(&written.fields);
                }
                line.push('}');
            }
            if separator == "," {
                line.push(']');
            }
        }
        writeln!(writer, "{line}}}")
    }
}

/// The fields of spans, in the form that lines take over as it is: `,"name":value`, one behind the other. The stock one reads
/// an object and writes it anew for every field that a span learns later, and each request learns some.
#[derive(Debug, Clone, Copy)]
pub(super) struct SpanFields;

impl<'writer> FormatFields<'writer> for SpanFields {
    fn format_fields<R: RecordFields>(
        &self,
        mut writer: Writer<'writer>,
        fields: R,
    ) -> fmt::Result {
        // Not into the writer: it begins with no room at all, and would grow for every piece.
        let mut written = Written::new(&[]);
        fields.record(&mut written);
        writer.write_str(&written.text)
    }

    fn add_fields(
        &self,
        current: &'writer mut FormattedFields<Self>,
        fields: &Record<'_>,
    ) -> fmt::Result {
        self.format_fields(current.as_writer(), fields)
    }
}

/// The fields of an event or a span, written as they come: every request has spans, and hardly any a line. Names are literals of
/// the source and need no escape.
struct Written {
    text: String,
    /// Names that get an underscore.
    reserved: &'static [&'static str],
    /// Where a line of the `log` crate came from; `tracing` itself calls all of them `log`.
    log_target: Option<String>,
}

impl Written {
    fn new(reserved: &'static [&'static str]) -> Self {
        Self {
            text: String::with_capacity(256),
            reserved,
            log_target: None,
        }
    }

    /// Begins a field, unless it is one of the `log` crate's own.
    fn begins(&mut self, name: &str) -> bool {
        let is_said = !name.starts_with("log.");
        if is_said {
            let underscore = if self.reserved.contains(&name) {
                "_"
            } else {
                ""
            };
            // Here and below: a formatter that fails writes less.
            let _ = write!(self.text, ",\"{underscore}{name}\":");
        }
        is_said
    }

    fn put(&mut self, field: &Field, value: impl fmt::Display) {
        if self.begins(field.name()) {
            let _ = write!(self.text, "{value}");
        }
    }

    fn put_text(&mut self, field: &Field, text: fmt::Arguments<'_>) {
        if field.name() == "log.target" {
            self.log_target = Some(text.to_string());
        } else if self.begins(field.name()) {
            self.text.push('"');
            let _ = Escaped(&mut self.text).write_fmt(text);
            self.text.push('"');
        }
    }
}

impl Visit for Written {
    fn record_f64(&mut self, field: &Field, value: f64) {
        // What is no number has no form, and is not said.
        if value.is_finite() {
            self.put(field, Value::from(value));
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put_text(field, format_args!("{value}"));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.put_text(field, format_args!("{}", with_causes(value)));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put_text(field, format_args!("{value:?}"));
    }
}

/// Writes text into a JSON string.
struct Escaped<'a>(&'a mut String);

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let is_plain = |byte| byte >= b' ' && byte != b'"' && byte != b'\\';
        if text.bytes().all(is_plain) {
            self.0.push_str(text);
        } else {
            let quoted = Value::from(text).to_string();
            self.0.push_str(&quoted[1..quoted.len() - 1]);
        }
        Ok(())
    }
}

/// An error, and what caused it.
fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // A formatter that fails writes less.
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}
