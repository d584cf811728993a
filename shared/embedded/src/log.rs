//! The trait log: a durable queue in the same database, so that one commit covers rows and records.
//!
//! A record goes to the partition that its key's hash names, and gets the next offset there: from 0, without a gap. A
//! consumer group is a row per partition, the offset where it goes on. Dead letters are a topic of their own, in the same form.
//!
//! Start reading at [`EmbeddedLog`] for the producing half and [`EmbeddedSource`] for the consuming one.

pub(crate) mod groups;
mod letters;
mod publish;
pub(crate) mod record;
pub(crate) mod retention;
mod source;
pub(crate) mod state;

pub use letters::BuriedLetter;
pub use publish::EmbeddedLog;
pub use source::EmbeddedSource;

/// The topics of the log, as they stand in its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Topic {
    /// What the worker applies.
    Traits = 0,
    /// Records that no retry can make good. One partition.
    Dead = 1,
}

impl Topic {
    /// The number in keys.
    pub(crate) const fn number(self) -> u8 {
        self as u8
    }
}
