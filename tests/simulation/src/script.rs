//! A schedule written by hand: requests that run until a given statement, one after another.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use kith_domain::id::ProfileId;
use kith_domain::settings::IdentitySettings;
use kith_domain::store::StoreRecord;
use kith_profiles::Profiles;
use kith_profiles::environment::Omission;

use crate::case::{Op, store};
use crate::client::{Caller, Note, Notes, Process};
use crate::executor::Executor;
use crate::linear::Told;
use crate::ports::{Shared, lock, parts};
use crate::world::{Statement, World};

/// A world with one store, and clients that run when they are told to. Each is a process of its own.
#[derive(Debug)]
pub struct Script {
    /// The world.
    pub world: Shared,
    /// The store.
    pub store: Arc<StoreRecord>,
    omission: Option<Omission>,
    executor: Executor,
    notes: Notes,
}

impl Script {
    /// An empty world with a store of these settings, where every process leaves out a step if one is given.
    #[must_use]
    pub fn new(settings: IdentitySettings, omission: Option<Omission>) -> Self {
        let store = Arc::new(store(settings));
        let world = Arc::new(Mutex::new(World::default()));
        lock(&world).stores.insert(store.id, (*store).clone());
        Self {
            world,
            store,
            omission,
            executor: Executor::default(),
            notes: Notes::default(),
        }
    }

    /// The use cases of a client's process, which knows nothing yet.
    #[must_use]
    pub fn process(&self, client: usize) -> Arc<Process> {
        Arc::new(Profiles::new(parts(&self.world, client, self.omission)))
    }

    /// Begins a request under its number. Answers the task.
    pub fn send(&mut self, client: usize, number: u128, op: Op) -> usize {
        let (caller, process) = (
            Caller {
                store: Arc::clone(&self.store),
                notes: Arc::clone(&self.notes),
                known: Arc::default(),
            },
            self.process(client),
        );
        self.executor
            .spawn(async move { caller.send(&process, number, &op).await })
    }

    /// Runs the client's statements, in order, until one that `stops` picks, which is answered and has not run; `None` where
    /// nothing is left.
    pub fn run(&mut self, client: usize, stops: impl Fn(&Statement) -> bool) -> Option<u64> {
        loop {
            self.executor.settle();
            let mut world = lock(&self.world);
            let open = world.in_flight();
            let (flight, statement) = open.into_iter().find_map(|(flight, _)| {
                let one = world.flight(flight)?;
                (one.client == client).then(|| (flight, one.statement.clone()))
            })?;
            if stops(&statement) {
                return Some(flight);
            }
            world.execute(flight);
        }
    }

    /// A request from its begin to its end.
    ///
    /// # Panics
    /// If it does not end.
    pub fn whole(&mut self, client: usize, number: u128, op: Op) {
        let task = self.send(client, number, op);
        let left = self.run(client, |_| false);
        assert!(
            left.is_none() && !self.executor.is_running(task),
            "{number} does not end"
        );
    }

    /// What a request was told; `None` where it has no answer.
    #[must_use]
    pub fn told(&self, number: u128) -> Option<Told<ProfileId>> {
        let notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        notes.iter().find_map(|note| {
            let Note::Told(of, told) = note else {
                return None;
            };
            (*of == number).then_some(*told)
        })
    }

    /// Gives a request up where it is.
    pub fn crash(&mut self, task: usize) {
        self.executor.crash(task);
    }

    /// What a client's own work comes to, run to its end.
    ///
    /// # Panics
    /// If it does not end.
    pub fn ask<T: Send + 'static>(
        &mut self,
        client: usize,
        work: impl Future<Output = T> + Send + 'static,
    ) -> T {
        let told = Arc::new(Mutex::new(None));
        let place = Arc::clone(&told);
        self.executor.spawn(async move {
            *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(work.await);
        });
        self.run(client, |_| false);
        let told = told.lock().unwrap_or_else(PoisonError::into_inner).take();
        #[expect(clippy::expect_used, reason = "work that does not end fails its test")]
        told.expect("the work ends")
    }
}
