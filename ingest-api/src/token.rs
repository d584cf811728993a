//! Page tokens: where a listing goes on, sealed so that one fits only the list it came from (`memory-api.md` 2.4).
//!
//! A token is base64url of a version, a tag and the last position. The tag is an HMAC over that and over what is *not* in the
//! token: endpoint, account, store, profile or group, and order. A token of another list and an edited one fail alike. The key is
//! in the database, so that whichever process answers knows the tokens of the others. Nothing in a token is secret, and it does not
//! expire: it is a position, not a permission.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use hmac::{Hmac, KeyInit, Mac};
use kith_domain::id::{AccountSid, ProfileId, StoreId};
use kith_profiles::ports::{Order, TokenKey};
use sha2::Sha256;

use crate::query::Paging;

/// Characters of a token at most.
pub(crate) const CHARS_MAX: usize = 4096;

const VERSION: u8 = 1;
const TAG_BYTES: usize = 16;

/// A list that tokens belong to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct List<'a> {
    /// Which list: a word.
    pub(crate) endpoint: &'static str,
    /// Whose.
    pub(crate) account: &'a AccountSid,
    /// Of which store, if it is of one.
    pub(crate) store: Option<StoreId>,
    /// Of which profile, if it is a list of one.
    pub(crate) profile: Option<ProfileId>,
    /// Of which trait group, if it is of one.
    pub(crate) group: Option<&'a str>,
    /// In which order.
    pub(crate) order: Order,
    /// The key of all tokens.
    pub(crate) key: &'a TokenKey,
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

    /// Where the page that is wanted goes on; `None` for the first.
    ///
    /// # Errors
    /// [`NoToken`], as [`position`](Self::position).
    pub(crate) fn after(&self, paging: &Paging) -> Result<Option<Vec<u8>>, NoToken> {
        let token = paging.token.as_deref();
        token.map(|token| self.position(token)).transpose()
    }

    /// Where a token goes on.
    ///
    /// # Errors
    /// [`NoToken`]: not one of ours, of another list, or changed.
    fn position(&self, token: &str) -> Result<Vec<u8>, NoToken> {
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
        let order: &[u8] = match self.order {
            Order::Ascending => b"asc",
            Order::Descending => b"desc",
        };
        // Every part but the texts and the last has one length, and the texts hold no zero byte.
        let store = self.store.map(|id| *id.as_uuid().as_bytes());
        let profile = self.profile.map(|id| *id.as_uuid().as_bytes());
        keyed(self.key.expose())
            .chain_update([VERSION])
            .chain_update(self.endpoint)
            .chain_update([0])
            .chain_update(self.account.as_str())
            .chain_update([0])
            .chain_update(order)
            .chain_update([0])
            .chain_update(self.group.unwrap_or_default())
            .chain_update([0, u8::from(store.is_some())])
            .chain_update(store.unwrap_or_default())
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
    use proptest::prelude::*;
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

    /// The newest profiles of the first store.
    fn list_of<'a>(account: &'a AccountSid, key: &'a TokenKey) -> List<'a> {
        List {
            endpoint: "profiles",
            account,
            store: Some(store(1)),
            profile: None,
            group: None,
            order: Order::Descending,
            key,
        }
    }

    #[test]
    fn a_token_leads_back_to_its_position() {
        let (account, key) = (ACCOUNT.parse().unwrap(), TokenKey::from_bytes([7; 32]));
        let list = list_of(&account, &key);
        let token = list.token(AFTER);
        assert_eq!(list.position(&token), Ok(AFTER.to_vec()));
        assert!(
            token
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        );
    }

    /// Tokens are in callers' hands during an upgrade; this one is frozen (`docs/formats.md`).
    #[test]
    fn the_golden_token_is_read_and_given_again() {
        let (account, key) = (ACCOUNT.parse().unwrap(), TokenKey::from_bytes([7; 32]));
        let list = list_of(&account, &key);
        let golden = include_str!("../tests/golden/v1/page-token.txt").trim();
        assert_eq!(list.position(golden), Ok(AFTER.to_vec()));
        assert_eq!(list.token(AFTER), golden);
    }

    #[test]
    fn a_token_fits_no_other_list() {
        let (account, key) = (ACCOUNT.parse().unwrap(), TokenKey::from_bytes([7; 32]));
        let other_account = "AC00000000000000000000000000000002".parse().unwrap();
        let other_key = TokenKey::from_bytes([8; 32]);
        let list = list_of(&account, &key);
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
                store: Some(store(2)),
                ..list
            },
            List {
                store: None,
                ..list
            },
            List {
                group: Some("Contact"),
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
                key: &other_key,
                ..list
            },
        ];
        for other in others {
            assert_eq!(other.position(&token), Err(NoToken), "{}", other.endpoint);
        }
    }

    #[test]
    fn every_changed_character_is_noticed() {
        let (account, key) = (ACCOUNT.parse().unwrap(), TokenKey::from_bytes([7; 32]));
        let list = List {
            endpoint: "profiles",
            account: &account,
            store: Some(store(1)),
            profile: None,
            group: None,
            order: Order::Ascending,
            key: &key,
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

    proptest! {
        #[test]
        fn any_position_is_read_back_and_no_other_text_is_a_token(
            after in proptest::collection::vec(any::<u8>(), 0..80),
            text in prop_oneof![any::<String>(), "[A-Za-z0-9_-]{0,120}"],
        ) {
            let (account, key) = (ACCOUNT.parse().unwrap(), TokenKey::from_bytes([7; 32]));
            let list = list_of(&account, &key);
            prop_assert_eq!(list.position(&list.token(&after)), Ok(after));
            prop_assert_eq!(list.position(&text), Err(NoToken));
        }
    }
}
