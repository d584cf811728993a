//! Checks the tables of a keyspace: the manifest that is current, and every table that it names.
//!
//! `current` names a manifest and its checksum; the manifest names tables and their checksums, each over the whole file. A table
//! says in its last block which numbers its rows have.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::archive::{Little, Trouble, section};
use super::missing_or;
use crate::error::OpenError;
use crate::open::Paths;

/// A table that a manifest names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// Its number: newer tables have higher ones.
    pub(crate) number: u64,
    /// Its size.
    pub(crate) bytes: u64,
    /// Over the whole file.
    checksum: u128,
}

/// The tables of one keyspace.
pub(super) struct Tables {
    pub(super) tables: Vec<Table>,
    /// The highest of fjall's numbers in them; 0 if there are none.
    pub(super) highest_number: u64,
}

/// Reads the manifest of a keyspace and the ends of its tables.
pub(super) fn list(paths: &Paths, space_id: u64) -> Result<Tables, OpenError> {
    let tree = paths
        .database()
        .join("keyspaces")
        .join(space_id.to_string());
    let manifest = manifest_path(&tree)?;
    let named = named_tables(&manifest)?;
    let mut tables = Vec::with_capacity(named.len());
    let mut highest_number = 0;
    for (number, checksum, added) in named {
        let path = tree.join("tables").join(number.to_string());
        let file = File::open(&path).map_err(|error| missing_or(&path, error))?;
        let bytes = file
            .metadata()
            .map_err(|error| OpenError::io(&path, error))?
            .len();
        // The size of the buffer fits the end of a table, which is all that is read.
        let highest = highest_of(&mut BufReader::with_capacity(4096, file))
            .map_err(|trouble| named_trouble(&path, trouble))?;
        highest_number = highest_number.max(highest.saturating_add(added));
        tables.push(Table {
            path,
            number,
            bytes,
            checksum,
        });
    }
    Ok(Tables {
        tables,
        highest_number,
    })
}

/// Reads a whole table and compares its checksum.
pub(crate) fn check_content(table: &Table) -> Result<(), OpenError> {
    let found = File::open(&table.path)
        .and_then(checksum_of)
        .map_err(|error| missing_or(&table.path, error))?;
    if found == table.checksum {
        Ok(())
    } else {
        Err(OpenError::damaged(&table.path, "it fails its checksum"))
    }
}

fn checksum_of(mut file: File) -> std::io::Result<u128> {
    let mut hasher = Xxh3::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(hasher.digest128());
        }
        hasher.update(&buffer[..read]);
    }
}

/// The manifest that is current, with a sound checksum.
fn manifest_path(tree: &Path) -> Result<PathBuf, OpenError> {
    let current = tree.join("current");
    let bytes = std::fs::read(&current).map_err(|error| missing_or(&current, error))?;
    let (number, checksum) =
        read_current(&bytes).map_err(|trouble| named_trouble(&current, trouble))?;
    let manifest = tree.join(format!("v{number}"));
    // Which of the two it is cannot be told, so the other one is named, too.
    let damaged = |what: &str| {
        let detail = format!("it {what}, or {} is wrong about it", current.display());
        OpenError::damaged(&manifest, detail)
    };
    match std::fs::read(&manifest) {
        Ok(bytes) if xxh3_128(&bytes) == checksum => Ok(manifest),
        Ok(_) => Err(damaged("fails its checksum")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(damaged("is missing")),
        Err(error) => Err(OpenError::io(&manifest, error)),
    }
}

fn read_current(bytes: &[u8]) -> Result<(u64, u128), Trouble> {
    let mut rest = Little(bytes);
    let (number, checksum) = (rest.u64()?, rest.u128()?);
    match (rest.u8()?, rest.0) {
        (0, []) => Ok((number, checksum)),
        _ => Err(Trouble::Damaged("it is not the name of a manifest")),
    }
}

/// Number, checksum and added number of every table that a manifest names.
fn named_tables(manifest: &Path) -> Result<Vec<(u64, u128, u64)>, OpenError> {
    let read = || {
        let mut file = File::open(manifest)?;
        if section(&mut file, b"format_version")? != [3] {
            return Err(Trouble::Damaged(
                "its format is not the one of this version",
            ));
        }
        let section = section(&mut file, b"tables")?;
        let mut rest = Little(&section);
        let mut tables = Vec::new();
        for _level in 0..rest.u8()? {
            for _run in 0..rest.u8()? {
                for _table in 0..rest.u32()? {
                    let number = rest.u64()?;
                    if rest.u8()? != 0 {
                        return Err(Trouble::Damaged("it names a checksum of an unknown kind"));
                    }
                    tables.push((number, rest.u128()?, rest.u64()?));
                }
            }
        }
        Ok(tables)
    };
    read().map_err(|trouble| named_trouble(manifest, trouble))
}

/// The highest number of a table's rows, from its block of properties.
fn highest_of<R: Read + std::io::Seek>(table: &mut R) -> Result<u64, Trouble> {
    const HEADER_BYTES: usize = 33;
    let block = section(table, b"meta")?;
    let mut header = Little(
        block
            .get(..HEADER_BYTES)
            .ok_or(Trouble::Damaged("its block of properties is too short"))?,
    );
    if header.take(5)? != b"LSM\x03\x03" {
        return Err(Trouble::Damaged("it has no block of properties"));
    }
    let checksum = header.u128()?;
    let properties = &block[HEADER_BYTES..];
    if xxh3_128(properties) != checksum {
        return Err(Trouble::Damaged(
            "its block of properties fails its checksum",
        ));
    }
    // Rows of this block are whole: kind, number, key and value, each with its length.
    let mut rest = Little(properties);
    while rest.u8()? == 0 {
        let _number = rest.varint()?;
        let key = length_and_bytes(&mut rest)?;
        let value = length_and_bytes(&mut rest)?;
        if key == b"seqno#max" {
            return Little(value).u64();
        }
    }
    Err(Trouble::Damaged("a property is missing"))
}

fn length_and_bytes<'a>(rest: &mut Little<'a>) -> Result<&'a [u8], Trouble> {
    let len = usize::try_from(rest.varint()?)
        .map_err(|_| Trouble::Damaged("a length is out of range"))?;
    rest.take(len)
}

fn named_trouble(file: &Path, trouble: Trouble) -> OpenError {
    match trouble {
        Trouble::Damaged(detail) => OpenError::damaged(file, detail),
        Trouble::Io(error) => OpenError::io(file, error),
    }
}
