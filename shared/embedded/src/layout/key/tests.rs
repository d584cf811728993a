use proptest::prelude::*;

use super::*;

/// That something was read, and how, is not what matters.
fn ignore<T>(_: T) {}

prop_compose! {
    fn any_uuid()(bits: u128) -> Uuid { Uuid::from_u128(bits) }
}

prop_compose! {
    fn any_profile()(store in any_uuid(), profile in any_uuid()) -> ProfileKey {
        ProfileKey { store: StoreId::from_uuid(store), profile: ProfileId::from_uuid(profile) }
    }
}

fn any_name() -> impl Strategy<Value = CellName> {
    prop_oneof![
        Just(CellName::Clock),
        Just(CellName::Root),
        (".{0,8}", ".{0,20}", any_uuid()).prop_map(|(id_type, value, claim)| CellName::Ident(
            IdType::new(&id_type),
            IdentifierValue::new(&value),
            ClaimId::from_uuid(claim)
        )),
        (any_uuid(), any_uuid()).prop_map(|(child, token)| CellName::Link(
            ProfileId::from_uuid(child),
            LinkToken::from_uuid(token)
        )),
        any_uuid().prop_map(|id| CellName::Member(ProfileId::from_uuid(id))),
        any_uuid().prop_map(|id| CellName::Trait(DefinitionId::from_uuid(id))),
        Just(CellName::Purged),
    ]
}

fn key_of(at: &ProfileKey, name: &CellName) -> Vec<u8> {
    match name {
        CellName::Clock => cells_of(at, CellKind::Clock),
        CellName::Root => cells_of(at, CellKind::Root),
        CellName::Ident(id_type, value, claim) => ident(at, id_type, value, *claim).unwrap(),
        CellName::Link(child, token) => link(at, *child, *token),
        CellName::Member(profile) => member(at, *profile),
        CellName::Trait(definition) => trait_cell(at, *definition),
        CellName::Purged => cells_of(at, CellKind::Purged),
    }
}

proptest! {
    #[test]
    fn a_cell_key_reads_as_it_was_made(at in any_profile(), name in any_name()) {
        let key = key_of(&at, &name);
        prop_assert!(key.starts_with(&cell_partition(&at)));
        prop_assert_eq!(cell(&key), Ok(name));
    }

    #[test]
    fn two_cells_never_share_a_key(at in any_profile(), a in any_name(), b in any_name()) {
        prop_assert_eq!(key_of(&at, &a) == key_of(&at, &b), a == b);
    }

    #[test]
    fn no_cell_lies_in_the_partition_of_another_profile(
        a in any_profile(), b in any_profile(), name in any_name()
    ) {
        prop_assume!(a != b);
        prop_assert!(!key_of(&a, &name).starts_with(&cell_partition(&b)));
    }

    #[test]
    fn links_sort_before_members(at in any_profile(), child in any_uuid(), token in any_uuid(), other in any_uuid()) {
        let link = link(&at, ProfileId::from_uuid(child), LinkToken::from_uuid(token));
        prop_assert!(link < member(&at, ProfileId::from_uuid(other)));
    }

    #[test]
    fn verdicts_read_as_they_were_made(at in any_profile(), child in any_uuid(), token in any_uuid()) {
        let (child, token) = (ProfileId::from_uuid(child), LinkToken::from_uuid(token));
        let key = verdict(&at, child, token);
        prop_assert!(key.starts_with(&verdicts(&at)) && !key.starts_with(&node(&at)));
        prop_assert_eq!(verdict_name(&key), Ok((child, token)));
    }

    #[test]
    fn owners_read_as_they_were_made_beside_their_claim(key: [u8; 32], profile in any_uuid()) {
        let (claim_key, profile) = (ClaimKey::from_bytes(key), ProfileId::from_uuid(profile));
        let row = owner(&claim_key, profile);
        prop_assert!(row.starts_with(&owners(&claim_key)));
        prop_assert_eq!(owner_of(&row), Ok(profile));
        prop_assert!(!owners_stamp(&claim_key).starts_with(&owners(&claim_key)));
        prop_assert_ne!(owners_stamp(&claim_key), claim(&claim_key));
    }

    #[test]
    fn a_listing_sorts_like_its_profiles(store in any_uuid(), a in any_uuid(), b in any_uuid()) {
        let store = StoreId::from_uuid(store);
        let at = |id| ProfileKey { store, profile: ProfileId::from_uuid(id) };
        let (first, last) = listing_of(store);
        let (ka, kb) = (listing(&at(a)), listing(&at(b)));
        prop_assert_eq!(ka.cmp(&kb), a.cmp(&b));
        prop_assert!(first <= ka && ka <= last);
        prop_assert_eq!(profile_of(&ka), Ok(ProfileId::from_uuid(a)));
    }

    #[test]
    fn records_sort_by_topic_partition_and_offset(
        a in (0u8..2, any::<u16>(), any::<u64>()), b in (0u8..2, any::<u16>(), any::<u64>())
    ) {
        let (ka, kb) = (record(a.0, a.1, a.2), record(b.0, b.1, b.2));
        prop_assert_eq!(ka.cmp(&kb), a.cmp(&b));
        prop_assert_eq!(offset_of(&ka), Ok(a.2));
        prop_assert!(edge(a.0, a.1) < record(a.0, a.1, 0));
    }

    #[test]
    fn groups_and_accounts_read_as_they_were_made(partition: u16, name in ".{1,12}", id in any_uuid()) {
        let key = group(partition, &name);
        prop_assert_eq!(group_name(&key), Ok((partition, name.as_str())));
        let account: AccountSid = format!("AC{}", id.as_simple()).parse().unwrap();
        let store = StoreId::from_uuid(id);
        prop_assert_eq!(store_of_account(&account_store(&account, store), &account), Ok(store));
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
        ignore(cell(&bytes));
        ignore(verdict_name(&bytes));
        ignore(profile_of(&bytes));
        ignore(offset_of(&bytes));
        ignore(group_name(&bytes));
    }
}

#[test]
fn an_identifier_too_long_for_a_key_has_none() {
    let at = ProfileKey {
        store: StoreId::from_uuid(Uuid::nil()),
        profile: ProfileId::from_uuid(Uuid::nil()),
    };
    let value = IdentifierValue::new(&"x".repeat(65_500));
    assert_eq!(
        ident(
            &at,
            &IdType::new("email"),
            &value,
            ClaimId::from_uuid(Uuid::nil())
        ),
        None
    );
}
