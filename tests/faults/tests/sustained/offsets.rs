//! What a group committed and where its partitions end, by the broker's own word.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use kith_faults::progress::{Sample, Standing};
use kith_tests::poll::until;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use tokio::time::Instant;

use crate::site::Topic;

const PATIENCE: Duration = Duration::from_secs(10);

/// Asks about a group without being a member of it.
#[derive(Clone)]
pub(crate) struct Offsets {
    client: Arc<BaseConsumer>,
    topic: String,
    partitions: i32,
    began: Instant,
}

impl Offsets {
    /// About the group of a topic. Samples count from now.
    pub(crate) fn new(topic: &Topic) -> Result<Self> {
        Ok(Self {
            client: Arc::new(client(&topic.place.bootstrap, &topic.place.group)?),
            topic: topic.place.topic.clone(),
            partitions: topic.partitions.into(),
            began: Instant::now(),
        })
    }

    /// How long ago samples began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Where the group is now.
    pub(crate) async fn sample(&self) -> Result<Sample> {
        let asked = self.clone();
        let standings = tokio::task::spawn_blocking(move || asked.standings()).await??;
        Ok(Sample {
            at: self.elapsed(),
            standings,
        })
    }

    /// Where the group is, again and again until told that it is over, or until `is_done` says so of a sample.
    pub(crate) async fn watch(
        &self,
        every: Duration,
        is_over: &AtomicBool,
        is_done: impl Fn(&Sample) -> bool,
    ) -> Result<Vec<Sample>> {
        let mut samples = Vec::new();
        loop {
            let sample = self.sample().await?;
            let is_last = is_over.load(Ordering::Relaxed) || is_done(&sample);
            samples.push(sample);
            if is_last {
                return Ok(samples);
            }
            tokio::time::sleep(every).await;
        }
    }

    /// Waits until the group has done everything.
    pub(crate) async fn until_no_lag(&self, limit: Duration) -> Result<()> {
        until(limit, "no lag", || async {
            let lag = self.sample().await?.lag();
            if lag > 0 {
                bail!("{lag} records are left");
            }
            Ok(Some(()))
        })
        .await
    }

    fn standings(&self) -> Result<Vec<Standing>> {
        let mut list = TopicPartitionList::new();
        list.add_partition_range(&self.topic, 0, self.partitions - 1);
        let committed = self.client.committed_offsets(list, PATIENCE)?;
        let of = |partition: i32| -> Result<Standing> {
            let found = committed.find_partition(&self.topic, partition);
            let committed = match found.context("a partition")?.offset() {
                Offset::Offset(offset) => u64::try_from(offset)?,
                // Nothing was committed yet.
                Offset::Invalid => 0,
                other @ (Offset::Beginning
                | Offset::End
                | Offset::Stored
                | Offset::OffsetTail(_)) => bail!("{other:?} of partition {partition}"),
            };
            let (_, end) = self
                .client
                .fetch_watermarks(&self.topic, partition, PATIENCE)?;
            Ok(Standing {
                committed,
                end: u64::try_from(end)?,
            })
        };
        (0..self.partitions).map(of).collect()
    }
}

/// The payloads of everything in a topic.
pub(crate) async fn payloads(bootstrap: &str, topic: String) -> Result<Vec<Bytes>> {
    let client = client(bootstrap, "sustained.reader")?;
    let read = move || -> Result<Vec<Bytes>> {
        let metadata = client.fetch_metadata(Some(&topic), PATIENCE)?;
        let found = metadata.topics().first().context("the topic")?;
        let (mut list, mut left) = (TopicPartitionList::new(), 0);
        for partition in found.partitions() {
            list.add_partition_offset(&topic, partition.id(), Offset::Beginning)?;
            let (low, high) = client.fetch_watermarks(&topic, partition.id(), PATIENCE)?;
            left += high - low;
        }
        client.assign(&list)?;
        let mut payloads = Vec::new();
        while left > 0 {
            let message = client.poll(PATIENCE).context("a record in time")??;
            payloads.push(Bytes::copy_from_slice(
                message.payload().unwrap_or_default(),
            ));
            left -= 1;
        }
        Ok(payloads)
    };
    tokio::task::spawn_blocking(read).await?
}

fn client(bootstrap: &str, group: &str) -> Result<BaseConsumer> {
    Ok(ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .create()?)
}
