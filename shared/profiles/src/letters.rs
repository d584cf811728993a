//! Dead letters, read back.

use bytes::Bytes;
use kith_domain::time::Micros;

use crate::ports::{Header, Offset, Partition};

/// The header that says how often a record was redriven. On the record itself, so that it is still there if it dies again.
pub const REDRIVES: &str = "kith-redrives";

/// What stands among the dead letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Buried {
    /// A record that was put aside.
    Letter(Box<Letter>),
    /// These letters of this partition were sent to the traits topic again.
    Receipt(Partition, Vec<Offset>),
}

/// A record that was put aside, as it was, and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// Its place among the dead letters.
    pub partition: Partition,
    /// Its place there.
    pub offset: Offset,
    /// When it was put aside.
    pub buried_at: Micros,
    /// Why; `None` if it was put there by somebody else, who did not say.
    pub reason: Option<String>,
    /// Where it was read.
    pub origin: Option<Origin>,
    /// The time that it had there, which is not known of every letter.
    pub published_at: Option<Micros>,
    /// How often it had been redriven before it was put aside.
    pub redrives: u64,
    /// Its key; empty if it has none.
    pub key: Bytes,
    /// Its value; empty if it has none.
    pub payload: Bytes,
    /// Its own headers, in order, without [`REDRIVES`].
    pub headers: Vec<Header>,
}

/// The place of a record in a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: Partition,
    /// The offset.
    pub offset: Offset,
}

impl Letter {
    /// The headers of the record when it is sent again: its own, and how often that was done.
    #[must_use]
    pub fn redriven_headers(&self) -> Vec<Header> {
        let redrives = self.redrives.saturating_add(1).to_string();
        let mut headers = self.headers.clone();
        headers.push((REDRIVES.to_owned(), Bytes::from(redrives)));
        headers
    }
}

/// Takes out of a record's headers how often it was redriven.
pub fn take_redrives(headers: &mut Vec<Header>) -> u64 {
    let found = headers.iter().rfind(|(name, _)| name == REDRIVES);
    let redrives = found
        .and_then(|(_, value)| std::str::from_utf8(value).ok()?.parse().ok())
        .unwrap_or(0);
    headers.retain(|(name, _)| name != REDRIVES);
    redrives
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(name: &str, value: &str) -> Header {
        (name.to_owned(), Bytes::copy_from_slice(value.as_bytes()))
    }

    #[test]
    fn how_often_a_record_was_redriven_is_no_header_of_its_own() {
        let own = vec![header("a", "b"), header("c", "d")];
        let mut headers = vec![own[0].clone(), header(REDRIVES, "2"), own[1].clone()];
        assert_eq!(take_redrives(&mut headers), 2);
        assert_eq!(headers, own);
        assert_eq!(take_redrives(&mut headers), 0);
        let mut odd = vec![header(REDRIVES, "often")];
        assert_eq!((take_redrives(&mut odd), odd), (0, Vec::new()));
    }
}
