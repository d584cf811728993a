//! HTTP with as little of a caller's own cost as there can be: one kept-alive connection, one request after another, requests
//! made before the clock starts.

use std::io::{self, ErrorKind};
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
        self.put(request).await?;
        self.answer().await
    }

    /// Whether the other side has ended it, as far as it is known here: it takes no request more.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        let read = self.stream.try_read(&mut [0]);
        !read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }

    /// Sends a whole request.
    ///
    /// # Errors
    /// When the connection ends before.
    pub async fn put(&mut self, request: &[u8]) -> io::Result<()> {
        self.stream.write_all(request).await
    }

    /// Reads the whole answer to a request that was sent.
    ///
    /// # Errors
    /// When the connection ends, or the answer has no length.
    pub async fn answer(&mut self) -> Result<Answer> {
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
                    is_last: head.is_last,
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
    /// Whether the connection ends with it.
    pub is_last: bool,
    /// The body.
    pub body: Vec<u8>,
}

#[derive(Debug, PartialEq)]
struct Head {
    status: u16,
    retry_after: Option<u64>,
    is_last: bool,
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
    let (mut body_bytes, mut retry_after, mut is_last) = (None, None, false);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            body_bytes = Some(value.trim().parse()?);
        } else if name.eq_ignore_ascii_case("retry-after") {
            retry_after = Some(value.trim().parse()?);
        } else if name.eq_ignore_ascii_case("connection") {
            is_last = value.trim().eq_ignore_ascii_case("close");
        }
    }
    Ok(Some(Head {
        status,
        retry_after,
        is_last,
        bytes: end + 4,
        body_bytes: body_bytes.with_context(|| format!("an answer without a length: {status}"))?,
    }))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

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
            is_last: false,
            bytes: text.len() - 5,
            body_bytes: 5,
        };
        assert_eq!(head_of(text).unwrap(), Some(head));
        assert!(head_of(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }

    #[test]
    fn an_answer_says_when_to_come_back_and_that_it_is_the_last() {
        let text = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 7\r\nConnection: close\r\ncontent-length: 0\r\n\r\n";
        let head = head_of(text).unwrap().unwrap();
        assert_eq!((head.status, head.retry_after), (503, Some(7)));
        assert!(head.is_last);
    }

    #[tokio::test]
    async fn a_connection_that_the_other_side_ended_is_known_before_it_is_used() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut connection = Connection::open(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        assert!(!connection.has_ended());
        connection.put(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let mut request = [0; 18];
        server.read_exact(&mut request).await.unwrap();
        drop(server);
        connection.answer().await.unwrap_err();
        assert!(connection.has_ended());
    }
}
