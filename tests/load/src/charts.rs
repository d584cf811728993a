//! Charts of what was measured, as SVG: bars of the rates of a case, with the spread of their repetitions, and lines of what a
//! request costs where something grows. They are made of the figures alone.

mod bars;
mod lines;

use anyhow::Result;
use plotters::style::RGBColor;

use crate::cases::Case;
use crate::figure::Figure;

/// The font of all text; which one it is, the viewer says.
const FONT: &str = "sans-serif";
/// Width of every chart.
const WIDTH: u32 = 860;
/// Colours of lines, in their order; the first is that of bars.
const COLOURS: [RGBColor; 6] = [
    RGBColor(46, 98, 160),
    RGBColor(200, 84, 40),
    RGBColor(60, 140, 80),
    RGBColor(140, 80, 160),
    RGBColor(110, 110, 110),
    RGBColor(170, 130, 20),
];

/// A chart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chart {
    /// The file.
    pub file: String,
    /// What is on it.
    pub title: String,
    /// The drawing.
    pub svg: String,
}

/// The charts of a case: bars for each kind of rate of which there are two or more, and lines for each chart that points name.
///
/// # Errors
/// When one cannot be drawn.
pub fn charts(case: Case, figures: &[Figure]) -> Result<Vec<Chart>> {
    let mut charts = Vec::new();
    for unit in distinct(figures.iter().map(|figure| figure.unit.as_str())) {
        let rates: Vec<&Figure> = (figures.iter())
            .filter(|figure| figure.unit == unit && figure.point.is_none())
            .collect();
        let Some(what) = unit.strip_suffix("/s").filter(|_| rates.len() > 1) else {
            continue;
        };
        let title = format!("{}: {what} a second", case.name());
        charts.push(Chart {
            file: format!("{}.{what}-a-second.svg", case.name()),
            svg: bars::draw(&title, &rates)?,
            title,
        });
    }
    let on = |figure: &Figure| Some((figure.point.clone()?.chart, figure.unit.clone()));
    for (what, unit) in distinct(figures.iter().filter_map(on)) {
        let points: Vec<&Figure> = (figures.iter())
            .filter(|figure| on(figure).is_some_and(|of| of == (what.clone(), unit.clone())))
            .collect();
        let title = format!("{}: {unit} by {what}", case.name());
        charts.push(Chart {
            file: format!("{}.by-{}.{}.svg", case.name(), slug(&what), slug(&unit)),
            svg: lines::draw(&title, &what, &unit, &points)?,
            title,
        });
    }
    Ok(charts)
}

/// The values, each once, as they first come.
fn distinct<T: PartialEq>(values: impl Iterator<Item = T>) -> Vec<T> {
    let mut seen = Vec::new();
    for value in values {
        if !seen.contains(&value) {
            seen.push(value);
        }
    }
    seen
}

/// A text as a part of a file's name.
fn slug(text: &str) -> String {
    let kept = |letter: char| match letter.is_ascii_alphanumeric() {
        true => letter.to_ascii_lowercase(),
        false => '-',
    };
    text.chars().map(kept).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(what: &str, value: f64) -> Figure {
        Figure::shown(&format!("standalone-create.{what}"), value, "requests/s").of(&[
            value * 0.9,
            value,
            value * 1.1,
        ])
    }

    fn cost(line: &str, at: f64, value: f64) -> Figure {
        Figure::shown(&format!("standalone-create.{line}_{at}"), value, "ms")
            .on("profiles", line, at)
    }

    #[test]
    fn rates_become_bars_with_their_names_and_values() {
        let figures = [rate("new_rate", 100.0), rate("known_<rate>", 200.0)];
        let charts = charts(Case::StandaloneCreate, &figures).unwrap();
        assert_eq!(charts.len(), 1);
        assert_eq!(charts[0].file, "standalone-create.requests-a-second.svg");
        let svg = &charts[0].svg;
        for text in ["new rate", "known &lt;rate&gt;", "200", "</svg>"] {
            assert!(svg.contains(text), "{text}: {svg}");
        }
    }

    #[test]
    fn points_become_lines_and_no_bars() {
        let figures = [
            cost("known", 1e4, 0.5),
            cost("known", 1e6, 0.6),
            cost("new", 1e4, 0.7),
            cost("new", 1e6, 0.9),
        ];
        let charts = charts(Case::StandaloneCreate, &figures).unwrap();
        assert_eq!(charts.len(), 1);
        assert_eq!(charts[0].file, "standalone-create.by-profiles.ms.svg");
        let svg = &charts[0].svg;
        for text in ["known", "new", "profiles", "10^4", "polyline"] {
            assert!(svg.contains(text), "{text}: {svg}");
        }
    }

    #[test]
    fn one_rate_alone_and_figures_of_other_kinds_are_no_chart() {
        let figures = [
            rate("new_rate", 100.0),
            Figure::shown("standalone-create.p50", 1.0, "ms"),
        ];
        assert_eq!(charts(Case::StandaloneCreate, &figures).unwrap(), []);
    }
}
