//! Commands with an end of their own, that a signal ends in order.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kith_runtime::config::{ConfigError, Settings, table};
use kith_runtime::health::Health;
use kith_runtime::lifecycle::{ComponentError, Exit, Lifecycle, Shutdown};
use kith_runtime::output::note;
use kith_servers::doctor::chain;

/// How a command ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// All that was asked for is done.
    Complete,
    /// Something is left, and a line says what.
    Incomplete,
}

/// Runs a command until it ends. The first signal asks it to, a second one ends the process.
pub(crate) async fn run<F>(
    name: &'static str,
    settings: &Settings,
    work: impl FnOnce(Shutdown) -> F,
) -> Result<Exit, ConfigError>
where
    F: Future<Output = Result<Ending, ComponentError>> + Send + 'static,
{
    let grace: Duration = settings.get(&table::SHUTDOWN_GRACE)?;
    let mut lifecycle = Lifecycle::new(grace, Health::new());
    let stopper = lifecycle.stopper();
    let ended = Arc::new(Mutex::new(None));
    let told = Arc::clone(&ended);
    lifecycle.stage(name).component(name, move |shutdown| {
        let working = work(shutdown.clone());
        async move {
            let ending = match working.await {
                Ok(ending) => ending,
                Err(error) => {
                    note(&chain(&*error));
                    return Err(error);
                }
            };
            *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(ending);
            // A component lasts until it is told to end: it has itself told.
            stopper.stop();
            shutdown.requested().await;
            Ok(())
        }
    });
    let exit = lifecycle.run().await;
    let ended = ended.lock().unwrap_or_else(PoisonError::into_inner).take();
    Ok(match (exit, ended) {
        (Exit::Clean, Some(Ending::Complete)) => Exit::Clean,
        // The signal came, and something is left.
        (Exit::Clean, _) => Exit::Failed,
        (exit, _) => exit,
    })
}
