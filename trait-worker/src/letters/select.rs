//! Which letters are meant, and which of them were redriven before.

use std::collections::HashSet;

use clap::Args;
use kith_domain::event::Event;
use kith_domain::time::Micros;
use kith_profiles::letters::Letter;
use kith_profiles::ports::{Offset, Partition};

use super::parse::time;

/// Letters, by what is known of them. All that are given must hold.
#[derive(Debug, Clone, Default, Args)]
pub struct Select {
    /// Only with this reason; may be given several times
    #[arg(long, value_name = "REASON")]
    reason: Vec<String>,
    /// Only what was put aside at this time or later, such as 2026-01-31T08:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<Micros>,
    /// Only what was put aside before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<Micros>,
    /// Only of this partition of the dead-letter topic
    #[arg(long, value_name = "PARTITION", value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,
    /// Only what this version can read: what a newer version wrote, once this is that version
    #[arg(long)]
    readable: bool,
    /// So many at most, each partition's oldest first
    #[arg(long, value_name = "LETTERS", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
}

/// What this version says of a letter's record: the reason why it is invalid, or nothing.
pub(super) fn invalid(letter: &Letter) -> Option<&'static str> {
    Event::decode(&letter.payload)
        .err()
        .map(|error| error.reason())
}

impl Select {
    /// The most letters.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.limit.unwrap_or(u64::MAX)
    }

    /// The one partition that letters are meant of, if it is one.
    #[must_use]
    pub fn partition(&self) -> Option<Partition> {
        self.partition.map(Partition)
    }

    /// The time before which no letter is meant, if there is one.
    #[must_use]
    pub fn since(&self) -> Option<Micros> {
        self.since
    }

    /// Whether a letter is meant.
    #[must_use]
    pub fn takes(&self, letter: &Letter) -> bool {
        let reason = letter.reason.as_deref().unwrap_or_default();
        (self.reason.is_empty() || self.reason.iter().any(|one| one == reason))
            && self.since.is_none_or(|since| letter.buried_at >= since)
            && self.until.is_none_or(|until| letter.buried_at < until)
            && self.partition().is_none_or(|one| letter.partition == one)
            && (!self.readable || invalid(letter).is_none())
    }
}

/// What is known once everything was read: how many letters are meant, and which letters were redriven, which stands behind
/// them.
#[derive(Debug, Default)]
pub struct Survey {
    redriven: HashSet<(Partition, Offset)>,
    meant: u64,
}

impl Survey {
    /// There is a letter.
    pub fn letter(&mut self, letter: &Letter, select: &Select) {
        self.meant += u64::from(select.takes(letter));
    }

    /// Letters of a partition were redriven.
    pub fn redriven(&mut self, partition: Partition, letters: impl IntoIterator<Item = Offset>) {
        let places = letters.into_iter().map(|offset| (partition, offset));
        self.redriven.extend(places);
    }

    /// How many letters are meant, redriven or not.
    #[must_use]
    pub fn meant(&self) -> u64 {
        self.meant
    }

    /// Whether a letter was redriven.
    #[must_use]
    pub fn is_redriven(&self, letter: &Letter) -> bool {
        self.redriven.contains(&(letter.partition, letter.offset))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn letter(reason: Option<&str>, seconds: i64) -> Letter {
        Letter {
            partition: Partition(1),
            offset: Offset::new(5),
            buried_at: Micros::from_micros(seconds * 1_000_000),
            reason: reason.map(str::to_owned),
            origin: None,
            published_at: None,
            redrives: 0,
            key: Bytes::new(),
            payload: Bytes::new(),
            headers: Vec::new(),
        }
    }

    #[test]
    fn a_letter_is_meant_if_everything_that_was_given_holds() {
        let at = |seconds: i64| Some(Micros::from_micros(seconds * 1_000_000));
        let empty = letter(Some("empty"), 100);
        let select = Select {
            reason: vec!["malformed".to_owned(), "empty".to_owned()],
            since: at(100),
            until: at(101),
            partition: Some(1),
            ..Select::default()
        };
        assert!(select.takes(&empty));
        assert!(!select.takes(&letter(Some("bad_stamp"), 100)));
        assert!(!select.takes(&letter(None, 100)));
        assert!(!select.takes(&letter(Some("empty"), 99)));
        assert!(!select.takes(&letter(Some("empty"), 101)));
        let elsewhere = Select {
            partition: Some(0),
            ..Select::default()
        };
        assert!(!elsewhere.takes(&empty) && Select::default().takes(&empty));
        let readable = Select {
            readable: true,
            ..Select::default()
        };
        assert!(!readable.takes(&empty));
    }

    #[test]
    fn a_receipt_is_about_the_letters_of_its_own_partition() {
        let (mut survey, all) = (Survey::default(), Select::default());
        let five = letter(Some("empty"), 1);
        survey.letter(&five, &all);
        survey.redriven(Partition(0), [Offset::new(5)]);
        assert!(!survey.is_redriven(&five));
        survey.redriven(Partition(1), [Offset::new(5)]);
        assert!(survey.is_redriven(&five));
        assert_eq!(survey.meant(), 1);
    }
}
