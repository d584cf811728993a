//! Why there is no session, by what an operator can do about it.

use std::io;

use scylla::errors::{
    ConnectionError, ConnectionPoolError, ConnectionSetupRequestErrorKind, DbError, MetadataError,
    NewSessionError,
};

use crate::tls;

/// Why there is no session. What the driver tells is of the last contact point that it tried.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// Nobody answers there, or not in CQL, or hangs up on our certificate or for want of one.
    #[error("the database cannot be reached")]
    Unreachable(#[source] Box<NewSessionError>),
    /// It does not take the user and the password, or wants some where there are none.
    #[error("the database does not let this user in")]
    Unauthorized(#[source] Box<NewSessionError>),
    /// We do not take its certificate, or it does not speak TLS.
    #[error("there is no TLS with the database")]
    Untrusted(#[source] Box<NewSessionError>),
}

impl From<NewSessionError> for SessionError {
    fn from(error: NewSessionError) -> Self {
        let last = last_connection(&error);
        if last.is_some_and(is_unauthorized) {
            Self::Unauthorized(Box::new(error))
        } else if last.and_then(of_handshake).is_some_and(tls::is_failure) {
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

/// What ended the handshake. A certificate of ours that a node does not take is none of it: the node says so afterwards, and the driver
/// tells no more of that than that the connection broke.
fn of_handshake(error: &ConnectionError) -> Option<&io::Error> {
    if let ConnectionError::IoError(error) = error {
        Some(error.as_ref())
    } else {
        None
    }
}
