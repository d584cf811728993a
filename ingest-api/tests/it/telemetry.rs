//! What the service tells about requests: spans, headers, metrics and log lines, none of which holds a value that was sent.
//!
//! Subscriber and recorder are those of the process, so other tests tell theirs there, too: look for your own.

use std::io;
use std::sync::{Arc, Mutex, OnceLock};

use kith_runtime::metrics::Metrics;
use kith_runtime::telemetry::AUDIT;
use opentelemetry::trace::{SpanId, SpanKind, Status, TracerProvider as _};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use reqwest::Method;
use serde_json::json;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::harness::{
    ACCOUNT, Answered, KEY_SECRET, READ_KEY, STORE, TOKEN, TestService, WRITE_KEY, eventually,
    profiles,
};
use crate::watched::Mode;

const PROFILES: &str = "/v1/Stores/{storeId}/Profiles";

#[derive(Debug, Clone, Default)]
struct Told {
    spans: Arc<Mutex<Vec<SpanData>>>,
    lines: Arc<Mutex<Vec<u8>>>,
}

impl SpanExporter for Told {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.spans.lock().unwrap().extend(batch);
        Ok(())
    }
}

impl io::Write for Told {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.lines.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Told {
    /// What this process tells from now on, everything included.
    fn listen() -> Self {
        static TOLD: OnceLock<(Told, SdkTracerProvider)> = OnceLock::new();
        let (told, _) = TOLD.get_or_init(|| {
            let told = Self::default();
            let provider = SdkTracerProvider::builder()
                .with_simple_exporter(told.clone())
                .build();
            let traces = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
            let writer = told.clone();
            let lines = tracing_subscriber::fmt::layer()
                .with_ansi(false)
                .with_writer(move || writer.clone());
            let filter = tracing_subscriber::filter::Targets::new()
                .with_target("ingest_api", tracing::Level::TRACE)
                .with_target("kith_profiles", tracing::Level::TRACE)
                .with_target("kith_runtime", tracing::Level::TRACE)
                .with_target(AUDIT, tracing::Level::INFO)
                .with_target("actix_http", tracing::Level::TRACE)
                .with_target("tracing_actix_web", tracing::Level::TRACE);
            let subscriber = tracing_subscriber::registry()
                .with(filter)
                .with(traces)
                .with(lines);
            tracing::subscriber::set_global_default(subscriber).unwrap();
            (told, provider)
        });
        told.clone()
    }

    /// The line of the audit log about a request, once it is written.
    async fn noted(&self, answered: &Answered) -> Option<String> {
        let request = answered.header("twilio-request-id").unwrap().to_owned();
        let text = || String::from_utf8(self.lines.lock().unwrap().clone()).unwrap();
        eventually("the request is logged", async || {
            let answered =
                |line: &str| line.contains("request answered") && line.contains(&request);
            text().lines().any(answered)
        })
        .await;
        let noted = |line: &&str| line.contains(AUDIT) && line.contains(&request);
        text().lines().find(noted).map(str::to_owned)
    }

    fn of_trace(&self, trace: &str) -> Vec<SpanData> {
        let spans = self.spans.lock().unwrap();
        let of_trace = |span: &&SpanData| span.span_context.trace_id().to_string() == trace;
        spans.iter().filter(of_trace).cloned().collect()
    }

    /// The server's span of a trace, once it has ended: a moment after the answer.
    async fn server_span(&self, trace: &str) -> SpanData {
        let server = |span: &SpanData| span.span_kind == SpanKind::Server;
        eventually("the span of the request ended", async || {
            self.of_trace(trace).iter().any(server)
        })
        .await;
        self.of_trace(trace).into_iter().find(server).unwrap()
    }
}

fn attribute(span: &SpanData, key: &str) -> Option<String> {
    let found = span.attributes.iter().find(|one| one.key.as_str() == key)?;
    Some(found.value.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_one_span_of_its_callers_trace() {
    let told = Told::listen();
    let service = TestService::start().await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4701";
    let body = json!({"traits": {"Contact": {"email": "trace@example.com"}}});
    let request = service.request(Method::POST, &format!("{}?secret=query", profiles()));
    let request = request
        .header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"))
        .json(&body);
    let answered = Answered::of(request).await;
    assert_eq!(answered.status, 202);

    let span = told.server_span(trace).await;
    let own = format!("00-{trace}-{}-01", span.span_context.span_id());
    assert_eq!(answered.header("traceresponse"), Some(own.as_str()));
    assert_eq!(span.name, format!("POST {PROFILES}"));
    assert_eq!(
        span.parent_span_id,
        SpanId::from_hex("00f067aa0ba902b7").unwrap()
    );
    assert_eq!(
        attribute(&span, "http.request.method").as_deref(),
        Some("POST")
    );
    assert_eq!(attribute(&span, "http.route").as_deref(), Some(PROFILES));
    assert_eq!(
        attribute(&span, "http.response.status_code").as_deref(),
        Some("202")
    );
    assert_eq!(
        attribute(&span, "kith.resolve.outcome").as_deref(),
        Some("created")
    );
    assert_eq!(attribute(&span, "error.type"), None);
    // The work that goes on beside the connection belongs to it, too.
    let resolve = told
        .of_trace(trace)
        .into_iter()
        .find(|span| span.name == "resolve")
        .unwrap();
    assert_eq!(resolve.parent_span_id, span.span_context.span_id());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_of_ours_is_marked_and_one_of_the_callers_is_not() {
    let told = Told::listen();
    let service = TestService::start().await;
    let get = |trace: &str, path: &str| {
        let request = service.request(Method::GET, path);
        request.header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"))
    };
    let trace = "4bf92f3577b34da6a3ce929d0e0e4702";
    let path = "/v1/secret@example.com?secret=query";
    Answered::of(get(trace, path)).await.is(404, 20404);
    let span = told.server_span(trace).await;
    assert_eq!(span.name, "GET");
    assert_eq!(
        (
            attribute(&span, "http.route"),
            attribute(&span, "error.type")
        ),
        (None, None)
    );
    assert_eq!(span.status, Status::Unset);

    service.watch.set_database(Mode::Down);
    let trace = "4bf92f3577b34da6a3ce929d0e0e4703";
    Answered::of(get(trace, &profiles())).await.is(503, 20503);
    let span = told.server_span(trace).await;
    assert_eq!(
        attribute(&span, "error.type").as_deref(),
        Some("database_unavailable")
    );
    assert!(
        matches!(span.status, Status::Error { .. }),
        "{:?}",
        span.status
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_changed_the_control_plane_or_tried_to_is_noted() {
    let told = Told::listen();
    let service = TestService::start().await;
    let groups = format!("/v1/ControlPlane/Stores/{STORE}/TraitGroups");
    let body = json!({"displayName": "Audited", "traits": {"plan": {"dataType": "STRING"}}});
    let send = async |method: Method, path: &str, user: &str, secret: &str| {
        let request = service.bare(method, path).basic_auth(user, Some(secret));
        Answered::of(request.json(&body)).await
    };

    let done = send(Method::POST, &groups, WRITE_KEY, KEY_SECRET).await;
    assert_eq!(done.status, 202, "{:?}", done.body);
    let line = told.noted(&done).await.unwrap();
    let operation = done.header("operation-id").unwrap();
    for part in [
        "method=\"POST\"",
        "status=202",
        &format!("account=\"{ACCOUNT}\""),
        &format!("credential=\"{WRITE_KEY}\""),
        &format!("store=\"{STORE}\""),
        &format!("operation=\"{operation}\""),
        "peer=\"127.0.0.1\"",
    ] {
        assert!(line.contains(part), "{part} in {line}");
    }

    let path = format!("{groups}/Audited");
    let refused = send(Method::DELETE, &path, READ_KEY, KEY_SECRET).await;
    refused.is(403, 403);
    let line = told.noted(&refused).await.unwrap();
    assert!(
        line.contains("status=403") && line.contains(READ_KEY),
        "{line}"
    );
    let stranger = send(Method::DELETE, &path, "secret@example.com", "hunter2").await;
    stranger.is(401, 20003);
    let line = told.noted(&stranger).await.unwrap();
    assert!(
        line.contains("status=401") && !line.contains("account="),
        "{line}"
    );
    // What was asked for and not found may be anything.
    let path = format!("{groups}/13175557301");
    let absent = send(Method::DELETE, &path, ACCOUNT, TOKEN).await;
    assert_eq!(absent.status, 404);
    let line = told.noted(&absent).await.unwrap();
    assert!(!line.contains("13175557301"), "{line}");

    let read = send(Method::GET, &groups, ACCOUNT, TOKEN).await;
    assert_eq!((read.status, told.noted(&read).await), (200, None));
    let contact = json!({"traits": {"Contact": {"email": "audit@example.com"}}});
    let created = service.post(&profiles(), &contact).await;
    assert_eq!((created.status, told.noted(&created).await), (202, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_counted_by_route_and_status() {
    let metrics = Metrics::install();
    let service = TestService::start().await;
    let count = |labels: &str| -> u64 {
        let text = metrics.render();
        let line = text.lines().find_map(|line| line.strip_prefix(labels));
        line.map_or(0, |value| value.trim().parse().unwrap())
    };
    let lists =
        format!("kith_http_requests_total{{method=\"GET\",route=\"{PROFILES}\",status=\"200\"}}");
    let strangers = "kith_http_requests_total{method=\"_OTHER\",route=\"none\",status=\"404\"}";
    let (before, before_strangers) = (count(&lists), count(strangers));
    for _ in 0..3 {
        assert_eq!(service.get(&profiles()).await.status, 200);
    }
    let brew = Method::from_bytes(b"BREW").unwrap();
    Answered::of(service.request(brew, "/somewhere/else"))
        .await
        .is(404, 20404);
    assert!(count(&lists) >= before + 3);
    assert!(count(strangers) > before_strangers);
    let text = metrics.render();
    assert!(text.contains(&format!(
        "kith_http_request_seconds_count{{route=\"{PROFILES}\"}}"
    )));
    assert!(text.contains("kith_http_in_flight "));
    assert!(!text.contains(STORE) && !text.contains("somewhere"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_told_holds_what_was_sent() {
    let told = Told::listen();
    let metrics = Metrics::install();
    let service = TestService::start().await;
    let values = [
        "personal-7f3a@example.com",
        "+13175557301",
        "Personal Name 7f3a",
    ];
    let create = json!({"traits": {"Contact": {"email": values[0], "phone": values[1], "firstName": values[2]}}});
    let bad = json!({"traits": {"Contact": {"phone": values[0], values[2]: 1}}, values[2]: values});
    let send = async || {
        for path in [
            profiles(),
            format!("{}/{}", profiles(), values[0]),
            format!("/{}", values[0]),
        ] {
            service.get(&path).await;
            service
                .get(&format!("{path}?pageToken={0}&traitGroups={0}", values[0]))
                .await;
            service.post(&path, &create).await;
            service.post(&path, &bad).await;
        }
        for (id_type, value) in [
            ("email", values[0]),
            ("phone", values[2]),
            (values[0], values[1]),
        ] {
            let lookup = json!({"idType": id_type, "value": value});
            service
                .post(&format!("{}/Lookup", profiles()), &lookup)
                .await;
        }
        let stranger = service.bare(Method::GET, &profiles());
        Answered::of(stranger.basic_auth(values[0], Some(values[2])))
            .await
            .is(401, 20003);
    };
    send().await;
    for mode in [Mode::Corrupt(7), Mode::Down] {
        service.watch.set_database(mode);
        send().await;
    }
    let lines = String::from_utf8(told.lines.lock().unwrap().clone()).unwrap();
    let spans = format!("{:?}", told.spans.lock().unwrap());
    let numbers = metrics.render();
    let told = lines.matches("request met corrupt data").count();
    assert!(told == 1 && lines.contains("request answered"), "{told}");
    assert!(
        lines.matches("corrupt data: row 7").count() > 1,
        "each request says why it failed"
    );
    for value in values
        .iter()
        .copied()
        .chain(["personal-7f3a", "secret=query"])
    {
        for (what, text) in [("lines", &lines), ("spans", &spans), ("metrics", &numbers)] {
            let found = text.lines().find(|line| line.contains(value));
            assert!(found.is_none(), "{value} in {what}: {found:?}");
        }
    }
}
