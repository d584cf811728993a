//! Records as they are stored.
//!
//! A head that the leader fills in (when, and how many bytes were published in the partition before), and a body that the
//! caller prepared. The running count of bytes makes the size of what is left in a partition a subtraction.

use bytes::Bytes;
use kith_domain::time::Micros;
use kith_profiles::ports::{DeadLetter, Header, NewRecord, Offset};

use crate::layout::CorruptRow;
use crate::layout::read::Reader;

const HEAD_BYTES: usize = 16;
/// The reason of a receipt: it has no topic, and the number of a letter that was redriven in place of an offset.
pub(crate) const RECEIPT: &str = "redriven";

/// A record that has everything but its place.
pub(crate) struct Prepared(Vec<u8>);

impl Prepared {
    /// A record of the traits topic.
    pub(crate) fn record(record: &NewRecord) -> Self {
        let mut bytes = blank(size_of(&record.key, &record.payload, &record.headers));
        put_record(&mut bytes, &record.key, &record.payload, &record.headers);
        Self(bytes)
    }

    /// A dead letter: where it was read and why it was buried, then the record as it was.
    pub(crate) fn letter(letter: &DeadLetter) -> Self {
        let DeadLetter {
            record,
            topic,
            reason,
        } = letter;
        let mut bytes = blank(size_of(&record.key, &record.payload, &record.headers) + 64);
        put_bytes(&mut bytes, topic.as_bytes());
        put_bytes(&mut bytes, reason.as_bytes());
        bytes.extend_from_slice(&record.partition.0.to_be_bytes());
        bytes.extend_from_slice(&record.offset.as_i64().to_be_bytes());
        bytes.extend_from_slice(&record.published_at.as_micros().to_be_bytes());
        put_record(&mut bytes, &record.key, &record.payload, &record.headers);
        Self(bytes)
    }

    /// How many bytes it will take in the log.
    pub(crate) fn len(&self) -> u64 {
        self.0.len() as u64
    }

    /// The bytes to store, with its place.
    pub(crate) fn place(mut self, head: Head) -> Vec<u8> {
        let (at, position) = self.0.split_at_mut(8);
        at.copy_from_slice(&head.published_at.as_micros().to_be_bytes());
        position[..8].copy_from_slice(&head.position.to_be_bytes());
        self.0
    }
}

/// The bytes of a record that count against the limit on its size.
pub(crate) fn size_of(key: &Bytes, payload: &Bytes, headers: &[Header]) -> usize {
    let headers: usize = headers
        .iter()
        .map(|(name, value)| name.len() + value.len() + 8)
        .sum();
    key.len() + payload.len() + headers + 8
}

/// What the leader says of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    /// When it was taken.
    pub(crate) published_at: Micros,
    /// Bytes published in its partition before it.
    pub(crate) position: u64,
}

/// The head alone, without looking at the rest.
pub(crate) fn head(stored: &[u8]) -> Result<Head, CorruptRow> {
    let mut rest = Reader::new(stored);
    Ok(Head {
        published_at: rest.time()?,
        position: rest.u64()?,
    })
}

/// The caller's part of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Body {
    pub(crate) key: Bytes,
    pub(crate) payload: Bytes,
    pub(crate) headers: Vec<Header>,
}

/// The body of a record of the traits topic.
pub(crate) fn body(stored: &[u8]) -> Result<Body, CorruptRow> {
    read_record(Reader::after(stored, HEAD_BYTES)?)
}

/// A dead letter's own part: topic, reason, partition, offset and time of the record that it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LetterBody {
    pub(crate) topic: String,
    pub(crate) reason: String,
    pub(crate) partition: i32,
    pub(crate) offset: Offset,
    pub(crate) published_at: Micros,
    pub(crate) record: Body,
}

/// The body of a dead letter.
pub(crate) fn letter(stored: &[u8]) -> Result<LetterBody, CorruptRow> {
    let mut rest = Reader::after(stored, HEAD_BYTES)?;
    Ok(LetterBody {
        topic: text(rest.bytes()?)?,
        reason: text(rest.bytes()?)?,
        partition: i32::from_be_bytes(rest.take(4)?.try_into().map_err(|_| CorruptRow)?),
        offset: Offset::new(rest.time()?.as_micros()),
        published_at: rest.time()?,
        record: read_record(rest)?,
    })
}

/// Whether what stands among the dead letters is a receipt. A letter's topic has a name.
pub(crate) fn is_receipt(topic: &str, reason: &str) -> bool {
    topic.is_empty() && reason == RECEIPT
}

fn blank(capacity: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD_BYTES + capacity);
    bytes.resize(HEAD_BYTES, 0);
    bytes
}

fn put_bytes(into: &mut Vec<u8>, bytes: &[u8]) {
    // Sizes are checked against the record limit, far below 4 GiB, before anything is encoded.
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    into.extend_from_slice(&len.to_be_bytes());
    into.extend_from_slice(bytes);
}

fn put_record(into: &mut Vec<u8>, key: &[u8], payload: &[u8], headers: &[Header]) {
    put_bytes(into, key);
    put_bytes(into, payload);
    for (name, value) in headers {
        put_bytes(into, name.as_bytes());
        put_bytes(into, value);
    }
}

fn read_record(mut rest: Reader<'_>) -> Result<Body, CorruptRow> {
    let key = Bytes::copy_from_slice(rest.bytes()?);
    let payload = Bytes::copy_from_slice(rest.bytes()?);
    let mut headers = Vec::new();
    while !rest.rest().is_empty() {
        let name = text(rest.bytes()?)?;
        headers.push((name, Bytes::copy_from_slice(rest.bytes()?)));
    }
    Ok(Body {
        key,
        payload,
        headers,
    })
}

fn text(bytes: &[u8]) -> Result<String, CorruptRow> {
    String::from_utf8(bytes.to_vec()).map_err(|_| CorruptRow)
}

#[cfg(test)]
mod tests {
    use kith_profiles::ports::{LogRecord, Partition};
    use proptest::prelude::*;

    use super::*;

    /// That something was read, and how, is not what matters.
    fn ignore<T>(_: T) {}

    fn any_bytes() -> impl Strategy<Value = Bytes> {
        proptest::collection::vec(any::<u8>(), 0..20).prop_map(Bytes::from)
    }

    prop_compose! {
        fn any_body()(
            key in any_bytes(),
            payload in any_bytes(),
            headers in proptest::collection::vec((".{0,5}", any_bytes()), 0..4),
        ) -> Body {
            Body { key, payload, headers }
        }
    }

    proptest! {
        #[test]
        fn a_record_reads_as_it_was_written(expected in any_body(), at: i64, position: u64) {
            let record = NewRecord {
                key: expected.key.clone(),
                payload: expected.payload.clone(),
                headers: expected.headers.clone(),
            };
            let place = Head { published_at: Micros::from_micros(at), position };
            let prepared = Prepared::record(&record);
            let len = prepared.len();
            let stored = prepared.place(place);
            prop_assert_eq!(len, stored.len() as u64);
            prop_assert_eq!(head(&stored), Ok(place));
            prop_assert_eq!(body(&stored), Ok(expected));
        }

        #[test]
        fn a_letter_reads_as_it_was_written(
            expected in any_body(), partition: i32, offset: i64, at: i64, topic in ".{0,9}"
        ) {
            let published_at = Micros::from_micros(at);
            let offset = Offset::new(offset);
            let Body { key, payload, headers } = expected.clone();
            let record = LogRecord { partition: Partition(partition), offset, published_at, key, payload, headers };
            let prepared = Prepared::letter(&DeadLetter { record, topic: topic.clone(), reason: "bad" });
            let stored = prepared.place(Head { published_at: Micros::EPOCH, position: 1 });
            let found = LetterBody { topic, reason: "bad".into(), partition, offset, published_at, record: expected };
            prop_assert_eq!(letter(&stored), Ok(found));
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            ignore(head(&bytes));
            ignore(body(&bytes));
            ignore(letter(&bytes));
        }
    }
}
