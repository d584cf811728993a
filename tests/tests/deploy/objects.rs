//! The objects of an overlay, as `kubectl kustomize` renders them.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use kith_runtime::config::{Kind, Setting, SettingSet, Settings, table};
use kith_tests::servers::workspace;
use serde_json::Value;

use crate::tools::{deploy, prints, script, text, tool};

/// Every overlay.
pub(crate) const OVERLAYS: [&str; 2] = ["development", "production"];
/// The services, which are Deployments in every overlay.
pub(crate) const SERVICES: [&str; 2] = ["ingest-api", "trait-worker"];

/// A file that is there, and empty.
const NO_FILE: &str = "/dev/null";

/// An object.
#[derive(Debug, Clone)]
pub(crate) struct Object(Value);

/// The YAML that an overlay is rendered to.
pub(crate) fn yaml(overlay: &str) -> Result<String> {
    kustomize(&deploy("kubernetes/overlays").join(overlay))
}

/// The YAML that an overlay is rendered to with one component more, as somebody's own overlay would have it.
pub(crate) fn yaml_with(overlay: &str, component: &str) -> Result<String> {
    // Other folders are found by relative paths only.
    let target = workspace().join("target");
    std::fs::create_dir_all(&target)?;
    let own = tempfile::tempdir_in(target)?;
    let kubernetes = "../../deploy/kubernetes";
    let text = format!(
        "resources: [{kubernetes}/overlays/{overlay}]\ncomponents: [{kubernetes}/components/{component}]\n"
    );
    std::fs::write(own.path().join("kustomization.yaml"), text)?;
    kustomize(own.path())
}

fn kustomize(folder: &Path) -> Result<String> {
    let mut kubectl = tool("venv/bin/kubectl")?;
    kubectl.arg("kustomize").arg(folder);
    prints(kubectl, "")
}

/// The YAML of the examples.
pub(crate) fn examples() -> Result<String> {
    let examples = [
        text("kubernetes/examples/kafka.yaml")?,
        text("kubernetes/examples/scylla.yaml")?,
    ];
    Ok(examples.join("\n---\n"))
}

/// The objects of a YAML text.
pub(crate) fn parsed(yaml: &str) -> Result<Vec<Object>> {
    let documents: Vec<Value> = serde_json::from_str(&prints(script("documents.py")?, yaml)?)?;
    Ok(documents.into_iter().map(Object).collect())
}

/// The objects of an overlay.
pub(crate) fn rendered(overlay: &str) -> Result<Vec<Object>> {
    let objects = parsed(&yaml(overlay)?)?;
    ensure!(objects.len() > 10, "{overlay} has {}", objects.len());
    Ok(objects)
}

/// Those of a kind.
pub(crate) fn of<'a>(objects: &'a [Object], kind: &'a str) -> impl Iterator<Item = &'a Object> {
    objects.iter().filter(move |object| object.kind() == kind)
}

/// The one of this kind and name.
pub(crate) fn the<'a>(objects: &'a [Object], kind: &'a str, name: &str) -> Result<&'a Object> {
    let mut found = of(objects, kind).filter(|object| object.name() == name);
    let one = found.next().with_context(|| format!("no {kind} {name}"))?;
    ensure!(found.next().is_none(), "two of {kind} {name}");
    Ok(one)
}

impl Object {
    /// What is at a JSON pointer; null if nothing is.
    pub(crate) fn at(&self, pointer: &str) -> &Value {
        self.0.pointer(pointer).unwrap_or(&Value::Null)
    }

    pub(crate) fn text(&self, pointer: &str) -> &str {
        self.at(pointer).as_str().unwrap_or_default()
    }

    pub(crate) fn number(&self, pointer: &str) -> Result<u64> {
        let number = self.at(pointer).as_u64();
        number.with_context(|| format!("{self} has no number at {pointer}"))
    }

    pub(crate) fn list(&self, pointer: &str) -> &[Value] {
        self.at(pointer).as_array().map_or(&[], Vec::as_slice)
    }

    pub(crate) fn kind(&self) -> &str {
        self.text("/kind")
    }

    /// Its kind with the version of the API that has it.
    pub(crate) fn versioned_kind(&self) -> String {
        format!("{}/{}", self.text("/apiVersion"), self.kind())
    }

    /// What it is made of.
    pub(crate) fn value(&self) -> &Value {
        &self.0
    }

    pub(crate) fn name(&self) -> &str {
        self.text("/metadata/name")
    }

    /// Whether a selector's labels are among those at a pointer. A selector without labels is none.
    pub(crate) fn has_labels(&self, pointer: &str, selector: &Value) -> bool {
        selector.as_object().is_some_and(|selector| {
            !selector.is_empty()
                && selector
                    .iter()
                    .all(|(name, value)| self.at(pointer).get(name) == Some(value))
        })
    }

    /// The one container of its pods.
    pub(crate) fn container(&self) -> Result<Self> {
        let containers = self.list("/spec/template/spec/containers");
        let [container] = containers else {
            anyhow::bail!("{self} has {} containers", containers.len());
        };
        ensure!(
            self.at("/spec/template/spec/initContainers").is_null(),
            "{self} has more containers"
        );
        Ok(Self(container.clone()))
    }

    /// The environment that its container gets: maps, and variables over them. What only the cluster knows is left out.
    pub(crate) fn environment(&self, objects: &[Self]) -> Result<BTreeMap<String, String>> {
        let container = self.container()?;
        let mut environment = BTreeMap::new();
        for from in container.list("/envFrom") {
            let name = from.pointer("/configMapRef/name").and_then(Value::as_str);
            let map = the(objects, "ConfigMap", name.context("not from a map")?)?;
            for (name, value) in map.at("/data").as_object().into_iter().flatten() {
                environment.insert(name.clone(), value.as_str().unwrap_or_default().to_owned());
            }
        }
        for variable in container.list("/env") {
            let name = variable["name"].as_str().context("no name")?;
            if let Some(value) = variable["value"].as_str() {
                environment.insert(name.to_owned(), value.to_owned());
            }
        }
        Ok(environment)
    }

    /// The settings that the service in it has.
    pub(crate) fn settings(&self, objects: &[Self]) -> Result<Settings> {
        settings(&self.environment(objects)?)
    }
}

impl std::fmt::Display for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.kind(), self.name())
    }
}

/// The settings that name files.
pub(crate) fn files() -> impl Iterator<Item = &'static Setting> {
    let all = table::ALL.iter().copied();
    all.filter(|setting| matches!(setting.kind, Kind::File | Kind::SecretFile))
}

/// The settings of an environment, checked as a service checks them; each of its variables must be one. In place of
/// each file is one that is there: a service looks for it.
pub(crate) fn settings(environment: &BTreeMap<String, String>) -> Result<Settings> {
    let all = table::ALL.iter().copied();
    let all: Vec<_> = all.filter(|setting| *setting != &table::CONFIG).collect();
    for name in environment.keys().filter(|name| name.starts_with("KITH_")) {
        ensure!(
            all.iter().any(|setting| setting.variable() == *name),
            "{name} is no setting"
        );
    }
    let taken = SettingSet::new("deploy").take(&all);
    let matches = taken
        .parse(taken.command(clap::Command::new("deploy")), ["deploy"])
        .map_err(|refused| anyhow::anyhow!("{refused:?}"))?;
    let is_file = |name: &str| files().any(|setting| setting.variable() == name);
    let variable = |name: &str| {
        let value = environment.get(name)?;
        Some(if is_file(name) { NO_FILE } else { value }.into())
    };
    Ok(taken.load_from(&matches, &variable)?)
}
