//! A collector of traces that is away, and traces that are not broken by what happens to a record.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use kith_faults::broker::{Broker, Stored};
use kith_faults::row::{is_skipped, report};
use kith_faults::stand::turn;
use kith_tests::api::Answer;
use kith_tests::otlp::Receiver;
use kith_tests::pair::{Pair, Shape};
use kith_tests::poll::until;
use kith_tests::process::{Process, metric};
use kith_tests::proxy::{Mode, Proxy};
use kith_tests::servers::Place;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::people::PATIENCE;

/// Spans go out at once, and few may wait.
fn traced(shape: Shape, collector: &Proxy) -> Shape {
    shape
        .with(
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            format!("http://{}", collector.address()),
        )
        .with("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
        .with("OTEL_BSP_SCHEDULE_DELAY", "50")
        .with("OTEL_BSP_MAX_QUEUE_SIZE", "64")
        .with("OTEL_EXPORTER_OTLP_TIMEOUT", "1000")
}

/// What creates took, of which each was acknowledged in the end.
#[derive(Debug)]
struct Creates {
    median: Duration,
    slowest: Duration,
    /// Answered 503 before: the database has other tests to serve.
    refused: usize,
}

impl Creates {
    fn told(&self) -> String {
        let Self {
            median,
            slowest,
            refused,
        } = self;
        format!(
            "half of them in {median:.0?}, the slowest in {slowest:.0?}, {refused} answered 503 first"
        )
    }
}

/// So many creates, one after another.
async fn creates(pair: &Pair, count: usize) -> Result<Creates> {
    let mut took = Vec::new();
    let mut refused = 0;
    while took.len() < count {
        let email = format!("collector.{}@example.com", Uuid::new_v4().as_simple());
        let began = Instant::now();
        let answer = pair
            .api()
            .create(json!({ "Contact": { "email": email } }))
            .await?;
        match answer.status {
            202 => took.push(began.elapsed()),
            503 if refused < count => refused += 1,
            status => bail!("{status} {}", answer.body),
        }
    }
    took.sort_unstable();
    Ok(Creates {
        median: took[count / 2],
        slowest: took[count - 1],
        refused,
    })
}

async fn dropped(process: &Process) -> Result<f64> {
    Ok(metric(
        &process.metrics().await?,
        "kith_spans_dropped_total",
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn row_22_a_collector_that_is_silent_or_away_changes_no_request() -> Result<()> {
    let _turn = turn().await;
    const CREATES: usize = 100;
    let receiver = Receiver::start().await?;
    let collector = Proxy::start(receiver.grpc).await?;
    let shape = traced(Shape::single(), &collector);
    let pair = Pair::servers(&shape).await?;
    creates(&pair, 5).await?;
    until(PATIENCE, "spans", || async {
        Ok((!receiver.spans().is_empty()).then_some(()))
    })
    .await?;
    let calm = creates(&pair, CREATES).await?;
    let mut seen = Vec::new();
    let disturbed = collector.disturbed();
    for mode in [Mode::BlackHole, Mode::Cut] {
        let so_far = collector.disturbed();
        let before = dropped(&pair.ingests[0]).await?;
        collector.set(mode);
        let created = creates(&pair, CREATES).await?;
        let lost = pair.ingests[0]
            .until_metric("kith_spans_dropped_total", |lost| lost > before)
            .await?;
        ensure!(collector.disturbed() > so_far, "{mode:?} met nobody");
        // An export that a request waited for would take a second of each.
        ensure!(
            created.median < Duration::from_millis(500) && created.refused <= CREATES / 10,
            "{}; before, {}",
            created.told(),
            calm.told()
        );
        seen.push(format!(
            "{mode:?}: {CREATES} acknowledged, {}, {} spans counted as dropped",
            created.told(),
            lost - before
        ));
    }
    let disturbed = collector.disturbed() - disturbed;
    // What is recorded from now on arrives again.
    collector.set(Mode::Forward);
    let kept = receiver.spans().len();
    until(PATIENCE, "spans again", || async {
        creates(&pair, 1).await?;
        Ok((receiver.spans().len() > kept).then_some(()))
    })
    .await?;
    let worker = dropped(&pair.workers[0]).await?;
    report(
        22,
        2,
        &format!(
            "{disturbed} chunks that the proxy kept back and connections that it cut or refused"
        ),
        &format!(
            "{CREATES} creates with the collector: {}; {}; the worker dropped {worker}; spans arrived again afterwards",
            calm.told(),
            seen.join("; ")
        ),
    )?;
    pair.stop().await
}

/// A new trace, and the header that a caller sends.
fn trace() -> (String, String) {
    let trace = Uuid::new_v4().as_simple().to_string();
    let header = format!("00-{trace}-00f067aa0ba902b7-01");
    (trace, header)
}

/// A write in a trace, which must be acknowledged in the same trace.
async fn write(pair: &Pair, way: (Method, &str), body: &Value, header: &str) -> Result<Answer> {
    let headers = [("traceparent", header)];
    let (method, path) = way;
    let answer = pair
        .api()
        .send_with(method, path, Some(body), &headers)
        .await?;
    ensure!(answer.status == 202, "{} {}", answer.status, answer.body);
    let told = answer.header("traceresponse");
    ensure!(told.get(3..35) == header.get(3..35), "{told} for {header}");
    Ok(answer)
}

fn contact(trace: &str, number: usize) -> Value {
    json!({ "traits": { "Contact": {
        "email": format!("trace.{trace}.{number}@example.com"), "firstName": "Traced-Person",
    } } })
}

/// How many records of a topic are in a trace.
async fn records(broker: &Broker, topic: &str, trace: &str) -> Result<usize> {
    let records = broker.read(topic).await?;
    let of_trace = |one: &&Stored| one.header("traceparent").get(3..35) == Some(trace);
    Ok(records.iter().filter(of_trace).count())
}

/// What a worker said in a trace.
fn said(worker: &Process, trace: &str) -> Vec<String> {
    let log = worker.log();
    let lines = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines
        .filter(|line| line["trace_id"] == trace)
        .map(|line| line.to_string())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn row_23_a_trace_is_one_over_retry_batch_dead_letter_and_replay() -> Result<()> {
    const CONSUMER: i32 = 5;
    if is_skipped(23) {
        return Ok(());
    }
    let _turn = turn().await;
    let receiver = Receiver::start().await?;
    let collector = Proxy::start(receiver.grpc).await?;
    let place = Place::new()?;
    place.migrate().await?;
    let broker = Broker::of(&place);
    let database = Proxy::start(place.cql_nodes[0].parse()?).await?;
    let of = |ingests, workers| Shape {
        ingests,
        workers,
        ..Shape::default()
    };
    let pair = Pair::at(&traced(of(1, 0), &collector), &place).await?;
    let behind = place.through(Some(database.address()), None);
    let mut worker = Pair::at(&traced(of(0, 1), &collector), &behind).await?;
    // A worker's work on a record is a span, which is exported when it has ended.
    let consumed = async |trace: &str, times: usize| {
        until(PATIENCE, "spans of the worker", || async {
            let spans = receiver.spans();
            let of_worker = spans.iter().filter(|one| {
                one.service == "trait-worker" && one.span.kind == CONSUMER && one.trace() == trace
            });
            let count = of_worker.count();
            ensure!(count >= times, "{count} of {times}");
            Ok(Some(count))
        })
        .await
    };
    let create = || (Method::POST, "/Profiles");

    let (first, header) = trace();
    write(&pair, create(), &contact(&first, 0), &header).await?;
    consumed(&first, 1).await?;

    // Retry: the worker's database is away when the record comes.
    let (retry, header) = trace();
    let disturbed = database.disturbed();
    database.set(Mode::Cut);
    let answer = write(&pair, create(), &contact(&retry, 0), &header).await?;
    let retried = until(PATIENCE, "a retry in the log", || async {
        let lines = said(&worker.workers[0], &retry);
        Ok((!lines.is_empty()).then_some(lines.len()))
    })
    .await?;
    let disturbed = database.disturbed() - disturbed;
    ensure!(disturbed > 0, "the database was not away");
    database.set(Mode::Forward);
    let id = answer.accepted_id()?;
    let name = ("Contact", "firstName");
    pair.api()
        .until_trait(&id, name, json!("Traced-Person"))
        .await?;
    consumed(&retry, 1).await?;
    ensure!(records(&broker, &place.topic, &retry).await? == 1);

    // Batch: three people of one request.
    let (batch, header) = trace();
    let people: Vec<_> = (0..3).map(|number| contact(&batch, number)).collect();
    let body = json!({ "profiles": people });
    write(&pair, (Method::PUT, "/Profiles/Bulk"), &body, &header).await?;
    let of_batch = consumed(&batch, 3).await?;
    ensure!(records(&broker, &place.topic, &batch).await? == of_batch);

    // Dead letter: the record keeps its trace, and what the worker says of it is in it.
    let (dead, header) = trace();
    let bad = Stored::new(0, "poison", Some(b"no event".to_vec()));
    broker
        .send(&[bad.with("traceparent", Some(header.as_bytes()))])
        .await?;
    consumed(&dead, 1).await?;
    ensure!(records(&broker, &broker.letters(), &dead).await? == 1);
    let of_dead = said(&worker.workers[0], &dead);
    ensure!(
        of_dead.iter().any(|line| line.contains("invalid record")),
        "{of_dead:?}"
    );

    // Replay: another worker reads all of it again.
    let status = worker.workers[0].terminate().await?;
    ensure!(status.success(), "{status}");
    broker.rewind().await?;
    worker.workers[0].crash_and_restart().await?;
    for (trace, times) in [(&first, 2), (&retry, 2), (&batch, 6), (&dead, 2)] {
        consumed(trace, times).await?;
    }
    ensure!(!said(&worker.workers[0], &dead).is_empty(), "no line");
    report(
        23,
        4,
        &format!(
            "{disturbed} connections that the proxy cut or refused, the broker's records and offsets"
        ),
        &format!(
            "one trace id in answer, record and worker: a retry ({retried} log lines in it), a batch of {of_batch} records, a dead letter and its record, and all of it read again by another worker"
        ),
    )?;
    receiver.check_privacy().context("spans")?;
    pair.stop().await?;
    worker.stop().await
}
