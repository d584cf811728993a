//! The embedded engine: every port of Kith on one fjall database, for one process on one machine.
//!
//! It is a real store and a real log: durable means that the disk was synced, and what was acknowledged survives `kill -9`.
//! Rows and records are of one commit, so store and log are never out of step.
//!
//! Writes go to one leader thread, which stages a group of them, each on what the one before left, and commits the group as one
//! batch (`leader`, `staged`). Whoever asked for the disk is answered after the next sync of the journal, which is shared
//! by all who wait (`syncer`). Reads never go there: they read the state after the last commit (`database`).
//!
//! fjall takes a damaged journal for a torn one and loses its rest in silence. So commits carry seals (`seal`), the last
//! acknowledged one is kept beside the database (`acknowledged`), and everything is checked before fjall may touch it
//! (`audit`). A database that fails the check is not opened and not changed; [`OpenError`] names the file.
//!
//! What this crate must never do: answer a write before it is as durable as asked, repair anything that was acknowledged, or
//! show a reader half a commit.
//!
//! Start reading at [`Embedded`] for the handle, `layout` for what is stored, `leader` for the way of a write, and `open`
//! for the start.

mod acknowledged;
mod audit;
mod backup;
mod beside;
mod cells;
mod conditional;
mod control;
mod copy_error;
mod database;
mod definitions;
mod disk;
mod engine;
mod error;
mod group;
mod identity;
mod inject;
mod inspect;
mod journal_file;
mod layout;
mod leader;
mod log;
mod merge;
mod open;
mod options;
mod queue;
mod restore;
mod retired;
mod scrub;
mod seal;
mod staged;
mod syncer;
mod telemetry;
mod verify;
mod versions;

pub use backup::Copied;
pub use copy_error::CopyError;
pub use disk::FreeBytes;
pub use engine::{Embedded, Statistics};
pub use error::{Failure, OpenError};
pub use inject::Injection;
pub use inspect::{Inspection, inspect};
pub use log::{BuriedLetter, EmbeddedLog, EmbeddedSource};
pub use options::{DiskLimits, Now, Options, Retention};
pub use restore::restore;
pub use verify::{Checked, is_there, verify};
