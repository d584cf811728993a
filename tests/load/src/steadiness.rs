//! How steady the machine itself is. A virtual machine may be slowed by what runs beside it, for milliseconds and again and again;
//! everybody's longest times have that in them, however well they were written.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use serde::{Deserialize, Serialize};

/// Time is cut into slices of this length.
const SLICE: Duration = Duration::from_millis(5);
/// A slice is slow if less than this part of what is usual was done in it.
const SLOW: f64 = 0.6;
/// How long a sleep is, about as long as a server's between two of some thousand requests a second.
const NAP: Duration = Duration::from_micros(200);
/// A sleep that ends later than this would show in somebody's longest times.
const LATE: Duration = Duration::from_millis(1);
/// Steps between two looks at the clock: some hundreds of nanoseconds.
const STEPS: u64 = 200;

/// The percentage of slices that are slow, while every processor does nothing but count.
///
/// # Errors
/// When processors cannot be counted, or a thread panicked.
pub fn slowed_percent(limit: Duration) -> Result<f64> {
    let counted = on_every_processor(|| count(limit))?;
    let shares: f64 = counted.iter().map(|slices| slow(slices)).sum();
    let percent = 100.0 * shares / counted.len() as f64;
    Ok((percent * 10.0).round() / 10.0)
}

/// How well a processor wakes whom it has let sleep.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Wakes {
    /// The percentage of short sleeps that ended more than a millisecond late.
    pub late_percent: f64,
    /// By how much the latest of them was late, in milliseconds.
    pub latest_ms: f64,
}

/// Short sleeps on every processor, while nothing else is done. A virtual processor that sleeps is taken away, and may be waited for:
/// loops that only count, and never sleep, see nothing of it.
///
/// # Errors
/// When processors cannot be counted, or a thread panicked.
pub fn wakes(limit: Duration) -> Result<Wakes> {
    let late = on_every_processor(|| lateness(limit))?;
    Ok(judged(&late.concat()))
}

/// Does something in as many threads as there are processors.
fn on_every_processor<T: Send>(work: impl Fn() -> Vec<T> + Sync) -> Result<Vec<Vec<T>>> {
    let processors = std::thread::available_parallelism()?.get();
    let done = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..processors).map(|_| scope.spawn(&work)).collect();
        let done = threads.into_iter().map(|thread| thread.join());
        done.collect::<Result<Vec<_>, _>>()
    });
    done.map_err(|_panic| anyhow!("a thread panicked"))
}

/// By how much each sleep was late.
#[expect(clippy::disallowed_methods, reason = "sleeping is what is measured")]
fn lateness(limit: Duration) -> Vec<Duration> {
    let began = Instant::now();
    let mut late = Vec::new();
    while began.elapsed() < limit {
        let asleep = Instant::now();
        std::thread::sleep(NAP);
        late.push(asleep.elapsed().saturating_sub(NAP));
    }
    late
}

fn judged(late: &[Duration]) -> Wakes {
    let too_late = late.iter().filter(|late| **late > LATE).count();
    let latest = late.iter().max().copied().unwrap_or_default();
    let percent = 100.0 * too_late as f64 / late.len().max(1) as f64;
    Wakes {
        late_percent: (percent * 1e3).round() / 1e3,
        latest_ms: (latest.as_secs_f64() * 1e4).round() / 1e1,
    }
}

/// What was done in each slice.
fn count(limit: Duration) -> Vec<u64> {
    let began = Instant::now();
    let mut slices = vec![0; (limit.as_micros() / SLICE.as_micros()) as usize];
    let mut sum = 0_u64;
    loop {
        let at = (began.elapsed().as_micros() / SLICE.as_micros()) as usize;
        let Some(slice) = slices.get_mut(at) else {
            return slices;
        };
        for step in 0..STEPS {
            sum = black_box(sum.wrapping_mul(31).wrapping_add(step));
        }
        *slice += 1;
    }
}

/// The part of slices that are slow.
fn slow(slices: &[u64]) -> f64 {
    let mut sorted = slices.to_vec();
    sorted.sort_unstable();
    let usual = sorted.get(sorted.len() / 2).copied().unwrap_or(0) as f64;
    let slow = slices.iter().filter(|done| (**done as f64) < SLOW * usual);
    slow.count() as f64 / slices.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_is_slow_against_the_median() {
        assert_eq!(slow(&[100, 100, 59, 100, 100, 0, 100, 61]), 0.25);
        assert_eq!(slow(&[]), 0.0);
    }

    #[test]
    fn a_wake_is_late_by_more_than_a_millisecond() {
        let late = [100, 1_000, 1_001, 4_200].map(Duration::from_micros);
        let wakes = judged(&late);
        assert_eq!((wakes.late_percent, wakes.latest_ms), (50.0, 4.2));
        assert_eq!(judged(&[]).late_percent, 0.0);
    }

    #[test]
    fn this_machine_wakes_sleepers() {
        let wakes = wakes(Duration::from_millis(50)).unwrap();
        assert!(wakes.late_percent < 100.0, "{wakes:?}");
    }

    #[test]
    fn this_machine_is_not_slow_all_the_time() {
        let percent = slowed_percent(Duration::from_millis(100)).unwrap();
        assert!((0.0..=50.0).contains(&percent), "{percent}");
    }
}
