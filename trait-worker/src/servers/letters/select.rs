//! Which letters are meant, and which of them were redriven before.

use std::collections::{BTreeMap, HashSet};

use clap::Args;
use kith_domain::event::Event;
use kith_domain::time::Micros;
use kith_kafka::{Buried, KafkaConfig, Letter, ReadFrom, TopicReader, buried};
use kith_profiles::ports::{Offset, Partition};
use kith_runtime::lifecycle::ComponentError;

use super::{CLOSE, next};
use crate::servers::place;

/// Letters, by what is known of them. All that are given must hold.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Select {
    /// Only with this reason; may be given several times
    #[arg(long, value_name = "REASON")]
    reason: Vec<String>,
    /// Only what was put aside at this time or later, such as 2026-01-31T08:00:00Z
    #[arg(long, value_name = "TIME", value_parser = place::time)]
    since: Option<Micros>,
    /// Only what was put aside before this time
    #[arg(long, value_name = "TIME", value_parser = place::time)]
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
    pub(super) fn limit(&self) -> u64 {
        self.limit.unwrap_or(u64::MAX)
    }

    /// Whether a letter is meant.
    pub(super) fn takes(&self, letter: &Letter) -> bool {
        let reason = letter.reason.as_deref().unwrap_or_default();
        (self.reason.is_empty() || self.reason.iter().any(|one| one == reason))
            && self.since.is_none_or(|since| letter.buried_at >= since)
            && self.until.is_none_or(|until| letter.buried_at < until)
            && self.partition.is_none_or(|one| letter.partition.0 == one)
            && (!self.readable || invalid(letter).is_none())
    }

    /// A reader over all the letters that may be meant, and the receipts behind them.
    pub(super) async fn open(&self, kafka: &KafkaConfig) -> Result<TopicReader, ComponentError> {
        let from = match (self.partition, self.since) {
            (Some(partition), _) => ReadFrom::Offsets(BTreeMap::from([(Partition(partition), 0)])),
            (None, Some(since)) => ReadFrom::Time(since),
            (None, None) => ReadFrom::Earliest,
        };
        Ok(TopicReader::open(kafka, &kafka.dead_letter_topic(), &from).await?)
    }
}

/// Letters that were redriven, and how many letters there are that were not, among those that are meant.
#[derive(Debug, Default)]
pub(super) struct Survey {
    redriven: HashSet<(Partition, Offset)>,
    /// Letters that are meant, redriven or not.
    pub(super) meant: u64,
}

impl Survey {
    /// Reads everything once.
    pub(super) async fn make(select: &Select, kafka: &KafkaConfig) -> Result<Self, ComponentError> {
        let mut reader = select.open(kafka).await?;
        let mut survey = Self::default();
        loop {
            let records = next(&mut reader).await?;
            if records.is_empty() {
                break;
            }
            for record in records {
                survey.add(buried(record), select);
            }
        }
        reader.close(CLOSE).await?;
        Ok(survey)
    }

    pub(super) fn add(&mut self, buried: Buried, select: &Select) {
        match buried {
            Buried::Letter(letter) => self.meant += u64::from(select.takes(&letter)),
            Buried::Receipt(partition, offsets) => {
                let places = offsets.into_iter().map(|offset| (partition, offset));
                self.redriven.extend(places);
            }
        }
    }

    /// Whether a letter was redriven.
    pub(super) fn is_redriven(&self, letter: &Letter) -> bool {
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
        survey.add(Buried::Letter(Box::new(five.clone())), &all);
        survey.add(Buried::Receipt(Partition(0), vec![Offset::new(5)]), &all);
        assert!(!survey.is_redriven(&five));
        survey.add(Buried::Receipt(Partition(1), vec![Offset::new(5)]), &all);
        assert!(survey.is_redriven(&five));
        assert_eq!(survey.meant, 1);
    }
}
