//! Deleting what nobody needs any more, in small steps inside the commits of others.

use std::ops::Bound;

use super::Topic;
use super::groups::Groups;
use super::letters;
use super::record::{self, Head};
use crate::database::View;
use crate::error::ReadError;
use crate::group::Group;
use crate::layout::{Space, key};
use crate::options::Retention;

/// Records that one step deletes at most: what it costs a commit stays small.
pub(crate) const STEP_RECORDS: usize = 256;

/// Stages one step. True if there may be more to do.
///
/// Only records that every group has finished are deleted, and of those the ones that are too old, or too much; and dead letters
/// that are too old.
pub(crate) fn step(
    view: &View,
    group: &mut Group<'_>,
    groups: &Groups,
    retention: &Retention,
) -> Result<bool, ReadError> {
    let (now, age) = (group.now, retention.letters);
    let is_old = |_: u64, head: Head| now.since(head.published_at) > age;
    if letters::discard(view, group, STEP_RECORDS, is_old)? == STEP_RECORDS as u64 {
        return Ok(true);
    }
    let mut left = STEP_RECORDS;
    for partition in 0..group.log.partitions() {
        let Some(finished) = groups.finished(partition) else {
            return Ok(false);
        };
        left -= trim(view, group, retention, partition, finished, left)?;
        if left == 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

fn trim(
    view: &View,
    group: &mut Group<'_>,
    retention: &Retention,
    partition: u16,
    finished: u64,
    most: usize,
) -> Result<usize, ReadError> {
    let topic = Topic::Traits;
    let Some(mut ends) = group.log.ends(topic, partition).copied() else {
        return Ok(0);
    };
    if ends.start >= finished {
        return Ok(0);
    }
    let corrupt = ReadError::row(Space::Log);
    let mut surplus = group.log.bytes().saturating_sub(retention.bytes);
    let mut deleted = 0;
    let range = (
        Bound::Included(key::record(topic.number(), partition, ends.start)),
        Bound::Excluded(key::record(topic.number(), partition, finished)),
    );
    for row in view.range(Space::Log, range).take(most) {
        let (row_key, value) = row?;
        let head = record::head(&value).map_err(&corrupt)?;
        let old = group.now.since(head.published_at) > retention.age;
        if !old && surplus == 0 {
            break;
        }
        let bytes = value.len() as u64;
        surplus = surplus.saturating_sub(bytes);
        ends.start = key::offset_of(&row_key).map_err(&corrupt)? + 1;
        ends.trimmed = head.position + bytes;
        group.staged.remove(Space::Log, row_key.to_vec());
        deleted += 1;
    }
    if deleted > 0 {
        group.log.trim(topic, partition, ends.start, ends.trimmed);
        group
            .staged
            .put_row(Space::Log, key::edge(topic.number(), partition), &ends);
    }
    Ok(deleted)
}
