//! Prometheus' text format, as `/metrics` gives it: which series are shown.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

/// A series that is shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// The name; of a histogram's with `_bucket`, `_sum` or `_count`.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

/// The series of a page.
///
/// # Errors
/// When a line is not one.
pub fn series(page: &str) -> Result<Vec<Series>> {
    let lines = page.lines();
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| one(line).with_context(|| line.to_owned()))
        .collect()
}

fn one(line: &str) -> Result<Series> {
    let end = line.find(['{', ' ']).context("a name")?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = BTreeMap::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        while !rest.starts_with('}') {
            let (label, after) = rest.split_once("=\"").context("a label")?;
            let (value, after) = text(after)?;
            labels.insert(label.to_owned(), value);
            rest = after.strip_prefix(',').unwrap_or(after);
        }
        rest = &rest[1..];
    }
    let value = rest.trim().parse().context("a value")?;
    ensure!(!name.is_empty(), "a name");
    Ok(Series {
        name: name.to_owned(),
        labels,
        value,
    })
}

/// A text up to its closing quote, and what is behind that.
fn text(rest: &str) -> Result<(String, &str)> {
    let mut text = String::new();
    let mut chars = rest.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((text, &rest[at + 1..])),
            '\\' => match chars.next().context("what is escaped")?.1 {
                'n' => text.push('\n'),
                other => text.push(other),
            },
            other => text.push(other),
        }
    }
    anyhow::bail!("a text without an end")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_labels_and_values_are_read() {
        let page = "# HELP a b\n# TYPE a counter\na 1\n\nb_bucket{x=\"1, \\\"}\\\\\",le=\"+Inf\"} 2.5\nc{} NaN\n";
        let found = series(page).unwrap();
        assert_eq!((found[0].name.as_str(), found[0].value), ("a", 1.0));
        assert_eq!(found[1].name, "b_bucket");
        assert_eq!(found[1].labels["x"], "1, \"}\\");
        assert_eq!(found[1].labels["le"], "+Inf");
        assert!(found[2].value.is_nan());
    }

    #[test]
    fn a_line_that_is_none_is_refused() {
        for line in ["a", "a{x=\"1} 2", "a{x} 2", "a b", " 1"] {
            series(line).expect_err(line);
        }
    }
}
