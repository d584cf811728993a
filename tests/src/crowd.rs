//! Overlapping people that many callers create at once, and everything read back to be held against what was answered.
//!
//! Each create names some identifiers of one person, now and then one of a neighbour, which merges the two, and values that
//! the next one overwrites. [`findings`] is the judge.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use rand::RngExt;
use rand::seq::IndexedRandom;
use serde_json::{Map, Value, json};

use crate::api::Api;
use crate::history::{Event, Observed, findings};
use crate::poll::until;
use crate::process::{Process, metric};

/// How many read at once when everything is quiet.
const READERS: usize = 32;
/// Values of a trait. Two creates of one person hardly ever share one, and logs can still be searched for all of them.
const VALUES: u64 = 20_000;
/// Between two tries of a create that was not acknowledged.
const PAUSE: Duration = Duration::from_millis(50);

/// An identifier as a body carries it: the trait, the type, and the normalised value.
type Named = (&'static str, (String, String));

/// What all callers of a run share.
#[derive(Debug)]
pub struct Crowd {
    people: usize,
    creates: u64,
    clock: AtomicU64,
    next: AtomicU64,
    acknowledged: AtomicU64,
    is_over: AtomicBool,
}

/// A create.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The traits of `Contact`.
    pub contact: Value,
    identifiers: Vec<(String, String)>,
    traits: BTreeMap<String, Value>,
}

impl Crowd {
    /// So many people, and creates until there were that many or [`Crowd::end`] is called.
    #[must_use]
    pub fn new(people: usize, creates: u64) -> Self {
        Self {
            people,
            creates,
            clock: AtomicU64::new(0),
            next: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
        }
    }

    /// The next point of the order in which requests are sent and answered, over all callers.
    pub fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    /// Creates that were begun.
    #[must_use]
    pub fn begun(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    /// Creates that were acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Callers begin nothing more, and do not try again.
    pub fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// Whether it was ended.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Creates one after another, each until it is answered 202: a retry is safe, and each try is an event of its own.
    pub async fn caller(&self, apis: &[Api]) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(asked) = self.begin() {
            loop {
                let api = &apis[rand::rng().random_range(0..apis.len())];
                let sent = self.tick();
                let answer = api.contact(asked.contact.clone()).await.ok();
                let event = self.told(&asked, sent, answer);
                let is_done = event.acknowledged.is_some() || self.is_over();
                events.push(event);
                if is_done {
                    break;
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
        events
    }

    /// The next create; `None` once there is nothing more to begin.
    pub fn begin(&self) -> Option<Asked> {
        if self.is_over() {
            return None;
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        if number >= self.creates {
            return None;
        }
        let (identifiers, traits) = self.draw(number);
        let mut contact: Map<String, Value> = traits.clone().into_iter().collect();
        for (name, (_, value)) in &identifiers {
            contact.insert((*name).into(), json!(value));
        }
        Some(Asked {
            contact: Value::Object(contact),
            identifiers: identifiers.into_iter().map(|(_, one)| one).collect(),
            traits,
        })
    }

    /// What became of one try of a create that was sent then: the profile, if it was acknowledged just now.
    pub fn told(&self, asked: &Asked, sent: u64, profile: Option<String>) -> Event {
        let acknowledged = profile.is_some().then(|| self.tick());
        if acknowledged.is_some() {
            self.acknowledged.fetch_add(1, Ordering::Relaxed);
        }
        Event {
            sent,
            acknowledged,
            identifiers: asked.identifiers.clone(),
            traits: asked.traits.clone(),
            profile,
        }
    }

    fn draw(&self, number: u64) -> (Vec<Named>, BTreeMap<String, Value>) {
        let mut rng = rand::rng();
        let person = rng.random_range(0..self.people);
        let own = identifiers_of(person);
        let count = rng.random_range(1..=3);
        let mut chosen: Vec<_> = own.sample(&mut rng, count).cloned().collect();
        if rng.random_range(0..20) == 0 {
            let neighbour = identifiers_of((person / 4) * 4 + rng.random_range(0..4usize));
            if let Some(other) = neighbour.choose(&mut rng)
                && chosen.iter().all(|(name, _)| name != &other.0)
            {
                chosen.push(other.clone());
            }
        }
        let value = number % VALUES;
        let mut traits =
            BTreeMap::from([("firstName".to_owned(), json!(format!("first-name-{value}")))]);
        if rng.random_range(0..3) == 0 {
            traits.insert("city".into(), json!(format!("city-number-{value}")));
        }
        (chosen, traits)
    }
}

/// The identifiers of a person.
fn identifiers_of(person: usize) -> [Named; 4] {
    [
        (
            "email",
            (
                "email".into(),
                format!("person.{person}.marker@example.com"),
            ),
        ),
        (
            "phone",
            ("phone".into(), format!("+1317{:07}", person * 13)),
        ),
        (
            "whatsapp",
            ("whatsapp".into(), format!("whatsapp:+49151{person:07}")),
        ),
        (
            "chatId",
            ("chat".into(), format!("chat-of-person-{person}")),
        ),
    ]
}

/// Waits until every consumer has committed everything, and reads what the store says then.
///
/// # Errors
/// When a lag is left, or something cannot be read in time.
pub async fn quiet(consumers: &[Process], api: &Api, history: &[Event]) -> Result<Observed> {
    until(Duration::from_secs(120), "no lag", || async {
        let mut lag = 0.0;
        for consumer in consumers {
            lag += metric(&consumer.metrics().await?, "kith_log_lag_records");
        }
        Ok((lag == 0.0).then_some(()))
    })
    .await?;
    let mut observed = observe(api, history).await?;
    // Lag is a gauge of the recent past: what is not there yet gets a moment more.
    let limit = Instant::now() + Duration::from_secs(20);
    while !findings(history, &observed).is_empty() && Instant::now() < limit {
        tokio::time::sleep(Duration::from_millis(500)).await;
        observed = observe(api, history).await?;
    }
    Ok(observed)
}

/// Reads everything that anybody was told of. A read that is refused is sent again, as any caller would.
async fn observe(api: &Api, history: &[Event]) -> Result<Observed> {
    until(Duration::from_secs(120), "everything read", || async {
        Ok(Some(observed(api, history).await?))
    })
    .await
}

async fn observed(api: &Api, history: &[Event]) -> Result<Observed> {
    let mut observed = Observed {
        listed: api.list().await?.into_iter().collect(),
        ..Observed::default()
    };
    let identifiers: BTreeSet<_> = history
        .iter()
        .flat_map(|event| event.identifiers.iter().cloned())
        .collect();
    observed.owners = stream::iter(identifiers)
        .map(|(id_type, value)| async move {
            let owners = api.owners(&id_type, &value).await?;
            anyhow::Ok(((id_type, value), owners))
        })
        .buffer_unordered(READERS)
        .try_collect()
        .await?;
    let mut ids: BTreeSet<String> = history
        .iter()
        .filter_map(|event| event.profile.clone())
        .collect();
    ids.extend(observed.owners.values().flatten().cloned());
    let read: Vec<_> = stream::iter(ids)
        .map(|id| async move {
            let answer = api.get(&id).await?;
            anyhow::Ok((id, answer))
        })
        .buffer_unordered(READERS)
        .try_collect()
        .await?;
    for (id, answer) in read {
        let root = match answer.status {
            200 => {
                let traits = serde_json::from_value(answer.body["traits"]["Contact"].clone())?;
                observed.traits.insert(id.clone(), traits);
                Some(id.clone())
            }
            301 => Some(answer.header("canonical-profile-id").to_owned()),
            404 => None,
            other => anyhow::bail!("{other} for {id}"),
        };
        observed.roots.insert(id, root);
    }
    Ok(observed)
}

/// The history and the store agree, and the judge who says so sees a lost trait and two that were swapped.
///
/// # Errors
/// With what was found, or with what was not.
pub fn agree(history: &[Event], observed: &Observed) -> Result<()> {
    let found = findings(history, observed);
    ensure!(found.is_empty(), "{found:?}");
    let mut damaged = observed.clone();
    let mut holders: Vec<&mut BTreeMap<String, Value>> = damaged
        .traits
        .values_mut()
        .filter(|traits| traits.contains_key("firstName"))
        .take(3)
        .collect();
    ensure!(holders.len() == 3, "too few profiles");
    holders[0].remove("firstName").context("a trait to lose")?;
    let (one, two) = (
        holders[1]["firstName"].clone(),
        holders[2]["firstName"].clone(),
    );
    holders[1].insert("firstName".into(), two);
    holders[2].insert("firstName".into(), one);
    let found = findings(history, &damaged);
    let count = |what: &str| {
        found
            .iter()
            .filter(|finding| finding.contains(what))
            .count()
    };
    ensure!(count("is lost") == 1 && count("nobody's") == 2, "{found:?}");
    Ok(())
}
