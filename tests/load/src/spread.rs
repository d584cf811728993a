//! Many measurements of one thing.

use std::time::Duration;

/// Measured times.
#[derive(Debug, Clone, Default)]
pub struct Times(Vec<Duration>);

impl Times {
    /// Adds one.
    pub fn push(&mut self, time: Duration) {
        self.0.push(time);
    }

    /// Adds those of another.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The time that this part of all does not exceed (0.5: the median), in milliseconds; 0 of nothing.
    #[must_use]
    pub fn quantile_ms(&self, part: f64) -> f64 {
        let values: Vec<f64> = self.0.iter().map(|time| time.as_secs_f64() * 1e3).collect();
        quantile(values, part)
    }

    /// The longest, in milliseconds; 0 of nothing.
    #[must_use]
    pub fn worst_ms(&self) -> f64 {
        self.quantile_ms(1.0)
    }
}

/// The median; 0 of nothing.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    quantile(values.to_vec(), 0.5)
}

/// The nearest rank: a value that was measured, never one between two.
fn quantile(mut values: Vec<f64>, part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rank: no less than zero, and clamped to the number of values"
    )]
    let rank = (part * values.len() as f64).ceil() as usize;
    let place = rank.clamp(1, values.len().max(1)) - 1;
    values.get(place).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_measured() {
        let mut times = Times::default();
        for millis in [5, 1, 4, 2, 3] {
            times.push(Duration::from_millis(millis));
        }
        assert_eq!(times.quantile_ms(0.5), 3.0);
        assert_eq!(times.quantile_ms(0.99), 5.0);
        assert_eq!(times.worst_ms(), 5.0);
        assert_eq!(Times::default().worst_ms(), 0.0);
    }

    #[test]
    fn the_median_of_an_even_number_is_the_lower_one() {
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.0);
    }
}
