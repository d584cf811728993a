//! Reading a request's body: JSON by its own account, not too large, and not too slow.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING};
use actix_web::web::Payload;
use actix_web::{HttpMessage as _, HttpRequest};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use tokio::time::{Instant, timeout_at};

use crate::error::ApiError;

/// What a body may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BodyLimits {
    /// Bytes at most.
    pub(crate) bytes_max: usize,
    /// When all of it must be here.
    pub(crate) until: Instant,
}

/// Bytes that a body takes at most: what its length says, or the limit where there is none. More than the limit counts as
/// nothing, because it is refused without being read.
pub(crate) fn bytes_expected(headers: &HeaderMap, bytes_max: usize) -> usize {
    match declared(headers) {
        Some(length) if length > bytes_max => 0,
        Some(length) => length,
        None => bytes_max,
    }
}

fn declared(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Reads a body.
///
/// # Errors
/// It is not said to be plain JSON (any charset parameter will do, JSON has but one); it is too large, too slow or broken
/// off.
pub(crate) async fn read(
    request: &HttpRequest,
    payload: &mut Payload,
    limits: BodyLimits,
) -> Result<Bytes, ApiError> {
    check_type(request)?;
    let too_large = ApiError::BodyTooLarge {
        bytes_max: limits.bytes_max,
    };
    let length = declared(request.headers());
    if length.is_some_and(|length| length > limits.bytes_max) {
        return Err(too_large);
    }
    // What a client says is no reason to take memory: small bodies get theirs at once, large ones as they come.
    let mut body = BytesMut::with_capacity(length.unwrap_or(0).min(16 * 1024));
    loop {
        match timeout_at(limits.until, payload.next()).await {
            Err(_) => return Err(ApiError::BodyTooSlow),
            Ok(None) => return Ok(body.freeze()),
            Ok(Some(Err(_))) => return Err(ApiError::BodyBroken),
            Ok(Some(Ok(chunk))) if body.len() + chunk.len() > limits.bytes_max => {
                return Err(too_large);
            }
            Ok(Some(Ok(chunk))) => body.extend_from_slice(&chunk),
        }
    }
}

/// Whether a request has no body at all: then nothing says that it is JSON.
pub(crate) fn is_absent(headers: &HeaderMap) -> bool {
    match declared(headers) {
        Some(length) => length == 0,
        None => !headers.contains_key(CONTENT_LENGTH) && !headers.contains_key(TRANSFER_ENCODING),
    }
}

fn check_type(request: &HttpRequest) -> Result<(), ApiError> {
    let is_json = request
        .mime_type()
        .ok()
        .flatten()
        .is_some_and(|mime| mime.essence_str() == "application/json");
    let is_plain = request
        .headers()
        .get_all(CONTENT_ENCODING)
        .all(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"identity"));
    if is_json && is_plain {
        Ok(())
    } else {
        Err(ApiError::NotJson)
    }
}

/// A body that is not read to its end. The framework ends a connection whose body is held until the answer is written; of
/// one that was let go before it would wait for the rest, however long that takes.
pub(crate) struct Unread(Payload);

impl Unread {
    pub(crate) fn new(payload: Payload) -> Self {
        Self(payload)
    }

    /// An answer that holds on to it.
    pub(crate) fn under(self, answer: BoxBody) -> Held {
        Held {
            answer,
            _unread: self.0,
        }
    }
}

/// The body of an answer to a request whose own was not read.
pub(crate) struct Held {
    answer: BoxBody,
    _unread: Payload,
}

impl MessageBody for Held {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.answer.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.answer).poll_next(cx)
    }
}

/// The part of a request's time that its body may take: the rest is for the work.
pub(crate) fn share_of(deadline: Duration) -> Duration {
    deadline * 4 / 5
}
