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
}
