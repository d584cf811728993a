//! `show`.

use std::collections::BTreeMap;
use std::io;

use clap::Args;
use kith_kafka::{Buried, KafkaConfig, Letter, ReadFrom, TopicReader, buried};
use kith_profiles::ports::{Offset, Partition};
use kith_runtime::lifecycle::{ComponentError, Exit};
use serde_json::Value;

use super::letter::{origin, place, plain, yes_or_no};
use super::select::{Select, Survey, invalid};
use super::{CLOSE, next};
use crate::servers::command::{note, say};
use crate::servers::place::position;

/// Headers that say nothing of a person.
const TELLING: [&str; 2] = ["traceparent", "tracestate"];

/// Which letter, and how much of it.
#[derive(Debug, Clone, Args)]
pub(crate) struct Show {
    /// The letter, as `list` names it
    #[arg(value_name = "PARTITION:OFFSET", value_parser = position)]
    letter: (Partition, Offset),
    /// Print key, payload and headers, too. They are personal data
    #[arg(long)]
    bytes: bool,
}

/// Prints one letter.
pub(super) async fn run(show: &Show, kafka: &KafkaConfig) -> Result<Exit, ComponentError> {
    let (partition, offset) = show.letter;
    let from = ReadFrom::Offsets(BTreeMap::from([(partition, offset.as_i64())]));
    let mut reader = TopicReader::open(kafka, &kafka.dead_letter_topic(), &from).await?;
    let (mut found, mut survey) = (None, Survey::default());
    loop {
        // Behind the letter stands whether it was redriven.
        let records = next(&mut reader).await?;
        if records.is_empty() {
            break;
        }
        for record in records {
            match buried(record) {
                Buried::Letter(letter) if letter.offset == offset => found = Some(letter),
                other @ (Buried::Letter(_) | Buried::Receipt(..)) => {
                    survey.add(other, &Select::default());
                }
            }
        }
    }
    reader.close(CLOSE).await?;
    let Some(letter) = found else {
        note(&format!(
            "there is no letter {}:{}",
            partition.0,
            offset.as_i64()
        ));
        return Ok(Exit::Failed);
    };
    print(&letter, survey.is_redriven(&letter), show.bytes)?;
    Ok(Exit::Clean)
}

fn print(letter: &Letter, is_redriven: bool, with_bytes: bool) -> io::Result<()> {
    let field = |name: &str, value: &str| say(&format!("{name}\t{value}"));
    field("letter", &place(letter))?;
    field("put aside", &letter.buried_at.to_string())?;
    field(
        "reason",
        &plain(letter.reason.as_deref().unwrap_or("not said")),
    )?;
    field("now", invalid(letter).unwrap_or("ok"))?;
    field("from", &origin(letter))?;
    if let Some(at) = letter.published_at {
        field("published", &at.to_string())?;
    }
    field("redrives", &letter.redrives.to_string())?;
    field("redriven", yes_or_no(is_redriven))?;
    let content = |bytes: &[u8], is_shown: bool| {
        if is_shown {
            format!("{} bytes\t{}", bytes.len(), shown(bytes))
        } else {
            format!("{} bytes", bytes.len())
        }
    };
    field("key", &content(&letter.key, with_bytes))?;
    for (name, value) in &letter.headers {
        let is_shown = with_bytes || TELLING.contains(&name.as_str());
        let name = plain(name);
        field("header", &format!("{name}\t{}", content(value, is_shown)))?;
    }
    field("payload", &content(&letter.payload, with_bytes))
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
