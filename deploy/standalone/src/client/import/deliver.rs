//! One batch on its way: sent until every row of it is accepted or refused.

use std::cell::Cell;
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use reqwest::Method;
use tokio::time::{Instant, sleep};

use super::batch::Batch;
use crate::client::failure::Failure;
use crate::client::http::{Answer, Http};

/// How long the service may go on with a request that it answered 503 or not at all: two of its deadlines, and some.
const SETTLES_IN: Duration = Duration::from_secs(6);
/// Between two tries, where the answer does not say.
const PAUSE: Duration = Duration::from_secs(1);
/// A batch that takes no longer may grow.
const QUICK: Duration = Duration::from_millis(800);
/// A batch is made no smaller than this for being slow.
const ROWS_MIN: usize = 20;

/// How a batch ended.
#[derive(Debug, Default)]
pub(super) struct Delivered {
    /// Rows that are in.
    pub(super) accepted: u64,
    /// Rows that are not.
    pub(super) refused: Vec<Refused>,
    /// Until when an earlier try of the same rows may still write; nothing newer about them may be sent before.
    pub(super) settles_at: Option<Instant>,
}

/// A row that is not imported.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused {
    /// The line in which it begins.
    pub(super) line: u64,
    /// What is wrong with it, without its values.
    pub(super) reason: String,
}

/// How many rows are sent together: fewer where the service is slow, so that a batch is done within its deadline.
#[derive(Debug)]
pub(super) struct Pace {
    rows: Cell<usize>,
    rows_max: usize,
}

impl Pace {
    pub(super) fn new(rows_max: usize) -> Self {
        Self {
            rows: Cell::new(rows_max),
            rows_max,
        }
    }

    pub(super) fn rows(&self) -> usize {
        self.rows.get()
    }

    fn done(&self, rows: usize, took: Duration) {
        if took < QUICK && rows >= self.rows.get() {
            let more = self.rows.get() + self.rows.get() / 4 + 1;
            self.rows.set(more.min(self.rows_max));
        }
    }

    fn failed(&self, rows: usize) {
        let fewer = (rows / 2).max(ROWS_MIN).min(self.rows_max);
        self.rows.set(self.rows.get().min(fewer));
    }
}

/// Sends a batch.
///
/// # Errors
/// [`Failure`]: what no other try makes good, or no answer for `patience`. Some rows may be in.
pub(super) async fn deliver(
    http: &Http,
    batch: Batch,
    pace: &Pace,
    patience: Duration,
) -> Result<Delivered, Failure> {
    let mut delivered = Delivered::default();
    let mut left = VecDeque::from([batch]);
    let mut heard = Instant::now();
    // One part after the other: they may be about one person.
    while let Some(batch) = left.pop_front() {
        if batch.is_empty() {
            continue;
        }
        let began = Instant::now();
        let answer = http
            .profiles(Method::PUT, &["Bulk"], Some(batch.body()))
            .await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(silent @ Failure::Unavailable(_)) => {
                delivered.settles_at = Some(Instant::now() + SETTLES_IN);
                again(heard, patience, silent, PAUSE).await?;
                left.push_front(batch);
                continue;
            }
            Err(failure) => return Err(failure),
        };
        match answer.status {
            200..=299 => {
                heard = Instant::now();
                pace.done(batch.len(), began.elapsed());
                delivered.accepted += batch.len() as u64;
            }
            400 | 413 => {
                heard = Instant::now();
                for part in mended(batch, &answer, &mut delivered.refused)
                    .into_iter()
                    .rev()
                {
                    left.push_front(part);
                }
            }
            429 | 500.. => {
                let wait = answer.retry_after.unwrap_or(PAUSE);
                // Of a rate limit it is certain that nothing was done.
                if answer.status != 429 {
                    delivered.settles_at = Some(Instant::now() + SETTLES_IN);
                    pace.failed(batch.len());
                }
                again(heard, patience, answer.failure(), wait).await?;
                let parts: Vec<Batch> = match answer.status {
                    // It was slow, or it met others: what is in already is quick the second time.
                    503 if batch.len() > ROWS_MIN => batch.halves().into(),
                    _ => vec![batch],
                };
                for part in parts.into_iter().rev() {
                    left.push_front(part);
                }
            }
            _ => return Err(answer.failure()),
        }
    }
    Ok(delivered)
}

/// Waits for another try of what may have been done, or not, or is still under way.
async fn again(
    heard: Instant,
    patience: Duration,
    failure: Failure,
    wait: Duration,
) -> Result<(), Failure> {
    if heard.elapsed() + wait > patience {
        return Err(failure);
    }
    sleep(wait).await;
    Ok(())
}

/// What is left to be sent of a batch that was answered 400 or 413. One bad row refuses a batch: those that the answer names
/// are put aside, and where it names none the halves are tried.
fn mended(batch: Batch, answer: &Answer, refused: &mut Vec<Refused>) -> Vec<Batch> {
    let mut places = BTreeSet::new();
    for (field, reason) in answer.faults() {
        let Some((place, field)) = place_of(field) else {
            continue;
        };
        // The first fault of a row is told; they come in order.
        if let (Some(line), true) = (batch.line(place), places.insert(place)) {
            let reason = format!("{field} {reason}").trim_start().to_owned();
            refused.push(Refused { line, reason });
        }
    }
    places.retain(|place| *place < batch.len());
    if !places.is_empty() {
        return vec![batch.without(&places)];
    }
    if batch.len() > 1 {
        return batch.halves().into();
    }
    let reason = answer.body["message"].as_str().unwrap_or("is refused");
    refused.extend(batch.line(0).map(|line| Refused {
        line,
        reason: reason.to_owned(),
    }));
    Vec::new()
}

/// The item that a field such as `profiles[3].traits.Contact.email` is of, and what it is there.
fn place_of(field: &str) -> Option<(usize, &str)> {
    let (place, rest) = field.strip_prefix("profiles[")?.split_once(']')?;
    let rest = rest.trim_start_matches('.');
    let rest = rest.strip_prefix("traits.").unwrap_or(rest);
    Some((place.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::client::import::row::Row;

    fn batch(lines: std::ops::Range<u64>) -> Batch {
        let row = |line| Row {
            line,
            item: "{}".to_owned(),
            keys: vec![line],
        };
        lines.map(row).collect()
    }

    fn answer(fields: &[&str]) -> Answer {
        let errors: Vec<_> = fields
            .iter()
            .map(|field| json!({"field": field, "reason": "is wrong"}))
            .collect();
        Answer {
            status: 400,
            text: String::new(),
            body: json!({"message": "No", "details": {"errors": errors}}),
            retry_after: None,
            canonical: None,
            operation: None,
        }
    }

    #[test]
    fn rows_that_are_named_are_put_aside_once() {
        let fields = [
            "profiles[1].traits.Contact.email",
            "profiles[1].traits.Contact.phone",
            "profiles[3].traits",
            "profiles[9].traits.Contact.email",
            "other",
        ];
        let mut refused = Vec::new();
        let left = mended(batch(10..14), &answer(&fields), &mut refused);
        assert_eq!(left, [batch(10..14).without(&BTreeSet::from([1, 3]))]);
        let told: Vec<_> = refused
            .iter()
            .map(|one| (one.line, one.reason.as_str()))
            .collect();
        assert_eq!(
            told,
            [(11, "Contact.email is wrong"), (13, "traits is wrong")]
        );
    }

    #[test]
    fn a_batch_in_which_no_row_is_named_is_searched_by_halves() {
        let mut refused = Vec::new();
        let left = mended(batch(0..4), &answer(&["profiles[4].traits"]), &mut refused);
        assert_eq!(left, [batch(0..2), batch(2..4)]);
        assert!(refused.is_empty());
        assert!(mended(batch(7..8), &answer(&[]), &mut refused).is_empty());
        assert_eq!(
            refused,
            [Refused {
                line: 7,
                reason: "No".to_owned()
            }]
        );
    }

    #[test]
    fn a_slow_service_gets_fewer_rows_and_a_quick_one_more_again() {
        let pace = Pace::new(1000);
        pace.failed(1000);
        assert_eq!(pace.rows(), 500);
        pace.failed(30);
        assert_eq!(pace.rows(), ROWS_MIN);
        pace.done(ROWS_MIN, QUICK);
        assert_eq!(pace.rows(), ROWS_MIN);
        for _ in 0..100 {
            pace.done(pace.rows(), Duration::ZERO);
        }
        assert_eq!(pace.rows(), 1000);
        let small = Pace::new(5);
        small.failed(5);
        assert_eq!(small.rows(), 5);
    }
}
