//! Dead letters, for whoever looks at them, sends them again or throws them away.

use std::ops::Bound;

use kith_domain::time::Micros;
use kith_profiles::error::PortError;
use kith_profiles::ports::{Durability, LogRecord, Offset, Partition};

use super::record::{self, Head, LetterBody};
use super::{EmbeddedLog, Topic};
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

impl EmbeddedLog {
    /// Dead letters from a number on, oldest first, `limit` at most. Fewer mean the end.
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
