//! The Dockerfile, beyond what its linter knows.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use kith_tests::servers::workspace;

use crate::tools::text;

/// Whether an image is named by a digest, or by a tag that begins with a version's number.
pub(crate) fn is_pinned(image: &str) -> bool {
    let by_digest = image.split_once("@sha256:");
    if let Some((_, digest)) = by_digest {
        return digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
    }
    let tag = image.rsplit_once(':').map_or("", |(_, tag)| tag);
    let number = tag.strip_prefix('v').unwrap_or(tag);
    number.split('.').count() >= 3 && number.starts_with(|first: char| first.is_ascii_digit())
}

/// The lines of the Dockerfile, continued ones made one, without comments.
fn lines() -> Result<Vec<String>> {
    let text = text("images/Dockerfile")?.replace("\\\n", " ");
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(lines.map(str::to_owned).collect())
}

/// What follows an instruction, for each time that it is there.
fn all<'a>(lines: &'a [String], instruction: &str) -> Vec<&'a str> {
    let lines = lines.iter().map(String::as_str);
    lines
        .filter_map(|line| line.strip_prefix(instruction)?.strip_prefix(' '))
        .map(str::trim)
        .collect()
}

#[test]
fn base_images_are_pinned() -> Result<()> {
    let lines = lines()?;
    let arguments: BTreeMap<_, _> = all(&lines, "ARG")
        .into_iter()
        .filter_map(|argument| argument.split_once('='))
        .collect();
    let mut stages = Vec::new();
    for from in all(&lines, "FROM") {
        let (base, stage) = from.split_once(" AS ").context("a stage without a name")?;
        let argument = base
            .strip_prefix("${")
            .and_then(|base| base.strip_suffix('}'));
        match argument {
            Some(argument) => {
                let image = arguments
                    .get(argument)
                    .context("an argument without a default")?;
                ensure!(is_pinned(image), "{image}");
            }
            None => ensure!(stages.contains(&base), "{base} is no stage"),
        }
        stages.push(stage);
    }
    ensure!(stages == ["build", "run", "ingest-api", "trait-worker", "kith"]);
    Ok(())
}

#[test]
fn what_is_not_pinned_is_known() {
    for pinned in [
        "rust:1.95.0-bookworm",
        "prom/prometheus:v3.13.3",
        "host:5000/a@sha256:9dac0a79194e45a7da0158a9c6da57b217585af0786db3845d1f0ec1a0dd182f",
    ] {
        assert!(is_pinned(pinned), "{pinned}");
    }
    for moving in [
        "rust",
        "rust:latest",
        "rust:1",
        "rust:bookworm",
        "host:5000/a",
        "a:nonroot",
        "a@sha256:12",
    ] {
        assert!(!is_pinned(moving), "{moving}");
    }
}

#[test]
fn the_compiler_is_the_one_that_the_tests_use() -> Result<()> {
    let toolchain = std::fs::read_to_string(workspace().join("rust-toolchain.toml"))?;
    let toolchain: toml::Table = toml::from_str(&toolchain)?;
    let channel = toolchain["toolchain"]["channel"]
        .as_str()
        .context("no channel")?;
    let lines = lines()?;
    let image = format!("BUILD_IMAGE=rust:{channel}-");
    ensure!(
        all(&lines, "ARG")
            .iter()
            .any(|line| line.starts_with(&image))
    );
    let variable = format!("RUSTUP_TOOLCHAIN={channel} ");
    ensure!(
        all(&lines, "ENV")
            .iter()
            .any(|line| line.starts_with(&variable))
    );
    Ok(())
}

#[test]
fn every_binary_has_an_image_that_is_nobody_and_asks_itself_how_it_is() -> Result<()> {
    let lines = lines()?;
    for user in all(&lines, "USER") {
        ensure!(user == "65532:65532", "{user}");
    }
    for binary in ["ingest-api", "trait-worker", "kith"] {
        let begin = format!("FROM run AS {binary}");
        let stage: Vec<String> = lines
            .iter()
            .skip_while(|line| **line != begin)
            .take_while(|line| **line == begin || !line.starts_with("FROM "))
            .cloned()
            .collect();
        let path = format!("/usr/local/bin/{binary}");
        ensure!(all(&stage, "ENTRYPOINT") == [format!("[\"{path}\"]")]);
        let health = all(&stage, "HEALTHCHECK");
        ensure!(health.len() == 1 && health[0].ends_with(&format!("CMD [\"{path}\", \"health\"]")));
        ensure!(
            all(&stage, "LABEL")
                .iter()
                .any(|label| label.contains("image.title="))
        );
        // Nothing is run in it: it has nothing to run it with.
        ensure!(all(&stage, "RUN").is_empty());
    }
    Ok(())
}
