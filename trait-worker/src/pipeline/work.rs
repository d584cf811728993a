//! Work under way: started, finished, tried again.

use std::error::Error;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use kith_profiles::ports::{Clock, Database, DeadLetters, Ids, TraitLog, TraitSource};
use kith_profiles::purge::Purge;
use kith_runtime::metrics::names;
use metrics::counter;
use tracing::{info, warn};

use super::{Pipeline, Ports, retried};
use crate::account::Outcome;
use crate::error::WorkerError;
use crate::lane::Lane;
use crate::ledger::{Closed, Ledger, Position};
use crate::stages::Otherwise;
use crate::stages::apply::ProfileWrite;
use crate::stages::dead_letter::{self, Letter, bury};
use crate::stages::persist::{self, persist};
use crate::stages::purge::{self, PurgeWork, purge};
use crate::trace::Trace;

/// A piece of work under way.
pub(super) type Flight<'a> = BoxFuture<'a, Finished>;

/// A piece of work, and how often it failed.
#[derive(Debug)]
pub(super) struct Job {
    work: Work,
    failures: u32,
}

#[derive(Debug)]
enum Work {
    Write(Box<ProfileWrite>),
    Purge(Box<PurgeWork>),
    Bury(Box<Letter>),
}

/// One try of a piece of work has ended.
#[derive(Debug)]
pub(super) struct Finished {
    job: Job,
    result: Result<(), Otherwise>,
}

impl Job {
    pub(super) fn write(write: ProfileWrite) -> Self {
        Self {
            work: Work::Write(Box::new(write)),
            failures: 0,
        }
    }

    pub(super) fn purge(purge: PurgeWork) -> Self {
        Self {
            work: Work::Purge(Box::new(purge)),
            failures: 0,
        }
    }

    pub(super) fn bury(letter: Letter) -> Self {
        Self {
            work: Work::Bury(Box::new(letter)),
            failures: 0,
        }
    }

    /// The records that are done when this is.
    pub(super) fn positions(&self) -> &[Position] {
        match &self.work {
            Work::Write(write) => &write.positions,
            Work::Purge(purge) => std::slice::from_ref(&purge.position),
            Work::Bury(letter) => std::slice::from_ref(&letter.position),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match &self.work {
            Work::Write(write) => write.bytes,
            Work::Purge(purge) => purge.bytes,
            Work::Bury(letter) => letter.bytes,
        }
    }

    pub(super) fn is_letter(&self) -> bool {
        matches!(self.work, Work::Bury(_))
    }

    fn stage(&self) -> &'static str {
        match &self.work {
            Work::Write(_) => persist::STAGE,
            Work::Purge(_) => purge::STAGE,
            Work::Bury(_) => dead_letter::STAGE,
        }
    }

    fn trace(&self) -> &Trace {
        match &self.work {
            Work::Write(write) => &write.trace,
            Work::Purge(purge) => &purge.trace,
            Work::Bury(letter) => &letter.trace,
        }
    }

    /// Differs between the jobs of one worker, and between workers, which never hold the same partition.
    fn seed(&self) -> u64 {
        self.positions().first().map_or(0, |at| {
            let partition = u64::from(at.partition.0.unsigned_abs());
            (partition << 40) ^ at.offset.as_i64().unsigned_abs()
        })
    }
}

/// One try, after a wait.
fn fly<'a, D, L, C, I>(
    ports: &'a Ports<D, L, C, I>,
    topic: &'a str,
    wait: Duration,
    job: Job,
) -> Flight<'a>
where
    D: Database,
    L: DeadLetters + TraitLog,
    C: Clock,
    I: Ids,
{
    async move {
        if !wait.is_zero() {
            ports.clock.sleep(wait).await;
        }
        let result = match &job.work {
            Work::Write(write) => {
                let written = persist(&ports.database, &ports.clock, &ports.ended_stores, write);
                write.trace.around(written).await
            }
            Work::Purge(set) => {
                let ports = Purge {
                    database: &ports.database,
                    log: &ports.log,
                    clock: &ports.clock,
                    ids: &ports.ids,
                };
                let purged = purge(ports, set.event);
                set.trace.around(purged).await
            }
            Work::Bury(letter) => {
                let buried = bury(&ports.log, topic, letter);
                letter.trace.around(buried).await
            }
        };
        Finished { job, result }
    }
    .boxed()
}

impl<'a, S, D, L, C, I> Pipeline<'a, S, D, L, C, I>
where
    S: TraitSource,
    D: Database,
    L: DeadLetters + TraitLog,
    C: Clock,
    I: Ids,
{
    /// Starts whatever waits and has a place.
    pub(super) fn start_work(&mut self) {
        while let Some(job) = self.writes.start().or_else(|| self.letters.start()) {
            self.launch(Duration::ZERO, job);
        }
    }

    fn launch(&mut self, wait: Duration, job: Job) {
        let flight = fly(self.ports, &self.settings.topic, wait, job);
        self.flights.push(flight);
    }

    pub(super) fn on_finished(&mut self, finished: Finished) -> Result<(), WorkerError> {
        let Finished { job, result } = finished;
        match result {
            Ok(()) => self.done(job),
            Err(Otherwise::TryLater(cause)) => {
                self.try_later(job, &*cause);
                Ok(())
            }
            Err(Otherwise::Stop(error)) => Err(error),
            Err(Otherwise::BadRecord(_)) => unreachable!("only decode calls a record bad"),
        }
    }

    fn done(&mut self, job: Job) -> Result<(), WorkerError> {
        let outcome = match &job.work {
            Work::Write(_) | Work::Purge(_) => Outcome::Applied,
            Work::Bury(letter) => {
                let reason = letter.error.reason();
                counter!(names::DEAD_LETTERS, "reason" => reason).increment(1);
                Outcome::DeadLettered
            }
        };
        for position in job.positions() {
            match self.ledger.close(*position)? {
                Closed::Counted { passed } => {
                    self.summary.ended(outcome, 1);
                    self.budget.refund_records(passed);
                }
                // It was accounted for when its partition went.
                Closed::Stale => {}
            }
        }
        let stage = job.stage();
        if self.retire(job) {
            info!(stage, "dependency is back");
        }
        Ok(())
    }

    /// The same work again, after a wait, for as long as it takes; unless its records are somebody else's by now.
    fn try_later(&mut self, mut job: Job, cause: &(dyn Error + 'static)) {
        if !job.positions().iter().any(|at| self.ledger.is_current(*at)) {
            self.retire(job);
            return;
        }
        let stage = job.stage();
        retried(stage);
        // Whatever else fails while it lasts is the same failure.
        if job.failures == 0 && self.lane(&job).failing() {
            job.trace().scope(|| {
                warn!(
                    stage,
                    error = cause,
                    "dependency is out of reach, reading is paused and the work tried again"
                );
            });
        }
        job.failures = job.failures.saturating_add(1);
        let wait = self.settings.retry.delay(job.failures, job.seed());
        self.launch(wait, job);
    }

    /// Work is under way no more. True if that ends a trouble.
    fn retire(&mut self, job: Job) -> bool {
        self.budget.refund_bytes(job.bytes());
        self.lane(&job).ended(job.failures > 0)
    }

    /// Takes work back that waits and is not wanted any more. What is under way goes on.
    pub(super) fn take_back(&mut self, unwanted: impl Fn(&Job, &Ledger) -> bool) {
        for lane in [&mut self.writes, &mut self.letters] {
            for job in lane.take_if(|job| unwanted(job, &self.ledger)) {
                self.budget.refund_bytes(job.bytes());
            }
        }
    }

    fn lane(&mut self, job: &Job) -> &mut Lane<Job> {
        match &job.work {
            Work::Write(_) | Work::Purge(_) => &mut self.writes,
            Work::Bury(_) => &mut self.letters,
        }
    }
}
