//! Bars: a value each, with a line from the least of its repetitions to the most.

use anyhow::Result;
use plotters::prelude::{
    BLACK, Color as _, IntoDrawingArea as _, IntoFont as _, IntoTextStyle as _, PathElement,
    Rectangle, SVGBackend, Text, TextStyle, WHITE,
};
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::{COLOURS, FONT, WIDTH};
use crate::figure::Figure;

/// Height of the title.
const TOP: i32 = 44;
/// Height of a bar with the space below it.
const ROW: i32 = 24;
/// Height of a bar.
const BAR: i32 = 15;
/// Where bars begin: to the left of it are their names.
const LEFT: i32 = 330;
/// Length of the longest bar, or of the line on it.
const LONGEST: f64 = 440.0;
/// Half the height of the ends of a spread's line.
const END: i32 = 4;

pub(super) fn draw(title: &str, figures: &[&Figure]) -> Result<String> {
    let rows = i32::try_from(figures.len())?;
    let height = u32::try_from(TOP + rows * ROW + 12)?;
    let most = |figure: &&Figure| figure.spread.map_or(figure.value, |spread| spread.most);
    let most = figures.iter().map(most).fold(f64::MIN_POSITIVE, f64::max);
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        area.fill(&WHITE)?;
        area.draw(&Text::new(
            title.to_owned(),
            (16, TOP / 2),
            text(17, HPos::Left),
        ))?;
        for (row, figure) in (0..).zip(figures) {
            let top = TOP + row * ROW;
            let middle = top + BAR / 2;
            let end = place(figure.value, most);
            let bar = [(LEFT, top), (end, top + BAR)];
            area.draw(&Rectangle::new(bar, COLOURS[0].mix(0.75).filled()))?;
            let mut right = end;
            if let Some(spread) = figure.spread {
                let (from, to) = (place(spread.least, most), place(spread.most, most));
                right = right.max(to);
                for line in [
                    vec![(from, middle), (to, middle)],
                    vec![(from, middle - END), (from, middle + END)],
                    vec![(to, middle - END), (to, middle + END)],
                ] {
                    area.draw(&PathElement::new(line, BLACK))?;
                }
            }
            let name = Text::new(figure.words(), (LEFT - 8, middle), text(13, HPos::Right));
            area.draw(&name)?;
            let value = format!("{:.0}", figure.value);
            area.draw(&Text::new(value, (right + 8, middle), text(13, HPos::Left)))?;
        }
        area.present()?;
    }
    Ok(svg)
}

fn text(size: i32, side: HPos) -> TextStyle<'static> {
    let style = (FONT, size).into_font().into_text_style(&(WIDTH, 1));
    style.pos(Pos::new(side, VPos::Center))
}

/// Where a value ends, in pixels.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a part of the longest, in pixels"
)]
fn place(value: f64, most: f64) -> i32 {
    LEFT + (LONGEST * value / most).round() as i32
}
