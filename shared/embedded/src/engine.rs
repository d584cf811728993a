//! The engine: the handle that everybody clones, and the way of a write to the leader and back.

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use kith_domain::time::Micros;
use kith_profiles::error::PortError;
use kith_profiles::ports::Durability;
use tokio::sync::{oneshot, watch};

use crate::database::{Store, View};
use crate::disk::Room;
use crate::error::{Closed, Failure, FailureCell, NoRoom, OpenError, Overloaded};
use crate::group::Group;
use crate::inject::{Faults, Injection};
use crate::log::EmbeddedLog;
use crate::log::groups::Groups;
use crate::log::state::Heads;
use crate::options::Options;
use crate::queue::{Answer, Job, Queue, Refusal};
use crate::seal::Tip;

/// An open embedded engine: identity, cells, listing and control, and by [`Embedded::log`] the trait log.
///
/// Cheap to clone. The last clone to go (logs and sources count) closes the engine, and waits for it: for the disk, and for a
/// compaction that is under way, which can take seconds. [`Embedded::close`] puts everything on disk before, without
/// blocking, and says whether all went well.
#[derive(Clone)]
pub struct Embedded {
    pub(crate) engine: Arc<Engine>,
}

/// What the threads and the handles share.
pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) queue: Queue,
    pub(crate) failure: Arc<FailureCell>,
    pub(crate) faults: Faults,
    pub(crate) room: Room,
    pub(crate) groups: Groups,
    pub(crate) heads: Arc<Heads>,
    pub(crate) options: Options,
    /// Where the database stands: written by the leader, read by the syncer.
    pub(crate) tip: Mutex<Tip>,
    pub(crate) counters: Counters,
    /// When the leader began what it does, in milliseconds since the engine opened, plus one; 0 while it waits.
    pub(crate) busy_since: AtomicU64,
    pub(crate) opened: std::time::Instant,
    /// Set when both threads have ended.
    pub(crate) stopped: watch::Sender<bool>,
    /// The directory's lock, which goes with the last thread and handle.
    #[expect(dead_code, reason = "held, not read")]
    pub(crate) lock: std::fs::File,
}

/// What happened since the engine opened.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) jobs: AtomicU64,
    pub(crate) commits: AtomicU64,
    pub(crate) syncs: AtomicU64,
}

/// Numbers since the engine opened, for tests and for whoever wants to see how writes share their costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// Writes done.
    pub jobs: u64,
    /// Commits they shared.
    pub commits: u64,
    /// Syncs of the journal that durable ones shared.
    pub syncs: u64,
}

pub(crate) struct Engine {
    pub(crate) shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Embedded {
    /// Opens the engine in a directory, making it if there is nothing. Blocks: for some milliseconds when empty, and for the
    /// replay of the journal and the check of the files otherwise.
    ///
    /// # Errors
    /// [`OpenError`], which says which file and what can be done. Nothing was changed then.
    pub fn open(options: Options) -> Result<Self, OpenError> {
        crate::open::open(options)
    }

    pub(crate) fn new(shared: Arc<Shared>, threads: Vec<JoinHandle<()>>) -> Self {
        Self {
            engine: Arc::new(Engine {
                shared,
                threads: Mutex::new(threads),
            }),
        }
    }

    /// The trait log of the same database.
    #[must_use]
    pub fn log(&self) -> EmbeddedLog {
        EmbeddedLog::new(self.clone())
    }

    /// Ends when the engine has failed for good; never, if it does not. The process must end then: nothing is answered any more
    /// but `Fatal`.
    pub fn failed(&self) -> impl Future<Output = Failure> + Send + 'static {
        // Only this: whoever waits for a failure must not keep the directory from being closed.
        let failure = Arc::clone(&self.engine.shared.failure);
        async move { failure.wait().await }
    }

    /// Plans a fault.
    pub fn inject(&self, injection: Injection) {
        self.engine.shared.faults.add(injection);
    }

    /// What happened so far.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let counters = &self.engine.shared.counters;
        Statistics {
            jobs: counters.jobs.load(Ordering::Relaxed),
            commits: counters.commits.load(Ordering::Relaxed),
            syncs: counters.syncs.load(Ordering::Relaxed),
        }
    }

    /// The data directory.
    #[must_use]
    pub fn dir(&self) -> PathBuf {
        self.engine.shared.options.dir.clone()
    }

    /// Does what waits, puts everything on disk, and stops. Later calls are refused as unavailable; reads go on for as long
    /// as there are handles. The directory is free for another process once the last handle is gone.
    ///
    /// # Errors
    /// [`PortError::Fatal`] if the engine has failed: what was acknowledged as durable is safe even so.
    pub async fn close(&self) -> Result<(), PortError> {
        let shared = &self.engine.shared;
        shared.queue.close();
        let mut stopped = shared.stopped.subscribe();
        tokio::select! {
            biased;
            failure = shared.failure.wait() => Err(PortError::fatal("close", failure)),
            // The sender lives in `shared`.
            _ = stopped.wait_for(|stopped| *stopped) => Ok(()),
        }
    }

    /// The wall clock.
    pub(crate) fn now(&self) -> Micros {
        (self.engine.shared.options.now)()
    }

    pub(crate) fn view(&self) -> View {
        self.engine.shared.store.view()
    }

    /// Fails if the engine has failed, so that a process on its way out does not look healthy to readers.
    pub(crate) fn check(&self, operation: &'static str) -> Result<(), PortError> {
        self.engine
            .shared
            .failure
            .port(operation)
            .map_or(Ok(()), Err)
    }

    /// Has the leader do something, and waits until it is as durable as asked. Refused while the disk is short of room.
    pub(crate) async fn submit<T: Send + 'static>(
        &self,
        durability: Durability,
        bytes: usize,
        work: impl FnOnce(&mut Group<'_>) -> T + Send + 'static,
    ) -> Result<T, Unanswered> {
        if self.engine.shared.room.is_short() {
            return Err(Unanswered::NoRoom);
        }
        self.submit_from_reserve(durability, bytes, work).await
    }

    /// [`Embedded::submit`], whatever room there is: for the few bytes that say what was done, and for what makes room.
    pub(crate) async fn submit_from_reserve<T: Send + 'static>(
        &self,
        durability: Durability,
        bytes: usize,
        work: impl FnOnce(&mut Group<'_>) -> T + Send + 'static,
    ) -> Result<T, Unanswered> {
        let (sender, answer) = oneshot::channel();
        self.push(durability, bytes, move |group| {
            let result = work(group);
            Box::new(move || {
                // Nobody waits any more if this fails, which changes nothing of what was done.
                drop(sender.send(result));
            })
        })?;
        answer.await.map_err(|_| {
            let failure = self.engine.shared.failure.get().cloned();
            Unanswered::Failed(failure.unwrap_or(Failure::plain("the leader ended")))
        })
    }

    /// Has the leader do something, and does not wait. Never refused for want of room, so for a few bytes only.
    pub(crate) fn push(
        &self,
        durability: Durability,
        bytes: usize,
        work: impl FnOnce(&mut Group<'_>) -> Answer + Send + 'static,
    ) -> Result<(), Unanswered> {
        let shared = &self.engine.shared;
        let job = Job {
            durability,
            bytes,
            work: Box::new(work),
        };
        shared.queue.push(job).map_err(|refusal| {
            if let Some(failure) = shared.failure.get() {
                return Unanswered::Failed(failure.clone());
            }
            match refusal {
                Refusal::Full => Unanswered::Full,
                Refusal::Closed => Unanswered::Closed,
            }
        })
    }
}

/// Why a write has no answer of its own.
#[derive(Debug)]
pub(crate) enum Unanswered {
    /// It was not taken: the queue is full.
    Full,
    /// It was not taken: only the reserve is left of the disk.
    NoRoom,
    /// It was not taken: the engine is closed.
    Closed,
    /// The engine failed; it may have been done.
    Failed(Failure),
}

impl Unanswered {
    pub(crate) fn port(self, operation: &'static str) -> PortError {
        match self {
            Self::Full => PortError::unavailable(operation, Overloaded),
            Self::NoRoom => PortError::unavailable(operation, NoRoom),
            Self::Closed => PortError::unavailable(operation, Closed),
            Self::Failed(failure) => PortError::fatal(operation, failure),
        }
    }
}

impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embedded")
            .field("dir", &self.engine.shared.options.dir)
            .finish_non_exhaustive()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.shared.queue.close();
        if self.shared.failure.get().is_some() {
            // The leader may hang in a storage engine that is broken; the process is about to end, and must be able to.
            return;
        }
        let threads = std::mem::take(
            self.threads
                .get_mut()
                .unwrap_or_else(PoisonError::into_inner),
        );
        for thread in threads {
            // One that sleeps until it looks again need not.
            thread.thread().unpark();
            // A thread that panicked has noted its failure.
            drop(thread.join());
        }
    }
}

#[cfg(test)]
mod tests {
    use kith_domain::id::{DefinitionId, ProfileId, ProfileKey, StoreId};
    use kith_domain::traits::{CellBytes, TraitValue, TraitWrite};
    use kith_profiles::ports::{CellBatch, CellWrite, Cells as _, Durability};
    use uuid::Uuid;

    use super::*;
    use crate::layout::Space;
    use crate::versions::VERSIONS_MAX;

    fn open(dir: &tempfile::TempDir) -> Embedded {
        let now = Arc::new(|| Micros::from_micros(1));
        Embedded::open(Options::new(dir.path().join("data"), now)).unwrap()
    }

    /// Traits of one profile.
    fn batch(profile: u128, time: i64, traits: u128, value: &TraitValue) -> CellBatch {
        let value = CellBytes::from(&TraitWrite::Set(value.clone()));
        let definitions =
            (0..traits).map(|number| DefinitionId::from_uuid(Uuid::from_u128(number)));
        CellBatch {
            at: ProfileKey {
                store: StoreId::from_uuid(Uuid::from_u128(1)),
                profile: ProfileId::from_uuid(Uuid::from_u128(profile)),
            },
            time: Micros::from_micros(time),
            writes: definitions
                .map(|definition| CellWrite::Trait(definition, value.clone()))
                .collect(),
        }
    }

    /// fjall's worker must not be what this waits for: it may be busy with a compaction.
    #[tokio::test]
    async fn no_commit_leaves_more_in_memory_than_a_keyspace_may_hold() {
        let dir = tempfile::tempdir().unwrap();
        let engine = open(&dir);
        let value = TraitValue::String("v".repeat(1024 * 1024));
        for number in 0..64 {
            let batch = batch(number, 1, 1, &value);
            engine.write(&[batch], Durability::Ordered).await.unwrap();
            for (space, held) in engine.engine.shared.store.in_memory() {
                assert!(held <= space.memtable_bytes(), "{space:?} holds {held}");
            }
        }
        engine.close().await.unwrap();
    }

    /// What is held of somebody who is updated again and again is what a scan of them passes.
    #[tokio::test]
    async fn versions_of_one_profile_do_not_pile_up_in_memory() {
        const ROWS: u64 = 512;
        let dir = tempfile::tempdir().unwrap();
        let engine = open(&dir);
        let held = || engine.engine.shared.store.in_memory()[Space::Cells.index()].1;
        let batches_max = u64::from(VERSIONS_MAX) / ROWS + 1;
        let mut of_one = 0;
        for time in 1..=64 {
            let batch = batch(1, time, u128::from(ROWS), &TraitValue::Boolean(true));
            engine.write(&[batch], Durability::Ordered).await.unwrap();
            if time == 1 {
                of_one = held();
            }
            assert!(held() <= batches_max * of_one * 11 / 10, "{}", held());
        }
        assert!(of_one > 0);
        engine.close().await.unwrap();
    }
}
