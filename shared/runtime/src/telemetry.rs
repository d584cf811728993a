//! What a process tells about itself while it runs: log lines on standard error, and traces by OTLP if asked for.
//!
//! `RUST_LOG` chooses the log lines, `KITH_LOG_FORMAT` their form. Traces are exported when the standard `OTEL_*`
//! variables say so ([`export`]); otherwise OpenTelemetry is not in the way of anything. Export runs on a thread of its
//! own behind a queue that drops and counts when it is full: a collector that is slow or gone costs no request anything.
//!
//! Profile ids may appear in what is told; identifier values, trait values and bodies may not.

use std::env::VarError;
use std::io::IsTerminal as _;
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracerProvider, Tracer};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Dispatch, Level, Metadata, Subscriber, info, warn};
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::filter::{ParseError, Targets, dynamic_filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Filter, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use crate::config::{ConfigError, FromSetting, Settings, table::LOG_FORMAT};

mod drops;
pub mod export;
mod json;
mod panic;
pub mod sampling;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use export::Export;
use json::{JsonLines, SpanFields};
use sampling::{Traces, is_left_out};

/// What is logged if `RUST_LOG` does not say otherwise.
const DEFAULT_FILTER: &str = "info,actix_server=warn";
/// The target of lines that are written whatever `RUST_LOG` says of others: who changed what is not to be lost to a filter.
pub const AUDIT: &str = "kith::audit";
/// The SDK repeats each failed export as a log line; [`drops`] tells the first and counts the rest.
const SDK: &str = "opentelemetry";
/// Spans of these, and of what begins like them, would be of the export itself.
const NOT_TRACED: [&str; 6] = [SDK, "tonic", "h2", "hyper", "tower", "reqwest"];

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line, with the ids of the trace.
    Json,
    /// For reading at a terminal.
    Text,
}

impl FromSetting for LogFormat {
    fn from_setting(text: &str) -> Result<Self, String> {
        match text {
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            _ => Err("expected json or text".to_owned()),
        }
    }
}

/// The telemetry of a process.
#[derive(Debug)]
#[must_use = "shut it down, or the last spans are lost"]
pub struct Telemetry {
    provider: Option<SdkTracerProvider>,
}

impl Telemetry {
    /// Sets up logging, and export if it is asked for, for the whole process. Once, within the runtime. `service` is the
    /// name of the service unless `OTEL_SERVICE_NAME` gives another.
    ///
    /// # Errors
    /// Names the variable that is malformed, or asks for something that is not built in.
    pub fn init(settings: &Settings, service: &'static str) -> Result<Self, ConfigError> {
        let format: LogFormat = settings.get(&LOG_FORMAT)?;
        let filter = log_filter(&variable("RUST_LOG")?.unwrap_or_default())?;
        let export = Export::from_environment(&variable)?;
        let traces = export.map(|export| export.traces(service)).transpose()?;
        if traces.is_some() {
            opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
        }
        dispatch(format, filter, traces.as_ref(), std::io::stderr)
            .try_init()
            .map_err(|error| ConfigError::new(LOG_FORMAT.variable(), error))?;
        panic::install_hook();
        info!(service, export = traces.is_some(), "telemetry is set up");
        let provider = traces.map(|traces| traces.provider);
        Ok(Self { provider })
    }

    /// Exports what is left, for at most `limit`. As the last thing a process does; without export it does nothing.
    pub async fn shutdown(self, limit: Duration) {
        let Some(provider) = self.provider else {
            return;
        };
        // It blocks, and must not on the thread that drives the exporter's connection.
        let flush = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(limit));
        match tokio::time::timeout(limit, flush).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => warn!(%error, "the last spans could not be exported"),
            Ok(Err(_)) => warn!("the last spans could not be exported: flushing panicked"),
            Err(_) => warn!("the last spans could not be exported in time"),
        }
    }
}

/// A variable of the environment that the process shares with others: not one of ours, so not in the table.
fn variable(name: &str) -> Result<Option<String>, ConfigError> {
    match std::env::var(name) {
        Ok(text) => Ok(Some(text).filter(|text| !text.is_empty())),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => Err(ConfigError::new(name, "is not UTF-8")),
    }
}

/// The filter of log lines.
fn log_filter(asked: &str) -> Result<LogFilter, ConfigError> {
    let mut directives = if asked.is_empty() {
        DEFAULT_FILTER.to_owned()
    } else {
        asked.to_owned()
    };
    for (target, level) in [(SDK, "off"), (AUDIT, "info")] {
        if !asked.contains(target) {
            directives = format!("{directives},{target}={level}");
        }
    }
    LogFilter::parse(&directives)
        .map_err(|reason| ConfigError::new("RUST_LOG", format!("{reason} in {directives:?}")))
}

/// Which lines are written. A filter that may ask for the fields of spans has every span looked up whenever it is entered,
/// which is dear where nobody asks for them.
#[derive(Debug)]
enum LogFilter {
    /// By target and level.
    Targets(Box<Targets>),
    /// By spans, too.
    Spans(Box<EnvFilter>),
}

impl LogFilter {
    fn parse(directives: &str) -> Result<Self, String> {
        // The stricter of the two is what says what is wrong.
        let of_spans = EnvFilter::builder()
            .parse(directives)
            .map_err(|error| error.to_string())?;
        Ok(if directives.contains('[') {
            Self::Spans(Box::new(of_spans))
        } else {
            let targets = directives.parse();
            Self::Targets(Box::new(
                targets.map_err(|error: ParseError| error.to_string())?,
            ))
        })
    }

    fn boxed<S: Subscriber + for<'span> LookupSpan<'span>>(
        self,
    ) -> Box<dyn Filter<S> + Send + Sync> {
        match self {
            Self::Targets(filter) => filter,
            Self::Spans(filter) => filter,
        }
    }
}

/// The layers of a process. Its own function, so that tests can look at what they write.
fn dispatch<W>(format: LogFormat, filter: LogFilter, traces: Option<&Traces>, writer: W) -> Dispatch
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    // No layer that is not there: for its sake `tracing` would ask at every place that nobody wants to hear of.
    let Some(traces) = traces else {
        return tracing_subscriber::registry()
            .with(line_layer(format, filter.boxed(), writer))
            .into();
    };
    let filter = filter.boxed();
    let head = traces.head(filter.max_level_hint());
    let tracer = traces.provider.tracer("kith");
    // The traces first: they are to have made a context by the time that a line is written.
    tracing_subscriber::registry()
        .with(trace_layer(tracer).with_filter(trace_filter()))
        .with(line_layer(format, filter, writer))
        .with(head)
        .into()
}

fn line_layer<S, W>(
    format: LogFormat,
    filter: Box<dyn Filter<S> + Send + Sync>,
    writer: W,
) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    match format {
        LogFormat::Json => lines
            .fmt_fields(SpanFields)
            .event_format(JsonLines)
            .with_filter(filter)
            .boxed(),
        LogFormat::Text => lines
            .with_ansi(std::io::stderr().is_terminal())
            .with_filter(filter)
            .boxed(),
    }
}

/// Spans as the semantic conventions want them: without the place in our source, the thread, and how often they were
/// polled, which are many bytes and say nothing about a request.
fn trace_layer(tracer: Tracer) -> OpenTelemetryLayer<Registry, Tracer> {
    tracing_opentelemetry::layer()
        .with_tracer(tracer)
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false)
}

/// What becomes a span or an event of one, whatever is logged: everything at `info` and above, below it our own spans of
/// statements, spans only where their trace is kept, and nothing of the exporter's own connection.
fn trace_filter<S>() -> impl Filter<S> {
    dynamic_filter_fn(|metadata, _| match trace_interest(metadata) {
        interest if interest.is_always() => true,
        interest if interest.is_sometimes() => !Context::map_current(is_left_out),
        _ => false,
    })
    .with_callsite_filter(trace_interest)
    .with_max_level_hint(LevelFilter::DEBUG)
}

/// Whether a place in the source makes spans or events of them; sometimes is where a trace is kept.
fn trace_interest(metadata: &Metadata<'_>) -> Interest {
    let target = metadata.target();
    let is_ours = || {
        ["kith_", "ingest_api", "trait_worker"]
            .iter()
            .any(|ours| target.starts_with(ours))
    };
    if NOT_TRACED.iter().any(|foreign| target.starts_with(foreign)) {
        return Interest::never();
    }
    match (metadata.is_span(), *metadata.level()) {
        (true, level) if level <= Level::INFO => Interest::sometimes(),
        (true, Level::DEBUG) if is_ours() => Interest::sometimes(),
        // Those outside of spans are nobody's.
        (false, level) if level <= Level::INFO => Interest::always(),
        _ => Interest::never(),
    }
}
