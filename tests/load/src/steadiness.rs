//! How steady the machine itself is. A virtual machine may be slowed by what runs beside it, for milliseconds and again and again;
//! everybody's longest times have that in them, however well they were written.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

/// Time is cut into slices of this length.
const SLICE: Duration = Duration::from_millis(5);
/// A slice is slow if less than this part of what is usual was done in it.
const SLOW: f64 = 0.6;
/// Steps between two looks at the clock: some hundreds of nanoseconds.
const STEPS: u64 = 200;

/// The percentage of slices that are slow, while every processor does nothing but count.
///
/// # Errors
/// When processors cannot be counted, or a loop panicked.
pub fn slowed_percent(limit: Duration) -> Result<f64> {
    let processors = std::thread::available_parallelism()?.get();
    let counted = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..processors)
            .map(|_| scope.spawn(|| count(limit)))
            .collect();
        let slices = threads.into_iter().map(|thread| thread.join());
        slices.collect::<Result<Vec<_>, _>>()
    });
    let counted = counted.map_err(|_panic| anyhow!("a loop panicked"))?;
    let shares: f64 = counted.iter().map(|slices| slow(slices)).sum();
    let percent = 100.0 * shares / processors as f64;
    Ok((percent * 10.0).round() / 10.0)
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
    fn this_machine_is_not_slow_all_the_time() {
        let percent = slowed_percent(Duration::from_millis(100)).unwrap();
        assert!((0.0..=50.0).contains(&percent), "{percent}");
    }
}
