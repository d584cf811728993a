//! TLS to the database: a component that no overlay has, for whoever's database speaks it.

use anyhow::{Context, Result, ensure};
use kith_runtime::config::table;

use crate::lint::{DEFINED_ELSEWHERE, are_accepted};
use crate::network::allowed;
use crate::objects::{of, parsed, yaml_with};
use crate::tools::text;

#[test]
fn with_the_component_everybody_goes_to_the_database_by_tls_and_by_no_other_way() -> Result<()> {
    let yaml = yaml_with("production", "cql-tls")?;
    are_accepted(&yaml, &DEFINED_ELSEWHERE)?;
    let objects = parsed(&yaml)?;
    let allowed = allowed(of(&objects, "NetworkPolicy"), "egress", "to")?;
    let ports = allowed
        .iter()
        .filter(|(namespace, _)| namespace == "scylla");
    let ports: Vec<&str> = ports.map(|(_, port)| port.as_str()).collect();
    ensure!(ports == ["19142", "9142"], "{ports:?}");

    let readme = text("kubernetes/README.md")?;
    let mut workloads = 0;
    for workload in of(&objects, "Deployment").chain(of(&objects, "Job")) {
        workloads += 1;
        let nodes: Vec<String> = workload.settings(&objects)?.get(&table::CQL_NODES)?;
        let is_tls = nodes.iter().all(|node| node.ends_with(":9142"));
        ensure!(is_tls, "{workload}: {nodes:?}");
        let environment = workload.environment(&objects)?;
        let file = environment.get(&table::CQL_CA_FILE.variable());
        let (folder, file) = file
            .and_then(|path| path.rsplit_once('/'))
            .with_context(|| format!("{workload} has no authority"))?;
        let container = workload.container()?;
        let mut mounts = container.list("/volumeMounts").iter();
        let mount = mounts.find(|mount| mount["mountPath"] == folder);
        let volume = &mount.context("no mount")?["name"];
        let mut volumes = workload.list("/spec/template/spec/volumes").iter();
        let volume = volumes.find(|one| one["name"] == *volume);
        let secret = &volume.context("no volume")?["secret"];
        ensure!(secret["items"][0]["path"] == file, "{workload}: {secret}");
        let name = secret["secretName"].as_str().context("no secret")?;
        ensure!(
            readme.contains(&format!("| `{name}` | `{file}` |")),
            "{name}"
        );
    }
    ensure!(workloads == 3, "{workloads}");
    Ok(())
}
