//! Starts the process under test and looks at it from outside.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use crate::child::PART;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Process {
    child: Child,
    said: Receiver<String>,
    logged: Receiver<String>,
    admin: Option<SocketAddr>,
}

/// How a process ended.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) code: Option<i32>,
    /// Its lines on standard error.
    pub(crate) logged: Vec<String>,
    /// Its lines on standard output, from where nobody read before.
    pub(crate) said: Vec<String>,
}

fn lines(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines() {
            let Ok(line) = line else { break };
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

impl Process {
    /// Starts a part, with a clean environment save these variables.
    pub(crate) fn start(part: &str, variables: &[(&str, &str)]) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child::child", "--ignored", "--nocapture"])
            .env_clear()
            .env(PART, part)
            .env("KITH_ADMIN_LISTEN", "127.0.0.1:0")
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = lines(child.stdout.take().unwrap());
        let logged = lines(child.stderr.take().unwrap());
        Self {
            child,
            said,
            logged,
            admin: None,
        }
    }

    /// Waits until it serves.
    pub(crate) fn started(mut self) -> Self {
        let line = self.hears("admin at ");
        self.admin = Some(line.trim_start_matches("admin at ").parse().unwrap());
        self
    }

    /// Waits for a line that begins like this.
    pub(crate) fn hears(&self, beginning: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.said.recv_timeout(left);
            let line = line.unwrap_or_else(|_| panic!("it never said {beginning}"));
            if line.starts_with(beginning) {
                return line;
            }
        }
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill")
            .args([&format!("-{name}"), &pid])
            .status()
            .unwrap();
        assert!(status.success());
    }

    /// Asks the operator's server. Status and body.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.admin.unwrap()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        let body = answer.split_once("\r\n\r\n").unwrap().1.to_owned();
        (status, body)
    }

    /// Asks until the answer is as wanted.
    pub(crate) fn get_until(&self, path: &str, wanted: impl Fn(u16, &str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (status, body) = self.get(path);
            if wanted(status, &body) {
                return body;
            }
            assert!(Instant::now() < deadline, "{path} stays {status} {body}");
            std::thread::yield_now();
        }
    }

    pub(crate) fn ended(mut self) -> End {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "it never ends");
            std::thread::yield_now();
        };
        End {
            code: status.code(),
            logged: self.logged.iter().collect(),
            said: self.said.iter().collect(),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Only a test that fails leaves one running.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
