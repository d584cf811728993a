//! How a batch that is too large for one statement is taken apart.
//!
//! A batch is one mutation of one partition, applied by a node as a whole, and it should stay small: it is one message, one
//! entry of the commit log, and everything else on the connection waits for it. An event may carry a few MiB of traits,
//! though. What the protocols need of a batch is less than atomicity of everything in it:
//!
//! - Members and the mark of the link that they belong to come together (`identity-protocol.md` 6): a quorum read is no
//!   snapshot, and over two statements one read may see the mark and miss the rows, even when the rows were acknowledged
//!   first. So everything but traits stays in **one** statement, whatever its size. A server refuses a batch by size only
//!   if it spans partitions; the bound is that of a mutation, megabytes above any set of members.
//! - No trait may be there without a clock that covers it (`trait-order.md` 10): a failed attempt's value would beat what
//!   its retry writes. So the clock row, if the batch has one, goes with **every** part, and any part that lands alone
//!   leaves the clock right. That is more than sending it first would give, and costs a few bytes.
//! - Marks never before rows: the parts with traits are acknowledged before the last part, which has everything else, is
//!   sent.

use kith_profiles::ports::{CellWrite, IdentRow};

/// A part's size, well below the 50 KiB that a statement should stay under.
const PART_BYTES: usize = 40 * 1024;

/// What a row costs beside its texts and bytes: its partition key, names of ids in its key, times, lengths.
const ROW_BYTES: usize = 200;

/// A batch in parts: those of which each may go by itself, in any order, and the one that goes when all others are
/// acknowledged.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Split<'w> {
    pub(super) parts: Vec<Vec<&'w CellWrite>>,
    pub(super) last: Vec<&'w CellWrite>,
}

pub(super) fn split(writes: &[CellWrite]) -> Split<'_> {
    if writes.iter().map(bytes).sum::<usize>() <= PART_BYTES {
        return Split {
            parts: Vec::new(),
            last: writes.iter().collect(),
        };
    }
    let clock = writes
        .iter()
        .find(|write| matches!(write, CellWrite::Clock));
    let (traits, mut last): (Vec<_>, Vec<_>) = writes
        .iter()
        .partition(|write| matches!(write, CellWrite::Trait(..)));

    let mut parts: Vec<Vec<&CellWrite>> = Vec::new();
    let mut filled = usize::MAX;
    for write in traits {
        filled = filled.saturating_add(bytes(write));
        match parts.last_mut() {
            Some(part) if filled <= PART_BYTES => part.push(write),
            _ => {
                parts.push(clock.into_iter().chain([write]).collect());
                filled = clock.map_or(0, bytes) + bytes(write);
            }
        }
    }
    // Nothing but the clock is left, and every part has it: no reason to wait for the parts and say it again.
    if !parts.is_empty() && last.iter().all(|write| matches!(write, CellWrite::Clock)) {
        last.clear();
    }
    Split { parts, last }
}

/// About what a write takes in a statement.
fn bytes(write: &CellWrite) -> usize {
    ROW_BYTES
        + match write {
            CellWrite::Trait(_, bytes) => bytes.as_slice().len(),
            CellWrite::Ident(IdentRow { id_type, value, .. })
            | CellWrite::ForgetIdent(id_type, value, _) => {
                id_type.as_str().len() + value.expose().len()
            }
            CellWrite::Clock | CellWrite::Link(_) | CellWrite::Member(_) | CellWrite::Root(_) => 0,
        }
}

#[cfg(test)]
mod tests {
    use kith_domain::id::{DefinitionId, LinkToken, ProfileId};
    use kith_domain::traits::CellBytes;
    use kith_profiles::ports::LinkRow;
    use uuid::Uuid;

    use super::*;

    fn value(n: u128, bytes: usize) -> CellWrite {
        CellWrite::Trait(
            DefinitionId::from_uuid(Uuid::from_u128(n)),
            CellBytes::from_stored(vec![1; bytes]),
        )
    }

    fn member(n: u128) -> CellWrite {
        CellWrite::Member(ProfileId::from_uuid(Uuid::from_u128(n)))
    }

    fn mark(n: u128) -> CellWrite {
        CellWrite::Link(LinkRow {
            child: ProfileId::from_uuid(Uuid::from_u128(n)),
            token: LinkToken::from_uuid(Uuid::from_u128(n)),
            settled: true,
        })
    }

    fn all<'w>(split: &Split<'w>) -> Vec<&'w CellWrite> {
        split
            .parts
            .iter()
            .flatten()
            .copied()
            .chain(split.last.iter().copied())
            .collect()
    }

    #[test]
    fn an_ordinary_batch_is_one_statement() {
        let writes = [CellWrite::Clock, value(1, 1_000), mark(1), member(1)];
        let split = split(&writes);
        assert!(split.parts.is_empty());
        assert_eq!(split.last.len(), 4);
        assert_eq!(
            super::split(&[]),
            Split {
                parts: vec![],
                last: vec![]
            }
        );
    }

    #[test]
    fn every_part_with_a_trait_has_the_clock_and_marks_go_last() {
        let mut writes = vec![CellWrite::Clock, mark(1), member(1)];
        writes.extend((0..200).map(|n| value(n, 1_000)));
        let split = split(&writes);
        assert!(split.parts.len() > 4);
        for part in &split.parts {
            assert_eq!(part[0], &CellWrite::Clock);
            assert!(
                part[1..]
                    .iter()
                    .all(|write| matches!(write, CellWrite::Trait(..)))
            );
            assert!(part.iter().map(|write| bytes(write)).sum::<usize>() <= PART_BYTES);
        }
        assert_eq!(split.last, [&CellWrite::Clock, &mark(1), &member(1)]);
        for write in &writes {
            assert!(all(&split).contains(&write));
        }
    }

    #[test]
    fn traits_alone_need_no_last_round() {
        let writes: Vec<_> = (0..200).map(|n| value(n, 1_000)).collect();
        let parts = split(&writes);
        assert_eq!(all(&parts).len(), 200);
        assert!(parts.last.is_empty());

        let mut stamped = vec![CellWrite::Clock];
        stamped.extend(writes);
        let parts = split(&stamped);
        assert!(parts.last.is_empty());
        assert!(
            parts
                .parts
                .iter()
                .all(|part| part[0] == &CellWrite::Clock && part.len() > 1)
        );
    }

    #[test]
    fn members_stay_with_their_mark_whatever_their_number() {
        let mut writes: Vec<_> = (0..2_000).map(member).collect();
        writes.push(mark(7));
        let split = split(&writes);
        assert!(split.parts.is_empty());
        assert_eq!(split.last.len(), 2_001);
    }

    #[test]
    fn a_value_larger_than_a_part_goes_alone() {
        let writes = [value(1, 100), value(2, 120_000), value(3, 100)];
        let split = split(&writes);
        assert_eq!(all(&split).len(), 3);
        assert!(
            split
                .parts
                .iter()
                .chain([&split.last])
                .any(|part| part == &[&writes[1]])
        );
    }
}
