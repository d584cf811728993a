//! The seal of a commit: our own sequence number and checksum, chained.
//!
//! fjall checks each batch of its journal, but takes a damaged one for the torn end of the file and drops it and everything
//! after it without a word (fjall issue 311). So every commit carries a seal, as the row `commit` of keyspace `meta` and the
//! last item of its batch. Seals make a chain: a batch that is missing, changed or out of place breaks it.
//!
//! A seal also knows, for every keyspace, how far the tables on disk must reach if the journals before it are gone: its
//! *floors*. A floor lies above every batch that wrote to the keyspace before the last one, and not above the last one, in
//! fjall's own numbers, which the tables carry. So a keyspace whose tables reach its floor has everything.

use xxhash_rust::xxh3::Xxh3;

use crate::layout::read::Reader;
use crate::layout::row::Row;
use crate::layout::{CorruptRow, Space};

/// One number for each keyspace; 0 where nothing was ever written.
pub(crate) type Floors = [u64; Space::COUNT];

/// What one commit says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seal {
    /// Its number: from 1, without a gap.
    pub(crate) sequence: u64,
    /// The chain before it.
    pub(crate) previous: u64,
    /// Over all its items but the seal itself.
    pub(crate) checksum: u64,
    /// fjall's next number before the commit: not above the number the batch got.
    pub(crate) floor: u64,
    /// Which keyspaces it wrote to: bit i stands for [`Space::ALL`]`[i]`.
    pub(crate) touched: u8,
    /// The floors before it.
    pub(crate) before: Floors,
}

/// Where a database stands after a commit: what the next one builds on, and what is kept beside the database.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tip {
    /// The number of the last commit; 0 if there was none.
    pub(crate) sequence: u64,
    /// The chain up to it.
    pub(crate) chain: u64,
    /// How far each keyspace must reach.
    pub(crate) floors: Floors,
}

impl Seal {
    /// The seal of the commit that follows a tip.
    pub(crate) const fn following(tip: &Tip, checksum: u64, floor: u64, touched: u8) -> Self {
        Self {
            sequence: tip.sequence + 1,
            previous: tip.chain,
            checksum,
            floor,
            touched,
            before: tip.floors,
        }
    }

    /// Where the database stands after it.
    pub(crate) fn tip(&self) -> Tip {
        let mut floors = self.before;
        for space in Space::ALL {
            if self.touched & bit(space) != 0 {
                floors[space.index()] = self.floor;
            }
        }
        Tip {
            sequence: self.sequence,
            chain: xxhash_rust::xxh3::xxh3_64(&self.encode()),
            floors,
        }
    }

    /// Whether it follows that tip.
    pub(crate) fn follows(&self, tip: &Tip) -> bool {
        self.sequence == tip.sequence + 1 && self.previous == tip.chain && self.before == tip.floors
    }
}

/// The bit of a keyspace in [`Seal::touched`].
pub(crate) const fn bit(space: Space) -> u8 {
    1 << space.index()
}

impl Row for Seal {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(33 + 8 * Space::COUNT);
        for number in [self.sequence, self.previous, self.checksum, self.floor] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes.push(self.touched);
        for floor in self.before {
            bytes.extend_from_slice(&floor.to_be_bytes());
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Self, CorruptRow> {
        let mut rest = Reader::new(bytes);
        let mut seal = Self {
            sequence: rest.u64()?,
            previous: rest.u64()?,
            checksum: rest.u64()?,
            floor: rest.u64()?,
            touched: rest.u8()?,
            before: [0; Space::COUNT],
        };
        for floor in &mut seal.before {
            *floor = rest.u64()?;
        }
        rest.end(seal)
    }
}

/// The checksum over the items of a batch, taken in their order.
#[derive(Default)]
pub(crate) struct Checksum(Xxh3);

impl Checksum {
    /// Takes one item: a value, or a removal.
    pub(crate) fn item(&mut self, space_id: u64, key: &[u8], value: Option<&[u8]>) {
        // Lengths keep two items from reading like one; a removal has a length of its own.
        self.0.update(&space_id.to_be_bytes());
        self.0.update(&(key.len() as u64).to_be_bytes());
        self.0.update(key);
        let len = value.map_or(u64::MAX, |value| value.len() as u64);
        self.0.update(&len.to_be_bytes());
        self.0.update(value.unwrap_or_default());
    }

    /// The checksum of all items taken.
    pub(crate) fn finish(&self) -> u64 {
        self.0.digest()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    prop_compose! {
        fn any_seal()(
            numbers: [u64; 4], touched: u8, before: [u64; Space::COUNT]
        ) -> Seal {
            Seal {
                sequence: numbers[0] >> 1,
                previous: numbers[1],
                checksum: numbers[2],
                floor: numbers[3],
                touched,
                before,
            }
        }
    }

    proptest! {
        #[test]
        fn a_seal_reads_as_it_was_written(seal in any_seal()) {
            prop_assert_eq!(Seal::decode(&seal.encode()), Ok(seal));
        }

        #[test]
        fn the_next_seal_follows_and_no_other(seal in any_seal(), other in any_seal(), checksum: u64, floor: u64) {
            let next = Seal::following(&seal.tip(), checksum, floor, 3);
            prop_assert!(next.follows(&seal.tip()));
            prop_assert_eq!(next.follows(&other.tip()), seal == other);
        }

        #[test]
        fn floors_rise_where_a_commit_wrote(seal in any_seal()) {
            let after = seal.tip().floors;
            for space in Space::ALL {
                let expected = if seal.touched & bit(space) == 0 { seal.before[space.index()] } else { seal.floor };
                prop_assert_eq!(after[space.index()], expected);
            }
        }

        #[test]
        fn no_two_lists_of_items_share_a_checksum(
            a in proptest::collection::vec((1u64..9, "[ab]{0,2}", proptest::option::of("[ab]{0,2}")), 0..4),
            b in proptest::collection::vec((1u64..9, "[ab]{0,2}", proptest::option::of("[ab]{0,2}")), 0..4),
        ) {
            let sum = |items: &[(u64, String, Option<String>)]| {
                let mut checksum = Checksum::default();
                for (space, key, value) in items {
                    checksum.item(*space, key.as_bytes(), value.as_deref().map(str::as_bytes));
                }
                checksum.finish()
            };
            prop_assert_eq!(sum(&a) == sum(&b), a == b);
        }
    }
}
