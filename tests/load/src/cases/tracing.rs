//! What traces cost: the same loop at processes that export none, some and all of them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Result, ensure};
use kith_tests::pair::Shape;

use crate::figure::Figure;
use crate::people::{Load, People};
use crate::pipeline::{Measured, Pipeline, middle_and_spread, place};
use crate::settings::Settings;
use crate::sink::Sink;
use crate::spread::{Times, median};

pub(super) const ABOUT: &str = "Known people with one identifier, as above, at three processes of `ingest-api` on the same Cassandra and Kafka, in twelve \
turns of each repetition, another one first each time: without export of traces, with one of a hundred requests sampled (`parentbased_traceidratio`), and with all. Spans go by OTLP over HTTP to a \
collector in the caller's process that takes everything and keeps nothing. What traces cost is the part of the rate without them that is \
missing, in the same turn; the median of all turns. No worker runs.";

const NAME: &str = "tracing";
/// What is measured: its name, the part of requests that is sampled, and what it may cost in percent.
const VARIANTS: [(&str, Option<&str>, Option<f64>); 3] = [
    ("off", None, None),
    ("sampled_1", Some("0.01"), Some(3.0)),
    ("sampled_100", Some("1"), Some(15.0)),
];

/// The turns of each variant in a repetition. What the database does by itself takes seconds, and is to hit all alike: turns are short.
const TURNS: usize = 12;
/// How many of them take as long as the loop of another case. Even rates of whole repetitions are a fifth apart: a cost of some percent
/// takes many turns to see.
const TURNS_A_LOOP: u32 = 6;

/// What the repetitions of one variant gave.
#[derive(Debug, Default)]
struct Series {
    rates: Vec<f64>,
    /// The rate of each turn.
    turns: Vec<f64>,
    costs: Vec<f64>,
    p50_ms: Vec<f64>,
    p99_ms: Vec<f64>,
    processor_ms: Vec<f64>,
    answers: usize,
}

/// What the turns of one variant in one repetition gave.
#[derive(Debug, Default)]
struct Sum {
    answers: usize,
    seconds: f64,
    processor_ms: f64,
    times: Times,
}

pub(super) async fn run(settings: &Settings) -> Result<Vec<Figure>> {
    let (place, at_once) = (place().await?, settings.in_flight);
    let people = Arc::new(Mutex::new(People::none(at_once)));
    let mut running = Vec::new();
    for (_, sampled, _) in VARIANTS {
        let (sink, people) = (Sink::start().await?, Arc::clone(&people));
        let mut shape = Shape {
            ingests: 1,
            ..Shape::default()
        };
        if let Some(part) = sampled {
            shape = shape
                .with(
                    "OTEL_EXPORTER_OTLP_ENDPOINT",
                    format!("http://{}", sink.address),
                )
                .with("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
                .with("OTEL_TRACES_SAMPLER_ARG", part);
        }
        running.push((Pipeline::start(&place, shape, people, at_once).await?, sink));
    }
    if let Some((first, _)) = running.first() {
        first.settle(&[1]).await?;
    }

    let turn_limit = Duration::from_millis(settings.loop_ms) / TURNS_A_LOOP;
    let mut all: [Series; VARIANTS.len()] = Default::default();
    for repetition in 0..settings.repetitions {
        let mut sums: [Sum; VARIANTS.len()] = Default::default();
        for turn in 0..TURNS {
            // Each is the first and the last as often as the others: the database is not the same to all.
            for place in 0..VARIANTS.len() {
                let at = (repetition + turn + place) % VARIANTS.len();
                let pipeline = &running[at].0;
                let one = pipeline.measure(Load::Known(1), turn_limit).await?;
                all[at].turns.push(one.asked.rate);
                sums[at].add(one);
            }
        }
        for (sum, series) in sums.into_iter().zip(&mut all) {
            series.push(&sum);
        }
    }
    let off = all[0].turns.clone();
    for series in &mut all {
        let costs = series.turns.iter().zip(&off);
        series.costs = costs
            .map(|(rate, off)| 100.0 * (1.0 - rate / off))
            .collect();
    }
    let mut exported = Vec::new();
    for (pipeline, sink) in running {
        pipeline.pair.stop().await?;
        exported.push(sink.bytes());
    }
    ensure!(
        exported[0] == 0 && exported[1] < exported[2],
        "spans of {exported:?} bytes"
    );
    let mut figures = Vec::new();
    for (((name, _, most), series), bytes) in VARIANTS.into_iter().zip(all).zip(exported) {
        figures.extend(series.figures(name, most));
        if most.is_some() {
            let each = bytes as f64 / series.answers as f64;
            figures.push(shown(&format!("{name}_exported"), each, "bytes/request"));
        }
    }
    Ok(figures)
}

impl Sum {
    fn add(&mut self, one: Measured) {
        let Measured {
            asked, ingest_ms, ..
        } = one;
        self.answers += asked.answers;
        self.seconds += asked.answers as f64 / asked.rate;
        self.processor_ms += ingest_ms * asked.answers as f64;
        self.times.extend(asked.times);
    }
}

impl Series {
    fn push(&mut self, sum: &Sum) {
        let answers = sum.answers as f64;
        self.answers += sum.answers;
        self.rates.push(answers / sum.seconds);
        self.p50_ms.push(sum.times.quantile_ms(0.5));
        self.p99_ms.push(sum.times.quantile_ms(0.99));
        self.processor_ms.push(sum.processor_ms / answers);
    }

    fn figures(&self, name: &str, most: Option<f64>) -> Vec<Figure> {
        let (rate, spread) = middle_and_spread(&self.rates);
        let mut figures = vec![
            shown(&format!("{name}_rate"), rate, "requests/s"),
            shown(&format!("{name}_rate_spread"), spread, "%"),
        ];
        let more = [
            ("p50", &self.p50_ms, "ms"),
            ("p99", &self.p99_ms, "ms"),
            ("processor", &self.processor_ms, "ms/request"),
        ];
        figures.extend(
            more.map(|(what, values, unit)| shown(&format!("{name}_{what}"), median(values), unit)),
        );
        if let Some(most) = most {
            let case = format!("{NAME}.{name}_cost");
            figures.push(Figure::below(&case, median(&self.costs), "%", most));
        }
        figures
    }
}

fn shown(what: &str, value: f64, unit: &str) -> Figure {
    Figure::shown(&format!("{NAME}.{what}"), value, unit)
}
