//! Consume and batch: the records of a topic, one batch each, with as many at once as the worker has, and nothing else.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kith_domain::event::TraitEvent;
use kith_kafka::consumer_settings;
use kith_scylla::Bare;
use kith_tests::servers::Place;
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::{ClientConfig, Message as _};
use scylla::statement::prepared::PreparedStatement;
use scylla::value::MaybeUnset;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{cql, kafka};

/// How long the next record may take to come, the first included: its group has to form.
const PATIENCE: Duration = Duration::from_secs(60);

/// What was drained.
#[derive(Debug)]
pub struct Drained {
    /// Records a second, from the first that came to the last that was written.
    pub rate: f64,
}

/// Drains a topic of so many records into the place's own cells, as a member of a new group. With `look`, the profile's node is
/// read after each write, as the worker does so that nothing outlives a deletion.
///
/// # Errors
/// When a server does not take part.
pub async fn drain(place: &Place, records: u64, at_once: usize, look: bool) -> Result<Drained> {
    let bare = Bare::open(&cql(place)?).await?;
    let put = bare.prepare("put", "cells").await?.context("put")?;
    let read = bare.prepare("read", "node").await?.context("read")?;
    let work = Arc::new(Writes {
        bare,
        put,
        read,
        look,
    });
    let consumer: StreamConsumer =
        ClientConfig::from_iter(consumer_settings(&kafka(place))?).create()?;
    consumer.subscribe(&[&place.topic])?;

    let permits = Arc::new(Semaphore::new(at_once));
    let mut running = JoinSet::new();
    let mut seen = BTreeSet::new();
    let mut began = None;
    while u64::try_from(seen.len())? < records {
        let record = tokio::time::timeout(PATIENCE, consumer.recv()).await??;
        began.get_or_insert_with(Instant::now);
        ensure!(
            seen.insert((record.partition(), record.offset())),
            "a record came twice"
        );
        let payload = record.payload().unwrap_or_default().to_vec();
        let permit = Arc::clone(&permits).acquire_owned().await?;
        let work = Arc::clone(&work);
        running.spawn(async move {
            let written = work.write(&payload).await;
            drop(permit);
            written
        });
        while let Some(ended) = running.try_join_next() {
            ended??;
        }
        consumer.store_offset_from_message(&record)?;
    }
    while let Some(ended) = running.join_next().await {
        ended??;
    }
    let seconds = began.context("no records")?.elapsed().as_secs_f64();
    Ok(Drained {
        rate: records as f64 / seconds,
    })
}

#[derive(Debug)]
struct Writes {
    bare: Bare,
    put: PreparedStatement,
    read: PreparedStatement,
    look: bool,
}

impl Writes {
    async fn write(&self, payload: &[u8]) -> Result<()> {
        let event = TraitEvent::decode(payload)?;
        let (store, profile) = (event.store.as_uuid(), event.profile.as_uuid());
        let stamp = event.stamp.as_micros();
        let mut batch = self.bare.cells_batch();
        let mut values = Vec::new();
        for (definition, cell) in &event.traits {
            let (unset, key) = (MaybeUnset::<bool>::Unset, definition.as_uuid().to_string());
            let value = MaybeUnset::Set(cell.as_slice());
            let time = MaybeUnset::Set(stamp);
            batch.append_statement(self.put.clone());
            values.push((
                store, profile, "trait", key, "", "", value, time, unset, stamp,
            ));
        }
        let session = self.bare.session();
        session.batch(&batch, values).await?;
        if self.look {
            session
                .execute_unpaged(&self.read, (store, profile))
                .await?;
        }
        Ok(())
    }
}
