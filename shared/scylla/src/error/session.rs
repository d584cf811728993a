//! Why there is no session, by what an operator can do about it.

use std::io;

use scylla::errors::{
    BrokenConnectionError, BrokenConnectionErrorKind, ConnectionError, ConnectionPoolError,
    ConnectionSetupRequestErrorKind, DbError, FrameHeaderParseError, MetadataError,
    NewSessionError,
};

use crate::tls;

/// Why there is no session. What the driver tells is of the last contact point that it tried.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// Nobody answers there, or not in CQL.
    #[error("the database cannot be reached")]
    Unreachable(#[source] Box<NewSessionError>),
    /// It does not take the user and the password, or wants some where there are none.
    #[error("the database does not let this user in")]
    Unauthorized(#[source] Box<NewSessionError>),
    /// One side does not take the other's certificate, or does not speak TLS.
    #[error("there is no TLS with the database")]
    Untrusted(#[source] Box<NewSessionError>),
}

impl From<NewSessionError> for SessionError {
    fn from(error: NewSessionError) -> Self {
        let last = last_connection(&error);
        if last.is_some_and(is_unauthorized) {
            Self::Unauthorized(Box::new(error))
        } else if last.and_then(io_error).is_some_and(tls::is_failure) {
            Self::Untrusted(Box::new(error))
        } else {
            Self::Unreachable(Box::new(error))
        }
    }
}

fn last_connection(error: &NewSessionError) -> Option<&ConnectionError> {
    if let NewSessionError::MetadataError(MetadataError::ConnectionPoolError(
        ConnectionPoolError::Broken {
            last_connection_error,
        },
    )) = error
    {
        Some(last_connection_error)
    } else {
        None
    }
}

fn is_unauthorized(error: &ConnectionError) -> bool {
    if let ConnectionError::ConnectionSetupRequestError(request) = error {
        matches!(
            request.get_error(),
            ConnectionSetupRequestErrorKind::MissingAuthentication
                | ConnectionSetupRequestErrorKind::DbError(
                    DbError::AuthenticationError | DbError::Unauthorized,
                    _
                )
        )
    } else {
        false
    }
}

/// What reading from or writing to the connection ended with. A certificate of ours that a node does not take is told by the node after
/// our half of the handshake, so that it is the first answer that cannot be read.
fn io_error(error: &ConnectionError) -> Option<&io::Error> {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the enum is open, and the others are none of the connection's"
    )]
    match error {
        ConnectionError::IoError(error) => Some(error.as_ref()),
        ConnectionError::BrokenConnection(broken) => of_broken(broken),
        ConnectionError::ConnectionSetupRequestError(request) => match request.get_error() {
            ConnectionSetupRequestErrorKind::BrokenConnection(broken) => of_broken(broken),
            _ => None,
        },
        _ => None,
    }
}

fn of_broken(broken: &BrokenConnectionError) -> Option<&io::Error> {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the enum is open, and the others are none of the connection's"
    )]
    match broken.downcast_ref()? {
        BrokenConnectionErrorKind::WriteError(error)
        | BrokenConnectionErrorKind::FrameHeaderParseError(
            FrameHeaderParseError::HeaderIoError(error)
            | FrameHeaderParseError::BodyChunkIoError(_, error),
        ) => Some(error),
        _ => None,
    }
}
