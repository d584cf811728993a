//! What every pod has to be: restricted, bounded, probed, and of a known version.

use anyhow::{Context, Result, ensure};
use kith_runtime::config::table;
use serde_json::{Value, json};

use crate::objects::{OVERLAYS, Object, SERVICES, files, rendered, the};

/// Everything that makes pods, of every overlay.
fn workloads() -> Result<Vec<(Object, Vec<Object>)>> {
    let mut found = Vec::new();
    for overlay in OVERLAYS {
        let objects = rendered(overlay)?;
        for object in &objects {
            if object.at("/spec/template/spec/containers").is_array() {
                found.push((object.clone(), objects.clone()));
            }
        }
    }
    // Two services and a job in each.
    ensure!(found.len() == 3 * OVERLAYS.len(), "{}", found.len());
    Ok(found)
}

#[test]
fn every_pod_is_restricted_and_nobody_in_the_cluster() -> Result<()> {
    for (workload, objects) in workloads()? {
        let container = workload.container()?;
        let pod = "/spec/template/spec";
        for (pointer, wanted) in [
            ("securityContext/runAsNonRoot", json!(true)),
            ("securityContext/runAsUser", json!(65_532)),
            (
                "securityContext/seccompProfile/type",
                json!("RuntimeDefault"),
            ),
            ("automountServiceAccountToken", json!(false)),
            ("enableServiceLinks", json!(false)),
        ] {
            let found = workload.at(&format!("{pod}/{pointer}"));
            ensure!(*found == wanted, "{workload}: {pointer} is {found}");
        }
        for (pointer, wanted) in [
            ("allowPrivilegeEscalation", json!(false)),
            ("readOnlyRootFilesystem", json!(true)),
            ("capabilities", json!({ "drop": ["ALL"] })),
        ] {
            let found = container.at(&format!("/securityContext/{pointer}"));
            ensure!(*found == wanted, "{workload}: {pointer} is {found}");
        }
        for forbidden in ["hostNetwork", "hostPID", "hostIPC"] {
            ensure!(workload.at(&format!("{pod}/{forbidden}")).is_null());
        }
        let account = workload.text(&format!("{pod}/serviceAccountName"));
        let account = the(&objects, "ServiceAccount", account)?;
        ensure!(*account.at("/automountServiceAccountToken") == json!(false));
    }
    Ok(())
}

#[test]
fn a_pod_mounts_secrets_only_to_read_them_and_has_none_in_its_environment() -> Result<()> {
    for (workload, _) in workloads()? {
        for volume in workload.list("/spec/template/spec/volumes") {
            ensure!(volume["secret"].is_object(), "{workload}: {volume}");
        }
        let container = workload.container()?;
        for mount in container.list("/volumeMounts") {
            let is_read_only = mount["readOnly"] == true && mount["subPath"].is_null();
            ensure!(is_read_only, "{workload}: {mount}");
        }
        for variable in container
            .list("/env")
            .iter()
            .chain(container.list("/envFrom"))
        {
            let is_secret = variable.to_string().contains("secret");
            ensure!(!is_secret, "{workload}: {variable}");
        }
    }
    Ok(())
}

#[test]
fn every_file_that_a_setting_names_is_in_a_volume() -> Result<()> {
    let mut found = 0;
    for (workload, objects) in workloads()? {
        let environment = workload.environment(&objects)?;
        let container = workload.container()?;
        for setting in files() {
            let Some(path) = environment.get(&setting.variable()) else {
                continue;
            };
            found += 1;
            let (folder, file) = path.rsplit_once('/').context("no folder")?;
            let mut mounts = container.list("/volumeMounts").iter();
            let mount = mounts.find(|mount| mount["mountPath"] == folder);
            let volume = &mount.with_context(|| format!("{workload}: {path}"))?["name"];
            let mut volumes = workload.list("/spec/template/spec/volumes").iter();
            let volume = volumes.find(|one| one["name"] == *volume);
            let items = volume.context("no volume")?["secret"]["items"].as_array();
            // Without a list it is all that the secret has.
            let is_in = items.is_none_or(|items| items.iter().any(|item| item["path"] == file));
            ensure!(is_in, "{workload}: {path}");
        }
    }
    // Credentials in both overlays; passwords and authorities in production.
    ensure!(found == 2 + 3 * 3, "{found}");
    Ok(())
}

#[test]
fn the_namespace_is_restricted() -> Result<()> {
    for overlay in OVERLAYS {
        let objects = rendered(overlay)?;
        let namespace = objects.iter().find(|object| object.kind() == "Namespace");
        let namespace = namespace.context("no namespace")?;
        for mode in ["enforce", "audit", "warn"] {
            let label = format!("/metadata/labels/pod-security.kubernetes.io~1{mode}");
            ensure!(namespace.text(&label) == "restricted", "{overlay}: {mode}");
        }
        for object in objects.iter().filter(|object| object.kind() != "Namespace") {
            let placed = object.text("/metadata/namespace") == namespace.name();
            ensure!(placed, "{object} is somewhere else");
        }
    }
    Ok(())
}

#[test]
fn every_container_has_requests_and_limits_above_them() -> Result<()> {
    for (workload, _) in workloads()? {
        let container = workload.container()?;
        for (resource, quantity) in [
            ("cpu", cores as fn(&str) -> Result<f64>),
            ("memory", mebibytes),
        ] {
            let request = quantity(container.text(&format!("/resources/requests/{resource}")))?;
            let limit = quantity(container.text(&format!("/resources/limits/{resource}")))?;
            ensure!(0.0 < request && request < limit, "{workload}: {resource}");
        }
    }
    Ok(())
}

#[test]
fn the_images_are_those_of_this_version() -> Result<()> {
    for (workload, _) in workloads()? {
        let container = workload.container()?;
        let image = container.text("/image").to_owned();
        let (name, tag) = image.rsplit_once(':').context("no tag")?;
        ensure!(tag == env!("CARGO_PKG_VERSION"), "{workload}: {image}");
        let binary = match workload.name() {
            "migrate" => "ingest-api",
            service => service,
        };
        ensure!(name.ends_with(&format!("kith/{binary}")), "{image}");
    }
    Ok(())
}

#[test]
fn probes_ask_the_operators_address() -> Result<()> {
    for overlay in OVERLAYS {
        let objects = rendered(overlay)?;
        for service in SERVICES {
            let deployment = the(&objects, "Deployment", service)?;
            let container = deployment.container()?;
            let listen: std::net::SocketAddr =
                deployment.settings(&objects)?.get(&table::ADMIN_LISTEN)?;
            ensure!(
                listen.ip().is_unspecified(),
                "{service} listens at {listen}"
            );
            let port = container.list("/ports").iter();
            let port = port.filter(|port| port["name"] == "admin");
            let ports: Vec<&Value> = port.map(|port| &port["containerPort"]).collect();
            ensure!(ports == [&json!(listen.port())], "{service}: {ports:?}");
            for (probe, path) in [
                ("startupProbe", "/livez"),
                ("livenessProbe", "/livez"),
                ("readinessProbe", "/readyz"),
            ] {
                let asked = container.at(&format!("/{probe}/httpGet"));
                let wanted = json!({ "path": path, "port": "admin" });
                ensure!(*asked == wanted, "{service}: {probe} asks {asked}");
            }
        }
    }
    Ok(())
}

/// Processors, as Kubernetes writes them.
pub(crate) fn cores(quantity: &str) -> Result<f64> {
    Ok(match quantity.strip_suffix('m') {
        Some(thousandths) => thousandths.parse::<f64>()? / 1_000.0,
        None => quantity.parse()?,
    })
}

/// MiB of memory, as Kubernetes writes it.
pub(crate) fn mebibytes(quantity: &str) -> Result<f64> {
    if let Some(gibibytes) = quantity.strip_suffix("Gi") {
        return Ok(gibibytes.parse::<f64>()? * 1_024.0);
    }
    let mebibytes = quantity.strip_suffix("Mi");
    Ok(mebibytes.context("neither Mi nor Gi")?.parse()?)
}
