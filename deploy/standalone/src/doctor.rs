//! `doctor`: everything that can be checked before it serves, one line each. Changes nothing. Beside a running `kith` it says
//! that its ports and its data directory are taken.

use std::net::TcpListener;
use std::path::PathBuf;

use kith_embedded::{Inspection, inspect};
use kith_runtime::config::{ConfigError, Setting, Settings, table};
use kith_runtime::credentials::{Credentials, Development};
use kith_runtime::lifecycle::Exit;

use crate::say;

/// Checks, and ends with 0 if all is well, 1 otherwise.
pub(crate) fn run(settings: &Settings) -> Exit {
    for line in settings.report() {
        say(&line);
    }
    let checks = [
        ("API address", address(settings, &table::LISTEN)),
        (
            "operator's address",
            address(settings, &table::ADMIN_LISTEN),
        ),
        ("credentials", credentials(settings)),
        ("data directory", data(settings)),
    ];
    let mut exit = Exit::Clean;
    for (what, outcome) in checks {
        match outcome {
            Ok(detail) => say(&format!("ok    {what}: {detail}")),
            Err(reason) => {
                exit = Exit::Failed;
                say(&format!("FAIL  {what}: {reason}"));
            }
        }
    }
    exit
}

fn address(settings: &Settings, setting: &Setting) -> Result<String, String> {
    let address: std::net::SocketAddr = settings.get(setting).map_err(|error| error.to_string())?;
    match TcpListener::bind(address) {
        Ok(_) => Ok(format!("{address} is free")),
        Err(error) => Err(format!(
            "cannot listen on {address}: {error}; stop what listens there, or set {}",
            setting.variable()
        )),
    }
}

fn credentials(settings: &Settings) -> Result<String, String> {
    let text = |error: ConfigError| error.to_string();
    let listeners = [
        settings.get(&table::LISTEN).map_err(text)?,
        settings.get(&table::ADMIN_LISTEN).map_err(text)?,
    ];
    let credentials = Credentials::load(settings, Development::OnLoopback, &listeners);
    let credentials = credentials.map_err(|error| {
        format!(
            "{error}; name a readable file of accounts with {}, or with none listen on loopback only",
            table::CREDENTIALS.variable()
        )
    })?;
    Ok(match credentials.development_account() {
        Some(account) => format!("the development account {account}"),
        None => "read".to_owned(),
    })
}

/// Reads all of it, as the start does only in part.
fn data(settings: &Settings) -> Result<String, String> {
    let dir: PathBuf = settings
        .get(&table::DATA_DIR)
        .map_err(|error| error.to_string())?;
    let place = dir.display();
    let variable = table::DATA_DIR.variable();
    match std::fs::metadata(&dir) {
        Ok(found) if !found.is_dir() => Err(format!(
            "{place} is no directory; remove it, or set {variable}"
        )),
        Ok(found) if found.permissions().readonly() => Err(format!(
            "{place} cannot be written; change its permissions, or set {variable}"
        )),
        // What is wrong says what to do.
        Ok(_) => match inspect(&dir).map_err(|error| error.to_string())? {
            Inspection::Sound => Ok(format!("{place} is sound")),
            Inspection::Empty => Ok(format!("{place} is empty, a store will be made there")),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Ok(format!("{place} will be made at the first start"))
        }
        Err(error) => Err(format!(
            "{place}: {error}; change its permissions, or set {variable}"
        )),
    }
}
