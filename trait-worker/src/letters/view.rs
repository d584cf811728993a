//! A letter as it is shown.

use kith_profiles::letters::Letter;
use serde_json::{Value, json};

use super::select::invalid;

/// Headers that say nothing of a person.
const TELLING: [&str; 2] = ["traceparent", "tracestate"];

/// What a column shows that has nothing to say.
const NOTHING: &str = "-";

/// A letter in one line, tab separated: its place, when it was put aside, why, what this version says of it now (`ok`, or why it
/// is invalid), where it was read, bytes of key and payload, how often it was redriven before, and whether it was since.
#[must_use]
pub fn line(letter: &Letter, is_redriven: bool) -> String {
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
#[must_use]
pub fn object(letter: &Letter, is_redriven: bool) -> Value {
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

/// The place of a letter: `PARTITION:OFFSET`.
#[must_use]
pub fn place(letter: &Letter) -> String {
    format!("{}:{}", letter.partition.0, letter.offset.as_i64())
}

/// `TOPIC:PARTITION:OFFSET`
fn origin(letter: &Letter) -> String {
    letter.origin.as_ref().map_or_else(
        || NOTHING.to_owned(),
        |origin| {
            let (partition, offset) = (origin.partition.0, origin.offset.as_i64());
            format!("{}:{partition}:{offset}", plain(&origin.topic))
        },
    )
}

/// A text that cannot act on a terminal, nor pass for more than one column.
fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

const fn yes_or_no(is_so: bool) -> &'static str {
    if is_so { "yes" } else { "no" }
}

/// A letter in many lines, a name and a tab before each. Key, payload and headers only if asked for: they are personal data.
#[must_use]
pub fn details(letter: &Letter, is_redriven: bool, with_bytes: bool) -> Vec<String> {
    let content = |bytes: &[u8], is_shown: bool| {
        if is_shown {
            format!("{} bytes\t{}", bytes.len(), shown(bytes))
        } else {
            format!("{} bytes", bytes.len())
        }
    };
    let reason = plain(letter.reason.as_deref().unwrap_or("not said"));
    let mut lines = vec![
        format!("letter\t{}", place(letter)),
        format!("put aside\t{}", letter.buried_at),
        format!("reason\t{reason}"),
        format!("now\t{}", invalid(letter).unwrap_or("ok")),
        format!("from\t{}", origin(letter)),
    ];
    lines.extend(letter.published_at.map(|at| format!("published\t{at}")));
    lines.extend([
        format!("redrives\t{}", letter.redrives),
        format!("redriven\t{}", yes_or_no(is_redriven)),
        format!("key\t{}", content(&letter.key, with_bytes)),
    ]);
    for (name, value) in &letter.headers {
        let is_shown = with_bytes || TELLING.contains(&name.as_str());
        let value = content(value, is_shown);
        lines.push(format!("header\t{}\t{value}", plain(name)));
    }
    lines.push(format!("payload\t{}", content(&letter.payload, with_bytes)));
    lines
}

/// Text as JSON, other bytes in hexadecimal: whatever they hold cannot act on the terminal, nor pass for a line of ours.
fn shown(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => plain(&Value::from(text).to_string()),
        Err(_) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_bytes_act_on_the_terminal() {
        assert_eq!(shown(b"a\tb\n"), r#""a\tb\n""#);
        assert_eq!(shown(b"\xff\x00"), "ff00");
        assert!(!shown("a\u{1b}[2J\u{9b}".as_bytes()).contains(char::is_control));
    }
}
