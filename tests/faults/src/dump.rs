//! Everything that the database has of a store, read in CQL and past the adapter that wrote it.

use anyhow::{Context, Result};
use futures_util::TryStreamExt;
use kith_domain::id::{ClaimId, DefinitionId, DeleteId, LinkToken, ProfileId, RequestId};
use kith_domain::identifier::{ClaimKey, IdType, IdentifierValue};
use kith_domain::time::Micros;
use kith_domain::traits::{CellBytes, TraitCell};
use kith_profiles::ports::{CellRows, Claim, IdentRow, LinkRow, Pointer, Verdict, VerdictRow};
use kith_tests::servers::Place;
use scylla::DeserializeRow;
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::statement::{Consistency, Statement};
use uuid::Uuid;

use crate::rows::Rows;

/// A session of the checker's own with the nodes of a place.
///
/// # Errors
/// When no node is reached.
pub async fn session(place: &Place) -> Result<Session> {
    let profile = ExecutionProfile::builder()
        .consistency(Consistency::Quorum)
        .request_timeout(Some(std::time::Duration::from_secs(30)))
        .build();
    let session = SessionBuilder::new()
        .known_nodes(&place.cql_nodes)
        .default_execution_profile_handle(profile.into_handle());
    Ok(session.build().await?)
}

#[derive(DeserializeRow)]
struct ClaimColumns {
    key: Vec<u8>,
    profile: Option<Uuid>,
    claim_id: Uuid,
    added_at: i64,
    place: i32,
    by_request: Uuid,
}

#[derive(DeserializeRow)]
struct NodeColumns {
    profile: Uuid,
    child: Option<Uuid>,
    link_token: Option<Uuid>,
    parent: Option<Uuid>,
    parent_token: Option<Uuid>,
    dead: Option<Uuid>,
    verdict: Option<String>,
}

#[derive(DeserializeRow)]
struct CellColumns {
    profile: Uuid,
    kind: String,
    k1: String,
    k2: String,
    k3: String,
    value: Option<Vec<u8>>,
    time: Option<i64>,
    settled: Option<bool>,
}

/// Reads all of it at a quorum. Nothing else may be under way.
///
/// # Errors
/// When a table cannot be read, or holds a row that nobody could have written.
pub async fn dump(session: &Session, keyspace: &str) -> Result<Rows> {
    let mut rows = Rows::default();
    let statement = |columns: &str, table: &str| {
        Statement::new(format!("SELECT {columns} FROM {keyspace}.{table}")).with_page_size(1_000)
    };
    let claims = statement(
        "key, profile, claim_id, added_at, place, by_request",
        "claim",
    );
    let mut stream = session
        .query_iter(claims, &[])
        .await?
        .rows_stream::<ClaimColumns>()?;
    while let Some(row) = stream.try_next().await? {
        let key: [u8; 32] = row.key.as_slice().try_into().context("a claim's key")?;
        let claim = Claim {
            profile: row.profile.map(ProfileId::from_uuid),
            id: ClaimId::from_uuid(row.claim_id),
            added_at: Micros::from_micros(row.added_at),
            place: u16::try_from(row.place)?,
            by_request: RequestId::from_uuid(row.by_request),
        };
        rows.claims.insert(ClaimKey::from_bytes(key), claim);
    }
    let nodes = statement(
        "profile, child, link_token, parent, parent_token, dead, verdict",
        "node",
    );
    let mut stream = session
        .query_iter(nodes, &[])
        .await?
        .rows_stream::<NodeColumns>()?;
    while let Some(row) = stream.try_next().await? {
        let node = rows
            .nodes
            .entry(ProfileId::from_uuid(row.profile))
            .or_default();
        node.dead = row.dead.map(DeleteId::from_uuid);
        if let (Some(parent), Some(token)) = (row.parent, row.parent_token) {
            node.pointer = Some(Pointer {
                parent: ProfileId::from_uuid(parent),
                token: LinkToken::from_uuid(token),
            });
        }
        if let (Some(child), Some(token), Some(verdict)) = (row.child, row.link_token, row.verdict)
        {
            node.verdicts.push(VerdictRow {
                child: ProfileId::from_uuid(child),
                token: LinkToken::from_uuid(token),
                verdict: match verdict.as_str() {
                    "linked" => Verdict::Linked,
                    "void" => Verdict::Void,
                    other => anyhow::bail!("the verdict {other}"),
                },
            });
        }
    }
    let cells = statement("profile, kind, k1, k2, k3, value, time, settled", "cells");
    let mut stream = session
        .query_iter(cells, &[])
        .await?
        .rows_stream::<CellColumns>()?;
    while let Some(row) = stream.try_next().await? {
        let cells = rows
            .cells
            .entry(ProfileId::from_uuid(row.profile))
            .or_default();
        absorb(cells, &row)?;
    }
    let listing = statement("profile", "listing");
    let mut stream = session
        .query_iter(listing, &[])
        .await?
        .rows_stream::<(Vec<u8>,)>()?;
    while let Some((id,)) = stream.try_next().await? {
        rows.listing
            .insert(ProfileId::from_uuid(Uuid::from_slice(&id)?));
    }
    Ok(rows)
}

fn absorb(cells: &mut CellRows, row: &CellColumns) -> Result<()> {
    let time = || row.time.map(Micros::from_micros).context("a row's time");
    let settled = row.settled.unwrap_or_default();
    match row.kind.as_str() {
        "clock" => cells.clock = Some(time()?),
        "root" => {}
        "ident" => cells.idents.push(IdentRow {
            id_type: IdType::new(&row.k1),
            value: IdentifierValue::new(&row.k2),
            claim: ClaimId::from_uuid(row.k3.parse()?),
            added_at: time()?,
            settled,
        }),
        "link" => cells.links.push(LinkRow {
            child: ProfileId::from_uuid(row.k1.parse()?),
            token: LinkToken::from_uuid(row.k2.parse()?),
            settled,
        }),
        "member" => cells.members.push(ProfileId::from_uuid(row.k1.parse()?)),
        "trait" => cells.traits.push(TraitCell {
            definition: DefinitionId::from_uuid(row.k1.parse()?),
            value: CellBytes::from_stored(row.value.clone().context("a trait's value")?),
            time: time()?,
        }),
        other => anyhow::bail!("a row of kind {other}"),
    }
    Ok(())
}
