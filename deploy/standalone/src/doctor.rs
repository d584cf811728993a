//! `doctor`: everything that can be checked before it serves, one line each. Changes nothing, and may run beside it.

use std::net::TcpListener;
use std::path::PathBuf;

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
    let credentials =
        Credentials::load(settings, Development::OnLoopback, &listeners).map_err(text)?;
    Ok(match credentials.development_account() {
        Some(account) => format!("the development account {account}"),
        None => "read".to_owned(),
    })
}

fn data(settings: &Settings) -> Result<String, String> {
    let dir: PathBuf = settings
        .get(&table::DATA_DIR)
        .map_err(|error| error.to_string())?;
    let place = dir.display();
    match std::fs::metadata(&dir) {
        Ok(found) if !found.is_dir() => Err(format!(
            "{place} is no directory; remove it, or set {}",
            table::DATA_DIR.variable()
        )),
        Ok(found) if found.permissions().readonly() => Err(format!(
            "{place} cannot be written; change its permissions, or set {}",
            table::DATA_DIR.variable()
        )),
        Ok(_) => Ok(format!(
            "{place} is there; its content is checked when it is opened"
        )),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Ok(format!("{place} will be made at the first start"))
        }
        Err(error) => Err(format!("{place}: {error}")),
    }
}
