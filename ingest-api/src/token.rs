//! Page tokens: where a listing goes on, sealed so that one fits only the list it came from (`memory-api.md` 2.4).
//!
//! A token is base64url of a version, a tag and the last position. The tag is an HMAC over that and over what is *not* in the
//! token: endpoint, account, store, profile and order. A token of another list, an edited one and one of a store that was made anew
//! all fail alike. Nothing in it is secret, and it does not expire: it is a position, not a permission.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use hmac::{Hmac, KeyInit, Mac};
use kith_domain::id::{AccountSid, ProfileId, StoreId};
use kith_domain::identifier::ClaimSecret;
use kith_profiles::ports::Order;
use sha2::Sha256;

/// Characters of a token at most.
pub(crate) const CHARS_MAX: usize = 4096;

const VERSION: u8 = 1;
const TAG_BYTES: usize = 16;

/// Separates this use of a store's secret from the keys of its claims: those always hold a zero byte, this never does.
const KEY_LABEL: &[u8] = b"kith page token v1";

/// A list that tokens belong to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct List<'a> {
    /// Which list of the store: a word.
    pub(crate) endpoint: &'static str,
    /// Whose.
    pub(crate) account: &'a AccountSid,
    /// Of which store.
    pub(crate) store: StoreId,
    /// Of which profile, if it is a list of one.
    pub(crate) profile: Option<ProfileId>,
    /// In which order.
    pub(crate) order: Order,
    /// The store's secret.
    pub(crate) secret: &'a ClaimSecret,
}

/// A text is no token of this list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoToken;

impl List<'_> {
    /// The token that goes on after a position: bytes that only this list knows how to read.
    pub(crate) fn token(&self, after: &[u8]) -> String {
        let mut bytes = Vec::with_capacity(1 + TAG_BYTES + after.len());
        bytes.push(VERSION);
        let tag = self.mac(after).finalize().into_bytes();
        bytes.extend(&tag[..TAG_BYTES]);
        bytes.extend(after);
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Where a token goes on.
    ///
    /// # Errors
    /// [`NoToken`]: not one of ours, of another list, or changed.
    pub(crate) fn position(&self, token: &str) -> Result<Vec<u8>, NoToken> {
        if token.len() > CHARS_MAX {
            return Err(NoToken);
        }
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).map_err(|_| NoToken)?;
        let (VERSION, rest) = bytes.split_first().map(|(v, r)| (*v, r)).ok_or(NoToken)? else {
            return Err(NoToken);
        };
        let (tag, after) = rest.split_first_chunk::<TAG_BYTES>().ok_or(NoToken)?;
        self.mac(after)
            .verify_truncated_left(tag)
            .map_err(|_| NoToken)?;
        Ok(after.to_vec())
    }

    fn mac(&self, after: &[u8]) -> Hmac<Sha256> {
        let key = keyed(self.secret.expose())
            .chain_update(KEY_LABEL)
            .finalize();
        let order: &[u8] = match self.order {
            Order::Ascending => b"asc",
            Order::Descending => b"desc",
        };
        // Every part but the texts and the last has one length, and the texts hold no zero byte.
        let profile = self.profile.map(|id| *id.as_uuid().as_bytes());
        keyed(&key.into_bytes())
            .chain_update([VERSION])
            .chain_update(self.endpoint)
            .chain_update([0])
            .chain_update(self.account.as_str())
            .chain_update([0])
            .chain_update(order)
            .chain_update([0])
            .chain_update(self.store.as_uuid().as_bytes())
            .chain_update([u8::from(profile.is_some())])
            .chain_update(profile.unwrap_or_default())
            .chain_update(after)
    }
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    Hmac::new_from_slice(key).expect("HMAC takes any key length")
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const ACCOUNT: &str = "AC00000000000000000000000000000001";

    fn id(value: u128) -> ProfileId {
        ProfileId::from_uuid(Uuid::from_u128(value))
    }

    const AFTER: &[u8] = b"some position";

    fn store(value: u128) -> StoreId {
        StoreId::from_uuid(Uuid::from_u128(value))
    }

    #[test]
    fn a_token_leads_back_to_its_position() {
        let (account, secret) = (ACCOUNT.parse().unwrap(), ClaimSecret::from_bytes([7; 32]));
        let list = List {
            endpoint: "profiles",
            account: &account,
            store: store(1),
            profile: None,
            order: Order::Descending,
            secret: &secret,
        };
        let token = list.token(AFTER);
        assert_eq!(list.position(&token), Ok(AFTER.to_vec()));
        assert!(
            token
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        );
    }

    #[test]
    fn a_token_fits_no_other_list() {
        let (account, secret) = (ACCOUNT.parse().unwrap(), ClaimSecret::from_bytes([7; 32]));
        let other_account = "AC00000000000000000000000000000002".parse().unwrap();
        let other_secret = ClaimSecret::from_bytes([8; 32]);
        let list = List {
            endpoint: "profiles",
            account: &account,
            store: store(1),
            profile: None,
            order: Order::Descending,
            secret: &secret,
        };
        let token = list.token(AFTER);
        let others = [
            List {
                endpoint: "imports",
                ..list
            },
            List {
                account: &other_account,
                ..list
            },
            List {
                store: store(2),
                ..list
            },
            List {
                profile: Some(id(1)),
                ..list
            },
            List {
                order: Order::Ascending,
                ..list
            },
            List {
                secret: &other_secret,
                ..list
            },
        ];
        for other in others {
            assert_eq!(other.position(&token), Err(NoToken), "{}", other.endpoint);
        }
    }

    #[test]
    fn every_changed_character_is_noticed() {
        let (account, secret) = (ACCOUNT.parse().unwrap(), ClaimSecret::from_bytes([7; 32]));
        let list = List {
            endpoint: "profiles",
            account: &account,
            store: store(1),
            profile: None,
            order: Order::Ascending,
            secret: &secret,
        };
        let token = list.token(AFTER);
        for at in 0..token.len() {
            for other in ["A", "b", "_", "=", " "] {
                let mut changed = token.clone();
                changed.replace_range(at..=at, other);
                if changed != token {
                    assert_eq!(list.position(&changed), Err(NoToken), "{changed}");
                }
            }
        }
        for text in [
            "",
            "AA",
            &token[..token.len() - 1],
            &format!("{token}A"),
            &"A".repeat(5_000),
        ] {
            assert_eq!(list.position(text), Err(NoToken));
        }
    }
}
