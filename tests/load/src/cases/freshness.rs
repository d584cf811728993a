//! From a change to its reader, through the log and the worker.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kith_tests::pair::Shape;
use serde_json::json;
use tokio::task::JoinSet;

use crate::asking::locked;
use crate::caller::Caller;
use crate::figure::Figure;
use crate::people::{Load, People, contact};
use crate::pipeline::{Pipeline, place};
use crate::process::memory;
use crate::settings::Settings;
use crate::spread::Times;
use kith_tests::message::create;
use kith_tests::wire::Connection;

pub(super) const ABOUT: &str = "Changes of a first name at a steady rate, whether the ones before are answered or not, at one `ingest-api` with one `trait-worker` \
behind it. Each has an address that is known, and a name that nobody had. From its 202 to the first GET of the profile that shows the name, \
asked for again a millisecond after each answer that does not; and from the moment at which it was to be sent to its 202.";

const NAME: &str = "freshness";
/// Between an answer that does not show a change and the next question.
const AGAIN_AFTER: Duration = Duration::from_millis(1);
/// How long a change may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// One change, seen.
#[derive(Debug)]
struct Seen {
    answered: Duration,
    visible: Duration,
    looks: u32,
}

/// When each of a run of changes was accepted, and when it was seen.
#[derive(Debug)]
pub(super) struct Changes {
    /// Changes a second.
    rate: f64,
    answered: Times,
    visible: Times,
    looks: u32,
    count: u32,
}

pub(super) async fn run(settings: &Settings) -> Result<Vec<Figure>> {
    let (place, at_once) = (place().await?, settings.in_flight);
    let people = Arc::new(Mutex::new(People::none(at_once)));
    let pipeline = Pipeline::start(&place, Shape::single(), people, at_once).await?;
    pipeline.settle(&[1]).await?;
    let address = pipeline.address()?;
    let changes = Changes::measure(address, &pipeline.people, settings).await?;
    let ingest = memory(pipeline.ingest()?)?;
    let worker = memory(pipeline.pair.workers.first().context("a worker")?)?;
    pipeline.pair.stop().await?;

    let mut figures = changes.figures(NAME);
    for (who, memory) in [("ingest", ingest), ("worker", worker)] {
        let name = format!("{NAME}.{who}_memory_at_most");
        figures.push(Figure::shown(&name, memory.peak, "MiB"));
    }
    Ok(figures)
}

impl Changes {
    /// Changes known people with one identifier each.
    ///
    /// # Errors
    /// When an answer is wrong, or a change is never seen.
    pub(super) async fn measure(
        address: SocketAddr,
        people: &Arc<Mutex<People>>,
        settings: &Settings,
    ) -> Result<Self> {
        let caller = Caller::new(&format!("http://{address}"))?;
        locked(people, |people| people.begin(Load::Known(1)));
        let whole = Duration::from_millis(settings.loop_ms) * u32::try_from(settings.repetitions)?;
        let changes = whole.as_secs_f64() * f64::from(settings.changes);
        let (began, mut running) = (tokio::time::Instant::now(), JoinSet::new());
        for number in 0_u32.. {
            if f64::from(number) >= changes {
                break;
            }
            let due = began + Duration::from_secs(1) * number / settings.changes;
            tokio::time::sleep_until(due).await;
            running.spawn(change(
                address,
                caller.clone(),
                Arc::clone(people),
                number,
                due,
            ));
        }
        let (mut answered, mut visible) = (Times::default(), Times::default());
        let (mut looks, mut count) = (0, 0_u32);
        while let Some(seen) = running.join_next().await {
            let seen = seen??;
            answered.push(seen.answered);
            visible.push(seen.visible);
            looks += seen.looks;
            count += 1;
        }
        Ok(Self {
            rate: f64::from(count) / began.elapsed().as_secs_f64(),
            answered,
            visible,
            looks,
            count,
        })
    }

    /// What was found, for a case.
    pub(super) fn figures(&self, case: &str) -> Vec<Figure> {
        let shown = |what: &str, value, unit| Figure::shown(&format!("{case}.{what}"), value, unit);
        let looks = f64::from(self.looks) / f64::from(self.count);
        let mut figures = vec![
            shown("changes", f64::from(self.count), "changes"),
            shown("rate", self.rate, "changes/s"),
            shown("looks", looks, "a change"),
        ];
        for (what, times) in [("accepted", &self.answered), ("visible", &self.visible)] {
            figures.extend([
                shown(&format!("{what}_p50"), times.quantile_ms(0.5), "ms"),
                shown(&format!("{what}_p99"), times.quantile_ms(0.99), "ms"),
                shown(&format!("{what}_worst"), times.worst_ms(), "ms"),
            ]);
        }
        figures
    }
}

/// Changes somebody's name when it is due, and looks until it is seen.
async fn change(
    address: SocketAddr,
    caller: Caller,
    people: Arc<Mutex<People>>,
    number: u32,
    due: tokio::time::Instant,
) -> Result<Seen> {
    let mut who = locked(&people, |people| people.ask(Load::Known(1)));
    let who = who.take().context("nobody is known")?.who;
    let name = format!("Changed {number}");
    let request = create(&json!({ "Contact": contact(&who, &name) }));
    let mut connection = Connection::open(address).await?;
    let (status, body) = connection.send(&request).await?;
    let (answered, accepted) = (due.elapsed(), Instant::now());
    ensure!(
        status == 202,
        "{status}: {}",
        String::from_utf8_lossy(&body)
    );
    let mut looks = 1;
    while caller.traits(&who.id).await?["Contact"]["firstName"] != name.as_str() {
        ensure!(accepted.elapsed() < PATIENCE, "{who:?} does not change");
        looks += 1;
        tokio::time::sleep(AGAIN_AFTER).await;
    }
    Ok(Seen {
        answered,
        visible: accepted.elapsed(),
        looks,
    })
}
