//! The lives of processes: how they start, refuse to start, and end.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kith_tests::api::Api;
use kith_tests::pair::{Pair, Shape};
use kith_tests::poll::until;
use kith_tests::process::{Launch, Process, free_address};
use serde_json::json;

/// It must end with 78 and one line that names the setting.
async fn misconfigured(launch: Launch, setting: &str) -> Result<()> {
    let output = launch.output().await?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(
        output.status.code() == Some(78),
        "{}: {said}",
        output.status
    );
    ensure!(
        said.trim_end().lines().count() == 1,
        "more than a line: {said}"
    );
    ensure!(said.contains(setting), "{setting} is not named: {said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_setting_ends_every_binary_with_78_and_one_line() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let missing = dir.path().join("missing.toml");
    let unknown = dir.path().join("unknown.toml");
    std::fs::write(&unknown, "listne = \"127.0.0.1:0\"\n")?;
    for binary in ["kith", "ingest-api", "trait-worker"] {
        misconfigured(
            Launch::new(binary)?.with("KITH_CONFIG", missing.display()),
            "KITH_CONFIG",
        )
        .await?;
        misconfigured(
            Launch::new(binary)?.with("KITH_CONFIG", unknown.display()),
            "listne",
        )
        .await?;
        misconfigured(
            Launch::new(binary)?.with("KITH_SHUTDOWN_GRACE", "soon"),
            "KITH_SHUTDOWN_GRACE",
        )
        .await?;
    }
    misconfigured(Launch::new("ingest-api")?, "KITH_CREDENTIALS").await?;
    misconfigured(
        Launch::new("kith")?.with("KITH_LISTEN", "0.0.0.0:0"),
        "KITH_CREDENTIALS",
    )
    .await?;
    misconfigured(
        Launch::new("kith")?.with("KITH_LISTEN", "nowhere"),
        "KITH_LISTEN",
    )
    .await?;
    misconfigured(
        Launch::new("trait-worker")?
            .with("KITH_CQL_USERNAME", "kith")
            .with("KITH_CQL_PASSWORD_FILE", missing.display()),
        "KITH_CQL_PASSWORD_FILE",
    )
    .await
}

/// No disk has so much.
const A_PEBIBYTE: &str = "1048576GiB";

#[tokio::test(flavor = "multi_thread")]
async fn without_room_on_the_disk_writes_are_answered_503_and_reads_go_on() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (launch, base) = standalone(dir.path())?;
    let api = Api::new(&base)?;
    let mut process = Process::start(launch.clone(), dir.path())?;
    process.ready().await?;
    let profile = api.contact(json!({ "email": "ada@disk.example" })).await?;
    ensure!(process.terminate().await?.success());

    let short = launch.clone().with("KITH_DISK_FREE_BYTES_MIN", A_PEBIBYTE);
    let mut process = Process::start(short, dir.path())?;
    process.ready().await?;
    let refused = api
        .create(json!({ "Contact": { "email": "bob@disk.example" } }))
        .await?;
    ensure!(refused.status == 503, "{} {}", refused.status, refused.body);
    ensure!(!refused.header("retry-after").is_empty());
    ensure!(api.get(&profile).await?.status == 200);
    ensure!(api.owners("email", "ada@disk.example").await? == [profile.as_str()]);
    ensure!(api.owners("email", "bob@disk.example").await?.is_empty());
    process
        .until_metric("kith_disk_free_bytes", |free| free > 0.0)
        .await?;
    ensure!(process.log().contains("the disk is full up to the reserve"));
    ensure!(process.terminate().await?.success());

    let mut process = Process::start(launch, dir.path())?;
    process.ready().await?;
    api.contact(json!({ "email": "bob@disk.example" })).await?;
    ensure!(process.terminate().await?.success());
    Ok(())
}

fn standalone(dir: &Path) -> Result<(Launch, String)> {
    let listen = free_address()?;
    let launch = Launch::new("kith")?
        .with("KITH_LISTEN", listen)
        .with("KITH_DATA_DIR", dir.join("data").display());
    Ok((launch, format!("http://{listen}")))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_standalone_serves_within_two_seconds_and_its_curl_line_works() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (launch, _) = standalone(dir.path())?;
    let start = Instant::now();
    let mut process = Process::start(launch, dir.path())?;
    process.ready().await?;
    ensure!(
        start.elapsed() < Duration::from_secs(2),
        "{:?}",
        start.elapsed()
    );
    let said = process.log();
    let begin = said.find("  curl ").context("no curl line")?;
    let lines: Vec<&str> = said[begin..].lines().take(3).collect();
    let output = tokio::process::Command::new("bash")
        .args(["-c", &lines.join("\n")])
        .output()
        .await?;
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    ensure!(
        answer["id"]
            .as_str()
            .is_some_and(|id| id.starts_with("mem_profile_")),
        "{answer}"
    );
    ensure!(process.terminate().await?.success());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_is_there_after_a_restart() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (launch, base) = standalone(dir.path())?;
    let mut process = Process::start(launch, dir.path())?;
    process.ready().await?;
    let api = Api::new(&base)?;
    let id = api
        .contact(json!({ "email": "restart.person@example.com", "firstName": "Restarted" }))
        .await?;
    process.crash_and_restart().await?;
    api.until_trait(&id, ("Contact", "firstName"), json!("Restarted"))
        .await?;
    ensure!(
        api.contact(json!({ "email": "restart.person@example.com" }))
            .await?
            == id
    );
    ensure!(process.terminate().await?.success());
    Ok(())
}

fn content(dir: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    let mut open = vec![dir.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(next)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                open.push(entry.path());
            } else if kind.is_file() {
                files.insert(
                    entry.path().display().to_string(),
                    std::fs::read(entry.path())?,
                );
            }
        }
    }
    Ok(files)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_database_is_refused_by_name_and_left_as_it_is() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (launch, base) = standalone(dir.path())?;
    let mut process = Process::start(launch.clone(), dir.path())?;
    process.ready().await?;
    let api = Api::new(&base)?;
    for i in 0..50 {
        api.contact(json!({ "email": format!("damage.{i}.person@example.com"), "firstName": "x".repeat(500) })).await?;
    }
    process.kill()?;
    let data = dir.path().join("data");
    let (journal, mut bytes) = content(&data)?
        .into_iter()
        .filter(|(name, _)| name.ends_with(".jnl"))
        .max_by_key(|(_, bytes)| bytes.iter().filter(|byte| **byte != 0).count())
        .context("no journal")?;
    // In the middle of what was written, not of what was reserved.
    let used = bytes
        .iter()
        .rposition(|byte| *byte != 0)
        .context("an empty journal")?;
    bytes[used / 2] ^= 0xff;
    std::fs::write(&journal, bytes)?;
    let before = content(&data)?;
    let output = launch.output().await?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(1), "{}: {said}", output.status);
    let line = said
        .lines()
        .find(|line| line.contains(&journal))
        .context(said.clone())?;
    ensure!(
        line.contains("restore") && line.contains("nothing was changed"),
        "{line}"
    );
    ensure!(content(&data)? == before, "the refusal changed something");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_has_a_data_directory() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (launch, _) = standalone(dir.path())?;
    let mut process = Process::start(launch, dir.path())?;
    process.ready().await?;
    let (second, _) = standalone(dir.path())?;
    let output = second.output().await?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(
        !output.status.success() && said.contains("in use by another process"),
        "{}: {said}",
        output.status
    );
    ensure!(process.terminate().await?.success());
    Ok(())
}

/// An operator's view: alive and ready, metrics by name.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_what_the_process_does() -> Result<()> {
    let pair = Pair::standalone(&Shape::single()).await?;
    let id = pair
        .api()
        .contact(json!({ "email": "operator.view@example.com", "firstName": "Watched-One" }))
        .await?;
    pair.api()
        .contact(json!({ "email": "operator.view@example.com" }))
        .await?;
    pair.api()
        .until_trait(&id, ("Contact", "firstName"), json!("Watched-One"))
        .await?;
    let wanted = [
        "kith_resolve_total{outcome=\"created\"} 1",
        "kith_resolve_total{outcome=\"found\"} 1",
        "kith_http_requests_total{",
        "kith_db_statement_seconds",
        "kith_publish_seconds",
        "kith_log_lag_records{",
        "kith_log_lag_seconds{",
        "kith_build_info{",
    ];
    // Gauges are set a few times a second.
    until(Duration::from_secs(10), "every metric", || async {
        let page = pair.ingests[0].metrics().await?;
        match wanted.iter().find(|line| !page.contains(**line)) {
            None => Ok(Some(())),
            Some(line) => anyhow::bail!("{line} is not there"),
        }
    })
    .await?;
    let live = reqwest::get(format!("http://{}/livez", pair.ingests[0].admin())).await?;
    ensure!(live.status().is_success(), "{}", live.status());
    pair.stop().await
}

/// Groups beside `Contact`, and traits of each: all that a store may have.
const GROUPS: usize = 49;
const TRAITS: usize = 95;
/// Traits that hold long texts, so that the body is as large as one may be; the others hold numbers, which grow in the log.
const TEXTS: usize = 22;
const BODY_BYTES_MAX: usize = 4 << 20;

/// A body of exactly as many bytes as one may have, whose event is more than twice the size of an ordinary record: 4,633 traits of
/// a hundred numbers, 22 of a hundred texts.
fn largest_body() -> Result<String> {
    let numbers = format!("[{}]", vec!["2e9"; 100].join(","));
    let texts = format!(
        "[{}]",
        vec![format!("\"{}\"", "t".repeat(1024)); 100].join(",")
    );
    let mut left = TEXTS;
    let mut groups = vec!["\"Contact\":{\"email\":\"largest.person@example.com\"}".to_owned()];
    for group in 0..GROUPS {
        let traits = (0..TRAITS).map(|name| {
            let value = if left > 0 && name == 0 {
                left -= 1;
                &texts
            } else {
                &numbers
            };
            format!("\"t{name}\":{value}")
        });
        let traits: Vec<String> = traits.collect();
        groups.push(format!("\"g{group}\":{{{}}}", traits.join(",")));
    }
    let body = format!("{{\"traits\":{{{}}}}}", groups.join(","));
    let blanks = BODY_BYTES_MAX.checked_sub(body.len());
    Ok(body + &" ".repeat(blanks.context("larger than a body may be")?))
}

/// What the API takes, the log takes, and the worker applies: else identifiers would be claimed for a request that never can be
/// accepted.
async fn the_largest_body_goes_through_the_log(pair: Pair) -> Result<()> {
    let api = pair.api().new_store("largest").await?;
    let traits: serde_json::Map<_, _> = (0..TRAITS)
        .map(|name| (format!("t{name}"), json!({ "dataType": "ARRAY" })))
        .collect();
    for group in 0..GROUPS {
        api.new_group(&format!("g{group}"), traits.clone().into())
            .await?;
    }
    let body = largest_body()?;
    kith_tests::privacy::sent(&json!(["largest.person@example.com", "t".repeat(1024)]));
    let url = format!("{}/v1{}/Profiles", api.base(), api.store_path());
    let client = reqwest::Client::builder().no_proxy().build()?;
    let send = |body: String| {
        client
            .post(&url)
            .basic_auth(kith_tests::api::ACCOUNT, Some(kith_tests::api::TOKEN))
            .header("content-type", "application/json")
            .body(body)
            .send()
    };
    let answer = send(format!("{body} ")).await?;
    ensure!(answer.status() == 413, "{}", answer.status());
    // A busy machine may need more than one try; a record that is too large would be refused each time.
    let id = until(Duration::from_secs(120), "the largest body", || async {
        let answer = send(body.clone()).await?;
        let status = answer.status();
        let answer: serde_json::Value = answer.json().await?;
        ensure!(status == 202, "{status}: {answer}");
        Ok(answer["id"].as_str().map(str::to_owned))
    })
    .await?;
    let last = format!("g{}", GROUPS - 1);
    until(Duration::from_secs(120), "its last traits", || async {
        let path = format!("/Profiles/{id}?traitGroups={last}");
        let read = api.send(reqwest::Method::GET, &path, None).await?;
        ensure!(read.status == 200, "{}", read.status);
        let traits = read.body["traits"][&last].as_object();
        let is_whole = traits.is_some_and(|traits| {
            traits.len() == TRAITS && traits.values().all(|value| *value == json!(vec![2e9; 100]))
        });
        Ok(is_whole.then_some(()))
    })
    .await?;
    pair.stop().await
}

fn patient() -> Shape {
    Shape::single().with("KITH_REQUEST_DEADLINE", "20s")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_standalones_log_takes_the_largest_body() -> Result<()> {
    the_largest_body_goes_through_the_log(Pair::standalone(&patient()).await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_takes_the_largest_body() -> Result<()> {
    the_largest_body_goes_through_the_log(Pair::servers(&patient()).await?).await
}
