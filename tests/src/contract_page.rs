//! `docs/contract.md` names the test that shows each row of the contract: every one of them is there.

use std::collections::BTreeMap;

use crate::servers::workspace;

const PAGE: &str = include_str!("../../docs/contract.md");

/// The rows of the tables below each heading, without their heads.
fn rows() -> BTreeMap<&'static str, Vec<&'static str>> {
    let mut rows: BTreeMap<_, Vec<_>> = BTreeMap::new();
    let mut heading = "";
    for line in PAGE.lines() {
        if let Some(text) = line.strip_prefix("## ") {
            heading = text;
        } else if line.starts_with("| ") && !line.ends_with("| Shown by |") {
            rows.entry(heading).or_default().push(line);
        }
    }
    rows
}

/// The tests that a row names: a file, and what is called so in it.
fn tests_of(row: &'static str) -> Vec<(&'static str, &'static str)> {
    let quoted = row.split('`').skip(1).step_by(2);
    quoted.filter_map(|text| text.split_once("::")).collect()
}

#[test]
fn every_row_names_a_test_and_every_test_is_there() {
    for row in rows().into_values().flatten() {
        let tests = tests_of(row);
        assert!(!tests.is_empty(), "no test: {row}");
        for (file, name) in tests {
            let path = workspace().join(file);
            let source = std::fs::read_to_string(&path)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let defined = [
                format!("fn {name}("),
                format!("fn {name}<"),
                format!("def {name}("),
                format!("test(\"{name}\""),
            ];
            assert!(
                defined.iter().any(|text| source.contains(text)),
                "{file} has no {name}"
            );
        }
    }
}

#[test]
fn no_row_of_the_reference_is_left_out() {
    let count: BTreeMap<_, _> = rows()
        .into_iter()
        .map(|(heading, rows)| (heading, rows.len()))
        .collect();
    // Some rows of the reference are two here: codes that mean two things.
    let expected = [
        ("Codes of every operation", 15),
        ("Codes of the product", 14),
        ("Limits", 26),
        ("What clients rely on", 10),
    ];
    assert_eq!(count, expected.into());
    let codes = rows().remove("Codes of the product").unwrap_or_default();
    for code in [41, 42, 43, 44, 45, 46, 47, 49, 50, 51, 52, 53, 54, 55] {
        let begin = format!("| 5200{code} |");
        assert!(codes.iter().any(|row| row.starts_with(&begin)), "{code}");
    }
}
