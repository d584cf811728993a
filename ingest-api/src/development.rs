//! The store that the development account has, so that the documentation's sample runs as it stands.

use kith_domain::id::{AccountSid, StoreId};
use kith_domain::store::StoreRecord;
use kith_domain::time::Micros;
use kith_profiles::definitions::new_store;
use kith_profiles::ports::Ids;
use uuid::Uuid;

/// Its id: `mem_store_00000000000000000000000000`.
pub const DEVELOPMENT_STORE: StoreId = StoreId::from_uuid(Uuid::nil());

/// A new development store: default settings, the `Contact` group, and a secret of its own. Made anew each time, so keep the
/// one that is there: [`Control::create_store`](kith_profiles::ports::Control::create_store) does.
#[must_use]
pub fn development_store(account: AccountSid, now: Micros, ids: &impl Ids) -> StoreRecord {
    let name = "development".to_owned();
    new_store(DEVELOPMENT_STORE, account, name, None, now, ids)
}

#[cfg(test)]
mod tests {
    use kith_domain::store::StoreStatus;
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
