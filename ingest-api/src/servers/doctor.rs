//! `doctor`: what the services share, and what only this one needs. Changes nothing, and may run beside it.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};

use kith_runtime::config::{Setting, Settings, table};
use kith_runtime::credentials::{Credentials, Development};
use kith_runtime::lifecycle::Exit;

use super::{configure, say};

/// Checks, and ends with 0 if all is well, 78 if it is the engines' settings, 1 otherwise.
pub async fn run(settings: &Settings) -> Exit {
    let servers = kith_servers::doctor::run(settings, configure, say).await;
    let own = [
        credentials(settings),
        address(settings, &table::LISTEN),
        address(settings, &table::ADMIN_LISTEN),
    ];
    let all_well = own.iter().all(Result::is_ok);
    for line in own {
        say(&line.unwrap_or_else(|line| line));
    }
    if servers == Exit::Clean && !all_well {
        Exit::Failed
    } else {
        servers
    }
}

fn credentials(settings: &Settings) -> Result<String, String> {
    match Credentials::load(settings, Development::Forbidden, &[]) {
        Ok(_) => Ok("ok    credentials: read".to_owned()),
        Err(error) => Err(format!(
            "FAIL  credentials: {error}; name a readable file of accounts with {}",
            table::CREDENTIALS.variable()
        )),
    }
}

fn address(settings: &Settings, setting: &Setting) -> Result<String, String> {
    let name = setting.variable();
    let address: SocketAddr = settings
        .get(setting)
        .map_err(|error| format!("FAIL  {name}: {error}"))?;
    match TcpListener::bind(address) {
        Ok(_) => Ok(format!("ok    {name}: {address} is free")),
        // Beside the running service this is as it should be.
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            Ok(format!("note  {name}: {address} is in use"))
        }
        Err(error) => Err(format!(
            "FAIL  {name}: cannot listen at {address}: {error}; set an address of this machine"
        )),
    }
}
