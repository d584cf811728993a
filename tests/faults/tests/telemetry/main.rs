//! One request, and where it can be seen: its trace in a real OpenTelemetry Collector, its metrics in a real Prometheus.
//!
//! `make verify-deploy` builds the Collector and runs this. What a trace has to hold is in `tests/tests/trace.rs`.

mod collector;

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use collector::{Collector, Span, program, shipped};
use kith_faults::prometheus::Prometheus;
use kith_tests::pair::{Pair, Shape};
use kith_tests::poll::until;
use kith_tests::privacy;
use kith_tests::process::Process;
use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

/// By then what was measured has arrived.
const PATIENCE: Duration = Duration::from_secs(30);
/// The span of the caller.
const CALLER: &str = "00f067aa0ba902b7";

fn shape(endpoint: impl std::fmt::Display, protocol: &str) -> Shape {
    Shape::single()
        .with("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{endpoint}"))
        .with("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
}

fn of_trace(collector: &Collector, trace: &str) -> Vec<Span> {
    let spans = collector.spans().into_iter();
    spans.filter(|span| span.trace == trace).collect()
}

/// The services that a trace is from, if all of it has arrived: the request's span below the caller's, one of whoever consumed its
/// record, and the parent of every other one.
fn whole(collector: &Collector, trace: &str) -> Result<BTreeSet<String>> {
    let spans = of_trace(collector, trace);
    let ids: BTreeSet<&str> = spans.iter().map(|span| span.id.as_str()).collect();
    let mut orphans = spans
        .iter()
        .filter(|span| !ids.contains(span.parent.as_str()));
    let root = orphans.next().context("no span")?;
    ensure!(
        root.parent == CALLER && root.kind == "Server",
        "{root:?} has no parent"
    );
    if let Some(other) = orphans.next() {
        bail!("{other:?} has no parent");
    }
    ensure!(
        spans.iter().any(|span| span.kind == "Consumer"),
        "no consumer"
    );
    Ok(spans.into_iter().map(|span| span.service).collect())
}

/// Makes one request of a pair whose spans go to this Collector, and looks for it there and in a Prometheus.
#[expect(
    clippy::print_stdout,
    reason = "what arrived is part of a run's result"
)]
async fn one_request(pair: Pair, collector: &Collector) -> Result<()> {
    let (front, back) = match pair.workers.is_empty() {
        true => ("kith", "kith"),
        false => ("ingest-api", "trait-worker"),
    };
    let services = BTreeSet::from([front.to_owned(), back.to_owned()]);
    let admins = |processes: &[Process]| processes.iter().map(Process::admin).collect();
    let mut jobs = vec![
        (front, admins(&pair.ingests)),
        ("otel-collector", vec![collector.metrics]),
    ];
    if back != front {
        jobs.push((back, admins(&pair.workers)));
    }
    let prometheus = Prometheus::start(&jobs).await?;
    let answered = format!(
        r#"sum(kith_http_requests_total{{job="{front}",method="POST",route="/v1/Stores/{{storeId}}/Profiles",status="202"}})"#
    );
    let applied = format!(r#"sum(kith_log_records_total{{job="{back}"}})"#);
    for query in [&answered, &applied] {
        let before = prometheus.value(query).await?;
        ensure!(
            before.is_none_or(|value| value == 0.0),
            "{query}: {before:?}"
        );
    }

    let trace = Uuid::new_v4().as_simple().to_string();
    let traceparent = format!("00-{trace}-{CALLER}-01");
    let body = json!({ "traits": { "Contact": {
        "email": format!("arrival.{trace}@example.com"), "firstName": "Arriving-Person",
    } } });
    let headers = [("traceparent", traceparent.as_str())];
    let api = pair.api();
    let answer = api.send_with(Method::POST, "/Profiles", Some(&body), &headers);
    answer.await?.accepted_id()?;

    for query in [&answered, &applied] {
        let arrived = until(PATIENCE, query, || async {
            Ok(prometheus.value(query).await?.filter(|value| *value > 0.0))
        });
        let arrived = arrived.await?;
        ensure!(arrived == 1.0, "{query}: {arrived}");
    }
    let name = pair.name;
    until(PATIENCE, "the trace is in the Collector", || async {
        let from = whole(collector, &trace)?;
        Ok((from == services).then_some(()))
    })
    .await?;
    pair.stop().await?;
    privacy::search("what the Collector was sent", &collector.printed())?;

    let spans = u32::try_from(of_trace(collector, &trace).len())?;
    let counted =
        r#"sum({__name__=~"otelcol_receiver_accepted_spans(_total)?",job="otel-collector"})"#;
    let accepted = until(PATIENCE, "the Collector's own count", || async {
        let accepted = prometheus.value(counted).await?;
        Ok(accepted.filter(|accepted| *accepted >= f64::from(spans)))
    });
    let accepted = accepted.await?;
    println!(
        "{name}: {spans} spans of one trace arrived, the Collector counts {accepted} in all; {answered} and {applied} are 1"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Collector: `make verify-deploy`"]
async fn a_request_of_both_services_arrives_by_grpc() -> Result<()> {
    let collector = Collector::start().await?;
    let pair = Pair::servers(&shape(collector.grpc, "grpc")).await?;
    one_request(pair, &collector).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Collector: `make verify-deploy`"]
async fn a_request_of_the_standalone_arrives_by_http_protobuf() -> Result<()> {
    let collector = Collector::start().await?;
    let pair = Pair::standalone(&shape(collector.http, "http/protobuf")).await?;
    one_request(pair, &collector).await
}

#[test]
#[ignore = "needs a Collector: `make verify-deploy`"]
fn the_shipped_configuration_of_the_collector_is_valid() -> Result<()> {
    let valid = |file: &std::path::Path| -> Result<(bool, String)> {
        let mut program = program()?;
        let config = format!("--config=file:{}", file.display());
        let output = program.args(["validate", &config]).output()?;
        Ok((
            output.status.success(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        ))
    };
    let (is_valid, said) = valid(&shipped())?;
    ensure!(is_valid, "{said}");
    let dir = tempfile::tempdir()?;
    let wrong = dir.path().join("wrong.yaml");
    let text = std::fs::read_to_string(shipped())?;
    ensure!(text.contains("check_interval"));
    std::fs::write(&wrong, text.replace("check_interval", "check_intervall"))?;
    let (is_valid, said) = valid(&wrong)?;
    ensure!(!is_valid && said.contains("check_intervall"), "{said}");
    Ok(())
}
