//! Requests as bytes, for a [`Connection`](crate::wire::Connection): made before a clock starts.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};

use crate::api::{ACCOUNT, STORE, TOKEN};

/// Create Profile with these traits.
#[must_use]
pub fn create(traits: &Value) -> Vec<u8> {
    message("POST", "", Some(&json!({ "traits": traits })))
}

/// Fetch Profile.
#[must_use]
pub fn fetch(profile: &str) -> Vec<u8> {
    message("GET", &format!("/{profile}"), None)
}

/// Lookup of a value.
#[must_use]
pub fn lookup(id_type: &str, value: &str) -> Vec<u8> {
    let body = json!({ "idType": id_type, "value": value });
    message("POST", "/Lookup", Some(&body))
}

/// A request of the development account, to a path below the profiles of its store.
fn message(method: &str, path: &str, body: Option<&Value>) -> Vec<u8> {
    let credential = BASE64_STANDARD.encode(format!("{ACCOUNT}:{TOKEN}"));
    let head = format!(
        "{method} /v1/Stores/{STORE}/Profiles{path} HTTP/1.1\r\nhost: kith\r\nauthorization: Basic {credential}\r\n"
    );
    match body.map(Value::to_string) {
        Some(body) => format!(
            "{head}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ),
        None => format!("{head}\r\n"),
    }
    .into_bytes()
}
