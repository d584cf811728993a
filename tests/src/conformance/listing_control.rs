//! The profiles of a store, and stores.

use std::time::Duration;

use anyhow::{Result, ensure};
use kith_domain::id::{AccountSid, DefinitionId, ProfileId, ProfileKey, StoreId};
use kith_domain::identifier::ClaimSecret;
use kith_domain::schema::contact_group;
use kith_domain::settings::IdentitySettings;
use kith_domain::store::{Places, StoreRecord, StoreStatus};
use kith_profiles::ports::{Control, Created, Definitions, Durability, Listing, Order};
use uuid::Uuid;

use super::{DatabaseFixture, at, profile, store, uuid};

async fn add(listing: &impl Listing, store: StoreId, profiles: &[ProfileId]) -> Result<()> {
    for profile in profiles {
        listing
            .add(
                ProfileKey {
                    store,
                    profile: *profile,
                },
                Durability::Ordered,
            )
            .await?;
    }
    Ok(())
}

/// All ids in pages of `size`.
async fn walk(
    listing: &impl Listing,
    store: StoreId,
    order: Order,
    size: usize,
) -> Result<Vec<ProfileId>> {
    let mut all: Vec<ProfileId> = Vec::new();
    loop {
        let page = listing
            .page(store, order, all.last().copied(), size)
            .await?;
        ensure!(
            page.len() <= size,
            "a page of {} where {size} were asked",
            page.len()
        );
        let is_end = page.len() < size;
        all.extend(page);
        if is_end {
            return Ok(all);
        }
    }
}

pub(super) async fn a_listing_is_in_order_both_ways(f: &mut impl DatabaseFixture) -> Result<()> {
    let (listing, store) = (f.database(), store());
    ensure!(
        walk(&listing, store, Order::Descending, 10)
            .await?
            .is_empty()
    );
    let mut ids: Vec<ProfileId> = (0..57).map(|_| profile()).collect();
    let mut mixed = ids.clone();
    mixed.sort_by_key(|id| id.as_uuid().as_u128().reverse_bits());
    add(&listing, store, &mixed).await?;
    add(&listing, store, &mixed[..9]).await?;
    for size in [1, 10, 57, 58, 1000] {
        ensure!(
            walk(&listing, store, Order::Ascending, size).await? == ids,
            "pages of {size}"
        );
    }
    ids.reverse();
    for size in [10, 57, 1000] {
        ensure!(
            walk(&listing, store, Order::Descending, size).await? == ids,
            "pages of {size}"
        );
    }
    Ok(())
}

pub(super) async fn pages_go_on_after_any_id(f: &mut impl DatabaseFixture) -> Result<()> {
    let (listing, store) = (f.database(), store());
    let ids: Vec<ProfileId> = (0..20).map(|_| profile()).collect();
    let (listed, unlisted): (Vec<_>, Vec<_>) =
        ids.iter().enumerate().partition(|(i, _)| i % 2 == 0);
    let listed: Vec<ProfileId> = listed.into_iter().map(|(_, id)| *id).collect();
    add(&listing, store, &listed).await?;
    for (i, between) in unlisted {
        let (below, above): (Vec<ProfileId>, Vec<ProfileId>) =
            listed.iter().copied().partition(|id| id < between);
        let up = listing
            .page(store, Order::Ascending, Some(*between), 100)
            .await?;
        ensure!(up == above, "up from {i}");
        let down = listing
            .page(store, Order::Descending, Some(*between), 100)
            .await?;
        ensure!(down.iter().rev().eq(&below), "down from {i}");
    }
    Ok(())
}

pub(super) async fn ids_years_apart_are_listed(f: &mut impl DatabaseFixture) -> Result<()> {
    let (listing, store) = (f.database(), store());
    let year = Duration::from_secs(365 * 24 * 3600).as_millis();
    let ids: Vec<ProfileId> = (0..8)
        .map(|years| {
            let millis = 1_600_000_000_000 + years * year;
            ProfileId::from_uuid(Uuid::from_u128(
                (millis << 80) | (7 << 76) | (2 << 62) | years,
            ))
        })
        .collect();
    add(&listing, store, &ids).await?;
    ensure!(walk(&listing, store, Order::Ascending, 3).await? == ids);
    let mut down = walk(&listing, store, Order::Descending, 3).await?;
    down.reverse();
    ensure!(down == ids);
    Ok(())
}

pub(super) async fn listings_do_not_mix(f: &mut impl DatabaseFixture) -> Result<()> {
    let (listing, one, two) = (f.database(), store(), store());
    let (a, b) = (profile(), profile());
    add(&listing, one, &[a]).await?;
    add(&listing, two, &[b]).await?;
    ensure!(walk(&listing, one, Order::Ascending, 9).await? == [a]);
    ensure!(walk(&listing, two, Order::Descending, 9).await? == [b]);
    Ok(())
}

pub(super) async fn a_removed_profile_is_not_listed(f: &mut impl DatabaseFixture) -> Result<()> {
    let (listing, store) = (f.database(), store());
    let ids: Vec<ProfileId> = (0..20).map(|_| profile()).collect();
    add(&listing, store, &ids).await?;
    let (gone, kept): (Vec<_>, Vec<_>) = ids.iter().enumerate().partition(|(i, _)| i % 3 == 0);
    let mut gone: Vec<ProfileKey> = gone
        .into_iter()
        .map(|(_, profile)| ProfileKey {
            store,
            profile: *profile,
        })
        .collect();
    // One that never was there is removed like any other, and twice like once.
    gone.push(ProfileKey {
        store,
        profile: profile(),
    });
    listing.remove(&gone, Durability::Durable).await?;
    listing.remove(&gone[..2], Durability::Durable).await?;
    let kept: Vec<ProfileId> = kept.into_iter().map(|(_, id)| *id).collect();
    ensure!(walk(&listing, store, Order::Ascending, 5).await? == kept);
    f.crash().await?;
    let listing = f.database();
    ensure!(
        walk(&listing, store, Order::Ascending, 5).await? == kept,
        "after a crash"
    );
    Ok(())
}

pub(super) fn record(account: &AccountSid) -> StoreRecord {
    let mut secret = [0; 32];
    secret[..16].copy_from_slice(uuid().as_bytes());
    StoreRecord {
        id: StoreId::from_uuid(Uuid::now_v7()),
        account: account.clone(),
        display_name: format!("store-{}", uuid().as_simple()),
        description: Some("Ünïcode \" ' description".into()),
        status: StoreStatus::Active,
        version: 1,
        settings: IdentitySettings::default(),
        settings_version: 1,
        schema_version: 1,
        claim_secret: ClaimSecret::from_bytes(secret),
        groups: vec![contact_group(at(1_700_000_000_000_000), || {
            DefinitionId::from_uuid(uuid())
        })],
        places: Places::default(),
    }
}

pub(super) fn account() -> Result<AccountSid> {
    Ok(format!("AC{}", uuid().as_simple()).parse()?)
}

pub(super) async fn a_store_is_created_once(f: &mut impl DatabaseFixture) -> Result<()> {
    let (control, account) = (f.database(), account()?);
    let (one, two) = (record(&account), record(&account));
    ensure!(control.account(&account).await?.store_ids().is_empty());
    ensure!(control.create_store(&one).await? == Created::Now);
    let mut other = one.clone();
    other.display_name = "another-name".into();
    ensure!(control.create_store(&other).await? == Created::Already);
    ensure!(
        control.store(one.id).await? == Some(one.clone()),
        "the first record stands"
    );
    ensure!(control.create_store(&two).await? == Created::Now);
    ensure!(control.account(&account).await?.store_ids() == [one.id, two.id]);
    ensure!(
        control
            .account(&self::account()?)
            .await?
            .store_ids()
            .is_empty()
    );
    Ok(())
}

pub(super) async fn a_store_is_read_as_it_was_written(f: &mut impl DatabaseFixture) -> Result<()> {
    let (control, account) = (f.database(), account()?);
    let written = record(&account);
    ensure!(control.store(written.id).await?.is_none());
    control.create_store(&written).await?;
    f.crash().await?;
    ensure!(f.database().store(written.id).await? == Some(written));
    Ok(())
}

pub(super) async fn a_deleted_store_is_gone_and_never_made_again(
    f: &mut impl DatabaseFixture,
) -> Result<()> {
    let (control, account) = (f.database(), account()?);
    let (one, two) = (record(&account), record(&account));
    control.create_store(&one).await?;
    control.create_store(&two).await?;
    let stranger = self::account()?;
    ensure!(
        !control.delete_store(&stranger, one.id).await?,
        "not theirs"
    );
    ensure!(control.store(one.id).await? == Some(one.clone()));
    ensure!(!control.is_deleted(one.id).await?);
    ensure!(
        !control.is_deleted(StoreId::from_uuid(uuid())).await?,
        "never was there"
    );
    ensure!(control.delete_store(&account, one.id).await?);
    ensure!(!control.delete_store(&account, one.id).await?, "only once");
    f.crash().await?;
    let control = f.database();
    ensure!(control.store(one.id).await?.is_none());
    ensure!(control.is_deleted(one.id).await?);
    ensure!(control.account(&account).await?.store_ids() == [two.id]);
    ensure!(control.create_store(&one).await? == Created::Already);
    ensure!(control.store(one.id).await?.is_none());
    ensure!(control.account(&account).await?.store_ids() == [two.id]);
    ensure!(control.store(two.id).await? == Some(two));
    Ok(())
}
