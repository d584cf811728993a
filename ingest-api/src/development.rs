//! The store that the development account has, so that the documentation's sample runs as it stands.

use kith_domain::id::{AccountSid, DefinitionId, StoreId};
use kith_domain::identifier::ClaimSecret;
use kith_domain::schema::contact_group;
use kith_domain::settings::IdentitySettings;
use kith_domain::store::{StoreRecord, StoreStatus};
use kith_domain::time::Micros;
use kith_profiles::ports::Ids;
use uuid::Uuid;

/// Its id: `mem_store_00000000000000000000000000`.
pub const DEVELOPMENT_STORE: StoreId = StoreId::from_uuid(Uuid::nil());

/// A new development store: default settings, the `Contact` group, and a secret of its own. Made anew each time, so keep the
/// one that is there: [`Control::create_store`](kith_profiles::ports::Control::create_store) does.
#[must_use]
pub fn development_store(account: AccountSid, now: Micros, ids: &impl Ids) -> StoreRecord {
    StoreRecord {
        id: DEVELOPMENT_STORE,
        account,
        display_name: "development".to_owned(),
        description: None,
        status: StoreStatus::Active,
        version: 1,
        settings: IdentitySettings::default(),
        settings_version: 1,
        schema_version: 1,
        claim_secret: claim_secret(ids),
        groups: vec![contact_group(now, || DefinitionId::from_uuid(ids.random()))],
        places: kith_domain::store::Places::default(),
    }
}

/// A random id has 122 random bits at least; two halves of a secret make 244.
fn claim_secret(ids: &impl Ids) -> ClaimSecret {
    let mut secret = [0; 32];
    secret[..16].copy_from_slice(ids.random().as_bytes());
    secret[16..].copy_from_slice(ids.random().as_bytes());
    ClaimSecret::from_bytes(secret)
}

#[cfg(test)]
mod tests {
    use kith_runtime::clock::SystemIds;

    use super::*;

    #[test]
    fn the_development_store_takes_requests_and_has_a_secret_of_its_own() {
        let account: AccountSid = "AC00000000000000000000000000000000".parse().unwrap();
        let made = || development_store(account.clone(), Micros::EPOCH, &SystemIds);
        let (one, two) = (made(), made());
        assert_eq!(one.id.to_string(), "mem_store_00000000000000000000000000");
        assert_eq!(one.status, StoreStatus::Active);
        assert!(one.definition("Contact", "email").is_some());
        assert!(one.claim_secret != two.claim_secret);
    }
}
