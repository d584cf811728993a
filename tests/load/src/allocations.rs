//! What `kith-allocations` counts, and how it says so.

use serde::{Deserialize, Serialize};

/// A kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Create Profile of somebody who is not there.
    New,
    /// Create Profile of somebody who is.
    Known,
    /// Fetch Profile.
    Get,
    /// Lookup.
    Lookup,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::New, Self::Known, Self::Get, Self::Lookup];

    /// Its name, as it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::New => "new_person",
            Self::Known => "known_person",
            Self::Get => "get",
            Self::Lookup => "lookup",
        }
    }
}

/// What one request allocates, its part of the worker included.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PerRequest {
    /// Calls of the allocator, growing counted as one.
    pub allocations: f64,
    /// Bytes that were asked for.
    pub bytes: f64,
}
