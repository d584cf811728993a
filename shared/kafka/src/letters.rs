//! The dead-letter topic, read back: letters, and receipts for those that were sent to the traits topic again.
//!
//! A letter is never changed or removed, so that nothing is lost by sending it again; what was sent is told by a receipt
//! behind it in its partition, which therefore lives as long as the letter does.

use std::str::FromStr;

use bytes::Bytes;
use kith_domain::time::Micros;
use kith_profiles::letters::{Buried, Letter, Origin, take_redrives};
use kith_profiles::ports::{Header, LogRecord, Offset, Partition};

/// Why a dead letter was one. Headers of the original record come first, in their order; these follow.
pub const DEAD_REASON: &str = "kith-dead-reason";
/// The topic it was read from.
pub const DEAD_TOPIC: &str = "kith-dead-topic";
/// The partition it was read from, as a decimal number.
pub const DEAD_PARTITION: &str = "kith-dead-partition";
/// Its offset there, as a decimal number.
pub const DEAD_OFFSET: &str = "kith-dead-offset";
/// Its time there, in milliseconds since 1970.
pub const DEAD_TIME: &str = "kith-dead-time";
/// On a receipt: offsets of letters in the receipt's partition, in decimal, with commas between.
pub const REDRIVEN: &str = "kith-redriven";

/// Tells what a record of the dead-letter topic is.
#[must_use]
pub fn buried(record: LogRecord) -> Buried {
    if let Some(offsets) = receipt(&record) {
        return Buried::Receipt(record.partition, offsets);
    }
    let LogRecord {
        partition,
        offset,
        published_at: buried_at,
        key,
        payload,
        mut headers,
    } = record;
    // Ours are the last ones; a record that somebody sent again with all its headers has older ones before them.
    let begin = headers.iter().rposition(|(name, _)| name == DEAD_REASON);
    let added = headers.split_off(begin.unwrap_or(headers.len()));
    let redrives = take_redrives(&mut headers);
    Buried::Letter(Box::new(Letter {
        partition,
        offset,
        buried_at,
        reason: text(&added, DEAD_REASON),
        origin: origin(&added),
        published_at: parsed(&added, DEAD_TIME)
            .map(|millis: i64| Micros::from_micros(millis.saturating_mul(1000))),
        redrives,
        key,
        payload,
        headers,
    }))
}

/// The headers that are added to a record when it is put aside.
pub(crate) fn added(record: &LogRecord, topic: String, reason: &'static str) -> [Header; 5] {
    let number = |number: i64| Bytes::from(number.to_string());
    let millis = record.published_at.as_micros().div_euclid(1000);
    [
        (
            DEAD_REASON.to_owned(),
            Bytes::from_static(reason.as_bytes()),
        ),
        (DEAD_TOPIC.to_owned(), Bytes::from(topic)),
        (DEAD_PARTITION.to_owned(), number(record.partition.0.into())),
        (DEAD_OFFSET.to_owned(), number(record.offset.as_i64())),
        (DEAD_TIME.to_owned(), number(millis)),
    ]
}

/// The header of a receipt for these letters.
pub(crate) fn receipt_for(letters: &[Offset]) -> Header {
    let offsets: Vec<String> = letters
        .iter()
        .map(|offset| offset.as_i64().to_string())
        .collect();
    (REDRIVEN.to_owned(), Bytes::from(offsets.join(",")))
}

fn receipt(record: &LogRecord) -> Option<Vec<Offset>> {
    let [(name, offsets)] = record.headers.as_slice() else {
        return None;
    };
    if name != REDRIVEN || !record.key.is_empty() || !record.payload.is_empty() {
        return None;
    }
    let offsets = std::str::from_utf8(offsets).ok()?.split(',');
    offsets
        .map(|offset| offset.parse().ok().map(Offset::new))
        .collect()
}

fn origin(headers: &[Header]) -> Option<Origin> {
    Some(Origin {
        topic: text(headers, DEAD_TOPIC)?,
        partition: Partition(parsed(headers, DEAD_PARTITION)?),
        offset: Offset::new(parsed(headers, DEAD_OFFSET)?),
    })
}

fn text(headers: &[Header], name: &str) -> Option<String> {
    let (_, value) = headers.iter().rfind(|(one, _)| one == name)?;
    String::from_utf8(value.to_vec()).ok()
}

fn parsed<T: FromStr>(headers: &[Header], name: &str) -> Option<T> {
    text(headers, name)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use kith_profiles::letters::REDRIVES;

    use super::*;

    fn header(name: &str, value: &str) -> Header {
        (name.to_owned(), Bytes::copy_from_slice(value.as_bytes()))
    }

    fn record(headers: Vec<Header>) -> LogRecord {
        LogRecord {
            partition: Partition(3),
            offset: Offset::new(41),
            published_at: Micros::from_micros(1_700_000_000_123_000),
            key: Bytes::from_static(b"key"),
            payload: Bytes::from_static(b"payload"),
            headers,
        }
    }

    fn letter(record: LogRecord) -> Letter {
        match buried(record) {
            Buried::Letter(letter) => *letter,
            Buried::Receipt(..) => panic!("a receipt"),
        }
    }

    #[test]
    fn a_letter_is_the_record_that_was_put_aside() {
        let own = vec![header("traceparent", "00-1-2-01"), header(DEAD_REASON, "x")];
        let mut put_aside = record(own.clone());
        let added = added(&put_aside, "a.topic".to_owned(), "malformed");
        put_aside.headers.extend(added);
        let letter = letter(put_aside);
        assert_eq!(letter.headers, own);
        assert_eq!(letter.key, "key");
        assert_eq!(letter.payload, "payload");
        assert_eq!(letter.reason.as_deref(), Some("malformed"));
        let at = Micros::from_micros(1_700_000_000_123_000);
        assert_eq!((letter.published_at, letter.buried_at), (Some(at), at));
        let origin = Origin {
            topic: "a.topic".to_owned(),
            partition: Partition(3),
            offset: Offset::new(41),
        };
        assert_eq!((letter.origin, letter.redrives), (Some(origin), 0));
    }

    #[test]
    fn a_letter_of_an_older_release_has_no_time_and_a_strangers_has_nothing() {
        let older = vec![
            header(DEAD_REASON, "empty"),
            header(DEAD_TOPIC, "t"),
            header(DEAD_PARTITION, "0"),
            header(DEAD_OFFSET, "9"),
        ];
        let letter_of = letter(record(older));
        assert!(letter_of.origin.is_some() && letter_of.headers.is_empty());
        assert_eq!(letter_of.published_at, None);
        let own = vec![header("a", "b")];
        let stranger = letter(record(own.clone()));
        assert_eq!((stranger.reason, stranger.origin), (None, None));
        assert_eq!(stranger.headers, own);
    }

    #[test]
    fn how_often_a_record_was_redriven_is_no_header_of_its_own() {
        let own = header("a", "b");
        let mut put_aside = record(vec![header(REDRIVES, "2"), own.clone()]);
        let added = added(&put_aside, "t".to_owned(), "malformed");
        put_aside.headers.extend(added);
        let letter = letter(put_aside);
        assert_eq!((letter.redrives, letter.headers), (2, vec![own]));
    }

    #[test]
    fn a_receipt_names_letters_of_its_partition() {
        let letters = [Offset::new(7), Offset::new(12)];
        let mut record = record(vec![receipt_for(&letters)]);
        let forged = letter(record.clone());
        assert_eq!(forged.reason, None, "it has a key and bytes");
        record.key = Bytes::new();
        record.payload = Bytes::new();
        assert_eq!(
            buried(record),
            Buried::Receipt(Partition(3), letters.to_vec())
        );
    }
}
