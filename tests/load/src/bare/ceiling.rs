//! From rates to a ceiling: if nothing but the servers' work took time, a request would take the sum of its shares.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};

use crate::counted::{Counts, Work};

/// The part of a request's work that may have no rate. Left out, it makes a ceiling higher.
const UNKNOWN_PART: f64 = 0.02;
/// Tables that are read by the clock, or once by a process, however many requests there are. Left out, too.
const NOT_OF_REQUESTS: [&str; 2] = ["store_control", "listing_bucket"];

/// How often a second each kind of work can be done when nothing else is, by the number of identifiers where that is part of it.
#[derive(Debug, Clone, Default)]
pub struct Rates(pub BTreeMap<(Work, Option<usize>), f64>);

impl Rates {
    fn of(&self, work: &Work, identifiers: usize) -> Option<f64> {
        let of = |identifiers| self.0.get(&(work.clone(), identifiers)).copied();
        of(Some(identifiers)).or_else(|| of(None))
    }
}

/// 1 / sum(n_i / R_i): requests a second, of those that have `each` done for them and carry so many identifiers.
///
/// # Errors
/// When more than a little of the work has no rate.
pub fn ceiling(each: &Counts, rates: &Rates, identifiers: usize) -> Result<f64> {
    let (mut seconds, mut all, mut unknown) = (0.0, 0.0, Vec::new());
    let mut left_out = 0.0;
    for (work, count) in each.0.iter().filter(|(work, _)| is_of_requests(work)) {
        all += count;
        match rates.of(work, identifiers) {
            Some(rate) => seconds += count / rate,
            None => {
                left_out += count;
                unknown.push((work.name(), *count));
            }
        }
    }
    ensure!(
        left_out <= UNKNOWN_PART * all,
        "no bare loop does this work: {unknown:?}"
    );
    Ok(1.0 / seconds)
}

fn is_of_requests(work: &Work) -> bool {
    match work {
        Work::Statement { collection, .. } => !NOT_OF_REQUESTS.contains(&collection.as_str()),
        Work::Http | Work::Produce | Work::Consume => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates() -> Rates {
        let read = Work::statement("read", "claim");
        let batch = Work::statement("put_batch", "cells");
        let rates = [
            ((Work::Http, None), 10_000.0),
            ((read, None), 1_000.0),
            ((batch.clone(), Some(1)), 500.0),
            ((batch, Some(2)), 250.0),
        ];
        Rates(rates.into())
    }

    #[test]
    fn a_ceiling_is_what_is_left_when_the_shares_are_added_up() {
        let mut each = Counts::default();
        each.0.insert(Work::Http, 1.0);
        each.0.insert(Work::statement("read", "claim"), 2.0);
        each.0.insert(Work::statement("put_batch", "cells"), 1.0);
        let close = |found: f64, expected: f64| (found - expected).abs() < 1e-6;
        let one = ceiling(&each, &rates(), 1).unwrap();
        assert!(close(one, 1.0 / (0.0001 + 0.002 + 0.002)), "{one}");
        let two = ceiling(&each, &rates(), 2).unwrap();
        assert!(close(two, 1.0 / (0.0001 + 0.002 + 0.004)), "{two}");
    }

    #[test]
    fn work_without_a_rate_is_told() {
        let mut each = Counts::default();
        each.0.insert(Work::Http, 1.0);
        each.0.insert(Work::statement("read", "operation"), 0.01);
        assert!(ceiling(&each, &rates(), 1).is_ok());
        each.0.insert(Work::statement("read", "store_control"), 1.0);
        assert!(ceiling(&each, &rates(), 1).is_ok());
        each.0.insert(Work::statement("kill", "node"), 1.0);
        let error = ceiling(&each, &rates(), 1).unwrap_err().to_string();
        assert!(error.contains("node_kill"), "{error}");
    }
}
