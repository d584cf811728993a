//! The history predicate (`identity-protocol.md` 8): is there an order of the finished requests, within real time, with any
//! subset of the unfinished ones, that explains every answer and the state that is there now?
//!
//! All of it is about numbers: a profile is its place in the order of ids, an identifier its number, a request its place in
//! the list of calls. What each request means, one after another, is in `search.rs`.

use std::fmt;

mod search;
#[cfg(test)]
mod tests;

pub use search::{Explained, explain};

/// Identifiers, a bit each.
pub type Set = u8;
/// A profile, by the age of its id.
pub type Profile = u8;

/// How many identifiers there are.
pub const IDENTIFIERS: usize = 6;

/// What a request asks for. `P` names a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked<P> {
    /// RESOLVE of these identifiers, with a profile if it names one.
    Resolve {
        /// The identifiers.
        ids: Set,
        /// The profile that is named.
        at: Option<P>,
    },
    /// DELETE.
    Delete(P),
    /// RELEASE of one of these identifiers.
    Remove {
        /// From whom.
        at: P,
        /// One of which.
        ids: Set,
    },
    /// CHANGE: a connect, then a release.
    Change {
        /// Of whom.
        at: P,
        /// What is released.
        old: u8,
        /// What is connected.
        new: u8,
    },
    /// LOOKUP.
    Lookup(u8),
    /// GET.
    Fetch(P),
    /// LIST: as many lookups as there are identifiers.
    List(P),
}

/// What was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Told<P> {
    /// Done, at this profile.
    At(P),
    /// Done, or here.
    Done,
    /// The profile was merged into this one.
    Moved(P),
    /// The profile is dead.
    Gone,
    /// The value is not there.
    NotThere,
    /// The new value is there already.
    AlreadyHere,
    /// Whoever has it.
    Owner(Option<P>),
    /// All that it has.
    Listed(Set),
}

impl<P> Asked<P> {
    /// The same, with profiles named otherwise; `None` if one has no such name.
    pub fn rename<Q>(self, name: impl Fn(P) -> Option<Q>) -> Option<Asked<Q>> {
        Some(match self {
            Self::Resolve { ids, at: None } => Asked::Resolve { ids, at: None },
            Self::Resolve { ids, at: Some(at) } => Asked::Resolve {
                ids,
                at: Some(name(at)?),
            },
            Self::Delete(at) => Asked::Delete(name(at)?),
            Self::Remove { at, ids } => Asked::Remove { at: name(at)?, ids },
            Self::Change { at, old, new } => Asked::Change {
                at: name(at)?,
                old,
                new,
            },
            Self::Lookup(id) => Asked::Lookup(id),
            Self::Fetch(at) => Asked::Fetch(name(at)?),
            Self::List(at) => Asked::List(name(at)?),
        })
    }
}

impl<P> Told<P> {
    /// As [`Asked::rename`].
    pub fn rename<Q>(self, name: impl Fn(P) -> Option<Q>) -> Option<Told<Q>> {
        Some(match self {
            Self::At(at) => Told::At(name(at)?),
            Self::Done => Told::Done,
            Self::Moved(to) => Told::Moved(name(to)?),
            Self::Gone => Told::Gone,
            Self::NotThere => Told::NotThere,
            Self::AlreadyHere => Told::AlreadyHere,
            Self::Owner(None) => Told::Owner(None),
            Self::Owner(Some(owner)) => Told::Owner(Some(name(owner)?)),
            Self::Listed(ids) => Told::Listed(ids),
        })
    }
}

/// One request.
#[derive(Debug, Clone)]
pub struct Call {
    /// When it was sent.
    pub sent: u64,
    /// When it was answered, and how.
    pub answered: Option<(u64, Told<Profile>)>,
    /// What it asks for.
    pub asked: Asked<Profile>,
    /// The profiles that it made.
    pub makes: Vec<Profile>,
    /// An outcome was unknown meanwhile: a release may then be answered for a value that somebody else took away.
    pub unsure: bool,
}

/// What has become of a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// Nobody made it yet.
    Unborn,
    /// In the component of this root.
    Under(Profile),
    /// Dead.
    Dead,
}

/// What is there, as far as callers can tell.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Facts {
    /// Each profile.
    pub places: Vec<Place>,
    /// The root that each identifier leads to.
    pub owners: [Option<Profile>; IDENTIFIERS],
}

/// A history, and the state at its end.
#[derive(Debug, Clone)]
pub struct Problem {
    /// The requests.
    pub calls: Vec<Call>,
    /// The state.
    pub now: Facts,
    /// Limits that these identifiers may come up against: of each set at most so many.
    pub limits: Vec<(Set, u32)>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, call) in self.calls.iter().enumerate() {
            write!(f, "\n    {number}: at {} {:?}", call.sent, call.asked)?;
            match call.answered {
                Some((answered, told)) => write!(f, " was told {told:?} at {answered}")?,
                None => write!(f, " was told nothing")?,
            }
            if !call.makes.is_empty() {
                write!(f, ", makes {:?}", call.makes)?;
            }
        }
        write!(
            f,
            "\n    now {:?}, owners {:?}",
            self.now.places, self.now.owners
        )
    }
}
