//! `health`: asks the process beside it how it is, over its operator's address, and ends with 0 or 1.
//!
//! For whoever checks health with a command: an image without a shell has nothing else to ask with. It takes the settings of
//! the process that it asks, so that both agree on the address.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::config::{Settings, table::ADMIN_LISTEN};
use crate::lifecycle::Exit;
use crate::output::{note, say};

/// The subcommand's name.
pub const NAME: &str = "health";
const ALIVE: &str = "alive";
/// How long the process may take to be connected to, and to go on with its answer. It answers from memory.
const LIMIT: Duration = Duration::from_secs(2);
/// The answers are a few hundred bytes; something larger is another server.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// The subcommand, for a binary to add to its own.
#[must_use]
pub fn command() -> Command {
    Command::new(NAME)
        .about("Ask the process beside this one whether it is ready, and end with 0 if it is")
        .arg(
            Arg::new(ALIVE)
                .long(ALIVE)
                .action(ArgAction::SetTrue)
                .help("Ask whether it is alive instead"),
        )
}

/// Asks, prints what was answered, and says how to end: with 0 if all is well, with 1 if not, or if nobody answers.
#[must_use]
pub fn run(settings: &Settings, matches: &ArgMatches) -> Exit {
    let address = match settings.get(&ADMIN_LISTEN) {
        Ok(address) => reachable(address),
        Err(error) => return Exit::misconfigured(&error),
    };
    let path = if matches.get_flag(ALIVE) {
        "/livez"
    } else {
        "/readyz"
    };
    match ask(address, path, LIMIT) {
        Ok(answer) => match say(&answer.body) {
            Ok(()) if answer.status == 200 => Exit::Clean,
            Ok(()) | Err(_) => Exit::Failed,
        },
        Err(error) => {
            note(&format!("no answer from {address}{path}: {error}"));
            Exit::Failed
        }
    }
}

/// Where to ask a process that listens here: one that listens everywhere is asked on loopback.
fn reachable(listens: SocketAddr) -> SocketAddr {
    let mut address = listens;
    match listens.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        IpAddr::V4(_) | IpAddr::V6(_) => {}
    }
    address
}

#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    body: String,
}

fn ask(address: SocketAddr, path: &str, limit: Duration) -> io::Result<Answer> {
    let mut connection = TcpStream::connect_timeout(&address, limit)?;
    connection.set_read_timeout(Some(limit))?;
    connection.set_write_timeout(Some(limit))?;
    // HTTP/1.0, so that the answer is neither in chunks nor followed by another.
    write!(connection, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut text = String::new();
    connection
        .take(ANSWER_BYTES_MAX)
        .read_to_string(&mut text)?;
    read(&text).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not an answer of HTTP"))
}

fn read(text: &str) -> Option<Answer> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?;
    Some(Answer {
        status: status.parse().ok()?,
        body: body.trim_end().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread::JoinHandle;

    use super::*;
    use crate::config::{SettingSet, table};

    /// How a process at this address is asked, and what becomes of it.
    fn health(address: SocketAddr, arguments: &[&str]) -> Exit {
        let taken = SettingSet::new("test").take(table::PROCESS);
        let line = taken.command(Command::new("test").subcommand(command()));
        let listen = address.to_string();
        let own = ["test", "--admin-listen", &listen, NAME];
        let matches = taken.parse(line, [&own, arguments].concat()).unwrap();
        let settings = taken.load_from(&matches, &|_| None).unwrap();
        run(&settings, matches.subcommand_matches(NAME).unwrap())
    }

    /// A server that answers one request with this, whatever it is, and then says what it was.
    fn answers(answer: &'static str) -> (SocketAddr, JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut caller, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                caller.read_exact(&mut byte).unwrap();
                request.extend(byte);
            }
            caller.write_all(answer.as_bytes()).unwrap();
            String::from_utf8(request).unwrap()
        });
        (address, server)
    }

    #[test]
    fn it_ends_as_the_process_answers() {
        for (answer, exit) in [
            ("HTTP/1.1 200 OK\r\n\r\n{\"ready\":true}", Exit::Clean),
            ("HTTP/1.0 200 OK\r\n\r\n", Exit::Clean),
            ("HTTP/1.1 503 Service Unavailable\r\n\r\n{}", Exit::Failed),
            ("HTTP/1.1 404 Not Found\r\n\r\n", Exit::Failed),
            ("HTTP/1.1 200 OK\r\n", Exit::Failed),
            ("SSH-2.0-200\r\n\r\n", Exit::Failed),
            ("", Exit::Failed),
        ] {
            let (address, server) = answers(answer);
            assert_eq!(health(address, &[]), exit, "{answer}");
            server.join().unwrap();
        }
    }

    #[test]
    fn it_asks_for_readiness_or_for_life() {
        for (arguments, path) in [(&[][..], "/readyz"), (&["--alive"][..], "/livez")] {
            let (address, server) = answers("HTTP/1.1 200 OK\r\n\r\n");
            assert_eq!(health(address, arguments), Exit::Clean);
            let request = server.join().unwrap();
            assert!(request.starts_with(&format!("GET {path} ")), "{request}");
        }
    }

    #[test]
    fn whoever_does_not_answer_is_not_well() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let silent = ask(address, "/readyz", Duration::from_millis(50));
        assert_eq!(silent.unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(listener);
        assert_eq!(health(address, &[]), Exit::Failed);
    }

    #[test]
    fn a_process_that_listens_everywhere_is_asked_on_loopback() {
        for (listens, asked) in [
            ("0.0.0.0:8081", "127.0.0.1:8081"),
            ("[::]:8081", "[::1]:8081"),
            ("127.0.0.1:8082", "127.0.0.1:8082"),
            ("10.1.2.3:1", "10.1.2.3:1"),
        ] {
            let listens: SocketAddr = listens.parse().unwrap();
            assert_eq!(reachable(listens).to_string(), asked);
        }
    }
}
