//! The pipeline: one task that owns all state of a worker, and drives the stages.
//!
//! Each turn waits for one of four things, asked in this order. Whoever stands higher can only hold up what stands below,
//! so the order is an argument that nothing starves:
//!
//! 1. **The request to end**: happens once.
//! 2. **The tick** (commit, deadlines, lag): a few times a second, and does not wait for anything.
//! 3. **Finished work**, before new work: it frees memory and moves offsets. There is never more of it than the budget let
//!    in, and none is added while the next is not reached, so the log is heard of before long.
//! 4. **The next event of the log.** Asked for in every turn, also while all partitions are paused or the worker drains:
//!    that is what keeps the membership and brings rebalances. It is cancel safe, so losing to another arm loses nothing.
//!
//! Waiting between two tries is part of the work that is tried again (arm 3). Nothing here calls a runtime: time is the
//! `Clock` port, concurrency is a set of futures polled by this task, so a simulator runs it as it stands.
//!
//! `work.rs` has what is done with work, `changes.rs` what is done with the events of the log.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _, select_biased};
use kith_profiles::ports::{Clock, Database, DeadLetters, Ids, LogEvent, TraitLog, TraitSource};
use kith_profiles::purge::EndedStores;
use kith_runtime::metrics::names;
use metrics::counter;
use tracing::{info, warn};

use crate::account::{Outcome, Summary};
use crate::budget::{Budget, Limits};
use crate::error::WorkerError;
use crate::gauges;
use crate::handback::HandBacks;
use crate::invalid::InvalidWatch;
use crate::lag::LagReport;
use crate::lane::Lane;
use crate::ledger::Ledger;
use crate::pulse::{OnPulse, Pulse, WaitingFor};
use crate::settings::Settings;
use crate::stages::poll::Intake;
use crate::stages::{Otherwise, commit, poll};

mod changes;
mod work;

use work::{Finished, Flight, Job};

/// What the stages need of the world, beside the log.
#[derive(Debug)]
pub(crate) struct Ports<D, L, C, I> {
    pub(crate) database: D,
    /// Where dead letters are kept, and where a long purge asks for its next part.
    pub(crate) log: L,
    pub(crate) clock: C,
    pub(crate) ids: I,
    pub(crate) ended_stores: EndedStores,
}

/// All state of a worker.
pub(crate) struct Pipeline<'a, S, D, L, C, I> {
    source: S,
    ports: &'a Ports<D, L, C, I>,
    settings: &'a Settings,
    on_pulse: &'a OnPulse,
    intake: Intake,
    ledger: Ledger,
    budget: Budget,
    /// Writes and purges of profiles.
    writes: Lane<Job>,
    /// Dead letters.
    letters: Lane<Job>,
    /// Everything of both lanes that is under way.
    flights: FuturesUnordered<Flight<'a>>,
    hand_backs: HandBacks,
    invalid: InvalidWatch,
    lag: LagReport,
    summary: Summary,
    drain: Option<Drain>,
}

/// The worker ends: nothing is read any more, and what is in flight may finish until the deadline.
#[derive(Debug)]
struct Drain {
    deadline: Duration,
    because: Option<WorkerError>,
}

/// What a turn brought.
enum Turn {
    Shutdown,
    Tick,
    Finished(Finished),
    Event(Result<LogEvent, Otherwise>),
}

impl<'a, S, D, L, C, I> Pipeline<'a, S, D, L, C, I>
where
    S: TraitSource,
    D: Database,
    L: DeadLetters + TraitLog,
    C: Clock,
    I: Ids,
{
    pub(crate) fn new(
        source: S,
        ports: &'a Ports<D, L, C, I>,
        settings: &'a Settings,
        on_pulse: &'a OnPulse,
    ) -> Self {
        Self {
            source,
            ports,
            settings,
            on_pulse,
            intake: Intake::default(),
            ledger: Ledger::default(),
            budget: Budget::new(Limits {
                records: settings.records_in_flight_max,
                bytes: settings.record_bytes_in_flight_max,
            }),
            writes: Lane::new(settings.writes_max),
            letters: Lane::new(settings.dead_letters_max),
            flights: FuturesUnordered::new(),
            hand_backs: HandBacks::default(),
            invalid: InvalidWatch::new(settings.invalid_max),
            lag: LagReport::default(),
            summary: Summary::default(),
            drain: None,
        }
    }

    /// Works until it is told to end and everything in flight is done, or until it cannot go on.
    pub(crate) async fn run(
        mut self,
        shutdown: impl Future<Output = ()>,
    ) -> Result<Summary, WorkerError> {
        let drained = self.turns(shutdown).await;
        let stopped = match drained {
            // Cut short or not, what the frontier passed is done.
            Ok(()) => {
                let committed = self.commit();
                let because = self.drain.take().and_then(|drain| drain.because);
                because.or(committed.err())
            }
            // Nothing more is committed behind a broken invariant or a broken engine. The log still sends on what was.
            Err(error) => Some(error),
        };
        self.leave(stopped).await
    }

    async fn turns(&mut self, shutdown: impl Future<Output = ()>) -> Result<(), WorkerError> {
        let (clock, every) = (&self.ports.clock, self.settings.tick);
        let mut shutdown = pin!(shutdown.fuse());
        let mut tick = pin!(clock.sleep(every).fuse());
        loop {
            self.start_work();
            self.hand_back().await?;
            self.gate()?;
            if self.is_drained() {
                return Ok(());
            }
            let turn = {
                let mut event = pin!(self.intake.next(&mut self.source, clock).fuse());
                select_biased! {
                    () = shutdown => Turn::Shutdown,
                    () = tick => Turn::Tick,
                    finished = self.flights.select_next_some() => Turn::Finished(finished),
                    event = event => Turn::Event(event),
                }
            };
            match turn {
                Turn::Shutdown => self.begin_drain(None),
                Turn::Tick => {
                    self.on_tick()?;
                    tick.set(clock.sleep(every).fuse());
                }
                Turn::Finished(finished) => self.on_finished(finished)?,
                Turn::Event(event) => self.on_event(event)?,
            }
        }
    }

    fn on_tick(&mut self) -> Result<(), WorkerError> {
        self.commit()?;
        let clock = &self.ports.clock;
        let (lags, now) = (self.source.lag(), clock.monotonic());
        self.lag.update(&self.ledger, &lags, clock.now().ok(), now);
        if self.intake.calmed_down(now, self.settings.retry.max) {
            poll_is_back();
        }
        let waiting_for = self.waiting_for();
        gauges::fill(&self.budget);
        gauges::waiting(waiting_for);
        self.on_pulse.tell(Pulse { waiting_for });
        Ok(())
    }

    fn waiting_for(&self) -> Option<WaitingFor> {
        if self.writes.is_troubled() {
            Some(WaitingFor::Database)
        } else if self.letters.is_troubled() {
            Some(WaitingFor::DeadLetters)
        } else if self.intake.is_troubled() {
            Some(WaitingFor::Log)
        } else {
            None
        }
    }

    fn commit(&mut self) -> Result<(), WorkerError> {
        let committed = commit::commit(&mut self.source, &mut self.ledger);
        self.next_time(commit::STAGE, committed)
    }

    /// Reading stops while there is too much in flight, and while a dependency is out of reach: behind a record that
    /// cannot be written no offset moves, and reading on would only fill the budget.
    fn gate(&mut self) -> Result<(), WorkerError> {
        let shut = self.drain.is_some()
            || self.budget.is_full()
            || self.writes.is_troubled()
            || self.letters.is_troubled();
        let gated = self
            .intake
            .gate(&mut self.source, shut, self.ledger.active());
        self.next_time(poll::STAGE, gated)
    }

    /// For what is tried again in the next turn or tick anyway.
    fn next_time(
        &mut self,
        stage: &'static str,
        result: Result<(), Otherwise>,
    ) -> Result<(), WorkerError> {
        match result {
            Ok(()) => Ok(()),
            Err(Otherwise::TryLater(cause)) => {
                let error: &(dyn std::error::Error + 'static) = &*cause;
                warn!(stage, error, "stage failed, tried again later");
                retried(stage);
                Ok(())
            }
            Err(Otherwise::Stop(error)) => Err(error),
            Err(Otherwise::BadRecord(_)) => unreachable!("only decode calls a record bad"),
        }
    }

    fn begin_drain(&mut self, because: Option<WorkerError>) {
        let deadline = self.ports.clock.monotonic() + self.settings.drain;
        let drain = self.drain.get_or_insert(Drain {
            deadline,
            because: None,
        });
        drain.because = drain.because.take().or(because);
    }

    fn is_drained(&self) -> bool {
        self.drain
            .as_ref()
            .is_some_and(|drain| self.is_idle() || self.ports.clock.monotonic() >= drain.deadline)
    }

    fn is_idle(&self) -> bool {
        self.writes.is_idle() && self.letters.is_idle()
    }

    /// Leaves the log, and closes the books.
    async fn leave(mut self, stopped: Option<WorkerError>) -> Result<Summary, WorkerError> {
        let assigned: Vec<_> = self.ledger.assigned().collect();
        for partition in assigned {
            let dropped = self.ledger.remove(partition);
            self.summary.ended(Outcome::Abandoned, dropped.open);
        }
        self.lag.clear();
        gauges::waiting(None);
        let Self {
            source,
            flights,
            summary,
            settings,
            ..
        } = self;
        // What was cut short in the middle may still land; it is repeated, and changes nothing then.
        drop(flights);
        if let Err(error) = source.close(settings.close).await {
            let error: &(dyn std::error::Error + 'static) = &error;
            warn!(
                error,
                "the log was left without its last commit, records will be read again"
            );
        }
        let Summary {
            read,
            applied,
            dead_lettered,
            abandoned,
        } = summary;
        info!(read, applied, dead_lettered, abandoned, "worker ended");
        stopped.map_or(Ok(summary), Err)
    }
}

fn poll_is_back() {
    info!(stage = poll::STAGE, "dependency is back");
}

fn retried(stage: &'static str) {
    counter!(names::RETRIES, "operation" => stage).increment(1);
}
