//! Identity: the building blocks of `identity-protocol.md`, one a file, in its order.
//!
//! Nothing here is repaired in the background: whatever a crash leaves, the next request that passes over it completes.

pub(crate) mod attempt;
pub(crate) mod chores;
pub(crate) mod evidence;
pub(crate) mod find;
pub(crate) mod limits;
pub(crate) mod members;
pub(crate) mod resolve;
pub(crate) mod settle;
mod share;
pub(crate) mod stamp;
pub(crate) mod survey;
