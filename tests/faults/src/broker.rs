//! What a test does to the broker and asks of it, past all proxies and past the code under test.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use kith_tests::servers::Place;
use kith_tests::topics;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

/// How long the broker may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A record as the broker has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its partition.
    pub partition: i32,
    /// Its place there.
    pub offset: i64,
    /// Its key; empty if it has none.
    pub key: Vec<u8>,
    /// Its payload; `None` for a tombstone.
    pub payload: Option<Vec<u8>>,
    /// Its headers, in order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Stored {
    /// A record that is to be sent to a partition, with a key.
    #[must_use]
    pub fn new(partition: i32, key: &str, payload: Option<Vec<u8>>) -> Self {
        Self {
            partition,
            offset: 0,
            key: key.into(),
            payload,
            headers: Vec::new(),
        }
    }

    /// With one more header.
    #[must_use]
    pub fn with(mut self, name: &str, value: Option<&[u8]>) -> Self {
        let value = value.map(<[u8]>::to_vec);
        self.headers.push((name.into(), value));
        self
    }

    /// A header as text; empty if it is not there.
    #[must_use]
    pub fn header(&self, name: &str) -> String {
        let found = self.headers.iter().find(|(own, _)| own == name);
        let value = found.and_then(|(_, value)| value.clone());
        String::from_utf8_lossy(&value.unwrap_or_default()).into_owned()
    }
}

/// The broker of a place.
#[derive(Debug, Clone)]
pub struct Broker {
    config: ClientConfig,
    place: Place,
}

impl Broker {
    /// The broker of this place.
    #[must_use]
    pub fn of(place: &Place) -> Self {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &place.bootstrap)
            .set("message.max.bytes", "67108864")
            .set("enable.auto.commit", "false");
        Self {
            config,
            place: place.clone(),
        }
    }

    /// The topic of the dead letters.
    #[must_use]
    pub fn letters(&self) -> String {
        format!("{}.dead", self.place.topic)
    }

    /// Sends records to the traits topic as they are, one after another; the offset of each.
    ///
    /// # Errors
    /// When the broker takes one not.
    pub async fn send(&self, records: &[Stored]) -> Result<Vec<i64>> {
        let producer: FutureProducer = self.config.create()?;
        let mut offsets = Vec::new();
        for record in records {
            let mut headers = OwnedHeaders::new();
            for (key, value) in &record.headers {
                let value = value.as_deref();
                headers = headers.insert(Header { key, value });
            }
            let mut sent = FutureRecord::<[u8], [u8]>::to(&self.place.topic)
                .partition(record.partition)
                .key(&record.key)
                .headers(headers);
            sent.payload = record.payload.as_deref();
            let done = producer.send(sent, PATIENCE).await;
            let delivery = done.map_err(|(error, _)| anyhow!("a record: {error}"))?;
            offsets.push(delivery.offset);
        }
        Ok(offsets)
    }

    /// Where each partition of a topic ends.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn ends(&self, topic: &str) -> Result<BTreeMap<i32, i64>> {
        topics::ends(&self.place, topic).await
    }

    /// How many records the traits topic has been given.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn count(&self) -> Result<i64> {
        Ok(self.ends(&self.place.topic).await?.values().sum())
    }

    /// Everything in the traits topic.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn records(&self) -> Result<Vec<Stored>> {
        self.read(&self.place.topic).await
    }

    /// Everything in a topic, each partition in order.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn read(&self, topic: &str) -> Result<Vec<Stored>> {
        let topic = topic.to_owned();
        self.ask(move |client| {
            let (mut left, mut list) = (0, TopicPartitionList::new());
            for partition in 0..partitions(client, &topic)? {
                let (start, end) = client.fetch_watermarks(&topic, partition, PATIENCE)?;
                left += end - start;
                list.add_partition_offset(&topic, partition, Offset::Offset(start))?;
            }
            client.assign(&list)?;
            let mut records = Vec::new();
            for _ in 0..left {
                let record = client.poll(PATIENCE).context("a record")??;
                let headers = record.headers().map(|headers| {
                    let own = |one: Header<'_, &[u8]>| {
                        (one.key.to_owned(), one.value.map(<[u8]>::to_vec))
                    };
                    headers.iter().map(own).collect()
                });
                records.push(Stored {
                    partition: record.partition(),
                    offset: record.offset(),
                    key: record.key().unwrap_or_default().to_vec(),
                    payload: record.payload().map(<[u8]>::to_vec),
                    headers: headers.unwrap_or_default(),
                });
            }
            Ok(records)
        })
        .await
    }

    /// Sets the consumer group, which must have no members, back to the beginning of every partition.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn rewind(&self) -> Result<()> {
        let topic = self.place.topic.clone();
        self.ask(move |client| {
            let mut list = TopicPartitionList::new();
            for partition in 0..partitions(client, &topic)? {
                list.add_partition_offset(&topic, partition, Offset::Offset(0))?;
            }
            client.commit(&list, CommitMode::Sync)?;
            Ok(())
        })
        .await
    }

    /// Gives the traits topic more partitions; how many it has then.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn grow(&self, count: usize) -> Result<usize> {
        let partitions = NewPartitions::new(&self.place.topic, count);
        let done = self
            .admin()?
            .create_partitions(&[partitions], &AdminOptions::new())
            .await?;
        for one in done {
            one.map_err(|(topic, code)| anyhow!("{topic}: {code}"))?;
        }
        Ok(self.ends(&self.place.topic).await?.len())
    }

    /// Takes a topic away, with what is in it.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn remove(&self, topic: &str) -> Result<()> {
        let done = self
            .admin()?
            .delete_topics(&[topic], &AdminOptions::new())
            .await?;
        ensure!(done.iter().all(Result::is_ok), "{done:?}");
        Ok(())
    }

    fn admin(&self) -> Result<AdminClient<DefaultClientContext>> {
        Ok(self.config.create()?)
    }

    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&BaseConsumer) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let mut config = self.config.clone();
        config.set("group.id", &self.place.group);
        let client: BaseConsumer = config.create()?;
        tokio::task::spawn_blocking(move || question(&client)).await?
    }
}

fn partitions(client: &BaseConsumer, topic: &str) -> Result<i32> {
    let metadata = client.fetch_metadata(Some(topic), PATIENCE)?;
    let found = metadata.topics().first().context("the topic")?;
    Ok(i32::try_from(found.partitions().len())?)
}
