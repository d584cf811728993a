//! Names that one object says of another.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::objects::{OVERLAYS, Object, SERVICES, of, rendered, the};
use crate::tools::text;

#[test]
fn every_selector_finds_the_pods_of_one_service() -> Result<()> {
    for overlay in OVERLAYS {
        let objects = rendered(overlay)?;
        let template = "/spec/template/metadata/labels";
        let found = |selector: &Value| -> Vec<&str> {
            let pods = of(&objects, "Deployment").chain(of(&objects, "Job"));
            let pods = pods.filter(|pods| pods.has_labels(template, selector));
            pods.map(Object::name).collect()
        };
        for service in SERVICES {
            let deployment = the(&objects, "Deployment", service)?;
            ensure!(found(deployment.at("/spec/selector/matchLabels")) == [service]);
            for spread in deployment.list("/spec/template/spec/topologySpreadConstraints") {
                ensure!(found(&spread["labelSelector"]["matchLabels"]) == [service]);
            }
            let keys = deployment.list("/spec/template/spec/topologySpreadConstraints");
            let keys: Vec<_> = keys.iter().map(|spread| &spread["topologyKey"]).collect();
            ensure!(
                keys == [
                    &json!("topology.kubernetes.io/zone"),
                    &json!("kubernetes.io/hostname")
                ]
            );
            let budget = the(&objects, "PodDisruptionBudget", service)?;
            ensure!(found(budget.at("/spec/selector/matchLabels")) == [service]);
        }
        for service in of(&objects, "Service") {
            let pods = found(service.at("/spec/selector"));
            let [pods] = pods[..] else {
                anyhow::bail!("{service} finds {pods:?}");
            };
            let container = the(&objects, "Deployment", pods)?.container()?;
            for port in service.list("/spec/ports") {
                let mut ports = container.list("/ports").iter();
                ensure!(
                    ports.any(|one| one["name"] == port["targetPort"]),
                    "{service}"
                );
            }
        }
    }
    Ok(())
}

#[test]
fn both_services_are_scraped_and_no_route_leads_to_the_operators_address() -> Result<()> {
    let objects = rendered("production")?;
    let monitor = the(&objects, "ServiceMonitor", "kith")?;
    let selector = monitor.at("/spec/selector/matchLabels");
    let mut scraped: Vec<_> = of(&objects, "Service")
        .filter(|service| service.has_labels("/metadata/labels", selector))
        .filter(|service| {
            service.list("/spec/ports")[0]["name"] == *monitor.at("/spec/endpoints/0/port")
        })
        .map(|service| service.text("/metadata/labels/app.kubernetes.io~1name"))
        .collect();
    scraped.sort_unstable();
    ensure!(scraped == SERVICES, "{scraped:?}");
    let route = the(&objects, "HTTPRoute", "ingest-api")?;
    let [rule] = route.list("/spec/rules") else {
        anyhow::bail!("{route} has other rules");
    };
    ensure!(rule["backendRefs"] == json!([{ "name": "ingest-api", "port": 80 }]));
    let ports = the(&objects, "Service", "ingest-api")?.list("/spec/ports");
    ensure!(ports.len() == 1 && ports[0]["name"] == "http", "{ports:?}");
    Ok(())
}

#[test]
fn scalers_scale_deployments_that_are_there() -> Result<()> {
    let objects = rendered("production")?;
    for kind in ["HorizontalPodAutoscaler", "ScaledObject"] {
        let scaler = of(&objects, kind).next().context(kind)?;
        ensure!(scaler.text("/spec/scaleTargetRef/kind") == "Deployment");
        the(
            &objects,
            "Deployment",
            scaler.text("/spec/scaleTargetRef/name"),
        )?;
    }
    Ok(())
}

/// Production brings no secrets: whoever deploys makes them, from the list in the README.
#[test]
fn every_secret_is_made_or_told_of() -> Result<()> {
    let readme = text("kubernetes/README.md")?;
    for overlay in OVERLAYS {
        let objects = rendered(overlay)?;
        let made: Vec<_> = of(&objects, "Secret").map(Object::name).collect();
        ensure!(made.is_empty() == (overlay == "production"), "{made:?}");
        let mut asked = 0;
        for workload in of(&objects, "Deployment").chain(of(&objects, "Job")) {
            for volume in workload.list("/spec/template/spec/volumes") {
                let secret = &volume["secret"];
                let name = secret["secretName"].as_str().context("no secret")?;
                asked += 1;
                if made.contains(&name) {
                    continue;
                }
                ensure!(overlay == "production", "nobody makes {name}");
                let row = readme
                    .lines()
                    .find(|line| line.starts_with(&format!("| `{name}`")));
                let row = row.with_context(|| format!("the README does not tell of {name}"))?;
                for item in secret["items"].as_array().into_iter().flatten() {
                    let key = item["key"].as_str().unwrap_or_default();
                    ensure!(row.contains(&format!("`{key}`")), "{name}: {key}");
                }
            }
        }
        ensure!(asked > 0, "{overlay} mounts nothing");
    }
    Ok(())
}
