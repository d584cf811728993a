//! A process's telemetry for tests: the layers as they are shipped, with ends that can be looked at.

use std::io;
use std::sync::{Arc, LazyLock, Mutex};

use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use serde_json::Value;
use tracing::Dispatch;
use tracing::subscriber::NoSubscriber;

use super::sampling::{Sampling, Traces};
use super::{LogFormat, log_filter};

/// Keeps what is exported.
#[derive(Debug, Clone, Default)]
pub(crate) struct Spans(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Spans {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().unwrap().extend(batch);
        Ok(())
    }
}

impl Spans {
    /// All of them that have ended.
    pub(crate) fn all(&self) -> Vec<SpanData> {
        self.0.lock().unwrap().clone()
    }

    /// The ended span of this name.
    pub(crate) fn named(&self, name: &str) -> SpanData {
        let spans = self.0.lock().unwrap();
        let found = spans.iter().find(|span| span.name == name);
        found
            .unwrap_or_else(|| panic!("no span {name} in {spans:?}"))
            .clone()
    }
}

/// An attribute of a span, as text.
pub(crate) fn attribute(span: &SpanData, key: &str) -> Option<String> {
    let found = span.attributes.iter().find(|one| one.key.as_str() == key)?;
    Some(found.value.to_string())
}

/// Keeps what is logged.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    /// The lines, each of which must be JSON.
    pub(crate) fn json(&self) -> Vec<Value> {
        let bytes = self.0.lock().unwrap();
        let text = std::str::from_utf8(&bytes).unwrap();
        let parsed = text.lines().map(|line| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"))
        });
        parsed.collect()
    }

    /// The line with this message.
    pub(crate) fn saying(&self, message: &str) -> Value {
        let lines = self.json();
        let found = lines.iter().find(|line| line["message"] == message);
        found
            .unwrap_or_else(|| panic!("nobody said {message} in {lines:?}"))
            .clone()
    }
}

/// Telemetry with export to memory.
pub(crate) fn exporting() -> (Dispatch, Spans, Lines) {
    sampling(Sampling::ALL_AS_BEGUN, "info")
}

/// Telemetry with export to memory of those traces.
pub(crate) fn sampling(sampling: Sampling, filter: &str) -> (Dispatch, Spans, Lines) {
    let (spans, lines) = (Spans::default(), Lines::default());
    let builder = SdkTracerProvider::builder().with_simple_exporter(spans.clone());
    let traces = Traces::new(builder, sampling);
    (dispatch(Some(&traces), filter, &lines), spans, lines)
}

/// Telemetry without export.
pub(crate) fn logging(filter: &str) -> (Dispatch, Lines) {
    let lines = Lines::default();
    (dispatch(None, filter, &lines), lines)
}

/// While there is but one subscriber, `tracing` asks that of the thread which first comes by a place in the source, and keeps the
/// answer: none, if that thread is another test's. Tests that look for lines begin with this, so that there never is but one.
pub(crate) fn never_alone() {
    static OTHERS: LazyLock<[Dispatch; 2]> =
        LazyLock::new(|| [(); 2].map(|()| Dispatch::new(NoSubscriber::new())));
    LazyLock::force(&OTHERS);
}

pub(super) fn dispatch(traces: Option<&Traces>, filter: &str, lines: &Lines) -> Dispatch {
    never_alone();
    let lines = lines.clone();
    let filter = log_filter(filter).unwrap();
    super::dispatch(LogFormat::Json, filter, traces, move || lines.clone())
}
