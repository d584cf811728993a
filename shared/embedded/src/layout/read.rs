//! Reading the parts of a key or a value, one after another.

use kith_domain::time::Micros;
use uuid::Uuid;

use super::CorruptRow;

/// What is left to be read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Reads from the start.
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Reads from a place on.
    pub(crate) fn after(bytes: &'a [u8], place: usize) -> Result<Self, CorruptRow> {
        bytes.get(place..).map(Self).ok_or(CorruptRow)
    }

    /// The next bytes.
    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], CorruptRow> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(CorruptRow)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], CorruptRow> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(CorruptRow)?;
        self.0 = rest;
        Ok(*taken)
    }

    /// One byte.
    pub(crate) fn u8(&mut self) -> Result<u8, CorruptRow> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// A number of two bytes.
    pub(crate) fn u16(&mut self) -> Result<u16, CorruptRow> {
        self.array().map(u16::from_be_bytes)
    }

    /// Bytes with their length in four bytes.
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], CorruptRow> {
        let len = self.array().map(u32::from_be_bytes)?;
        self.take(usize::try_from(len).map_err(|_| CorruptRow)?)
    }

    /// A number of eight bytes.
    pub(crate) fn u64(&mut self) -> Result<u64, CorruptRow> {
        self.array().map(u64::from_be_bytes)
    }

    /// A time.
    pub(crate) fn time(&mut self) -> Result<Micros, CorruptRow> {
        self.array()
            .map(|bytes| Micros::from_micros(i64::from_be_bytes(bytes)))
    }

    /// An id.
    pub(crate) fn uuid(&mut self) -> Result<Uuid, CorruptRow> {
        self.array().map(Uuid::from_bytes)
    }

    /// A text with its length in two bytes.
    pub(crate) fn text(&mut self) -> Result<&'a str, CorruptRow> {
        let len = usize::from(self.u16()?);
        std::str::from_utf8(self.take(len)?).map_err(|_| CorruptRow)
    }

    /// Everything that is left.
    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }

    /// The value, if nothing is left.
    pub(crate) fn end<T>(self, value: T) -> Result<T, CorruptRow> {
        if self.0.is_empty() {
            Ok(value)
        } else {
            Err(CorruptRow)
        }
    }
}
