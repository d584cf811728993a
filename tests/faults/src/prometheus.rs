//! A real Prometheus over the processes of a test, with our rules in a hurry: what waits minutes waits a second, what looks back over
//! hours looks back over a minute, and minutes of lag are seconds. Everything else is as it is shipped.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kith_tests::observability::files;
use kith_tests::poll::until;
use kith_tests::process::free_address;
use serde_json::{Value, json};
use tempfile::TempDir;

/// By then an alert has fired.
const PATIENCE: Duration = Duration::from_secs(120);

/// What is looked back over, shortened: a few scrapes at least.
const RANGES: [(&str, &str); 8] = [
    ("[5m]", "[15s]"),
    ("[15m]", "[60s]"),
    ("[30m]", "[60s]"),
    ("[1h]", "[60s]"),
    ("[2h]", "[60s]"),
    ("[6h]", "[60s]"),
    ("[1d]", "[60s]"),
    ("[3d]", "[60s]"),
];

/// Figures that are times or counts over a time.
const FIGURES: [(&str, &str); 4] = [
    (
        "kith_log_lag_seconds) <= bool 60",
        "kith_log_lag_seconds) <= bool 3",
    ),
    (
        "job:kith_log_lag_seconds:max > 60",
        "job:kith_log_lag_seconds:max > 3",
    ),
    (
        "job:kith_log_lag_seconds:max > 302400",
        "job:kith_log_lag_seconds:max > 6",
    ),
    (
        r#"{kind="assigned"}[60s])) > 10"#,
        r#"{kind="assigned"}[60s])) > 3"#,
    ),
];

/// Rules in a hurry.
fn hurried(rules: &str) -> String {
    let mut rules = rules.to_owned();
    for (slow, quick) in RANGES.iter().chain(&FIGURES) {
        rules = rules.replace(slow, quick);
    }
    let lines = rules.lines().map(|line| match line.split_once("for: ") {
        Some((before, _)) if before.trim().is_empty() => format!("{before}for: 1s"),
        _ => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// An alert that fires, by its labels; its name is `alertname`.
pub type Firing = BTreeMap<String, String>;

/// The server. Dropping it ends it.
#[derive(Debug)]
pub struct Prometheus {
    child: Child,
    address: SocketAddr,
    _dir: TempDir,
}

impl Prometheus {
    /// Starts one that scrapes these jobs twice a second, and waits until it has seen each of them.
    ///
    /// # Errors
    /// When it is not installed, or does not answer.
    pub async fn start(jobs: &[(&str, Vec<SocketAddr>)]) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let rules: Vec<_> = files("rules", "yml")?
            .iter()
            .map(|path| quicken(path, dir.path()))
            .collect::<Result<_>>()?;
        let targets = jobs.iter().map(|(job, addresses)| {
            let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            json!({ "job_name": job, "static_configs": [{ "targets": addresses }] })
        });
        // JSON is YAML, too.
        let config = json!({
            "global": { "scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "500ms" },
            "rule_files": rules,
            "scrape_configs": targets.collect::<Vec<_>>(),
        });
        let file = dir.path().join("prometheus.yml");
        std::fs::write(&file, serde_json::to_vec(&config)?)?;
        let address = free_address()?;
        let log = std::fs::File::create(dir.path().join("log"))?;
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                dir.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .arg("--log.level=warn")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context(
                "prometheus, of Debian's package of that name: deploy/local/prepare installs it",
            )?;
        let server = Self {
            child,
            address,
            _dir: dir,
        };
        let wanted: usize = jobs.iter().map(|(_, addresses)| addresses.len()).sum();
        until(PATIENCE, "Prometheus has scraped everybody", || async {
            let found = server.ask("query?query=up").await?;
            let seen = found["data"]["result"].as_array().map_or(0, Vec::len);
            Ok((seen == wanted).then_some(()))
        })
        .await?;
        Ok(server)
    }

    async fn ask(&self, what: &str) -> Result<Value> {
        let url = format!("http://{}/api/v1/{what}", self.address);
        let answer = reqwest::get(url).await?.error_for_status()?;
        Ok(serde_json::from_str(&answer.text().await?)?)
    }

    /// The value of a query that has one; none if it has none yet.
    ///
    /// # Errors
    /// When it does not answer, or has several.
    pub async fn value(&self, query: &str) -> Result<Option<f64>> {
        let url = format!("http://{}/api/v1/query", self.address);
        let url = reqwest::Url::parse_with_params(&url, [("query", query)])?;
        let answer = reqwest::get(url).await?.error_for_status()?;
        let answer: Value = serde_json::from_str(&answer.text().await?)?;
        let found = answer["data"]["result"].as_array().context("a result")?;
        ensure!(found.len() < 2, "{query} has {} values", found.len());
        let text = found.first().map(|one| one["value"][1].as_str());
        text.map(|text| Ok(text.context("a value")?.parse()?))
            .transpose()
    }

    /// What fires now.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn firing(&self) -> Result<Vec<Firing>> {
        let found = self.ask("alerts").await?;
        let alerts = found["data"]["alerts"].as_array().context("alerts")?;
        let fires = alerts.iter().filter(|one| one["state"] == "firing");
        fires
            .map(|one| Ok(serde_json::from_value(one["labels"].clone())?))
            .collect()
    }

    /// Whether an alert with these labels fires now.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn fires(&self, alert: &str, labels: &[(&str, &str)]) -> Result<bool> {
        let is_it = |one: &Firing| {
            let has =
                |(name, value): &(&str, &str)| one.get(*name).is_some_and(|found| found == value);
            has(&("alertname", alert)) && labels.iter().all(has)
        };
        Ok(self.firing().await?.iter().any(is_it))
    }

    /// That none of these alerts fires yet.
    ///
    /// # Errors
    /// When one does.
    pub async fn is_silent_about(&self, alerts: &[&str]) -> Result<()> {
        for alert in alerts {
            ensure!(
                !self.fires(alert, &[]).await?,
                "{alert} fires before its fault"
            );
        }
        Ok(())
    }

    /// Waits until none of these alerts fires: the first requests of a process may be slow.
    ///
    /// # Errors
    /// When one goes on firing.
    pub async fn until_silent_about(&self, alerts: &[&str]) -> Result<()> {
        until(PATIENCE, "nothing fires", || async {
            self.is_silent_about(alerts).await.map(Some)
        })
        .await
    }

    /// Waits until an alert with these labels fires.
    ///
    /// # Errors
    /// When it does not in time; with what fires instead.
    pub async fn until_fires(&self, alert: &str, labels: &[(&str, &str)]) -> Result<()> {
        let fired = until(PATIENCE, alert, || async {
            Ok(self.fires(alert, labels).await?.then_some(()))
        });
        match fired.await {
            Ok(()) => Ok(()),
            Err(error) => {
                let names: Vec<_> = self.firing().await?.into_iter().collect();
                Err(error.context(format!("instead: {names:?}")))
            }
        }
    }
}

fn quicken(path: &Path, dir: &Path) -> Result<String> {
    let to = dir.join(path.file_name().context("a name")?);
    std::fs::write(&to, hurried(&std::fs::read_to_string(path)?))?;
    Ok(to.display().to_string())
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wait_every_range_and_every_figure_is_found_in_the_rules() {
        let all: Vec<String> = files("rules", "yml")
            .unwrap()
            .iter()
            .map(|path| std::fs::read_to_string(path).unwrap())
            .collect();
        let slow = all.concat();
        let quick = hurried(&slow);
        for (from, _) in RANGES.iter().filter(|(from, _)| *from != "[15m]") {
            assert!(slow.contains(from), "{from}");
            assert!(!quick.contains(from), "{from}");
        }
        for (_, to) in &FIGURES {
            assert!(quick.contains(to), "{to}");
        }
        let waits = |text: &str| {
            text.lines()
                .filter(|line| line.trim().starts_with("for: "))
                .count()
        };
        let short = quick
            .lines()
            .filter(|line| line.trim() == "for: 1s")
            .count();
        assert!(short > 15 && short == waits(&slow), "{short}");
    }
}
