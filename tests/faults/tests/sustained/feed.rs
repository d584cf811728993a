//! Events straight into the log, as `ingest-api` publishes them, and what the cells must be once all are applied.

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use bytes::Bytes;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use kith_domain::event::TraitEvent;
use kith_domain::id::{DefinitionId, ProfileId, ProfileKey, RequestId};
use kith_domain::time::Micros;
use kith_domain::traits::{CellBytes, TraitCell, TraitValue, TraitWrite};
use kith_profiles::ports::{CellRead, Cells, NewRecord, Select, TraitLog};
use kith_tests::engines::now;
use kith_tests::poll::until;
use kith_tests::privacy;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use tokio::time::Instant;
use uuid::Uuid;

use crate::site::{Site, Topic};

/// Records handed to the broker and not yet acknowledged.
const UNDER_WAY: usize = 1_000;
/// Different values; logs are searched for all of them.
const VALUES: u64 = 5_000;
/// One event of so many carries an older stamp than those before it.
const ONE_LATE_IN: u32 = 8;
/// Profiles read at once.
const READ_AT_ONCE: usize = 50;

/// Publishes events about people of a site, and remembers what is to come of them.
pub(crate) struct Feed<'a> {
    site: &'a Site,
    people: &'a [ProfileId],
    first: Micros,
    next: u64,
    newest: HashMap<(ProfileId, DefinitionId), TraitCell>,
}

/// What goes into a topic at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backlog {
    /// Records.
    pub(crate) records: u64,
    /// One of so many is no event.
    pub(crate) one_bad_in: Option<u64>,
}

impl<'a> Feed<'a> {
    /// About people whom nothing was published about yet.
    pub(crate) fn new(site: &'a Site, people: &'a [ProfileId]) -> Self {
        for value in 0..VALUES {
            privacy::sent(&json!(text(value)));
        }
        Self {
            site,
            people,
            first: now(),
            next: 0,
            newest: HashMap::new(),
        }
    }

    /// As fast as the broker takes them; the payloads of those that are no events.
    pub(crate) async fn backlog(
        &mut self,
        topic: &Topic,
        backlog: Backlog,
    ) -> Result<BTreeSet<Bytes>> {
        let mut bad = BTreeSet::new();
        let records = (0..backlog.records).map(|number| {
            if backlog.one_bad_in.is_some_and(|of| number % of == of / 2) {
                let record = self.poison(number);
                bad.insert(record.payload.clone());
                record
            } else {
                self.event()
            }
        });
        stream::iter(records)
            .map(|record| published(topic, record))
            .buffer_unordered(UNDER_WAY)
            .try_collect::<()>()
            .await?;
        Ok(bad)
    }

    /// So many a second until told that it is over; how many there were.
    pub(crate) async fn steadily(
        &mut self,
        topic: &Topic,
        a_second: u32,
        is_over: &AtomicBool,
    ) -> Result<u64> {
        let (began, from) = (Instant::now(), self.next);
        let records = stream::unfold((&mut *self, 0u32), |(feed, number)| async move {
            tokio::time::sleep_until(began + Duration::from_secs(1) * number / a_second).await;
            let goes_on = !is_over.load(Ordering::Relaxed);
            goes_on.then(|| (feed.event(), (feed, number + 1)))
        });
        records
            .map(|record| published(topic, record))
            .buffer_unordered(UNDER_WAY)
            .try_collect::<()>()
            .await?;
        Ok(self.next - from)
    }

    /// Checks every cell of everybody against the newest that was acknowledged; how many there are.
    pub(crate) async fn check(&self) -> Result<usize> {
        let (site, store) = (self.site, self.site.stage.store.id);
        let mut rest = self.newest.clone();
        for profiles in self.people.chunks(READ_AT_ONCE) {
            let reads: Vec<_> = profiles
                .iter()
                .map(|&profile| CellRead {
                    at: ProfileKey { store, profile },
                    select: vec![Select::Traits],
                })
                .collect();
            let rows = site.stage.database().read(&reads).await?;
            for (profile, rows) in profiles.iter().zip(rows) {
                let ours = |cell: &TraitCell| site.traits.contains(&cell.definition);
                for cell in rows.traits.into_iter().filter(ours) {
                    let expected = rest.remove(&(*profile, cell.definition));
                    ensure!(
                        expected.as_ref() == Some(&cell),
                        "a cell of {profile} has stamp {}, and {:?} is the newest",
                        cell.time.as_micros(),
                        expected.map(|cell| cell.time.as_micros())
                    );
                }
            }
        }
        ensure!(rest.is_empty(), "{} cells are lost", rest.len());
        Ok(self.newest.len())
    }

    /// The next event, which may be older than what went before.
    fn event(&mut self) -> NewRecord {
        let mut random = StdRng::seed_from_u64(self.next);
        let profile = self.people[random.random_range(0..self.people.len())];
        let back = match random.random_range(0..ONE_LATE_IN) {
            0 => random.random_range(1..100_000),
            _ => 0,
        };
        // Never before the first stamp. Two late ones may share a stamp: then the larger bytes win.
        let micros = 10 * (self.next + 100_000 - back) + u64::from(back > 0);
        let stamp = self.first.plus(Duration::from_micros(micros));
        let start = random.random_range(0..self.site.traits.len());
        let count = random.random_range(1..=2);
        let traits = self.site.traits.iter().cycle().skip(start).take(count);
        let traits: Vec<_> = traits
            .map(|definition| {
                let value = TraitValue::String(text(random.random_range(0..VALUES)));
                (*definition, CellBytes::from(&TraitWrite::Set(value)))
            })
            .collect();
        for (definition, value) in &traits {
            let cell = TraitCell {
                definition: *definition,
                value: value.clone(),
                time: stamp,
            };
            let newest = self.newest.entry((profile, *definition));
            let newest = newest.or_insert_with(|| cell.clone());
            if cell.replaces(newest) {
                *newest = cell;
            }
        }
        let event = TraitEvent {
            store: self.site.stage.store.id,
            profile,
            stamp,
            request: RequestId::from_uuid(Uuid::from_u128(self.next.into())),
            schema_version: self.site.stage.store.schema_version,
            traits,
        };
        self.next += 1;
        NewRecord {
            key: Bytes::copy_from_slice(profile.as_uuid().as_bytes()),
            payload: event.encode().into(),
            headers: Vec::new(),
        }
    }

    /// A record in the place of one: cut short, of a version that nobody knows, or of another world. No two are the same.
    fn poison(&self, number: u64) -> NewRecord {
        let mut hasher = DefaultHasher::new();
        number.hash(&mut hasher);
        let payload = match number % 3 {
            0 => format!("{{\"version\":1,\"kind\":\"traits\",\"cut\":{number}"),
            1 => format!("{{\"version\":9,\"number\":{number}}}"),
            _ => format!("record {number}"),
        };
        NewRecord {
            key: Bytes::copy_from_slice(&hasher.finish().to_be_bytes()),
            payload: payload.into(),
            headers: Vec::new(),
        }
    }
}

fn text(value: u64) -> String {
    format!("sustained-value-{value}")
}

/// Sends a record until it is acknowledged: once more changes nothing.
async fn published(topic: &Topic, record: NewRecord) -> Result<()> {
    until(Duration::from_secs(60), "a record in the log", || async {
        Ok(Some(topic.log.publish(record.clone()).await?))
    })
    .await
}
