//! A figure, and whether it met its target.

use serde::{Deserialize, Serialize};

/// One measured value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// The case and what of it: `case.what`.
    pub case: String,
    /// The value.
    pub value: f64,
    /// What it counts.
    pub unit: String,
    /// What it must be, in words; `None` where a figure is only shown.
    pub target: Option<String>,
    /// Whether it is that.
    pub met: Option<bool>,
    /// How far its repetitions lie apart; `None` of what was measured once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread: Option<Spread>,
    /// Where it is on a line of a chart; `None` where it is on none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub point: Option<Point>,
}

/// The least and the most of some repetitions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The least.
    pub least: f64,
    /// The most.
    pub most: f64,
}

/// A place on a chart of lines; the figure's value is its height.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// The chart, of those of the case: what grows.
    pub chart: String,
    /// The line.
    pub line: String,
    /// How much of what grows.
    pub at: f64,
}

impl Figure {
    /// A figure without a target.
    #[must_use]
    pub fn shown(case: &str, value: f64, unit: &str) -> Self {
        Self {
            case: case.to_owned(),
            value: rounded(value),
            unit: unit.to_owned(),
            target: None,
            met: None,
            spread: None,
            point: None,
        }
    }

    /// A figure that must be below a limit.
    #[must_use]
    pub fn below(case: &str, value: f64, unit: &str, limit: f64) -> Self {
        Self {
            target: Some(format!("< {limit} {unit}")),
            met: Some(value < limit),
            ..Self::shown(case, value, unit)
        }
    }

    /// A figure that must reach a limit.
    #[must_use]
    pub fn at_least(case: &str, value: f64, unit: &str, limit: f64) -> Self {
        Self {
            target: Some(format!(">= {limit} {unit}")),
            met: Some(value >= limit),
            ..Self::shown(case, value, unit)
        }
    }

    /// The same, with the repetitions that it is of. One alone has no spread.
    #[must_use]
    pub fn of(mut self, repetitions: &[f64]) -> Self {
        let least = repetitions.iter().copied().reduce(f64::min);
        let most = repetitions.iter().copied().reduce(f64::max);
        let both = least.zip(most).filter(|_| repetitions.len() > 1);
        self.spread = both.map(|(least, most)| Spread {
            least: rounded(least),
            most: rounded(most),
        });
        self
    }

    /// The same, as a point of a chart of lines.
    #[must_use]
    pub fn on(mut self, chart: &str, line: &str, at: f64) -> Self {
        self.point = Some(Point {
            chart: chart.to_owned(),
            line: line.to_owned(),
            at,
        });
        self
    }

    /// What of its case it is, in words.
    #[must_use]
    pub fn words(&self) -> String {
        let (_, what) = self.case.split_once('.').unwrap_or(("", &self.case));
        what.replace('_', " ")
    }
}

/// Three decimals: more would only pretend.
fn rounded(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_at_the_limit_is_not_below_it() {
        assert_eq!(Figure::below("a.b", 20.0, "ms", 20.0).met, Some(false));
        assert_eq!(Figure::below("a.b", 19.999, "ms", 20.0).met, Some(true));
    }

    #[test]
    fn rounding_does_not_make_a_target_met() {
        let figure = Figure::at_least("a.b", 4_999.999_9, "items/s", 5_000.0);
        assert_eq!((figure.value, figure.met), (5_000.0, Some(false)));
    }

    #[test]
    fn a_figure_that_is_only_shown_has_no_verdict() {
        assert_eq!(Figure::shown("a.b", 1.0, "rows").met, None);
    }

    #[test]
    fn the_spread_is_from_the_least_repetition_to_the_most() {
        let figure = Figure::shown("a.b", 2.0, "ms").of(&[2.0, 3.000_4, 1.0]);
        let expected = Spread {
            least: 1.0,
            most: 3.0,
        };
        assert_eq!(figure.spread, Some(expected));
        assert_eq!(Figure::shown("a.b", 2.0, "ms").of(&[2.0]).spread, None);
    }
}
