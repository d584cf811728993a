//! Looks at files that change while a process runs.

use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

use crate::lifecycle::{ComponentError, Shutdown};

/// Looks `every` so often, until the stage is shut down. Whatever the disk does, requests are answered.
///
/// # Errors
/// A look panicked.
pub(crate) async fn look_every<W: Send + 'static>(
    every: Duration,
    shutdown: Shutdown,
    mut watched: W,
    look: fn(&mut W),
) -> Result<(), ComponentError> {
    let mut turn = interval(every);
    turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let looked = async {
            turn.tick().await;
            spawn_blocking(move || {
                look(&mut watched);
                watched
            })
            .await
        };
        tokio::select! {
            looked = looked => watched = looked?,
            () = shutdown.requested() => return Ok(()),
        }
    }
}
