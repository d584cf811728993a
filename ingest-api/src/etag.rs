//! Versions of definitions as tags (`memory-api.md` 2.5): base64url of an id and a number. Written in quotes, read with them,
//! without them and as weak ones.

use actix_web::http::header::IF_MATCH;
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use kith_profiles::definitions::Expected;
use kith_profiles::environment::Environment;
use serde::{Deserialize, Serialize};

use crate::call::Call;
use crate::error::{ApiError, Invalid};

/// Characters of the header at most.
pub(crate) const CHARS_MAX: usize = 100;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tag<'a> {
    id: std::borrow::Cow<'a, str>,
    v: u32,
}

/// The tag of a version of something.
pub(crate) fn etag(id: &str, version: u32) -> String {
    let tag = Tag {
        id: id.into(),
        v: version,
    };
    // A text and a number, written to memory: nothing here can fail.
    let text = serde_json::to_string(&tag).unwrap_or_default();
    format!("\"{}\"", BASE64_URL_SAFE_NO_PAD.encode(text))
}

/// Which versions of something a request wants to change.
///
/// # Errors
/// [`ApiError::Invalid`]: longer than a tag can be.
pub(crate) fn expected<E: Environment>(call: &Call<E>, id: &str) -> Result<Expected, ApiError> {
    let fault = |reason: &'static str| ApiError::Invalid(Invalid::field("If-Match", reason));
    let values = call.header(&IF_MATCH);
    let values = values.map_err(|_| fault("must be a version tag"))?;
    read(&values, id).ok_or_else(|| fault("must be at most 100 characters"))
}

/// `None` if they are too long.
fn read(values: &[&str], id: &str) -> Option<Expected> {
    if values.is_empty() {
        return Some(Expected::Any);
    }
    if values
        .iter()
        .any(|value| value.chars().nth(CHARS_MAX).is_some())
    {
        return None;
    }
    let mut versions = Vec::new();
    for text in values.iter().flat_map(|value| value.split(',')) {
        let text = text.trim();
        if text == "*" {
            return Some(Expected::Any);
        }
        versions.extend(version(text, id));
    }
    Some(Expected::OneOf(versions))
}

/// The version that a tag names, if it is one of this thing.
fn version(text: &str, id: &str) -> Option<u32> {
    let text = text.strip_prefix("W/").unwrap_or(text);
    let quoted = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(quoted.unwrap_or(text)).ok()?;
    let tag: Tag<'_> = serde_json::from_slice(&bytes).ok()?;
    (tag.id == id).then_some(tag.v)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&str]) -> Expected {
        read(values, "an_id").unwrap()
    }

    #[test]
    fn a_tag_is_that_of_the_contracts_sample() {
        assert_eq!(etag("an_id", 1), "\"eyJpZCI6ImFuX2lkIiwidiI6MX0\"");
        // The largest that we write fits what we read.
        let store = "mem_store_00000000000000000000000000";
        assert!(read(&[&format!("W/{}", etag(store, u32::MAX))], store).is_some());
    }

    #[test]
    fn a_tag_is_read_in_every_form() {
        let tag = etag("an_id", 7);
        let bare = tag.trim_matches('"');
        for text in [tag.as_str(), bare, &format!("W/{tag}"), &format!(" {tag} ")] {
            assert_eq!(of(&[text]), Expected::OneOf(vec![7]), "{text}");
        }
        let two = format!("{tag}, {}", etag("an_id", 8));
        assert_eq!(of(&[&two]), Expected::OneOf(vec![7, 8]));
        assert_eq!(of(&["*"]), Expected::Any);
        assert_eq!(of(&[]), Expected::Any);
    }

    #[test]
    fn what_is_no_tag_of_this_thing_fits_no_version() {
        for text in ["", "\"\"", "7", "\"x", "e30", &etag("another", 7)] {
            assert_eq!(of(&[text]), Expected::OneOf(Vec::new()), "{text}");
        }
        assert_eq!(read(&[&"a".repeat(101)], "an_id"), None);
    }
}
