//! The order of the log: offsets and the running count of bytes have no gap, and no group is ahead of its partition.

use std::collections::HashMap;

use super::Checked;
use crate::error::ReadError;
use crate::layout::row::{EdgeRow, Number, Row};
use crate::layout::{CorruptRow, key};
use crate::log::Topic;
use crate::log::record;

/// Where each partition goes on after the rows seen so far, which come in the order of their keys.
#[derive(Default)]
pub(super) struct Ends {
    partitions: HashMap<(u8, u16), End>,
}

#[derive(Clone, Copy, Default)]
struct End {
    /// The offset that comes next.
    next: u64,
    /// The bytes published before it.
    position: u64,
}

impl Ends {
    /// Looks at a row of the log.
    pub(super) fn record(
        &mut self,
        checked: &mut Checked,
        key: &[u8],
        value: &[u8],
    ) -> Result<Result<(), CorruptRow>, ReadError> {
        Ok(self.read_record(checked, key, value))
    }

    fn read_record(
        &mut self,
        checked: &mut Checked,
        key: &[u8],
        value: &[u8],
    ) -> Result<(), CorruptRow> {
        let (topic, partition, offset) = key::log(key)?;
        let end = self.partitions.entry((topic, partition)).or_default();
        let Some(offset) = offset else {
            let edge = EdgeRow::decode(value)?;
            *end = End {
                next: edge.start,
                position: edge.trimmed,
            };
            return Ok(());
        };
        let expected = *end;
        let head = record::head(value)?;
        *end = End {
            next: offset.saturating_add(1),
            position: head.position.saturating_add(value.len() as u64),
        };
        if topic == Topic::Dead.number() {
            let letter = record::letter(value)?;
            let is_receipt = record::is_receipt(&letter.topic, &letter.reason);
            checked.dead_letters += u64::from(!is_receipt);
        } else {
            checked.records += 1;
            record::body(value)?;
        }
        if offset != expected.next {
            checked.finding(|| {
                format!(
                    "partition {partition} of the log goes on at {offset} and not at {}",
                    expected.next
                )
            });
        } else if head.position != expected.position {
            checked.finding(|| {
                format!("record {offset} of partition {partition} is not where its size puts it")
            });
        }
        Ok(())
    }

    /// Looks at a row of a consumer group; all rows of the log come before.
    pub(super) fn group(
        &self,
        checked: &mut Checked,
        key: &[u8],
        value: &[u8],
    ) -> Result<Result<(), CorruptRow>, ReadError> {
        let read = || Ok((key::group_name(key)?, Number::decode(value)?));
        let ((partition, name), Number(next)) = match read() {
            Ok(row) => row,
            Err(corrupt) => return Ok(Err(corrupt)),
        };
        let end = self.partitions.get(&(Topic::Traits.number(), partition));
        let end = end.copied().unwrap_or_default().next;
        if next > end {
            checked.finding(|| {
                format!(
                    "group {name} goes on at {next} of partition {partition}, which ends at {end}"
                )
            });
        }
        Ok(Ok(()))
    }
}
