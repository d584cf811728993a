//! What the log says: records, and changes of ownership.

use std::pin::pin;

use futures_util::{FutureExt as _, StreamExt as _, select_biased};
use kith_domain::event::{Event, EventError};
use kith_profiles::error::PortError;
use kith_profiles::ports::{
    Clock, Database, DeadLetters, Ids, LogEvent, LogRecord, Partition, TraitLog, TraitSource,
};
use tracing::{info, warn};

use super::work::Job;
use super::{Pipeline, poll_is_back, retried};
use crate::account::Outcome;
use crate::error::WorkerError;
use crate::ledger::{Dropped, Position};
use crate::stages::apply::apply;
use crate::stages::dead_letter::Letter;
use crate::stages::decode::{Decoded, bytes_of, decode};
use crate::stages::purge::PurgeWork;
use crate::stages::{Otherwise, poll};
use crate::trace::Trace;

impl<S, D, L, C, I> Pipeline<'_, S, D, L, C, I>
where
    S: TraitSource,
    D: Database,
    L: DeadLetters + TraitLog,
    C: Clock,
    I: Ids,
{
    pub(super) fn on_event(
        &mut self,
        event: Result<LogEvent, Otherwise>,
    ) -> Result<(), WorkerError> {
        let event = match event {
            Ok(event) => event,
            Err(Otherwise::TryLater(cause)) => {
                self.poll_failed(&*cause);
                return Ok(());
            }
            Err(Otherwise::Stop(error)) => return Err(error),
            Err(Otherwise::BadRecord(_)) => unreachable!("only decode calls a record bad"),
        };
        if self.intake.succeeded() {
            poll_is_back();
        }
        match event {
            LogEvent::Records(records) => self.on_records(records)?,
            LogEvent::Assigned(partitions) => self.on_assigned(&partitions),
            LogEvent::Revoked(partitions) => self.on_revoked(&partitions),
            LogEvent::Lost(partitions) => self.on_lost(&partitions),
        }
        Ok(())
    }

    fn poll_failed(&mut self, error: &(dyn std::error::Error + 'static)) {
        let failures = self.intake.failed();
        if failures == 1 {
            warn!(
                stage = poll::STAGE,
                error, "the log is out of reach, asked again later"
            );
        }
        retried(poll::STAGE);
        let delay = self.settings.retry.delay(failures, 0);
        self.intake.wait_until(self.ports.clock.monotonic() + delay);
    }

    fn on_records(&mut self, records: Vec<LogRecord>) -> Result<(), WorkerError> {
        let mut decoded = Vec::with_capacity(records.len());
        for record in records {
            self.summary.read_one();
            if self.drain.is_some() {
                // Read before the pause took hold, or behind what ended the worker: left to whoever reads next.
                self.summary.ended(Outcome::Abandoned, 1);
                continue;
            }
            let position = self.ledger.admit(&record)?;
            let bytes = bytes_of(&record);
            self.budget.charge(bytes);
            let trace = Trace::of(&record, self.settings);
            match decode(&record) {
                Ok(Event::Purge(event)) => {
                    self.invalid.observe(false);
                    self.writes.push(Job::purge(PurgeWork {
                        event,
                        position,
                        bytes,
                        trace,
                    }));
                }
                Ok(Event::Traits(event)) => {
                    self.invalid.observe(false);
                    decoded.push(Decoded {
                        position,
                        event,
                        bytes,
                        trace,
                    });
                }
                Err(Otherwise::BadRecord(error)) => {
                    self.on_bad_record(position, record, error, bytes, trace);
                }
                Err(Otherwise::Stop(error)) => return Err(error),
                Err(Otherwise::TryLater(_)) => {
                    unreachable!("decode needs nothing that could be out of reach")
                }
            }
        }
        for write in apply(decoded) {
            self.writes.push(Job::write(write));
        }
        Ok(())
    }

    fn on_bad_record(
        &mut self,
        position: Position,
        record: LogRecord,
        error: EventError,
        bytes: usize,
        trace: Trace,
    ) {
        let reason = error.reason();
        trace.failed(reason);
        trace.scope(|| {
            let (partition, offset) = (position.partition.0, position.offset.as_i64());
            let topic = &self.settings.topic;
            warn!(topic, partition, offset, reason, "invalid record");
        });
        let letter = Letter {
            position,
            record,
            error,
            bytes,
            trace,
        };
        self.letters.push(Job::bury(letter));
        if self.invalid.observe(true)
            && let Some(max) = self.settings.invalid_max
        {
            // What is not on its way to the dead letters stays in the log: the frontier stops before it.
            self.take_back(|job, _| job.is_letter());
            self.begin_drain(Some(WorkerError::TooManyInvalid {
                records: max.records,
                window: max.window,
            }));
        }
    }

    fn on_assigned(&mut self, partitions: &[Partition]) {
        for partition in partitions {
            let dropped = self.ledger.assign(*partition);
            self.account_for(dropped);
            self.intake.forget(*partition);
            self.hand_backs.forget(*partition);
        }
    }

    fn on_revoked(&mut self, partitions: &[Partition]) {
        for partition in partitions {
            self.ledger.leave(*partition);
            self.intake.forget(*partition);
        }
        let deadline = self.ports.clock.monotonic() + self.settings.hand_back;
        self.hand_backs.add(partitions.iter().copied(), deadline);
    }

    fn on_lost(&mut self, partitions: &[Partition]) {
        for partition in partitions {
            self.hand_backs.forget(*partition);
        }
        self.give_up(partitions);
    }

    /// Hands back what is finished, or has no more time.
    pub(super) async fn hand_back(&mut self) -> Result<(), WorkerError> {
        loop {
            let now = self.ports.clock.monotonic();
            // Records that were left in the log on purpose are never finished, and hold nobody up.
            let over = self.drain.is_some() && self.is_idle();
            let due = self
                .hand_backs
                .take_due(now, |partition| over || self.ledger.is_idle(partition));
            let Some(partitions) = due else {
                return Ok(());
            };
            self.commit()?;
            let open = self.give_up(&partitions);
            if open > 0 {
                info!(
                    records = open,
                    "partitions are handed back with records in flight"
                );
            }
            self.release(&partitions).await?;
        }
    }

    /// Releases partitions; what is in flight of the others goes on meanwhile.
    async fn release(&mut self, partitions: &[Partition]) -> Result<(), WorkerError> {
        let mut landed = Vec::new();
        let released = {
            let mut release = pin!(self.source.release(partitions).fuse());
            loop {
                select_biased! {
                    released = release => break released,
                    finished = self.flights.select_next_some() => landed.push(finished),
                }
            }
        };
        for finished in landed {
            self.on_finished(finished)?;
        }
        match released {
            Ok(()) => Ok(()),
            Err(error @ PortError::Unavailable { .. }) => {
                let error: &(dyn std::error::Error + 'static) = &error;
                warn!(
                    error,
                    "partitions were handed back without their last commit"
                );
                Ok(())
            }
            Err(cause @ (PortError::Corrupt { .. } | PortError::Fatal { .. })) => {
                let stage = "release";
                Err(WorkerError::Engine { stage, cause })
            }
        }
    }

    /// These partitions are not ours any more. Gives the number of records that were in flight.
    fn give_up(&mut self, partitions: &[Partition]) -> usize {
        let mut open = 0;
        for partition in partitions {
            let dropped = self.ledger.remove(*partition);
            open += dropped.open;
            self.account_for(dropped);
            self.intake.forget(*partition);
        }
        self.take_back(|job, ledger| !job.positions().iter().any(|at| ledger.is_current(*at)));
        open
    }

    fn account_for(&mut self, dropped: Dropped) {
        self.summary.ended(Outcome::Abandoned, dropped.open);
        self.budget.refund_records(dropped.held);
    }
}
