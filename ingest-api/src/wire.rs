//! Connections whose every answer has the contract's form.
//!
//! What cannot be read as HTTP never reaches the application: the framework answers it on its own, with a bare status. Such
//! an answer is the last of its connection and has no body, and ours always have one; so it can be told apart where it is
//! written, and is replaced there: a malformed head (400), one too large (431) or too slow (408).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use actix_web::http::StatusCode;
use bytes::{Buf as _, Bytes};
use kith_domain::id::RequestId;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use uuid::Uuid;

use crate::answer::{NO_ROUTE, REQUEST_ID, count};
use crate::error::{self, RETRY_SOON};

/// A connection.
#[derive(Debug)]
pub(crate) struct Wire<T> {
    io: T,
    /// What replaces bytes that were taken from the application, until it is written.
    instead: Bytes,
}

impl<T: AsyncWrite + Unpin> Wire<T> {
    pub(crate) fn new(io: T) -> Self {
        Self {
            io,
            instead: Bytes::new(),
        }
    }

    /// Writes what is still owed.
    fn poll_owed(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.instead.is_empty() {
            let written = ready!(Pin::new(&mut self.io).poll_write(cx, &self.instead))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.instead.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Wire<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Wire<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_owed(cx))?;
        // The framework hands over all it has each time, so a bare answer is whole at the end of the first write with it.
        let Some(instead) = instead_of(bytes) else {
            return Pin::new(&mut self.io).poll_write(cx, bytes);
        };
        self.instead = instead;
        match self.poll_owed(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            // What could not be written now is written with the flush that follows.
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(bytes.len())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_owed(cx))?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_owed(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

const HEAD_END: &[u8] = b"\r\n\r\n";

/// What to write instead of these bytes, if they end with a bare answer of the framework.
fn instead_of(bytes: &[u8]) -> Option<Bytes> {
    // JSON holds no line ends: only a head without a body after it ends like this.
    if !bytes.ends_with(HEAD_END) {
        return None;
    }
    let starts: &[u8] = b"HTTP/1.";
    let at = bytes
        .windows(starts.len())
        .rposition(|window| window == starts)?;
    let head = &bytes[at..];
    let is_bare = head
        .split(|byte| *byte == b'\n')
        .any(|line| line.eq_ignore_ascii_case(b"content-length: 0\r"));
    let status = StatusCode::from_bytes(head.get(9..12)?).ok()?;
    if !is_bare || status.as_u16() < 400 {
        return None;
    }
    let mut written = bytes[..at].to_vec();
    written.extend_from_slice(answer(status).as_bytes());
    Some(written.into())
}

/// The whole answer to what is no request.
fn answer(status: StatusCode) -> String {
    let (code, message) = match status {
        StatusCode::REQUEST_TIMEOUT => (400, "The request did not arrive in time"),
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => (400, "The headers are too large"),
        status if status.is_client_error() => (400, "The request is not valid HTTP"),
        _ => (20500, "An internal server error has occurred"),
    };
    count("_OTHER", NO_ROUTE.into(), status);
    let body = error::body(status, code, message);
    let id = RequestId::from_uuid(Uuid::new_v4());
    let more = match status {
        // Nothing was read, let alone done, and the next attempt may well be faster.
        StatusCode::REQUEST_TIMEOUT => format!("retry-after: {}\r\n", RETRY_SOON.as_secs()),
        _ => String::new(),
    };
    format!(
        "HTTP/1.1 {} {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n{more}{REQUEST_ID}: {id}\r\n\r\n{body}",
        status.as_str(),
        status.canonical_reason().unwrap_or_default(),
        body.len(),
    )
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const BARE: &str = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\ndate: Tue, 01 Jan 2030 00:00:00 GMT\r\n\r\n";

    #[test]
    fn answers_of_the_application_are_left_alone() {
        for text in [
            "",
            "HTTP/1.1 100 Continue\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\n{}",
            // An answer to HEAD.
            "HTTP/1.1 405 Method Not Allowed\r\ncontent-length: 90\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        ] {
            assert_eq!(instead_of(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_bare_answer_is_replaced_and_what_was_before_it_kept() {
        let before = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        let written = instead_of(format!("{before}{BARE}").as_bytes()).unwrap();
        let text = std::str::from_utf8(&written).unwrap();
        let answer = text.strip_prefix(before).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{head}");
        assert!(head.contains("\r\ntwilio-request-id: RQ"), "{head}");
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!((&body["code"], &body["status"]), (&400.into(), &400.into()));
    }

    #[test]
    fn what_is_answered_instead_is_explained_like_everything_else() {
        for (status, code) in [(400, 400), (408, 400), (431, 400), (500, 20500)] {
            let answer = answer(StatusCode::from_u16(status).unwrap());
            let (_, body) = answer.split_once("\r\n\r\n").unwrap();
            let body: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_eq!(body["code"], code);
            assert!(error::tests::is_explained(code, status), "{code} {status}");
        }
    }

    #[tokio::test]
    async fn a_reader_that_is_slow_gets_all_of_it() {
        let (mut client, server) = tokio::io::duplex(7);
        let mut wire = Wire::new(server);
        let write = async {
            wire.write_all(BARE.as_bytes()).await.unwrap();
            wire.flush().await.unwrap();
            wire.shutdown().await.unwrap();
        };
        let mut text = String::new();
        let ((), read) = tokio::join!(write, client.read_to_string(&mut text));
        assert!(read.unwrap() > 100);
        assert!(text.ends_with('}'), "{text}");
    }
}
