//! Traces on their way to a collector, and what it costs when there is none.

use std::time::{Duration, Instant};

use crate::collector::{Received, over_grpc, over_http};
use crate::parent::{End, Process};

/// How many spans the part makes.
const MADE: usize = 20_000;

fn traced(variables: &[(&str, &str)]) -> (Process, Duration) {
    let process = Process::start("traces", variables).started();
    let started = Instant::now();
    process.hears("traced");
    (process, started.elapsed())
}

fn dropped(metrics: &str, reason: &str) -> usize {
    let series = format!("kith_spans_dropped_total{{reason=\"{reason}\"}} ");
    let value = metrics.lines().find_map(|line| line.strip_prefix(&series));
    value.unwrap_or("0").parse().unwrap()
}

fn ended(process: Process) -> (End, Duration) {
    let told = Instant::now();
    process.signal("TERM");
    (process.ended(), told.elapsed())
}

#[test]
fn every_span_is_exported_or_counted_over_both_protocols() {
    for protocol in ["grpc", "http/protobuf"] {
        let received = Received::default();
        let endpoint = match protocol {
            "grpc" => over_grpc(received.clone()),
            _ => over_http(received.clone()),
        };
        let (process, _) = traced(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
        ]);
        let metrics = process.get("/metrics").1;
        let (end, _) = ended(process);
        assert_eq!(end.code, Some(0), "{end:?}");
        let arrived = received.spans("work");
        assert!(arrived > 0, "{protocol}: {end:?}");
        assert_eq!(
            arrived + dropped(&metrics, "queue_full"),
            MADE,
            "{protocol}"
        );
        assert_eq!(received.resource("service.name").as_deref(), Some("child"));
        assert_eq!(
            received.resource("service.version").as_deref(),
            Some(env!("CARGO_PKG_VERSION"))
        );
        assert!(
            received
                .resource("service.instance.id")
                .is_some_and(|id| id.len() == 36)
        );
    }
}

#[test]
fn what_the_environment_says_about_the_service_wins() {
    let received = Received::default();
    let (process, _) = traced(&[
        (
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            &format!("{}/v1/traces", over_http(received.clone())),
        ),
        ("OTEL_SERVICE_NAME", "another"),
        (
            "OTEL_RESOURCE_ATTRIBUTES",
            "service.instance.id=pod-7,deployment.environment.name=test",
        ),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "30000"),
    ]);
    ended(process);
    assert_eq!(received.spans("work"), MADE);
    assert_eq!(
        received.resource("service.name").as_deref(),
        Some("another")
    );
    assert_eq!(
        received.resource("service.instance.id").as_deref(),
        Some("pod-7")
    );
    assert_eq!(
        received.resource("deployment.environment.name").as_deref(),
        Some("test")
    );
    assert_eq!(
        received.resource("service.version").as_deref(),
        Some(env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn the_sampler_is_obeyed() {
    let received = Received::default();
    let (process, _) = traced(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &over_http(received.clone())),
        ("OTEL_TRACES_SAMPLER", "always_off"),
    ]);
    ended(process);
    assert_eq!(received.spans("work"), 0);
}

#[test]
fn a_collector_that_is_down_costs_nothing_and_is_told_once() {
    for protocol in ["grpc", "http/protobuf"] {
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", nobody.local_addr().unwrap());
        drop(nobody);
        let (process, took) = traced(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
            ("OTEL_BSP_SCHEDULE_DELAY", "50"),
        ]);
        assert!(took < Duration::from_secs(10), "{took:?}");
        process.get_until("/metrics", |_, text| dropped(text, "export_failed") > 0);
        let (end, took) = ended(process);
        assert_eq!(end.code, Some(0), "{end:?}");
        assert!(took < Duration::from_secs(10), "{took:?}");
        let told = end
            .logged
            .iter()
            .filter(|line| line.contains("spans cannot be exported"))
            .count();
        assert_eq!(told, 1, "{protocol}: {end:?}");
    }
}

#[test]
fn a_collector_that_answers_nothing_costs_nothing_and_the_end_is_bounded() {
    for protocol in ["grpc", "http/protobuf"] {
        // Takes connections, in its backlog, and never says a word.
        let hole = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", hole.local_addr().unwrap());
        let (process, took) = traced(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
        ]);
        assert!(took < Duration::from_secs(10), "{took:?}");
        assert!(dropped(&process.get("/metrics").1, "queue_full") > MADE / 2);
        let (end, took) = ended(process);
        assert_eq!(end.code, Some(0), "{end:?}");
        assert!(took < Duration::from_secs(10), "{took:?}");
    }
}
