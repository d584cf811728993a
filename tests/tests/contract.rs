//! The official clients for Node and Python and Twilio Agent Connect, unchanged, against both pairs.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use kith_tests::api::{ACCOUNT, Api, TOKEN};
use kith_tests::pair::{Pair, Shape};
use kith_tests::servers::workspace;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::process::Command;

/// Runs a client's own tests against a pair. All of them ran if it said each of `words`.
async fn passes(mut client: Command, folder: &Path, pair: Pair, words: &[&str]) -> Result<()> {
    let output = client
        .current_dir(folder)
        .env("KITH_TEST_BASE_URL", pair.api().base())
        .stdin(Stdio::null())
        .output()
        .await?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    ensure!(output.status.success(), "{}: {said}", pair.name);
    ensure!(
        words.iter().all(|words| said.contains(words)),
        "not every test ran: {said}"
    );
    pair.stop().await
}

async fn node_client_against(pair: Pair) -> Result<()> {
    let folder = workspace().join("tests/contract/node");
    ensure!(
        folder.join("node_modules/twilio").exists(),
        "run `npm ci` in {}",
        folder.display()
    );
    let mut client = Command::new("node");
    client.args(["--test", "--test-reporter=tap"]);
    passes(client, &folder, pair, &["# pass 17", "# fail 0"]).await
}

async fn python_client_against(pair: Pair) -> Result<()> {
    python_tests_against(pair, "test_client", "Ran 13 tests").await
}

async fn agent_connect_against(pair: Pair) -> Result<()> {
    python_tests_against(pair, "test_agent_connect", "Ran 5 tests").await
}

async fn python_tests_against(pair: Pair, tests: &str, words: &str) -> Result<()> {
    let folder = workspace().join("tests/contract/python");
    let python = folder.join("venv/bin/python");
    ensure!(
        python.exists(),
        "run `python3 -m venv venv && venv/bin/pip install -r requirements.txt` in {}",
        folder.display()
    );
    let mut client = Command::new(python);
    client.args(["-B", "-m", "unittest", "-v", tests]);
    passes(client, &folder, pair, &[words]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_client_works_against_the_standalone() -> Result<()> {
    node_client_against(Pair::standalone(&Shape::single()).await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_client_works_against_both_services() -> Result<()> {
    node_client_against(Pair::servers(&Shape::single()).await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_client_works_against_the_standalone() -> Result<()> {
    python_client_against(Pair::standalone(&Shape::single()).await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_client_works_against_both_services() -> Result<()> {
    python_client_against(Pair::servers(&Shape::single()).await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn agent_connect_works_against_the_standalone() -> Result<()> {
    agent_connect_against(Pair::standalone(&Shape::single()).await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn agent_connect_works_against_both_services() -> Result<()> {
    agent_connect_against(Pair::servers(&Shape::single()).await?).await
}

/// What the generated requests are about, by the names in `schemathesis.toml`.
async fn resources(api: &Api) -> Result<Vec<(&'static str, String)>> {
    let spare_store = json!({ "displayName": "spare" });
    let spare_store = api
        .define(Method::POST, "/Stores", Some(&spare_store))
        .await?;
    let operation = spare_store.header("operation-id").to_owned();
    let spare_store = api
        .define(Method::GET, &format!("/Operations/{operation}"), None)
        .await?;
    let spare_store = spare_store.body["result"]["id"]
        .as_str()
        .context("no store")?;
    let store = api.new_store("generated").await?;
    for group in ["Loyalty", "Spare"] {
        store
            .new_group(group, json!({ "tier": { "dataType": "STRING" } }))
            .await?;
    }
    let contact =
        |email: &str| json!({ "email": email, "phone": "+13175551234", "city": "London" });
    let spare_profile = store
        .contact(json!({ "email": "spare@example.com" }))
        .await?;
    let profile = store.contact(contact("countess@example.com")).await?;
    Ok(vec![
        ("KITH_TEST_STORE", store.store().to_owned()),
        ("KITH_TEST_SPARE_STORE", spare_store.to_owned()),
        ("KITH_TEST_PROFILE", profile),
        ("KITH_TEST_SPARE_PROFILE", spare_profile),
        ("KITH_TEST_OPERATION", operation),
        ("KITH_TEST_GROUP", "Loyalty".to_owned()),
        ("KITH_TEST_SPARE_GROUP", "Spare".to_owned()),
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn generated_requests_are_answered_as_described() -> Result<()> {
    let folder = workspace().join("tests/contract/schemathesis");
    let tool = folder.join("venv/bin/st");
    ensure!(
        tool.exists(),
        "run `python3 -m venv venv && venv/bin/pip install -r requirements.txt` in {}",
        folder.display()
    );
    let pair = Pair::standalone(&Shape::single()).await?;
    let output = tempfile::tempdir()?;
    let report = output.path().join("report.json");
    let run = Command::new(tool)
        .args(["--config-file", "schemathesis.toml", "run"])
        .arg(format!("{}/openapi.json", pair.api().base()))
        .args([
            "--auth",
            &format!("{ACCOUNT}:{TOKEN}"),
            "--report-json-path",
        ])
        .arg(&report)
        .envs(resources(pair.api()).await?)
        .current_dir(&folder)
        .stdin(Stdio::null())
        .output()
        .await?;
    let said = String::from_utf8_lossy(&run.stdout);
    ensure!(run.status.success(), "{}: {said}", run.status);
    let report: Value = serde_json::from_slice(&std::fs::read(&report)?)?;
    let (operations, cases) = (&report["operations"], &report["test_cases"]);
    ensure!(
        operations["tested"] == 27 && operations["errored"] == 0,
        "{operations}"
    );
    ensure!(cases["generated"].as_u64() > Some(1_000), "{cases}");
    ensure!(
        cases["with_failures"] == 0 && cases["errored"] == 0,
        "{cases}"
    );
    // Requests that all are refused would show little. What three of the operations delete is gone when they are counted.
    let rates = report["valid_rates"].as_object().context("no rates")?;
    let accepted = |rate: &Value| rate["accepted"].as_u64() > Some(0);
    let accepted = rates.values().filter(|phases| {
        phases
            .as_object()
            .is_some_and(|phases| phases.values().any(accepted))
    });
    let accepted = accepted.count();
    ensure!(
        accepted >= 24,
        "{accepted} operations had a request that was accepted: {}",
        report["valid_rates"]
    );
    pair.stop().await
}
