//! The queue in front of the leader: bounded by number and by bytes, taken in groups.
//!
//! A full queue refuses at once. Waiting for room would only hide from the caller that its deadline is at stake.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::group::Group;
use kith_profiles::ports::Durability;

/// Gives a caller its answer.
pub(crate) type Answer = Box<dyn FnOnce() + Send>;

/// Something to be done by the leader.
pub(crate) struct Job {
    /// When its caller may be answered.
    pub(crate) durability: Durability,
    /// How much it holds on to while it waits.
    pub(crate) bytes: usize,
    /// Stages its writes, and says how to answer once they are committed.
    pub(crate) work: Box<dyn FnOnce(&mut Group<'_>) -> Answer + Send>,
}

/// Why a job was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Too much is waiting.
    Full,
    /// The engine is closing, or has failed.
    Closed,
}

/// Jobs in the order in which they came.
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    came: Condvar,
    jobs_max: usize,
    bytes_max: usize,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    bytes: usize,
    closed: bool,
    /// Whether the leader sleeps, and has not been woken: it is asked for by a call of the system, which a busy leader does not need.
    is_leader_asleep: bool,
}

/// What the leader takes at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GroupLimits {
    /// Jobs at most.
    pub(crate) jobs: usize,
    /// Bytes at most, but always one job.
    pub(crate) bytes: usize,
}

impl Queue {
    pub(crate) fn new(jobs_max: usize, bytes_max: usize) -> Self {
        Self {
            waiting: Mutex::default(),
            came: Condvar::new(),
            jobs_max,
            bytes_max,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a job over. One that is larger than the bound is taken when nothing else waits.
    pub(crate) fn push(&self, job: Job) -> Result<(), Refusal> {
        let mut waiting = self.lock();
        if waiting.closed {
            return Err(Refusal::Closed);
        }
        let full = waiting.jobs.len() >= self.jobs_max
            || waiting.bytes.saturating_add(job.bytes) > self.bytes_max;
        if full && !waiting.jobs.is_empty() {
            return Err(Refusal::Full);
        }
        waiting.bytes += job.bytes;
        waiting.jobs.push_back(job);
        let wake = std::mem::take(&mut waiting.is_leader_asleep);
        drop(waiting);
        if wake {
            self.came.notify_one();
        }
        Ok(())
    }

    /// Takes what waits, within limits. Waits for something up to `patience`, then gives nothing. `None` once the queue is
    /// closed and empty.
    pub(crate) fn take(&self, limits: GroupLimits, patience: Duration) -> Option<Vec<Job>> {
        let mut waiting = self.lock();
        if waiting.jobs.is_empty() && !waiting.closed {
            waiting.is_leader_asleep = true;
            waiting = self
                .came
                .wait_timeout_while(waiting, patience, |w| w.jobs.is_empty() && !w.closed)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            waiting.is_leader_asleep = false;
        }
        if waiting.jobs.is_empty() {
            return if waiting.closed {
                None
            } else {
                Some(Vec::new())
            };
        }
        let mut group = Vec::with_capacity(waiting.jobs.len().min(limits.jobs));
        let mut bytes = 0;
        while let Some(job) = waiting.jobs.front() {
            if group.len() >= limits.jobs || (!group.is_empty() && bytes + job.bytes > limits.bytes)
            {
                break;
            }
            bytes += job.bytes;
            group.extend(waiting.jobs.pop_front());
        }
        waiting.bytes -= bytes;
        Some(group)
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.lock().jobs.len()
    }

    /// Whether it takes no more jobs.
    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Takes no more jobs; those that wait are still done.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.came.notify_all();
    }

    /// Takes no more jobs and drops those that wait, which answers them.
    pub(crate) fn abandon(&self) {
        let mut waiting = self.lock();
        waiting.closed = true;
        waiting.bytes = 0;
        let jobs = std::mem::take(&mut waiting.jobs);
        drop(waiting);
        self.came.notify_all();
        drop(jobs);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(bytes: usize) -> Job {
        Job {
            durability: Durability::Ordered,
            bytes,
            work: Box::new(|_| Box::new(|| ())),
        }
    }

    const ALL: GroupLimits = GroupLimits {
        jobs: usize::MAX,
        bytes: usize::MAX,
    };

    fn sizes(group: Option<Vec<Job>>) -> Vec<usize> {
        group.unwrap().iter().map(|job| job.bytes).collect()
    }

    #[test]
    fn it_is_bounded_by_number_and_by_bytes() {
        let queue = Queue::new(2, 100);
        assert_eq!(queue.push(job(60)), Ok(()));
        assert_eq!(queue.push(job(60)), Err(Refusal::Full));
        assert_eq!(queue.push(job(40)), Ok(()));
        assert_eq!(queue.push(job(0)), Err(Refusal::Full));
        assert_eq!(sizes(queue.take(ALL, Duration::ZERO)), [60, 40]);
        assert_eq!(queue.push(job(1000)), Ok(()), "alone, a large one is taken");
    }

    #[test]
    fn groups_are_bounded_and_keep_the_order() {
        let queue = Queue::new(10, 1000);
        for bytes in [5, 6, 7, 8] {
            queue.push(job(bytes)).unwrap();
        }
        let by_bytes = GroupLimits {
            jobs: 10,
            bytes: 12,
        };
        assert_eq!(sizes(queue.take(by_bytes, Duration::ZERO)), [5, 6]);
        let by_number = GroupLimits { jobs: 1, bytes: 0 };
        assert_eq!(sizes(queue.take(by_number, Duration::ZERO)), [7]);
        assert_eq!(sizes(queue.take(ALL, Duration::ZERO)), [8]);
        assert_eq!(sizes(queue.take(ALL, Duration::ZERO)), [0usize; 0]);
    }

    #[test]
    fn closing_finishes_what_waits_and_takes_no_more() {
        let queue = Queue::new(10, 1000);
        queue.push(job(1)).unwrap();
        queue.close();
        assert_eq!(queue.push(job(1)), Err(Refusal::Closed));
        assert_eq!(sizes(queue.take(ALL, Duration::ZERO)), [1]);
        assert!(queue.take(ALL, Duration::ZERO).is_none());
    }

    #[test]
    fn a_leader_that_sleeps_is_woken_by_every_job_that_comes_alone() {
        const JOBS: usize = 4_000;
        let queue = Queue::new(10, 1000);
        let patience = Duration::from_secs(60);
        let (taken, done) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while let Some(jobs) = queue.take(ALL, patience) {
                    for _ in jobs {
                        taken.send(()).unwrap();
                    }
                }
            });
            for at in 0..JOBS {
                // The leader is on its way to sleep, or asleep.
                if at % 2 == 0 {
                    std::thread::yield_now();
                }
                queue.push(job(1)).unwrap();
                done.recv_timeout(patience / 2).expect("nobody was woken");
            }
            queue.close();
        });
    }
}
