//! The official clients for Node and Python and Twilio Agent Connect, unchanged, against both pairs.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Result, ensure};
use kith_tests::pair::{Pair, Shape};
use kith_tests::servers::workspace;
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
