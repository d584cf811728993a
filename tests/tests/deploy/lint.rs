//! The tools' own judgement.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use serde::Deserialize;

use crate::objects::{OVERLAYS, examples, parsed, yaml};
use crate::tools::{deploy, prints, script, tool};

/// The kinds that no schema of Kubernetes itself knows: their projects define them. Here they are parsed, and no more.
pub(crate) const DEFINED_ELSEWHERE: [&str; 5] = [
    "gateway.networking.k8s.io/v1/Gateway",
    "gateway.networking.k8s.io/v1/HTTPRoute",
    "keda.sh/v1alpha1/ScaledObject",
    "keda.sh/v1alpha1/TriggerAuthentication",
    "monitoring.coreos.com/v1/ServiceMonitor",
];
/// The same of the examples. Nobody here has their definitions, `make verify-deploy` neither.
pub(crate) const DEFINED_ELSEWHERE_IN_EXAMPLES: [&str; 5] = [
    "kafka.strimzi.io/v1/Kafka",
    "kafka.strimzi.io/v1/KafkaNodePool",
    "kafka.strimzi.io/v1/KafkaTopic",
    "kafka.strimzi.io/v1/KafkaUser",
    "scylla.scylladb.com/v1/ScyllaCluster",
];

#[derive(Debug, Deserialize)]
struct Report {
    versions: Vec<String>,
    unknown: BTreeSet<String>,
    accepted: BTreeMap<String, usize>,
    refused: Vec<String>,
}

fn judged(yaml: &str) -> Result<Report> {
    Ok(serde_json::from_str(&prints(
        script("validate.py")?,
        yaml,
    )?)?)
}

/// Every object is accepted by three versions of Kubernetes, save those of exactly these kinds.
pub(crate) fn are_accepted(yaml: &str, elsewhere: &[&str]) -> Result<()> {
    let report = judged(yaml)?;
    ensure!(report.refused.is_empty(), "{:#?}", report.refused);
    let elsewhere: BTreeSet<String> = elsewhere.iter().map(ToString::to_string).collect();
    ensure!(
        report.unknown == elsewhere,
        "unknown: {:#?}",
        report.unknown
    );
    let objects = parsed(yaml)?;
    let known = objects
        .iter()
        .filter(|object| !elsewhere.contains(&object.versioned_kind()));
    let known = known.count();
    ensure!(report.versions.len() == 3 && known > 0, "{report:?}");
    for version in &report.versions {
        ensure!(report.accepted[version] == known, "{report:?}");
    }
    Ok(())
}

#[test]
fn every_overlay_is_accepted_by_the_three_newest_versions_of_kubernetes() -> Result<()> {
    for overlay in OVERLAYS {
        let elsewhere: &[&str] = match overlay {
            "production" => &DEFINED_ELSEWHERE,
            _ => &[],
        };
        are_accepted(&yaml(overlay)?, elsewhere)?;
    }
    Ok(())
}

#[test]
fn the_examples_are_accepted_as_far_as_kubernetes_knows_them() -> Result<()> {
    are_accepted(&examples()?, &DEFINED_ELSEWHERE_IN_EXAMPLES)
}

#[test]
fn what_kubernetes_would_refuse_is_refused_here() -> Result<()> {
    let yaml = yaml("production")?;
    let wrong = [
        ("maxUnavailable: 1", "maxUnavailable: [1]"),
        ("terminationGracePeriodSeconds:", "terminationGraceSeconds:"),
    ];
    for (right, wrong) in wrong {
        ensure!(yaml.contains(right), "{right} is not there");
        let report = judged(&yaml.replace(right, wrong))?;
        ensure!(!report.refused.is_empty(), "{wrong} is taken: {report:?}");
    }
    Ok(())
}

#[test]
fn every_yaml_file_is_clean() -> Result<()> {
    let mut yamllint = tool("venv/bin/yamllint")?;
    yamllint
        .args(["--strict", "--config-file", "tests/deploy/yamllint.yaml"])
        .arg(deploy(""));
    prints(yamllint, "").map(drop)
}

#[test]
fn the_dockerfile_is_clean() -> Result<()> {
    let mut hadolint = tool("venv/bin/hadolint")?;
    hadolint.arg(deploy("images/Dockerfile"));
    prints(hadolint, "").map(drop)
}
