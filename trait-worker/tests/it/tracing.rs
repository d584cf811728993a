//! One trace from whoever published a record to the last write of its traits.

use std::fmt;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use kith_profiles::ports::NewRecord;
use opentelemetry::trace::{SpanId, TraceId, TracerProvider as _};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use tracing_subscriber::layer::SubscriberExt as _;

use crate::records::{event, good, poison, record};
use crate::sim::Sim;

#[derive(Clone, Default)]
struct Exported(Arc<Mutex<Vec<SpanData>>>);

impl fmt::Debug for Exported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exported")
    }
}

impl SpanExporter for Exported {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().unwrap().extend(batch);
        Ok(())
    }
}

/// Runs records of partition 0 to the end, and gives the spans.
fn spans_of(records: Vec<NewRecord>) -> Vec<SpanData> {
    let exported = Exported::default();
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(exported.clone())
        .build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    let subscriber = tracing_subscriber::registry().with(layer);
    let sim = Sim::new();
    ::tracing::subscriber::with_default(subscriber, || {
        sim.run(async |sim| {
            sim.log.append(0, records);
            sim.log.assign(&[0]);
            sim.until_caught_up().await;
        })
        .summary();
    });
    provider.shutdown().unwrap();
    exported.0.lock().unwrap().clone()
}

fn published_in(trace: u128, span: u64, mut record: NewRecord) -> NewRecord {
    let value = format!("00-{trace:032x}-{span:016x}-01");
    record.headers = vec![("traceparent".to_owned(), Bytes::from(value))];
    record
}

fn named<'a>(spans: &'a [SpanData], name: &str) -> Vec<&'a SpanData> {
    spans.iter().filter(|span| span.name == name).collect()
}

#[test]
fn the_write_hangs_under_the_span_of_its_record_in_the_trace_of_its_publisher() {
    let spans = spans_of(vec![published_in(0xabc, 0xdef, good(1))]);
    let (process, write) = (
        named(&spans, "process kith.traits"),
        named(&spans, "write cells"),
    );
    assert_eq!(
        (process.len(), write.len(), spans.len()),
        (1, 1, 2),
        "no other span"
    );
    assert_eq!(process[0].parent_span_id, SpanId::from(0xdef));
    assert_eq!(write[0].parent_span_id, process[0].span_context.span_id());
    for span in [process[0], write[0]] {
        assert_eq!(span.span_context.trace_id(), TraceId::from(0xabc));
    }
    assert!(
        process[0].end_time >= write[0].end_time,
        "it is open until the write is done"
    );
}

#[test]
fn one_write_of_several_records_is_in_the_trace_of_the_newest_and_the_others_link_to_it() {
    let spans = spans_of(vec![
        published_in(1, 11, record(&event(7, 100, "old"))),
        published_in(2, 12, record(&event(7, 300, "newest"))),
        published_in(3, 13, record(&event(7, 200, "late"))),
    ]);
    let (process, write) = (
        named(&spans, "process kith.traits"),
        named(&spans, "write cells"),
    );
    assert_eq!((process.len(), write.len()), (3, 1));
    let of = |trace: u128| {
        let found = process
            .iter()
            .find(|span| span.span_context.trace_id() == TraceId::from(trace));
        *found.expect("a span in the trace of each publisher")
    };
    assert_eq!(write[0].parent_span_id, of(2).span_context.span_id());
    assert!(of(2).links.is_empty());
    for other in [of(1), of(3)] {
        let links: Vec<_> = other
            .links
            .iter()
            .map(|link| link.span_context.clone())
            .collect();
        assert_eq!(links, [of(2).span_context.clone()]);
    }
}

#[test]
fn the_span_of_an_invalid_record_says_why_and_shows_nothing_of_it() {
    let spans = spans_of(vec![published_in(5, 15, poison())]);
    let process = named(&spans, "process kith.traits");
    assert_eq!(process[0].parent_span_id, SpanId::from(15));
    let shown = format!("{process:?}");
    assert!(
        shown.contains("error.type") && shown.contains("malformed"),
        "{shown}"
    );
    for secret in ["not an event", "some key"] {
        assert!(!format!("{spans:?}").contains(secret), "{secret}");
    }
}
