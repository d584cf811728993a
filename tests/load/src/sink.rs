//! A collector that takes everything and keeps nothing: as little beside the process that is measured as there can be.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Bytes of a head at most.
const HEAD_MAX: usize = 16 * 1024;
const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";

/// A running sink for OTLP over HTTP. Dropping it ends it.
#[derive(Debug)]
pub struct Sink {
    /// Where it listens.
    pub address: SocketAddr,
    bytes: Arc<AtomicU64>,
    _accepting: JoinSet<()>,
}

impl Sink {
    /// Starts one on a free port of loopback.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let bytes = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&bytes);
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((connection, _)) = listener.accept().await {
                let counter = Arc::clone(&counter);
                // One that breaks is opened again by the exporter; what is lost counts as not taken.
                connections.spawn(async move { drop(take(connection, &counter).await) });
            }
        });
        Ok(Self {
            address,
            bytes,
            _accepting: accepting,
        })
    }

    /// Bytes of spans so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// Requests with a length, one after another, until the connection ends.
async fn take(mut connection: TcpStream, bytes: &AtomicU64) -> Result<()> {
    let mut buffer = Vec::new();
    loop {
        let head = loop {
            if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            ensure!(buffer.len() < HEAD_MAX, "a head that does not end");
            ensure!(connection.read_buf(&mut buffer).await? > 0, "it ended");
        };
        let body = length(&buffer[..head])?;
        while buffer.len() < head + body {
            ensure!(connection.read_buf(&mut buffer).await? > 0, "it ended");
        }
        buffer.drain(..head + body);
        bytes.fetch_add(u64::try_from(body)?, Ordering::Relaxed);
        connection.write_all(ANSWER).await?;
    }
}

fn length(head: &[u8]) -> Result<usize> {
    let text = String::from_utf8_lossy(head).to_lowercase();
    let mut lines = text.lines();
    let value = lines.find_map(|line| line.strip_prefix("content-length:"));
    Ok(value.context("no length")?.trim().parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_answers_and_counts_what_it_was_sent() {
        let sink = Sink::start().await.unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        for _ in 0..2 {
            let request = client.post(format!("http://{}/v1/traces", sink.address));
            let answer = request.body(vec![7; 40_000]).send().await.unwrap();
            assert!(answer.status().is_success());
        }
        assert_eq!(sink.bytes(), 80_000);
    }
}
