//! Listening: sockets bound early, so that a taken port is one line at start, and servers that end when they are told.

use std::io;
use std::net::{SocketAddr, TcpListener};

use actix_web::dev::Server;
use socket2::{Domain, Protocol, Socket, Type};

use crate::config::{ConfigError, Setting, Settings};
use crate::lifecycle::{ComponentError, Shutdown};

/// Connections that wait to be accepted. A burst of clients after a restart fits.
const BACKLOG: i32 = 1024;

/// Binds the address of a setting.
///
/// # Errors
/// Names the setting: the address is in use, not of this machine, or not allowed.
pub fn bind(settings: &Settings, setting: &Setting) -> Result<TcpListener, ConfigError> {
    let address: SocketAddr = settings.get(setting)?;
    listen(address)
        .map_err(|error| settings.refuse(setting, format!("cannot listen at {address}: {error}")))
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // A restart must not wait for the old connections' TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Runs a server until the stage is shut down; then it accepts nothing new, and ends when the open requests are answered
/// or its own `shutdown_timeout` is over. Build it with `disable_signals`: signals belong to the lifecycle.
///
/// # Errors
/// The server failed.
pub async fn serve(server: Server, shutdown: Shutdown) -> Result<(), ComponentError> {
    let handle = server.handle();
    tokio::pin!(server);
    tokio::select! {
        ended = &mut server => return Ok(ended?),
        () = shutdown.requested() => {}
    }
    // The server has to be driven while it stops.
    let (ended, ()) = tokio::join!(server, handle.stop(true));
    Ok(ended?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{SettingSet, table};

    fn settings(address: &str) -> Settings {
        let set = SettingSet::new("test").take(table::HTTP);
        let command = set.command(clap::Command::new("test"));
        let matches = set.parse(command, ["test", "--listen", address]).unwrap();
        set.load_from(&matches, &|_| None).unwrap()
    }

    #[test]
    fn a_taken_port_is_one_line_that_names_the_setting() {
        let first = bind(&settings("127.0.0.1:0"), &table::LISTEN).unwrap();
        let address = first.local_addr().unwrap().to_string();
        let error = bind(&settings(&address), &table::LISTEN)
            .unwrap_err()
            .to_string();
        let expected = format!("KITH_LISTEN (flag): cannot listen at {address}: ");
        assert!(error.starts_with(&expected), "{error}");
        assert!(!error.contains('\n'));
    }
}
