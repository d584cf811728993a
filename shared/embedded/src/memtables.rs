//! Memtables that fjall has done with, freed where nobody waits for it.
//!
//! Freeing a memtable of 12 MiB, row by row, takes tens of milliseconds. fjall does it in whichever thread comes by, the leader as well,
//! while it holds the lock that every reader and every commit takes. So each memtable has one more holder, who lets go of it last.

use std::any::Any;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use crate::layout::Space;

/// How often it is looked whether fjall has let go. It does when a table has what is in the memtable, and no reader is older than that.
const EVERY: Duration = Duration::from_millis(100);

/// A memtable, whose type fjall does not name.
pub(crate) type Memtable = Arc<dyn Any + Send + Sync>;

/// The memtables that are written to.
pub(crate) struct Active {
    held: [Option<Memtable>; Space::COUNT],
    to_freer: Sender<Memtable>,
}

/// Frees the others, until there is no [`Active`] any more.
pub(crate) struct Freer(Receiver<Memtable>);

impl Active {
    pub(crate) fn new() -> (Self, Freer) {
        let (to_freer, retired) = channel();
        let held = Default::default();
        (Self { held, to_freer }, Freer(retired))
    }

    /// Takes note of which memtable a keyspace writes to, after each commit.
    pub(crate) fn note(&mut self, space: Space, memtable: Memtable) {
        let held = &mut self.held[space.index()];
        let is_another = held
            .as_ref()
            .is_none_or(|held| !std::ptr::addr_eq(Arc::as_ptr(held), Arc::as_ptr(&memtable)));
        if is_another && let Some(before) = held.replace(memtable) {
            // Without a freer the engine is about to end, and nobody waits.
            drop(self.to_freer.send(before));
        }
    }
}

impl Freer {
    /// Runs until the leader is gone.
    pub(crate) fn run(self) {
        let mut retired = Vec::new();
        loop {
            let next = if retired.is_empty() {
                self.0.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                self.0.recv_timeout(EVERY)
            };
            match next {
                Ok(memtable) => retired.push(memtable),
                Err(RecvTimeoutError::Timeout) => retired.retain(|m| Arc::strong_count(m) > 1),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread::{self, ThreadId};

    use super::*;

    /// Says which thread freed it.
    struct Rows(mpsc::Sender<ThreadId>);

    impl Drop for Rows {
        fn drop(&mut self) {
            self.0.send(thread::current().id()).unwrap();
        }
    }

    #[test]
    fn the_freer_frees_what_is_out_of_use() {
        let (mut active, freer) = Active::new();
        let freer = thread::spawn(move || freer.run());
        let (freed, who) = mpsc::channel();
        let first: Memtable = Arc::new(Rows(freed.clone()));
        active.note(Space::Cells, Arc::clone(&first));
        active.note(Space::Cells, Arc::clone(&first));
        active.note(Space::Claims, Arc::new(Rows(freed.clone())));
        active.note(Space::Cells, Arc::new(Rows(freed)));
        assert!(
            who.recv_timeout(3 * EVERY).is_err(),
            "nothing is freed that is written to or held by somebody else"
        );
        drop(first);
        let by = who.recv_timeout(Duration::from_secs(10)).unwrap();
        assert_eq!(by, freer.thread().id());
        drop(active);
        freer.join().unwrap();
    }
}
