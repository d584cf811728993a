//! A group of components and tasks that are shut down together.

use std::error::Error;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use metrics::counter;
use opentelemetry::context::FutureExt as _;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::{Instrument as _, error};

use super::Event;
use crate::metrics::names;

/// Why a component cannot go on.
pub type ComponentError = Box<dyn Error + Send + Sync>;

/// Tells a component that it has to end: take nothing new, finish what was taken, return.
#[derive(Debug, Clone)]
pub struct Shutdown(CancellationToken);

impl Shutdown {
    /// Waits until the stage is shut down. Cancel safe.
    pub fn requested(&self) -> WaitForCancellationFuture<'_> {
        self.0.cancelled()
    }

    /// Whether the stage is being shut down.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.0.is_cancelled()
    }
}

/// The end of a component.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) stage: &'static str,
    pub(super) name: &'static str,
    /// Whether the stage was being shut down.
    pub(super) told: bool,
    pub(super) outcome: Outcome,
}

#[derive(Debug)]
pub(super) enum Outcome {
    Done,
    Failed(ComponentError),
    Panicked,
}

/// A stage of a process. Clones are the same stage.
#[derive(Debug, Clone)]
pub struct Stage {
    name: &'static str,
    runtime: Handle,
    token: CancellationToken,
    work: TaskTracker,
    running: Arc<Mutex<Vec<&'static str>>>,
    events: mpsc::UnboundedSender<Event>,
}

impl Stage {
    pub(super) fn new(
        name: &'static str,
        runtime: Handle,
        events: mpsc::UnboundedSender<Event>,
    ) -> Self {
        Self {
            name,
            runtime,
            token: CancellationToken::new(),
            work: TaskTracker::new(),
            running: Arc::default(),
            events,
        }
    }

    /// Its name, for the log.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The token that its components are given.
    #[must_use]
    pub fn shutdown(&self) -> Shutdown {
        Shutdown(self.token.clone())
    }

    /// Runs a component: it lasts until the token says otherwise. Returning before that, an error, or a panic takes the
    /// process down.
    pub fn component<F>(&self, name: &'static str, start: impl FnOnce(Shutdown) -> F)
    where
        F: Future<Output = Result<(), ComponentError>> + Send + 'static,
    {
        let component = AssertUnwindSafe(start(self.shutdown())).catch_unwind();
        let stage = self.clone();
        self.with_running(|running| running.push(name));
        let handle = self.spawn(async move {
            let outcome = match component.await {
                Ok(Ok(())) => Outcome::Done,
                Ok(Err(cause)) => Outcome::Failed(cause),
                Err(_panic) => Outcome::Panicked,
            };
            stage.with_running(|running| {
                if let Some(at) = running.iter().position(|one| *one == name) {
                    running.swap_remove(at);
                }
            });
            let ended = Ended {
                stage: stage.name,
                name,
                told: stage.token.is_cancelled(),
                outcome,
            };
            // Nobody listens any more only when the process ends anyway.
            drop(stage.events.send(Event::Ended(ended)));
        });
        // A component is heard of through its event.
        drop(handle);
    }

    /// Runs work with an end of its own, which goes on if whoever asked for it goes away: the stage does not end before
    /// it. It keeps the caller's span and trace. A panic is logged, counted, and told to whoever awaits the [`Task`]; one
    /// bad request does not end the process.
    pub fn task<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Task<T> {
        Task(self.spawn(guarded(name, work)))
    }

    /// As [`Stage::task`], but done by whoever awaits it, from then on: nothing is handed to another thread and back, which is a
    /// good part of what a short piece of work costs. Whoever awaits it can still go away, or end with its runtime; what is
    /// left of the work is done on the runtime of the process then. For work that is soon done or waits: it holds up what else
    /// its thread has to do.
    pub fn attended<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Attended<T> {
        Attended {
            work: Some(guarded(name, work).boxed()),
            stage: self.clone(),
            _tracked: self.work.token(),
        }
    }

    /// The only spawn there is. Onto the runtime of the process, whichever thread asks: the HTTP server's workers have
    /// runtimes of their own, which end with them.
    fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.runtime.spawn(self.work.track_future(work))
    }

    pub(super) fn begin_shutdown(&self) {
        self.token.cancel();
        self.work.close();
    }

    /// Waits until everything has ended. Only after [`Stage::begin_shutdown`].
    pub(super) fn ended(&self) -> impl Future<Output = ()> + use<> {
        let work = self.work.clone();
        async move { work.wait().await }
    }

    /// The components that have not ended.
    pub(super) fn running(&self) -> Vec<&'static str> {
        self.with_running(|running| running.clone())
    }

    /// How many tasks have not ended.
    pub(super) fn tasks(&self) -> usize {
        self.work.len().saturating_sub(self.running().len())
    }

    fn with_running<T>(&self, f: impl FnOnce(&mut Vec<&'static str>) -> T) -> T {
        f(&mut self.running.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Work that keeps the span and the trace of whoever asked for it, and whose panic is told.
fn guarded<T>(
    name: &'static str,
    work: impl Future<Output = T>,
) -> impl Future<Output = Result<T, TaskDied>> {
    AssertUnwindSafe(work)
        .catch_unwind()
        .map(move |ended| {
            ended.map_err(|_panic| {
                error!(task = name, "task panicked");
                counter!(names::TASK_PANICS, "task" => name).increment(1);
                TaskDied
            })
        })
        .in_current_span()
        .with_current_context()
}

/// Work that [`Stage::attended`] is doing. Dropping it lets the work go on.
#[must_use = "nothing is done before it is awaited or dropped"]
pub struct Attended<T: Send + 'static> {
    /// None once it is done.
    work: Option<BoxFuture<'static, Result<T, TaskDied>>>,
    stage: Stage,
    /// The stage does not end before it, whoever does it.
    _tracked: TaskTrackerToken,
}

impl<T: Send + 'static> Future for Attended<T> {
    type Output = Result<T, TaskDied>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        // Timers and tasks that it makes are those of the process: they outlive the runtime of whoever awaits it.
        let _entered = this.stage.runtime.enter();
        let Some(work) = &mut this.work else {
            return Poll::Ready(Err(TaskDied));
        };
        let ended = ready!(work.as_mut().poll(cx));
        this.work = None;
        Poll::Ready(ended)
    }
}

impl<T: Send + 'static> Drop for Attended<T> {
    fn drop(&mut self) {
        if let Some(rest) = self.work.take() {
            drop(self.stage.spawn(rest));
        }
    }
}

impl<T: Send + 'static> std::fmt::Debug for Attended<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attended")
            .field("stage", &self.stage.name)
            .finish_non_exhaustive()
    }
}

/// Work that was started with [`Stage::task`]. Dropping it lets the work go on.
#[derive(Debug)]
#[must_use = "the result of a task may be an error; drop it to say that nobody waits"]
pub struct Task<T>(JoinHandle<Result<T, TaskDied>>);

/// A task panicked, or the process ended before it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("task died")]
pub struct TaskDied;

impl<T> Future for Task<T> {
    type Output = Result<T, TaskDied>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0)
            .poll(cx)
            .map(|joined| joined.unwrap_or(Err(TaskDied)))
    }
}
