//! A list of the differences between two descriptions that were chosen, each with its reason: what differs and is not on it is
//! found, and so is what is on it and does not differ.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// What differs: one line for each fact that is not the same in both. Of what only one of them has, nothing is said but that.
#[must_use]
pub fn differences(
    theirs: &BTreeMap<String, String>,
    ours: &BTreeMap<String, String>,
) -> Vec<String> {
    let mut both: BTreeMap<&String, (Option<&String>, Option<&String>)> = BTreeMap::new();
    for (about, fact) in theirs {
        both.insert(about, (Some(fact), None));
    }
    for (about, fact) in ours {
        match both.entry(about) {
            Entry::Vacant(entry) => {
                entry.insert((None, Some(fact)));
            }
            Entry::Occupied(mut entry) => entry.get_mut().1 = Some(fact),
        }
    }
    let shown = |fact: Option<&String>| {
        fact.map_or_else(|| "nothing".to_owned(), |fact| format!("`{fact}`"))
    };
    let mut only = None;
    both.into_iter()
        .filter(|(_, (theirs, ours))| theirs != ours)
        .filter(|(about, (theirs, ours))| {
            let is_part = only.is_some_and(|only| is_part(about, only));
            if !is_part && (theirs.is_none() || ours.is_none()) {
                only = Some(*about);
            }
            !is_part
        })
        .map(|(about, (theirs, ours))| {
            format!("{about}: {} there, {} here", shown(theirs), shown(ours))
        })
        .collect()
}

/// Whether a fact is about a part of something.
fn is_part(about: &str, whole: &str) -> bool {
    let rest = about.strip_prefix(whole);
    rest.is_some_and(|rest| rest.starts_with(['.', ':', '<', '[', ' ']))
}

/// Differences that were chosen.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chosen {
    difference: Vec<Difference>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Difference {
    reason: String,
    /// Each as [`differences`] writes it, once; or `7 of ` and a pattern with `*` for anything, which fits so many.
    lines: Vec<String>,
}

impl Chosen {
    /// Reads a list.
    ///
    /// # Errors
    /// When it is none, or a reason is missing.
    pub fn read(text: &str) -> Result<Self> {
        let chosen: Self = toml::from_str(text)?;
        for difference in &chosen.difference {
            ensure!(
                !difference.reason.trim().is_empty(),
                "a difference without a reason"
            );
            ensure!(
                !difference.lines.is_empty(),
                "no line: {}",
                difference.reason
            );
        }
        Ok(chosen)
    }

    /// What is wrong with the list: differences that are not on it, lines that fit another number of differences than they say.
    ///
    /// # Errors
    /// A line that cannot be read.
    pub fn wrong(&self, differences: &[String]) -> Result<Vec<String>> {
        let mut wrong = Vec::new();
        let mut is_chosen = vec![0; differences.len()];
        for line in self.difference.iter().flat_map(|one| &one.lines) {
            let (times, pattern) = match line.split_once(" of ") {
                Some((times, pattern)) if pattern.contains('*') => (
                    times.parse().with_context(|| format!("how many: {line}"))?,
                    pattern,
                ),
                _ => (1, line.as_str()),
            };
            let mut found = 0;
            for (difference, times) in differences.iter().zip(&mut is_chosen) {
                if fits(pattern, difference) {
                    found += 1;
                    *times += 1;
                }
            }
            if found != times {
                wrong.push(format!(
                    "on the list, and {found} times so, not {times}: {line}"
                ));
            }
        }
        for (difference, times) in differences.iter().zip(is_chosen) {
            match times {
                0 => wrong.push(format!("not on the list: {difference}")),
                1 => {}
                _ => wrong.push(format!("on the list more than once: {difference}")),
            }
        }
        Ok(wrong)
    }
}

/// Whether a text is a pattern with anything in the place of each `*`.
fn fits(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(text) = text.strip_prefix(start) else {
        return false;
    };
    text.char_indices()
        .map(|(at, _)| at)
        .chain([text.len()])
        .any(|at| fits(rest, &text[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(all: &[(&str, &str)]) -> BTreeMap<String, String> {
        let owned = |(about, fact): &(&str, &str)| ((*about).to_owned(), (*fact).to_owned());
        all.iter().map(owned).collect()
    }

    fn found() -> Vec<String> {
        differences(
            &facts(&[("a", "1"), ("b", "1"), ("c x", "1"), ("same", "1")]),
            &facts(&[("b", "2"), ("c y", "1"), ("c y.z", "1"), ("same", "1")]),
        )
    }

    #[test]
    fn what_is_not_the_same_in_both_is_a_line() {
        let expected = [
            "a: `1` there, nothing here",
            "b: `1` there, `2` here",
            "c x: `1` there, nothing here",
            "c y: nothing there, `1` here",
        ];
        assert_eq!(found(), expected);
    }

    #[test]
    fn a_list_must_have_every_difference_once_and_nothing_else() -> Result<()> {
        let wrong = |lines: &[&str]| -> Result<Vec<String>> {
            let text = format!("[[difference]]\nreason = \"r\"\nlines = {lines:?}");
            Chosen::read(&text)?.wrong(&found())
        };
        let (a, b) = ("a: `1` there, nothing here", "b: `1` there, `2` here");
        assert!(wrong(&[a, b, "2 of c *"])?.is_empty());
        assert_eq!(wrong(&[a, b])?.len(), 2);
        // A line that no longer holds, a number that does not, a difference that two lines choose.
        assert_eq!(
            wrong(&[a, b, "2 of c *", "d: `1` there, nothing here"])?.len(),
            1
        );
        assert_eq!(wrong(&[a, b, "3 of c *"])?.len(), 1);
        assert_eq!(wrong(&[a, b, "2 of c *", "1 of a*"])?.len(), 1);
        Ok(())
    }

    #[test]
    fn a_difference_has_a_reason() {
        for text in [
            "[[difference]]\nlines = [\"a\"]",
            "[[difference]]\nreason = \" \"\nlines = [\"a\"]",
            "[[difference]]\nreason = \"r\"\nlines = []",
        ] {
            assert!(Chosen::read(text).is_err(), "{text}");
        }
    }
}
