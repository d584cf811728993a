//! Records of the ports to and from those of the client library.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use kith_domain::time::Micros;
use kith_profiles::ports::{Header, LogRecord, Offset, Partition};
use rdkafka::message::{self, Headers, Message, OwnedHeaders};

/// Takes a record out of the library's memory.
pub(crate) fn taken(message: &impl Message) -> LogRecord {
    LogRecord {
        partition: Partition(message.partition()),
        offset: Offset::new(message.offset()),
        published_at: message.timestamp().to_millis().map_or(Micros::EPOCH, |ms| {
            Micros::from_micros(ms.saturating_mul(1000))
        }),
        key: copied(message.key()),
        payload: copied(message.payload()),
        headers: message.headers().map_or_else(Vec::new, headers_of),
    }
}

fn copied(bytes: Option<&[u8]>) -> Bytes {
    bytes.map_or_else(Bytes::new, Bytes::copy_from_slice)
}

/// The name that a header gets whose own is no text.
pub(crate) const UNREADABLE_NAME: &str = "\u{fffd}";

/// The bindings panic on a header whose name is not UTF-8 (rdkafka 0.39, `BorrowedHeaders::try_get`), which anybody may
/// write into a topic. One bad record must cost nobody else anything, so the panic ends here; such a header loses its
/// value, since the bindings have no other way to it.
fn headers_of(headers: &impl Headers) -> Vec<Header> {
    (0..headers.count())
        .filter_map(|index| {
            catch_unwind(AssertUnwindSafe(|| {
                let header = headers.try_get(index)?;
                Some((header.key.to_owned(), copied(header.value)))
            }))
            .unwrap_or_else(|_| Some((UNREADABLE_NAME.to_owned(), Bytes::new())))
        })
        .collect()
}

/// Headers in the library's form, in order.
pub(crate) fn headers(pairs: &[Header]) -> OwnedHeaders {
    let mut headers = OwnedHeaders::new_with_capacity(pairs.len());
    for (key, value) in pairs {
        headers = headers.insert(message::Header {
            key,
            value: Some(&value[..]),
        });
    }
    headers
}

/// The bytes that count against the largest record; the framing of the protocol, some tens of bytes, does not.
pub(crate) fn size(key: &[u8], payload: &[u8], headers: &[Header]) -> usize {
    let headers: usize = headers
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    key.len() + payload.len() + headers
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the bindings behave: the second header's name is not UTF-8.
    struct Poisoned;

    impl Headers for Poisoned {
        fn count(&self) -> usize {
            3
        }

        fn try_get(&self, index: usize) -> Option<message::Header<'_, &[u8]>> {
            let key = match index {
                0 => "first",
                1 => panic!("as the bindings do"),
                _ => "last",
            };
            Some(message::Header {
                key,
                value: (index == 0).then_some(&b"value"[..]),
            })
        }
    }

    #[test]
    fn a_header_name_that_is_no_text_harms_nothing_else() {
        let headers = headers_of(&Poisoned);
        assert_eq!(
            headers,
            [
                ("first".to_owned(), Bytes::from_static(b"value")),
                (UNREADABLE_NAME.to_owned(), Bytes::new()),
                ("last".to_owned(), Bytes::new()),
            ]
        );
    }

    #[test]
    fn the_size_of_a_record_counts_key_payload_and_headers() {
        let headers = [("name".to_owned(), Bytes::from_static(b"value"))];
        assert_eq!(size(b"key", b"payload", &headers), 3 + 7 + 4 + 5);
    }
}
