//! A letter as it is shown. Content is not.

use kith_kafka::Letter;
use serde_json::{Value, json};

use super::select::invalid;

/// What a column shows that has nothing to say.
const NOTHING: &str = "-";

/// A letter in one line.
pub(super) fn line(letter: &Letter, is_redriven: bool) -> String {
    [
        place(letter),
        letter.buried_at.to_string(),
        plain(letter.reason.as_deref().unwrap_or(NOTHING)),
        invalid(letter).unwrap_or("ok").to_owned(),
        origin(letter),
        letter.key.len().to_string(),
        letter.payload.len().to_string(),
        letter.redrives.to_string(),
        yes_or_no(is_redriven).to_owned(),
    ]
    .join("\t")
}

/// The same as an object.
pub(super) fn object(letter: &Letter, is_redriven: bool) -> Value {
    let origin = letter.origin.as_ref().map(|origin| {
        json!({
            "topic": origin.topic,
            "partition": origin.partition.0,
            "offset": origin.offset.as_i64(),
        })
    });
    json!({
        "partition": letter.partition.0,
        "offset": letter.offset.as_i64(),
        "buriedAt": letter.buried_at.to_string(),
        "reason": letter.reason,
        "now": invalid(letter).unwrap_or("ok"),
        "from": origin,
        "publishedAt": letter.published_at.map(|at| at.to_string()),
        "keyBytes": letter.key.len(),
        "payloadBytes": letter.payload.len(),
        "redrives": letter.redrives,
        "redriven": is_redriven,
    })
}

/// `PARTITION:OFFSET`
pub(super) fn place(letter: &Letter) -> String {
    format!("{}:{}", letter.partition.0, letter.offset.as_i64())
}

/// `TOPIC:PARTITION:OFFSET`
pub(super) fn origin(letter: &Letter) -> String {
    letter.origin.as_ref().map_or_else(
        || NOTHING.to_owned(),
        |origin| {
            let (partition, offset) = (origin.partition.0, origin.offset.as_i64());
            format!("{}:{partition}:{offset}", plain(&origin.topic))
        },
    )
}

/// A text that cannot act on a terminal, nor pass for more than one column.
pub(super) fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

pub(super) const fn yes_or_no(is_so: bool) -> &'static str {
    if is_so { "yes" } else { "no" }
}
