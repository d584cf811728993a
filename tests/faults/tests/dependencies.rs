//! Faults of what the services depend on: rows 4 and 7 to 12 of the table (`docs/reliability.md`), on one node and one broker.
//! Rows 1 to 3, 5 and 6 want three nodes: they are in `faults.rs`.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use futures_util::future::join_all;
use kith_faults::dump::{dump, session};
use kith_faults::history::{Record, Told};
use kith_faults::load::Drawn;
use kith_faults::row::{is_full, report};
use kith_faults::run::Callers;
use kith_faults::stand::{Stand, Wanted};
use kith_kafka::{KafkaConfig, KafkaLog};
use kith_profiles::error::PublishError;
use kith_profiles::ports::{NewRecord, TraitLog};
use kith_tests::api::{Answer, Api};
use kith_tests::poll::until;
use kith_tests::process::metric;
use kith_tests::proxy::Mode;
use kith_tests::servers::node;
use rdkafka::mocking::MockCluster;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use reqwest::Method;
use serde_json::json;

/// In time; and "at once", for a debug build on a machine that does other things: whoever waits for a server that is silent waits
/// for a second at least.
const IN_TIME: Duration = Duration::from_secs(3);
const AT_ONCE: Duration = Duration::from_millis(250);
/// After an outage everything works again within this.
const RECOVERY: Duration = Duration::from_secs(40);
/// What the worker says to its database for one record is less than this.
const STATEMENTS_MAX: u64 = 20;
/// Half of what callers ask are reads.
const HALF: Drawn = Drawn {
    reads: 50,
    new_of_ten: 2,
};

fn email(row: u8) -> String {
    format!("row.{row}.{}@example.com", uuid::Uuid::new_v4().as_simple())
}

async fn timed(api: &Api, address: &str, name: &str) -> Result<(Answer, Duration)> {
    let start = Instant::now();
    let contact = json!({ "Contact": { "email": address, "firstName": name } });
    Ok((api.create(contact).await?, start.elapsed()))
}

/// Sends a create until it is acknowledged; its id.
async fn accepted(api: &Api, address: &str, name: &str) -> Result<String> {
    until(RECOVERY, "a create", || async {
        let (answer, _) = timed(api, address, name).await?;
        (answer.status == 202)
            .then(|| answer.accepted_id())
            .transpose()
    })
    .await
}

/// What callers were told, in numbers.
struct Sum {
    acknowledged: usize,
    refused: usize,
    unanswered: usize,
    slowest: Duration,
}

impl Sum {
    fn of(history: &[Record]) -> Self {
        let count = |told: &Told| history.iter().filter(|record| record.told == *told).count();
        let slowest = history.iter().map(|record| record.took_ms).max();
        Self {
            acknowledged: history.iter().filter(|one| one.is_acknowledged()).count(),
            refused: count(&Told::Unavailable),
            unanswered: count(&Told::Nothing),
            slowest: Duration::from_millis(slowest.unwrap_or_default()),
        }
    }
}

/// Creates until the breaker answers; every answer on the way must come in time. What was asked and told.
async fn until_at_once(callers: &Callers, api: &Api) -> Result<Vec<Record>> {
    let refused = || async {
        let record = callers.stranger(api).await;
        ensure!(record.told == Told::Unavailable, "{:?}", record.told);
        let took = Duration::from_millis(record.took_ms);
        ensure!(took < IN_TIME, "503 after {took:?}");
        Ok((record, took))
    };
    let limit = Instant::now() + RECOVERY;
    let (mut quick, mut records) = (0, Vec::new());
    while quick < 5 {
        let (record, took) = refused().await?;
        records.push(record);
        quick = if took < AT_ONCE { quick + 1 } else { 0 };
        ensure!(Instant::now() < limit, "the breaker does not open");
    }
    // Most are refused at once; now and then one is let through to see whether it is over.
    let mut times = Vec::new();
    for _ in 0..20 {
        let (record, took) = refused().await?;
        records.push(record);
        times.push(took);
    }
    times.sort_unstable();
    ensure!(times[10] < AT_ONCE, "{times:?}");
    Ok(records)
}

/// Waits until so many more requests were acknowledged.
async fn progress(callers: &Callers, more: usize) -> Result<()> {
    let from = callers.acknowledged();
    until(RECOVERY, "progress", || async {
        Ok((callers.acknowledged() >= from + more).then_some(()))
    })
    .await
}

/// Whether a breaker of the first process was seen open.
async fn is_open(stand: &Stand, dependency: &str) -> Result<bool> {
    let page = stand.services.ingests[0].lock().await.metrics().await?;
    let series = format!("kith_breaker_state{{dependency=\"{dependency}\"}}");
    let state = page.lines().find_map(|line| line.strip_prefix(&series));
    Ok(state.is_some_and(|state| state.trim() == "2"))
}

/// What must not grow while a dependency is away.
#[derive(Debug, Clone, Copy)]
struct Held {
    sockets: usize,
    threads: usize,
}

async fn held(stand: &Stand) -> Result<Held> {
    let process = stand.services.ingests[0].lock().await;
    Ok(Held {
        sockets: process.sockets()?,
        threads: process.threads()?,
    })
}

/// A database that is slow, very slow, or silent, under eight callers: every answer comes in time, the process holds no more
/// sockets, threads and requests than before, and goes on by itself. `make test` runs the silence only.
#[tokio::test(flavor = "multi_thread")]
async fn row_04_a_slow_or_silent_database_holds_nothing_up_and_nothing_grows() -> Result<()> {
    let stand = Stand::start(Wanted::of(1, 1)).await?;
    let api = stand.services.apis[0].clone();
    let each_way = |delay: u64| Mode::Delay(Duration::from_millis(delay / 2));
    let mut modes = vec![Mode::BlackHole];
    if is_full() {
        modes.extend([each_way(500), each_way(5_000), Mode::Throttle(1_000)]);
    }
    let (mut injected, mut history, mut opened) = (0, Vec::new(), 0);
    let watched = Duration::from_secs(if is_full() { 10 } else { 3 });
    let disturbed = stand.database.disturbed();
    let before = held(&stand).await?;
    let mut most = before;
    let callers = Callers::start(&stand.services, 4, 8, HALF);
    for mode in modes {
        progress(&callers, 50).await?;
        let so_far = stand.database.disturbed();
        stand.database.set(mode);
        let began = Instant::now();
        while began.elapsed() < watched {
            let now = held(&stand).await?;
            most.sockets = most.sockets.max(now.sockets);
            most.threads = most.threads.max(now.threads);
            opened += usize::from(is_open(&stand, "database").await?);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        if mode == Mode::BlackHole {
            history.extend(until_at_once(&callers, &api).await?);
        }
        injected += u64::from(stand.database.disturbed() > so_far);
        heal(&stand.database).await;
        progress(&callers, 50).await?;
    }
    history.extend(callers.end().await?);
    let sum = Sum::of(&history);
    let slowest = sum.slowest;
    ensure!(slowest < IN_TIME, "an answer after {slowest:?}");
    ensure!(opened > 0, "the breaker did not open");
    let process = stand.services.ingests[0].lock().await;
    let in_flight = process
        .until_metric("kith_http_in_flight", |count| count == 0.0)
        .await?;
    drop(process);
    // Eight callers, one who asks for metrics, and connections that are made anew before the old ones are gone.
    ensure!(
        most.sockets <= before.sockets + 32 && most.threads <= before.threads + 8,
        "{before:?} became {most:?}"
    );
    let profiles = stand.check(&history).await?;
    report(
        4,
        injected,
        &format!(
            "{} chunks that the proxy kept back or delayed",
            stand.database.disturbed() - disturbed
        ),
        &format!(
            "{} acknowledged, {} answered 503, {} not answered, slowest {slowest:?}; sockets {} and at most {}, threads {} and at most {}, {in_flight} requests held afterwards; {profiles} profiles, 0 findings",
            sum.acknowledged,
            sum.refused,
            sum.unanswered,
            before.sockets,
            most.sockets,
            before.threads,
            most.threads
        ),
    )?;
    stand.stop().await
}

/// What was kept back is gone: only new connections work again.
async fn heal(proxy: &kith_tests::proxy::Proxy) {
    proxy.set(Mode::Cut);
    until(RECOVERY, "no connection", || async {
        Ok((proxy.open() == 0).then_some(()))
    })
    .await
    .ok();
    proxy.set(Mode::Forward);
}

#[tokio::test(flavor = "multi_thread")]
async fn row_07_a_worker_without_its_database_waits_and_catches_up() -> Result<()> {
    const WAITING: usize = 20;
    let stand = Stand::start(Wanted::of(1, 1)).await?;
    let api = stand.services.apis[0].clone();
    let (mut injected, mut published) = (0, 0);
    let mut disturbed = 0;
    let mut modes = vec![Mode::Cut];
    if is_full() {
        modes.extend([Mode::BlackHole, Mode::SwallowAnswers, Mode::Reset]);
    }
    for (round, mode) in modes.into_iter().enumerate() {
        let first = accepted(&api, &email(7), "First-Person").await?;
        published += 1;
        api.until_trait(&first, ("Contact", "firstName"), json!("First-Person"))
            .await?;
        until_committed(&stand, published).await?;
        let so_far = stand.cells.disturbed();
        stand.cells.set(mode);
        let mut waiting = Vec::new();
        for number in 0..WAITING {
            let name = format!("waiting-{round}-{number}");
            waiting.push((accepted(&api, &email(7), &name).await?, name));
        }
        // It has tried, and tries again.
        until(RECOVERY, "a fault", || async {
            let times = stand.cells.disturbed() - so_far;
            Ok((times >= 3).then_some(()))
        })
        .await?;
        disturbed += stand.cells.disturbed() - so_far;
        let committed: i64 = stand.committed().await?.values().sum();
        ensure!(
            committed == published,
            "{committed} committed, {published} done"
        );
        ensure!(letters(&stand).await? == 0.0, "dead letters in an outage");
        injected += 1;
        heal(&stand.cells).await;
        for (id, name) in &waiting {
            api.until_trait(id, ("Contact", "firstName"), json!(name))
                .await?;
        }
        published += WAITING as i64;
        until_committed(&stand, published).await?;
        ensure!(letters(&stand).await? == 0.0, "dead letters");
    }
    let listed = api.list().await?.len();
    ensure!(listed as i64 == published, "{listed} of {published} listed");
    report(
        7,
        injected,
        &format!("{disturbed} connections that the proxy refused and chunks that it kept back"),
        &format!(
            "{published} creates acknowledged, {} of them while the worker's database was away; no offset moved then, 0 dead letters, all caught up; {listed} profiles",
            injected * WAITING as u64
        ),
    )?;
    stand.stop().await
}

async fn letters(stand: &Stand) -> Result<f64> {
    let page = stand.services.workers[0].lock().await.metrics().await?;
    Ok(metric(&page, "kith_dead_letters_total"))
}

async fn until_committed(stand: &Stand, wanted: i64) -> Result<()> {
    until(RECOVERY, "all committed", || async {
        let committed: i64 = stand.committed().await?.values().sum();
        ensure!(committed == wanted, "{committed} of {wanted}");
        Ok(Some(()))
    })
    .await
}

/// The broker itself is frozen beyond the delivery time-out, killed, and started again, under load.
#[tokio::test(flavor = "multi_thread")]
async fn row_08_a_broker_that_is_killed_or_frozen_loses_nothing_acknowledged() -> Result<()> {
    let stand = Stand::start(Wanted::of(2, 1)).await?;
    let api = &stand.services.apis[0];
    let callers = Callers::start(&stand.services, 8, 8, HALF);
    let more = if is_full() { 200 } else { 40 };
    progress(&callers, more).await?;
    let mut strangers = Vec::new();

    node("kafka", "freeze").await?;
    // The delivery time-out is 2 s; the breaker has to open, and whoever is let through to try, too.
    let answered = until_at_once(&callers, api).await;
    let still = node("kafka", "status").await?;
    node("kafka", "thaw").await?;
    strangers.extend(answered?);
    ensure!(still == "frozen", "the broker was {still}");
    progress(&callers, more).await?;

    let before = node("kafka", "pid").await?;
    node("kafka", "kill").await?;
    let answered = until_at_once(&callers, api).await;
    node("kafka", "start").await?;
    strangers.extend(answered?);
    let after = node("kafka", "pid").await?;
    ensure!(before != after, "the broker was not killed");
    progress(&callers, more).await?;

    let mut history = callers.end().await?;
    history.extend(strangers);
    let sum = Sum::of(&history);
    let slowest = sum.slowest;
    ensure!(slowest < IN_TIME, "an answer after {slowest:?}");
    ensure!(sum.refused > 0, "nobody met the outage");
    let profiles = stand.check(&history).await?;
    let creates = history.iter().filter(|one| one.accepted().is_some());
    let (creates, records) = (creates.count(), stand.records().await?);
    ensure!(records >= creates, "{records} records of {creates} creates");
    let letters = letters(&stand).await?;
    ensure!(letters == 0.0, "{letters} dead letters");
    report(
        8,
        2,
        "the kernel's word that the broker stood still, and its new process id",
        &format!(
            "{} acknowledged, {} answered 503, {} not answered, slowest {slowest:?}; {records} records of {creates} acknowledged creates, the others late ones that were answered 503; {profiles} profiles, 0 findings, 0 dead letters",
            sum.acknowledged, sum.refused, sum.unanswered
        ),
    )?;
    stand.stop().await
}

/// Publishes while the client library's mock of a broker answers so.
async fn published_against(
    errors: &[RDKafkaRespErr],
) -> Result<(std::result::Result<(), PublishError>, Duration)> {
    let cluster = MockCluster::new(1)?;
    let mut config = KafkaConfig {
        bootstrap: cluster.bootstrap_servers(),
        traits_topic: "mock.traits".to_owned(),
        ..KafkaConfig::default()
    };
    config.topics.partitions = 1;
    config.topics.replication_factor = 1;
    config.topics.min_insync_replicas = 1;
    cluster.create_topic(&config.traits_topic, 1, 1)?;
    let log = KafkaLog::new(&config)?;
    log.warm(RECOVERY).await?;
    cluster.request_errors(RDKafkaApiKey::Produce, errors);
    let record = NewRecord {
        key: b"key".as_slice().into(),
        payload: b"1".as_slice().into(),
        headers: Vec::new(),
    };
    let start = Instant::now();
    let outcome = log.publish(record).await;
    Ok((outcome, start.elapsed()))
}

/// No broker answers these on demand: this row runs on a double, and is the only one.
#[tokio::test]
async fn row_09_errors_of_the_broker_are_tried_again_or_answered_as_documented() -> Result<()> {
    use RDKafkaRespErr::{
        RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE as TOO_LARGE,
        RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS as NOT_ENOUGH_REPLICAS,
        RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND as NOT_ENOUGH_AFTER_APPEND,
        RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION as NOT_LEADER,
        RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT as REQUEST_TIMED_OUT,
        RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED as NOT_AUTHORIZED,
    };
    let passes = [
        NOT_ENOUGH_REPLICAS,
        NOT_ENOUGH_AFTER_APPEND,
        NOT_LEADER,
        REQUEST_TIMED_OUT,
    ];
    let stays = [NOT_ENOUGH_REPLICAS, NOT_LEADER, REQUEST_TIMED_OUT];
    let at_once = [TOO_LARGE, NOT_AUTHORIZED];
    // What comes after an error that passes is heard by the second try only.
    let mut cases: Vec<Vec<RDKafkaRespErr>> = Vec::new();
    cases.extend(passes.map(|error| vec![error, TOO_LARGE]));
    cases.extend(passes.map(|error| vec![error]));
    cases.extend(stays.map(|error| vec![error; 1_000]));
    cases.extend(at_once.map(|error| vec![error]));
    let outcomes = join_all(cases.iter().map(|errors| published_against(errors))).await;
    let mut injected = 0;
    for (errors, outcome) in cases.iter().zip(outcomes) {
        let (outcome, took) = outcome?;
        let (first, is_right) = (
            errors[0],
            match (&errors[..], &outcome) {
                ([TOO_LARGE] | [_, TOO_LARGE], Err(PublishError::TooLarge)) => true,
                ([NOT_AUTHORIZED], Err(PublishError::Unavailable(_))) => {
                    took < Duration::from_secs(1)
                }
                ([TOO_LARGE | NOT_AUTHORIZED] | [_, TOO_LARGE], _) => false,
                ([_], Ok(())) => true,
                ([_, _, ..], Err(PublishError::Unavailable(_))) => {
                    took < Duration::from_millis(3_300)
                }
                _ => false,
            },
        );
        let times = errors.len();
        ensure!(
            is_right,
            "{first:?}, {times} errors: {outcome:?} after {took:?}"
        );
        injected += if times > 2 { 1 } else { times as u64 };
    }
    report(
        9,
        injected,
        "what the publisher was told: an error that is tried again is followed by another one, which only the second try hears",
        "replicas, leader, time-out: tried again, unavailable (503) within 3.3 s if it stays; too large at once; no right: unavailable at once",
    )
}

/// The way into the log is full: as many wait for a silent broker as may be worked on. The bound on requests is what keeps the
/// producer's queue from ever being full after a claim.
#[tokio::test(flavor = "multi_thread")]
async fn row_10_past_a_full_queue_creates_are_refused_at_once_and_claim_nothing() -> Result<()> {
    const FULL: usize = 8;
    const MORE: usize = 24;
    let mut wanted = Wanted::of(1, 1);
    wanted
        .ingest_told
        .push(("KITH_REQUESTS_IN_FLIGHT_MAX".into(), FULL.to_string()));
    let stand = Stand::start(wanted).await?;
    let api = stand.services.apis[0].clone();
    accepted(&api, &email(10), "Warm-Person").await?;
    let refused_before = refused(&stand).await?;
    stand.log.set(Mode::BlackHole);
    let waiting: Vec<String> = (0..FULL).map(|_| email(10)).collect();
    let late: Vec<String> = (0..MORE).map(|_| email(10)).collect();
    let held = join_all(
        waiting
            .iter()
            .map(|address| timed(&api, address, "Held-Person")),
    );
    let more = async {
        let process = stand.services.ingests[0].lock().await;
        process
            .until_metric("kith_http_in_flight", |count| count == FULL as f64)
            .await?;
        anyhow::Ok(
            join_all(
                late.iter()
                    .map(|address| timed(&api, address, "Late-Person")),
            )
            .await,
        )
    };
    let (held, more) = tokio::join!(held, more);
    let mut slowest = Duration::ZERO;
    for answer in more? {
        let (answer, took) = answer?;
        answer.is_outage()?;
        slowest = slowest.max(took);
    }
    ensure!(
        slowest < Duration::from_millis(500),
        "refused after {slowest:?}"
    );
    let mut longest = Duration::ZERO;
    for answer in held {
        let (answer, took) = answer?;
        answer.is_outage()?;
        longest = longest.max(took);
    }
    ensure!(longest < IN_TIME, "503 after {longest:?}");
    let swallowed = stand.log.swallowed();
    let injected = refused(&stand).await? - refused_before;
    ensure!(
        swallowed > 0 && injected == MORE as f64,
        "{injected} of {MORE} were refused"
    );
    heal(&stand.log).await;
    // Those that were refused have claimed nothing; those that were held have, and are found by their repetition.
    for address in &late {
        let owners = api.owners("email", address).await?;
        ensure!(owners.is_empty(), "a refused create has claimed");
    }
    let mut claimed = 0;
    for address in waiting.iter().chain(&late) {
        let owners = api.owners("email", address).await?;
        let id = accepted(&api, address, "Again-Person").await?;
        ensure!(owners.is_empty() || owners == [id.clone()], "two profiles");
        claimed += owners.len();
        api.until_trait(&id, ("Contact", "firstName"), json!("Again-Person"))
            .await?;
    }
    let listed = api.list().await?.len();
    ensure!(listed == 1 + FULL + MORE, "{listed} profiles");
    report(
        10,
        1,
        &format!(
            "{swallowed} chunks that the broker's proxy kept back, and {injected} refusals that the process counted"
        ),
        &format!(
            "{MORE} refused, the slowest in {slowest:?}, 0 of them claimed; {FULL} held and answered 503 within {longest:?}, {claimed} of them had claimed; all acknowledged when sent again, {listed} profiles"
        ),
    )?;
    stand.stop().await
}

async fn refused(stand: &Stand) -> Result<f64> {
    let page = stand.services.ingests[0].lock().await.metrics().await?;
    Ok(metric(&page, "kith_http_refused_total"))
}

/// The broker has the record, and its acknowledgement does not arrive: the connection is reset before the producer gives up,
/// or stays silent until it has.
#[tokio::test(flavor = "multi_thread")]
async fn row_11_a_record_whose_acknowledgement_is_lost_has_one_effect() -> Result<()> {
    let stand = Stand::start(Wanted::of(1, 1)).await?;
    let api = stand.services.apis[0].clone();
    accepted(&api, &email(11), "Warm-Person").await?;
    let (mut injected, mut once, mut twice, mut given_up) = (0, 0, 0, 0);
    let rounds = if is_full() { 12 } else { 3 };
    for round in 0..rounds {
        let is_silent = round % 3 == 2;
        let address = email(11);
        let before = stand.records().await?;
        let swallowed = stand.log.swallowed();
        stand.log.set(Mode::SwallowAnswers);
        let sent = timed(&api, &address, "Lost-Person");
        let fault = async {
            until(RECOVERY, "the record", || async {
                Ok((stand.records().await? > before).then_some(()))
            })
            .await?;
            if !is_silent {
                stand.log.set(Mode::Reset);
                heal(&stand.log).await;
            }
            anyhow::Ok(())
        };
        let (answer, fault) = tokio::join!(sent, fault);
        fault?;
        ensure!(stand.log.swallowed() > swallowed, "no answer was kept back");
        injected += 1;
        if is_silent {
            heal(&stand.log).await;
        }
        let (answer, took) = answer?;
        ensure!(took < IN_TIME, "{} after {took:?}", answer.status);
        let id = if answer.status == 202 {
            ensure!(!is_silent, "202 without an acknowledgement");
            let copies = stand.records().await? - before;
            once += usize::from(copies == 1);
            twice += usize::from(copies > 1);
            answer.accepted_id()?
        } else {
            answer.is_outage()?;
            given_up += 1;
            let owners = api.owners("email", &address).await?;
            ensure!(owners.len() == 1, "its claim was made: {owners:?}");
            owners[0].clone()
        };
        api.until_trait(&id, ("Contact", "firstName"), json!("Lost-Person"))
            .await?;
        // What is sent later wins over whatever comes late.
        ensure!(
            accepted(&api, &address, "Later-Person").await? == id,
            "two profiles"
        );
        api.until_trait(&id, ("Contact", "firstName"), json!("Later-Person"))
            .await?;
    }
    let records = stand.records().await?;
    until_committed(&stand, records as i64).await?;
    let listed = api.list().await?.len();
    ensure!(listed == 1 + rounds, "{listed} profiles");
    report(
        11,
        injected,
        &format!(
            "{} answers that the proxy kept back while the broker had the record",
            stand.log.swallowed()
        ),
        &format!(
            "{} acknowledged by the producer's second try ({once} with one record, {twice} with a repeated one), {given_up} answered 503 in time; each had one effect, and a later write won; {listed} profiles of {rounds} people and one",
            once + twice
        ),
    )?;
    stand.stop().await
}

/// One record after another: the worker's database takes one statement more each time and then no other, and the worker is
/// killed there, until every statement has passed.
struct Killed {
    stages: u64,
    persisted: u64,
}

async fn kill_at_every_statement(
    stand: &Stand,
    published: &mut i64,
    mut publish: impl AsyncFnMut(u64) -> Result<()>,
    is_done: impl AsyncFn() -> Result<bool>,
) -> Result<Killed> {
    let mut killed = Killed {
        stages: 0,
        persisted: 0,
    };
    for statements in 0..STATEMENTS_MAX {
        until_committed(stand, *published).await?;
        let swallowed = stand.cells.swallowed();
        stand.cells.set(Mode::PassRequests(statements));
        publish(statements).await?;
        *published += 1;
        let is_held = until(RECOVERY, "a statement", || async {
            if stand.cells.swallowed() > swallowed {
                return Ok(Some(true));
            }
            let committed: i64 = stand.committed().await?.values().sum();
            Ok((committed == *published).then_some(false))
        })
        .await?;
        let mut worker = stand.services.workers[0].lock().await;
        let before = worker.id();
        if is_held {
            let committed: i64 = stand.committed().await?.values().sum();
            ensure!(committed < *published, "committed before it was done");
            killed.stages += 1;
            killed.persisted += u64::from(is_done().await?);
        }
        worker.kill()?;
        heal(&stand.cells).await;
        worker.crash_and_restart().await?;
        ensure!(worker.id() != before, "it was not killed");
        until(RECOVERY, "the effect", || async {
            Ok(is_done().await?.then_some(()))
        })
        .await?;
        drop(worker);
        until_committed(stand, *published).await?;
        let page = stand.services.workers[0].lock().await.metrics().await?;
        let replayed = metric(&page, "kith_log_records_total");
        let wanted = if is_held { 1.0 } else { 0.0 };
        ensure!(
            replayed == wanted,
            "{replayed} records read again, not {wanted}"
        );
        if !is_held {
            killed.stages += 1;
            return Ok(killed);
        }
    }
    bail!("a record with more than {STATEMENTS_MAX} statements")
}

#[tokio::test(flavor = "multi_thread")]
async fn row_12_a_worker_killed_at_any_stage_replays_to_the_same_profile() -> Result<()> {
    let mut wanted = Wanted::of(1, 1);
    // It gets its partitions back without waiting for the end of the dead one's session.
    wanted
        .worker_told
        .push(("KITH_KAFKA_GROUP_INSTANCE_ID".into(), "row-12".into()));
    let stand = Stand::start(wanted).await?;
    let api = stand.services.apis[0].clone();
    let address = email(12);
    let id = accepted(&api, &address, "Before-Person").await?;
    let (id, api) = (&id, &api);
    let mut published = 1;
    let name = RefCell::new(String::new());
    let traits = kill_at_every_statement(
        &stand,
        &mut published,
        async |number| {
            name.replace(format!("killed-at-{number}"));
            let wanted = name.borrow().clone();
            ensure!(accepted(api, &address, &wanted).await? == *id, "another");
            Ok(())
        },
        async || {
            let answer = api.get(id).await?;
            Ok(answer.body["traits"]["Contact"]["firstName"] == json!(*name.borrow()))
        },
    )
    .await?;
    ensure!(traits.persisted > 0, "never killed after the write");
    let purges = match is_full() {
        true => purges(&stand, &mut published).await?,
        false => 0,
    };
    let owners = api.owners("email", &address).await?;
    ensure!(owners == [id.clone()], "{owners:?}, not {id}");
    let listed = api.list().await?;
    ensure!(listed == [id.clone()], "{listed:?}");
    report(
        12,
        traits.stages + purges,
        "a new process id each time, and statements that the proxy held",
        &format!(
            "{} of them before the write was visible, {} between the write and the offset, one after the offset; each record was read again unless it was committed, the trait was right after each, one profile; {purges} deletions, each ended when replayed",
            traits.stages - traits.persisted - 1,
            traits.persisted
        ),
    )?;
    stand.stop().await
}

/// The same for deletions, whose records the worker purges after.
async fn purges(stand: &Stand, published: &mut i64) -> Result<u64> {
    let api = &stand.services.apis[0];
    let mut ids = Vec::new();
    for _ in 0..STATEMENTS_MAX {
        ids.push(accepted(api, &email(12), "Deleted-Person").await?);
        *published += 1;
    }
    let session = session(&stand.place).await?;
    let deleted = Cell::new(None);
    let killed = kill_at_every_statement(
        stand,
        published,
        async |number| {
            let id = &ids[usize::try_from(number)?];
            deleted.set(Some(id.parse()?));
            let path = format!("/Profiles/{id}");
            let answer = api.send(Method::DELETE, &path, None).await?;
            ensure!(answer.status == 202, "{} {}", answer.status, answer.body);
            Ok(())
        },
        async || {
            let id = deleted.get().context("a deletion")?;
            let rows = dump(&session, &stand.place.keyspace).await?;
            let is_claimed = rows.claims.values().any(|claim| claim.profile == Some(id));
            Ok(!is_claimed && !rows.cells.contains_key(&id))
        },
    )
    .await?;
    for id in &ids[..usize::try_from(killed.stages)?] {
        let status = api.get(id).await?.status;
        ensure!(status == 404, "{status} for a profile that was deleted");
    }
    for id in &ids[usize::try_from(killed.stages)?..] {
        let path = format!("/Profiles/{id}");
        let answer = api.send(Method::DELETE, &path, None).await?;
        ensure!(answer.status == 202, "{} {}", answer.status, answer.body);
    }
    Ok(killed.stages)
}
