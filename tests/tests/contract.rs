//! The official clients for Node and Python, unchanged, against both pairs.

use std::process::Stdio;

use anyhow::{Result, ensure};
use kith_tests::pair::{Pair, Shape};
use kith_tests::servers::workspace;

async fn node_client_against(pair: Pair) -> Result<()> {
    let folder = workspace().join("tests/contract/node");
    ensure!(
        folder.join("node_modules/twilio").exists(),
        "run `npm ci` in {}",
        folder.display()
    );
    let output = tokio::process::Command::new("node")
        .args(["--test", "--test-reporter=tap"])
        .current_dir(&folder)
        .env("KITH_TEST_BASE_URL", pair.api().base())
        .stdin(Stdio::null())
        .output()
        .await?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{}: {said}", pair.name);
    ensure!(
        said.contains("# pass 17") && said.contains("# fail 0"),
        "not every test ran: {said}"
    );
    pair.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_client_works_against_the_standalone() -> Result<()> {
    node_client_against(Pair::standalone(&Shape::single()).await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_client_works_against_both_services() -> Result<()> {
    node_client_against(Pair::servers(&Shape::single()).await?).await
}

async fn python_client_against(pair: Pair) -> Result<()> {
    let folder = workspace().join("tests/contract/python");
    let python = folder.join("venv/bin/python");
    ensure!(
        python.exists(),
        "run `python3 -m venv venv && venv/bin/pip install -r requirements.txt` in {}",
        folder.display()
    );
    let output = tokio::process::Command::new(python)
        .args(["-B", "-m", "unittest", "-v", "test_client"])
        .current_dir(&folder)
        .env("KITH_TEST_BASE_URL", pair.api().base())
        .stdin(Stdio::null())
        .output()
        .await?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{}: {said}", pair.name);
    ensure!(said.contains("Ran 13 tests"), "not every test ran: {said}");
    pair.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_client_works_against_the_standalone() -> Result<()> {
    python_client_against(Pair::standalone(&Shape::single()).await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_client_works_against_both_services() -> Result<()> {
    python_client_against(Pair::servers(&Shape::single()).await?).await
}
