//! Closed loops: so many at once, each of them one thing after another, on every thread of the runtime.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::task::JoinSet;

/// What a loop did.
#[derive(Debug)]
pub struct Done<T> {
    /// What each step gave.
    pub steps: Vec<T>,
    /// From the start to the end of the last step.
    pub seconds: f64,
}

impl<T> Done<T> {
    /// Steps a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.steps.len() as f64 / self.seconds
    }
}

/// Has each of `workers` take one step after another, until the time is over or a step gives nothing.
///
/// # Errors
/// The first that a step has.
pub async fn closed_loop<W, T, S, F>(workers: Vec<W>, limit: Duration, step: S) -> Result<Done<T>>
where
    W: Send + 'static,
    T: Send + 'static,
    S: Fn(W) -> F + Clone + Send + 'static,
    F: Future<Output = Result<(W, Option<T>)>> + Send,
{
    let began = Instant::now();
    let until = began + limit;
    let mut running = JoinSet::new();
    for mut worker in workers {
        let step = step.clone();
        running.spawn(async move {
            let mut steps = Vec::new();
            while Instant::now() < until {
                let taken;
                (worker, taken) = step(worker).await?;
                match taken {
                    Some(one) => steps.push(one),
                    None => break,
                }
            }
            anyhow::Ok(steps)
        });
    }
    let mut steps = Vec::new();
    while let Some(ended) = running.join_next().await {
        steps.extend(ended??);
    }
    Ok(Done {
        steps,
        seconds: began.elapsed().as_secs_f64(),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_loop_ends_when_there_is_nothing_left() {
        let left = Arc::new(AtomicUsize::new(0));
        let limit = Duration::from_secs(60);
        let done = closed_loop(vec![(); 4], limit, move |()| {
            let taken = left.fetch_add(1, Ordering::Relaxed);
            async move { Ok(((), (taken < 10).then_some(taken))) }
        });
        let done = done.await.unwrap();
        let mut steps = done.steps.clone();
        steps.sort_unstable();
        assert_eq!(steps, (0..10).collect::<Vec<_>>());
        assert!(done.rate() > 0.0);
    }

    #[tokio::test]
    async fn a_step_that_fails_ends_the_loop() {
        let limit = Duration::from_secs(60);
        let done = closed_loop(vec![(); 4], limit, |()| async {
            anyhow::bail!("wrong answer");
            #[expect(unreachable_code, reason = "says what a step gives")]
            Ok(((), Some(())))
        });
        assert!(done.await.is_err());
    }
}
