//! Creates on Kafka and Cassandra, beside what the drivers alone can do there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use kith_tests::pair::Shape;
use kith_tests::servers::Place;
use kith_tests::topics;
use serde_json::json;

use crate::asking::check;
use crate::bare::{Bare, Rates, Sample, ceiling};
use crate::caller::Caller;
use crate::counted::{Counts, Work};
use crate::figure::Figure;
use crate::open_loop::{Latencies, PARTS};
use crate::people::{KINDS, Load, People, Person, contact};
use crate::pipeline::{Measured, Pipeline, middle_and_spread, place};
use crate::process::memory;
use crate::settings::Settings;
use crate::spread::median;
use kith_tests::message::create;

pub(super) const ABOUT: &str = "Callers of Create Profile at one `ingest-api`, with one `trait-worker` behind it, on one Cassandra and one Kafka: so many at once, \
each with a connection of its own and one request after another. The number in a name is that of the identifiers of a request, beside which \
it has a first name: `new` people nobody knows, `known` ones are sent with another first name, `attach` is a known person with one \
identifier more, `merge` two known people who turn out to be one, `mixed` are 90 known, 9 new and 1 merge of a hundred. Bare loops do one \
kind of work at a time, with the drivers and nothing else: the services' own texts, consistency, settings, records and as many at once, in \
the same tables, for half as long. The ceiling is 1 / sum(n / R): n is how often a request has something done for it, as both services have \
counted it when the last is answered (what the worker does meanwhile is in it), and R the rate of its bare loop in the same repetition. \
The `together` rate is that of one bare loop that does all of a request's work, as often as it was counted, by the same drivers at once, \
while another consumes: what the servers give when no kind of work has them for itself. \
`open` times are those of requests that come at 30, 60 and 90 % of the rate of the closed loop before, by chance and whether the ones before are \
answered or not, and count from when each was to be sent. Every loop begins when Cassandra has nothing left to compact. \
Repetitions of all loops are interleaved; figures are medians, those of a part of the ceiling of each repetition's own. New people get ids \
that nobody else has, all others the id that they must have; at the end as many are listed as there are, and of every fiftieth that nobody \
changed all identifiers lead to it.";

const NAME: &str = "pipeline-create";
/// Parts of the ceiling that must be reached.
const KNOWN_PART: f64 = 0.90;
const NEW_PART: f64 = 0.80;
/// What a service may hold at most, in MiB.
const MEMORY_MIB: f64 = 150.0;
/// Work that is done less often than this for a request is not worth a row.
const RARE: f64 = 0.01;

/// What the repetitions of one load gave.
#[derive(Debug, Default)]
struct Series {
    rates: Vec<f64>,
    ceilings: Vec<f64>,
    parts: Vec<f64>,
    together: Vec<f64>,
    parts_of_together: Vec<f64>,
    p50_ms: Vec<f64>,
    p99_ms: Vec<f64>,
    ingest_ms: Vec<f64>,
    worker_ms: Vec<f64>,
    /// Times of those who did not wait for answers, by part.
    open: [Vec<Latencies>; PARTS.len()],
    each: Vec<Counts>,
}

pub(super) async fn run(settings: &Settings) -> Result<Vec<Figure>> {
    let (place, at_once) = (place().await?, settings.in_flight);
    let people = Arc::new(Mutex::new(People::none(at_once)));
    let pipeline = Pipeline::start(&place, Shape::single(), people, at_once).await?;
    pipeline.settle(&KINDS).await?;
    let bare = Bare::new(&place, sample(&place).await?, at_once).await?;
    let limit = Duration::from_millis(settings.loop_ms);
    let request = create(&json!({ "Contact": contact(&somebody(), "Somebody") }));

    let mut limits: BTreeMap<(Work, Option<usize>), Vec<f64>> = BTreeMap::new();
    let mut all: [Series; Load::ALL.len()] = Default::default();
    for repetition in 0..settings.repetitions {
        let rates = bare.measure(limit / 2, &request).await?;
        for (work, rate) in &rates.0 {
            limits.entry(work.clone()).or_default().push(*rate);
        }
        for (load, series) in Load::ALL.into_iter().zip(&mut all) {
            let measured = pipeline.measure(load, limit).await?;
            if target(load).is_some() {
                let (each, identifiers) = (&measured.each, load.identifiers());
                let together = bare.together(each, identifiers, limit / 2, &request);
                series.push_together(measured.asked.rate, together.await?);
            }
            if matches!(load, Load::New(1) | Load::Known(1)) {
                for (part, times) in PARTS.into_iter().zip(&mut series.open) {
                    let rate = measured.asked.rate * f64::from(part) / 100.0;
                    let seed = repetition as u64;
                    times.push(pipeline.open(load, rate, limit, seed).await?);
                }
            }
            series.push(load, measured, &rates)?;
        }
    }
    let caller = Caller::new(pipeline.pair.api().base())?;
    check(&caller, &pipeline.people).await?;
    let ingest = memory(pipeline.ingest()?)?;
    let worker = memory(pipeline.pair.workers.first().context("a worker")?)?;
    pipeline.pair.stop().await?;

    let mut figures = Vec::new();
    for (load, series) in Load::ALL.into_iter().zip(all) {
        figures.extend(series.figures(load));
    }
    for ((work, identifiers), rates) in limits {
        let name = match identifiers {
            Some(identifiers) => format!("bare_{}_{identifiers}_rate", work.name()),
            None => format!("bare_{}_rate", work.name()),
        };
        figures.push(shown(&name, median(&rates), "a second"));
    }
    for (name, peak) in [("ingest", ingest.peak), ("worker", worker.peak)] {
        let case = format!("{NAME}.{name}_memory_at_most");
        figures.push(Figure::below(&case, peak, "MiB", MEMORY_MIB));
    }
    Ok(figures)
}

impl Series {
    fn push(&mut self, load: Load, measured: Measured, rates: &Rates) -> Result<()> {
        let Measured {
            asked,
            each,
            ingest_ms,
            worker_ms,
        } = measured;
        let most = ceiling(&each, rates, load.identifiers()).with_context(|| load.name())?;
        self.rates.push(asked.rate);
        self.ceilings.push(most);
        self.parts.push(asked.rate / most);
        self.p50_ms.push(asked.times.quantile_ms(0.5));
        self.p99_ms.push(asked.times.quantile_ms(0.99));
        self.ingest_ms.push(ingest_ms);
        self.worker_ms.push(worker_ms);
        self.each.push(each);
        Ok(())
    }

    /// What the drivers alone gave, with all of a request's work in one loop, right after ours gave `rate`.
    fn push_together(&mut self, rate: f64, together: f64) {
        self.together.push(together);
        self.parts_of_together.push(rate / together);
    }

    fn figures(&self, load: Load) -> Vec<Figure> {
        let name = load.name();
        let (rate, spread) = middle_and_spread(&self.rates);
        let of_ceiling = format!("{NAME}.{name}_of_ceiling");
        let part = median(&self.parts);
        let part = match target(load) {
            Some(target) => Figure::at_least(&of_ceiling, part, "of the ceiling", target),
            None => Figure::shown(&of_ceiling, part, "of the ceiling"),
        };
        let mut figures = vec![
            shown(&format!("{name}_rate"), rate, "requests/s"),
            shown(&format!("{name}_rate_spread"), spread, "%"),
            shown(
                &format!("{name}_ceiling"),
                median(&self.ceilings),
                "requests/s",
            ),
            part,
        ];
        if target(load).is_some() {
            let part = median(&self.parts_of_together);
            figures.extend([
                shown(
                    &format!("{name}_together_rate"),
                    median(&self.together),
                    "requests/s",
                ),
                shown(&format!("{name}_of_together"), part, "of the bare rate"),
            ]);
        }
        let more = [
            ("p50", &self.p50_ms, "ms"),
            ("p99", &self.p99_ms, "ms"),
            ("ingest_processor", &self.ingest_ms, "ms/request"),
            ("worker_processor", &self.worker_ms, "ms/request"),
        ];
        figures.extend(
            more.map(|(what, values, unit)| shown(&format!("{name}_{what}"), median(values), unit)),
        );
        for (part, times) in PARTS.into_iter().zip(&self.open) {
            for (what, quantile) in [("p50", 0.5), ("p99", 0.99)] {
                let values: Vec<f64> = times
                    .iter()
                    .map(|times| times.quantile_ms(quantile))
                    .collect();
                if !values.is_empty() {
                    let name = format!("{name}_open_at_{part}_percent_{what}");
                    figures.push(shown(&name, median(&values), "ms").of(&values));
                }
            }
        }
        let mut counted: BTreeMap<&Work, Vec<f64>> = BTreeMap::new();
        for (work, count) in self.each.iter().flat_map(|each| &each.0) {
            counted.entry(work).or_default().push(*count);
        }
        for (work, counts) in counted {
            let count = median(&counts);
            if count >= RARE && *work != Work::Http {
                let what = format!("{name}_counted_{}", work.name());
                figures.push(shown(&what, count, "a request"));
            }
        }
        figures
    }
}

/// The part of the ceiling that must be reached.
const fn target(load: Load) -> Option<f64> {
    match load {
        Load::Known(_) => Some(KNOWN_PART),
        Load::New(_) => Some(NEW_PART),
        Load::Mixed | Load::Attach | Load::Merge => None,
    }
}

/// A record as the service has written it.
async fn sample(place: &Place) -> Result<Sample> {
    let mut records = topics::read(place, &place.topic).await?;
    let record = records.pop().context("nothing was published")?;
    let headers = record.headers.into_iter();
    Ok(Sample {
        payload: record.payload.unwrap_or_else(Bytes::new),
        headers: headers.collect(),
    })
}

fn somebody() -> Person {
    Person {
        number: 0,
        identifiers: 1,
        id: String::new(),
    }
}

fn shown(what: &str, value: f64, unit: &str) -> Figure {
    Figure::shown(&format!("{NAME}.{what}"), value, unit)
}
