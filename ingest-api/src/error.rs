//! Everything that a request can be answered instead of what it asked for, and its form (`memory-api.md` 3).
//!
//! Rules and engines know no HTTP: here, and only here, their errors become a status, a code and a text. Texts are fixed or
//! name the caller's own fields; no answer says what went wrong inside.

use std::borrow::Cow;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, ResponseError};
use kith_domain::body::{BodyError, FieldError};
use kith_domain::id::StoreId;
use kith_profiles::definitions::Refusal;
use kith_profiles::error::{PortError, PublishError, Trouble};
use serde::Serialize;

use crate::admission::{BYTES, IN_FLIGHT};
use crate::token::NoToken;

mod refusal;

use refusal::refused;

/// Where codes are explained.
const MORE_INFO: &str = "https://github.com/kith-project/kith/blob/main/docs/errors.md";
/// Characters of a message at most.
pub(crate) const MESSAGE_CHARS_MAX: usize = 1024;
/// When to come back if nobody knows better.
pub(crate) const RETRY_SOON: Duration = Duration::from_secs(1);

/// Why a request is not answered what it asked for.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum ApiError {
    /// No credentials, of another scheme, or wrong ones.
    #[error("not authenticated")]
    Unauthenticated,
    /// The API key may read only.
    #[error("not permitted")]
    Forbidden,
    /// No route of the API.
    #[error("no such route")]
    NoRoute,
    /// A route of the API, and another method; these are the methods that it has.
    #[error("method not allowed")]
    MethodNotAllowed(Cow<'static, str>),
    /// The store's id in the path is not one.
    #[error("malformed store id")]
    MalformedStoreId,
    /// No store of this account.
    #[error("no such store")]
    NoStore,
    /// The store is still being made.
    #[error("store is not active yet")]
    StoreNotActive,
    /// The store failed for good.
    #[error("store failed")]
    StoreFailed,
    /// The profile's id in the path is not one.
    #[error("malformed profile id")]
    MalformedProfileId,
    /// No profile of this store, or none any more.
    #[error("no such profile")]
    NoProfile,
    /// The profile has no such identifier, or none of the type.
    #[error("no such identifier")]
    NoIdentifier,
    /// The profile has the new value of a change already.
    #[error("identifier is on the profile already")]
    IdentifierTaken,
    /// The request breaks a rule of the contract.
    #[error("invalid request")]
    Invalid(Invalid),
    /// The request breaks a rule of the control plane.
    #[error("invalid definition")]
    InvalidDefinition(Invalid),
    /// What is defined does not allow it.
    #[error("refused: {refusal:?}")]
    RefusedDefinition {
        /// Why.
        refusal: Refusal,
        /// Whether the whole resource was to go.
        removing: bool,
    },
    /// The operation's id in the path is not one.
    #[error("malformed operation id")]
    MalformedOperationId,
    /// No operation of this account, or none any more.
    #[error("no such operation")]
    NoOperation,
    /// The body is larger than allowed.
    #[error("body too large")]
    BodyTooLarge {
        /// Bytes at most.
        bytes_max: usize,
    },
    /// The body is not said to be JSON.
    #[error("unsupported media type")]
    NotJson,
    /// The body did not arrive in time.
    #[error("body too slow")]
    BodyTooSlow,
    /// The body broke off, or its framing is wrong.
    #[error("incomplete body")]
    BodyBroken,
    /// One request too many of this account to this store.
    #[error("rate limited")]
    RateLimited {
        /// When it would not be.
        retry_after: Duration,
    },
    /// Refused at once, before anything was done.
    #[error("refused: {reason}")]
    Refused {
        /// The label of the metric.
        reason: &'static str,
        /// When to come back.
        retry_after: Duration,
    },
    /// The deadline passed; drivers may still wait.
    #[error("deadline passed")]
    Late,
    /// A use case could not do it.
    #[error("trouble")]
    Trouble(#[from] Trouble),
    /// What is stored cannot be read.
    #[error("corrupt data in {store}: {detail}")]
    Corrupt {
        /// The store.
        store: StoreId,
        /// Which row, by ids only.
        detail: String,
    },
    /// A bug: something panicked, or the framework failed in a way that nobody thought of.
    #[error("internal error")]
    Internal,
}

/// A bad request: what is wrong, for people, and in which fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Invalid {
    message: Cow<'static, str>,
    errors: Vec<FieldError>,
}

impl Invalid {
    /// A fault of the whole request.
    pub(crate) fn whole(message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            message: message.into(),
            errors: Vec::new(),
        }
    }

    /// A fault of one field.
    pub(crate) fn field(field: impl Into<String>, reason: impl Into<Cow<'static, str>>) -> Self {
        Self::fields(vec![FieldError {
            field: field.into(),
            reason: reason.into(),
        }])
    }

    /// Faults of fields. The message tells the first: the official clients show nothing else.
    pub(crate) fn fields(errors: Vec<FieldError>) -> Self {
        let message = errors.first().map_or_else(
            || "The request is not valid".into(),
            |first| format!("The request is not valid: {} {}", first.field, first.reason).into(),
        );
        Self { message, errors }
    }
}

impl From<BodyError> for ApiError {
    fn from(error: BodyError) -> Self {
        Self::Invalid(match error {
            BodyError::Malformed { line, column } => Invalid::whole(format!(
                "The body is not valid JSON (line {line}, column {column})"
            )),
            BodyError::Invalid(errors) => Invalid::fields(errors),
        })
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NoStore => Self::NoStore,
            Refusal::Invalid(errors) => Self::InvalidDefinition(Invalid::fields(errors)),
            Refusal::NoGroup
            | Refusal::Stale
            | Refusal::StoresMax
            | Refusal::StoreNameTaken
            | Refusal::GroupsMax
            | Refusal::GroupNameTaken
            | Refusal::GroupFull
            | Refusal::Protected => Self::RefusedDefinition {
                refusal,
                removing: false,
            },
        }
    }
}

impl From<NoToken> for ApiError {
    fn from(_: NoToken) -> Self {
        Self::Invalid(Invalid::field("pageToken", "does not belong to this list"))
    }
}

impl From<Vec<FieldError>> for ApiError {
    fn from(errors: Vec<FieldError>) -> Self {
        Self::Invalid(Invalid::fields(errors))
    }
}

/// What an error looks like from outside.
struct Shown {
    status: StatusCode,
    code: u32,
    message: Cow<'static, str>,
    header: Option<(HeaderName, Cow<'static, str>)>,
}

impl Shown {
    fn new(status: StatusCode, code: u32, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            header: None,
        }
    }

    fn with(self, header: HeaderName, value: impl Into<Cow<'static, str>>) -> Self {
        Self {
            header: Some((header, value.into())),
            ..self
        }
    }

    fn unavailable(retry_after: Duration) -> Self {
        let message = "Service is temporarily unavailable, please retry";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, 20503, message)
            .with(RETRY_AFTER, whole_seconds(retry_after).to_string())
    }

    fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            20500,
            "An internal server error has occurred",
        )
    }
}

impl ApiError {
    /// The same, met in the control plane.
    pub(crate) fn of_definition(self) -> Self {
        if let Self::Invalid(invalid) = self {
            Self::InvalidDefinition(invalid)
        } else {
            self
        }
    }

    /// The same, met while the whole resource was to go.
    pub(crate) fn of_removal(self) -> Self {
        if let Self::RefusedDefinition { refusal, .. } = self {
            let removing = true;
            Self::RefusedDefinition { refusal, removing }
        } else {
            self
        }
    }

    fn shown(&self) -> Shown {
        match self {
            Self::Unauthenticated => {
                Shown::new(StatusCode::UNAUTHORIZED, 20003, "Authentication failed")
                    .with(WWW_AUTHENTICATE, "Basic realm=\"kith\"")
            }
            Self::Forbidden => Shown::new(
                StatusCode::FORBIDDEN,
                403,
                "This API key may not be used for operations that write",
            ),
            Self::NoRoute => Shown::new(
                StatusCode::NOT_FOUND,
                20404,
                "The requested resource was not found",
            ),
            Self::MethodNotAllowed(allowed) => {
                Shown::new(StatusCode::METHOD_NOT_ALLOWED, 20004, "Method not allowed")
                    .with(ALLOW, allowed.clone())
            }
            Self::MalformedStoreId => Shown::new(
                StatusCode::BAD_REQUEST,
                520_049,
                "The store ID is not valid",
            ),
            Self::NoStore => Shown::new(StatusCode::NOT_FOUND, 520_041, "The store was not found"),
            Self::StoreNotActive => Shown::new(
                StatusCode::SERVICE_UNAVAILABLE,
                520_042,
                "The store is not active yet, please retry",
            )
            .with(RETRY_AFTER, whole_seconds(RETRY_SOON).to_string()),
            Self::StoreFailed => Shown::new(
                StatusCode::BAD_REQUEST,
                520_042,
                "The store is not active: it could not be provisioned",
            ),
            Self::MalformedProfileId => {
                Shown::new(StatusCode::BAD_REQUEST, 400, "The profile ID is not valid")
            }
            Self::NoProfile => {
                Shown::new(StatusCode::NOT_FOUND, 20404, "The profile was not found")
            }
            Self::NoIdentifier => Shown::new(
                StatusCode::NOT_FOUND,
                20404,
                "The profile has no such identifier",
            ),
            Self::IdentifierTaken => Shown::new(
                StatusCode::CONFLICT,
                20409,
                "The profile has the new value already",
            ),
            Self::Invalid(invalid) => {
                Shown::new(StatusCode::BAD_REQUEST, 400, invalid.message.clone())
            }
            Self::InvalidDefinition(invalid) => {
                Shown::new(StatusCode::BAD_REQUEST, 520_046, invalid.message.clone())
            }
            Self::RefusedDefinition { refusal, removing } => refused(refusal, *removing),
            Self::MalformedOperationId => Shown::new(
                StatusCode::BAD_REQUEST,
                520_051,
                "The operation ID is not valid",
            ),
            Self::NoOperation => Shown::new(
                StatusCode::NOT_FOUND,
                520_052,
                "The operation was not found",
            ),
            Self::BodyTooLarge { bytes_max } => Shown::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                400,
                format!("The body is larger than {bytes_max} bytes"),
            ),
            Self::NotJson => Shown::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                400,
                "The body must be plain JSON, sent as application/json",
            ),
            Self::BodyTooSlow => Shown::new(
                StatusCode::REQUEST_TIMEOUT,
                400,
                "The body did not arrive in time",
            )
            .with(RETRY_AFTER, whole_seconds(RETRY_SOON).to_string()),
            Self::BodyBroken => Shown::new(StatusCode::BAD_REQUEST, 400, "The body is incomplete"),
            Self::RateLimited { retry_after } => Shown::new(
                StatusCode::TOO_MANY_REQUESTS,
                20429,
                "Too many requests, please retry later",
            )
            .with(RETRY_AFTER, whole_seconds(*retry_after).to_string()),
            Self::Refused { retry_after, .. } => Shown::unavailable(*retry_after),
            Self::Late => Shown::unavailable(RETRY_SOON),
            Self::Trouble(trouble) => match trouble {
                Trouble::Port(PortError::Corrupt { .. })
                // The log takes less than the largest body gives: a mistake of whoever set it up. No retry will help.
                | Trouble::Publish(PublishError::TooLarge) => Shown::internal(),
                Trouble::Port(PortError::Unavailable { .. } | PortError::Fatal { .. })
                | Trouble::Publish(PublishError::Full | PublishError::Unavailable(_))
                | Trouble::Clock(_)
                | Trouble::Deadline { .. } => Shown::unavailable(RETRY_SOON),
            },
            Self::Corrupt { .. } | Self::Internal => Shown::internal(),
        }
    }

    /// The label of the span (`error.type`) when this is a fault of ours.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::NoRoute
            | Self::NoStore
            | Self::NoProfile
            | Self::NoIdentifier
            | Self::NoOperation => "not_found",
            Self::RefusedDefinition { .. } => "refused_definition",
            Self::IdentifierTaken => "conflict",
            Self::MethodNotAllowed(_) => "method_not_allowed",
            Self::MalformedStoreId
            | Self::MalformedProfileId
            | Self::MalformedOperationId
            | Self::Invalid(_)
            | Self::InvalidDefinition(_) => "invalid",
            Self::BodyTooLarge { .. } => "body_too_large",
            Self::NotJson => "not_json",
            Self::BodyTooSlow => "body_too_slow",
            Self::BodyBroken => "body_broken",
            Self::StoreNotActive | Self::StoreFailed => "store_not_active",
            Self::RateLimited { .. } => "rate_limited",
            Self::Refused { reason, .. } => reason,
            Self::Late => "deadline",
            Self::Trouble(trouble) => match trouble {
                Trouble::Port(PortError::Unavailable { .. }) => "database_unavailable",
                Trouble::Port(PortError::Fatal { .. }) => "engine_fatal",
                Trouble::Port(PortError::Corrupt { .. }) => "corrupt",
                Trouble::Publish(PublishError::Full) => "log_full",
                Trouble::Publish(PublishError::TooLarge) => "record_too_large",
                Trouble::Publish(PublishError::Unavailable(_)) => "log_unavailable",
                Trouble::Clock(_) => "clock_unsound",
                Trouble::Deadline { .. } => "deadline",
            },
            Self::Corrupt { .. } => "corrupt",
            Self::Internal => "internal",
        }
    }

    /// What is told to the operator: of trouble behind a use case that itself, with its causes.
    pub(crate) fn cause(&self) -> &(dyn std::error::Error + 'static) {
        if let Self::Trouble(trouble) = self {
            trouble
        } else {
            self
        }
    }

    /// The row, by ids, that no code of ours could have written.
    pub(crate) fn corrupt_row(&self) -> Option<&str> {
        if let Self::Corrupt { detail, .. }
        | Self::Trouble(Trouble::Port(PortError::Corrupt { detail, .. })) = self
        {
            return Some(detail);
        }
        None
    }

    /// Whether the connection cannot be used any more: what is left of the body would be taken for the next request.
    pub(crate) fn ends_connection(&self) -> bool {
        matches!(
            self,
            Self::BodyTooLarge { .. } | Self::BodyTooSlow | Self::BodyBroken
        )
    }

    /// When to come back, if there was more to do than is let in: no dependency is away, and a moment later there may be room.
    pub(crate) fn overload(&self) -> Option<Duration> {
        let Self::Refused {
            reason: IN_FLIGHT | BYTES,
            retry_after,
        } = self
        else {
            return None;
        };
        Some(*retry_after)
    }

    fn details(&self) -> Option<Details<'_>> {
        let (Self::Invalid(Invalid { errors, .. })
        | Self::InvalidDefinition(Invalid { errors, .. })) = self
        else {
            return None;
        };
        (!errors.is_empty()).then_some(Details { errors })
    }
}

/// The body of an error.
#[derive(Serialize)]
struct Body<'a> {
    code: u32,
    message: &'a str,
    more_info: &'a str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Details<'a>>,
}

#[derive(Serialize)]
struct Details<'a> {
    errors: &'a [FieldError],
}

/// The body of an error as text, for answers that are given outside of the application, too.
pub(crate) fn body(status: StatusCode, code: u32, message: &str) -> String {
    text(status, code, message, None)
}

fn text(status: StatusCode, code: u32, message: &str, details: Option<Details<'_>>) -> String {
    let message = match message.char_indices().nth(MESSAGE_CHARS_MAX) {
        Some((end, _)) => &message[..end],
        None => message,
    };
    let body = Body {
        code,
        message,
        more_info: &format!("{MORE_INFO}#{code}"),
        status: status.as_u16(),
        details,
    };
    // Texts and numbers, written to memory: nothing here can fail.
    serde_json::to_string(&body).unwrap_or_default()
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.shown().status
    }

    fn error_response(&self) -> HttpResponse {
        let shown = self.shown();
        let mut response = HttpResponse::build(shown.status);
        response.content_type("application/json");
        if let Some((name, value)) = shown.header {
            response.insert_header((name, value.as_ref()));
        }
        if self.ends_connection() {
            response.force_close();
        }
        response.body(text(
            shown.status,
            shown.code,
            &shown.message,
            self.details(),
        ))
    }
}

/// Rounded up: a client that comes back after this time comes late enough. At least one, as zero invites a storm.
fn whole_seconds(duration: Duration) -> u64 {
    let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    seconds.max(1)
}

#[cfg(test)]
pub(crate) mod tests;
