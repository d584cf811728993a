//! The operations, one file a resource: parse, ask or run one use case, reply.

mod identifiers;
mod lookup;
mod profiles;

pub(crate) use identifiers::list_identifiers;
pub(crate) use lookup::lookup;
pub(crate) use profiles::{create, fetch, list};
