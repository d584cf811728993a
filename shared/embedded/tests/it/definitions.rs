//! Operations that are no longer kept, and the key of page tokens.

use std::sync::atomic::Ordering;

use kith_domain::id::{AccountSid, OperationId};
use kith_domain::operation::{KEPT_FOR, Operation};
use kith_domain::time::Micros;
use kith_embedded::Embedded;
use kith_profiles::ports::Definitions;
use uuid::Uuid;

use crate::harness::{Home, store};

fn account() -> AccountSid {
    "AC00000000000000000000000000000001".parse().unwrap()
}

async fn put(engine: &Embedded, id: u128) -> OperationId {
    let id = OperationId::from_uuid(Uuid::from_u128(id));
    let operation = Operation::deletion(id, Micros::from_micros(1), store());
    engine.put_operation(&account(), &operation).await.unwrap();
    id
}

async fn is_there(engine: &Embedded, id: OperationId) -> bool {
    engine.operation(&account(), id).await.unwrap().is_some()
}

#[tokio::test]
async fn an_operation_is_kept_for_a_week_and_no_longer() {
    let home = Home::new();
    let engine = home.open();
    let start = home.now.load(Ordering::Relaxed);
    let week = i64::try_from(KEPT_FOR.as_micros()).unwrap();
    let mut old = Vec::new();
    for id in 1..=6 {
        old.push(put(&engine, id).await);
    }
    home.now.store(start + week - 1, Ordering::Relaxed);
    assert!(is_there(&engine, old[0]).await);
    home.now.store(start + week, Ordering::Relaxed);
    for id in &old {
        assert!(!is_there(&engine, *id).await);
    }
    // New ones take away a few of those each, and nothing that is kept.
    let new = [
        put(&engine, 7).await,
        put(&engine, 8).await,
        put(&engine, 9).await,
    ];
    home.now.store(start, Ordering::Relaxed);
    for id in &old {
        assert!(!is_there(&engine, *id).await, "it is not only hidden");
    }
    for id in &new {
        assert!(is_there(&engine, *id).await);
    }
}

#[tokio::test]
async fn every_directory_has_a_key_of_its_own_for_ever() {
    let home = Home::new();
    let engine = home.open();
    let key = engine.token_key().await.unwrap();
    engine.close().await.unwrap();
    drop(engine);
    assert_eq!(home.open().token_key().await.unwrap(), key);
    let other = Home::new().open();
    assert_ne!(other.token_key().await.unwrap(), key);
    assert!(!format!("{key:?}").contains('['), "it is not shown");
}
