//! Consumer groups: who reads, and how far each has come.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::database::View;
use crate::error::ReadError;
use crate::group::Group;
use crate::layout::row::{Number, Row};
use crate::layout::{Space, key};

/// All groups of the traits topic. What is in the database, and what waits to be written.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    by_name: Mutex<HashMap<String, GroupState>>,
    /// Woken when a group loses its consumer.
    pub(crate) freed: Notify,
}

#[derive(Debug, Default)]
struct GroupState {
    /// Whether a consumer has it.
    taken: bool,
    /// Where it goes on, by partition, as it is stored.
    committed: BTreeMap<u16, u64>,
    /// Commits that were not written yet.
    pending: BTreeMap<u16, u64>,
    /// Whether a job that writes them waits for the leader.
    queued: bool,
}

impl Groups {
    /// Reads all groups.
    pub(crate) fn load(view: &View) -> Result<Self, ReadError> {
        let mut by_name: HashMap<String, GroupState> = HashMap::new();
        for row in view.range(Space::Groups, ..) {
            let (row_key, value) = row?;
            if *row_key == *key::ANCHOR {
                continue;
            }
            let corrupt = ReadError::row(Space::Groups);
            let (partition, name) = key::group_name(&row_key).map_err(&corrupt)?;
            let next = Number::decode(&value).map_err(&corrupt)?.0;
            by_name
                .entry(name.to_owned())
                .or_default()
                .committed
                .insert(partition, next);
        }
        Ok(Self {
            by_name: Mutex::new(by_name),
            freed: Notify::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, GroupState>> {
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, name: &str, f: impl FnOnce(&mut GroupState) -> T) -> T {
        let mut groups = self.lock();
        if let Some(state) = groups.get_mut(name) {
            return f(state);
        }
        f(groups.entry(name.to_owned()).or_default())
    }

    /// Takes a group for one consumer; false if another has it.
    pub(crate) fn take(&self, name: &str) -> bool {
        self.with(name, |state| !std::mem::replace(&mut state.taken, true))
    }

    /// Gives a group back.
    pub(crate) fn free(&self, name: &str) {
        self.with(name, |state| state.taken = false);
        self.freed.notify_waiters();
    }

    /// Notes a commit. True if a job has to be queued to write it: one at a time carries all that came meanwhile.
    pub(crate) fn note(&self, name: &str, commits: impl IntoIterator<Item = (u16, u64)>) -> bool {
        self.with(name, |state| {
            state.pending.extend(commits);
            !state.pending.is_empty() && !std::mem::replace(&mut state.queued, true)
        })
    }

    /// The job that [`Groups::note`] asked for was not taken.
    pub(crate) fn not_queued(&self, name: &str) {
        self.with(name, |state| state.queued = false);
    }

    /// Whether commits wait that no job will write.
    pub(crate) fn is_stuck(&self, name: &str) -> bool {
        self.with(name, |state| !state.queued && !state.pending.is_empty())
    }

    /// Stages what waits of a group.
    pub(crate) fn write(&self, name: &str, group: &mut Group<'_>) {
        self.with(name, |state| {
            state.queued = false;
            for (partition, next) in std::mem::take(&mut state.pending) {
                put(group, name, partition, next);
                state.committed.insert(partition, next);
            }
        });
    }

    /// Where a group goes on in each partition: where it committed, or else the first record that is there. Stages what is not
    /// stored yet, so that retention knows of the group from now on.
    pub(crate) fn positions(&self, name: &str, group: &mut Group<'_>) -> Vec<u64> {
        self.with(name, |state| {
            (0..group.log.partitions())
                .map(|partition| {
                    let start = group
                        .log
                        .ends(super::Topic::Traits, partition)
                        .map_or(0, |ends| ends.start);
                    if let Some(&next) = state.committed.get(&partition) {
                        return next.max(start);
                    }
                    put(group, name, partition, start);
                    state.committed.insert(partition, start);
                    start
                })
                .collect()
        })
    }

    /// Up to where every group has finished a partition. `None` while there is no group.
    pub(crate) fn finished(&self, partition: u16) -> Option<u64> {
        self.lock()
            .values()
            .map(|state| state.committed.get(&partition).copied().unwrap_or(0))
            .min()
    }

    /// Forgets a group. False if a consumer has it, or there is none of that name.
    pub(crate) fn forget(&self, name: &str, group: &mut Group<'_>) -> bool {
        let mut groups = self.lock();
        if groups.get(name).is_none_or(|state| state.taken) {
            return false;
        }
        for partition in groups
            .remove(name)
            .into_iter()
            .flat_map(|state| state.committed.into_keys())
        {
            group
                .staged
                .remove(Space::Groups, key::group(partition, name));
        }
        true
    }
}

fn put(group: &mut Group<'_>, name: &str, partition: u16, next: u64) {
    group
        .staged
        .put_row(Space::Groups, key::group(partition, name), &Number(next));
}
