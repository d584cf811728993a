//! Dependencies that are away, and more requests than can be worked on.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use kith_runtime::breaker::BreakerConfig;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::harness::{Answered, Setup, TestService, eventually, profiles};
use crate::watched::Mode;
use crate::wire::{answer_of, head};

fn somebody() -> Value {
    json!({"traits": {"Contact": {"email": "ada@example.com"}}})
}

/// A breaker that opens soon and stays so.
fn latched() -> Setup {
    Setup {
        breaker: BreakerConfig {
            failures_to_open: 3,
            probe_after: (Duration::from_secs(60), Duration::from_secs(60)),
        },
        ..Setup::default()
    }
}

/// Asserts that the best of a few takes less than 50 ms: the others say how busy this machine is.
async fn is_quick(work: impl AsyncFn()) {
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let began = Instant::now();
        work().await;
        best = best.min(began.elapsed());
    }
    assert!(best < Duration::from_millis(50), "{best:?}");
}

fn quick(deadline: Duration) -> Setup {
    let mut setup = Setup::default();
    setup.limits.request_deadline = deadline;
    setup
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_down_is_503_and_once_the_breaker_is_open_nothing_is_claimed() {
    let service = TestService::start_with(latched()).await;
    service.watch.set_log(Mode::Down);
    for _ in 0..3 {
        service.post(&profiles(), &somebody()).await.is(503, 20503);
    }
    let (written, read) = (service.watch.written(), service.watch.read());
    let refused = async || {
        service.post(&profiles(), &somebody()).await.is(503, 20503);
    };
    is_quick(refused).await;
    assert_eq!(
        (service.watch.written(), service.watch.read()),
        (written, read)
    );
    // Reads need no log.
    assert_eq!(service.get(&profiles()).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_down_is_503_and_once_the_breaker_is_open_nothing_is_read() {
    let service = TestService::start_with(latched()).await;
    service.watch.set_database(Mode::Down);
    for _ in 0..3 {
        service.get(&profiles()).await.is(503, 20503);
    }
    let (written, read) = (service.watch.written(), service.watch.read());
    let refused = async || {
        service.get(&profiles()).await.is(503, 20503);
        service.post(&profiles(), &somebody()).await.is(503, 20503);
    };
    is_quick(refused).await;
    assert_eq!(
        (service.watch.written(), service.watch.read()),
        (written, read)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dependency_that_comes_back_is_used_again_without_a_restart() {
    let service = TestService::start().await;
    service.watch.set_log(Mode::Down);
    for _ in 0..4 {
        service.post(&profiles(), &somebody()).await.is(503, 20503);
    }
    service.watch.set_log(Mode::Up);
    eventually("the log is used again", async || {
        service.post(&profiles(), &somebody()).await.status == 202
    })
    .await;

    service.watch.set_database(Mode::Down);
    for _ in 0..4 {
        service.get(&profiles()).await.is(503, 20503);
    }
    service.watch.set_database(Mode::Up);
    eventually("the database is used again", async || {
        service.get(&profiles()).await.status == 200
    })
    .await;
    assert_eq!(service.listed().await.as_array().map(Vec::len), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_deadline_answers_whatever_the_drivers_wait_for() {
    let service = TestService::start_with(quick(Duration::from_millis(300))).await;
    assert_eq!(service.get(&profiles()).await.status, 200);
    for (database, log) in [(Mode::Hanging, Mode::Up), (Mode::Up, Mode::Hanging)] {
        service.watch.set_database(database);
        service.watch.set_log(log);
        let began = Instant::now();
        service.post(&profiles(), &somebody()).await.is(503, 20503);
        let took = began.elapsed();
        assert!(
            took >= Duration::from_millis(250) && took < Duration::from_secs(1),
            "{took:?}"
        );
    }
}

/// Without a budget each request would try until its deadline.
#[tokio::test(flavor = "multi_thread")]
async fn statements_without_an_answer_are_sent_again_within_a_budget() {
    const REQUESTS: usize = 100;
    let service = TestService::start_with(quick(Duration::from_secs(60))).await;
    service.watch.set_database(Mode::Unanswered);
    service.watch.statements();
    let began = Instant::now();
    let requests = (0..REQUESTS).map(async |n| {
        let email = format!("ada.{n}@example.com");
        let body = json!({"traits": {"Contact": {"email": email}}});
        service.post(&profiles(), &body).await.is(503, 20503);
    });
    join_all(requests).await;
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "no deadline was waited for"
    );
    // First tries, what may be saved up, and a fifth of the first tries.
    let sent = service.watch.statements();
    let sent = sent.iter().filter(|one| one.starts_with("attempt"));
    let sent = sent.count();
    assert!(
        (500..=REQUESTS + 500 + REQUESTS / 5).contains(&sent),
        "{sent}"
    );
    service.watch.set_database(Mode::Up);
    eventually("the database is used again", async || {
        service.post(&profiles(), &somebody()).await.status == 202
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_past_the_bound_are_answered_at_once_and_write_nothing() {
    let mut setup = quick(Duration::from_secs(2));
    setup.limits.requests_in_flight_max = 2;
    let service = TestService::start_with(setup).await;
    assert_eq!(service.get(&profiles()).await.status, 200);
    service.watch.set_database(Mode::Hanging);
    let path = profiles();
    let held = futures_util::future::join(service.get(&path), service.get(&path));
    let refused = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let began = Instant::now();
        // Each on a connection of its own.
        let body = somebody();
        let answers =
            futures_util::future::join(service.get(&path), service.post(&path, &body)).await;
        assert!(
            began.elapsed() < Duration::from_millis(500),
            "{:?}",
            began.elapsed()
        );
        answers
    };
    let ((one, two), (three, four)) = futures_util::future::join(held, refused).await;
    for answered in [one, two, three, four] {
        answered.is(503, 20503);
    }
    assert_eq!(service.watch.written(), 0);
    service.watch.set_database(Mode::Up);
    eventually("there is room again", async || {
        service.get(&path).await.status == 200
    })
    .await;
}

/// Whoever asks again at once, and again, would have the processor that those need who were let in.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_back_sooner_than_told_waits_longer_each_time() {
    let mut setup = quick(Duration::from_secs(5));
    setup.limits.requests_in_flight_max = 1;
    let service = TestService::start_with(setup).await;
    let path = profiles();
    assert_eq!(service.get(&path).await.status, 200);
    service.watch.set_database(Mode::Hanging);
    let connect = async || TcpStream::connect(service.address).await.unwrap();
    let (mut held, mut hasty, mut other) = (connect().await, connect().await, connect().await);
    let request = head("GET", &path, "");
    let read = service.watch.read();
    held.write_all(request.as_bytes()).await.unwrap();
    eventually("one is let in", async || service.watch.read() > read).await;

    let began = Instant::now();
    let refused = async |stream: &mut TcpStream| {
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = answer_of(stream).await;
        assert!(answer.starts_with("http/1.1 503 "), "{answer}");
        assert!(answer.contains("\r\nretry-after: 1\r\n"), "{answer}");
        began.elapsed()
    };
    let second = Duration::from_secs(1);
    let first = refused(&mut hasty).await;
    assert!(first < second, "{first:?}");
    let (again, others) =
        futures_util::future::join(refused(&mut hasty), refused(&mut other)).await;
    assert!(again >= second / 40, "{again:?}");
    assert!(others < second, "whoever was not told: {others:?}");
    let mut refusals = 2;
    while refused(&mut hasty).await < 2 * second {
        refusals += 1;
    }
    assert!(refusals < 10, "{refusals} in two seconds");

    service.watch.set_database(Mode::Up);
    assert!(answer_of(&mut held).await.starts_with("http/1.1 "));
    hasty.write_all(request.as_bytes()).await.unwrap();
    assert!(answer_of(&mut hasty).await.starts_with("http/1.1 200 "));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_whose_client_goes_away_is_finished() {
    let service = TestService::start().await;
    assert_eq!(service.get(&profiles()).await.status, 200);
    service.watch.set_log(Mode::Hanging);
    let request = service
        .request(reqwest::Method::POST, &profiles())
        .json(&somebody());
    let given_up = request.timeout(Duration::from_millis(300)).send().await;
    assert!(given_up.unwrap_err().is_timeout());
    service.watch.set_log(Mode::Up);
    assert_eq!(service.post(&profiles(), &somebody()).await.status, 202);
    assert_eq!(service.listed().await.as_array().map(Vec::len), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn corrupt_data_and_panics_are_500_in_the_contracts_form() {
    let service = TestService::start().await;
    let internal = |answered: Answered| {
        answered.is(500, 20500);
        assert!(answered.header("retry-after").is_none());
        assert!(!answered.body.to_string().contains("row 8"));
    };
    assert_eq!(service.get(&profiles()).await.status, 200);
    for mode in [Mode::Corrupt(8), Mode::Panicking] {
        service.watch.set_database(mode);
        internal(service.get(&profiles()).await);
        internal(service.post(&profiles(), &somebody()).await);
    }
    service.watch.set_database(Mode::Up);
    assert_eq!(service.get(&profiles()).await.status, 200);
    assert_eq!(service.post(&profiles(), &somebody()).await.status, 202);
}
