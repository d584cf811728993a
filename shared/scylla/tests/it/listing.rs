//! The profiles of a store, by id, over months and shards.

use kith_domain::id::{ProfileId, ProfileKey, StoreId};
use kith_profiles::ports::{Durability, Listing, Order};
use kith_scylla::Cql;
use uuid::Uuid;

use crate::harness::{raw, store, with_cql};

const DAY_MILLIS: u64 = 24 * 60 * 60 * 1_000;

fn id(day: u64, rest: u64) -> ProfileId {
    let millis = 1_700_000_000_000 + day * DAY_MILLIS;
    ProfileId::from_uuid(Uuid::from_u128(
        (u128::from(millis) << 80) | (7 << 76) | (2 << 62) | u128::from(rest),
    ))
}

async fn add(cql: &Cql, store: StoreId, profile: ProfileId) {
    cql.add(ProfileKey { store, profile }, Durability::Durable)
        .await
        .unwrap();
}

async fn walk(cql: &Cql, store: StoreId, order: Order, limit: usize) -> Vec<ProfileId> {
    let mut all: Vec<ProfileId> = Vec::new();
    loop {
        let page = cql
            .page(store, order, all.last().copied(), limit)
            .await
            .unwrap();
        assert!(page.len() <= limit);
        let end = page.len() < limit;
        all.extend(page);
        if end {
            return all;
        }
    }
}

#[tokio::test]
async fn a_listing_is_walked_in_both_orders_in_pages_of_any_size() {
    with_cql(async |cql, _| {
        let store = store();
        assert_eq!(walk(&cql, store, Order::Ascending, 3).await, []);
        // Two in one month, sparse years, several in one shard, and ids of other versions in between.
        let mut ids: Vec<_> = [0, 1, 40, 41, 42, 400, 4_000]
            .into_iter()
            .map(|day| id(day, 8 * day))
            .collect();
        ids.extend((0..20).map(|n| id(41, n)));
        ids.push(ProfileId::from_uuid(Uuid::from_u128(5)));
        ids.push(ProfileId::from_uuid(Uuid::from_u128(u128::MAX)));
        for profile in &ids {
            add(&cql, store, *profile).await;
        }
        add(&cql, store, ids[3]).await;
        ids.sort_unstable();
        ids.dedup();
        for limit in [1, 2, 7, ids.len(), 1_000] {
            assert_eq!(
                walk(&cql, store, Order::Ascending, limit).await,
                ids,
                "{limit}"
            );
            let mut newest_first = walk(&cql, store, Order::Descending, limit).await;
            newest_first.reverse();
            assert_eq!(newest_first, ids, "{limit}");
        }
        // From a place where there is nothing.
        let page = cql
            .page(store, Order::Ascending, Some(id(100, 0)), 1)
            .await
            .unwrap();
        assert_eq!(page, [id(400, 3_200)]);
        let page = cql
            .page(store, Order::Descending, Some(id(100, 0)), 1)
            .await
            .unwrap();
        assert_eq!(page, [id(42, 336)]);
        assert_eq!(
            cql.page(store, Order::Ascending, None, 0).await.unwrap(),
            []
        );
        assert_eq!(
            walk(&cql, crate::harness::store(), Order::Descending, 10).await,
            []
        );
    })
    .await;
}

#[tokio::test]
async fn a_bucket_keeps_the_shards_that_it_was_opened_with() {
    with_cql(async |cql, config| {
        let store = store();
        let bucket = i32::try_from(id(0, 0).created_at().as_micros() / (30 * 24 * 3_600 * 1_000_000)).unwrap();
        let open = format!("UPDATE {}.listing_bucket SET shards = 2 WHERE store = ? AND bucket = ? IF shards = null", config.keyspace);
        raw(&config).await.query_unpaged(open, (store.as_uuid(), bucket)).await.unwrap();
        for n in 0..10 {
            add(&cql, store, id(0, n)).await;
        }
        let shards = format!("SELECT DISTINCT store, bucket, shard FROM {}.listing", config.keyspace);
        let result = raw(&config).await.query_unpaged(shards, ()).await.unwrap();
        assert_eq!(result.into_rows_result().unwrap().rows_num(), 2);
        assert_eq!(walk(&cql, store, Order::Ascending, 4).await.len(), 10);
    })
    .await;
}

#[tokio::test]
async fn many_at_once_open_a_bucket_once() {
    with_cql(async |cql, config| {
        let store = store();
        let other = kith_scylla::Cql::connect(&config).await.unwrap();
        let adds = (0..64).map(|n| {
            let cql = if n % 2 == 0 { &cql } else { &other };
            cql.add(
                ProfileKey {
                    store,
                    profile: id(0, n),
                },
                Durability::Ordered,
            )
        });
        futures_util::future::try_join_all(adds).await.unwrap();
        assert_eq!(walk(&cql, store, Order::Descending, 100).await.len(), 64);
    })
    .await;
}
