//! What `deploy/observability` holds, read as Prometheus and Grafana read it, and whether running services show what it asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use kith_runtime::metrics::CATALOGUE;
use serde::Deserialize;
use serde_json::Value;

use crate::exposition::Series;
use crate::promql::{Selector, selectors};
use crate::servers::workspace;

/// Labels that Prometheus gives every series of a process.
const OF_THE_TARGET: [&str; 2] = ["job", "instance"];

/// The folder.
#[must_use]
pub fn folder() -> PathBuf {
    workspace().join("deploy/observability")
}

/// The files with this ending in a folder below, in order.
///
/// # Errors
/// When it cannot be read, or there are none.
pub fn files(below: &str, ending: &str) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder().join(below))? {
        let path = entry?.path();
        if path.extension().is_some_and(|found| found == ending) {
            files.push(path);
        }
    }
    files.sort();
    ensure!(!files.is_empty(), "no {ending} files in {below}");
    Ok(files)
}

/// A rule, of either kind.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The name of what it records.
    pub record: Option<String>,
    /// The name of the alert.
    pub alert: Option<String>,
    /// The query.
    pub expr: String,
    /// How long an alert waits.
    #[serde(rename = "for")]
    pub waits: Option<String>,
    /// What it adds to the labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// What it says.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
struct RuleFile {
    groups: Vec<Group>,
}

#[derive(Debug, Deserialize)]
struct Group {
    rules: Vec<Rule>,
}

/// All rules.
///
/// # Errors
/// When a file is not one of rules.
pub fn rules() -> Result<Vec<Rule>> {
    let mut rules = Vec::new();
    for path in files("rules", "yml")? {
        let text = std::fs::read_to_string(&path)?;
        let file: RuleFile =
            serde_yaml_ng::from_str(&text).with_context(|| path.display().to_string())?;
        rules.extend(file.groups.into_iter().flat_map(|group| group.rules));
    }
    Ok(rules)
}

/// A unit test of alerts.
#[derive(Debug, Deserialize)]
pub struct AlertTest {
    /// What is expected when.
    pub alert_rule_test: Vec<Expected>,
}

/// What is expected of one alert at one time.
#[derive(Debug, Deserialize)]
pub struct Expected {
    /// The alert.
    pub alertname: String,
    /// The alerts that fire then.
    pub exp_alerts: Vec<Value>,
}

#[derive(Debug, Deserialize)]
struct TestFile {
    tests: Vec<AlertTest>,
}

/// The unit tests of the alerts.
///
/// # Errors
/// When a file is not one of them.
pub fn alert_tests() -> Result<Vec<AlertTest>> {
    let mut tests = Vec::new();
    for path in files("tests", "yml")? {
        let file: TestFile = serde_yaml_ng::from_str(&std::fs::read_to_string(&path)?)?;
        tests.extend(file.tests);
    }
    Ok(tests)
}

/// A dashboard, as its file has it.
#[derive(Debug)]
pub struct Dashboard {
    /// The file's name without its ending.
    pub name: String,
    /// All of it.
    pub json: Value,
}

impl Dashboard {
    /// Its panels, rows apart.
    pub fn panels(&self) -> impl Iterator<Item = &Value> {
        let panels = self.json["panels"].as_array().into_iter().flatten();
        panels.filter(|panel| panel["type"] != "row")
    }

    /// The queries of its panels, each with the panel's title, and with an interval where Grafana puts one in.
    #[must_use]
    pub fn queries(&self) -> Vec<(String, String)> {
        let mut queries = Vec::new();
        for panel in self.panels() {
            let title = format!("{}: {}", self.name, panel["title"].as_str().unwrap_or("?"));
            for target in panel["targets"].as_array().into_iter().flatten() {
                let query = target["expr"].as_str().unwrap_or_default();
                queries.push((title.clone(), query.replace("$__rate_interval", "5m")));
            }
        }
        queries
    }
}

/// All dashboards.
///
/// # Errors
/// When one is not JSON.
pub fn dashboards() -> Result<Vec<Dashboard>> {
    let mut dashboards = Vec::new();
    for path in files("dashboards", "json")? {
        let json = serde_json::from_str(&std::fs::read_to_string(&path)?)?;
        let name = path.file_stem().unwrap_or_default();
        dashboards.push(Dashboard {
            name: name.to_string_lossy().into_owned(),
            json,
        });
    }
    Ok(dashboards)
}

/// Runs `promtool` in a folder.
///
/// # Errors
/// When it is not installed, or says no; with what it said.
pub fn promtool(dir: &Path, arguments: &[&str]) -> Result<Output> {
    let output = Command::new("promtool")
        .args(arguments)
        .current_dir(dir)
        .output()
        .context("promtool, of Debian's package prometheus: deploy/local/prepare installs it")?;
    ensure!(
        output.status.success(),
        "promtool {}: {}{}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output)
}

/// What queries may ask for: series that are shown, and what the rules record.
#[derive(Debug)]
pub struct Shown {
    series: BTreeMap<String, Vec<BTreeMap<String, String>>>,
    records: BTreeMap<String, BTreeSet<String>>,
}

impl Shown {
    /// What these series and rules give.
    ///
    /// # Errors
    /// When a rule's query is not read.
    pub fn new(series: Vec<Series>, rules: &[Rule]) -> Result<Self> {
        let mut by_name: BTreeMap<String, Vec<_>> = BTreeMap::new();
        for one in series {
            by_name.entry(one.name).or_default().push(one.labels);
        }
        let mut records = BTreeMap::new();
        for rule in rules {
            if let Some(record) = &rule.record {
                let kept = selectors(&rule.expr)?.into_iter();
                let kept = kept.flat_map(|one| one.grouped_by).collect();
                records.insert(record.clone(), kept);
            }
        }
        Ok(Self {
            series: by_name,
            records,
        })
    }

    /// Why a query finds nothing; empty if it may find something.
    ///
    /// # Errors
    /// When the query is not read.
    pub fn lacks(&self, query: &str) -> Result<Vec<String>> {
        let found = selectors(query).with_context(|| query.to_owned())?;
        ensure!(!found.is_empty(), "{query}: no metric in it");
        Ok(found
            .iter()
            .flat_map(|selector| self.of(selector))
            .collect())
    }

    fn of(&self, selector: &Selector) -> Vec<String> {
        let metric = &selector.metric;
        let labels = selector.matchers.iter().map(|matcher| &matcher.label);
        let labels = labels.chain(&selector.grouped_by);
        let labels: BTreeSet<&String> = labels
            .filter(|label| !OF_THE_TARGET.contains(&label.as_str()))
            .collect();
        // Prometheus' own: whether it reached the process.
        if metric == "up" {
            return labels
                .iter()
                .map(|label| format!("up has no {label}"))
                .collect();
        }
        if let Some(kept) = self.records.get(metric) {
            let lacks = labels.iter().filter(|label| !kept.contains(**label));
            return lacks
                .map(|label| format!("{metric} keeps no {label}"))
                .collect();
        }
        let Some(shown) = self.series.get(metric) else {
            return vec![format!("nobody shows {metric}")];
        };
        let mut lacks = Vec::new();
        for label in labels {
            if !shown.iter().any(|one| one.contains_key(label)) {
                lacks.push(format!("{metric} has no label {label}"));
            }
        }
        for matcher in &selector.matchers {
            let label = &matcher.label;
            if OF_THE_TARGET.contains(&label.as_str()) {
                continue;
            }
            for value in matcher.wanted() {
                let is_shown = shown
                    .iter()
                    .any(|one| one.get(label).is_some_and(|found| found == value));
                if !is_shown && !is_declared(metric, label, value) {
                    lacks.push(format!("{metric} has never {label}=\"{value}\""));
                }
            }
        }
        lacks
    }
}

/// Whether the catalogue says that the label has this value at times, such as in an outage.
fn is_declared(metric: &str, label: &str, value: &str) -> bool {
    let ends = ["_bucket", "_sum", "_count", ""];
    let names = ends.iter().filter_map(|end| metric.strip_suffix(end));
    let names: Vec<&str> = names.collect();
    let mut metrics = CATALOGUE.iter().filter(|one| names.contains(&one.name));
    metrics.any(|one| {
        let mut labels = one.labels.iter();
        labels.any(|one| one.name == label && one.values.contains(&value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition::series;

    const PAGE: &str = "kith_a{x=\"1\"} 1\nkith_publish_seconds_count{outcome=\"ok\"} 3\n";

    fn lacks(query: &str) -> Vec<String> {
        let rule = Rule {
            record: Some("job:r:sum".to_owned()),
            alert: None,
            expr: "sum by (job, x) (kith_a)".to_owned(),
            waits: None,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
        };
        let shown = Shown::new(series(PAGE).unwrap(), &[rule]).unwrap();
        shown.lacks(query).unwrap()
    }

    #[test]
    fn what_is_shown_may_be_asked_for() {
        for query in [
            r#"sum by (job, instance, x) (kith_a{x="1", job="any"})"#,
            r#"job:r:sum{x="2"}"#,
            r#"up{job="kith"}"#,
            r#"kith_publish_seconds_count{outcome=~"ok|unavailable"}"#,
        ] {
            assert_eq!(lacks(query), Vec::<String>::new(), "{query}");
        }
    }

    #[test]
    fn what_nobody_shows_is_named() {
        for (query, expected) in [
            ("kith_b", "nobody shows kith_b"),
            ("kith_a{y!=\"\"}", "kith_a has no label y"),
            ("sum by (y) (kith_a)", "kith_a has no label y"),
            ("kith_a{x=\"2\"}", "kith_a has never x=\"2\""),
            (
                "kith_publish_seconds_count{outcome=\"late\"}",
                "kith_publish_seconds_count has never outcome=\"late\"",
            ),
            ("sum by (y) (job:r:sum)", "job:r:sum keeps no y"),
            ("sum by (x) (up)", "up has no x"),
        ] {
            assert_eq!(lacks(query), [expected], "{query}");
        }
    }
}
