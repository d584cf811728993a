//! The operator's page tells every setting and every metric as the code has them.

use kith_runtime::config::table;
use kith_runtime::metrics::{CATALOGUE, Kind};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operations.md");

/// Rows that begin like this, in the order of the page.
fn rows(page: &str, begins: &str) -> Vec<String> {
    let rows = page.lines().filter(|line| line.starts_with(begins));
    rows.map(str::to_owned).collect()
}

/// Each is there once, and no other. A failure shows the row to write.
fn compare(mut found: Vec<String>, mut wanted: Vec<String>) {
    found.sort();
    wanted.sort();
    for row in &wanted {
        assert!(found.contains(row), "docs/operations.md lacks\n{row}");
    }
    assert_eq!(found, wanted);
}

#[test]
fn it_has_every_setting_with_its_default_and_its_help() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let wanted = table::ALL.iter().map(|setting| {
        let default = setting
            .default
            .map_or_else(|| "none".to_owned(), |text| format!("`{text}`"));
        format!("| `{}` | {default} | {} |", setting.variable(), setting.help)
    });
    compare(rows(&page, "| `KITH_"), wanted.collect());
}

#[test]
fn it_has_every_metric_with_its_kind_labels_and_meaning() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let wanted = CATALOGUE.iter().map(|metric| {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let labels: Vec<String> = metric
            .labels
            .iter()
            .map(|label| format!("`{}`", label.name))
            .collect();
        format!(
            "| `{}` | {kind} | {} | {} |",
            metric.name,
            labels.join(", "),
            metric.help
        )
    });
    let found = [rows(&page, "| `kith_"), rows(&page, "| `process_")].concat();
    compare(found, wanted.collect());
}
