//! What one request costs, by its kind, where something grows: one caller, one request after another, every answer checked.
//!
//! A [`Site`] is a store with so much of what grows. The sites of a [`Comparison`] are measured in turns, so that whatever else
//! the machine does hits all of them.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use kith_tests::process::Process;
use serde_json::{Map, Value, json};

use crate::figure::Figure;
use crate::population::{PATTERN, email, profile};
use crate::process::{idle, processor_seconds};
use crate::spread::{Times, median};
use kith_tests::message::{create, fetch, lookup};
use kith_tests::wire::Connection;

/// The group of the traits that people may have beside `Contact`.
pub const GROUP: &str = "Growth";
/// How much more a request may cost where there is most.
const GROWTH_MAX: f64 = 1.5;
/// Of a pattern of neighbours, those who live and were never merged.
const SINGLE: [u64; 3] = [3, 5, 7];

/// A kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Create Profile of somebody who is there.
    Known,
    /// Create Profile of somebody who is not.
    New,
    /// Fetch Profile by its id.
    Get,
    /// Lookup of an e-mail address.
    Lookup,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Known => "known person",
            Self::New => "new person",
            Self::Get => "get",
            Self::Lookup => "lookup",
        }
    }
}

/// Somebody who is in a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// An e-mail address.
    pub email: String,
    /// The canonical profile.
    pub profile: String,
}

/// Who is in a store.
#[derive(Debug, Clone)]
pub enum People {
    /// Those of a [`population`](crate::population) of this size.
    Population(u64),
    /// These.
    Listed(Vec<Person>),
}

impl People {
    /// One of them; neighbours in number are not neighbours in the store.
    fn person(&self, n: u64) -> Person {
        let scattered = n.wrapping_mul(7_919);
        match self {
            Self::Population(profiles) => {
                let place = scattered % (profiles / PATTERN * SINGLE.len() as u64);
                let single = SINGLE.len() as u64;
                let offset = SINGLE[usize::try_from(place % single).unwrap_or_default()];
                let one = place / single * PATTERN + offset;
                Person {
                    email: email(one),
                    profile: profile(one).to_string(),
                }
            }
            Self::Listed(people) => {
                let place = usize::try_from(scattered).unwrap_or_default() % people.len();
                people[place].clone()
            }
        }
    }
}

/// A store with so much of what grows.
#[derive(Debug)]
pub struct Site<'a> {
    /// How much.
    pub at: u64,
    /// Where requests go.
    pub address: SocketAddr,
    /// Who answers them.
    pub process: &'a Process,
    /// Who is there.
    pub people: People,
    /// Traits of [`GROUP`] that everybody has, new people included.
    pub traits: u64,
}

/// Sites that are measured in turns.
#[derive(Debug)]
pub struct Comparison<'a> {
    /// The case.
    pub case: &'a str,
    /// What grows.
    pub chart: &'a str,
    /// From the least to the most.
    pub sites: Vec<Site<'a>>,
    /// Kinds of requests.
    pub kinds: &'a [Kind],
}

/// What the repetitions of one kind at one site gave.
#[derive(Debug, Clone, Default)]
struct Series {
    p50_ms: Vec<f64>,
    processor_ms: Vec<f64>,
}

impl Comparison<'_> {
    /// Measures everything.
    ///
    /// # Errors
    /// When an answer is wrong.
    pub async fn figures(&self, repetitions: usize, limit: Duration) -> Result<Vec<Figure>> {
        let mut series = vec![vec![Series::default(); self.sites.len()]; self.kinds.len()];
        // A number for each request of all repetitions, so that new people are new.
        let mut next = 0;
        for _ in 0..repetitions {
            for (kind, series) in self.kinds.iter().zip(&mut series) {
                for (site, series) in self.sites.iter().zip(series) {
                    let name = format!("{} {}", self.chart, site.at);
                    measure(site, *kind, limit, &mut next, series)
                        .await
                        .with_context(|| format!("{} with {name}", kind.name()))?;
                }
            }
        }
        Ok(self.told(&series))
    }

    fn told(&self, series: &[Vec<Series>]) -> Vec<Figure> {
        let Self { case, chart, .. } = self;
        let mut figures = Vec::new();
        let mut worst: f64 = 0.0;
        for (kind, series) in self.kinds.iter().zip(series) {
            let line = kind.name();
            let name = format!("{case}.{}", line.replace(' ', "_"));
            for (what, unit, of) in [
                ("p50", "ms", (|one| &one.p50_ms) as fn(&Series) -> &Vec<f64>),
                ("processor", "processor ms", |one| &one.processor_ms),
            ] {
                let values: Vec<f64> = series.iter().map(|one| median(of(one))).collect();
                for ((site, value), one) in self.sites.iter().zip(&values).zip(series) {
                    let name = format!("{name}_{what}_with_{}_{chart}", site.at);
                    let figure = Figure::shown(&name, *value, unit).of(of(one));
                    figures.push(figure.on(chart, line, site.at as f64));
                }
                let growth = growth(&values);
                worst = worst.max(growth);
                let name = format!("{name}_{what}_growth_with_{chart}");
                figures.push(Figure::below(&name, growth, "times", GROWTH_MAX));
            }
        }
        let name = format!("{case}.worst_growth_with_{chart}");
        figures.push(Figure::below(&name, worst, "times", GROWTH_MAX));
        figures
    }
}

/// The most, as many times the first, which is where there is least. Too short to be measured is no growth.
fn growth(values: &[f64]) -> f64 {
    let first = values.first().copied().unwrap_or_default();
    let most = values.iter().copied().fold(first, f64::max);
    match first > 0.0 {
        true => most / first,
        false => 1.0,
    }
}

/// Sends requests of one kind for as long as it may.
async fn measure(
    site: &Site<'_>,
    kind: Kind,
    limit: Duration,
    next: &mut u64,
    series: &mut Series,
) -> Result<()> {
    idle(site.process).await?;
    let mut connection = Connection::open(site.address).await?;
    let before = processor_seconds(site.process)?;
    let mut times = Times::default();
    let mut made = HashSet::new();
    let until = Instant::now() + limit;
    // Once, however short the time is.
    while times.is_empty() || Instant::now() < until {
        *next += 1;
        let person = site.people.person(*next);
        let request = request(site, kind, &person, *next);
        let began = Instant::now();
        let (status, body) = connection.send(&request).await?;
        times.push(began.elapsed());
        let body: Value = serde_json::from_slice(&body)?;
        verdict(kind, &person, status, site.traits, &body)?;
        if kind == Kind::New {
            let id = body["id"].as_str().context("no id")?;
            ensure!(made.insert(id.to_owned()), "two new people have one id");
        }
    }
    idle(site.process).await?;
    let used = processor_seconds(site.process)? - before;
    series.p50_ms.push(times.quantile_ms(0.5));
    series.processor_ms.push(1e3 * used / times.len() as f64);
    Ok(())
}

fn request(site: &Site<'_>, kind: Kind, person: &Person, n: u64) -> Vec<u8> {
    match kind {
        Kind::Known => {
            let contact = json!({ "email": person.email, "firstName": format!("Known {n}") });
            create(&json!({ "Contact": contact }))
        }
        Kind::New => create(&whole(
            &json!({
                "email": format!("new-{}-{n}@example.com", site.at),
                "firstName": format!("New {n}"),
            }),
            site.traits,
        )),
        Kind::Get => fetch(&person.profile),
        Kind::Lookup => lookup("email", &person.email),
    }
}

/// All traits of somebody.
#[must_use]
pub fn whole(contact: &Value, traits: u64) -> Value {
    let more: Map<String, Value> = (0..traits)
        .map(|n| (trait_name(n), json!(format!("value {n}"))))
        .collect();
    match more.is_empty() {
        true => json!({ "Contact": contact }),
        false => json!({ "Contact": contact, GROUP: more }),
    }
}

/// The name of a trait of [`GROUP`].
#[must_use]
pub fn trait_name(n: u64) -> String {
    format!("growth{n}")
}

/// Whether an answer is right about a person who has so many traits of [`GROUP`].
fn verdict(kind: Kind, person: &Person, status: u16, traits: u64, body: &Value) -> Result<()> {
    let expected = match kind {
        Kind::Known | Kind::New => 202,
        Kind::Get | Kind::Lookup => 200,
    };
    ensure!(status == expected, "{status}: {body}");
    let is_right = match kind {
        Kind::Known => body["id"] == person.profile.as_str(),
        Kind::New => body["id"] != person.profile.as_str(),
        Kind::Get => {
            let more = body["traits"][GROUP].as_object().map_or(0, Map::len) as u64;
            body["traits"]["Contact"]["email"] == person.email.as_str() && more == traits
        }
        Kind::Lookup => body["profiles"] == json!([person.profile]),
    };
    match is_right {
        true => Ok(()),
        false => bail!("a wrong answer about {person:?}: {body}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::population::{Fate, fate};

    #[test]
    fn growth_is_the_most_against_the_least_of_what_grows() {
        assert_eq!(growth(&[2.0, 5.0, 3.0]), 2.5);
        assert_eq!(growth(&[2.0, 1.0]), 1.0);
        assert_eq!(growth(&[0.0, 1.0]), 1.0);
    }

    #[test]
    fn people_of_a_population_live_and_were_never_merged() {
        let live: HashSet<String> = (0..800)
            .filter(|n| fate(*n) == Fate::Live && n % PATTERN != 0)
            .map(|n| profile(n).to_string())
            .collect();
        let people = People::Population(800);
        let asked: HashSet<String> = (0..3_000).map(|n| people.person(n).profile).collect();
        assert_eq!(asked, live);
    }

    #[test]
    fn a_wrong_answer_is_seen() {
        let person = Person {
            email: "a@example.com".to_owned(),
            profile: "mem_profile_1".to_owned(),
        };
        let judge = |kind, status, body: Value| verdict(kind, &person, status, 0, &body).is_ok();
        let (right, wrong) = (
            json!({ "id": "mem_profile_1" }),
            json!({ "id": "mem_profile_2" }),
        );
        assert!(judge(Kind::Known, 202, right.clone()));
        assert!(!judge(Kind::Known, 202, wrong.clone()));
        assert!(!judge(Kind::Known, 503, right.clone()));
        assert!(judge(Kind::New, 202, wrong));
        assert!(!judge(Kind::New, 202, right));
        assert!(judge(
            Kind::Lookup,
            200,
            json!({ "profiles": ["mem_profile_1"] })
        ));
        assert!(!judge(Kind::Lookup, 200, json!({ "profiles": [] })));
        let got = |email: &str, more: Value| {
            let body = json!({ "traits": { "Contact": { "email": email }, GROUP: more } });
            verdict(Kind::Get, &person, 200, 1, &body).is_ok()
        };
        assert!(got("a@example.com", json!({ "growth0": "value 0" })));
        assert!(!got("b@example.com", json!({ "growth0": "value 0" })));
        assert!(!got("a@example.com", json!({})));
    }
}
