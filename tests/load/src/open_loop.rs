//! Requests that come when they come, whether or not those before are answered, as they do from people who know nothing of
//! each other. The time of an answer counts from when its request was to be sent: a server that stands still is charged with
//! everybody who came meanwhile, and not only with those whom a caller had time to send (coordinated omission).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use hdrhistogram::Histogram;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::closed_loop::{Answered, Create};
use kith_tests::wire::Connection;

/// Connections of a loop.
pub const CONNECTIONS: usize = 256;
/// Parts of a capacity at which requests come, in hundredths.
pub const PARTS: [u32; 3] = [30, 60, 90];
/// The longest time that is told apart from longer ones, in microseconds.
const MICROS_MAX: u64 = 120_000_000;
/// Digits that count.
const DIGITS: u8 = 3;

/// Times of answers.
#[derive(Debug)]
pub struct Latencies(Histogram<u64>);

impl Latencies {
    /// None yet.
    ///
    /// # Errors
    /// Never: the bounds are sound.
    pub fn new() -> Result<Self> {
        Ok(Self(Histogram::new_with_bounds(1, MICROS_MAX, DIGITS)?))
    }

    /// Adds one.
    pub fn push(&mut self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.0.saturating_record(micros.max(1));
    }

    /// The time that this part of all does not exceed, in milliseconds.
    #[must_use]
    pub fn quantile_ms(&self, part: f64) -> f64 {
        self.0.value_at_quantile(part) as f64 / 1e3
    }
}

/// What came of a schedule.
#[derive(Debug)]
pub struct Outcome {
    /// The answers.
    pub answers: Vec<Answered>,
    /// Their times from when they were to be sent.
    pub latencies: Latencies,
    /// From the first time of the schedule to the last answer.
    pub took: Duration,
}

/// When requests are to be sent, from the beginning: so many a second on average, by chance, and always the same by one seed.
#[must_use]
pub fn schedule(rate: f64, limit: Duration, seed: u64) -> Vec<Duration> {
    let mut chance = StdRng::seed_from_u64(seed);
    let mut at = 0.0;
    let mut times = Vec::new();
    loop {
        // The time between two of many who know nothing of each other.
        let uniform: f64 = chance.random_range(0.0..1.0);
        at -= (1.0 - uniform).ln() / rate;
        if at >= limit.as_secs_f64() {
            return times;
        }
        times.push(Duration::from_secs_f64(at));
    }
}

/// Sends by a schedule over so many connections. A request that finds none free waits for one, and its clock runs.
///
/// # Errors
/// When an answer is wrong.
pub async fn run(
    address: SocketAddr,
    connections: usize,
    schedule: &[Duration],
    create: impl Fn(usize) -> Create,
) -> Result<Outcome> {
    let opening = (0..connections).map(|_| Connection::open(address));
    let open = try_join_all(opening).await?;
    let (due, arrivals) = unbounded_channel();
    let arrivals = Mutex::new(arrivals);
    let began = Instant::now();
    let pace = {
        let schedule = schedule.to_vec();
        // A thread of its own: timers of the runtime tick in milliseconds, which is what is to be measured.
        std::thread::spawn(move || {
            for (number, at) in schedule.into_iter().enumerate() {
                wait(began + at);
                if due.send(number).is_err() {
                    return;
                }
            }
        })
    };
    let work = open
        .into_iter()
        .map(|connection| sender(connection, &arrivals, began, schedule, &create));
    let answers: Result<Vec<Vec<Answered>>> = try_join_all(work).await;
    let took = began.elapsed();
    // It ends by itself once nobody takes anything from it.
    drop(arrivals);
    let paced = pace.join().is_ok();
    let answers: Vec<Answered> = answers?.into_iter().flatten().collect();
    ensure!(
        paced && answers.len() == schedule.len(),
        "{} of {} requests were answered",
        answers.len(),
        schedule.len()
    );
    let mut latencies = Latencies::new()?;
    for one in &answers {
        latencies.push(one.took);
    }
    Ok(Outcome {
        answers,
        latencies,
        took,
    })
}

async fn sender(
    mut connection: Connection,
    arrivals: &Mutex<UnboundedReceiver<usize>>,
    began: Instant,
    schedule: &[Duration],
    create: &impl Fn(usize) -> Create,
) -> Result<Vec<Answered>> {
    let mut answers = Vec::new();
    loop {
        let arrived = arrivals.lock().await.recv().await;
        let Some(number) = arrived else {
            return Ok(answers);
        };
        let due = began + *schedule.get(number).context("nobody was to come")?;
        let Create { person, request } = create(number);
        let (status, body) = connection.send(&request).await?;
        answers.push(Answered::read(person, status, &body, due.elapsed())?);
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a schedule in real time: there is no simulator here, and nothing to poll"
)]
fn wait(until: Instant) {
    let rest = until.saturating_duration_since(Instant::now());
    if !rest.is_zero() {
        std::thread::sleep(rest);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream::{FuturesUnordered, StreamExt as _};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_schedule_has_its_rate_and_is_the_same_by_one_seed() {
        let limit = Duration::from_secs(20);
        let times = schedule(1_000.0, limit, 7);
        assert!((19_000..21_000).contains(&times.len()), "{}", times.len());
        assert!(times.is_sorted() && times.iter().all(|at| *at < limit));
        assert_eq!(times, schedule(1_000.0, limit, 7));
        assert_ne!(times, schedule(1_000.0, limit, 8));
    }

    /// Answers every request of a connection, but nobody before `open`.
    async fn answer(mut stream: TcpStream, open: Instant) {
        let mut request = [0; 64];
        while stream.read(&mut request).await.is_ok_and(|read| read > 0) {
            tokio::time::sleep_until(open.into()).await;
            let answer = b"HTTP/1.1 202 Accepted\r\ncontent-length: 10\r\n\r\n{\"id\":\"x\"}";
            if stream.write_all(answer).await.is_err() {
                return;
            }
        }
    }

    #[tokio::test]
    async fn a_server_that_stands_still_is_charged_with_everybody_who_came_meanwhile() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let still = Duration::from_millis(400);
        let open = Instant::now() + still;
        let serve = async {
            let mut connections = FuturesUnordered::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => connections.push(answer(accepted.unwrap().0, open)),
                    Some(()) = connections.next() => {}
                }
            }
        };
        // One request every two milliseconds, for half a second, over two connections only.
        let times: Vec<Duration> = (0..250).map(|n| Duration::from_millis(2 * n)).collect();
        let create = |person| Create {
            person,
            request: b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        };
        let outcome = tokio::select! {
            outcome = run(address, 2, &times, create) => outcome.unwrap(),
            () = serve => unreachable!("it serves for ever"),
        };
        assert_eq!(outcome.answers.len(), 250);
        // Whoever asks one after another sees two slow answers of 250; here they are four fifths.
        let half = outcome.latencies.quantile_ms(0.5);
        assert!(half > 50.0, "{half} ms");
        let worst = outcome.latencies.quantile_ms(1.0);
        assert!(worst >= 300.0, "{worst} ms");
    }
}
