//! Lines: what something costs against how much there is, which is on a scale of powers of ten.

use anyhow::Result;
use plotters::prelude::{
    BLACK, ChartBuilder, Circle, Color as _, IntoDrawingArea as _, IntoLogRange as _, PathElement,
    SVGBackend, SeriesLabelPosition, WHITE,
};

use super::{COLOURS, FONT, WIDTH, distinct};
use crate::figure::Figure;

const HEIGHT: u32 = 420;
/// Space above the highest value, in which the names of the lines are.
const HEAD: f64 = 1.35;

pub(super) fn draw(title: &str, what: &str, unit: &str, figures: &[&Figure]) -> Result<String> {
    let points: Vec<(&str, f64, &Figure)> = (figures.iter())
        .filter_map(|figure| {
            let point = figure.point.as_ref()?;
            Some((point.line.as_str(), point.at, *figure))
        })
        .collect();
    let least = points.iter().map(|(_, at, _)| *at).fold(f64::MAX, f64::min);
    let most = points.iter().map(|(_, at, _)| *at).fold(least, f64::max);
    let value = |figure: &Figure| figure.spread.map_or(figure.value, |spread| spread.most);
    let top = points.iter().map(|(_, _, figure)| value(figure));
    let top = top.fold(f64::MIN_POSITIVE, f64::max) * HEAD;
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH, HEIGHT)).into_drawing_area();
        area.fill(&WHITE)?;
        // A scale of powers needs some length, even where all is measured at one size.
        let across = (least * 0.8..most.max(least * 1.01) * 1.25).log_scale();
        let mut chart = ChartBuilder::on(&area)
            .caption(title, (FONT, 17))
            .margin(14)
            .x_label_area_size(44)
            .y_label_area_size(64)
            .build_cartesian_2d(across, 0.0..top)?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .x_desc(what)
            .y_desc(unit)
            .x_label_formatter(&|at| power(*at))
            .label_style((FONT, 13))
            .draw()?;
        let names = distinct(points.iter().map(|(line, _, _)| *line));
        for (line, colour) in names.into_iter().zip(COLOURS.into_iter().cycle()) {
            let mut own: Vec<(f64, &Figure)> = (points.iter())
                .filter(|(of, _, _)| *of == line)
                .map(|(_, at, figure)| (*at, *figure))
                .collect();
            own.sort_by(|(one, _), (other, _)| one.total_cmp(other));
            let path: Vec<(f64, f64)> =
                own.iter().map(|(at, figure)| (*at, figure.value)).collect();
            chart
                .draw_series([PathElement::new(path.clone(), colour.stroke_width(2))])?
                .label(line)
                .legend(move |(x, y)| {
                    PathElement::new(vec![(x, y), (x + 18, y)], colour.stroke_width(2))
                });
            let dots = path
                .into_iter()
                .map(|at| Circle::new(at, 3, colour.filled()));
            chart.draw_series(dots)?;
            let spreads = own.iter().filter_map(|(at, figure)| {
                let spread = figure.spread?;
                let line = vec![(*at, spread.least), (*at, spread.most)];
                Some(PathElement::new(line, colour.mix(0.6).stroke_width(1)))
            });
            chart.draw_series(spreads)?;
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.85))
            .border_style(BLACK.mix(0.3))
            .label_font((FONT, 13))
            .draw()?;
        area.present()?;
    }
    Ok(svg)
}

/// A number of the scale: powers of ten as such, from a thousand on.
fn power(at: f64) -> String {
    let exponent = at.log10();
    if exponent >= 3.0 && (exponent - exponent.round()).abs() < 1e-9 {
        format!("10^{exponent:.0}")
    } else {
        format!("{at:.0}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_powers_of_ten_are_written_as_such() {
        let texts = [1.0, 95.0, 100.0, 1e4, 2e4, 1e7].map(power);
        assert_eq!(texts, ["1", "95", "100", "10^4", "20000", "10^7"]);
    }
}
