//! Identifiers: a type and a normalised value, and the keyed hash under which a claim to one is stored.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Sha256;

/// The name of an identifier type, such as `email`. Compared exactly.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IdType(Arc<str>);

impl IdType {
    /// Takes a name. Which names may be configured is the settings' business.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for IdType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A normalised identifier value. Personal data: `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdentifierValue(Arc<str>);

impl IdentifierValue {
    /// Takes a value that a normalisation gave (`normalize`), or that a store holds.
    #[must_use]
    pub fn new(normalized: &str) -> Self {
        Self(normalized.into())
    }

    /// The value itself, for storing and answering; never for logs.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for IdentifierValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdentifierValue(..)")
    }
}

/// An identifier of a person: what a claim is made to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identifier {
    /// Its type.
    pub id_type: IdType,
    /// Its normalised value.
    pub value: IdentifierValue,
}

/// The partition key of a claim: a keyed hash, so that keys hold no personal data.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClaimKey([u8; 32]);

impl ClaimKey {
    /// Takes the bytes of a key.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes of the key.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for ClaimKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A key is made from an identifier value: whoever holds the store's secret could test guesses against it.
        f.write_str("ClaimKey(..)")
    }
}

/// A store's own key for its claims. When the store is deleted the key goes with it, and its claim keys mean nothing.
///
/// Serialised as base64, for the store's control row only.
#[derive(Clone)]
pub struct ClaimSecret {
    bytes: [u8; 32],
    /// The state after the key, which is half of the work on a short text.
    keyed: Hmac<Sha256>,
}

impl ClaimSecret {
    /// Takes 32 random bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
        let keyed = Hmac::new_from_slice(&bytes).expect("HMAC takes any key length");
        Self { bytes, keyed }
    }

    /// The bytes, for storing them in the store's control row.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// The key of an identifier's claim: HMAC-SHA-256 over the type, a zero byte and the normalised value
    /// (`identity-protocol.md` 2). Type names hold no zero byte, so the two cannot run into each other.
    #[must_use]
    pub fn claim_key(&self, identifier: &Identifier) -> ClaimKey {
        let mut mac = self.keyed.clone();
        mac.update(identifier.id_type.as_str().as_bytes());
        mac.update(&[0]);
        mac.update(identifier.value.expose().as_bytes());
        ClaimKey(mac.finalize().into_bytes().into())
    }
}

impl PartialEq for ClaimSecret {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for ClaimSecret {}

impl Serialize for ClaimSecret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64_STANDARD.encode(self.bytes))
    }
}

impl<'de> Deserialize<'de> for ClaimSecret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        let bytes = BASE64_STANDARD.decode(text.as_bytes()).ok();
        bytes
            .and_then(|bytes| <[u8; 32]>::try_from(bytes).ok())
            .map(Self::from_bytes)
            .ok_or_else(|| serde::de::Error::custom("not 32 bytes in base64"))
    }
}

impl fmt::Debug for ClaimSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClaimSecret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identifier(id_type: &str, value: &str) -> Identifier {
        Identifier {
            id_type: IdType::new(id_type),
            value: IdentifierValue::new(value),
        }
    }

    #[test]
    fn a_claim_key_depends_on_store_type_and_value() {
        let (one, two) = (
            ClaimSecret::from_bytes([1; 32]),
            ClaimSecret::from_bytes([2; 32]),
        );
        let email = identifier("email", "a@example.com");
        assert_eq!(one.claim_key(&email), one.claim_key(&email.clone()));
        assert_ne!(one.claim_key(&email), two.claim_key(&email));
        assert_ne!(
            one.claim_key(&email),
            one.claim_key(&identifier("chat", "a@example.com"))
        );
        assert_ne!(
            one.claim_key(&identifier("ab", "c")),
            one.claim_key(&identifier("a", "bc"))
        );
    }

    #[test]
    fn a_claim_key_is_the_hmac_of_type_zero_and_value() {
        // Worked out with another implementation: what is stored may not change between releases.
        let key =
            ClaimSecret::from_bytes([7; 32]).claim_key(&identifier("email", "ada@example.com"));
        let hex: String = key.as_bytes().iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(
            hex,
            "88d1a33fdfe037beb47fc3648e70db9875b7a6bc1af07c30c46ef7b183234c31"
        );
    }

    #[test]
    fn a_secret_is_stored_as_text_and_read_back() {
        let secret = ClaimSecret::from_bytes(std::array::from_fn(|i| u8::try_from(i).unwrap()));
        let text = serde_json::to_string(&secret).unwrap();
        assert_eq!(text, "\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\"");
        assert_eq!(serde_json::from_str::<ClaimSecret>(&text).unwrap(), secret);
        for wrong in ["\"\"", "\"AAEC\"", "\"?\"", "[1, 2]"] {
            let error = serde_json::from_str::<ClaimSecret>(wrong).unwrap_err();
            assert!(!error.to_string().contains("AAEC"), "{error}");
        }
    }

    #[test]
    fn nothing_personal_is_shown() {
        let secret = ClaimSecret::from_bytes([7; 32]);
        let email = identifier("email", "ada@example.com");
        let shown = format!("{email:?} {:?} {secret:?}", secret.claim_key(&email));
        assert!(!shown.contains("ada") && !shown.contains('7'), "{shown}");
    }
}
