//! The leader: the one thread that writes. It takes what waits, stages it, commits it as one batch, and hands the answers that
//! need the disk to the syncer, so that the next commit does not wait for the disk.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use kith_profiles::ports::Durability;
use metrics::{gauge, histogram};

use crate::engine::Shared;
use crate::error::Failure;
use crate::group::Group;
use crate::inject::Injection;
use crate::log::retention;
use crate::log::state::LogState;
use crate::queue::{Answer, GroupLimits, Job};
use crate::retired::InUse;
use crate::seal::Tip;
use crate::staged::{Prepared, Staged};
use crate::syncer::Pending;
use crate::telemetry;
use crate::versions::Versions;

/// What shares one commit at most: enough to fill a sync, little enough that nobody waits long for the others.
const GROUP: GroupLimits = GroupLimits {
    jobs: 1024,
    bytes: 16 * 1024 * 1024,
};

/// How often the log is looked at for records to delete, and how often if it cannot be read.
const RETENTION_EVERY: Duration = Duration::from_secs(1);
const RETENTION_AFTER_TROUBLE: Duration = Duration::from_secs(60);

/// How often it is looked which tables there are, where something is written. fjall makes one version of them at a time, from what it
/// writes in tens of milliseconds.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// The leader's own state.
pub(crate) struct Leader {
    shared: Arc<Shared>,
    tip: Tip,
    log: LogState,
    to_syncer: SyncSender<Pending>,
    retain_at: Instant,
    /// The journals when they were looked at last.
    journals: usize,
    versions: Versions,
    in_use: InUse,
    /// When the tables are looked at next.
    look_at: Instant,
}

impl Leader {
    pub(crate) fn new(
        shared: Arc<Shared>,
        log: LogState,
        to_syncer: SyncSender<Pending>,
        in_use: InUse,
    ) -> Self {
        let tip = *shared.tip.lock().unwrap_or_else(PoisonError::into_inner);
        Self {
            shared,
            tip,
            log,
            to_syncer,
            retain_at: Instant::now(),
            journals: 1,
            versions: Versions::default(),
            in_use,
            look_at: Instant::now(),
        }
    }

    /// Runs until the queue is closed and empty, or something fails.
    pub(crate) fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let result = catch_unwind(AssertUnwindSafe(|| self.work()))
            .unwrap_or_else(|_| Err(Failure::plain("commit: the leader panicked")));
        if let Err(failure) = result {
            shared.failure.set(failure);
            shared.queue.abandon();
        }
    }

    fn work(&mut self) -> Result<(), Failure> {
        loop {
            let patience = self.retain_at.saturating_duration_since(Instant::now());
            let Some(jobs) = self.shared.queue.take(GROUP, patience) else {
                return Ok(());
            };
            // A failure of the syncer ends the leader, too: nothing may be acknowledged after it.
            if let Some(failure) = self.shared.failure.get() {
                return Err(failure.clone());
            }
            let now = self.shared.opened.elapsed().as_millis();
            self.shared.busy_since.store(
                u64::try_from(now).unwrap_or(u64::MAX).saturating_add(1),
                Ordering::Relaxed,
            );
            self.group(jobs)?;
            self.shared.busy_since.store(0, Ordering::Relaxed);
        }
    }

    /// Does a group of jobs, and answers those that need no disk.
    fn group(&mut self, jobs: Vec<Job>) -> Result<(), Failure> {
        let shared = Arc::clone(&self.shared);
        let began = Instant::now();
        let count = jobs.len();
        let mut group = Group {
            staged: Staged::new(&shared.store),
            log: &mut self.log,
            faults: &shared.faults,
            now: (shared.options.now)(),
        };
        let (mut ordered, mut durable): (Vec<Answer>, Vec<Answer>) = Default::default();
        for job in jobs {
            let answer = (job.work)(&mut group);
            match job.durability {
                Durability::Ordered => ordered.push(answer),
                Durability::Durable => durable.push(answer),
            }
        }
        if began >= self.look_at {
            self.look_at = began + LOOK_EVERY;
            shared.store.note_tables(&mut self.in_use, began);
        }
        if began >= self.retain_at {
            self.retain_at = began + retain(&shared, &mut group);
            release_journals(&shared, &mut self.journals, &mut self.versions)?;
        }
        if let Some(delay) = shared.faults.take(|fault| match fault {
            Injection::Delay(delay) => Some(delay),
            Injection::UnknownApplied
            | Injection::UnknownDropped
            | Injection::UnknownLate
            | Injection::SyncFails => None,
        }) {
            std::thread::park_timeout(delay);
        }
        group.staged.count(&mut self.versions);
        if let Some(prepared) = group.staged.prepare() {
            self.commit(prepared)?;
            histogram!(telemetry::COMMIT_SECONDS).record(began.elapsed());
            histogram!(telemetry::COMMIT_JOBS).record(u32::try_from(count).unwrap_or(u32::MAX));
        }
        shared
            .counters
            .jobs
            .fetch_add(count as u64, Ordering::Relaxed);
        gauge!(telemetry::QUEUE_JOBS).set(u32::try_from(shared.queue.len()).unwrap_or(u32::MAX));
        for answer in ordered {
            answer();
        }
        if durable.is_empty() {
            return Ok(());
        }
        let pending = Pending {
            tip: self.tip,
            answers: durable,
        };
        // A syncer that is gone has noted why.
        self.to_syncer
            .send(pending)
            .map_err(|_| Failure::plain("commit: the syncer ended"))
    }

    /// Commits what was staged, with its seal, and shows it to readers.
    fn commit(&mut self, prepared: Prepared) -> Result<(), Failure> {
        let store = &self.shared.store;
        self.tip = prepared
            .commit(store, &self.tip)
            .map_err(|error| Failure::new("commit", error))?;
        *self
            .shared
            .tip
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = self.tip;
        store.publish();
        store
            .rotate_full(&mut self.versions, &mut self.in_use)
            .map_err(|error| Failure::new("memtables", error))?;
        self.log.publish();
        self.shared.counters.commits.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Commits something before the thread starts.
    pub(crate) fn before_start(
        &mut self,
        work: impl FnOnce(&mut Group<'_>) + Send + 'static,
    ) -> Result<(), Failure> {
        self.group(vec![Job {
            durability: Durability::Ordered,
            bytes: 0,
            work: Box::new(|group| {
                work(group);
                Box::new(|| ())
            }),
        }])
    }
}

/// Once for each journal that has become full.
fn release_journals(
    shared: &Shared,
    seen: &mut usize,
    versions: &mut Versions,
) -> Result<(), Failure> {
    let journals = shared.store.journals();
    let more = journals > std::mem::replace(seen, journals.max(1));
    if !more {
        return Ok(());
    }
    shared
        .store
        .release_journals(versions)
        .map_err(|error| Failure::new("journals", error))
}

/// Stages a step of the log's retention, and says when to look again.
fn retain(shared: &Shared, group: &mut Group<'_>) -> Duration {
    let view = shared.store.view();
    match retention::step(&view, group, &shared.groups, &shared.options.retention) {
        Ok(true) => Duration::ZERO,
        Ok(false) => RETENTION_EVERY,
        Err(error) => {
            // Keeping too much is no reason to stop.
            tracing::error!(%error, "the log's old records cannot be read, so they are not deleted");
            RETENTION_AFTER_TROUBLE
        }
    }
}
