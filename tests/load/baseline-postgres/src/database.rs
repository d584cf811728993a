//! The database: one statement for what is asked most, and a transaction that is repeated for what is rare.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod};
use kith_domain::id::{ProfileId, StoreId};
use serde_json::Value;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Config, IsolationLevel, NoTls, Row};
use uuid::Uuid;

use crate::Settings;
use crate::contact::{Contact, Identifier};

/// How often a create is tried at most: each try loses only against one that won.
const TRIES: usize = 100;

const CREATE: &str = "SELECT create_profile($1, $2, $3, $4, $5)";
const MERGE: &str = "SELECT merge_profiles($1, $2, $3, $4)";
const FETCH: &str = "SELECT merged_into, traits FROM profile WHERE store = $1 AND id = $2";
const LOOKUP: &str = "SELECT coalesce(one.merged_into, one.id) FROM identifier AS claim \
    JOIN profile AS one ON one.store = $1 AND one.id = claim.profile \
    WHERE claim.store = $1 AND claim.kind = $2 AND claim.value = $3";
const OLDEST: &str = "SELECT id FROM profile WHERE store = $1 AND merged_into IS NULL \
    AND id > coalesce($2::uuid, '00000000-0000-0000-0000-000000000000') ORDER BY id LIMIT $3";
const NEWEST: &str = "SELECT id FROM profile WHERE store = $1 AND merged_into IS NULL \
    AND id < coalesce($2::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff') ORDER BY id DESC LIMIT $3";

/// Connections to the database.
#[derive(Clone)]
pub(crate) struct Database {
    config: Config,
    connections: usize,
    is_prepared: bool,
    pool: Pool,
    /// Those of all workers.
    pools: Arc<Mutex<Vec<Pool>>>,
}

/// What is known of a profile.
#[derive(Debug)]
pub(crate) enum Found {
    /// Its traits, as the table has them.
    Here(Value),
    /// It became part of this one.
    Merged(ProfileId),
    /// Nothing.
    Nobody,
}

impl Database {
    /// So many connections, opened when they are needed.
    pub(crate) fn of(settings: &Settings, connections: usize) -> Result<Self> {
        let mut config = Config::new();
        config
            .host_path(&settings.socket)
            .user(&settings.user)
            .dbname("postgres")
            .application_name("kith-baseline-postgres");
        let pool = pool(&config, connections)?;
        Ok(Self {
            config,
            connections,
            is_prepared: !settings.unprepared,
            pools: Arc::new(Mutex::new(vec![pool.clone()])),
            pool,
        })
    }

    /// The same with connections of its own.
    pub(crate) fn another(&self) -> Self {
        let pool = pool(&self.config, self.connections).expect("a pool like one that was built");
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        pools.push(pool.clone());
        drop(pools);
        Self {
            pool,
            ..self.clone()
        }
    }

    /// Makes the tables, unless they are there.
    pub(crate) async fn make(&self) -> Result<()> {
        let client = self.pool.get().await.context("the database")?;
        let there = client.query_one("SELECT to_regclass('profile') IS NOT NULL", &[]);
        if !there.await?.get::<_, bool>(0) {
            let mut client = client;
            let making = client.transaction().await?;
            making.batch_execute(include_str!("schema.sql")).await?;
            making.commit().await?;
        }
        Ok(())
    }

    /// The profile that a contact belongs to, with its traits written.
    pub(crate) async fn create(
        &self,
        store: StoreId,
        contact: &Contact,
        new: Uuid,
    ) -> Result<ProfileId> {
        let (kinds, values): (Vec<i16>, Vec<&str>) = contact
            .identifiers
            .iter()
            .map(|one| (one.kind, one.value.as_str()))
            .unzip();
        let store = store.as_uuid();
        let mut client = self.pool.get().await?;
        let mut tries = 1;
        loop {
            let alone = [
                &store as &(dyn ToSql + Sync),
                &kinds,
                &values,
                &new,
                &contact.traits,
            ];
            let result = match self.ask(&client, CREATE, &alone).await {
                Ok(rows) => match owner(&rows) {
                    Some(owner) => return Ok(owner),
                    None => {
                        let merging = [
                            &store as &(dyn ToSql + Sync),
                            &kinds,
                            &values,
                            &contact.traits,
                        ];
                        merge(&mut client, &merging).await
                    }
                },
                Err(error) => Err(error),
            };
            match result {
                Ok(owner) => return Ok(owner),
                Err(error) if tries < TRIES && is_lost_race(&error) => tries += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// What is known of a profile.
    pub(crate) async fn fetch(&self, store: StoreId, profile: ProfileId) -> Result<Found> {
        let client = self.pool.get().await?;
        let (store, profile) = (store.as_uuid(), profile.as_uuid());
        let rows = self.ask(&client, FETCH, &[&store, &profile]).await?;
        Ok(rows
            .first()
            .map_or(Found::Nobody, |row| match row.get::<_, Option<Uuid>>(0) {
                Some(root) => Found::Merged(ProfileId::from_uuid(root)),
                None => Found::Here(row.get(1)),
            }))
    }

    /// Whom an identifier belongs to.
    pub(crate) async fn lookup(
        &self,
        store: StoreId,
        identifier: &Identifier,
    ) -> Result<Vec<ProfileId>> {
        let client = self.pool.get().await?;
        let Identifier { kind, value } = identifier;
        let store = store.as_uuid();
        let rows = self.ask(&client, LOOKUP, &[&store, kind, value]).await?;
        Ok(ids(&rows))
    }

    /// Some of the profiles that live, those after one of them.
    pub(crate) async fn list(
        &self,
        store: StoreId,
        is_ascending: bool,
        after: Option<ProfileId>,
        limit: i64,
    ) -> Result<Vec<ProfileId>> {
        let client = self.pool.get().await?;
        let text = if is_ascending { OLDEST } else { NEWEST };
        let (store, after) = (store.as_uuid(), after.map(|after| after.as_uuid()));
        let rows = self.ask(&client, text, &[&store, &after, &limit]).await?;
        Ok(ids(&rows))
    }

    /// How often the server's log was put on disk, as the server counts it.
    pub(crate) async fn syncs(&self) -> Result<i64> {
        let pools = self.pools();
        let mut all = Vec::new();
        for pool in pools {
            for _ in 0..pool.status().size {
                all.push(pool.get().await?);
            }
        }
        // Each of the server's processes tells at most once a second otherwise.
        for client in &all {
            client
                .execute("SELECT pg_stat_force_next_flush()", &[])
                .await?;
        }
        drop(all);
        let client = self.pool.get().await?;
        let row = client.query_one("SELECT wal_sync FROM pg_stat_wal", &[]);
        Ok(row.await?.get(0))
    }

    fn pools(&self) -> Vec<Pool> {
        let pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        pools.clone()
    }

    async fn ask(
        &self,
        client: &Object,
        text: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        if self.is_prepared {
            let statement = client.prepare_cached(text).await?;
            client.query(&statement, parameters).await
        } else {
            client.query(text, parameters).await
        }
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Database").field(&self.connections).finish()
    }
}

fn pool(config: &Config, connections: usize) -> Result<Pool> {
    let recycling_method = RecyclingMethod::Fast;
    let manager = Manager::from_config(config.clone(), NoTls, ManagerConfig { recycling_method });
    Ok(Pool::builder(manager).max_size(connections).build()?)
}

/// Merges in a serializable transaction.
async fn merge(
    client: &mut Object,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<ProfileId, tokio_postgres::Error> {
    let transaction = client
        .build_transaction()
        .isolation_level(IsolationLevel::Serializable)
        .start()
        .await?;
    let row = transaction.query_one(MERGE, parameters).await?;
    transaction.commit().await?;
    Ok(ProfileId::from_uuid(row.get(0)))
}

/// Whether somebody else was quicker: the same again finds what they did.
fn is_lost_race(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|code| {
        *code == SqlState::T_R_SERIALIZATION_FAILURE || *code == SqlState::T_R_DEADLOCK_DETECTED
    })
}

fn owner(rows: &[Row]) -> Option<ProfileId> {
    let owner: Option<Uuid> = rows.first()?.get(0);
    owner.map(ProfileId::from_uuid)
}

fn ids(rows: &[Row]) -> Vec<ProfileId> {
    rows.iter()
        .map(|row| ProfileId::from_uuid(row.get(0)))
        .collect()
}
