//! The compose files, as Compose's own parser understands them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kith_runtime::config::{Settings, table};
use serde_json::{Map, Value, json};

use crate::images::is_pinned;
use crate::objects::settings;
use crate::tools::{deploy, prints, tool};

/// A project with every profile on.
struct Project(Value);

impl Project {
    fn of(file: &str) -> Result<Self> {
        let mut compose = tool("bin/compose")?;
        compose.arg(deploy("compose").join(file));
        // What a developer's shell has set is not in the files.
        compose.env_clear();
        Ok(Self(serde_json::from_str(&prints(compose, "")?)?))
    }

    fn services(&self) -> Result<&Map<String, Value>> {
        self.0["services"].as_object().context("no services")
    }

    fn service(&self, name: &str) -> Result<&Value> {
        self.services()?
            .get(name)
            .with_context(|| format!("no {name}"))
    }

    /// Those that run an image of ours, each with the binary in it.
    fn ours(&self) -> Result<Vec<(&String, &Value, String)>> {
        let mut ours = Vec::new();
        for (name, service) in self.services()? {
            if let Some(target) = service["build"]["target"].as_str() {
                let image = format!("kith/{target}:{}", env!("CARGO_PKG_VERSION"));
                ensure!(
                    service["image"] == image.as_str(),
                    "{name}: {}",
                    service["image"]
                );
                ours.push((name, service, target.to_owned()));
            }
        }
        Ok(ours)
    }
}

fn both() -> Result<[(&'static str, Project); 2]> {
    let project = |file| Ok::<_, anyhow::Error>((file, Project::of(file)?));
    Ok([project("compose.yaml")?, project("standalone.yaml")?])
}

fn settings_of(service: &Value) -> Result<Settings> {
    let mut environment = BTreeMap::new();
    for (name, value) in service["environment"].as_object().into_iter().flatten() {
        let value = value.as_str().unwrap_or_default();
        environment.insert(name.clone(), value.to_owned());
    }
    settings(&environment)
}

#[test]
fn the_two_profiles_share_the_servers_between_them() -> Result<()> {
    let project = Project::of("compose.yaml")?;
    let mut profiles: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, service) in project.services()? {
        let [profile] = service["profiles"]
            .as_array()
            .map_or(&[][..], Vec::as_slice)
        else {
            anyhow::bail!("{name} is not in one profile");
        };
        let profile = profile.as_str().unwrap_or_default();
        profiles.entry(profile).or_default().insert(name.as_str());
    }
    let core = ["ingest-api", "kafka", "migrate", "scylla", "trait-worker"];
    let observability = ["grafana", "jaeger", "otel-collector", "prometheus"];
    ensure!(
        profiles
            == BTreeMap::from([
                ("core", BTreeSet::from(core)),
                ("observability", BTreeSet::from(observability)),
            ])
    );
    Ok(())
}

#[test]
fn the_services_start_when_the_tables_are_there() -> Result<()> {
    let project = Project::of("compose.yaml")?;
    let waits = |service: &str| -> Result<BTreeMap<String, String>> {
        let waits = project.service(service)?["depends_on"].as_object();
        let waits = waits.into_iter().flatten();
        Ok(waits
            .map(|(on, how)| {
                let condition = how["condition"].as_str().unwrap_or_default();
                (on.clone(), condition.to_owned())
            })
            .collect())
    };
    let wanted = |waits: &[(&str, &str)]| -> BTreeMap<String, String> {
        let waits = waits.iter();
        waits
            .map(|(on, how)| ((*on).to_owned(), (*how).to_owned()))
            .collect()
    };
    let healthy = wanted(&[("scylla", "service_healthy"), ("kafka", "service_healthy")]);
    ensure!(waits("migrate")? == healthy);
    let migrated = wanted(&[("migrate", "service_completed_successfully")]);
    ensure!(waits("ingest-api")? == migrated);
    ensure!(waits("trait-worker")? == migrated);
    let job = project.service("migrate")?;
    ensure!(job["command"] == json!(["migrate", "--development-store"]));
    ensure!(job["restart"] == "no");
    // Whoever is waited for as healthy says when that is.
    for server in ["scylla", "kafka", "prometheus"] {
        let test = &project.service(server)?["healthcheck"]["test"];
        ensure!(test[0] == "CMD", "{server}: {test}");
    }
    Ok(())
}

#[test]
fn our_containers_are_bare_and_ask_themselves_how_they_are() -> Result<()> {
    let mut found = 0;
    for (file, project) in both()? {
        for (name, service, binary) in project.ours()? {
            found += 1;
            ensure!(service["read_only"] == true, "{file}: {name}");
            ensure!(service["cap_drop"] == json!(["ALL"]), "{file}: {name}");
            ensure!(service["security_opt"] == json!(["no-new-privileges:true"]));
            ensure!(service["user"].is_null() && service["privileged"].is_null());
            let settings = settings_of(service)?;
            let grace: Duration = settings.get(&table::SHUTDOWN_GRACE)?;
            let stop = service["stop_grace_period"].as_str().unwrap_or_default();
            let stop: u64 = stop.strip_suffix('s').context("not in seconds")?.parse()?;
            ensure!(Duration::from_secs(stop) > grace, "{name}: {stop} s");
            let health = &service["healthcheck"];
            if name == "migrate" {
                ensure!(health["disable"] == true);
                continue;
            }
            let command = json!(["CMD", format!("/usr/local/bin/{binary}"), "health"]);
            ensure!(health["test"] == command, "{name}: {}", health["test"]);
        }
    }
    ensure!(found == 4, "{found}");
    Ok(())
}

#[test]
fn nothing_is_published_beyond_loopback() -> Result<()> {
    let mut found = 0;
    for (file, project) in both()? {
        for (name, service) in project.services()? {
            for port in service["ports"].as_array().into_iter().flatten() {
                found += 1;
                ensure!(port["host_ip"] == "127.0.0.1", "{file}: {name}: {port}");
            }
        }
    }
    ensure!(found >= 5, "{found}");
    Ok(())
}

#[test]
fn images_of_others_have_versions() -> Result<()> {
    for (file, project) in both()? {
        for (name, service) in project.services()? {
            let image = service["image"].as_str().unwrap_or_default();
            ensure!(is_pinned(image), "{file}: {name}: {image}");
        }
    }
    Ok(())
}

#[test]
fn data_is_in_named_volumes_and_every_file_is_there() -> Result<()> {
    for (file, project) in both()? {
        let volumes = project.0["volumes"].as_object().context("no volumes")?;
        let mut used = BTreeSet::new();
        for (name, service) in project.services()? {
            for volume in service["volumes"].as_array().into_iter().flatten() {
                let source = volume["source"].as_str().unwrap_or_default();
                match volume["type"].as_str() {
                    Some("volume") => {
                        used.insert(source);
                    }
                    Some("bind") => {
                        ensure!(volume["read_only"] == true, "{file}: {name}: {source}");
                        ensure!(Path::new(source).exists(), "{name}: {source} is missing");
                    }
                    _ => anyhow::bail!("{file}: {name}: {volume}"),
                }
            }
        }
        let named: BTreeSet<&str> = volumes.keys().map(String::as_str).collect();
        ensure!(used == named, "{file}: {used:?}");
        let secret = project.0["secrets"]["credentials"]["file"].as_str();
        ensure!(Path::new(secret.context("no secret")?).exists());
    }
    Ok(())
}

#[test]
fn one_node_of_each_server_is_asked_for_one_copy() -> Result<()> {
    let project = Project::of("compose.yaml")?;
    for service in ["migrate", "ingest-api", "trait-worker"] {
        let settings = settings_of(project.service(service)?)?;
        for setting in [
            &table::CQL_REPLICATION_FACTOR,
            &table::KAFKA_REPLICATION_FACTOR,
            &table::KAFKA_MIN_INSYNC_REPLICAS,
        ] {
            let copies: u64 = settings.get(setting)?;
            ensure!(copies == 1, "{service}: {copies} of {}", setting.name);
        }
    }
    Ok(())
}
