//! The official clients for Node and Python and Twilio Agent Connect, unchanged, against both pairs.

use std::collections::{BTreeMap, BTreeSet};
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

/// Runs `docs/migrate.cjs` from one store to another: the new id of each old one.
async fn copied(from: &Api, to: &Api) -> Result<BTreeMap<String, String>> {
    let modules = workspace().join("tests/contract/node/node_modules");
    let output = Command::new("node")
        .arg(workspace().join("docs/migrate.cjs"))
        .env("NODE_PATH", modules)
        .envs([("FROM_ACCOUNT", ACCOUNT), ("FROM_TOKEN", TOKEN)])
        .envs([("FROM_URL", from.base()), ("FROM_STORE", from.store())])
        .envs([("TO_ACCOUNT", ACCOUNT), ("TO_TOKEN", TOKEN)])
        .envs([("TO_URL", to.base()), ("TO_STORE", to.store())])
        .stdin(Stdio::null())
        .output()
        .await?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {said}", output.status);
    let lines = String::from_utf8(output.stdout)?;
    let pair = |line: &str| {
        let (old, new) = line.split_once(',').context("no pair of ids")?;
        Ok((old.to_owned(), new.to_owned()))
    };
    lines.lines().map(pair).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_moves_from_one_service_to_another() -> Result<()> {
    let shape = Shape::single();
    let (old, new) = tokio::try_join!(Pair::standalone(&shape), Pair::standalone(&shape))?;
    let (from, to) = (
        old.api().new_store("shop").await?,
        new.api().new_store("shop").await?,
    );
    from.change_settings(|settings| {
        let badge = json!({ "idType": "badge", "normalization": "none", "limit": 3 });
        if let Some(types) = settings["identifierConfigs"].as_array_mut() {
            types.push(badge);
        }
        if let Some(rules) = settings["matchingRules"].as_array_mut() {
            rules.push(json!("badge"));
        }
    })
    .await?;
    let work = json!({
        "badge": { "dataType": "STRING", "idTypePromotion": "badge" },
        "room": { "dataType": "NUMBER" },
        "roles": { "dataType": "ARRAY" },
    });
    from.new_group("Work", work).await?;

    let ada = from
        .contact(json!({ "email": "a.lovelace@example.com", "firstName": "Ada" }))
        .await?;
    from.contact(json!({ "email": "a.byron@example.com", "phone": "+13175551234" }))
        .await?;
    let merged = json!({ "email": "a.lovelace@example.com", "phone": "+13175551234" });
    assert_eq!(from.contact(merged).await?, ada);
    let work = json!({ "badge": "B-7", "room": 12, "roles": ["cook", 3, true] });
    let bea = from
        .create(json!({ "Work": work, "Contact": { "city": "London" } }))
        .await?
        .accepted_id()?;
    // An identifier that no trait shows.
    let chat = json!({ "idType": "chat", "value": "c-1" });
    let path = format!("/Profiles/{bea}/Identifiers");
    let answer = from.send(Method::POST, &path, Some(&chat)).await?;
    assert_eq!(answer.status, 202, "{}", answer.body);
    from.until_trait(&ada, ("Contact", "firstName"), json!("Ada"))
        .await?;
    from.until_trait(&bea, ("Contact", "city"), json!("London"))
        .await?;

    let ids = copied(&from, &to).await?;
    assert_eq!(
        ids.keys().collect::<BTreeSet<_>>(),
        BTreeSet::from([&ada, &bea])
    );
    to.until_trait(&ids[&ada], ("Contact", "firstName"), json!("Ada"))
        .await?;
    to.until_trait(&ids[&bea], ("Contact", "city"), json!("London"))
        .await?;
    for (old, new) in &ids {
        assert_eq!(
            from.get(old).await?.body["traits"],
            to.get(new).await?.body["traits"]
        );
        let sets = |found: BTreeMap<String, Vec<String>>| -> BTreeMap<String, BTreeSet<String>> {
            let sets = found.into_iter();
            sets.map(|(id_type, values)| (id_type, values.into_iter().collect()))
                .collect()
        };
        assert_eq!(
            sets(from.identifiers(old).await?),
            sets(to.identifiers(new).await?)
        );
    }
    let definitions = async |api: &Api| -> Result<[Value; 2]> {
        let path = api.store_path();
        let group = api
            .define(Method::GET, &format!("{path}/TraitGroups/Work"), None)
            .await?;
        let path = format!("{path}/IdentityResolutionSettings");
        let settings = api.define(Method::GET, &path, None).await?;
        Ok([
            group.body["traitGroup"]["traits"].clone(),
            settings.body["matchingRules"].clone(),
        ])
    };
    assert_eq!(definitions(&from).await?, definitions(&to).await?);

    // Interrupted or not, it may be run again.
    assert_eq!(copied(&from, &to).await?, ids);
    assert_eq!(to.list().await?.len(), 2);
    tokio::try_join!(old.stop(), new.stop())?;
    Ok(())
}
