//! Reads the journals, batch after batch, and follows the chain of seals.
//!
//! ```text
//! batch: start  1, count u32, number u64
//!        items  2, kind u8, compression u8, keyspace u64, key length u16, value length u32, stored length u32, key, value
//!        end    3, xxh3-64 of the items, "FJL" 3
//! ```

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::PathBuf;

use xxhash_rust::xxh3::Xxh3;

use super::archive::{Little, Trouble};
use crate::error::OpenError;
use crate::journal_file::Journal;
use crate::layout::row::Row;
use crate::layout::{Space, key};
use crate::open::Paths;
use crate::seal::{Checksum, Floors, Seal, Tip, bit};

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const VALUE: u8 = 0;
const TOMBSTONE: u8 = 1;
/// What is wrong with a batch that the end of the file cuts off.
const CUT_OFF: &str = "the file ends in the middle of it";

/// What the journals hold.
#[derive(Debug)]
pub(super) struct Scan {
    /// The seal of the first commit in them.
    pub(super) first: Option<Seal>,
    /// Where they end.
    pub(super) tip: Option<Tip>,
    /// The highest of fjall's numbers, by keyspace.
    pub(super) highest: Floors,
    /// The last journal and how much of it is sound, if it does not simply end there.
    pub(super) torn: Option<(PathBuf, u64)>,
    /// What is wrong with the batch there, other than that the file ends in the middle of it.
    broken: Option<&'static str>,
    last_path: PathBuf,
    /// The chain at the acknowledged commit's number is looked up here.
    chains: Vec<(u64, u64)>,
    last_number: u64,
}

/// Reads all journals, oldest first. Every one but the last was finished and synced before the next was begun.
pub(super) fn scan(paths: &Paths, journals: &[Journal]) -> Result<Scan, OpenError> {
    let Some(last) = journals.last() else {
        return Err(OpenError::damaged(
            paths.database(),
            "there is no journal (*.jnl)",
        ));
    };
    let mut scan = Scan {
        first: None,
        tip: None,
        highest: Floors::default(),
        torn: None,
        broken: None,
        last_path: last.path.clone(),
        chains: Vec::new(),
        last_number: 0,
    };
    for (journal, before) in journals
        .iter()
        .zip(std::iter::once(None).chain(journals.iter().map(Some)))
    {
        if before.is_some_and(|before| before.number + 1 != journal.number) {
            let missing = paths.database().join(format!("{}.jnl", journal.number - 1));
            return Err(OpenError::damaged(missing, "it is missing"));
        }
        let end = scan.read(journal)?;
        match end {
            End::Clean => {}
            End::Torn(sound, detail) if journal == last => {
                scan.torn = Some((journal.path.clone(), sound));
                scan.broken = (detail != CUT_OFF).then_some(detail);
            }
            End::Torn(sound, detail) => {
                return Err(OpenError::damaged(
                    &journal.path,
                    format!(
                        "the batch at byte {sound} cannot be read ({detail}), and newer journals follow"
                    ),
                ));
            }
        }
    }
    Ok(scan)
}

/// How a journal ends.
enum End {
    /// With nothing, or with room for more.
    Clean,
    /// With something that is no batch, from this byte on.
    Torn(u64, &'static str),
}

impl Scan {
    fn read(&mut self, journal: &Journal) -> Result<End, OpenError> {
        let io_error = |error| OpenError::io(&journal.path, error);
        let file = File::open(&journal.path).map_err(io_error)?;
        let size = file.metadata().map_err(io_error)?.len();
        let mut reader = BatchReader {
            file: BufReader::with_capacity(256 * 1024, file),
            position: 0,
            left: size,
            scratch: Vec::new(),
        };
        loop {
            let sound = reader.position;
            match reader.batch() {
                Ok(Some(batch)) => self.follow(journal, sound, &batch)?,
                Ok(None) => return Ok(End::Clean),
                Err(Trouble::Damaged(detail)) => return Ok(End::Torn(sound, detail)),
                Err(Trouble::Io(error)) => return Err(io_error(error)),
            }
        }
    }

    /// Checks that a batch is ours and the next one.
    fn follow(&mut self, journal: &Journal, at: u64, batch: &Batch) -> Result<(), OpenError> {
        let damaged = |detail: &str| {
            Err(OpenError::damaged(
                &journal.path,
                format!("the batch at byte {at} {detail}"),
            ))
        };
        let Some(seal) = batch.seal else {
            return damaged("has no seal");
        };
        if seal.checksum != batch.checksum || seal.touched != batch.touched {
            return damaged("is not what its seal says");
        }
        if self.tip.is_some_and(|tip| !seal.follows(&tip)) {
            return damaged("does not follow the one before: some are missing, or out of place");
        }
        // A floor is above all numbers given out before it, and not above the batch's own.
        if seal.floor <= self.last_number && self.last_number > 0 || batch.number < seal.floor {
            return damaged("has a number that was never given to it");
        }
        self.last_number = batch.number;
        for space in Space::ALL {
            if seal.touched & bit(space) != 0 {
                self.highest[space.index()] = batch.number;
            }
        }
        let tip = seal.tip();
        self.first.get_or_insert(seal);
        self.chains.push((tip.sequence, tip.chain));
        self.tip = Some(tip);
        Ok(())
    }

    /// Checks that the journals go as far as what was acknowledged, and that it is the same there.
    pub(super) fn check_acknowledged(
        &self,
        tip: &Tip,
        acknowledged: &Tip,
    ) -> Result<(), OpenError> {
        if tip.sequence < acknowledged.sequence {
            return Err(self.lost(acknowledged.sequence));
        }
        let chain_at = |sequence| {
            self.chains
                .binary_search_by_key(&sequence, |(at, _)| *at)
                .ok()
                .map(|place| self.chains[place].1)
        };
        let differs = match &self.first {
            Some(first) if first.sequence == acknowledged.sequence + 1 => {
                first.previous != acknowledged.chain
            }
            _ => chain_at(acknowledged.sequence).is_some_and(|chain| chain != acknowledged.chain),
        };
        if differs {
            return Err(OpenError::damaged(
                &self.last_path,
                format!(
                    "commit {} is not the one that was acknowledged under this number: files of different copies are mixed",
                    acknowledged.sequence
                ),
            ));
        }
        Ok(())
    }

    /// The error for a last journal that ends too early.
    pub(super) fn lost(&self, acknowledged: u64) -> OpenError {
        let found = self.tip.map_or(0, |tip| tip.sequence);
        match (&self.torn, self.broken) {
            (Some((path, sound)), Some(broken)) => OpenError::damaged(
                path,
                format!(
                    "the batch at byte {sound} cannot be read ({broken}); commit {found} is the last before it, and commits up to \
                     {acknowledged} were acknowledged as durable"
                ),
            ),
            _ => OpenError::LostTail {
                file: self.last_path.clone(),
                acknowledged,
                found,
            },
        }
    }
}

/// A batch of the journal, as far as the check goes.
struct Batch {
    /// fjall's number.
    number: u64,
    /// The last item, if it is a seal.
    seal: Option<Seal>,
    /// Over the items before it.
    checksum: u64,
    /// The keyspaces of all items.
    touched: u8,
}

struct BatchReader<R> {
    file: BufReader<R>,
    position: u64,
    left: u64,
    scratch: Vec<u8>,
}

impl<R: Read> BatchReader<R> {
    /// The next batch; `None` where the journal ends or was never written.
    fn batch(&mut self) -> Result<Option<Batch>, Trouble> {
        match self.file.fill_buf()?.first() {
            None | Some(0) => return Ok(None),
            Some(&START) => {}
            Some(_) => return Err(Trouble::Damaged("it does not start like a batch")),
        }
        self.read(13)?;
        let mut start = Little(&self.scratch[1..]);
        let (count, number) = (start.u32()?, start.u64()?);
        let mut batch = Batch {
            number,
            seal: None,
            checksum: 0,
            touched: 0,
        };
        let mut raw = Xxh3::new();
        let mut checksum = Checksum::default();
        for _ in 0..count {
            if batch.seal.is_some() {
                return Err(Trouble::Damaged("an item follows the seal"));
            }
            self.item(&mut raw, &mut checksum, &mut batch)?;
        }
        self.read(13)?;
        let mut end = Little(&self.scratch);
        if end.u8()? != END {
            return Err(Trouble::Damaged("it has no end"));
        }
        if end.u64()? != raw.digest() || end.0 != b"FJL\x03" {
            return Err(Trouble::Damaged("it fails its checksum"));
        }
        batch.checksum = checksum.finish();
        Ok(Some(batch))
    }

    fn item(
        &mut self,
        raw: &mut Xxh3,
        checksum: &mut Checksum,
        batch: &mut Batch,
    ) -> Result<(), Trouble> {
        self.read(21)?;
        raw.update(&self.scratch);
        let mut head = Little(&self.scratch);
        let (tag, kind, compression) = (head.u8()?, head.u8()?, head.u8()?);
        let space_id = head.u64()?;
        let key_len = usize::from(head.u16()?);
        let (value_len, stored_len) = (head.u32()?, head.u32()?);
        if tag != ITEM || compression != 0 || value_len != stored_len {
            return Err(Trouble::Damaged("an item of it is none of ours"));
        }
        let space = Space::ALL
            .into_iter()
            .find(|space| space.id() == space_id)
            .ok_or(Trouble::Damaged("an item names no keyspace of ours"))?;
        let value_len =
            usize::try_from(value_len).map_err(|_| Trouble::Damaged("a length is out of range"))?;
        self.read(key_len + value_len)?;
        raw.update(&self.scratch);
        let (row_key, value) = self.scratch.split_at(key_len);
        batch.touched |= bit(space);
        match kind {
            VALUE if space == Space::Meta && row_key == key::COMMIT => {
                let seal = Seal::decode(value).map_err(|_| Trouble::Damaged("its seal is none"))?;
                batch.seal = Some(seal);
            }
            VALUE => checksum.item(space_id, row_key, Some(value)),
            TOMBSTONE => checksum.item(space_id, row_key, None),
            _ => return Err(Trouble::Damaged("an item is of an unknown kind")),
        }
        Ok(())
    }

    /// Reads so many bytes, which may be none of ours yet: a length is believed only as far as the file goes.
    fn read(&mut self, len: usize) -> Result<(), Trouble> {
        if len as u64 > self.left {
            return Err(Trouble::Damaged(CUT_OFF));
        }
        self.scratch.resize(len, 0);
        self.file.read_exact(&mut self.scratch).map_err(|error| {
            if error.kind() == io::ErrorKind::UnexpectedEof {
                Trouble::Damaged(CUT_OFF)
            } else {
                Trouble::Io(error)
            }
        })?;
        self.position += len as u64;
        self.left -= len as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_all(bytes: &[u8]) {
        let mut reader = BatchReader {
            file: BufReader::new(bytes),
            position: 0,
            left: bytes.len() as u64,
            scratch: Vec::new(),
        };
        while let Ok(Some(_)) = reader.batch() {}
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>, count: u32) {
            read_all(&bytes);
            let mut batch = vec![START];
            batch.extend(count.to_le_bytes());
            batch.extend(7u64.to_le_bytes());
            batch.push(ITEM);
            batch.extend(&bytes);
            read_all(&batch);
        }
    }
}
