//! How many versions of one profile's cells the memtable holds.
//!
//! fjall keeps every version of a row until the memtable goes into a table, and a scan of a profile passes all of them: somebody who is
//! updated again and again takes longer to read with each update, up to some tens of milliseconds where little else is written. So the
//! memtable goes early when one profile has many.

use std::collections::HashMap;

use xxhash_rust::xxh3::xxh3_64;

use crate::layout::key;

/// Versions of one profile's rows that a memtable may hold, about: to pass them takes about a millisecond. Each time that there are
/// more, a table is written, so it is not fewer.
pub(crate) const VERSIONS_MAX: u32 = 8192;

/// Rows written since the memtable was new, by profile (a hash of the key's part).
#[derive(Debug, Default)]
pub(crate) struct Versions {
    rows: HashMap<u64, u32>,
    is_crowded: bool,
}

impl Versions {
    /// Counts rows of cells by their keys.
    pub(crate) fn count<'a>(&mut self, keys: impl Iterator<Item = &'a Vec<u8>>) {
        for partition in keys.filter_map(|name| name.get(..key::PARTITION_BYTES)) {
            let rows = self.rows.entry(xxh3_64(partition)).or_default();
            *rows += 1;
            self.is_crowded |= *rows > VERSIONS_MAX;
        }
    }

    /// Whether one profile has more than it should.
    pub(crate) fn is_crowded(&self) -> bool {
        self.is_crowded
    }

    /// The memtable is a new one.
    pub(crate) fn clear(&mut self) {
        self.rows.clear();
        self.is_crowded = false;
    }
}
