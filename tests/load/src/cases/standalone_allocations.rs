//! What one request allocates on the standalone.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use kith_tests::process::Launch;

use super::folder;
use crate::allocations::{Kind, PerRequest};
use crate::figure::Figure;
use crate::settings::Settings;

pub(super) const ABOUT: &str = "The standalone's service and worker on the embedded store in a process of the benchmark's, with its telemetry, on an allocator that counts \
(`kith-allocations`); one caller, one request after another over HTTP, which allocates nothing itself. New people have an e-mail address, a phone number and a first name. \
A request's share of the worker and of the store's own work is in it. Growing an allocation counts as one more, of the bytes that it grows by.";

const NAME: &str = "standalone-allocations";

pub(super) async fn run(settings: &Settings) -> Result<Vec<Figure>> {
    let dir = folder(settings)?;
    let mut launch = Launch::new("kith-allocations")?;
    launch.environment.clear();
    launch.arguments = vec![
        format!("--data={}", dir.path().join("data").display()),
        format!("--requests={}", settings.allocation_requests),
    ];
    let mut command = launch.command()?;
    command.env("RUST_LOG", "info");
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {said}", output.status);
    let told: BTreeMap<String, PerRequest> = serde_json::from_slice(&output.stdout)?;
    let mut figures = Vec::new();
    for kind in Kind::ALL {
        let counted = told.get(kind.name()).context("a kind is missing")?;
        for (what, value) in [
            ("allocations", counted.allocations),
            ("bytes", counted.bytes),
        ] {
            let case = format!("{NAME}.{}_{what}", kind.name());
            figures.push(Figure::shown(&case, value, &format!("{what}/request")));
        }
    }
    Ok(figures)
}
