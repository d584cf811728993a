//! The workers of a run: how they come, what happens to them, and how they go.

use std::hash::Hash;

use super::{Faults, Run, STEPS_MAX};
use crate::consumers;
use crate::ports::lock;
use crate::topic::PARTITIONS;

/// A worker under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Working {
    task: usize,
    member: usize,
}

/// Workers at once.
const WORKERS: usize = 2;
/// In a thousand: how often a partition changes its owner at a step.
const REBALANCE_PERMILLE: u32 = 20;
/// In a thousand: how often a worker is given up at a step.
const WORKER_CRASH_PERMILLE: u32 = 10;
/// In a thousand: how often what workers committed is sent on at a step.
const FLUSH_PERMILLE: u32 = 100;
/// Steps after which nothing more happens to workers, so that they come to an end.
const TROUBLED_STEPS: usize = 150;

impl Run {
    /// Workers read the log to its end and leave it.
    pub(super) fn consume(&mut self) {
        for step in 0..STEPS_MAX {
            if !self.findings.is_empty() {
                return;
            }
            self.tend();
            self.settle();
            if lock(&self.world).topic.is_done() {
                return self.dismiss();
            }
            let mut faults = Faults::NONE;
            if step < TROUBLED_STEPS {
                self.trouble();
                faults.unknown = WORKER_CRASH_PERMILLE;
            }
            // Commits are sent on within a second.
            if step >= TROUBLED_STEPS || self.choices.chance(FLUSH_PERMILLE) {
                lock(&self.world).topic.flush_all();
            }
            if !self.moves(faults) {
                return;
            }
        }
        let finding = "the log is not read to its end";
        self.findings.push(finding.to_owned());
    }

    /// There are as many workers as there should be, and each partition is somebody's.
    pub(super) fn tend(&mut self) {
        let executor = &self.executor;
        self.workers
            .retain(|worker| executor.is_running(worker.task));
        while self.workers.len() < WORKERS {
            self.members += 1;
            let member = self.members;
            let task = consumers::start(&self.world, &mut self.executor, member);
            self.workers.push(Working { task, member });
        }
        let unowned = lock(&self.world).topic.unowned();
        for lane in unowned {
            let to = self.choices.below(self.workers.len());
            let to = self.workers[to].member;
            lock(&self.world).topic.assign(lane, to);
        }
    }

    /// What happens to workers: one crashes, or a partition goes to another one, asked back or taken away.
    pub(super) fn trouble(&mut self) {
        if self.choices.chance(WORKER_CRASH_PERMILLE) {
            let worker = self.workers[self.choices.below(self.workers.len())];
            self.note(|| format!("worker {} is given up", worker.member));
            (worker.member, "given up").hash(&mut self.schedule);
            self.executor.crash(worker.task);
        } else if self.choices.chance(REBALANCE_PERMILLE) {
            let lane = self.choices.below(PARTITIONS);
            let to = self.workers[self.choices.below(self.workers.len())].member;
            let is_asked = self.choices.below(2) == 0;
            self.note(|| {
                let how = if is_asked { "asked back" } else { "taken away" };
                format!("partition {lane} is {how} for worker {to}")
            });
            (lane, to, is_asked).hash(&mut self.schedule);
            let mut world = lock(&self.world);
            if is_asked {
                world.topic.ask_back(lane, to);
            } else {
                world.topic.assign(lane, to);
            }
        }
        self.tend();
    }

    /// Workers end as they are told to. What they left behind lands, or not.
    fn dismiss(&mut self) {
        lock(&self.world).topic.is_over = true;
        for _ in 0..STEPS_MAX {
            self.settle();
            let executor = &self.executor;
            self.workers
                .retain(|worker| executor.is_running(worker.task));
            if self.workers.is_empty() {
                lock(&self.world).topic.is_over = false;
                return self.land();
            }
            if !self.moves(Faults::NONE) {
                return;
            }
        }
        self.findings.push("a worker does not end".to_owned());
    }
}
