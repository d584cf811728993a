//! Values: what stands in a row, as bytes and back.

use kith_domain::id::{ClaimId, DeleteId, LinkToken, OwnersStamp, ProfileId, RequestId};
use kith_domain::time::Micros;
use kith_profiles::ports::{Claim, Pointer, Verdict};

use super::CorruptRow;
use super::read::Reader;

/// A value with its bytes.
pub(crate) trait Row: Sized {
    /// The bytes to store.
    fn encode(&self) -> Vec<u8>;

    /// Reads stored bytes.
    fn decode(bytes: &[u8]) -> Result<Self, CorruptRow>;
}

/// Appends a time.
pub(crate) fn put_time(bytes: &mut Vec<u8>, time: Micros) {
    bytes.extend_from_slice(&time.as_micros().to_be_bytes());
}

const HAS_FIRST: u8 = 1;
const HAS_SECOND: u8 = 2;
const HAS_THIRD: u8 = 4;

impl Row for Claim {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(59);
        bytes.push(if self.profile.is_some() { HAS_FIRST } else { 0 });
        if let Some(profile) = self.profile {
            bytes.extend_from_slice(profile.as_uuid().as_bytes());
        }
        bytes.extend_from_slice(self.id.as_uuid().as_bytes());
        put_time(&mut bytes, self.added_at);
        bytes.extend_from_slice(&self.place.to_be_bytes());
        bytes.extend_from_slice(self.by_request.as_uuid().as_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Self, CorruptRow> {
        let mut rest = Reader::new(bytes);
        let profile = match rest.u8()? {
            0 => None,
            HAS_FIRST => Some(ProfileId::from_uuid(rest.uuid()?)),
            _ => return Err(CorruptRow),
        };
        let claim = Self {
            profile,
            id: ClaimId::from_uuid(rest.uuid()?),
            added_at: rest.time()?,
            place: rest.u16()?,
            by_request: RequestId::from_uuid(rest.uuid()?),
        };
        rest.end(claim)
    }
}

/// One owner of a value; whose it is says the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OwnerCell {
    /// Whether it was released.
    pub(crate) released: bool,
    /// The id of the last adding or release.
    pub(crate) id: ClaimId,
    /// When it was added.
    pub(crate) added_at: Micros,
    /// The place of the value in its request.
    pub(crate) place: u16,
    /// The request that wrote this.
    pub(crate) by_request: RequestId,
}

impl Row for OwnerCell {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(43);
        bytes.push(u8::from(self.released));
        bytes.extend_from_slice(self.id.as_uuid().as_bytes());
        put_time(&mut bytes, self.added_at);
        bytes.extend_from_slice(&self.place.to_be_bytes());
        bytes.extend_from_slice(self.by_request.as_uuid().as_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Self, CorruptRow> {
        let mut rest = Reader::new(bytes);
        let cell = Self {
            released: match rest.u8()? {
                0 => false,
                1 => true,
                _ => return Err(CorruptRow),
            },
            id: ClaimId::from_uuid(rest.uuid()?),
            added_at: rest.time()?,
            place: rest.u16()?,
            by_request: RequestId::from_uuid(rest.uuid()?),
        };
        rest.end(cell)
    }
}

impl Row for OwnersStamp {
    fn encode(&self) -> Vec<u8> {
        self.as_uuid().as_bytes().to_vec()
    }

    fn decode(bytes: &[u8]) -> Result<Self, CorruptRow> {
        let mut rest = Reader::new(bytes);
        let stamp = Self::from_uuid(rest.uuid()?);
        rest.end(stamp)
    }
}

/// A node's own pointer and mark. A node never written has neither.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct NodeRow {
    /// The pointer at a parent.
    pub(crate) pointer: Option<Pointer>,
    /// The mark of a deletion.
    pub(crate) dead: Option<DeleteId>,
}

impl Row for NodeRow {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0];
        let mut has = 0;
        if let Some(pointer) = self.pointer {
            has |= HAS_FIRST;
            bytes.extend_from_slice(pointer.parent.as_uuid().as_bytes());
            bytes.extend_from_slice(pointer.token.as_uuid().as_bytes());
        }
        if let Some(dead) = self.dead {
            has |= HAS_SECOND;
            bytes.extend_from_slice(dead.as_uuid().as_bytes());
        }
        bytes[0] = has;
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Self, CorruptRow> {
        let mut rest = Reader::new(bytes);
        let has = flags(&mut rest, HAS_FIRST | HAS_SECOND)?;
        let mut row = Self::default();
        if has & HAS_FIRST != 0 {
            row.pointer = Some(Pointer {
                parent: ProfileId::from_uuid(rest.uuid()?),
                token: LinkToken::from_uuid(rest.uuid()?),
            });
        }
        if has & HAS_SECOND != 0 {
            row.dead = Some(DeleteId::from_uuid(rest.uuid()?));
        }
        rest.end(row)
    }
}

/// A verdict, with when and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VerdictCell {
    /// What was decided.
    pub(crate) verdict: Verdict,
    /// When.
    pub(crate) decided_at: Micros,
    /// Why: opaque, and empty for void.
    pub(crate) evidence: Vec<u8>,
}

impl Row for VerdictCell {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(9 + self.evidence.len());
        bytes.push(match self.verdict {
            Verdict::Linked => 1,
            Verdict::Void => 0,
        });
        put_time(&mut bytes, self.decided_at);
        bytes.extend_from_slice(&self.evidence);
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Self, CorruptRow> {
        let mut rest = Reader::new(bytes);
        Ok(Self {
            verdict: match rest.u8()? {
                1 => Verdict::Linked,
                0 => Verdict::Void,
                _ => return Err(CorruptRow),
            },
            decided_at: rest.time()?,
            evidence: rest.rest().to_vec(),
        })
    }
}

/// A clock row, a member row, or the trace of a removal: a time and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TimeCell(pub(crate) Micros);

impl Row for TimeCell {
    fn encode(&self) -> Vec<u8> {
        self.0.as_micros().to_be_bytes().to_vec()
    }

    fn decode(bytes: &[u8]) -> Result<Self, CorruptRow> {
        let mut rest = Reader::new(bytes);
        let time = rest.time()?;
        rest.end(Self(time))
    }
}

/// Any value with the time of its write: the hint, a trait.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ValueCell {
    /// When it was written. First, so that cells compare as they replace each other: by time, then by bytes.
    pub(crate) time: Micros,
    /// What was written.
    pub(crate) value: Vec<u8>,
}

impl Row for ValueCell {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(8 + self.value.len());
        put_time(&mut bytes, self.time);
        bytes.extend_from_slice(&self.value);
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Self, CorruptRow> {
        let mut rest = Reader::new(bytes);
        Ok(Self {
            time: rest.time()?,
            value: rest.rest().to_vec(),
        })
    }
}

/// An identifier row: a removal, and what was written after it, each with its own time, as CQL keeps the cells of a row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct IdentCell {
    /// The newest removal.
    pub(crate) removed: Option<Micros>,
    /// Time of the newest write, and what it says of `added_at`.
    pub(crate) added: Option<(Micros, Micros)>,
    /// Time of the newest `settled`.
    pub(crate) settled: Option<Micros>,
}

impl Row for IdentCell {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0];
        let mut has = 0;
        if let Some(time) = self.removed {
            has |= HAS_FIRST;
            put_time(&mut bytes, time);
        }
        if let Some((time, added_at)) = self.added {
            has |= HAS_SECOND;
            put_time(&mut bytes, time);
            put_time(&mut bytes, added_at);
        }
        if let Some(time) = self.settled {
            has |= HAS_THIRD;
            put_time(&mut bytes, time);
        }
        bytes[0] = has;
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Self, CorruptRow> {
        let mut rest = Reader::new(bytes);
        let has = flags(&mut rest, HAS_FIRST | HAS_SECOND | HAS_THIRD)?;
        let mut row = Self::default();
        if has & HAS_FIRST != 0 {
            row.removed = Some(rest.time()?);
        }
        if has & HAS_SECOND != 0 {
            row.added = Some((rest.time()?, rest.time()?));
        }
        if has & HAS_THIRD != 0 {
            row.settled = Some(rest.time()?);
        }
        rest.end(row)
    }
}

/// A link row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LinkCell {
    /// Time of the newest write.
    pub(crate) time: Micros,
    /// Time of the newest write that said so.
    pub(crate) settled: Option<Micros>,
}

/// How a link row says when it was settled.
const NOT_SETTLED: u8 = 0;
/// By its newest write, which saves the time. All that older releases wrote, whichever write it was.
const SETTLED_LAST: u8 = 1;
/// At a time of its own.
const SETTLED_BEFORE: u8 = 2;

impl Row for LinkCell {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(17);
        put_time(&mut bytes, self.time);
        match self.settled {
            None => bytes.push(NOT_SETTLED),
            Some(time) if time == self.time => bytes.push(SETTLED_LAST),
            Some(time) => {
                bytes.push(SETTLED_BEFORE);
                put_time(&mut bytes, time);
            }
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Self, CorruptRow> {
        let mut rest = Reader::new(bytes);
        let time = rest.time()?;
        let settled = match rest.u8()? {
            NOT_SETTLED => None,
            SETTLED_LAST => Some(time),
            SETTLED_BEFORE => Some(rest.time()?),
            _ => return Err(CorruptRow),
        };
        let row = Self { time, settled };
        rest.end(row)
    }
}

/// What was trimmed from the front of a partition of the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct EdgeRow {
    /// The first offset that is left.
    pub(crate) start: u64,
    /// The offset after the last record, when this was written.
    pub(crate) next: u64,
    /// Bytes ever published before `start`.
    pub(crate) trimmed: u64,
    /// Bytes ever published, when this was written.
    pub(crate) published: u64,
}

impl Row for EdgeRow {
    fn encode(&self) -> Vec<u8> {
        [self.start, self.next, self.trimmed, self.published]
            .iter()
            .flat_map(|number| number.to_be_bytes())
            .collect()
    }

    fn decode(bytes: &[u8]) -> Result<Self, CorruptRow> {
        let mut rest = Reader::new(bytes);
        let row = Self {
            start: rest.u64()?,
            next: rest.u64()?,
            trimmed: rest.u64()?,
            published: rest.u64()?,
        };
        rest.end(row)
    }
}

/// A bare number: a group's next offset, the number of partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Number(pub(crate) u64);

impl Row for Number {
    fn encode(&self) -> Vec<u8> {
        self.0.to_be_bytes().to_vec()
    }

    fn decode(bytes: &[u8]) -> Result<Self, CorruptRow> {
        let mut rest = Reader::new(bytes);
        let number = rest.u64()?;
        rest.end(Self(number))
    }
}

fn flags(rest: &mut Reader<'_>, known: u8) -> Result<u8, CorruptRow> {
    let has = rest.u8()?;
    if has & !known == 0 {
        Ok(has)
    } else {
        Err(CorruptRow)
    }
}

#[cfg(test)]
mod tests;
