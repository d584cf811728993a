//! The rows of conditional statements, written plain into a CQL database. A conditional statement costs several rounds of its
//! nodes, and a million of them an hour; before anybody reads or writes a row, the plain statement leaves the same one. It is
//! for a store that a benchmark reads, and for nothing else: a row that both kinds write is ordered by chance.

use anyhow::{Context, Result, bail};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use kith_profiles::ports::Conditional;
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::statement::Consistency;
use scylla::statement::prepared::PreparedStatement;

use super::{Conditionals, patiently};

/// Statements under way at once, of each call.
const AT_ONCE: usize = 128;

/// A session of the benchmark's own.
#[derive(Debug)]
pub struct PlainWriter {
    session: Session,
    keyspace: String,
    claim: PreparedStatement,
    release: PreparedStatement,
    point: PreparedStatement,
    link: PreparedStatement,
    kill: PreparedStatement,
}

impl PlainWriter {
    /// Connects.
    ///
    /// # Errors
    /// When no node is reached, or the keyspace was not migrated.
    pub async fn connect(nodes: &[String], keyspace: &str) -> Result<Self> {
        let profile = ExecutionProfile::builder()
            .consistency(Consistency::Quorum)
            .request_timeout(Some(std::time::Duration::from_secs(30)))
            .build();
        let session = SessionBuilder::new()
            .known_nodes(nodes)
            .default_execution_profile_handle(profile.into_handle())
            .build()
            .await?;
        let (claims, node) = (format!("{keyspace}.claim"), format!("{keyspace}.node"));
        let claim = format!(
            "INSERT INTO {claims} (key, profile, claim_id, added_at, place, by_request) VALUES (?, ?, ?, ?, ?, ?)"
        );
        let release = format!(
            "INSERT INTO {claims} (key, profile, claim_id, by_request) VALUES (?, null, ?, ?)"
        );
        let point = format!(
            "INSERT INTO {node} (store, profile, parent, parent_token) VALUES (?, ?, ?, ?)"
        );
        let link = format!(
            "INSERT INTO {node} (store, profile, child, link_token, verdict, decided_at, evidence) \
             VALUES (?, ?, ?, ?, 'linked', ?, ?)"
        );
        let kill = format!("INSERT INTO {node} (store, profile, dead) VALUES (?, ?, ?)");
        Ok(Self {
            claim: session.prepare(claim).await?,
            release: session.prepare(release).await?,
            point: session.prepare(point).await?,
            link: session.prepare(link).await?,
            kill: session.prepare(kill).await?,
            keyspace: keyspace.to_owned(),
            session,
        })
    }

    /// How many rows each partition of a listing has.
    ///
    /// # Errors
    /// When they cannot be counted.
    pub async fn listing_partitions(&self) -> Result<Vec<u64>> {
        let keyspace = &self.keyspace;
        let keys = format!("SELECT DISTINCT store, bucket, shard FROM {keyspace}.listing");
        let keys = self.session.query_unpaged(keys, &[]).await?;
        let keys = keys.into_rows_result()?;
        let count = format!(
            "SELECT count(*) FROM {keyspace}.listing WHERE store = ? AND bucket = ? AND shard = ?"
        );
        let count = self.session.prepare(count).await?;
        let mut counts = Vec::new();
        for key in keys.rows::<(uuid::Uuid, i32, i16)>()? {
            let answer = self.session.execute_unpaged(&count, key?).await?;
            let (rows,) = answer.into_rows_result()?.single_row::<(i64,)>()?;
            counts.push(u64::try_from(rows).context("a count below zero")?);
        }
        Ok(counts)
    }

    async fn one(&self, statement: &Conditional) -> Result<()> {
        let session = &self.session;
        let done = match statement {
            Conditional::Claim {
                key,
                id,
                profile,
                added_at,
                place,
                by_request,
                ..
            } => {
                let (key, profile, id) =
                    (key.as_bytes().as_slice(), profile.as_uuid(), id.as_uuid());
                let (time, place) = (added_at.as_micros(), i32::from(*place));
                let values = (key, profile, id, time, place, by_request.as_uuid());
                session.execute_unpaged(&self.claim, values).await
            }
            Conditional::Release {
                key,
                id,
                by_request,
                ..
            } => {
                let values = (
                    key.as_bytes().as_slice(),
                    id.as_uuid(),
                    by_request.as_uuid(),
                );
                session.execute_unpaged(&self.release, values).await
            }
            Conditional::Point {
                child,
                parent,
                token,
                ..
            } => {
                let (store, profile) = (child.store.as_uuid(), child.profile.as_uuid());
                let values = (store, profile, parent.as_uuid(), token.as_uuid());
                session.execute_unpaged(&self.point, values).await
            }
            Conditional::Link {
                parent,
                child,
                token,
                decided_at,
                evidence,
                ..
            } => {
                let (store, profile) = (parent.store.as_uuid(), parent.profile.as_uuid());
                let (child, token) = (child.as_uuid(), token.as_uuid());
                let (time, evidence) = (decided_at.as_micros(), evidence.as_ref());
                let values = (store, profile, child, token, time, evidence);
                session.execute_unpaged(&self.link, values).await
            }
            Conditional::Kill {
                profile: at, id, ..
            } => {
                let values = (at.store.as_uuid(), at.profile.as_uuid(), id.as_uuid());
                session.execute_unpaged(&self.kill, values).await
            }
            Conditional::Share { .. } | Conditional::Unshare { .. } | Conditional::Void { .. } => {
                bail!("no plain form of this statement is known here")
            }
        };
        done?;
        Ok(())
    }
}

impl Conditionals for PlainWriter {
    async fn write(&self, statements: &[Conditional]) -> Result<()> {
        stream::iter(statements)
            .map(Ok)
            .try_for_each_concurrent(AT_ONCE, |statement| patiently(|| self.one(statement)))
            .await
    }
}
