//! The syncer: waits for the disk, so that the leader need not. One sync answers everybody who waits for one.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use metrics::histogram;

use crate::acknowledged::Acknowledged;
use crate::engine::Shared;
use crate::error::Failure;
use crate::inject::Injection;
use crate::journal_file::JournalSync;
use crate::queue::Answer;
use crate::seal::Tip;
use crate::telemetry;

/// What is put on disk, and looked after, at least this often: writes that nobody asked to be durable, too.
const IDLE: Duration = Duration::from_secs(1);
/// How long the leader may take for one group. fjall makes writers wait without end for a flush that has failed.
const STALLED: Duration = Duration::from_secs(60);

/// Answers that wait for the disk.
pub(crate) struct Pending {
    /// What must be on disk.
    pub(crate) tip: Tip,
    /// Whom to answer then.
    pub(crate) answers: Vec<Answer>,
}

/// The syncer's own state.
pub(crate) struct Syncer {
    shared: Arc<Shared>,
    from_leader: Receiver<Pending>,
    journal: JournalSync,
    acknowledged: Acknowledged,
    /// The last commit that is known to be on disk.
    synced: u64,
    /// The last commit that is on disk in the file of acknowledged ones.
    noted: u64,
}

impl Syncer {
    pub(crate) fn new(
        shared: Arc<Shared>,
        from_leader: Receiver<Pending>,
        journal: JournalSync,
        acknowledged: Acknowledged,
    ) -> Self {
        Self {
            shared,
            from_leader,
            journal,
            acknowledged,
            // Nothing is taken for granted: what was found at open may be in the system's memory only.
            synced: 0,
            noted: 0,
        }
    }

    /// Runs until the leader is gone.
    pub(crate) fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let result = catch_unwind(AssertUnwindSafe(|| self.work()))
            .unwrap_or_else(|_| Err(Failure::plain("sync: the syncer panicked")));
        if let Err(failure) = result {
            shared.failure.set(failure);
            shared.queue.abandon();
        }
        shared.stopped.send_replace(true);
    }

    fn work(&mut self) -> Result<(), Failure> {
        loop {
            match self.from_leader.recv_timeout(IDLE) {
                Ok(first) => {
                    let mut pending = vec![first];
                    pending.extend(self.from_leader.try_iter());
                    self.sync(pending)?;
                }
                Err(RecvTimeoutError::Timeout) => self.idle()?,
                Err(RecvTimeoutError::Disconnected) => {
                    return match self.shared.failure.get() {
                        Some(failure) => Err(failure.clone()),
                        None => self.rest(),
                    };
                }
            }
        }
    }

    fn sync(&mut self, pending: Vec<Pending>) -> Result<(), Failure> {
        if let Some(newest) = pending.iter().map(|p| &p.tip).max_by_key(|t| t.sequence) {
            let newest = *newest;
            self.reach(&newest)?;
        }
        for answer in pending.into_iter().flat_map(|p| p.answers) {
            answer();
        }
        self.watch_leader()
    }

    /// Puts a tip on disk, and notes it.
    fn reach(&mut self, tip: &Tip) -> Result<(), Failure> {
        if tip.sequence <= self.synced {
            return Ok(());
        }
        let began = Instant::now();
        let fails = self
            .shared
            .faults
            .take(|fault| (fault == Injection::SyncFails).then_some(()));
        let result = if fails.is_some() {
            Err(std::io::Error::other("injected"))
        } else {
            self.journal.sync()
        };
        result.map_err(|error| Failure::new("sync", error))?;
        histogram!(telemetry::SYNC_SECONDS).record(began.elapsed());
        self.shared.counters.syncs.fetch_add(1, Ordering::Relaxed);
        self.synced = tip.sequence;
        self.acknowledged
            .write(tip)
            .map_err(|error| Failure::new("note of the last acknowledged commit", error))
    }

    /// Nothing was asked for: does what nobody waits for.
    fn idle(&mut self) -> Result<(), Failure> {
        self.watch_leader()?;
        self.shared
            .store
            .check_health()
            .map_err(|error| Failure::new("background work of the storage engine", error))?;
        self.rest()
    }

    /// Puts everything on disk.
    fn rest(&mut self) -> Result<(), Failure> {
        let tip = *self
            .shared
            .tip
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.reach(&tip)?;
        if self.noted < self.synced {
            self.acknowledged
                .sync()
                .map_err(|error| Failure::new("note of the last acknowledged commit", error))?;
            self.noted = self.synced;
        }
        Ok(())
    }

    fn watch_leader(&self) -> Result<(), Failure> {
        let since = self.shared.busy_since.load(Ordering::Relaxed);
        let stalled = since > 0
            && self
                .shared
                .opened
                .elapsed()
                .saturating_sub(Duration::from_millis(since))
                > STALLED;
        if stalled {
            return Err(Failure::plain("commit: the storage engine hangs"));
        }
        Ok(())
    }
}
