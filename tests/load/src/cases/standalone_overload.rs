//! The standalone under more callers than it takes: what becomes of those that it lets in, and of the others.

use std::cell::Cell;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use serde_json::{Value, json};

use super::folder;
use crate::figure::Figure;
use crate::process::{Standalone, idle, memory};
use crate::settings::Settings;
use crate::spread::{Times, median};
use crate::walk::count;
use kith_tests::message::create;
use kith_tests::wire::Connection;

pub(super) const ABOUT: &str = "Callers of Create Profile at one `kith` process as in standalone-create, all with new people: 64 callers, as many as it lets in at once \
(512, `KITH_REQUESTS_IN_FLIGHT_MAX`), and `--overload-callers`. Whoever is refused (503) comes back: patient callers after as long as `Retry-After` says, hasty ones at once, \
which no server can want. Every refusal says when to come back. Rates and times are those of accepted requests, from the request's first byte to the answer's last, unless \
they are called refused. Repetitions are interleaved. Accepted people get ids that nobody else has, and at the end as many are listed as were accepted: a refused request left nothing. Only of those \
who were let in and not answered within the deadline (late) nobody knows.";

const NAME: &str = "standalone-overload";
/// Requests that the process lets in at once.
const BOUND: usize = 512;
/// Whoever is refused after so long was let in first: the process gives up after 2.5 s (`KITH_REQUEST_DEADLINE`).
const LATE: Duration = Duration::from_millis(2_400);
/// How much longer the slowest of a hundred accepted requests may take than where nobody is refused.
const LONGER_MAX: f64 = 1.5;

/// What callers do who are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// They come back when they are told to.
    Patient,
    /// They come back at once.
    Hasty,
}

/// A loop of callers, and what its repetitions gave.
#[derive(Debug)]
struct Crowd {
    name: String,
    callers: usize,
    manner: Manner,
    rates: Vec<f64>,
    refused_rates: Vec<f64>,
    p50_ms: Vec<f64>,
    p99_ms: Vec<f64>,
    refused_p99_ms: Vec<f64>,
}

impl Crowd {
    fn of(name: String, callers: usize, manner: Manner) -> Self {
        Self {
            name,
            callers,
            manner,
            rates: Vec::new(),
            refused_rates: Vec::new(),
            p50_ms: Vec::new(),
            p99_ms: Vec::new(),
            refused_p99_ms: Vec::new(),
        }
    }

    fn figures(&self) -> [Figure; 5] {
        [
            ("rate", &self.rates, "requests/s"),
            ("p50", &self.p50_ms, "ms"),
            ("p99", &self.p99_ms, "ms"),
            ("refused", &self.refused_rates, "refusals/s"),
            ("p99_refused", &self.refused_p99_ms, "ms"),
        ]
        .map(|(what, values, unit)| {
            let case = format!("{NAME}.{}_{what}", self.name);
            Figure::shown(&case, median(values), unit).of(values)
        })
    }
}

/// What one caller was answered.
#[derive(Debug, Default)]
struct Answered {
    ids: Vec<String>,
    accepted: Times,
    refused: Times,
    /// Of those refused, whoever was let in and not answered in time: what became of them is unknown.
    late: usize,
}

pub(super) async fn run(settings: &Settings) -> Result<Vec<Figure>> {
    let dir = folder(settings)?;
    let kith = Standalone::start(&dir.path().join("data"), dir.path()).await?;
    let limit = Duration::from_millis(settings.loop_ms);
    let many = settings.overload_callers;
    let mut crowds = [
        Crowd::of("64_callers".into(), 64, Manner::Patient),
        Crowd::of("512_callers".into(), BOUND, Manner::Patient),
        Crowd::of(format!("{many}_patient_callers"), many, Manner::Patient),
        Crowd::of(format!("{many}_hasty_callers"), many, Manner::Hasty),
    ];
    let mut people = People::default();
    for _ in 0..settings.repetitions {
        for crowd in &mut crowds {
            measure(&kith, crowd, limit, &mut people).await?;
        }
    }
    let (made, listed) = (people.ids.len(), count(&kith.caller).await?);
    ensure!(
        (u64::try_from(made)?..=u64::try_from(made + people.late)?).contains(&listed),
        "{listed} are listed, {made} were accepted, and {} were late",
        people.late
    );
    let memory = memory(&kith.process)?;
    kith.stop().await?;

    let mut figures: Vec<Figure> = crowds.iter().flat_map(Crowd::figures).collect();
    let [_, full, patient, hasty] = &crowds;
    for crowd in [patient, hasty] {
        let times = median(&crowd.p99_ms) / median(&full.p99_ms);
        let case = format!("{NAME}.{}_p99_against_512_callers", crowd.name);
        figures.push(Figure::below(&case, times, "times", LONGER_MAX));
    }
    let case = format!("{NAME}.late_refused");
    figures.push(Figure::shown(&case, people.late as f64, "requests"));
    let case = format!("{NAME}.memory_at_most");
    figures.push(Figure::shown(&case, memory.peak, "MiB"));
    Ok(figures)
}

/// Everybody who was made up, the ids of those who were accepted, and how many were late.
#[derive(Debug, Default)]
struct People {
    next: Cell<usize>,
    ids: HashSet<String>,
    late: usize,
}

/// Has callers send for as long as they may.
async fn measure(
    kith: &Standalone,
    crowd: &mut Crowd,
    limit: Duration,
    people: &mut People,
) -> Result<()> {
    idle(&kith.process).await?;
    // Connected before the clock starts: a crowd that arrives is another question than one that is there.
    let mut connections = Vec::with_capacity(crowd.callers);
    for _ in 0..crowd.callers {
        connections.push(connect(kith.address).await?);
    }
    let began = Instant::now();
    let work = connections
        .into_iter()
        .map(|connection| caller(connection, &people.next, began + limit, crowd.manner));
    let answered = try_join_all(work).await?;
    let seconds = began.elapsed().as_secs_f64();
    let (mut accepted, mut refused) = (Times::default(), Times::default());
    for one in answered {
        for id in one.ids {
            ensure!(people.ids.insert(id), "two new people have one id");
        }
        accepted.extend(one.accepted);
        refused.extend(one.refused);
        people.late += one.late;
    }
    crowd.rates.push(accepted.len() as f64 / seconds);
    crowd.refused_rates.push(refused.len() as f64 / seconds);
    crowd.p50_ms.push(accepted.quantile_ms(0.5));
    crowd.p99_ms.push(accepted.quantile_ms(0.99));
    crowd.refused_p99_ms.push(refused.quantile_ms(0.99));
    Ok(())
}

async fn connect(address: SocketAddr) -> Result<Connection> {
    Connection::open(address).await.context("a connection")
}

async fn caller(
    mut connection: Connection,
    next: &Cell<usize>,
    until: Instant,
    manner: Manner,
) -> Result<Answered> {
    let mut answered = Answered::default();
    while Instant::now() < until {
        let person = next.replace(next.get() + 1);
        let request = create(&json!({ "Contact": contact(person) }));
        let began = Instant::now();
        let answer = connection.ask(&request).await?;
        let took = began.elapsed();
        let body: Value = serde_json::from_slice(&answer.body)?;
        match answer.status {
            202 => {
                answered
                    .ids
                    .push(body["id"].as_str().context("no id")?.to_owned());
                answered.accepted.push(took);
            }
            503 => {
                let after = answer.retry_after.context("no Retry-After")?;
                ensure!((1..=60).contains(&after), "Retry-After: {after}");
                ensure!(body["code"] == 20_503, "{body}");
                answered.refused.push(took);
                answered.late += usize::from(took >= LATE);
                if manner == Manner::Patient {
                    let back = Instant::now() + Duration::from_secs(after);
                    tokio::time::sleep_until(back.min(until).into()).await;
                }
            }
            status => anyhow::bail!("{status}: {body}"),
        }
    }
    Ok(answered)
}

fn contact(n: usize) -> Value {
    json!({
        "email": format!("overload-{n}@example.com"),
        "phone": format!("+1317{n:07}"),
        "firstName": format!("Person {n}"),
    })
}
