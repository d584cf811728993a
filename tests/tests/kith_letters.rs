//! `kith dead-letters`: the same for the standalone, beside the process that serves and without one.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use kith_domain::event::TraitEvent;
use kith_domain::traits::{CellBytes, TraitValue, TraitWrite};
use kith_profiles::ports::{DeadLetter, DeadLetters, LogRecord, Offset, Partition};
use kith_tests::api::Api;
use kith_tests::engines::{embedded, now};
use kith_tests::privacy;
use kith_tests::process::{Launch, Process, free_address};
use serde_json::json;

async fn serving(data: &Path, logs: &Path) -> Result<(Process, Api)> {
    let listen = free_address()?;
    let launch = Launch::new("kith")?
        .with("KITH_LISTEN", listen)
        .with("KITH_DATA_DIR", data.display());
    let mut process = Process::start(launch, logs)?;
    process.ready().await?;
    Ok((process, Api::new(&format!("http://{listen}"))?))
}

/// What the command prints: its exit code and lines, those on standard error last.
async fn dead_letters(data: &Path, arguments: &[&str]) -> Result<(Option<i32>, Vec<String>)> {
    let mut launch = Launch::new("kith")?.with("KITH_DATA_DIR", data.display());
    let arguments = ["dead-letters"].iter().chain(arguments);
    launch.arguments = arguments.map(|a| (*a).to_owned()).collect();
    let mut command = launch.command()?;
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    let told = String::from_utf8([output.stdout, output.stderr].concat())?;
    let lines = told.lines().map(str::to_owned).collect();
    Ok((output.status.code(), lines))
}

/// The same, which must have ended well, and must have said nothing of what was sent.
async fn told(data: &Path, arguments: &[&str]) -> Result<Vec<String>> {
    let (code, lines) = dead_letters(data, arguments).await?;
    ensure!(code == Some(0), "{arguments:?}: {code:?}: {lines:?}");
    privacy::search("what dead-letters prints", &lines.join("\n"))?;
    Ok(lines)
}

#[tokio::test]
async fn letters_of_the_standalone_are_listed_shown_and_redriven() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let data = dir.path().join("data");
    let (mut process, api) = serving(&data, dir.path()).await?;
    let contact = json!({ "email": "kith.redriven@example.com", "city": "First-City" });
    let id = api.contact(contact).await?;
    api.until_trait(&id, ("Contact", "city"), json!("First-City"))
        .await?;
    process.terminate().await?;

    // As a process of an older version has put a later event aside, and one that nobody can read.
    let secret = format!(
        "no event of kith.redriven@example.com {}",
        "x".repeat(100_000)
    );
    privacy::sent(&json!(secret));
    let city = |text: &str| CellBytes::from(&TraitWrite::Set(TraitValue::String(text.to_owned())));
    {
        let engine = embedded(&data)?;
        let store = api.store().parse()?;
        let profile = id.parse()?;
        let definition = definition_of_city(&engine, store).await?;
        let event = TraitEvent {
            store,
            profile,
            stamp: now().plus(Duration::from_secs(1)),
            request: kith_domain::id::RequestId::from_uuid(uuid::Uuid::nil()),
            schema_version: 1,
            traits: vec![(definition, city("Late-City"))],
        };
        for (offset, reason, payload) in [
            (7, "unknown_version", event.encode()),
            (8, "malformed", secret.clone().into_bytes()),
        ] {
            let record = LogRecord {
                partition: Partition(2),
                offset: Offset::new(offset),
                published_at: now(),
                key: Bytes::from_static(b"key"),
                payload: payload.into(),
                headers: vec![(
                    "note".into(),
                    Bytes::from_static(b"kith.redriven@example.com"),
                )],
            };
            let letter = DeadLetter {
                record,
                topic: "kith.traits".into(),
                reason,
            };
            engine.log().bury(letter).await?;
        }
    }

    // Without a process that serves.
    let lines = told(&data, &["list"]).await?;
    ensure!(lines.len() == 2, "{lines:?}");
    ensure!(
        lines[0].starts_with("0:0\t")
            && lines[0].contains("\tunknown_version\tok\tkith.traits:2:7\t3\t")
    );
    ensure!(
        lines[1].ends_with("\tmalformed\tmalformed\tkith.traits:2:8\t3\t100038\t0\tno"),
        "{}",
        lines[1]
    );

    // And with one.
    let (mut process, api) = serving(&data, dir.path()).await?;
    ensure!(told(&data, &["list"]).await? == lines);
    ensure!(told(&data, &["list", "--reason", "malformed"]).await? == lines[1..]);
    let json = told(&data, &["list", "--json", "--limit", "1"]).await?;
    ensure!(
        json.len() == 1 && json[0].contains("\"reason\":\"unknown_version\""),
        "{json:?}"
    );
    let shown = told(&data, &["show", "0:1"]).await?;
    ensure!(
        shown.contains(&"payload\t100038 bytes".to_owned()),
        "{shown:?}"
    );
    let (code, shown) = dead_letters(&data, &["show", "0:1", "--bytes"]).await?;
    let payload = format!("payload\t100038 bytes\t{}", json!(secret));
    ensure!(
        code == Some(0) && shown.contains(&payload),
        "the payload is not as it was"
    );
    let (code, _) = dead_letters(&data, &["show", "0:9"]).await?;
    ensure!(code == Some(1), "{code:?}");
    let (code, _) = dead_letters(&data, &["list", "--since", "lately"]).await?;
    ensure!(code == Some(78), "{code:?}");

    let dry = told(&data, &["redrive", "--readable", "--dry-run"]).await?;
    ensure!(dry.len() == 2 && dry[0] == lines[0], "{dry:?}");
    ensure!(
        dry[1] == "1 letters would be redriven, 0 were redriven before",
        "{dry:?}"
    );
    ensure!(told(&data, &["list"]).await? == lines);
    let done = told(&data, &["redrive"]).await?;
    ensure!(
        done == ["2 letters redriven, 0 were redriven before"],
        "{done:?}"
    );
    api.until_trait(&id, ("Contact", "city"), json!("Late-City"))
        .await?;
    let again = kith_tests::poll::until(Duration::from_secs(20), "it comes back", || async {
        let lines = told(&data, &["list"]).await?;
        Ok((lines.len() == 3).then_some(lines))
    })
    .await?;
    let ends: Vec<&str> = again
        .iter()
        .filter_map(|line| line.rsplit_once("\t100038\t"))
        .map(|(_, end)| end)
        .collect();
    ensure!(
        again[0].ends_with("\t0\tyes") && ends == ["0\tyes", "1\tno"],
        "{again:?}"
    );
    let done = told(&data, &["redrive", "--readable"]).await?;
    ensure!(
        done == ["0 letters redriven, 1 were redriven before"],
        "{done:?}"
    );
    process.terminate().await?;

    let mut launch = Launch::new("kith")?.with("KITH_DATA_DIR", data.display());
    launch.arguments = vec!["verify".into()];
    let mut command = launch.command()?;
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    let said = String::from_utf8(output.stdout)?;
    ensure!(
        output.status.success() && said.contains("3 dead letters"),
        "{said}"
    );
    Ok(())
}

async fn definition_of_city(
    engine: &kith_embedded::Embedded,
    store: kith_domain::id::StoreId,
) -> Result<kith_domain::id::DefinitionId> {
    use kith_profiles::ports::Control;
    let record = engine.store(store).await?.context("the store")?;
    let contact = record.groups.iter().find(|group| group.name == "Contact");
    let city = contact.and_then(|group| group.traits.get("city"));
    Ok(city.context("a definition")?.id)
}
