//! Where the partitions of the log begin and end, as the leader keeps it.

use std::num::NonZeroU16;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

use super::Topic;
use super::record::{self, Head, Prepared};
use crate::database::View;
use crate::error::ReadError;
use crate::group::Group;
use crate::layout::row::{EdgeRow, Number};
use crate::layout::{Space, key};

/// Both topics.
pub(crate) struct LogState {
    traits: Vec<EdgeRow>,
    dead: Vec<EdgeRow>,
    /// Whether there is something that readers were not told of yet.
    changed: bool,
    heads: Arc<Heads>,
}

/// The ends of the traits topic as readers may know them: after the commit.
#[derive(Debug)]
pub(crate) struct Heads {
    ends: Vec<(AtomicU64, AtomicU64)>,
    changed: watch::Sender<()>,
}

impl Heads {
    /// The offset after the last record of a partition.
    pub(crate) fn next(&self, partition: u16) -> u64 {
        self.ends
            .get(usize::from(partition))
            .map_or(0, |(_, next)| next.load(Ordering::Acquire))
    }

    /// The first offset of each partition that is left, and the offset after its last.
    pub(crate) fn all(&self) -> impl Iterator<Item = (u64, u64)> {
        self.ends
            .iter()
            .map(|(start, next)| (start.load(Ordering::Acquire), next.load(Ordering::Acquire)))
    }

    /// How many partitions there are.
    pub(crate) fn partitions(&self) -> u16 {
        u16::try_from(self.ends.len()).unwrap_or(u16::MAX)
    }

    /// Told of new records.
    pub(crate) fn subscribe(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }
}

impl LogState {
    /// Reads the ends of all partitions. There are as many as the log ever had, or more if more are wanted.
    pub(crate) fn load(view: &View, wanted: NonZeroU16) -> Result<Self, ReadError> {
        let stored = view
            .row::<Number>(Space::Meta, key::PARTITIONS)?
            .map_or(0, |number| u16::try_from(number.0).unwrap_or(u16::MAX));
        let partitions = stored.max(wanted.get());
        let traits = (0..partitions)
            .map(|partition| ends(view, Topic::Traits, partition))
            .collect::<Result<Vec<_>, _>>()?;
        let heads = Arc::new(Heads {
            ends: traits
                .iter()
                .map(|ends| (ends.start.into(), ends.next.into()))
                .collect(),
            changed: watch::Sender::new(()),
        });
        Ok(Self {
            traits,
            dead: vec![ends(view, Topic::Dead, 0)?],
            changed: false,
            heads,
        })
    }

    /// How many partitions the traits topic has.
    pub(crate) fn partitions(&self) -> u16 {
        self.heads.partitions()
    }

    /// What readers may know.
    pub(crate) fn heads(&self) -> Arc<Heads> {
        Arc::clone(&self.heads)
    }

    /// The ends of a partition, staged records included.
    pub(crate) fn ends(&self, topic: Topic, partition: u16) -> Option<&EdgeRow> {
        self.topic(topic).get(usize::from(partition))
    }

    fn topic(&self, topic: Topic) -> &[EdgeRow] {
        match topic {
            Topic::Traits => &self.traits,
            Topic::Dead => &self.dead,
        }
    }

    fn ends_mut(&mut self, topic: Topic, partition: u16) -> Option<&mut EdgeRow> {
        let topic = match topic {
            Topic::Traits => &mut self.traits,
            Topic::Dead => &mut self.dead,
        };
        topic.get_mut(usize::from(partition))
    }

    /// How many bytes the traits topic holds.
    pub(crate) fn bytes(&self) -> u64 {
        self.traits
            .iter()
            .map(|ends| ends.published - ends.trimmed)
            .sum()
    }

    /// Notes that the records before an offset are gone, and so many bytes with them.
    pub(crate) fn trim(&mut self, topic: Topic, partition: u16, start: u64, trimmed: u64) {
        if let Some(ends) = self.ends_mut(topic, partition) {
            ends.start = start;
            ends.trimmed = trimmed;
            self.changed = true;
        }
    }

    /// Shows readers the ends after the commit that was just made.
    pub(crate) fn publish(&mut self) {
        if !std::mem::take(&mut self.changed) {
            return;
        }
        for ((start, next), ends) in self.heads.ends.iter().zip(&self.traits) {
            start.store(ends.start, Ordering::Release);
            next.store(ends.next, Ordering::Release);
        }
        self.heads.changed.send_replace(());
    }
}

/// Stages a record at the end of a partition.
pub(crate) fn append(group: &mut Group<'_>, topic: Topic, partition: u16, prepared: Prepared) {
    let published_at = group.now;
    let Some(ends) = group.log.ends_mut(topic, partition) else {
        return;
    };
    let (offset, position) = (ends.next, ends.published);
    ends.next += 1;
    ends.published += prepared.len();
    group.log.changed |= topic == Topic::Traits;
    let value = prepared.place(Head {
        published_at,
        position,
    });
    group.staged.put(
        Space::Log,
        key::record(topic.number(), partition, offset),
        value,
    );
}

fn ends(view: &View, topic: Topic, partition: u16) -> Result<EdgeRow, ReadError> {
    let edge_key = key::edge(topic.number(), partition);
    let mut ends: EdgeRow = view.row(Space::Log, &edge_key)?.unwrap_or_default();
    let records = (
        Bound::Included(key::record(topic.number(), partition, ends.start)),
        Bound::Included(key::record(topic.number(), partition, u64::MAX)),
    );
    if let Some(last) = view.range(Space::Log, records).next_back() {
        let (key, value) = last?;
        let corrupt = ReadError::row(Space::Log);
        ends.next = key::offset_of(&key).map_err(&corrupt)? + 1;
        ends.published = record::head(&value).map_err(&corrupt)?.position + value.len() as u64;
    }
    Ok(ends)
}
