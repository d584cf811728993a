use std::sync::Mutex;

use actix_web::http::header::{HeaderName, HeaderValue};
use kith_domain::time::Micros;
use kith_profiles::error::PublishError;
use kith_profiles::ports::{LogRecord, NewRecord, Offset, Partition, TraitLog};
use opentelemetry::trace::{SpanId, SpanKind, Status};
use tracing::dispatcher::with_default;
use tracing::instrument::WithSubscriber as _;
use tracing::{Dispatch, Instrument as _, info, info_span};

use super::*;
use crate::telemetry::sampling::Sampling;
use crate::telemetry::testing::{self as telemetry, attribute, exporting, logging};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// The same, of a caller who does not keep it.
const UNKEPT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

/// Keeps what is published, and ends as it is told.
#[derive(Default)]
struct Kept(Mutex<Vec<NewRecord>>, Mutex<Option<PublishError>>);

impl TraitLog for &Kept {
    async fn publish(&self, record: NewRecord) -> Result<(), PublishError> {
        self.0.lock().unwrap().push(record);
        self.1.lock().unwrap().take().map_or(Ok(()), Err)
    }
}

fn record(headers: Vec<Header>) -> NewRecord {
    NewRecord {
        key: Bytes::from_static(b"key"),
        payload: Bytes::from_static(b"payload"),
        headers,
    }
}

fn read(headers: Vec<Header>) -> LogRecord {
    LogRecord {
        partition: Partition(3),
        offset: Offset::new(17),
        published_at: Micros::EPOCH,
        key: Bytes::new(),
        payload: Bytes::new(),
        headers,
    }
}

fn header(name: &str, value: &str) -> Header {
    (name.to_owned(), Bytes::from(value.to_owned()))
}

fn request(headers: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    map
}

impl Kept {
    fn headers(&self) -> Vec<Header> {
        self.0.lock().unwrap()[0].headers.clone()
    }
}

#[test]
fn a_context_goes_through_the_headers_of_a_record_unchanged() {
    let arrived = from_request(&request(&[
        ("traceparent", PARENT),
        ("tracestate", "a=1,b=2"),
    ]));
    let mut headers = vec![
        header("other", "1"),
        header("Traceparent", "old"),
        header("tracestate", "old=1"),
    ];
    into_record(&arrived, &mut headers);
    let expected = [
        header("other", "1"),
        header("traceparent", PARENT),
        header("tracestate", "a=1,b=2"),
    ];
    assert_eq!(headers, expected);
    let back = from_record(&headers);
    assert_eq!(back.span().span_context(), arrived.span().span_context());
}

#[test]
fn an_empty_context_changes_nothing() {
    let mut headers = vec![header("traceparent", "old")];
    into_record(&Context::new(), &mut headers);
    assert_eq!(headers, [header("traceparent", "old")]);
}

#[test]
fn a_malformed_header_is_no_context() {
    for text in [
        "",
        "nonsense",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ] {
        assert!(
            !from_record(&[header("traceparent", text)]).has_active_span(),
            "{text}"
        );
    }
    assert!(
        !from_record(&[("traceparent".to_owned(), Bytes::from_static(&[0xff]))]).has_active_span()
    );
    assert!(!from_request(&request(&[])).has_active_span());
}

#[tokio::test]
async fn one_trace_covers_the_request_the_record_and_the_work_on_it() {
    let (dispatch, spans, lines) = exporting();
    let kept = Kept::default();
    let request = request(&[("traceparent", PARENT)]);
    let answered = async {
        let root = info_span!("request", otel.kind = "server");
        let log = TracedLog::new(&kept, "kith.traits", "kafka");
        async {
            log.publish(record(vec![header("kind", "traits")]))
                .await
                .unwrap();
            traceresponse_header()
        }
        .instrument(root)
        .await
    };
    let response = within(from_request(&request), answered)
        .with_subscriber(dispatch.clone())
        .await;

    let root = spans.named("request");
    assert_eq!(root.span_context.trace_id().to_string(), TRACE);
    assert_eq!(root.parent_span_id.to_string(), "00f067aa0ba902b7");
    let expected = format!("00-{TRACE}-{}-01", root.span_context.span_id());
    assert_eq!(response, Some(expected));

    let send = spans.named("send kith.traits");
    assert_eq!(send.parent_span_id, root.span_context.span_id());
    assert_eq!(send.span_kind, SpanKind::Producer);
    assert_eq!(send.status, Status::Unset);
    for (key, value) in [
        ("messaging.system", "kafka"),
        ("messaging.operation.name", "send"),
        ("messaging.operation.type", "send"),
        ("messaging.destination.name", "kith.traits"),
    ] {
        assert_eq!(attribute(&send, key).as_deref(), Some(value), "{key}");
    }
    let carried = header(
        "traceparent",
        &format!("00-{TRACE}-{}-01", send.span_context.span_id()),
    );
    assert_eq!(kept.headers(), [header("kind", "traits"), carried]);

    let read = read(kept.headers());
    with_default(&dispatch, || {
        // Even inside of something else that is traced.
        info_span!("poll").in_scope(|| {
            let context = from_record(&read.headers);
            let span = process_span(&read, &context, "kith.traits", "kith.trait-worker", "kafka");
            span.in_scope(|| info!("applied"));
            failed(&span, "corrupt");
        });
    });
    let process = spans.named("process kith.traits");
    assert_eq!(process.span_context.trace_id().to_string(), TRACE);
    assert_eq!(process.parent_span_id, send.span_context.span_id());
    assert_eq!(process.span_kind, SpanKind::Consumer);
    assert!(matches!(process.status, Status::Error { .. }));
    for (key, value) in [
        ("messaging.system", "kafka"),
        ("messaging.operation.name", "process"),
        ("messaging.operation.type", "process"),
        ("messaging.destination.name", "kith.traits"),
        ("messaging.destination.partition.id", "3"),
        ("messaging.kafka.offset", "17"),
        ("messaging.consumer.group.name", "kith.trait-worker"),
        ("error.type", "corrupt"),
    ] {
        assert_eq!(attribute(&process, key).as_deref(), Some(value), "{key}");
    }
    assert_eq!(lines.saying("applied")["trace_id"], TRACE);
}

/// What comes of a request, where traces are exported as told: the header of its answer, and that of its record.
async fn asked(dispatch: &Dispatch, headers: &[(&'static str, &'static str)]) -> [String; 2] {
    let kept = Kept::default();
    let request = request(headers);
    let work = async {
        let answered = async {
            let root = info_span!("request", otel.kind = "server");
            let log = TracedLog::new(&kept, "kith.traits", "kafka");
            async {
                log.publish(record(Vec::new())).await.unwrap();
                info!("in the request");
                traceresponse_header()
            }
            .instrument(root)
            .await
        };
        within(from_request(&request), answered).await
    };
    let response = work.with_subscriber(dispatch.clone()).await;
    let (name, carried) = kept.headers().swap_remove(0);
    assert_eq!(name, TRACEPARENT);
    let carried = String::from_utf8(carried.to_vec()).unwrap();
    [response.unwrap(), carried]
}

fn part(is_parent_based: bool, part: f64) -> Sampling {
    Sampling {
        is_parent_based,
        part,
    }
}

#[tokio::test]
async fn a_trace_that_is_not_kept_goes_on_without_spans() {
    let unkept: &[(_, _)] = &[("traceparent", UNKEPT), ("tracestate", "a=1")];
    let kept: &[(_, _)] = &[("traceparent", PARENT)];
    for (sampling, headers, trace) in [
        (Sampling::ALL_AS_BEGUN, unkept, Some(TRACE)),
        (part(true, 0.0), &[], None),
        (part(false, 0.0), &[], None),
        (part(false, 0.0), kept, Some(TRACE)),
    ] {
        let (dispatch, spans, lines) = telemetry::sampling(sampling, "info");
        let [response, carried] = asked(&dispatch, headers).await;
        // One span that is nowhere stands for the request.
        assert_eq!(response, carried);
        let [version, id, own, flags] = response.split('-').collect::<Vec<_>>()[..] else {
            panic!("{response}");
        };
        assert_eq!((version, flags), ("00", "00"));
        assert!(!PARENT.contains(own), "{own}");
        assert!(trace.is_none_or(|trace| trace == id), "{id}");
        assert_eq!(lines.saying("in the request")["trace_id"], id);
        assert_eq!(lines.saying("in the request")["span_id"], own);

        // Nor does whoever works on its record keep it.
        let read = read(vec![header("traceparent", &carried)]);
        with_default(&dispatch, || {
            let context = from_record(&read.headers);
            let span = process_span(&read, &context, "kith.traits", "group", "kafka");
            let _attached = context.attach();
            span.in_scope(|| info!("applied"));
        });
        assert_eq!(lines.saying("applied")["trace_id"], id);
        assert!(spans.all().is_empty(), "{spans:?}");
    }
}

#[tokio::test]
async fn what_a_caller_does_not_keep_is_kept_by_who_asks_no_caller() {
    let (dispatch, spans, _) = telemetry::sampling(part(false, 1.0), "info");
    let [response, carried] = asked(&dispatch, &[("traceparent", UNKEPT)]).await;
    let (request, send) = (spans.named("request"), spans.named("send kith.traits"));
    assert_eq!(request.parent_span_id.to_string(), "00f067aa0ba902b7");
    assert_eq!(send.parent_span_id, request.span_context.span_id());
    for (header, span) in [(response, request), (carried, send)] {
        let id = span.span_context.span_id();
        assert_eq!(header, format!("00-{TRACE}-{id}-01"));
    }
}

#[tokio::test]
async fn of_new_traces_the_part_is_kept_that_was_asked_for() {
    let (dispatch, spans, _) = telemetry::sampling(part(true, 0.5), "info");
    let mut kept = Vec::new();
    for _ in 0..400 {
        let [response, carried] = asked(&dispatch, &[]).await;
        let trace = response[3..35].to_owned();
        assert_eq!(carried[3..35], trace);
        assert_eq!(carried[53..], response[53..]);
        // By the id alone, so that whoever else sees the trace decides alike.
        let low = u64::from_str_radix(&trace[16..], 16).unwrap() >> 1;
        assert_eq!(response.ends_with("-01"), low < 1 << 62, "{response}");
        if response.ends_with("-01") {
            kept.push(trace);
        }
    }
    // Half of them, give or take five standard deviations.
    assert!((150..=250).contains(&kept.len()), "{}", kept.len());
    let requests = spans
        .all()
        .into_iter()
        .filter(|span| span.name == "request");
    let exported: Vec<_> = requests
        .map(|span| span.span_context.trace_id().to_string())
        .collect();
    assert_eq!(exported, kept);
}

#[tokio::test]
async fn a_request_without_a_trace_begins_one() {
    let (dispatch, spans, _) = exporting();
    let kept = Kept::default();
    let log = TracedLog::new(&kept, "kith.traits", "kith");
    let work = async { log.publish(record(Vec::new())).await }.instrument(info_span!("outside"));
    work.with_subscriber(dispatch).await.unwrap();
    let send = spans.named("send kith.traits");
    assert_eq!(send.parent_span_id, SpanId::INVALID);
    assert_eq!(
        from_record(&kept.headers()).span().span_context().span_id(),
        send.span_context.span_id()
    );
}

#[tokio::test]
async fn publishing_that_fails_says_so_in_its_span() {
    for (error, label) in [
        (PublishError::Full, "full"),
        (PublishError::TooLarge, "too_large"),
        (PublishError::Unavailable(None), "unavailable"),
    ] {
        let (dispatch, spans, _) = exporting();
        let kept = Kept(Mutex::default(), Mutex::new(Some(error)));
        let log = TracedLog::new(&kept, "kith.traits", "kafka");
        log.publish(record(Vec::new()))
            .with_subscriber(dispatch)
            .await
            .unwrap_err();
        let send = spans.named("send kith.traits");
        assert_eq!(attribute(&send, "error.type").as_deref(), Some(label));
        assert!(matches!(send.status, Status::Error { .. }));
    }
}

#[tokio::test]
async fn without_export_an_incoming_trace_travels_on_whatever_is_logged() {
    for filter in ["info", "off"] {
        let (dispatch, lines) = logging(filter);
        let kept = Kept::default();
        let log = TracedLog::new(&kept, "kith.traits", "kith");
        let arrived = from_request(&request(&[("traceparent", PARENT), ("tracestate", "a=1")]));
        let root = info_span!("request");
        let work = async {
            info!("in the request");
            log.publish(record(Vec::new())).await.unwrap();
            // Nothing is recorded, so there is nothing to be told of.
            assert_eq!(traceresponse_header(), None);
        };
        within(arrived, work.instrument(root))
            .with_subscriber(dispatch)
            .await;
        assert_eq!(
            kept.headers(),
            [header("traceparent", PARENT), header("tracestate", "a=1")]
        );
        if filter == "info" {
            assert_eq!(lines.saying("in the request")["trace_id"], TRACE);
        }
    }
}

#[tokio::test]
async fn without_export_and_without_a_trace_a_record_carries_none() {
    let (dispatch, _) = logging("info");
    let kept = Kept::default();
    let log = TracedLog::new(&kept, "kith.traits", "kith");
    log.publish(record(Vec::new()))
        .with_subscriber(dispatch)
        .await
        .unwrap();
    assert_eq!(kept.headers(), []);
}
