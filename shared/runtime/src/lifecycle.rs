//! The life of a process: what runs, what happens when some of it stops, and how it ends.
//!
//! Work that lasts as long as the process is a [component](Stage::component); one that ends before it was told to, fails
//! or panics takes the process down, because half a service that answers its health checks is worse than none. Work with
//! an end of its own is a [task](Stage::task). Both belong to a [`Stage`]. On SIGTERM or SIGINT, or when a component is
//! lost, the stages are shut down one after another in the order in which they were made, each being told and awaited:
//! whoever takes work in goes first, whoever keeps it safe goes last. All of it happens within the grace period.
//!
//! This module is the only place that spawns on the runtime.

use std::future::Future;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tracing::{error, info, warn};

use crate::health::Health;

mod exit;
mod process;
mod signals;
mod stage;

#[cfg(test)]
mod tests;

pub use exit::{EXIT_FAILURE, EXIT_GRACE_EXCEEDED, EXIT_PANIC, EXIT_SIGNAL, Exit};
pub use process::run_process;
use signals::Signals;
pub use stage::{Attended, ComponentError, Shutdown, Stage, Task, TaskDied};
use stage::{Ended, Outcome};

/// How often the main loop says that it turns, and how long it may be silent.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(1);
const HEARTBEAT_SILENCE_MAX: Duration = Duration::from_secs(15);

/// A process being put together.
#[derive(Debug)]
pub struct Lifecycle {
    grace: Duration,
    health: Health,
    runtime: tokio::runtime::Handle,
    signals: std::io::Result<Signals>,
    stages: Vec<Stage>,
    sender: mpsc::UnboundedSender<Event>,
    events: mpsc::UnboundedReceiver<Event>,
}

/// What the main loop hears. At most one message a component, and the stops asked for: few.
#[derive(Debug)]
enum Event {
    Ended(Ended),
    Stop,
}

/// Asks the process to end, as a signal would. For tests, and for whoever runs Kith inside another process.
#[derive(Debug, Clone)]
pub struct Stopper(mpsc::UnboundedSender<Event>);

impl Stopper {
    /// Asks for it. Asking twice is asking once.
    pub fn stop(&self) {
        // Nobody listens any more only when the process has ended already.
        drop(self.0.send(Event::Stop));
    }
}

/// Why waiting for a stage ended before the stage did.
enum CutShort {
    Signal(i32),
    Grace,
}

impl Lifecycle {
    /// A process without stages. `grace` is the longest time from the signal to the end. From now on a signal does not end
    /// the process by itself: what takes long until [`Lifecycle::run`] belongs into [`Lifecycle::starting`].
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn new(grace: Duration, health: Health) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        Self {
            grace,
            health,
            runtime: tokio::runtime::Handle::current(),
            signals: Signals::install(),
            stages: Vec::new(),
            sender,
            events,
        }
    }

    /// The health of the process.
    #[must_use]
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// Adds a stage, which is shut down after all that were added before.
    #[must_use]
    pub fn stage(&mut self, name: &'static str) -> Stage {
        let stage = Stage::new(name, self.runtime.clone(), self.sender.clone());
        self.stages.push(stage.clone());
        stage
    }

    /// Does what has to be done before the process can run (reaching servers, preparing statements), unless a signal comes
    /// first.
    ///
    /// # Errors
    /// A signal came, and nothing was accepted yet: end with this.
    pub async fn starting<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Exit> {
        let Ok(signals) = &mut self.signals else {
            // `run` says what is wrong.
            return Ok(work.await);
        };
        tokio::select! {
            done = work => Ok(done),
            number = signals.next() => {
                info!(signal = number, "signal while starting");
                Err(Exit::Clean)
            }
        }
    }

    /// A handle that ends the process in order.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        Stopper(self.sender.clone())
    }

    /// Runs until a signal, a stop or the loss of a component, shuts down in order, and says how it went.
    ///
    /// The caller flushes telemetry and ends the process with the code; what did not end in time is still running then.
    pub async fn run(mut self) -> Exit {
        let unheard = std::io::Error::from(std::io::ErrorKind::NotConnected);
        let mut signals = match std::mem::replace(&mut self.signals, Err(unheard)) {
            Ok(signals) => signals,
            Err(error) => {
                error!(%error, "cannot listen for signals");
                return Exit::Failed;
            }
        };
        let mut exit = self.serve(&mut signals).await;
        self.health.set_draining();
        let deadline = Instant::now() + self.grace;
        for at in 0..self.stages.len() {
            let stage = self.stages[at].clone();
            info!(stage = stage.name(), "stage is shut down");
            stage.begin_shutdown();
            match self.drain(&stage, deadline, &mut signals, &mut exit).await {
                Ok(()) => {}
                Err(CutShort::Signal(number)) => {
                    warn!(stage = stage.name(), "second signal, ending at once");
                    return exit.and(Exit::Signalled(number));
                }
                Err(CutShort::Grace) => {
                    let (components, tasks) = (stage.running(), stage.tasks());
                    error!(
                        stage = stage.name(),
                        ?components,
                        tasks,
                        "grace period exceeded, ending at once"
                    );
                    return exit.and(Exit::GraceExceeded);
                }
            }
        }
        info!(code = exit.code(), "process ends");
        exit
    }

    /// Waits for a reason to shut down.
    async fn serve(&mut self, signals: &mut Signals) -> Exit {
        let heart = self.health.heartbeat("main", HEARTBEAT_SILENCE_MAX);
        let mut beat = interval(HEARTBEAT_EVERY);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // The order does not matter: whatever is not heard now is heard in the next turn.
                number = signals.next() => {
                    info!(signal = number, "signal, shutting down");
                    return Exit::Clean;
                }
                Some(event) = self.events.recv() => match event {
                    Event::Stop => {
                        info!("stop, shutting down");
                        return Exit::Clean;
                    }
                    Event::Ended(ended) => {
                        let exit = judge(ended);
                        if exit != Exit::Clean {
                            return exit;
                        }
                    }
                },
                _ = beat.tick() => heart.beat(),
            }
        }
    }

    /// Waits until everything in a stage has ended.
    async fn drain(
        &mut self,
        stage: &Stage,
        deadline: Instant,
        signals: &mut Signals,
        exit: &mut Exit,
    ) -> Result<(), CutShort> {
        let ended = stage.ended();
        tokio::pin!(ended);
        loop {
            tokio::select! {
                // First what was said, so that a failure is never lost behind the end of the stage.
                biased;
                Some(event) = self.events.recv() => {
                    if let Event::Ended(ended) = event {
                        *exit = exit.and(judge(ended));
                    }
                }
                () = &mut ended => return Ok(()),
                number = signals.next() => return Err(CutShort::Signal(number)),
                () = sleep_until(deadline) => return Err(CutShort::Grace),
            }
        }
    }
}

/// What the end of a component means. Logged here, once.
fn judge(ended: Ended) -> Exit {
    let Ended {
        stage,
        name,
        told,
        outcome,
    } = ended;
    match outcome {
        Outcome::Done if told => {
            info!(stage, component = name, "component ended");
            Exit::Clean
        }
        Outcome::Done => {
            error!(stage, component = name, "component ended early");
            Exit::Failed
        }
        Outcome::Failed(cause) => {
            let error: &(dyn std::error::Error + 'static) = &*cause;
            error!(stage, component = name, error, "component failed");
            Exit::Failed
        }
        Outcome::Panicked => {
            error!(stage, component = name, "component panicked");
            Exit::Panicked
        }
    }
}
