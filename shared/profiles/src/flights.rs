//! One flight an identifier: parallel requests for the same identifiers share one resolve.
//!
//! A hot key collapses under parallel conditional statements (`engineering.md` 3.1), so within a process the requests of
//! one identifier go one after another, and those that wait for the same identifiers go as one. A request joins only a
//! flight that has not sent its first read: whatever a flight reads was read after each of its requests arrived
//! (`trait-order.md` R1).

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use kith_domain::identifier::ClaimKey;

/// Flights by their keys, and what keeps flights of a common key apart.
#[derive(Debug)]
pub(crate) struct Flights<T: Clone + 'static> {
    inner: Arc<Inner<T>>,
}

#[derive(Debug)]
struct Inner<T: Clone + 'static> {
    /// Flights that have not sent their first read. Weak: a flight lives as long as one of its requests waits.
    gathering: Mutex<HashMap<FlightKey, WeakShared<BoxFuture<'static, T>>>>,
    /// One lock a key in use; held by the flight that is under way.
    locks: Mutex<HashMap<ClaimKey, Arc<async_lock::Mutex<()>>>>,
}

/// What a flight is for: its keys in order, and the version of the settings they were made under.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct FlightKey {
    keys: Arc<[ClaimKey]>,
    settings_version: u32,
}

impl FlightKey {
    /// A flight for these keys, in any order.
    pub(crate) fn new(mut keys: Vec<ClaimKey>, settings_version: u32) -> Self {
        keys.sort_unstable();
        Self {
            keys: keys.into(),
            settings_version,
        }
    }
}

impl<T: Clone + Send + Sync + 'static> Flights<T> {
    pub(crate) fn new() -> Self {
        Self {
            inner: Arc::new(Inner {
                gathering: Mutex::default(),
                locks: Mutex::default(),
            }),
        }
    }

    /// Joins the flight that gathers for `key`, or opens one, which will do `work`.
    pub(crate) fn join<F>(&self, key: FlightKey, work: F) -> Shared<BoxFuture<'static, T>>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut gathering = lock(&self.inner.gathering);
        if let Some(flight) = gathering.get(&key).and_then(WeakShared::upgrade) {
            return flight;
        }
        let inner = Arc::clone(&self.inner);
        let own = key.clone();
        // Apart: a future that awaits what it was given keeps room for it twice.
        let work = work.boxed();
        let flight = async move {
            let _turn = inner.turn(&own).await;
            // From here on the flight reads: nobody joins any more. A flight that gathers under this key now is another
            // one only if this one was given up and revived, which a weak entry rules out.
            lock(&inner.gathering).remove(&own);
            work.await
        }
        .boxed()
        .shared();
        if let Some(weak) = flight.downgrade() {
            gathering.insert(key, weak);
        }
        flight
    }
}

impl<T: Clone + 'static> Inner<T> {
    /// Waits until no other flight is under way for any of the keys. Locks are taken in order of the keys, so two flights
    /// cannot wait for each other.
    async fn turn(self: &Arc<Self>, key: &FlightKey) -> Turn<T> {
        let mut turn = Turn {
            inner: Arc::clone(self),
            held: Vec::with_capacity(key.keys.len()),
        };
        for key in key.keys.iter() {
            let entry = Arc::clone(lock(&self.locks).entry(*key).or_default());
            let mut held = Held {
                key: *key,
                lock: None,
            };
            held.lock = Some(entry.lock_arc().await);
            turn.held.push(held);
        }
        turn
    }
}

/// The right to be under way. Entries of the lock table that nobody waits for are removed when it ends.
struct Turn<T: Clone + 'static> {
    inner: Arc<Inner<T>>,
    held: Vec<Held>,
}

struct Held {
    key: ClaimKey,
    lock: Option<async_lock::MutexGuardArc<()>>,
}

impl<T: Clone + 'static> Drop for Turn<T> {
    fn drop(&mut self) {
        for held in &mut self.held {
            held.lock = None;
        }
        let mut locks = lock(&self.inner.locks);
        for held in &self.held {
            // Two references and more: somebody waits. New ones are made under this table's lock only.
            if locks
                .get(&held.key)
                .is_some_and(|entry| Arc::strong_count(entry) == 1)
            {
                locks.remove(&held.key);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Nothing panics while one of these is held; a poisoned table is still a table.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn key(parts: &[u8]) -> FlightKey {
        let keys = parts
            .iter()
            .map(|part| ClaimKey::from_bytes([*part; 32]))
            .collect();
        FlightKey::new(keys, 1)
    }

    /// Work that is counted when it starts, and ends when the gate opens.
    fn work(
        started: &Arc<AtomicUsize>,
        gate: &Arc<async_lock::Semaphore>,
    ) -> impl Future<Output = usize> + Send + use<> {
        let (started, gate) = (Arc::clone(started), Arc::clone(gate));
        async move {
            let number = started.fetch_add(1, Ordering::SeqCst);
            gate.acquire_arc().await.forget();
            number
        }
    }

    fn poll<T: Clone>(flight: &mut Shared<BoxFuture<'static, T>>) -> Option<T> {
        flight.now_or_never()
    }

    #[test]
    fn who_waits_for_the_same_identifiers_shares_the_next_flight() {
        let flights = Flights::new();
        let (started, gate) = (Arc::default(), Arc::new(async_lock::Semaphore::new(0)));
        let mut first = flights.join(key(&[1, 2]), work(&started, &gate));
        assert_eq!(poll(&mut first), None);
        assert_eq!(started.load(Ordering::SeqCst), 1, "the first is under way");
        // Under way is too late to join: whatever it reads may be older than who comes now.
        let mut waiting: Vec<_> = (0..5)
            .map(|_| flights.join(key(&[2, 1]), work(&started, &gate)))
            .collect();
        assert!(waiting.iter_mut().all(|flight| poll(flight).is_none()));
        assert_eq!(
            started.load(Ordering::SeqCst),
            1,
            "the second waits for the first"
        );
        gate.add_permits(1);
        assert_eq!(poll(&mut first), Some(0));
        assert!(waiting.iter_mut().all(|flight| poll(flight).is_none()));
        gate.add_permits(1);
        assert!(
            waiting.iter_mut().all(|flight| poll(flight) == Some(1)),
            "one flight for all five"
        );
        assert_eq!(started.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn flights_of_a_common_identifier_go_one_after_another() {
        let flights = Flights::new();
        let (started, gate) = (Arc::default(), Arc::new(async_lock::Semaphore::new(0)));
        let mut one = flights.join(key(&[1, 2]), work(&started, &gate));
        let mut two = flights.join(key(&[2, 3]), work(&started, &gate));
        let mut other = flights.join(key(&[4]), work(&started, &gate));
        assert!(poll(&mut one).is_none() && poll(&mut two).is_none() && poll(&mut other).is_none());
        assert_eq!(
            started.load(Ordering::SeqCst),
            2,
            "the first and the unrelated one"
        );
        // Whoever gives up makes room.
        drop(one);
        assert!(poll(&mut two).is_none());
        assert_eq!(started.load(Ordering::SeqCst), 3);
    }

    #[test]
    fn a_flight_that_everybody_left_holds_nothing() {
        let flights = Flights::new();
        let (started, gate) = (Arc::default(), Arc::new(async_lock::Semaphore::new(0)));
        let mut blocking = flights.join(key(&[2]), work(&started, &gate));
        assert!(poll(&mut blocking).is_none());
        let mut left = flights.join(key(&[1, 2]), work(&started, &gate));
        assert!(poll(&mut left).is_none());
        drop(left);
        let mut free = flights.join(key(&[1]), work(&started, &gate));
        assert!(poll(&mut free).is_none());
        assert_eq!(
            started.load(Ordering::SeqCst),
            2,
            "the lock of 1 was given back"
        );
        drop((blocking, free));
        assert!(lock(&flights.inner.locks).is_empty(), "no entry is left");
    }
}
