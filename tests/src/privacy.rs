//! No identifier or trait value in logs, spans or metrics: every suite that sends values says so here, and every process and
//! receiver of the harness is searched for them when it ends.

use std::collections::BTreeSet;
use std::sync::{LazyLock, Mutex, PoisonError};

use aho_corasick::AhoCorasick;
use anyhow::{Result, bail};

static SENT: LazyLock<Mutex<BTreeSet<String>>> = LazyLock::new(Mutex::default);

/// Shorter values say nothing when they are found.
const TELLING_CHARS: usize = 6;

/// Notes every text and number of a request body as a value that nobody but the database, the log and the caller may see.
pub fn sent(body: &serde_json::Value) {
    match body {
        serde_json::Value::String(text) => note(text),
        serde_json::Value::Number(number) => note(&number.to_string()),
        serde_json::Value::Array(items) => items.iter().for_each(sent),
        serde_json::Value::Object(members) => members.values().for_each(sent),
        serde_json::Value::Null | serde_json::Value::Bool(_) => {}
    }
}

fn note(value: &str) {
    if value.chars().count() >= TELLING_CHARS {
        let mut sent = SENT.lock().unwrap_or_else(PoisonError::into_inner);
        sent.insert(value.to_owned());
        sent.insert(value.trim().to_lowercase());
        let digits: String = value.chars().filter(char::is_ascii_digit).collect();
        if digits.len() >= 9
            && value
                .chars()
                .all(|c| c.is_ascii_digit() || "+-.() /".contains(c))
        {
            sent.insert(digits);
        }
    }
}

/// How many values are looked for.
#[must_use]
pub fn noted() -> usize {
    SENT.lock().unwrap_or_else(PoisonError::into_inner).len()
}

/// Searches `text` for every value noted so far.
///
/// # Errors
/// When one is found; the message names where, and the line with the value blotted out.
pub fn search(place: &str, text: &str) -> Result<()> {
    let sent = SENT.lock().unwrap_or_else(PoisonError::into_inner);
    // Tens of thousands of values against megabytes of lines: all at once.
    let values = AhoCorasick::new(sent.iter())?;
    if let Some(found) = values.find(text) {
        let start = text[..found.start()].rfind('\n').map_or(0, |at| at + 1);
        let before: String = text[start..found.start()].chars().take(300).collect();
        bail!("{place} holds a value that was sent: {before}<VALUE>");
    }
    Ok(())
}
