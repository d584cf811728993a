//! Typed ids and their text form.
//!
//! An id of the API is a TypeID: a prefix and a UUID as 26 characters of Crockford base32 (`memory-api.md` 1). It is
//! parsed once, at the edge; inside, ids are 16 bytes that sort by age.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::time::Micros;

/// Crockford's base32 in lower case, without `i l o u`.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Characters of a suffix: 26 times 5 bits hold 128, the first character only 3 of its 5.
const SUFFIX_LEN: usize = 26;

/// Why a text is not an id of the kind that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text does not match the published pattern of this kind of id: a bad request.
    #[error("malformed id")]
    Malformed,
    /// The text matches the pattern, but no id of ours can read like this: it names nothing. The published pattern is
    /// wider than the alphabet, and admits a prefix that is never minted here.
    #[error("no such id")]
    Unknown,
}

fn encode(uuid: Uuid) -> [u8; SUFFIX_LEN] {
    let mut rest = uuid.as_u128();
    let mut text = [b'0'; SUFFIX_LEN];
    for slot in text.iter_mut().rev() {
        *slot = ALPHABET[(rest & 0x1f) as usize];
        rest >>= 5;
    }
    text
}

fn decode(suffix: &str) -> Result<Uuid, IdError> {
    let bytes = suffix.as_bytes();
    let pattern = bytes.len() == SUFFIX_LEN
        && matches!(bytes[0], b'0'..=b'7')
        && bytes
            .iter()
            .all(|b| b.is_ascii_digit() || b.is_ascii_lowercase());
    if !pattern {
        return Err(IdError::Malformed);
    }
    let mut value: u128 = 0;
    for byte in bytes {
        let digit = ALPHABET
            .iter()
            .position(|a| a == byte)
            .ok_or(IdError::Unknown)?;
        value = (value << 5) | digit as u128;
    }
    Ok(Uuid::from_u128(value))
}

/// Serialises an id as its text.
macro_rules! as_text {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

/// Defines an id of the API: a UUID that is written with a prefix.
macro_rules! resource_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $pattern:literal $(, unminted $other:literal)*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// The prefix of the text form.
            pub const PREFIX: &'static str = $prefix;
            /// The published pattern (ECMA 262): what does not match it is malformed.
            pub const PATTERN: &'static str = $pattern;

            /// Takes a UUID for an id of this kind.
            #[must_use]
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID inside.
            #[must_use]
            pub const fn as_uuid(&self) -> Uuid {
                self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                if let Some(suffix) = text.strip_prefix($prefix) {
                    return decode(suffix).map(Self);
                }
                $(
                    if let Some(suffix) = text.strip_prefix($other) {
                        return decode(suffix).and(Err(IdError::Unknown));
                    }
                )*
                Err(IdError::Malformed)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let suffix = encode(self.0);
                f.write_str($prefix)?;
                f.write_str(std::str::from_utf8(&suffix).map_err(|_| fmt::Error)?)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        as_text! { $name }
    };
}

resource_id! {
    /// A store: the unit of tenancy. Nothing crosses a store.
    StoreId, "mem_store_", "^mem_(store|service)_[0-7][0-9a-z]{25}$", unminted "mem_service_"
}
resource_id! {
    /// A profile. Ids are UUIDv7, so they sort by age, and the smallest of a set is its earliest profile.
    ProfileId, "mem_profile_", "^mem_profile_[0-7][0-9a-z]{25}$"
}
resource_id! {
    /// An operation of the control plane. Ids are UUIDv7.
    OperationId, "mem_operation_", "^mem_operation_[0-7][0-9a-z]{25}$"
}

impl ProfileId {
    /// When the profile was created: the millisecond that its id carries.
    #[must_use]
    pub const fn created_at(&self) -> Micros {
        millisecond_of(self.0)
    }
}

impl OperationId {
    /// When the operation was accepted: the millisecond that its id carries.
    #[must_use]
    pub const fn created_at(&self) -> Micros {
        millisecond_of(self.0)
    }
}

const fn millisecond_of(uuid: Uuid) -> Micros {
    let millis = uuid.as_u128() >> 80;
    // 48 bits of milliseconds fit an i64 of microseconds with room to spare.
    Micros::from_micros(millis as i64 * 1_000)
}

/// Defines an internal id: a UUID that is fresh in every statement that writes it.
macro_rules! internal_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// Takes a UUID for an id of this kind.
            #[must_use]
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID inside.
            #[must_use]
            pub const fn as_uuid(&self) -> Uuid {
                self.0
            }
        }

        /// 36 characters, lower case.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0.as_hyphenated())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            /// Takes the form that is written, and no other: what is stored or sent has one spelling.
            fn from_str(text: &str) -> Result<Self, IdError> {
                let id = Uuid::try_parse(text).map_err(|_| IdError::Malformed)?;
                let mut canonical = Uuid::encode_buffer();
                if *id.as_hyphenated().encode_lower(&mut canonical) == *text {
                    Ok(Self(id))
                } else {
                    Err(IdError::Malformed)
                }
            }
        }

        as_text! { $name }
    };
}

internal_id! {
    /// Names one taking (or release) of a claim. Fresh each time, so that no value ever comes back.
    ClaimId
}
internal_id! {
    /// Names one state of the owners of a value that several may own. Fresh with every change of them.
    OwnersStamp
}
internal_id! {
    /// Names one pointer of a child at a parent. Fresh each time.
    LinkToken
}
internal_id! {
    /// Names one deletion of a profile.
    DeleteId
}
internal_id! {
    /// Names one trait definition. New each time a name is created, so that re-creating a name never shows old values.
    DefinitionId
}

/// Names one request, in answers (`Twilio-Request-Id`), logs and evidence: `RQ` and 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(Uuid);

impl RequestId {
    /// Takes a UUID for a request id.
    #[must_use]
    pub const fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// The UUID inside.
    #[must_use]
    pub const fn as_uuid(&self) -> Uuid {
        self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RQ{}", self.0.as_simple())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for RequestId {
    type Err = IdError;

    /// Takes the form that is written, and no other, as ids that are internal: digits in lower case.
    fn from_str(text: &str) -> Result<Self, IdError> {
        let hex = text.strip_prefix("RQ").ok_or(IdError::Malformed)?;
        let id = Uuid::try_parse(hex).map_err(|_| IdError::Malformed)?;
        let mut canonical = Uuid::encode_buffer();
        if *id.as_simple().encode_lower(&mut canonical) == *hex {
            Ok(Self(id))
        } else {
            Err(IdError::Malformed)
        }
    }
}

as_text! { RequestId }

/// The account that credentials name: `AC` and 32 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccountSid(String);

impl AccountSid {
    /// The text form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for AccountSid {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        let hex = text.strip_prefix("AC").ok_or(IdError::Malformed)?;
        if hex.len() == 32 && hex.bytes().all(|b| b.is_ascii_hexdigit()) {
            Ok(Self(text))
        } else {
            Err(IdError::Malformed)
        }
    }
}

impl FromStr for AccountSid {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        Self::try_from(text.to_owned())
    }
}

impl From<AccountSid> for String {
    fn from(sid: AccountSid) -> Self {
        sid.0
    }
}

impl fmt::Display for AccountSid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a profile lives: its store and its id. The partition key of a node and of its cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProfileKey {
    /// The store.
    pub store: StoreId,
    /// The profile.
    pub profile: ProfileId,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_development_store_is_all_zero() {
        let store: StoreId = "mem_store_00000000000000000000000000".parse().unwrap();
        assert_eq!(store, StoreId::from_uuid(Uuid::nil()));
    }

    #[test]
    fn another_kind_of_id_is_malformed() {
        let text = ProfileId::from_uuid(Uuid::now_v7()).to_string();
        assert_eq!(text.parse::<StoreId>(), Err(IdError::Malformed));
    }

    #[test]
    fn letters_outside_the_alphabet_name_nothing() {
        let text = "mem_profile_0000000000000000000000000u";
        assert_eq!(text.parse::<ProfileId>(), Err(IdError::Unknown));
    }

    #[test]
    fn the_service_prefix_is_well_formed_and_names_nothing() {
        let text = "mem_service_00000000000000000000000000";
        assert_eq!(text.parse::<StoreId>(), Err(IdError::Unknown));
    }

    #[test]
    fn what_the_pattern_takes_is_not_malformed_and_nothing_else() {
        fn agrees<T: FromStr<Err = IdError>>(pattern: &str, text: &str) -> bool {
            let matches = regex::Regex::new(pattern).unwrap().is_match(text);
            assert_eq!(
                matches,
                !matches!(text.parse::<T>(), Err(IdError::Malformed)),
                "{pattern} {text}"
            );
            matches
        }
        let mut taken = 0;
        for prefix in [
            "mem_store_",
            "mem_service_",
            "mem_profile_",
            "mem_operation_",
            "mem_",
            "x",
        ] {
            for suffix in [
                "00000000000000000000000000",
                "7zzzzzzzzzzzzzzzzzzzzzzzzz",
                "0000000000000000000000000u",
                "8zzzzzzzzzzzzzzzzzzzzzzzzz",
                "0000000000000000000000000A",
                "000000000000000000000000000",
                "0000000000000000000000000",
            ] {
                let text = format!("{prefix}{suffix}");
                taken += usize::from(agrees::<StoreId>(StoreId::PATTERN, &text));
                taken += usize::from(agrees::<ProfileId>(ProfileId::PATTERN, &text));
                taken += usize::from(agrees::<OperationId>(OperationId::PATTERN, &text));
            }
        }
        assert_eq!(taken, 12);
    }

    #[test]
    fn texts_outside_the_pattern_are_malformed() {
        for text in [
            "",
            "mem_profile_",
            "mem_profile_8zzzzzzzzzzzzzzzzzzzzzzzzz",
            "mem_profile_0000000000000000000000000",
            "mem_profile_000000000000000000000000000",
            "mem_profile_0000000000000000000000000A",
            "mem_profile_0000000000000000000000000é",
            "MEM_PROFILE_00000000000000000000000000",
        ] {
            assert_eq!(text.parse::<ProfileId>(), Err(IdError::Malformed), "{text}");
        }
    }

    #[test]
    fn a_request_id_has_one_spelling() {
        let id = RequestId::from_uuid(Uuid::from_u128(0xabcd));
        let text = "RQ0000000000000000000000000000abcd";
        assert_eq!((id.to_string().as_str(), text.parse()), (text, Ok(id)));
        for other in [
            "RQ0000000000000000000000000000ABCD",
            "rq0000000000000000000000000000abcd",
            "0000000000000000000000000000abcd",
            "RQ000000000000000000000000000abcd",
            "RQ00000000-0000-0000-0000-00000000abcd",
            "RQ{000000000000000000000000000abcd}",
            "RQ 000000000000000000000000000abcd",
            "",
        ] {
            assert_eq!(
                other.parse::<RequestId>(),
                Err(IdError::Malformed),
                "{other}"
            );
        }
    }

    /// Texts that are nearly ids of some kind.
    fn nearly() -> impl Strategy<Value = String> {
        let prefix = proptest::sample::select(&[
            "mem_store_",
            "mem_service_",
            "mem_profile_",
            "mem_operation_",
            "MEM_STORE_",
            "RQ",
            "AC",
            "",
        ]);
        let rest = prop_oneof![
            "[0-9a-z]{26}",
            "[0-7][0-9a-hjkmnp-tv-z]{25}",
            "[0-9a-f]{32}",
            "[0-9a-fA-F]{31,33}",
            "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
            "[0-9a-zA-Z_{}-]{0,40}",
            any::<String>(),
        ];
        (prefix, rest).prop_map(|(prefix, rest)| format!("{prefix}{rest}"))
    }

    /// What a published pattern says of a text: bytes of a class behind a prefix.
    fn is_suffixed(text: &str, prefix: &str, length: usize, class: fn(u8) -> bool) -> bool {
        text.strip_prefix(prefix)
            .is_some_and(|rest| rest.len() == length && rest.bytes().all(class))
    }

    fn is_resource(text: &str, prefix: &str) -> bool {
        let class = |b: u8| b.is_ascii_digit() || b.is_ascii_lowercase();
        is_suffixed(text, prefix, 26, class)
            && (b'0'..=b'7').contains(&text.as_bytes()[prefix.len()])
    }

    fn is_lower_hex(byte: u8) -> bool {
        matches!(byte, b'0'..=b'9' | b'a'..=b'f')
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn ids_of_the_api_are_well_formed_by_their_pattern_alone(text in nearly()) {
            let stores = is_resource(&text, "mem_store_") || is_resource(&text, "mem_service_");
            prop_assert_eq!(text.parse::<StoreId>() != Err(IdError::Malformed), stores);
            let profile = is_resource(&text, "mem_profile_");
            prop_assert_eq!(text.parse::<ProfileId>() != Err(IdError::Malformed), profile);
            let operation = is_resource(&text, "mem_operation_");
            prop_assert_eq!(text.parse::<OperationId>() != Err(IdError::Malformed), operation);
        }

        #[test]
        fn what_is_read_as_an_id_is_written_as_it_was_read(text in nearly()) {
            prop_assert!(text.parse::<StoreId>().map_or(true, |id| id.to_string() == text));
            prop_assert!(text.parse::<ProfileId>().map_or(true, |id| id.to_string() == text));
            prop_assert!(text.parse::<OperationId>().map_or(true, |id| id.to_string() == text));
            prop_assert!(text.parse::<DefinitionId>().map_or(true, |id| id.to_string() == text));
            let request = is_suffixed(&text, "RQ", 32, is_lower_hex);
            prop_assert_eq!(text.parse::<RequestId>().map(|id| id.to_string()).ok(), request.then(|| text.clone()));
            let account = is_suffixed(&text, "AC", 32, |b| b.is_ascii_hexdigit());
            prop_assert_eq!(text.parse::<AccountSid>().map(|id| id.to_string()).ok(), account.then(|| text.clone()));
        }

        #[test]
        fn text_and_id_are_one_to_one(value: u128) {
            let id = ProfileId::from_uuid(Uuid::from_u128(value));
            prop_assert_eq!(id.to_string().parse::<ProfileId>(), Ok(id));
        }

        #[test]
        fn the_codec_agrees_with_another_implementation(value: u128) {
            use mti::prelude::*;
            let uuid = Uuid::from_u128(value);
            let other = MagicTypeId::new(
                TypeIdPrefix::try_from("mem_profile").unwrap(),
                TypeIdSuffix::from(uuid),
            );
            prop_assert_eq!(ProfileId::from_uuid(uuid).to_string(), other.to_string());
        }

        #[test]
        fn text_sorts_like_ids(a: u128, b: u128) {
            let (a, b) = (ProfileId::from_uuid(Uuid::from_u128(a)), ProfileId::from_uuid(Uuid::from_u128(b)));
            prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
        }

        #[test]
        fn an_id_knows_its_millisecond(millis in 0u64..=0xffff_ffff_ffff, rest: u128) {
            let value = (u128::from(millis) << 80) | (rest >> 48);
            let id = ProfileId::from_uuid(Uuid::from_u128(value));
            prop_assert_eq!(id.created_at().as_micros(), i64::try_from(millis).unwrap() * 1_000);
        }
    }
}
