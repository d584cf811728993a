use std::collections::HashMap;
use std::sync::mpsc;
use std::time::Instant;

use opentelemetry::trace::SpanKind;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use tracing::dispatcher::with_default;
use tracing::{debug, debug_span, error, info_span};

use super::export::{Protocol, pipeline};
use super::sampling::Sampling;
use super::testing::{Lines, attribute, dispatch, exporting, logging};
use super::*;
use crate::metrics::Metrics;

fn asked(variables: &[(&str, &str)]) -> Result<Option<Export>, ConfigError> {
    let variables: HashMap<&str, &str> = variables.iter().copied().collect();
    Export::from_environment(&|name| Ok(variables.get(name).map(|text| (*text).to_owned())))
}

const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318");

#[test]
fn export_happens_only_when_it_is_asked_for() {
    for variables in [
        &[][..],
        &[("OTEL_TRACES_EXPORTER", "none"), ENDPOINT],
        &[
            ("OTEL_SDK_DISABLED", "true"),
            ("OTEL_TRACES_EXPORTER", "otlp"),
            ENDPOINT,
        ],
        &[("OTEL_SDK_DISABLED", "TRUE"), ENDPOINT],
        &[
            ("OTEL_SERVICE_NAME", "x"),
            ("OTEL_TRACES_SAMPLER", "nonsense"),
        ],
    ] {
        assert_eq!(asked(variables), Ok(None), "{variables:?}");
    }
    for variables in [
        &[ENDPOINT][..],
        &[(
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "http://collector:4318/v1/traces",
        )],
        &[("OTEL_TRACES_EXPORTER", "otlp")],
        &[("OTEL_SDK_DISABLED", "1"), ENDPOINT],
    ] {
        assert!(asked(variables).unwrap().is_some(), "{variables:?}");
    }
}

#[test]
fn protocol_and_queue_are_as_asked() {
    let export = |more: &[(&str, &str)]| asked(&[&[ENDPOINT], more].concat()).unwrap().unwrap();
    let default = Export {
        protocol: Protocol::HttpProtobuf,
        queue_max: 2048,
        sampling: Sampling::ALL_AS_BEGUN,
    };
    assert_eq!(export(&[]), default);
    let grpc = ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
    assert_eq!(export(&[grpc]).protocol, Protocol::Grpc);
    let of_traces = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf");
    assert_eq!(export(&[grpc, of_traces]).protocol, Protocol::HttpProtobuf);
    assert_eq!(export(&[("OTEL_BSP_MAX_QUEUE_SIZE", "7")]).queue_max, 7);
    for (name, is_parent_based, part) in [
        ("always_on", false, 1.0),
        ("always_off", false, 0.0),
        ("traceidratio", false, 0.25),
        ("parentbased_always_on", true, 1.0),
        ("parentbased_always_off", true, 0.0),
        ("parentbased_traceidratio", true, 0.25),
    ] {
        let ratio = ("OTEL_TRACES_SAMPLER_ARG", "0.25");
        let export = export(&[("OTEL_TRACES_SAMPLER", name), ratio]);
        let expected = Sampling {
            is_parent_based,
            part,
        };
        assert_eq!(export.sampling, expected, "{name}");
    }
    export(&[("OTEL_PROPAGATORS", "baggage, tracecontext")]);
}

#[test]
fn what_the_sdk_would_take_for_a_default_is_refused_with_its_name() {
    for (name, text) in [
        ("OTEL_TRACES_EXPORTER", "console"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector:4318"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "collector:4318"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "GRPC"),
        ("OTEL_TRACES_SAMPLER", "always"),
        ("OTEL_TRACES_SAMPLER", "parentbased_"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
        ("OTEL_BSP_SCHEDULE_DELAY", "5s"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "-1"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
        ("OTEL_PROPAGATORS", "b3"),
    ] {
        let error = asked(&[ENDPOINT, ("OTEL_TRACES_EXPORTER", "otlp"), (name, text)]).unwrap_err();
        assert_eq!(error.key, name, "{error}");
        assert!(!error.to_string().contains('\n'));
    }
    for argument in [None, Some("2"), Some("x"), Some("nan")] {
        let mut variables = vec![
            ENDPOINT,
            ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
        ];
        variables.extend(argument.map(|text| ("OTEL_TRACES_SAMPLER_ARG", text)));
        assert_eq!(
            asked(&variables).unwrap_err().key,
            "OTEL_TRACES_SAMPLER_ARG"
        );
    }
}

#[test]
fn a_filter_that_is_not_one_is_refused() {
    for asked in ["kith=loud", "a=b=c", "[unclosed"] {
        let error = log_filter(asked).unwrap_err();
        assert_eq!(error.key, "RUST_LOG", "{asked}");
        assert!(!error.to_string().contains('\n'), "{error}");
    }
    for asked in [
        "",
        "info",
        "kith_runtime=debug,warn",
        "opentelemetry_sdk=debug",
    ] {
        assert!(log_filter(asked).is_ok(), "{asked}");
    }
}

#[test]
fn lines_can_be_asked_for_by_target_and_by_the_spans_around_them() {
    let said = |filter| {
        let (dispatch, lines) = logging(filter);
        with_default(&dispatch, || {
            info_span!("outer", number = 5).in_scope(|| debug!("within"));
            info_span!("other").in_scope(|| debug!("elsewhere"));
            info!(target: "foreign::module", "foreign");
        });
        let lines = lines.json();
        let texts = lines.iter().filter_map(|line| line["message"].as_str());
        texts.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(said("info"), ["foreign"]);
    assert_eq!(said("off"), [""; 0]);
    assert_eq!(said("foreign=off,debug"), ["within", "elsewhere"]);
    assert_eq!(said("off,kith_runtime=debug"), ["within", "elsewhere"]);
    assert_eq!(said("off,[outer{number=5}]=debug"), ["within"]);
}

#[test]
fn the_audit_log_is_written_whatever_is_asked_for_of_others() {
    let written = |asked| {
        let (dispatch, lines) = logging(asked);
        with_default(&dispatch, || info!(target: AUDIT, "who did what"));
        lines.json().len() == 1
    };
    for asked in [
        "",
        "off",
        "error",
        "kith=off",
        "ingest_api=debug",
        "[outer]=debug",
    ] {
        assert!(written(asked), "{asked}");
    }
    assert!(!written("kith::audit=off"));
}

#[test]
fn a_line_is_one_object_with_its_fields_and_those_of_its_spans() {
    let (dispatch, lines) = logging("info");
    with_default(&dispatch, || {
        let outer = info_span!("outer", request_id = "RQ1", late = tracing::field::Empty);
        outer.record("late", 5);
        outer.in_scope(|| {
            info_span!("inner").in_scope(|| {
                let cause = std::io::Error::other("a \"quoted\"\nline");
                let error: &(dyn std::error::Error + 'static) = &cause;
                let absent: Option<u64> = None;
                error!(
                    error,
                    count = 3_u64,
                    half = 0.5,
                    ok = true,
                    absent,
                    level = "mine",
                    "it failed"
                );
            });
        });
        debug!("not asked for");
    });
    assert_eq!(lines.json().len(), 1);
    let line = lines.saying("it failed");
    assert_eq!(line["level"], "ERROR");
    assert_eq!(line["_level"], "mine");
    assert_eq!(line["target"], "kith_runtime::telemetry::tests");
    assert_eq!(line["error"], "a \"quoted\"\nline");
    assert_eq!(
        (&line["count"], &line["half"], &line["ok"]),
        (&3.into(), &0.5.into(), &true.into())
    );
    let spans =
        serde_json::json!([{"name": "outer", "request_id": "RQ1", "late": 5}, {"name": "inner"}]);
    assert_eq!(line["spans"], spans);
    assert!(line.get("absent").is_none() && line.get("trace_id").is_none());
    let timestamp = line["timestamp"].as_str().unwrap();
    assert!(
        timestamp.starts_with("20") && timestamp.ends_with('Z'),
        "{timestamp}"
    );
}

#[derive(Debug, thiserror::Error)]
#[error("an \"error\"")]
struct Outer(#[source] std::io::Error);

#[test]
fn fields_of_spans_are_written_as_json_whatever_is_in_them() {
    let (dispatch, lines) = logging("info");
    with_default(&dispatch, || {
        let outer = Outer(std::io::Error::other("a \"cause\""));
        let error: &(dyn std::error::Error + 'static) = &outer;
        let span = info_span!(
            "all",
            text = "\"quoted\", a back\\slash,\na \u{1}, and \u{e4}",
            shown = %"x\"y",
            debugged = ?["x\"y"],
            error,
            less = -3,
            half = 0.5,
            none = f64::NAN,
            ok = true,
            late = tracing::field::Empty,
        );
        span.record("late", "\"late\"");
        span.in_scope(|| info!("within"));
    });
    let expected = serde_json::json!([{
        "name": "all",
        "text": "\"quoted\", a back\\slash,\na \u{1}, and \u{e4}",
        "shown": "x\"y",
        "debugged": "[\"x\\\"y\"]",
        "error": "an \"error\": a \"cause\"",
        "less": -3,
        "half": 0.5,
        "ok": true,
        "late": "\"late\"",
    }]);
    assert_eq!(lines.saying("within")["spans"], expected);
}

#[test]
fn a_line_outside_of_spans_is_an_object_too() {
    let (dispatch, lines) = logging("info");
    with_default(&dispatch, || info!("alone"));
    assert!(lines.saying("alone").get("spans").is_none());
}

#[test]
fn with_export_lines_have_the_ids_of_their_span() {
    let (dispatch, spans, lines) = exporting();
    with_default(&dispatch, || {
        info_span!("request", otel.kind = "server").in_scope(|| info!("in the request"));
    });
    let (span, line) = (spans.named("request"), lines.saying("in the request"));
    assert_eq!(line["trace_id"], span.span_context.trace_id().to_string());
    assert_eq!(line["span_id"], span.span_context.span_id().to_string());
    assert_eq!(span.span_kind, SpanKind::Server);
    for noise in ["code.file.path", "thread.id", "target", "busy_ns"] {
        assert_eq!(attribute(&span, noise), None, "{noise}");
    }
}

#[test]
fn spans_are_exported_whatever_is_logged_but_not_those_of_the_exporter() {
    let (dispatch, spans, _) = testing::sampling(Sampling::ALL_AS_BEGUN, "off");
    with_default(&dispatch, || {
        info_span!("request").in_scope(|| {
            info_span!(target: "h2::proto", "exporter").in_scope(|| {});
        });
    });
    spans.named("request");
    assert!(!format!("{spans:?}").contains("exporter"));
}

/// What a request does below its own spans: a statement, and a line that nobody asked for. Whether it is a span at all.
fn statement() -> bool {
    let span = debug_span!("statement");
    span.in_scope(|| {
        debug!("sent");
        info!("in the statement");
    });
    !span.is_disabled()
}

#[test]
fn statements_are_spans_where_a_trace_is_kept_whatever_is_logged() {
    let (dispatch, spans, lines) = exporting();
    let made = with_default(&dispatch, || info_span!("request").in_scope(statement));
    assert!(made);
    let (request, statement) = (spans.named("request"), spans.named("statement"));
    assert_eq!(statement.parent_span_id, request.span_context.span_id());
    assert!(!format!("{spans:?}").contains("sent"));
    let line = lines.saying("in the statement");
    assert_eq!(
        line["span_id"],
        statement.span_context.span_id().to_string()
    );
    assert!(lines.json().iter().all(|line| line["message"] != "sent"));
}

#[test]
fn no_layer_takes_the_span_of_a_statement_where_no_trace_is_kept() {
    let alone = serde_json::json!([{"name": "request"}]);
    let (dispatch_alone, lines) = logging("info");
    with_default(&dispatch_alone, || {
        info_span!("request").in_scope(statement)
    });
    assert_eq!(lines.saying("in the statement")["spans"], alone);

    let (made, spans, lines) = not_kept("info");
    assert!(!made, "kept in the registry for nobody");
    assert!(!spans.contains("statement"));
    // The line still belongs to the trace that others may keep.
    let line = lines.saying("in the statement");
    assert!(line["trace_id"].is_string(), "{line}");
    assert_eq!(line["spans"], alone);
}

#[test]
fn lines_that_show_spans_of_statements_do_so_where_no_trace_is_kept_too() {
    for filter in ["debug", "info,kith_runtime=debug"] {
        let (made, spans, lines) = not_kept(filter);
        assert!(made, "{filter}");
        assert!(!spans.contains("statement"), "{filter}");
        let both = serde_json::json!([{"name": "request"}, {"name": "statement"}]);
        for message in ["sent", "in the statement"] {
            assert_eq!(lines.saying(message)["spans"], both, "{filter}: {message}");
        }
    }
}

/// What a request's statement amounts to where traces are exported, but this one is not: whether it was a span, what was
/// exported, and what was logged.
fn not_kept(filter: &str) -> (bool, String, Lines) {
    let none = Sampling {
        part: 0.0,
        ..Sampling::ALL_AS_BEGUN
    };
    let (dispatch, spans, lines) = testing::sampling(none, filter);
    let made = with_default(&dispatch, || info_span!("request").in_scope(statement));
    (made, format!("{spans:?}"), lines)
}

/// An exporter that waits to be told how each export ends.
#[derive(Debug)]
struct Told(std::sync::Mutex<mpsc::Receiver<OTelSdkResult>>);

impl SpanExporter for Told {
    async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
        let told = self.0.lock().unwrap().recv();
        told.unwrap_or(Ok(()))
    }
}

fn traces_of(exporter: Told) -> Traces {
    let builder = pipeline(exporter, 4, Resource::builder_empty().build());
    Traces::new(builder, Sampling::ALL_AS_BEGUN)
}

fn dropped(reason: &str) -> u64 {
    let series = format!("kith_spans_dropped_total{{reason=\"{reason}\"}} ");
    let text = Metrics::install().render();
    let value = text.lines().find_map(|line| line.strip_prefix(&series));
    value.unwrap().parse().unwrap()
}

fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_collector_that_hangs_blocks_nobody_and_lost_spans_are_counted() {
    let (tell, told) = mpsc::channel();
    let traces = traces_of(Told(told.into()));
    let subscriber = dispatch(Some(&traces), "off", &Lines::default());
    let provider = traces.provider;
    let (full, failed) = (dropped("queue_full"), dropped("export_failed"));
    let spans = |count: usize| {
        with_default(&subscriber, || {
            (0..count).for_each(|_| drop(info_span!("one")))
        })
    };

    // Of these the exporter holds up to four (a batch is the queue's size), the queue four more.
    let started = Instant::now();
    spans(1_000);
    assert!(started.elapsed() < Duration::from_secs(5));
    let lost = dropped("queue_full") - full;
    assert!((992..=996).contains(&lost), "{lost}");

    // What was taken is exported or counted: nothing is lost silently.
    tell.send(Err(OTelSdkError::InternalFailure("refused".to_owned())))
        .unwrap();
    wait_for("the failed batch is counted", || {
        dropped("export_failed") > failed
    });
    let failed = dropped("export_failed") - failed;
    assert!((1..=4).contains(&failed), "{failed}");
    drop(tell);
    provider.force_flush().unwrap();
    spans(2);
    provider.force_flush().unwrap();
    assert_eq!(
        dropped("queue_full") - full,
        lost,
        "the places were given back"
    );

    provider
        .shutdown_with_timeout(Duration::from_secs(5))
        .unwrap();
}

#[tokio::test]
async fn shutting_down_is_bounded_when_the_collector_hangs() {
    let (tell, told) = mpsc::channel();
    let traces = traces_of(Told(told.into()));
    with_default(&dispatch(Some(&traces), "off", &Lines::default()), || {
        drop(info_span!("one"))
    });
    let telemetry = Telemetry {
        provider: Some(traces.provider),
    };
    let started = Instant::now();
    telemetry.shutdown(Duration::from_millis(100)).await;
    assert!(started.elapsed() < Duration::from_secs(5));
    drop(tell);
}
