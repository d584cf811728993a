//! An executor of one thread: tasks run until all of them wait, in the order in which they were made.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

type BoxFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

#[derive(Debug)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Task {
    future: Option<BoxFuture>,
    woken: Arc<Woken>,
}

/// Tasks by their number.
#[derive(Default)]
pub struct Executor {
    tasks: Vec<Task>,
}

impl std::fmt::Debug for Executor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Executor({} tasks)", self.tasks.len())
    }
}

impl Executor {
    /// Adds a task; returns its number.
    pub fn spawn(&mut self, future: impl Future<Output = ()> + Send + 'static) -> usize {
        self.tasks.push(Task {
            future: Some(Box::pin(future)),
            woken: Arc::new(Woken(AtomicBool::new(true))),
        });
        self.tasks.len() - 1
    }

    /// Runs every task that was woken, until all wait for something.
    pub fn settle(&mut self) {
        let mut is_moving = true;
        while is_moving {
            is_moving = false;
            for task in &mut self.tasks {
                let Some(future) = &mut task.future else {
                    continue;
                };
                if !task.woken.0.swap(false, Ordering::Relaxed) {
                    continue;
                }
                is_moving = true;
                let waker = Waker::from(Arc::clone(&task.woken));
                if let Poll::Ready(()) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                    task.future = None;
                }
            }
        }
    }

    /// Gives a task up where it is: a crash.
    pub fn crash(&mut self, task: usize) {
        self.tasks[task].future = None;
    }

    /// Whether a task has neither finished nor crashed.
    #[must_use]
    pub fn is_running(&self, task: usize) -> bool {
        self.tasks[task].future.is_some()
    }
}
