//! Reads the archive format of fjall's manifests and tables: named sections, a table of contents, a trailer.
//!
//! ```text
//! sections ..
//! contents: "TOC!", count u32, (position u64, length u64, name length u16, name) ..
//! trailer:  "SFA!", version 1, checksum kind 0, xxh3-128 of the contents, position u64, length u64 of the contents
//! ```
//! Numbers are little-endian, here and in everything else that fjall writes.

use std::io::{self, Read, Seek, SeekFrom};

use xxhash_rust::xxh3::xxh3_128;

const TRAILER_BYTES: i64 = 38;

/// Why an archive cannot be read.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It is not what was written.
    Damaged(&'static str),
    /// The disk does not give it.
    Io(io::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            Self::Damaged("it is too short")
        } else {
            Self::Io(error)
        }
    }
}

/// Reads a section by its name.
pub(super) fn section<R: Read + Seek>(file: &mut R, name: &[u8]) -> Result<Vec<u8>, Trouble> {
    let (position, len) = find(file, name)?;
    file.seek(SeekFrom::Start(position))?;
    read(file, len)
}

fn find<R: Read + Seek>(file: &mut R, name: &[u8]) -> Result<(u64, u64), Trouble> {
    let size = file.seek(SeekFrom::End(0))?;
    if size < TRAILER_BYTES.unsigned_abs() {
        return Err(Trouble::Damaged("it is too short"));
    }
    file.seek(SeekFrom::End(-TRAILER_BYTES))?;
    let trailer = read(file, TRAILER_BYTES.unsigned_abs())?;
    let mut trailer = Little(&trailer);
    if trailer.take(6)? != b"SFA!\x01\x00" {
        return Err(Trouble::Damaged("its end is not a trailer"));
    }
    let (checksum, position, len) = (trailer.u128()?, trailer.u64()?, trailer.u64()?);
    if position.checked_add(len).is_none_or(|end| end > size) {
        return Err(Trouble::Damaged("its trailer points outside"));
    }
    file.seek(SeekFrom::Start(position))?;
    let contents = read(file, len)?;
    if xxh3_128(&contents) != checksum {
        return Err(Trouble::Damaged("its table of contents fails its checksum"));
    }
    let mut contents = Little(&contents);
    if contents.take(4)? != b"TOC!" {
        return Err(Trouble::Damaged("its table of contents is none"));
    }
    for _ in 0..contents.u32()? {
        let (position, len) = (contents.u64()?, contents.u64()?);
        let name_len = usize::from(contents.u16()?);
        if contents.take(name_len)? != name {
            continue;
        }
        if position.checked_add(len).is_none_or(|end| end > size) {
            return Err(Trouble::Damaged("a section lies outside"));
        }
        return Ok((position, len));
    }
    Err(Trouble::Damaged("a section is missing"))
}

fn read<R: Read>(file: &mut R, len: u64) -> Result<Vec<u8>, Trouble> {
    let mut bytes = Vec::new();
    file.take(len).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == len {
        Ok(bytes)
    } else {
        Err(Trouble::Damaged("it is too short"))
    }
}

/// Reads little-endian numbers, one after another.
pub(super) struct Little<'a>(pub(super) &'a [u8]);

impl<'a> Little<'a> {
    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], Trouble> {
        let (taken, rest) = self
            .0
            .split_at_checked(len)
            .ok_or(Trouble::Damaged("it ends too early"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Trouble> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Trouble> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Trouble> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Trouble> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Trouble> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn u128(&mut self) -> Result<u128, Trouble> {
        self.array().map(u128::from_le_bytes)
    }

    /// A number in as many bytes as it needs, seven bits each.
    pub(super) fn varint(&mut self) -> Result<u64, Trouble> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Trouble::Damaged("a number has no end"))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    /// That something was read, and how, is not what matters.
    fn ignore<T>(_: T) {}

    fn archive(sections: &[(&str, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut contents = b"TOC!".to_vec();
        contents.extend(u32::try_from(sections.len()).unwrap().to_le_bytes());
        for (name, section) in sections {
            contents.extend((bytes.len() as u64).to_le_bytes());
            contents.extend((section.len() as u64).to_le_bytes());
            contents.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
            contents.extend(name.as_bytes());
            bytes.extend_from_slice(section);
        }
        let position = bytes.len() as u64;
        bytes.extend_from_slice(&contents);
        bytes.extend(b"SFA!\x01\x00");
        bytes.extend(xxh3_128(&contents).to_le_bytes());
        bytes.extend(position.to_le_bytes());
        bytes.extend((contents.len() as u64).to_le_bytes());
        bytes
    }

    #[test]
    fn sections_are_found_by_name() {
        let bytes = archive(&[("a", b"first"), ("b", b"second")]);
        assert_eq!(section(&mut Cursor::new(&bytes), b"b").unwrap(), b"second");
        assert!(matches!(
            section(&mut Cursor::new(&bytes), b"c"),
            Err(Trouble::Damaged("a section is missing"))
        ));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            ignore(section(&mut Cursor::new(&bytes), b"a"));
            ignore(Little(&bytes).varint());
        }

        #[test]
        fn a_changed_end_is_seen(place in 0usize..38, bit in 0u8..8) {
            let mut bytes = archive(&[("a", b"first")]);
            let place = bytes.len() - 1 - place;
            bytes[place] ^= 1 << bit;
            prop_assert!(section(&mut Cursor::new(&bytes), b"a").is_err());
        }
    }
}
