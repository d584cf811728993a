//! A migrated keyspace for one test, and ids.

use std::num::NonZeroU16;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use kith_domain::id::{LinkToken, ProfileId, ProfileKey, StoreId};
use kith_domain::time::Micros;
use kith_scylla::{Cql, CqlConfig, Dialect, migrate};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use uuid::Uuid;

/// Settings for a keyspace that is not there yet.
pub(crate) fn config() -> CqlConfig {
    let nodes = std::env::var("KITH_TEST_CQL_NODES").expect(
        "KITH_TEST_CQL_NODES names no server: run deploy/local/up and set it to 127.0.0.1:9042",
    );
    let nodes: Vec<_> = nodes.split(',').map(str::to_owned).collect();
    let dialect = std::env::var("KITH_TEST_CQL_DIALECT").unwrap_or_else(|_| "cassandra".to_owned());
    CqlConfig {
        replication_factor: NonZeroU16::new(u16::try_from(nodes.len().min(3)).unwrap()).unwrap(),
        nodes,
        dialect: dialect.parse::<Dialect>().unwrap(),
        keyspace: format!("kith_it_{}", Uuid::new_v4().simple())
            .parse()
            .unwrap(),
        ..CqlConfig::default()
    }
}

/// A session of the driver's own, for looking past the adapter.
pub(crate) async fn raw(config: &CqlConfig) -> Session {
    SessionBuilder::new()
        .known_nodes(&config.nodes)
        .build()
        .await
        .unwrap()
}

/// Runs a test with settings for a keyspace of its own, and drops that keyspace whatever happened.
pub(crate) async fn with_config(test: impl AsyncFnOnce(CqlConfig)) {
    let config = config();
    let outcome = AssertUnwindSafe(test(config.clone())).catch_unwind().await;
    let drop = format!("DROP KEYSPACE IF EXISTS {}", config.keyspace);
    raw(&config).await.query_unpaged(drop, ()).await.unwrap();
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

/// Runs a test on a migrated keyspace of its own.
pub(crate) async fn with_cql(test: impl AsyncFnOnce(Cql, CqlConfig)) {
    with_config(async |config| {
        migrate(&config).await.unwrap();
        let cql = Cql::connect(&config).await.unwrap();
        test(cql, config).await;
    })
    .await;
}

pub(crate) fn store() -> StoreId {
    StoreId::from_uuid(Uuid::now_v7())
}

pub(crate) fn profile() -> ProfileId {
    ProfileId::from_uuid(Uuid::now_v7())
}

pub(crate) fn key() -> ProfileKey {
    ProfileKey {
        store: store(),
        profile: profile(),
    }
}

pub(crate) fn token() -> LinkToken {
    LinkToken::from_uuid(Uuid::new_v4())
}

pub(crate) fn at(micros: i64) -> Micros {
    Micros::from_micros(micros)
}
