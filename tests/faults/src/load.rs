//! Callers: what they ask, and a record of every request.
//!
//! People come in neighbourhoods of four, and have four identifiers each. A create names a person, mostly one that is there
//! already, and often one of the last few, so that requests meet; it carries one to three of the identifiers, one of them
//! always of a type that is never evicted. Now and then it carries one of a neighbour, too, which merges the two. A create
//! that fails is sent again, as it was, until it is acknowledged.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use kith_domain::id::ProfileId;
use kith_domain::identifier::{IdType, Identifier, IdentifierValue};
use kith_tests::api::{Answer, Api};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Map, Value, json};

use crate::history::{Asked, Record, Told, value};

/// People in a neighbourhood: whom merges can join.
const NEIGHBOURS: usize = 4;
/// Ids that fetches choose from.
const RECENT: usize = 4_096;
/// People that no caller comes to.
const STRANGERS: usize = 1_000_000;
/// After a refusal.
const PAUSE_MS: std::ops::Range<u64> = 20..120;
/// How long a create is repeated once the load has ended.
const LAST_TRIES: Duration = Duration::from_secs(90);

/// What callers share.
#[derive(Debug)]
pub struct Load {
    began: Instant,
    clock: AtomicU64,
    numbers: AtomicU64,
    people: AtomicUsize,
    answered: Mutex<VecDeque<ProfileId>>,
    is_over: AtomicBool,
    acknowledged: AtomicUsize,
    apis: Vec<Api>,
    mix: Drawn,
}

/// What callers draw.
#[derive(Debug, Clone, Copy)]
pub struct Drawn {
    /// Of every hundred requests, how many read: one half by id, one by identifier.
    pub reads: u32,
    /// Of every ten creates, how many are of somebody new.
    pub new_of_ten: u32,
}

impl Load {
    /// A load on these.
    #[must_use]
    pub fn new(apis: Vec<Api>, mix: Drawn) -> Self {
        Self {
            began: Instant::now(),
            clock: AtomicU64::new(0),
            numbers: AtomicU64::new(0),
            people: AtomicUsize::new(0),
            answered: Mutex::default(),
            is_over: AtomicBool::new(false),
            acknowledged: AtomicUsize::new(0),
            apis,
            mix,
        }
    }

    /// Ends it: what is under way is repeated until it is acknowledged.
    pub fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// One create beside those of the callers, of somebody whom they do not know. Not repeated.
    pub async fn stranger(&self, api: &Api) -> Record {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let person = STRANGERS + usize::try_from(number).unwrap_or_default();
        let [email, ..] = identifiers_of(person);
        let asked = Asked::Create {
            identifiers: vec![email],
            traits: vec!["firstName"],
        };
        self.ask(api, number, &asked).await
    }

    /// How long ago it began.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// How many requests were acknowledged so far.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// One caller, one request after another, until the end.
    pub async fn caller(&self, seed: u64) -> Vec<Record> {
        let mut random = StdRng::seed_from_u64(seed);
        let mut records = Vec::new();
        while !self.is_over.load(Ordering::Relaxed) {
            let asked = self.draw(&mut random);
            let number = self.numbers.fetch_add(1, Ordering::Relaxed);
            let mut over_since = None;
            loop {
                let api = &self.apis[random.random_range(0..self.apis.len())];
                let record = self.ask(api, number, &asked).await;
                let is_done = record.is_acknowledged();
                let is_wrong = matches!(record.told, Told::Unexpected(_));
                if let Told::Accepted(profile) = record.told {
                    self.remember(profile);
                }
                records.push(record);
                if is_done {
                    self.acknowledged.fetch_add(1, Ordering::Relaxed);
                }
                if self.is_over.load(Ordering::Relaxed) {
                    over_since.get_or_insert_with(Instant::now);
                }
                let is_late = over_since.is_some_and(|since| since.elapsed() > LAST_TRIES);
                let is_read = !matches!(asked, Asked::Create { .. });
                if is_done || is_wrong || is_read || is_late {
                    break;
                }
                let pause = Duration::from_millis(random.random_range(PAUSE_MS));
                tokio::time::sleep(pause).await;
            }
        }
        records
    }

    fn remember(&self, profile: ProfileId) {
        let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        if answered.len() == RECENT {
            answered.pop_front();
        }
        answered.push_back(profile);
    }

    fn draw(&self, random: &mut StdRng) -> Asked {
        let known = self.people.load(Ordering::Relaxed);
        let kind = random.random_range(0..100);
        if known > NEIGHBOURS && kind < self.mix.reads {
            if kind < self.mix.reads / 2 {
                let person = random.random_range(0..known);
                let which = random.random_range(0..3);
                return Asked::Lookup(identifiers_of(person)[which].clone());
            }
            let answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
            if !answered.is_empty() {
                return Asked::Fetch(answered[random.random_range(0..answered.len())]);
            }
        }
        let is_new = known <= NEIGHBOURS || random.random_range(0..10) < self.mix.new_of_ten;
        let person = if is_new {
            self.people.fetch_add(1, Ordering::Relaxed)
        } else if random.random_range(0..10) < 3 {
            // One of the last few: others are at it, too.
            known - 1 - random.random_range(0..known.min(8))
        } else {
            random.random_range(0..known)
        };
        let own = identifiers_of(person);
        let mut chosen = vec![own[random.random_range(0..3)].clone()];
        for one in &own {
            if random.random_range(0..4) == 0 && !chosen.contains(one) {
                chosen.push(one.clone());
            }
        }
        if random.random_range(0..12) == 0 {
            let first = person / NEIGHBOURS * NEIGHBOURS;
            let neighbour = identifiers_of(first + random.random_range(0..NEIGHBOURS));
            let other = &neighbour[random.random_range(0..neighbour.len())];
            // A body has one value a type.
            if chosen.iter().all(|one| one.id_type != other.id_type) {
                chosen.push(other.clone());
            }
        }
        let mut traits = vec!["firstName"];
        if random.random_range(0..3) == 0 {
            traits.push("city");
        }
        Asked::Create {
            identifiers: chosen,
            traits,
        }
    }

    async fn ask(&self, api: &Api, number: u64, asked: &Asked) -> Record {
        let sent_at = Instant::now();
        let sent = self.clock.fetch_add(1, Ordering::SeqCst);
        let answer = match asked {
            Asked::Create {
                identifiers,
                traits,
            } => {
                let mut contact = Map::new();
                for one in identifiers {
                    contact.insert(name_of(one).to_owned(), json!(one.value.expose()));
                }
                for name in traits {
                    contact.insert((*name).to_owned(), json!(value(name, number)));
                }
                api.create(json!({ "Contact": Value::Object(contact) }))
                    .await
            }
            Asked::Fetch(profile) => api.get(&profile.to_string()).await,
            Asked::Lookup(one) => api.lookup(one.id_type.as_str(), one.value.expose()).await,
        };
        let told = answer.map_or(Told::Nothing, |answer| told(asked, &answer));
        Record {
            number,
            sent,
            answered: self.clock.fetch_add(1, Ordering::SeqCst),
            sent_ms: millis(sent_at.duration_since(self.began)),
            took_ms: millis(sent_at.elapsed()),
            asked: asked.clone(),
            told,
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What an answer says to what was asked.
fn told(asked: &Asked, answer: &Answer) -> Told {
    let unexpected = Told::Unexpected(answer.status);
    match (asked, answer.status) {
        (_, 503) if answer.header("retry-after").parse::<u64>().is_ok() => Told::Unavailable,
        // A process that was frozen says so of a request that it finds when it goes on: it did not arrive in time.
        (_, 408) => Told::Unavailable,
        (Asked::Create { .. }, 202) => {
            let id = answer.accepted_id().ok().and_then(|id| id.parse().ok());
            id.map_or(unexpected, Told::Accepted)
        }
        (Asked::Fetch(_), 200) => Told::Here,
        (Asked::Fetch(_), 301) => {
            let id = answer.header("canonical-profile-id").parse();
            id.map_or(unexpected, Told::Moved)
        }
        (Asked::Lookup(_), 200) => {
            let owners = serde_json::from_value(answer.body["profiles"].clone());
            owners.map_or(unexpected, Told::Owners)
        }
        _ => unexpected,
    }
}

/// The identifiers of a person, normalised; the last one is of the type with a low limit.
#[must_use]
pub fn identifiers_of(person: usize) -> [Identifier; 4] {
    let of = |id_type: &str, value: String| Identifier {
        id_type: IdType::new(id_type),
        value: IdentifierValue::new(&value),
    };
    [
        of("email", format!("person.{person}.marker@example.com")),
        of("phone", format!("+1317{:07}", 1_000_000 + person)),
        of("whatsapp", format!("whatsapp:+49151{person:07}")),
        of(crate::LIMITED, format!("chat-of-person-{person}")),
    ]
}

/// The trait that an identifier is the value of.
fn name_of(identifier: &Identifier) -> &str {
    match identifier.id_type.as_str() {
        crate::LIMITED => "chatId",
        other => other,
    }
}
