//! The drivers' work for requests, all of it at once: what the servers give when no kind of work has them for itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use kith_tests::wire::Connection;

use super::Bare;
use super::cql::Kind;
use crate::calm::calm;
use crate::counted::{Counts, Work};
use crate::step_loop::closed_loop;

/// Something that is done for requests.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Step {
    Statement(Kind),
    Produce,
    Http,
}

/// How often each is done for a request.
#[derive(Debug, Clone, PartialEq)]
struct Shares(Vec<(Step, f64)>);

impl Shares {
    /// What no bare loop does is left out; the ceiling says that it is little.
    fn of(each: &Counts, identifiers: usize) -> Self {
        let steps = each.0.iter().filter_map(|(work, count)| {
            let step = match work {
                Work::Http => Step::Http,
                Work::Produce => Step::Produce,
                // Records come to the consumer that runs beside.
                Work::Consume => return None,
                Work::Statement { .. } => Step::Statement(Kind::of(work, identifiers)?),
            };
            Some((step, *count))
        });
        Self(steps.collect())
    }

    /// How often each is done for the request of this number, so that of any number of requests in a row the shares hold.
    fn of_request(&self, number: u64) -> impl Iterator<Item = Step> + '_ {
        self.0.iter().flat_map(move |(step, share)| {
            let until = |number: u64| (number as f64 * share).floor();
            let times = until(number + 1) - until(number);
            let done = (0..u32::MAX).take_while(move |done| f64::from(*done) < times);
            done.map(|_| *step)
        })
    }
}

impl Bare {
    /// Does what a request has done for it, one thing after another for each that asks, and consumes what is produced; how many
    /// requests' work is done a second.
    ///
    /// # Errors
    /// When something fails.
    pub async fn together(
        &self,
        each: &Counts,
        identifiers: usize,
        limit: Duration,
        body: &[u8],
    ) -> Result<f64> {
        calm(self.statements.session()).await?;
        let mut connections = Vec::new();
        for _ in 0..self.at_once {
            connections.push(Connection::open(self.server.address()).await?);
        }
        let shares = Arc::new(Shares::of(each, identifiers));
        let (statements, topic) = (Arc::clone(&self.statements), self.topic.records());
        let (request, next) = (Arc::<[u8]>::from(body), Arc::new(AtomicU64::new(0)));

        let is_over = Arc::new(AtomicBool::new(false));
        let consuming = self.topic.follow(Arc::clone(&is_over)).await?;
        let done = closed_loop(connections, limit, move |mut connection| {
            let (statements, topic) = (Arc::clone(&statements), topic.clone());
            let (shares, request) = (Arc::clone(&shares), Arc::clone(&request));
            let number = next.fetch_add(1, Ordering::Relaxed);
            async move {
                for step in shares.of_request(number) {
                    match step {
                        Step::Statement(kind) => statements.send_next(kind).await?,
                        Step::Produce => topic.produce_one().await?,
                        Step::Http => super::http::ask(&mut connection, &request).await?,
                    }
                }
                Ok((connection, Some(())))
            }
        });
        let done = done.await;
        is_over.store(true, Ordering::Relaxed);
        let (consumed, done) = (consuming.await??, done?);
        ensure!(consumed > 0, "nothing was consumed");
        Ok(done.rate())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_hold_over_any_number_of_requests() {
        let mut each = Counts::default();
        each.0.insert(Work::Http, 1.0);
        each.0.insert(Work::Consume, 1.0);
        each.0.insert(Work::statement("read", "node"), 2.5);
        each.0.insert(Work::statement("read_rows", "cells"), 0.25);
        let shares = Shares::of(&each, 2);
        let done: Vec<Step> = (0..8).flat_map(|n| shares.of_request(n)).collect();
        let times = |step| done.iter().filter(|one| **one == step).count();
        assert_eq!(times(Step::Http), 8);
        assert_eq!(times(Step::Statement(Kind::ReadNode)), 20);
        assert_eq!(times(Step::Statement(Kind::ReadRows(2))), 2);
        assert_eq!(done.len(), 30);
    }
}
