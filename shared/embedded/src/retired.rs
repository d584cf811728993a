//! What fjall has done with, let go of where nobody waits for it.
//!
//! Freeing a memtable of 12 MiB, row by row, takes tens of milliseconds, and so does the removal of the files of tables that a
//! compaction has replaced. fjall does both in whichever thread comes by, the leader as well, while it holds the lock that every
//! reader and every commit takes. So each memtable and each table has one more holder, who lets go of it last.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use crate::layout::Space;

/// How often it is looked whether fjall has let go of a memtable. It does when a table has what is in the memtable, and no reader is
/// older than that.
const EVERY: Duration = Duration::from_millis(100);
/// Versions of a keyspace's tables that are held. fjall lets go of one when it makes a second one after it.
const VERSIONS: usize = 4;
/// How long a version is held that is not the newest: the files of its tables take room on the disk.
const VERSION_FOR: Duration = Duration::from_secs(10);

/// A memtable, whose type fjall does not name.
pub(crate) type Memtable = Arc<dyn Any + Send + Sync>;

/// A version of a keyspace's tables, whose type fjall does not name.
pub(crate) type Tables = Box<dyn Any + Send>;

/// What is in use.
pub(crate) struct InUse {
    memtables: [Option<Memtable>; Space::COUNT],
    /// From the oldest to the newest.
    tables: [VecDeque<Version>; Space::COUNT],
    to_freer: Sender<Retired>,
}

struct Version {
    number: u64,
    seen_at: Instant,
    tables: Tables,
}

enum Retired {
    Memtable(Memtable),
    Tables(Tables),
}

/// Lets go of the rest, until there is no [`InUse`] any more.
pub(crate) struct Freer(Receiver<Retired>);

impl InUse {
    pub(crate) fn new() -> (Self, Freer) {
        let (to_freer, retired) = channel();
        let in_use = Self {
            memtables: Default::default(),
            tables: Default::default(),
            to_freer,
        };
        (in_use, Freer(retired))
    }

    /// Takes note of which memtable a keyspace writes to, after each commit.
    pub(crate) fn note_memtable(&mut self, space: Space, memtable: Memtable) {
        let held = &mut self.memtables[space.index()];
        let is_another = held
            .as_ref()
            .is_none_or(|held| !std::ptr::addr_eq(Arc::as_ptr(held), Arc::as_ptr(&memtable)));
        if is_another && let Some(before) = held.replace(memtable) {
            retire(&self.to_freer, Retired::Memtable(before));
        }
    }

    /// Takes note of the tables that a keyspace has now, by the number of their version.
    pub(crate) fn note_tables(
        &mut self,
        space: Space,
        number: u64,
        now: Instant,
        tables: impl FnOnce() -> Tables,
    ) {
        let held = &mut self.tables[space.index()];
        if held.back().is_none_or(|newest| newest.number != number) {
            held.push_back(Version {
                number,
                seen_at: now,
                tables: tables(),
            });
        }
        // A version's time begins when there is a newer one.
        let is_late = |next: &Version| now.duration_since(next.seen_at) > VERSION_FOR;
        let late = held.iter().skip(1).take_while(|next| is_late(next)).count();
        let too_many = held.len().saturating_sub(VERSIONS);
        for version in held.drain(..late.max(too_many)) {
            retire(&self.to_freer, Retired::Tables(version.tables));
        }
    }
}

fn retire(to_freer: &Sender<Retired>, retired: Retired) {
    // Without a freer the engine is about to end, and nobody waits.
    drop(to_freer.send(retired));
}

impl Freer {
    /// Runs until the leader is gone.
    pub(crate) fn run(self) {
        let mut memtables: Vec<Memtable> = Vec::new();
        loop {
            let next = if memtables.is_empty() {
                self.0.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                self.0.recv_timeout(EVERY)
            };
            match next {
                Ok(Retired::Memtable(memtable)) => memtables.push(memtable),
                Ok(Retired::Tables(tables)) => drop(tables),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            // Whatever came: tables may come more often than it times out.
            memtables.retain(|memtable| Arc::strong_count(memtable) > 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread::{self, ThreadId};

    use super::*;

    /// Says which thread let go of it.
    struct Rows(mpsc::Sender<ThreadId>);

    impl Drop for Rows {
        fn drop(&mut self) {
            self.0.send(thread::current().id()).unwrap();
        }
    }

    #[test]
    fn the_freer_frees_memtables_that_are_out_of_use() {
        let (mut in_use, freer) = InUse::new();
        let freer = thread::spawn(move || freer.run());
        let (freed, who) = mpsc::channel();
        let first: Memtable = Arc::new(Rows(freed.clone()));
        in_use.note_memtable(Space::Cells, Arc::clone(&first));
        in_use.note_memtable(Space::Cells, Arc::clone(&first));
        in_use.note_memtable(Space::Claims, Arc::new(Rows(freed.clone())));
        in_use.note_memtable(Space::Cells, Arc::new(Rows(freed)));
        assert!(
            who.recv_timeout(3 * EVERY).is_err(),
            "nothing is freed that is written to or held by somebody else"
        );
        drop(first);
        let by = who.recv_timeout(Duration::from_secs(10)).unwrap();
        assert_eq!(by, freer.thread().id());
        drop(in_use);
        freer.join().unwrap();
    }

    #[test]
    fn the_freer_frees_memtables_while_tables_keep_coming() {
        let (mut in_use, freer) = InUse::new();
        let freer = thread::spawn(move || freer.run());
        let (freed, who) = mpsc::channel();
        let first: Memtable = Arc::new(Rows(freed));
        in_use.note_memtable(Space::Cells, Arc::clone(&first));
        in_use.note_memtable(Space::Cells, Arc::new(()));
        let began = Instant::now();
        let mut held = Some(first);
        let by = (1..1_000).find_map(|number| {
            in_use.note_tables(Space::Cells, number, began, || Box::new(()));
            if number == 10 {
                drop(held.take());
            }
            who.recv_timeout(EVERY / 10).ok()
        });
        assert_eq!(by, Some(freer.thread().id()));
        drop(in_use);
        freer.join().unwrap();
    }

    #[test]
    fn the_freer_removes_tables_once_enough_newer_versions_came_or_time_has_passed() {
        let (mut in_use, freer) = InUse::new();
        let freer = thread::spawn(move || freer.run());
        let (removed, who) = mpsc::channel();
        let began = Instant::now();
        let mut note = |number: u64, after: Duration| {
            let removed = removed.clone();
            let tables = || Box::new(Rows(removed)) as Tables;
            in_use.note_tables(Space::Cells, number, began + after, tables);
        };
        for number in 1..=4 {
            note(number, Duration::ZERO);
            note(number, Duration::ZERO);
        }
        assert!(who.recv_timeout(EVERY).is_err(), "all four are held");
        note(5, Duration::ZERO);
        let by = who.recv_timeout(Duration::from_secs(10)).unwrap();
        assert_eq!(by, freer.thread().id());
        note(5, 2 * VERSION_FOR);
        for _ in 0..3 {
            who.recv_timeout(Duration::from_secs(10)).unwrap();
        }
        assert!(who.recv_timeout(EVERY).is_err(), "the newest is held");
        drop(in_use);
        freer.join().unwrap();
    }
}
