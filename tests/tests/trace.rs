//! One trace from the caller's `traceparent` to the worker's last write, on both pairs, over both protocols of OTLP.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kith_tests::otlp::{Received, Receiver};
use kith_tests::pair::{Pair, Shape};
use kith_tests::poll::until;
use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

const CALLER: &str = "00f067aa0ba902b7";

fn shape(receiver: &Receiver, protocol: &str) -> Shape {
    let endpoint = match protocol {
        "grpc" => receiver.grpc,
        _ => receiver.http,
    };
    Shape::single()
        .with("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{endpoint}"))
        .with("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
        .with("OTEL_BSP_SCHEDULE_DELAY", "100")
}

/// Kinds of spans, as OTLP numbers them.
const SERVER: i32 = 2;
const CLIENT: i32 = 3;
const PRODUCER: i32 = 4;
const CONSUMER: i32 = 5;

async fn one_trace(pair: Pair, receiver: &Receiver) -> Result<()> {
    let trace = Uuid::new_v4().as_simple().to_string();
    let traceparent = format!("00-{trace}-{CALLER}-01");
    let body = json!({ "traits": { "Contact": {
        "email": format!("trace.{trace}@example.com"), "phone": "+13175550177", "firstName": "Traced-Person",
    } } });
    let headers = [("traceparent", traceparent.as_str())];
    let answer = pair
        .api()
        .send_with(Method::POST, "/Profiles", Some(&body), &headers)
        .await?;
    let id = answer.accepted_id()?;
    ensure!(
        answer
            .header("traceresponse")
            .starts_with(&format!("00-{trace}-")),
        "{:?}",
        answer.headers
    );
    pair.api()
        .until_trait(&id, ("Contact", "firstName"), json!("Traced-Person"))
        .await?;

    let of_trace = || -> Vec<Received> {
        receiver
            .spans()
            .into_iter()
            .filter(|received| received.trace() == trace)
            .collect()
    };
    let find = |kind: i32, spans: &[Received]| -> Vec<Received> {
        spans
            .iter()
            .filter(|received| received.span.kind == kind)
            .cloned()
            .collect()
    };
    // A span is exported when it has ended, so once the consumer's is here, all below it are.
    until(Duration::from_secs(20), "the consumer's span", || async {
        Ok((!find(CONSUMER, &of_trace()).is_empty()).then_some(()))
    })
    .await?;
    let name = pair.name;
    pair.stop().await?;
    let spans = of_trace();

    let ids: BTreeSet<String> = spans.iter().map(Received::id).collect();
    ensure!(ids.len() == spans.len(), "a span twice");
    for received in &spans {
        let parent = received.parent();
        ensure!(
            parent == CALLER || ids.contains(&parent),
            "{name}: {} is an orphan: its parent {parent} was never sent",
            received.span.name
        );
    }
    let roots: Vec<_> = spans
        .iter()
        .filter(|received| received.parent() == CALLER)
        .collect();
    ensure!(
        roots.len() == 1 && roots[0].span.kind == SERVER,
        "one span below the caller's: {roots:?}"
    );
    ensure!(roots[0].attribute("http.request.method") == "POST");
    ensure!(
        roots[0].attribute("http.route") == "/v1/Stores/{storeId}/Profiles",
        "{:?}",
        roots[0]
    );
    ensure!(
        roots[0].attribute("http.response.status_code") == "202",
        "{:?}",
        roots[0]
    );

    let producers = find(PRODUCER, &spans);
    ensure!(producers.len() == 1, "{producers:?}");
    let topic = producers[0].attribute("messaging.destination.name");
    ensure!(
        producers[0].span.name == format!("send {topic}"),
        "{:?}",
        producers[0].span.name
    );
    ensure!(!producers[0].attribute("messaging.system").is_empty());
    let consumers = find(CONSUMER, &spans);
    ensure!(consumers.len() == 1, "{consumers:?}");
    ensure!(
        consumers[0].span.name == format!("process {topic}"),
        "{:?}",
        consumers[0].span.name
    );
    ensure!(
        consumers[0].parent() == producers[0].id(),
        "the consumer's parent is the producer"
    );
    for attribute in [
        "messaging.kafka.offset",
        "messaging.destination.partition.id",
        "messaging.consumer.group.name",
    ] {
        ensure!(
            !consumers[0].attribute(attribute).is_empty(),
            "no {attribute}: {:?}",
            consumers[0]
        );
    }

    // Database spans on both sides, the worker's write below the consumer's span.
    let clients = find(CLIENT, &spans);
    let below = |received: &Received, ancestor: &Received| {
        let mut parent = received.parent();
        loop {
            if parent == ancestor.id() {
                return true;
            }
            match spans.iter().find(|other| other.id() == parent) {
                Some(next) => parent = next.parent(),
                None => return false,
            }
        }
    };
    let is_write = |received: &&Received| {
        received.attribute("db.collection.name") == "cells"
            && received.attribute("db.operation.name") != "SELECT"
            && received.attribute("db.operation.name") != "read"
    };
    ensure!(
        clients
            .iter()
            .all(|received| !received.attribute("db.system.name").is_empty()),
        "{clients:?}"
    );
    ensure!(
        clients
            .iter()
            .filter(is_write)
            .any(|received| below(received, &consumers[0])),
        "{name}: no write below the consumer's span: {:?}",
        clients
            .iter()
            .map(|received| &received.span.name)
            .collect::<Vec<_>>()
    );
    for collection in ["claim", "cells"] {
        ensure!(
            clients.iter().any(|received| received
                .attribute("db.collection.name")
                .starts_with(collection)
                && !below(received, &consumers[0])),
            "{name}: no span of {collection} in the request"
        );
    }
    let services: BTreeSet<&str> = spans
        .iter()
        .map(|received| received.service.as_str())
        .collect();
    let expected: &[&str] = if name == "servers" {
        &["ingest-api", "trait-worker"]
    } else {
        &["kith"]
    };
    ensure!(services.iter().eq(expected.iter()), "{services:?}");
    receiver.check_privacy().context("spans")
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_over_the_standalone_by_grpc() -> Result<()> {
    let receiver = Receiver::start().await?;
    one_trace(
        Pair::standalone(&shape(&receiver, "grpc")).await?,
        &receiver,
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_over_the_standalone_by_http_protobuf() -> Result<()> {
    let receiver = Receiver::start().await?;
    one_trace(
        Pair::standalone(&shape(&receiver, "http/protobuf")).await?,
        &receiver,
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_over_both_services_by_grpc() -> Result<()> {
    let receiver = Receiver::start().await?;
    one_trace(Pair::servers(&shape(&receiver, "grpc")).await?, &receiver).await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_over_both_services_by_http_protobuf() -> Result<()> {
    let receiver = Receiver::start().await?;
    one_trace(
        Pair::servers(&shape(&receiver, "http/protobuf")).await?,
        &receiver,
    )
    .await
}
