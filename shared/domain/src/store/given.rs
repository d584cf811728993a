//! Stores as requests describe them (`memory-api.md` 5.1).

use super::{is_description, is_display_name};
use crate::body::{BodyError, Problems};
use crate::json::{self, Members};

/// The body of a store's creation, or of a change of its name and description.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoreBody {
    /// The new name.
    pub display_name: Option<String>,
    /// The new description.
    pub description: Option<String>,
}

impl StoreBody {
    /// Reads the body of a creation: `displayName` is required. Members that are not known are ignored.
    ///
    /// # Errors
    /// [`BodyError`].
    pub fn for_creation(bytes: &[u8]) -> Result<Self, BodyError> {
        Self::read(bytes, true)
    }

    /// Reads the body of a change: what is left out stays, and no body at all changes nothing.
    ///
    /// # Errors
    /// [`BodyError`].
    pub fn for_change(bytes: &[u8]) -> Result<Self, BodyError> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        Self::read(bytes, false)
    }

    fn read(bytes: &[u8], needs_name: bool) -> Result<Self, BodyError> {
        let body = json::object(bytes)?;
        let mut problems = Problems::default();
        let mut members = Members::of_body(&body, &mut problems);
        let mut name = members.text_where(
            "displayName",
            is_display_name,
            "must be 1 to 64 letters, digits or hyphens",
        );
        if needs_name {
            name = members.required("displayName", name);
        }
        let description = members.text_where(
            "description",
            is_description,
            "must be 1 to 128 characters, without U+0000",
        );
        let read = Self {
            display_name: name.map(str::to_owned),
            description: description.map(str::to_owned),
        };
        problems.none_or_errors().map_err(BodyError::Invalid)?;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(read: Result<StoreBody, BodyError>) -> Vec<String> {
        match read {
            Err(BodyError::Invalid(errors)) => errors.into_iter().map(|e| e.field).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_store_has_a_name_and_perhaps_a_description() {
        let body = StoreBody::for_creation(br#"{"displayName": "a-1", "more": [1]}"#).unwrap();
        assert_eq!(body.display_name.as_deref(), Some("a-1"));
        assert_eq!(body.description, None);
        let longest = format!(
            r#"{{"displayName": "{}", "description": "{}"}}"#,
            "a".repeat(64),
            "\u{e9}".repeat(128)
        );
        assert!(StoreBody::for_creation(longest.as_bytes()).is_ok());
    }

    #[test]
    fn every_fault_is_named() {
        assert_eq!(fields(StoreBody::for_creation(b"{}")), ["displayName"]);
        let null = br#"{"displayName": null}"#;
        assert_eq!(fields(StoreBody::for_creation(null)), ["displayName"]);
        for name in ["\"\"", "\"a b\"", "\"a_b\"", "7", "\"\u{e9}\""] {
            let body = format!(r#"{{"displayName": {name}, "description": ""}}"#);
            let read = StoreBody::for_change(body.as_bytes());
            assert_eq!(fields(read), ["displayName", "description"], "{name}");
        }
        let long = format!(r#"{{"displayName": "{}"}}"#, "a".repeat(65));
        assert_eq!(
            fields(StoreBody::for_change(long.as_bytes())),
            ["displayName"]
        );
        let nul = StoreBody::for_change(br#"{"description": "a\u0000"}"#);
        assert_eq!(fields(nul), ["description"]);
        let long = format!(r#"{{"description": "{}"}}"#, "a".repeat(129));
        assert_eq!(
            fields(StoreBody::for_change(long.as_bytes())),
            ["description"]
        );
    }

    #[test]
    fn a_change_may_say_nothing() {
        for body in ["", "{}", r#"{"description": null}"#] {
            assert_eq!(
                StoreBody::for_change(body.as_bytes()).unwrap(),
                StoreBody::default()
            );
        }
    }
}
