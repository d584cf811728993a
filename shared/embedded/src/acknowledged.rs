//! The last acknowledged commit, kept beside the database.
//!
//! After each sync of the journal and before anybody is answered, the tip of the chain is written here. At open the database
//! must reach it: so a journal whose end is gone is seen, not only one whose middle is damaged.
//!
//! The file itself is not synced with every commit, which would double the cost of a durable write. It is written *after* the
//! journal is on disk, so it never promises too much; after a power failure it may be some seconds behind, and a loss at the
//! end of the journal that happens in the same power failure can go unseen by just so much. After a crash of the process alone
//! it is exact. It is synced when the engine is idle and when it closes.
//!
//! Two slots, written in turn, so that a torn write leaves the one before.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use xxhash_rust::xxh3::xxh3_64;

use crate::layout::Space;
use crate::layout::read::Reader;
use crate::seal::Tip;

/// The name of the file.
pub(crate) const NAME: &str = "acknowledged";

const MAGIC: u64 = u64::from_be_bytes(*b"KithAck1");
/// The distance of the slots: a sector, the most that a disk may tear.
const SLOT_BYTES: u64 = 512;
const SLOTS: u64 = 2;
const USED_BYTES: usize = 8 * (4 + Space::COUNT);

/// The file, open for writing.
pub(crate) struct Acknowledged {
    file: File,
    next_slot: u64,
}

impl Acknowledged {
    /// Makes the file of a database without commits.
    pub(crate) fn create(path: &Path) -> std::io::Result<()> {
        let mut file = File::create_new(path)?;
        file.set_len(SLOTS * SLOT_BYTES)?;
        file.write_all(&encode(&Tip::default()))?;
        file.sync_all()
    }

    /// Opens the file for writing; `current` is what [`read`] found.
    pub(crate) fn open(path: &Path, current: &Found) -> std::io::Result<Self> {
        Ok(Self {
            file: File::options().write(true).open(path)?,
            next_slot: (current.slot + 1) % SLOTS,
        })
    }

    /// Notes a tip.
    pub(crate) fn write(&mut self, tip: &Tip) -> std::io::Result<()> {
        self.file
            .seek(SeekFrom::Start(self.next_slot * SLOT_BYTES))?;
        self.file.write_all(&encode(tip))?;
        self.next_slot = (self.next_slot + 1) % SLOTS;
        Ok(())
    }

    /// Puts what was noted on disk.
    pub(crate) fn sync(&self) -> std::io::Result<()> {
        self.file.sync_data()
    }
}

/// What the file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    /// The newest tip in it.
    pub(crate) tip: Tip,
    slot: u64,
}

/// Reads the file. `None` if no slot of it is sound.
pub(crate) fn read(path: &Path) -> std::io::Result<Option<Found>> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(SLOTS * SLOT_BYTES)
        .read_to_end(&mut bytes)?;
    let slots = (0..SLOTS).zip(bytes.chunks(usize::try_from(SLOT_BYTES).unwrap_or(usize::MAX)));
    Ok(slots
        .filter_map(|(slot, bytes)| decode(bytes).map(|tip| Found { tip, slot }))
        .max_by_key(|found| found.tip.sequence))
}

fn encode(tip: &Tip) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(USED_BYTES);
    for number in [MAGIC, tip.sequence, tip.chain].iter().chain(&tip.floors) {
        bytes.extend_from_slice(&number.to_be_bytes());
    }
    bytes.extend_from_slice(&xxh3_64(&bytes).to_be_bytes());
    bytes
}

fn decode(slot: &[u8]) -> Option<Tip> {
    let mut rest = Reader::new(slot.get(..USED_BYTES)?);
    let mut number = || rest.u64().ok();
    let magic = number()?;
    let mut tip = Tip {
        sequence: number()?,
        chain: number()?,
        floors: [0; Space::COUNT],
    };
    for floor in &mut tip.floors {
        *floor = number()?;
    }
    let checksum = number()?;
    (magic == MAGIC && checksum == xxh3_64(slot.get(..USED_BYTES - 8)?)).then_some(tip)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tip(sequence: u64) -> Tip {
        Tip {
            sequence,
            chain: sequence * 7,
            floors: [sequence; Space::COUNT],
        }
    }

    #[test]
    fn the_newest_of_two_slots_counts_and_a_torn_one_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(NAME);
        Acknowledged::create(&path).unwrap();
        let empty = read(&path).unwrap().unwrap();
        assert_eq!(empty.tip, Tip::default());

        let mut file = Acknowledged::open(&path, &empty).unwrap();
        for sequence in 1..=4 {
            file.write(&tip(sequence)).unwrap();
            assert_eq!(read(&path).unwrap().unwrap().tip, tip(sequence));
        }
        let found = read(&path).unwrap().unwrap();

        let mut bytes = std::fs::read(&path).unwrap();
        let place = usize::try_from(found.slot * SLOT_BYTES).unwrap() + 20;
        bytes[place] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let older = read(&path).unwrap().unwrap();
        assert_eq!(older.tip, tip(3));

        // What is written next goes over the torn one.
        Acknowledged::open(&path, &older)
            .unwrap()
            .write(&tip(5))
            .unwrap();
        assert_eq!(read(&path).unwrap().unwrap().tip, tip(5));
    }

    #[test]
    fn a_file_of_nothing_says_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(NAME);
        std::fs::write(&path, b"").unwrap();
        assert_eq!(read(&path).unwrap(), None);
        std::fs::write(&path, [0u8; 1024]).unwrap();
        assert_eq!(read(&path).unwrap(), None);
    }
}
