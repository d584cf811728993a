//! The traits body of Create, PATCH and Bulk: reading it from bytes, and checking it against a store's definitions
//! (`memory-api.md` 4, 6.1, 6.4, 6.6, 7).
//!
//! Reading keeps the document's order (it decides the age of values of one request) and sees keys that are given twice,
//! which a map would hide. It keeps no more than the limits allow, whatever the size of the body. Checking gives what is to
//! be written, or every fault; no fault ever shows a value.

use std::borrow::Cow;
use std::fmt;

use indexmap::IndexMap;
use serde::Serialize;
use serde_json::Number;

mod check;
mod read;

pub use check::{TraitWriteOf, WriteSet, validate};

/// Groups in one body at most.
pub const GROUPS_MAX: usize = 50;
/// Traits of one group in one body at most.
pub const TRAITS_MAX: usize = 99;
/// Items of an array value at most.
pub const ARRAY_ITEMS_MAX: usize = 100;
/// Characters (Unicode scalar values) of a string value at most, inside an array too.
pub const STRING_CHARS_MAX: usize = 1024;
/// Items of a Bulk body at most; there is at least one.
pub const BULK_ITEMS_MAX: usize = 1000;
/// Faults that one answer names at most: enough to mend a body, and bounded whatever a body holds.
pub const ERRORS_MAX: usize = 20;

/// Characters of a caller's own name that a fault repeats at most; longer names are cut.
const SHOWN_CHARS_MAX: usize = 64;

/// One fault of a body, as an answer's `details` show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// Where, such as `traits.Contact.email`. Names are the caller's own, as sent and cut to 64 characters: fit for the
    /// answer, not for logs.
    pub field: String,
    /// What must be mended, for people. Never holds the value.
    pub reason: Cow<'static, str>,
}

/// Faults as they are found; those past [`ERRORS_MAX`] are not kept.
#[derive(Debug, Default)]
pub(crate) struct Problems(Vec<FieldError>);

impl Problems {
    pub(crate) fn add(&mut self, field: impl Into<String>, reason: impl Into<Cow<'static, str>>) {
        if self.0.len() < ERRORS_MAX {
            self.0.push(FieldError {
                field: field.into(),
                reason: reason.into(),
            });
        }
    }

    pub(crate) fn none_or_errors(self) -> Result<(), Vec<FieldError>> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(self.0)
        }
    }
}

/// A caller's own name as a fault repeats it.
pub(crate) fn shown(name: &str) -> Cow<'_, str> {
    match name.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &name[..end]).into(),
        None => name.into(),
    }
}

/// Why bytes are no body. A bad request in either case; no message holds content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Not JSON (RFC 8259).
    #[error("malformed JSON at line {line}, column {column}")]
    Malformed {
        /// From 1.
        line: usize,
        /// From 1; 0 at the start of a line.
        column: usize,
    },
    /// JSON of another shape: the faults, in document order, the first [`ERRORS_MAX`].
    #[error("the body does not have the required shape")]
    Invalid(Vec<FieldError>),
}

impl From<&serde_json::Error> for BodyError {
    /// The place of an error of `serde_json`, without its message, which may show content.
    fn from(error: &serde_json::Error) -> Self {
        Self::Malformed {
            line: error.line(),
            column: error.column(),
        }
    }
}

/// A value as sent: any JSON, kept as far as a trait could hold it. `Debug` shows its type only.
#[derive(Clone, PartialEq)]
pub enum BodyValue {
    /// `null`: remove the trait.
    Null,
    /// A boolean.
    Boolean(bool),
    /// A number.
    Number(Number),
    /// A text.
    String(String),
    /// An array; of more than [`ARRAY_ITEMS_MAX`] items only the first of those too many is kept. Arrays inside it are kept
    /// without their items.
    Array(Vec<BodyValue>),
    /// An object, whose members are not kept: it is never a value.
    Object,
}

impl fmt::Debug for BodyValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "Null",
            Self::Boolean(_) => "Boolean(..)",
            Self::Number(_) => "Number(..)",
            Self::String(_) => "String(..)",
            Self::Array(_) => "Array(..)",
            Self::Object => "Object",
        })
    }
}

/// Values by trait of one group, as sent.
pub type GroupBody = IndexMap<String, BodyValue>;

/// The body of Create and PATCH, and one item of Bulk: values by group and trait, in document order, under the names as
/// sent. Within the limits on groups and traits, otherwise unchecked. `Debug` shows neither names nor values.
#[derive(Clone, Default, PartialEq)]
pub struct TraitsBody {
    /// Stands before the names of fields in faults: empty, or the place of the item.
    prefix: String,
    groups: IndexMap<String, GroupBody>,
}

impl TraitsBody {
    /// Takes values that were not read from JSON. `prefix` stands before the names of fields in faults.
    #[must_use]
    pub fn new(prefix: impl Into<String>, groups: IndexMap<String, GroupBody>) -> Self {
        Self {
            prefix: prefix.into(),
            groups,
        }
    }

    /// Reads a body: `{"traits": {"<group>": {"<trait>": value}}}`, where `traits` may be absent or null.
    ///
    /// # Errors
    /// [`BodyError`]: malformed; another member beside `traits`; a key given twice, at any level; a part that is no object;
    /// more than 50 groups, or 99 traits in a group. Values are not looked at.
    pub fn parse(bytes: &[u8]) -> Result<Self, BodyError> {
        read::traits_body(bytes)
    }

    /// Whether the body says nothing: `traits` absent, null or empty. Create refuses it ("Traits are required to create a
    /// profile"), PATCH answers 202 without effect.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// The values by group, as sent.
    #[must_use]
    pub const fn groups(&self) -> &IndexMap<String, GroupBody> {
        &self.groups
    }
}

impl fmt::Debug for TraitsBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TraitsBody({} groups)", self.groups.len())
    }
}

/// The body of Bulk: 1 to 1000 items, each like the body of Create. Faults of an item are named like
/// `profiles[3].traits.Contact.email`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BulkBody {
    /// The items, in document order.
    pub items: Vec<TraitsBody>,
}

impl BulkBody {
    /// Reads a body: `{"profiles": [{"traits": {...}}, ...]}`.
    ///
    /// # Errors
    /// [`BodyError`]: as [`TraitsBody::parse`] for each item; another member beside `profiles`; no item, or more than 1000.
    pub fn parse(bytes: &[u8]) -> Result<Self, BodyError> {
        read::bulk_body(bytes)
    }
}

#[cfg(test)]
mod tests;
