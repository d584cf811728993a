//! What is said over the socket: one JSON text a line, the question first, then answers until the last one.

use std::path::{Path, PathBuf};

use kith_embedded::Copied;
use serde::{Deserialize, Serialize};

/// The name of the socket in the data directory.
const NAME: &str = "socket";
/// No question and no answer is longer.
pub(super) const LINE_BYTES_MAX: u64 = 64 * 1024;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) enum Question {
    /// A backup in this directory; the path is absolute, because the other side has a working directory of its own.
    Backup(PathBuf),
    /// What this command line asks about dead letters, the name of the program first.
    DeadLetters(Vec<String>),
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) enum Answer {
    /// So much was copied so far.
    Copied(Amount),
    /// The backup is whole, and on disk. The last answer.
    Done(Amount),
    /// It was not done, and why. The last answer.
    Failed(String),
    /// Something to be printed as it is; a long line comes in pieces.
    Text(String),
    /// Everything was printed. The last answer.
    Told,
}

/// Bytes of a piece of text at most: escaped, it fits into a line.
const TEXT_BYTES_MAX: usize = 8 * 1024;

/// A line to be printed, in pieces.
pub(super) fn texts(mut line: String) -> impl Iterator<Item = Answer> {
    line.push('\n');
    let mut rest = line;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut end = TEXT_BYTES_MAX.min(rest.len());
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        let behind = rest.split_off(end);
        Some(Answer::Text(std::mem::replace(&mut rest, behind)))
    })
}

/// How much was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Amount {
    pub(super) rows: u64,
    pub(super) bytes: u64,
}

impl From<Copied> for Amount {
    fn from(copied: Copied) -> Self {
        Self {
            rows: copied.rows,
            bytes: copied.bytes,
        }
    }
}

impl From<Amount> for Copied {
    fn from(amount: Amount) -> Self {
        let mut copied = Self::default();
        copied.rows = amount.rows;
        copied.bytes = amount.bytes;
        copied
    }
}

/// Where the socket of a data directory is.
pub(super) fn place(data: &Path) -> PathBuf {
    data.join(NAME)
}

/// A message as its line.
pub(super) fn line(message: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_comes_in_pieces_that_fit() {
        for text in ["\u{1}".repeat(20_000), "é😀".repeat(9_000), String::new()] {
            let mut told = String::new();
            for piece in texts(text.clone()) {
                let line = line(&piece).unwrap();
                assert!(u64::try_from(line.len()).unwrap() <= LINE_BYTES_MAX);
                let Answer::Text(piece) = piece else {
                    panic!("{piece:?}");
                };
                told.push_str(&piece);
            }
            assert_eq!(told, text + "\n");
        }
    }

    #[test]
    fn messages_are_lines_and_read_as_they_were_written() {
        let question = Question::Backup("/backups/today".into());
        let text = line(&question).unwrap();
        assert_eq!(text, b"{\"backup\":\"/backups/today\"}\n");
        assert_eq!(serde_json::from_slice::<Question>(&text).unwrap(), question);

        let amount = Amount { rows: 1, bytes: 2 };
        for answer in [
            Answer::Copied(amount),
            Answer::Done(amount),
            Answer::Failed("two\nlines".into()),
            Answer::Text("a line\n".into()),
            Answer::Told,
        ] {
            let text = line(&answer).unwrap();
            assert_eq!(text.iter().filter(|byte| **byte == b'\n').count(), 1);
            assert_eq!(serde_json::from_slice::<Answer>(&text).unwrap(), answer);
        }
    }
}
