//! The layout of the database: keyspaces, keys and values, as pure functions.
//!
//! Numbers in keys are big-endian, so that bytes sort like numbers and a partition is one prefix. A key is written once
//! and for ever by this file; what changes it changes [`VERSION`].
//!
//! ```text
//! keyspace  key                                                      value
//! claims    claim key 32                                             claim
//!           claim key 32, 0                                          owners' stamp 16
//!           claim key 32, 1, profile 16                              owner
//! nodes     store 16, profile 16, 0                                  the node's pointer and mark
//!           store 16, profile 16, 1, child 16, token 16              verdict
//! cells     store 16, profile 16, 0                                  clock: time
//!           store 16, profile 16, 1                                  root: time, ancestor 16
//!           store 16, profile 16, 2, len 2, type, len 2, value, claim 16   identifier
//!           store 16, profile 16, 3, child 16, token 16              link: time, when settled
//!           store 16, profile 16, 4, member 16                       member: time
//!           store 16, profile 16, 5, definition 16                   trait: time, bytes
//!           store 16, profile 16, 6                                  purged: nothing at or before this time is kept
//! listing   store 16, profile 16                                     nothing
//! control   0, store 16                                              the store's record as JSON
//!           1, len 1, account, store 16                              the store's name, description and version as JSON
//!           2, len 1, account                                        revision 16
//!           3, len 1, account, operation 16                          until when it is kept, the operation as JSON
//! log       topic 1, partition 2, offset 8                           record
//!           topic 1, partition 2                                     edge: what was trimmed before it
//! groups    partition 2, group name                                  next offset 8
//! meta      "commit"                                                 the last commit's seal (`seal`)
//!           "partitions"                                             how many partitions the log has
//!           "token key"                                              the key of page tokens 32
//! any       0xff                                                     see `staged`: keeps a removal from being the last word
//! ```
//!
//! Link rows sort before member rows, as the port asks for.

pub(crate) mod key;
pub(crate) mod read;
pub(crate) mod row;

/// The layout this code writes, and the newest that it reads. Version 1 is the first.
///
/// Rows of a new kind, and a new form of a row beside one that is still read, leave it as it is: a database without them
/// opens as before.
pub(crate) const VERSION: u32 = 1;

/// The stored bytes are not what this code could have written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a row of this layout")]
pub(crate) struct CorruptRow;

/// A keyspace. Its number is the id under which fjall keeps it, because keyspaces are created in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(crate) enum Space {
    /// Identifiers and their owners: conditional writes only.
    Claims = 1,
    /// Pointers, marks and verdicts: conditional writes only.
    Nodes = 2,
    /// Plain rows of profiles.
    Cells = 3,
    /// The profiles of a store.
    Listing = 4,
    /// Stores and accounts.
    Control = 5,
    /// Records of the trait log and its dead letters.
    Log = 6,
    /// Where each consumer group goes on.
    Groups = 7,
    /// The seal of the last commit.
    Meta = 8,
}

impl Space {
    /// All of them, in the order of their ids.
    pub(crate) const ALL: [Self; 8] = [
        Self::Claims,
        Self::Nodes,
        Self::Cells,
        Self::Listing,
        Self::Control,
        Self::Log,
        Self::Groups,
        Self::Meta,
    ];

    /// How many there are.
    pub(crate) const COUNT: usize = Self::ALL.len();

    /// The id that fjall gives it.
    pub(crate) const fn id(self) -> u64 {
        self as u64
    }

    /// Its place in [`Space::ALL`].
    pub(crate) const fn index(self) -> usize {
        self as usize - 1
    }

    /// Its name in fjall.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Claims => "claims",
            Self::Nodes => "nodes",
            Self::Cells => "cells",
            Self::Listing => "listing",
            Self::Control => "control",
            Self::Log => "log",
            Self::Groups => "groups",
            Self::Meta => "meta",
        }
    }

    /// When its memtable is written out. Together they bound the memory of unflushed rows, and the time to replay them.
    pub(crate) const fn memtable_bytes(self) -> u64 {
        const MIB: u64 = 1024 * 1024;
        match self {
            Self::Cells | Self::Log => 12 * MIB,
            Self::Claims => 8 * MIB,
            Self::Nodes | Self::Listing | Self::Meta => 2 * MIB,
            Self::Control | Self::Groups => MIB,
        }
    }
}

#[cfg(test)]
mod golden;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_ids_agree() {
        for (place, space) in Space::ALL.into_iter().enumerate() {
            assert_eq!(space.index(), place);
            assert_eq!(space.id(), place as u64 + 1);
        }
    }
}
