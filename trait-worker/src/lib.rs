//! The consumer service of Kith: takes events from the log, merges traits into profiles, and purges what is dead.
//!
//! It is a stateless applier (`trait-order.md` 4): order is in the stamps of the events, so they are applied in any order,
//! in parallel, and any number of times. The time of a purge is of no matter to that: a dead profile never lives again.
//! What must never happen here:
//!
//! - an offset that moves over a record whose traits, or whose dead letter, are not durable;
//! - a record that is put aside because something was out of reach;
//! - a question to a clock about the order of two writes, or an event that is dropped for being old;
//! - a call of a runtime: everything goes through the ports, so that a simulator runs this code as it stands;
//! - a key, a value or the bytes of a record in a log line, a span, a metric or an error.
//!
//! Start reading at `stages/mod.rs` for the way of a record, then `pipeline.rs` for what drives the stages, `ledger.rs` for
//! which offsets may be committed, and `budget.rs` for how much may be in flight.

use std::future::Future;

use kith_profiles::ports::{Clock, Database, DeadLetters, Ids, TraitLog, TraitSource};
use kith_profiles::purge::EndedStores;

mod account;
mod backoff;
mod budget;
mod error;
mod gauges;
mod handback;
mod invalid;
mod lag;
mod lane;
mod ledger;
#[cfg(feature = "letters")]
pub mod letters;
mod pipeline;
mod pulse;
mod settings;
mod stages;
mod trace;

pub use account::Summary;
pub use backoff::Backoff;
pub use error::{LedgerError, WorkerError};
pub use invalid::InvalidMax;
pub use pulse::{Pulse, WaitingFor};
pub use settings::Settings;

use pipeline::{Pipeline, Ports};
use pulse::OnPulse;

/// A worker, put together and not yet running.
#[derive(Debug)]
pub struct Worker<S, D, L, C, I> {
    source: S,
    ports: Ports<D, L, C, I>,
    settings: Settings,
    on_pulse: OnPulse,
}

impl<S, D, L, C, I> Worker<S, D, L, C, I>
where
    S: TraitSource,
    D: Database,
    L: DeadLetters + TraitLog,
    C: Clock,
    I: Ids,
{
    /// A worker over these ports.
    pub fn new(source: S, database: D, log: L, clock: C, ids: I, settings: Settings) -> Self {
        Self {
            source,
            ports: Ports {
                database,
                log,
                clock,
                ids,
                ended_stores: EndedStores::default(),
            },
            settings,
            on_pulse: OnPulse::default(),
        }
    }

    /// Tells somebody how the worker is, every [`Settings::tick`], from the worker's own task: it must not block.
    #[must_use]
    pub fn on_pulse(mut self, listener: impl Fn(Pulse) + Send + Sync + 'static) -> Self {
        self.on_pulse = OnPulse::new(listener);
        self
    }

    /// Works until `shutdown` completes, then finishes what is in flight within [`Settings::drain`], commits, and leaves the
    /// log within [`Settings::close`].
    ///
    /// An outage of the database, of the dead letters or of the log does not end it: it waits, and goes on by itself.
    /// Dropping the future instead is safe, too, and like a crash: records are read again.
    ///
    /// # Errors
    /// [`WorkerError`]: the process has to end. Nothing that was read is lost; only what was done is committed.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<Summary, WorkerError> {
        let Self {
            source,
            ports,
            settings,
            on_pulse,
        } = self;
        Pipeline::new(source, &ports, &settings, &on_pulse)
            .run(shutdown)
            .await
    }
}
