//! The consuming half.
//!
//! Three threads share one client of the library. Its owner, on the runtime, takes records and changes of ownership, and
//! never waits for a broker. The polling thread (`poller.rs`) serves the library's events, so that membership does not hang
//! on how busy the owner is; it leaves the group at the end, which may wait for a broker. A third looks up the lag
//! (`lag.rs`).
//!
//! A change of ownership becomes true when the owner takes it: an assigned partition is assigned then, a revoked one stays
//! assigned until it is released. So the owner's view and the library's are one, and no commit can fall between two
//! assignments. Only what is lost is gone before the owner hears of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kith_profiles::error::PortError;
use kith_profiles::ports::{Lag, LogEvent, NextOffset, Partition, TraitSource};
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::sync::oneshot;

use crate::client;
use crate::config::{ConsumerConfig, KafkaConfig};
use crate::error::{ClientFailed, SetupError, TooSlow};
use crate::inbox::{Inbox, Notice};
use crate::lag::LagWatch;
use crate::lanes::Lanes;
use crate::poller;
use crate::rebalance::{self, Client, SourceContext};

/// The queues say when they are no longer empty. Should that ever be missed, it costs this and not the partition.
const RECHECK: Duration = Duration::from_secs(1);

/// A member of the consumer group on the traits topic.
///
/// Dropping it without [`TraitSource::close`] leaves the group, too, with what was committed sent, but behind the caller's
/// back. Pausing belongs to an assignment: a partition that comes back is not paused. Needs a runtime with time enabled.
pub struct KafkaSource {
    client: Arc<Client>,
    inbox: Arc<Inbox>,
    topic: Arc<str>,
    settings: ConsumerConfig,
    lanes: Lanes,
    /// Revoked and not released, with what was last committed of each.
    leaving: BTreeMap<i32, Leaving>,
    lag: LagWatch,
    gone: Option<oneshot::Receiver<()>>,
}

#[derive(Clone, Copy)]
struct Leaving {
    finished: Option<i64>,
    released: bool,
}

impl KafkaSource {
    /// Makes the client and begins to join the group. Waits for nothing: the first event may take some seconds.
    ///
    /// # Errors
    /// [`SetupError::Config`], [`SetupError::Client`], [`SetupError::Thread`].
    pub fn new(config: &KafkaConfig) -> Result<Self, SetupError> {
        let topic: Arc<str> = config.traits_topic.as_str().into();
        let inbox = Arc::new(Inbox::default());
        let (dropped, gone) = oneshot::channel();
        let context = SourceContext {
            topic: Arc::clone(&topic),
            inbox: Arc::clone(&inbox),
            _gone: dropped,
        };
        let client: Client = client::consumer(config)?
            .create_with_context(context)
            .map_err(client::refused)?;
        client.subscribe(&[&topic]).map_err(client::refused)?;
        let client = Arc::new(client);
        poller::start(Arc::clone(&client), config.consumer.max_poll_interval)
            .map_err(SetupError::Thread)?;
        let lag = LagWatch::start(&client, config.consumer.lag_interval);
        if lag.is_err() {
            inbox.close(); // The polling thread is alone then.
        }
        Ok(Self {
            lag: lag.map_err(SetupError::Thread)?,
            lanes: Lanes::new(Arc::clone(&topic), Arc::clone(&inbox)),
            client,
            inbox,
            topic,
            settings: config.consumer.clone(),
            leaving: BTreeMap::new(),
            gone: Some(gone),
        })
    }

    /// What comes before records.
    fn control(&mut self) -> Result<Option<LogEvent>, PortError> {
        if let Some(cause) = self.inbox.fatal_cause() {
            return Err(PortError::Fatal {
                operation: "poll",
                cause: Some(cause),
            });
        }
        if let Some(notice) = self.inbox.take_notice() {
            return self.obey(notice).map(Some);
        }
        match self.inbox.take_trouble() {
            Some(cause) => Err(PortError::Unavailable {
                operation: "poll",
                cause: Some(cause),
            }),
            None => Ok(None),
        }
    }

    fn obey(&mut self, notice: Notice) -> Result<LogEvent, PortError> {
        let group = &self.settings.group;
        match notice {
            Notice::Assign(partitions) => {
                rebalance::record("assigned", group, &partitions);
                self.assign(&partitions)?;
                Ok(LogEvent::Assigned(wrapped(partitions)))
            }
            Notice::Revoke(partitions) => {
                rebalance::record("revoked", group, &partitions);
                let finished = self.lanes.close(&partitions);
                // What was asked back is what is released: none may be missing here, or the group would wait for it.
                for partition in &partitions {
                    let leaving = Leaving {
                        finished: finished.get(partition).copied().flatten(),
                        released: false,
                    };
                    self.leaving.insert(*partition, leaving);
                }
                Ok(LogEvent::Revoked(wrapped(partitions)))
            }
            Notice::Lost(partitions) => {
                rebalance::record("lost", group, &partitions);
                self.lanes.close(&partitions);
                self.leaving
                    .retain(|partition, _| !partitions.contains(partition));
                Ok(LogEvent::Lost(wrapped(partitions)))
            }
        }
    }

    fn assign(&mut self, partitions: &[i32]) -> Result<(), PortError> {
        if self.inbox.take_due().is_none() {
            return Err(broken("assign", "an assignment that nobody waits for"));
        }
        let begins = self.inbox.take_begins();
        if !self.lanes.open(&self.client, partitions, &begins) {
            return Err(broken("assign", "no queue for a partition"));
        }
        rebalance::assign(&self.client, &self.topic, partitions)
            .map_err(|error| PortError::fatal("assign", error))?;
        self.lag.hurry();
        Ok(())
    }

    /// Sends what was committed of partitions that are leaving, and waits for the answer.
    async fn flush(&self, partitions: &[Partition]) -> Result<(), PortError> {
        let finished = partitions.iter().filter_map(|partition| {
            let finished = self.leaving.get(&partition.0)?.finished?;
            Some((partition.0, finished))
        });
        let list = rebalance::offsets(&self.topic, finished)
            .map_err(|error| PortError::unavailable("commit", error))?;
        if list.count() == 0 {
            return Ok(());
        }
        let client = Arc::clone(&self.client);
        let sent = tokio::task::spawn_blocking(move || client.commit(&list, CommitMode::Sync));
        tokio::time::timeout(client::CONSUMER_REQUEST_TIMEOUT, sent)
            .await
            .map_err(|_| PortError::unavailable("commit", TooSlow))?
            .map_err(|error| PortError::unavailable("commit", error))?
            .map_err(|error| PortError::unavailable("commit", error))
    }

    /// Answers the library once everything that was revoked together is released.
    fn hand_back(&mut self) -> Result<(), PortError> {
        if self.leaving.is_empty() || self.leaving.values().any(|leaving| !leaving.released) {
            return Ok(());
        }
        let partitions: Vec<i32> = std::mem::take(&mut self.leaving).into_keys().collect();
        if self.inbox.take_due().is_none() {
            return Err(broken("release", "a revocation that nobody waits for"));
        }
        rebalance::unassign(&self.client, &self.topic, &partitions)
            .map_err(|error| PortError::fatal("release", error))
    }
}

impl TraitSource for KafkaSource {
    async fn next(&mut self) -> Result<LogEvent, PortError> {
        let _here = self.inbox.attend();
        loop {
            // While records are there nothing else below waits, and others on this thread want a turn, too.
            tokio::task::consume_budget().await;
            if let Some(event) = self.control()? {
                return Ok(event);
            }
            let records = self
                .lanes
                .gather(self.settings.batch_records, self.settings.batch_bytes);
            if !records.is_empty() {
                return Ok(LogEvent::Records(records));
            }
            // Woken or not, look again.
            tokio::time::timeout(RECHECK, self.inbox.wait()).await.ok();
        }
    }

    fn commit(&mut self, offsets: &[(Partition, NextOffset)]) -> Result<(), PortError> {
        let _here = self.inbox.attend();
        let mut ours = Vec::with_capacity(offsets.len());
        for (Partition(partition), next) in offsets {
            let next = next.as_i64();
            let leaving = self.leaving.get_mut(partition);
            let known = match leaving {
                Some(leaving) => {
                    leaving.finished = Some(next);
                    true
                }
                None => self.lanes.finish(*partition, next),
            };
            if known {
                ours.push((*partition, next));
            } else {
                tracing::debug!(partition, next, "commit of a partition that is not ours");
            }
        }
        let list = rebalance::offsets(&self.topic, ours)
            .map_err(|error| PortError::unavailable("commit", error))?;
        // Not `store_offset`: that one adds one.
        match self.client.store_offsets(&list) {
            Ok(()) => Ok(()),
            // Lost this moment; the event is on its way.
            Err(KafkaError::StoreOffset(
                RDKafkaErrorCode::State | RDKafkaErrorCode::UnknownPartition,
            )) => Ok(()),
            Err(error) => Err(PortError::unavailable("commit", error)),
        }
    }

    fn pause(&mut self, partitions: &[Partition]) -> Result<(), PortError> {
        for partition in partitions {
            self.lanes.set_paused(partition.0, true);
        }
        Ok(())
    }

    fn resume(&mut self, partitions: &[Partition]) -> Result<(), PortError> {
        for partition in partitions {
            self.lanes.set_paused(partition.0, false);
        }
        Ok(())
    }

    /// What could not be sent is repeated by the next owner: the partitions are handed back all the same, and the error
    /// says so. Given up half way, nothing is handed back yet; call it again, the group waits.
    async fn release(&mut self, partitions: &[Partition]) -> Result<(), PortError> {
        let _here = self.inbox.attend();
        let flushed = self.flush(partitions).await;
        for partition in partitions {
            if let Some(leaving) = self.leaving.get_mut(&partition.0) {
                leaving.released = true;
            }
        }
        self.hand_back()?;
        flushed
    }

    fn lag(&self) -> Vec<Lag> {
        self.lag
            .latest()
            .into_iter()
            .filter(|(partition, _)| self.lanes.contains(*partition))
            .map(|(partition, records)| Lag {
                partition: Partition(partition),
                records,
            })
            .collect()
    }

    async fn close(mut self, limit: Duration) -> Result<(), PortError> {
        let (gone, inbox) = (self.gone.take(), Arc::clone(&self.inbox));
        drop(self);
        if let Some(gone) = gone {
            // The sender is never used, only dropped.
            tokio::time::timeout(limit, gone)
                .await
                .map_err(|_| PortError::unavailable("close", TooSlow))?
                .ok();
        }
        match inbox.take_parting() {
            None => Ok(()),
            Some(cause) => Err(PortError::Unavailable {
                operation: "close",
                cause: Some(cause),
            }),
        }
    }
}

impl Drop for KafkaSource {
    fn drop(&mut self) {
        self.lanes.clear();
        self.inbox.close();
    }
}

fn wrapped(partitions: Vec<i32>) -> Vec<Partition> {
    partitions.into_iter().map(Partition).collect()
}

fn broken(operation: &'static str, what: &str) -> PortError {
    PortError::fatal(operation, ClientFailed(what.to_owned()))
}
