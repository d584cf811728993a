//! HTTP with as little of a caller's own cost as there can be: one kept-alive connection, one request after another, requests
//! made before the clock starts.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Bytes of an answer's head at most.
const HEAD_MAX: usize = 16 * 1024;

/// An open connection.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens.
    pub async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::with_capacity(4096),
        })
    }

    /// Sends a whole request, and reads the whole answer: status and body.
    ///
    /// # Errors
    /// When the connection ends, or the answer has no length.
    pub async fn send(&mut self, request: &[u8]) -> Result<(u16, Vec<u8>)> {
        let Answer { status, body, .. } = self.ask(request).await?;
        Ok((status, body))
    }

    /// The same, with when to come back.
    ///
    /// # Errors
    /// When the connection ends, or the answer has no length.
    pub async fn ask(&mut self, request: &[u8]) -> Result<Answer> {
        self.stream.write_all(request).await?;
        loop {
            if let Some(head) = head_of(&self.buffer)? {
                let end = head.bytes + head.body_bytes;
                while self.buffer.len() < end {
                    self.read().await?;
                }
                let body = self.buffer[head.bytes..end].to_vec();
                self.buffer.drain(..end);
                return Ok(Answer {
                    status: head.status,
                    retry_after: head.retry_after,
                    body,
                });
            }
            ensure!(self.buffer.len() < HEAD_MAX, "a head that does not end");
            self.read().await?;
        }
    }

    async fn read(&mut self) -> Result<()> {
        let read = self.stream.read_buf(&mut self.buffer).await?;
        ensure!(read > 0, "the connection ended");
        Ok(())
    }
}

/// An answer, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// When to come back, in seconds, if it says so.
    pub retry_after: Option<u64>,
    /// The body.
    pub body: Vec<u8>,
}

#[derive(Debug, PartialEq)]
struct Head {
    status: u16,
    retry_after: Option<u64>,
    bytes: usize,
    body_bytes: usize,
}

/// The head of an answer; `None` while it is not whole.
fn head_of(bytes: &[u8]) -> Result<Option<Head>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let text = std::str::from_utf8(&bytes[..end])?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1));
    let status = status.context("no status")?.parse()?;
    let (mut body_bytes, mut retry_after) = (None, None);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            body_bytes = Some(value.trim().parse()?);
        } else if name.eq_ignore_ascii_case("retry-after") {
            retry_after = Some(value.trim().parse()?);
        }
    }
    Ok(Some(Head {
        status,
        retry_after,
        bytes: end + 4,
        body_bytes: body_bytes.with_context(|| format!("an answer without a length: {status}"))?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_once_it_is_whole() {
        let text = b"HTTP/1.1 202 Accepted\r\nContent-Length: 5\r\nx: y\r\n\r\nhello";
        for end in 0..text.len() - 5 {
            assert_eq!(head_of(&text[..end]).unwrap(), None);
        }
        let head = Head {
            status: 202,
            retry_after: None,
            bytes: text.len() - 5,
            body_bytes: 5,
        };
        assert_eq!(head_of(text).unwrap(), Some(head));
        assert!(head_of(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
    #[test]
    fn an_answer_says_when_to_come_back() {
        let text =
            b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n";
        let head = head_of(text).unwrap().unwrap();
        assert_eq!((head.status, head.retry_after), (503, Some(7)));
    }
}
