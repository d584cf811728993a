//! What callers asked, and what they were told.

use std::collections::BTreeMap;

use kith_domain::id::ProfileId;
use kith_domain::identifier::Identifier;

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// Create. Each trait's value names the request that wrote it: [`value`].
    Create {
        /// The identifiers, in the order of the body.
        identifiers: Vec<Identifier>,
        /// The names of the other traits.
        traits: Vec<&'static str>,
    },
    /// A profile by its id.
    Fetch(ProfileId),
    /// Whose an identifier is.
    Lookup(Identifier),
}

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// 202 with an id.
    Accepted(ProfileId),
    /// 200: the profile is here.
    Here,
    /// 301: the profile is now another.
    Moved(ProfileId),
    /// 200 to a lookup.
    Owners(Vec<ProfileId>),
    /// 503 with `Retry-After`; or the request did not arrive in time. Nothing is known, and it may be sent again.
    Unavailable,
    /// No answer: the connection was cut, or the caller lost patience.
    Nothing,
    /// Anything else, which nobody should have been told.
    Unexpected(u16),
}

/// One attempt of one request.
#[derive(Debug, Clone)]
pub struct Record {
    /// The request. Its repetitions have the same number and the same body.
    pub number: u64,
    /// Order of sending and of answers, over all callers: a count that only grows.
    pub sent: u64,
    /// When the answer came, or the caller gave up.
    pub answered: u64,
    /// Milliseconds from the start of the run to the sending.
    pub sent_ms: u64,
    /// Milliseconds to the answer.
    pub took_ms: u64,
    /// What was asked.
    pub asked: Asked,
    /// What was told.
    pub told: Told,
}

impl Record {
    /// Whether the caller was told what it asked.
    #[must_use]
    pub fn is_acknowledged(&self) -> bool {
        match self.told {
            Told::Accepted(_) | Told::Here | Told::Moved(_) | Told::Owners(_) => true,
            Told::Unavailable | Told::Nothing | Told::Unexpected(_) => false,
        }
    }

    /// The id that an acknowledged create was answered with.
    #[must_use]
    pub fn accepted(&self) -> Option<ProfileId> {
        match self.told {
            Told::Accepted(profile) => Some(profile),
            Told::Here
            | Told::Moved(_)
            | Told::Owners(_)
            | Told::Unavailable
            | Told::Nothing
            | Told::Unexpected(_) => None,
        }
    }
}

/// The value of a trait that a request wrote, and nobody else.
#[must_use]
pub fn value(name: &str, number: u64) -> String {
    format!("{name}-of-request-{number}")
}

/// The request that wrote a value; `None` if none of ours did.
#[must_use]
pub fn writer(name: &str, value: &str) -> Option<u64> {
    let number = value.strip_prefix(name)?.strip_prefix("-of-request-")?;
    number.parse().ok()
}

/// What the API says when everything is quiet.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Which profiles each identifier leads to.
    pub owners: BTreeMap<Identifier, Vec<ProfileId>>,
    /// What each id that was ever answered leads to; `None` if it is gone.
    pub roots: BTreeMap<ProfileId, Option<ProfileId>>,
    /// The traits of each canonical profile that are not identifiers.
    pub traits: BTreeMap<ProfileId, BTreeMap<String, String>>,
    /// The identifiers of each canonical profile, by type.
    pub identifiers: BTreeMap<ProfileId, Vec<Identifier>>,
    /// The profiles listed.
    pub listed: std::collections::BTreeSet<ProfileId>,
}

/// Sets of identifiers that belong together. They stay small, so that moving what hangs on one is cheap.
#[derive(Debug, Default)]
pub(crate) struct Sets {
    index: BTreeMap<Identifier, usize>,
    parent: Vec<usize>,
}

impl Sets {
    /// The set of an identifier, if it is in one.
    pub(crate) fn find(&mut self, identifier: &Identifier) -> Option<usize> {
        let at = *self.index.get(identifier)?;
        Some(self.top(at))
    }

    fn top(&mut self, mut at: usize) -> usize {
        while self.parent[at] != at {
            self.parent[at] = self.parent[self.parent[at]];
            at = self.parent[at];
        }
        at
    }

    /// Puts identifiers into one set; calls `moved(from, to)` for each set that another takes in.
    pub(crate) fn join(
        &mut self,
        identifiers: &[Identifier],
        mut moved: impl FnMut(usize, usize),
    ) -> Option<usize> {
        let mut set = None;
        for identifier in identifiers {
            let next = self.parent.len();
            let at = *self.index.entry(identifier.clone()).or_insert(next);
            if at == next {
                self.parent.push(next);
            }
            let at = self.top(at);
            set = match set {
                None => Some(at),
                Some(set) if set == at => Some(set),
                Some(set) => {
                    self.parent[at] = set;
                    moved(at, set);
                    Some(set)
                }
            };
        }
        set
    }
}
