//! Who calls: HTTP Basic with an account and its token, or an API key and its secret (`memory-api.md` 2.2).

use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use kith_runtime::credentials::{Credentials, Principal};

use crate::error::ApiError;

/// Some clients leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Finds out who sent a request.
///
/// # Errors
/// [`ApiError::Unauthenticated`]: nothing was sent, something of another scheme (Bearer), something malformed or
/// ambiguous, or credentials that nobody has. All alike.
pub(crate) fn authenticate(
    credentials: &Credentials,
    headers: &HeaderMap,
) -> Result<Principal, ApiError> {
    basic(headers)
        .and_then(|(user, password)| credentials.verify(&user, &password))
        .ok_or(ApiError::Unauthenticated)
}

/// User and password of the one `Authorization` header (RFC 7617).
fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let mut values = headers.get_all(AUTHORIZATION);
    let value = values.next()?;
    if values.next().is_some() {
        return None;
    }
    let (scheme, encoded) = value.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("Basic") {
        return None;
    }
    let decoded = BASE64.decode(encoded.trim_matches(' ')).ok()?;
    let decoded = String::from_utf8(decoded).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn read(values: &[&'static str]) -> Option<(String, String)> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_static(value));
        }
        basic(&headers)
    }

    fn pair(user: &str, password: &str) -> Option<(String, String)> {
        Some((user.to_owned(), password.to_owned()))
    }

    #[test]
    fn user_and_password_are_split_at_the_first_colon() {
        assert_eq!(read(&["Basic YWRhOmE6Yg=="]), pair("ada", "a:b"));
        assert_eq!(read(&["basic YWRhOg=="]), pair("ada", ""));
        assert_eq!(read(&["BASIC   YWRhOmE6Yg"]), pair("ada", "a:b"));
    }

    #[test]
    fn everything_else_is_nobody() {
        let nobody: [&[&'static str]; 9] = [
            &[],
            &["Basic"],
            &["Basic "],
            &["Basic YWRh"],
            &["Basic !!!!"],
            &["Basic /w=="],
            &["Bearer YWRhOmE6Yg=="],
            &["YWRhOmE6Yg=="],
            &["Basic YWRhOmE6Yg==", "Basic YWRhOmE6Yg=="],
        ];
        for values in nobody {
            assert_eq!(read(values), None, "{values:?}");
        }
    }
}
