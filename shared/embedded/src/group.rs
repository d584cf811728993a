//! What the work of a job sees: the state after the jobs before it, and where to put its writes.

use kith_domain::time::Micros;

use crate::inject::Faults;
use crate::log::state::LogState;
use crate::staged::Staged;

/// A group of jobs that become one commit.
pub(crate) struct Group<'a> {
    /// The rows.
    pub(crate) staged: Staged<'a>,
    /// The ends of the log. Changed as records are staged: a commit that fails ends the engine, so there is no way back.
    pub(crate) log: &'a mut LogState,
    /// Faults that tests asked for.
    pub(crate) faults: &'a Faults,
    /// The wall clock when the group began.
    pub(crate) now: Micros,
}
