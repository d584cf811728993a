//! Counts what one request allocates: the standalone's service and worker in this process, on an allocator that counts, and a
//! caller that allocates nothing while it counts. Prints one JSON object. The case `standalone-allocations` runs it.

#![expect(clippy::print_stdout, reason = "counts are the answer to a command")]

mod counting;
mod served;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use kith_load::allocations::{Kind, PerRequest};
use kith_tests::message::{create, fetch, lookup};
use serde_json::{Value, json};

use crate::counting::{Counted, counted};
use crate::served::Served;

/// When a process allocates for so long no more than when nobody asks anything, everything is done.
const STILL: Duration = Duration::from_millis(300);
/// How often that is measured before anything is counted; the least is what it allocates by itself.
const LOOKS: usize = 8;

/// Counts what one request allocates.
#[derive(Debug, Parser)]
struct Asked {
    /// The folder for data, empty.
    #[arg(long)]
    data: PathBuf,
    /// Requests of each kind.
    #[arg(long, default_value_t = 1_000)]
    requests: usize,
}

fn main() -> Result<()> {
    let asked = Asked::parse();
    ensure!(asked.requests > 0, "no requests");
    let runtime = tokio::runtime::Runtime::new()?;
    let served = runtime.block_on(Served::start(&asked.data))?;
    let mut caller = Caller::connect(served.address())?;

    // What is made once, like a connection's buffers, is made before anything is counted.
    for n in 0..asked.requests.min(100) {
        caller.send(&new(asked.requests + n), 202)?;
    }
    let idle = Idle::measured();
    let people: Vec<Vec<u8>> = (0..asked.requests).map(new).collect();
    let mut told = BTreeMap::new();
    told.insert(Kind::New.name(), count(&mut caller, &idle, &people, 202)?);
    let known: Vec<Vec<u8>> = (0..asked.requests).map(known).collect();
    told.insert(Kind::Known.name(), count(&mut caller, &idle, &known, 202)?);
    let mut ids = Vec::new();
    for request in &known {
        let answer: Value = serde_json::from_slice(caller.send(request, 202)?)?;
        ids.push(answer["id"].as_str().context("no id")?.to_owned());
    }
    let gets: Vec<Vec<u8>> = ids.iter().map(|id| fetch(id)).collect();
    told.insert(Kind::Get.name(), count(&mut caller, &idle, &gets, 200)?);
    let lookups: Vec<Vec<u8>> = (0..asked.requests)
        .map(|n| lookup("email", &email(n)))
        .collect();
    told.insert(
        Kind::Lookup.name(),
        count(&mut caller, &idle, &lookups, 200)?,
    );

    println!("{}", serde_json::to_string(&told)?);
    drop(caller);
    runtime.block_on(served.stop())
}

/// Sends all of them, and waits until the worker has done its part, too.
fn count(
    caller: &mut Caller,
    idle: &Idle,
    requests: &[Vec<u8>],
    expected: u16,
) -> Result<PerRequest> {
    let before = idle.still()?;
    let began = Instant::now();
    for request in requests {
        caller.send(request, expected)?;
    }
    let after = idle.still()?;
    let (each, windows) = (
        requests.len() as f64,
        began.elapsed().as_secs_f64() / STILL.as_secs_f64(),
    );
    let less = |counted: u64, idle: u64| (counted as f64 - idle as f64 * windows) / each;
    Ok(PerRequest {
        allocations: less(after.allocations - before.allocations, idle.0.allocations),
        bytes: less(after.bytes - before.bytes, idle.0.bytes),
    })
}

/// What the process allocates by itself in the time of [`STILL`]: timers, and whoever looks for work.
struct Idle(Counted);

impl Idle {
    fn measured() -> Self {
        let least = (0..LOOKS).map(|_| window());
        let least = least.min_by_key(|window| window.allocations);
        Self(least.unwrap_or(Counted {
            allocations: 0,
            bytes: 0,
        }))
    }

    /// The counts, once the process does nothing but that.
    fn still(&self) -> Result<Counted> {
        let began = Instant::now();
        let most = self.0.allocations + self.0.allocations / 2 + 20;
        while window().allocations > most {
            let idle = self.0.allocations;
            ensure!(
                began.elapsed() < Duration::from_secs(60),
                "it allocates more than {idle} a window, and does not end"
            );
        }
        Ok(counted())
    }
}

/// What is allocated from now on for as long as [`STILL`].
fn window() -> Counted {
    let before = counted();
    #[expect(clippy::disallowed_methods, reason = "no task runs on this thread")]
    std::thread::sleep(STILL);
    let now = counted();
    Counted {
        allocations: now.allocations - before.allocations,
        bytes: now.bytes - before.bytes,
    }
}

fn email(n: usize) -> String {
    format!("allocations-{n}@example.com")
}

fn new(n: usize) -> Vec<u8> {
    create(&json!({ "Contact": {
        "email": email(n),
        "phone": format!("+1317{n:07}"),
        "firstName": format!("Person {n}"),
    } }))
}

fn known(n: usize) -> Vec<u8> {
    create(&json!({ "Contact": { "email": email(n), "firstName": format!("Known {n}") } }))
}

/// A caller that allocates nothing while it sends.
struct Caller {
    stream: TcpStream,
    buffer: Box<[u8]>,
}

impl Caller {
    fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: vec![0; 64 * 1024].into(),
        })
    }

    /// Sends a request, and reads the whole answer; its body.
    fn send(&mut self, request: &[u8], expected: u16) -> Result<&[u8]> {
        self.stream.write_all(request)?;
        let mut read = 0;
        let (head, whole) = loop {
            let more = self.stream.read(&mut self.buffer[read..])?;
            ensure!(more > 0, "the connection ended, or the answer is too long");
            read += more;
            if let Some((head, whole)) = extent(&self.buffer[..read])
                && read >= whole
            {
                break (head, whole);
            }
        };
        let status = self
            .buffer
            .get(9..12)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let body = &self.buffer[head..whole];
        ensure!(
            status.and_then(|digits| digits.parse().ok()) == Some(expected),
            "{status:?}: {}",
            String::from_utf8_lossy(body)
        );
        Ok(body)
    }
}

/// Where the head of an answer ends, and where the whole of it; `None` while the head is not whole.
fn extent(bytes: &[u8]) -> Option<(usize, usize)> {
    const LENGTH: &[u8] = b"content-length:";
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let line = bytes[..head].split(|byte| *byte == b'\n').find(|line| {
        line.len() > LENGTH.len() && line[..LENGTH.len()].eq_ignore_ascii_case(LENGTH)
    })?;
    let length: usize = std::str::from_utf8(&line[LENGTH.len()..])
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some((head, head + length))
}
