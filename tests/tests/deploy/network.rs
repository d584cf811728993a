//! Who may talk to whom: nobody, but for these.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use kith_runtime::config::table;
use serde_json::{Value, json};

use crate::objects::{OVERLAYS, Object, SERVICES, of, rendered, the};

/// The namespaces that a rule's peers are in, by the label that names them.
fn namespaces(peers: &Value) -> Result<Vec<String>> {
    let peers = peers.as_array().context("a rule for everybody")?;
    ensure!(!peers.is_empty(), "a rule for everybody");
    peers
        .iter()
        .map(|peer| {
            ensure!(peer.as_object().is_some_and(|peer| peer.len() == 1));
            let labels = peer["namespaceSelector"]["matchLabels"].as_object();
            let labels = labels.context("not by namespace")?;
            let mut labels = labels.iter();
            let (Some((name, value)), None) = (labels.next(), labels.next()) else {
                anyhow::bail!("not by one label");
            };
            let value = value.as_str().unwrap_or_default();
            Ok(match name.as_str() {
                "kubernetes.io/metadata.name" => value.to_owned(),
                other => format!("{other}={value}"),
            })
        })
        .collect()
}

/// Everything that policies allow in a direction, as namespace and port.
pub(crate) fn allowed<'a>(
    policies: impl Iterator<Item = &'a Object>,
    direction: &str,
    peers: &str,
) -> Result<BTreeSet<(String, String)>> {
    let mut allowed = BTreeSet::new();
    for policy in policies {
        for rule in policy.list(&format!("/spec/{direction}")) {
            let ports = rule["ports"].as_array().context("a rule for every port")?;
            for namespace in namespaces(&rule[peers])? {
                for port in ports {
                    let port = &port["port"];
                    let port = port.as_str().map_or(port.to_string(), str::to_owned);
                    allowed.insert((namespace.clone(), port));
                }
            }
        }
    }
    Ok(allowed)
}

#[test]
fn everything_is_denied_that_no_policy_allows() -> Result<()> {
    for overlay in OVERLAYS {
        let objects = rendered(overlay)?;
        let deny = the(&objects, "NetworkPolicy", "deny")?;
        let wanted = json!({ "podSelector": {}, "policyTypes": ["Ingress", "Egress"] });
        ensure!(*deny.at("/spec") == wanted, "{}", deny.at("/spec"));
    }
    Ok(())
}

#[test]
fn callers_reach_the_api_and_monitoring_the_operators_address() -> Result<()> {
    for overlay in OVERLAYS {
        let objects = rendered(overlay)?;
        for service in SERVICES {
            let pods = the(&objects, "Deployment", service)?;
            let policies = of(&objects, "NetworkPolicy").filter(|policy| {
                let selector = policy.at("/spec/podSelector/matchLabels");
                pods.has_labels("/spec/template/metadata/labels", selector)
            });
            let mut wanted = BTreeSet::from([("monitoring".to_owned(), "admin".to_owned())]);
            if service == "ingest-api" {
                wanted.insert(("kith/caller=true".to_owned(), "http".to_owned()));
            }
            ensure!(allowed(policies, "ingress", "from")? == wanted, "{service}");
        }
    }
    Ok(())
}

/// Where the services go is where their settings lead them, and to the name service; and all of that is allowed.
#[test]
fn services_reach_what_their_settings_name_and_nothing_else() -> Result<()> {
    for overlay in OVERLAYS {
        let objects = rendered(overlay)?;
        let allowed = allowed(of(&objects, "NetworkPolicy"), "egress", "to")?;
        let known: BTreeSet<&str> = allowed
            .iter()
            .map(|(namespace, _)| namespace.as_str())
            .collect();
        ensure!(known == BTreeSet::from(["kafka", "kube-system", "observability", "scylla"]));
        for service in SERVICES {
            let pods = the(&objects, "Deployment", service)?;
            let settings = pods.settings(&objects)?;
            let mut addresses: Vec<String> = settings.get(&table::CQL_NODES)?;
            addresses.extend(settings.get::<Vec<String>>(&table::KAFKA_BOOTSTRAP)?);
            let environment = pods.environment(&objects)?;
            let collector = environment.get("OTEL_EXPORTER_OTLP_ENDPOINT");
            addresses.extend(collector.map(|url| url.replace("http://", "")));
            for address in addresses {
                let (host, port) = address.rsplit_once(':').context("no port")?;
                let namespace = host.split('.').nth(1).context("no namespace")?;
                let way = (namespace.to_owned(), port.to_owned());
                ensure!(allowed.contains(&way), "{service} may not go to {address}");
            }
        }
    }
    Ok(())
}
