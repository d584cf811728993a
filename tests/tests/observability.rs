//! Dashboards, rules and their runbook against each other, against `promtool`, and against what running services show.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kith_tests::exposition::{Series, series};
use kith_tests::observability::{
    Dashboard, Shown, alert_tests, dashboards, files, folder, promtool, rules,
};
use kith_tests::pair::{Pair, Shape};
use kith_tests::poll::until;
use kith_tests::servers::workspace;
use kith_tests::topics;
use serde_json::{Value, json};

const RUNBOOK: &str = "docs/runbook.md";

fn address(name: &str) -> String {
    let unique = uuid::Uuid::new_v4().as_simple().to_string();
    format!("{name}.{unique}@example.com")
}

/// Somebody new, known and merged, read and looked up, batched, and a record that cannot be one.
async fn traffic(pair: &Pair) -> Result<()> {
    let api = pair.api();
    let (email, chat) = (address("observed"), address("chat"));
    let one = api.contact(json!({ "email": email })).await?;
    api.contact(json!({ "chatId": chat })).await?;
    let both = json!({ "email": email, "chatId": chat, "firstName": "Observed-Person" });
    ensure!(api.contact(both).await? == one, "merged");
    api.until_trait(&one, ("Contact", "firstName"), json!("Observed-Person"))
        .await?;
    ensure!(api.owners("email", &email).await? == [one.as_str()]);
    ensure!(!api.list().await?.is_empty());
    if let Some(place) = pair.place() {
        topics::put(place, &place.topic, b"key", b"no event", &[], None).await?;
    }
    Ok(())
}

async fn pages(pairs: &mut [Pair]) -> Result<Vec<Series>> {
    let mut shown = Vec::new();
    for pair in pairs {
        for process in pair.processes() {
            shown.extend(series(&process.metrics().await?)?);
        }
    }
    Ok(shown)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_of_dashboards_and_rules_is_shown_by_a_running_service() -> Result<()> {
    let rules = rules()?;
    let mut queries: Vec<(String, String)> = Vec::new();
    for rule in &rules {
        let name = rule.alert.clone().or_else(|| rule.record.clone());
        queries.push((name.context("a name")?, rule.expr.clone()));
    }
    queries.extend(dashboards()?.iter().flat_map(Dashboard::queries));
    ensure!(queries.len() > 100, "{} queries", queries.len());

    let mut pairs = [
        Pair::servers(&Shape::single()).await?,
        Pair::standalone(&Shape::single()).await?,
    ];
    for pair in &pairs {
        traffic(pair).await?;
    }
    // Lag, clocks and syncs are looked at every few seconds.
    let mut lacks = Vec::new();
    let limit = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        let shown = Shown::new(pages(&mut pairs).await?, &rules)?;
        lacks.clear();
        for (name, query) in &queries {
            let found = shown.lacks(query)?.into_iter();
            lacks.extend(found.map(|lack| format!("{name}: {lack}")));
        }
        if lacks.is_empty() || tokio::time::Instant::now() > limit {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    ensure!(lacks.is_empty(), "{}", lacks.join("\n"));
    for pair in pairs {
        pair.stop().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_traffic_of_the_dashboards_is_counted() -> Result<()> {
    let pair = Pair::servers(&Shape::single()).await?;
    traffic(&pair).await?;
    let (ingest, worker) = (&pair.ingests[0], &pair.workers[0]);
    for (process, name) in [
        (ingest, "kith_http_requests_total"),
        (ingest, "kith_resolve_total"),
        (ingest, "kith_db_statement_seconds_count"),
        (ingest, "kith_publish_seconds_count"),
        (ingest, "kith_http_in_flight_max"),
        (worker, "kith_log_records_total"),
        (worker, "kith_dead_letters_total"),
        (worker, "kith_dead_letter_seconds_count"),
        (worker, "kith_worker_in_flight_records_max"),
        (worker, "process_max_fds"),
    ] {
        process.until_metric(name, |value| value > 0.0).await?;
    }
    until(Duration::from_secs(30), "no lag", || async {
        let page = series(&worker.metrics().await?)?;
        let mut lags = page
            .iter()
            .filter(|one| one.name == "kith_log_lag_seconds" && one.value == 0.0);
        Ok(lags.next().map(|_| ()))
    })
    .await?;
    pair.stop().await
}

#[test]
fn promtool_accepts_the_rules_and_every_query_of_the_dashboards() -> Result<()> {
    for path in files("rules", "yml")? {
        let path = path.to_string_lossy();
        promtool(
            &folder(),
            &["check", "rules", "--lint=all", "--lint-fatal", &path],
        )?;
    }
    // As rules: this promtool has no other way to look at a query.
    let mut all = Vec::new();
    for (at, (_, query)) in dashboards()?
        .iter()
        .flat_map(Dashboard::queries)
        .enumerate()
    {
        all.push(json!({ "record": format!("query:{at}"), "expr": query }));
    }
    let file = tempfile::NamedTempFile::with_suffix(".yml")?;
    let group = json!({ "groups": [{ "name": "dashboards", "rules": all }] });
    std::fs::write(file.path(), serde_json::to_vec(&group)?)?;
    let path = file.path().to_string_lossy();
    promtool(&folder(), &["check", "rules", "--lint=none", &path])?;
    Ok(())
}

#[test]
fn every_alert_fires_and_stays_silent_in_its_unit_test() -> Result<()> {
    let (mut fires, mut silent) = (BTreeSet::new(), BTreeSet::new());
    for expected in alert_tests()?
        .into_iter()
        .flat_map(|one| one.alert_rule_test)
    {
        let seen = if expected.exp_alerts.is_empty() {
            &mut silent
        } else {
            &mut fires
        };
        seen.insert(expected.alertname);
    }
    let alerts: BTreeSet<String> = rules()?.into_iter().filter_map(|rule| rule.alert).collect();
    ensure!(alerts.len() > 20, "{alerts:?}");
    ensure!(fires == alerts, "{fires:?} fire of {alerts:?}");
    ensure!(silent == alerts, "{silent:?} are silent of {alerts:?}");
    for path in files("tests", "yml")? {
        promtool(
            &folder().join("tests"),
            &["test", "rules", &path.to_string_lossy()],
        )?;
    }
    Ok(())
}

/// The headings of a page as GitHub makes anchors of them.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    let text = headings.map(|line| line.trim_start_matches('#').trim().to_lowercase());
    let kept = |c: char| c.is_alphanumeric() || " -_".contains(c);
    text.map(|text| text.chars().filter(|c| kept(*c)).collect::<String>())
        .map(|text| text.replace(' ', "-"))
        .collect()
}

#[test]
fn every_alert_has_its_section_of_the_runbook_and_every_section_its_alert() -> Result<()> {
    let page = std::fs::read_to_string(workspace().join(RUNBOOK))?;
    let anchors = anchors(&page);
    let mut alerts = BTreeSet::new();
    for rule in rules()? {
        let Some(alert) = rule.alert else { continue };
        let link = rule.annotations.get("runbook_url").context(alert.clone())?;
        let (to, anchor) = link.split_once('#').context("an anchor")?;
        ensure!(to.ends_with(RUNBOOK), "{alert}: {to}");
        ensure!(
            anchors.contains(anchor),
            "{alert}: {RUNBOOK} has no #{anchor}"
        );
        ensure!(anchor == alert.to_lowercase(), "{alert}: {anchor}");
        ensure!(
            rule.annotations.contains_key("summary"),
            "{alert}: no summary"
        );
        let severity = rule.labels.get("severity").map(String::as_str);
        ensure!(
            matches!(severity, Some("page" | "ticket")),
            "{alert}: {severity:?}"
        );
        alerts.insert(anchor.to_owned());
    }
    let sections = anchors.iter().filter(|one| one.starts_with("kith"));
    let sections: BTreeSet<String> = sections.cloned().collect();
    ensure!(sections == alerts, "{sections:?} are not {alerts:?}");
    Ok(())
}

fn place(panel: &Value) -> Result<[u64; 4]> {
    let of = |name: &str| panel["gridPos"][name].as_u64().context(name.to_owned());
    Ok([of("x")?, of("y")?, of("w")?, of("h")?])
}

#[test]
fn dashboards_are_whole() -> Result<()> {
    let dashboards = dashboards()?;
    for dashboard in &dashboards {
        let (name, json) = (&dashboard.name, &dashboard.json);
        ensure!(json["uid"] == name.as_str(), "{name}: {}", json["uid"]);
        let variables = json["templating"]["list"].as_array().context("variables")?;
        let variables: BTreeSet<_> = variables
            .iter()
            .filter_map(|one| one["name"].as_str())
            .collect();
        ensure!(
            variables == BTreeSet::from(["datasource", "job", "instance"]),
            "{name}: {variables:?}"
        );
        let all = json["panels"].as_array().context("panels")?;
        let ids: BTreeSet<_> = all.iter().map(|panel| panel["id"].as_u64()).collect();
        ensure!(ids.len() == all.len(), "{name}: an id twice");
        let mut taken = BTreeSet::new();
        for panel in all {
            let title = panel["title"].as_str().context("a title")?;
            let [x, y, w, h] = place(panel)?;
            ensure!(x + w <= 24, "{name}: {title} is too wide");
            for x in x..x + w {
                for y in y..y + h {
                    ensure!(taken.insert((x, y)), "{name}: {title} lies over another");
                }
            }
        }
        for panel in dashboard.panels() {
            let title = &panel["title"];
            let described = panel["description"].as_str().unwrap_or_default();
            ensure!(described.len() > 10, "{name}: {title} says nothing");
            ensure!(
                panel["fieldConfig"]["defaults"]["unit"].is_string(),
                "{name}: {title} has no unit"
            );
            let targets = panel["targets"].as_array().context("targets")?;
            for of in targets.iter().chain([panel]) {
                ensure!(
                    of["datasource"]["uid"] == "${datasource}",
                    "{name}: {title} has its own source"
                );
            }
        }
    }
    let titles: BTreeSet<_> = dashboards
        .iter()
        .map(|one| one.json["title"].to_string())
        .collect();
    ensure!(titles.len() == dashboards.len(), "a title twice");
    Ok(())
}
