//! Dead letters, for whoever looks at them, sends them again or throws them away.

use std::ops::Bound;

use bytes::Bytes;
use kith_domain::time::Micros;
use kith_profiles::error::{PortError, PublishError};
use kith_profiles::letters::{Buried, Letter, Origin, take_redrives};
use kith_profiles::ports::{DeadLetter, Durability, LogRecord, NewRecord, Offset, Partition};

use super::record::{self, Head, LetterBody, Prepared};
use super::{EmbeddedLog, Topic, state};
use crate::database::View;
use crate::error::ReadError;
use crate::group::Group;
use crate::layout::{Space, key};

/// Letters that one step of discarding deletes at most.
const STEP_LETTERS: usize = 1024;

/// A dead letter as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuriedLetter {
    /// Its place among the letters: from 0, one more with each.
    pub number: u64,
    /// When it was buried.
    pub buried_at: Micros,
    /// The topic it was read from.
    pub topic: String,
    /// Why it was buried: a short label.
    pub reason: String,
    /// The record as it was read.
    pub record: LogRecord,
}

impl BuriedLetter {
    /// What stands there. All dead letters are one partition, in which a letter's number is its offset.
    #[must_use]
    pub fn buried(self) -> Buried {
        let partition = Partition(0);
        if record::is_receipt(&self.topic, &self.reason) {
            return Buried::Receipt(partition, vec![self.record.offset]);
        }
        let LogRecord {
            key,
            payload,
            mut headers,
            ..
        } = self.record;
        Buried::Letter(Box::new(Letter {
            partition,
            offset: Offset::new(i64::try_from(self.number).unwrap_or(i64::MAX)),
            buried_at: self.buried_at,
            reason: Some(self.reason),
            origin: Some(Origin {
                topic: self.topic,
                partition: self.record.partition,
                offset: self.record.offset,
            }),
            published_at: Some(self.record.published_at),
            redrives: take_redrives(&mut headers),
            key,
            payload,
            headers,
        }))
    }
}

impl EmbeddedLog {
    /// Publishes the record of a letter as it was, with how often that was done in its headers, and notes it among the letters:
    /// both or neither.
    ///
    /// # Errors
    /// [`PublishError`], as of every publish. Doing it again is safe.
    pub async fn redrive(&self, letter: &Letter) -> Result<(), PublishError> {
        let record = NewRecord {
            key: letter.key.clone(),
            payload: letter.payload.clone(),
            headers: letter.redriven_headers(),
        };
        let (partition, prepared) = self.prepared(&record)?;
        let receipt = Prepared::letter(&DeadLetter {
            record: LogRecord {
                partition: letter.partition,
                offset: letter.offset,
                published_at: Micros::EPOCH,
                key: Bytes::new(),
                payload: Bytes::new(),
                headers: Vec::new(),
            },
            topic: String::new(),
            reason: record::RECEIPT,
        });
        let bytes = prepared.len() + receipt.len();
        self.stage(bytes, move |group| {
            state::append(group, Topic::Traits, partition, prepared);
            state::append(group, Topic::Dead, 0, receipt);
        })
        .await
    }

    /// Dead letters and receipts for those that were redriven, from a number on, oldest first, `limit` at most. Fewer mean the end.
    ///
    /// # Errors
    /// [`PortError`].
    pub fn letters(&self, from: u64, limit: usize) -> Result<Vec<BuriedLetter>, PortError> {
        const OPERATION: &str = "read dead letters";
        self.engine.check(OPERATION)?;
        let topic = Topic::Dead.number();
        let range = (
            Bound::Included(key::record(topic, 0, from)),
            Bound::Included(key::record(topic, 0, u64::MAX)),
        );
        self.engine
            .view()
            .range(Space::Log, range)
            .take(limit)
            .map(|row| {
                let (name, value) = row?;
                letter(&name, &value).map_err(ReadError::row(Space::Log))
            })
            .collect::<Result<_, ReadError>>()
            .map_err(|error| error.port(OPERATION))
    }

    /// Throws away every dead letter with a smaller number. Returns how many there were.
    ///
    /// # Errors
    /// [`PortError`]: some may be gone; repeating is safe.
    pub async fn discard_letters(&self, before: u64) -> Result<u64, PortError> {
        const OPERATION: &str = "discard dead letters";
        let mut discarded = 0;
        loop {
            let view = self.engine.view();
            let step = self
                .engine
                .submit_from_reserve(Durability::Durable, 64, move |group| {
                    discard(&view, group, STEP_LETTERS, |number, _| number < before)
                })
                .await
                .map_err(|error| error.port(OPERATION))?
                .map_err(|error| error.port(OPERATION))?;
            discarded += step;
            if step == 0 {
                return Ok(discarded);
            }
        }
    }
}

fn letter(name: &[u8], value: &[u8]) -> Result<BuriedLetter, crate::layout::CorruptRow> {
    let LetterBody {
        topic,
        reason,
        partition,
        offset,
        published_at,
        record: body,
    } = record::letter(value)?;
    Ok(BuriedLetter {
        number: key::offset_of(name)?,
        buried_at: record::head(value)?.published_at,
        topic,
        reason,
        record: LogRecord {
            partition: Partition(partition),
            offset: Offset::new(offset.as_i64()),
            published_at,
            key: body.key,
            payload: body.payload,
            headers: body.headers,
        },
    })
}

/// Stages the removal of the oldest letters, `most` at most, up to the first one that is not to go. Returns how many go.
pub(super) fn discard(
    view: &View,
    group: &mut Group<'_>,
    most: usize,
    goes: impl Fn(u64, Head) -> bool,
) -> Result<u64, ReadError> {
    let topic = Topic::Dead;
    let Some(mut ends) = group.log.ends(topic, 0).copied() else {
        return Ok(0);
    };
    let range = (
        Bound::Included(key::record(topic.number(), 0, ends.start)),
        Bound::Included(key::record(topic.number(), 0, u64::MAX)),
    );
    let corrupt = ReadError::row(Space::Log);
    let mut discarded = 0;
    for row in view.range(Space::Log, range).take(most) {
        let (name, value) = row?;
        let number = key::offset_of(&name).map_err(&corrupt)?;
        let head = record::head(&value).map_err(&corrupt)?;
        if !goes(number, head) {
            break;
        }
        ends.start = number + 1;
        ends.trimmed = head.position + value.len() as u64;
        group.staged.remove(Space::Log, name.to_vec());
        discarded += 1;
    }
    if discarded > 0 {
        group.log.trim(topic, 0, ends.start, ends.trimmed);
        group
            .staged
            .put_row(Space::Log, key::edge(topic.number(), 0), &ends);
    }
    Ok(discarded)
}
