//! Claims, owners and nodes.

use futures_util::future::{join_all, try_join_all};
use kith_domain::id::{
    ClaimId, DeleteId, LinkToken, OwnersStamp, ProfileId, ProfileKey, RequestId,
};
use kith_domain::identifier::ClaimKey;
use kith_domain::time::Micros;
use kith_profiles::error::PortError;
use kith_profiles::ports::{
    Claim, Conditional, Durability, Identity, LinkEvidence, Node, NodeRead, Outcome, OwnerRows,
    Owners, OwnersRead, Pointer, SharedClaim, Verdict, VerdictRow, Verdicts,
};
use uuid::Uuid;

use crate::outcome::{self, Decision};
use crate::send::{Corrupt, corrupt};
use crate::session::Cql;
use crate::statements::Text;

/// The columns of a node that its partition has once: parent, parent_token, dead.
type SelfColumns = (Option<Uuid>, Option<Uuid>, Option<Uuid>);

/// The columns of one owner of a value: released, claim_id, added_at, place, by_request.
type OwnerColumns = (Option<bool>, Uuid, i64, i32, Uuid);

impl Identity for Cql {
    async fn claims(&self, keys: &[ClaimKey]) -> Result<Vec<Option<Claim>>, PortError> {
        try_join_all(keys.iter().map(|key| self.claim(key))).await
    }

    async fn owners(&self, reads: &[OwnersRead]) -> Result<Vec<Owners>, PortError> {
        try_join_all(reads.iter().map(|read| self.owners_of(read))).await
    }

    async fn nodes(&self, reads: &[NodeRead]) -> Result<Vec<Node>, PortError> {
        try_join_all(reads.iter().map(|read| self.node(read))).await
    }

    async fn links(&self, of: &[ProfileKey]) -> Result<Vec<Vec<LinkEvidence>>, PortError> {
        try_join_all(of.iter().map(|at| self.links_of(*at))).await
    }

    async fn attempt(&self, statements: &[Conditional], _: Durability) -> Vec<Outcome> {
        // Not `try_join_all`: what was sent is waited for, since its outcome is wanted whatever the others' are.
        let tried = join_all(statements.iter().map(|s| self.try_one(s))).await;
        tried.into_iter().map(Outcome::from).collect()
    }
}

impl Cql {
    async fn claim(&self, key: &ClaimKey) -> Result<Option<Claim>, PortError> {
        let prepared = &self.0.statements.claim_read;
        let row = self
            .one::<(Option<Uuid>, Uuid, i64, i32, Uuid)>(prepared, (key.as_bytes().as_slice(),))
            .await?;
        let Some((profile, id, added_at, place, by_request)) = row else {
            return Ok(None);
        };
        Ok(Some(Claim {
            profile: profile.map(ProfileId::from_uuid),
            id: ClaimId::from_uuid(id),
            added_at: Micros::from_micros(added_at),
            place: u16::try_from(place)
                .map_err(|_| corrupt(&prepared.text, format!("claim {id}: place {place}")))?,
            by_request: RequestId::from_uuid(by_request),
        }))
    }

    async fn owners_of(&self, read: &OwnersRead) -> Result<Owners, PortError> {
        let key = read.key.as_bytes().as_slice();
        let mut owners = Owners::default();
        match read.rows {
            OwnerRows::Of(profile) => {
                let prepared = &self.0.statements.owner_read;
                let columns = self
                    .one::<OwnerColumns>(prepared, (key, profile.as_uuid()))
                    .await?;
                if let Some(columns) = columns {
                    let row = shared_claim(profile.as_uuid(), columns)
                        .map_err(|Corrupt(detail)| corrupt(&prepared.text, detail))?;
                    owners.rows.push(row);
                }
            }
            OwnerRows::All => {
                let prepared = &self.0.statements.owners_read;
                let mut is_first = true;
                self.pages(prepared, (key,), |page| {
                    for row in
                        page.rows::<(Uuid, Option<bool>, Uuid, i64, i32, Uuid, Option<Uuid>)>()?
                    {
                        let (profile, released, id, added_at, place, by_request, stamp) = row?;
                        // Every row repeats the stamp, as its page found it: of the first, so that it is not newer than
                        // any row.
                        if std::mem::take(&mut is_first) {
                            owners.stamp = stamp.map(OwnersStamp::from_uuid);
                        }
                        let columns = (released, id, added_at, place, by_request);
                        owners.rows.push(shared_claim(profile, columns)?);
                    }
                    Ok(())
                })
                .await?;
            }
        }
        Ok(owners)
    }

    async fn node(&self, read: &NodeRead) -> Result<Node, PortError> {
        match read.verdicts {
            Verdicts::None => self.node_self(read.at).await,
            Verdicts::Of(child, token) => self.node_verdict(read.at, child, token).await,
            Verdicts::All => self.node_all(read.at).await,
        }
    }

    async fn node_self(&self, at: ProfileKey) -> Result<Node, PortError> {
        let prepared = &self.0.statements.node_self;
        let columns = self.one::<SelfColumns>(prepared, partition(at)).await?;
        node(&prepared.text, at, columns.unwrap_or_default(), Vec::new())
    }

    /// One statement if the verdict is there: its row brings the partition's own columns along, from the same moment. If
    /// it is not, CQL returns no row and hides those columns, so they are read by themselves; *after* the row was seen to
    /// be absent and not beside that read, for the port promises a pointer and a mark that are not older than the absence.
    /// It costs a round where a pointer is undecided, which is rare, and none where it is linked or void.
    async fn node_verdict(
        &self,
        at: ProfileKey,
        child: ProfileId,
        token: LinkToken,
    ) -> Result<Node, PortError> {
        let prepared = &self.0.statements.node_verdict;
        let (store, profile) = partition(at);
        let values = (store, profile, child.as_uuid(), token.as_uuid());
        let row = self
            .one::<(Option<String>, Option<Uuid>, Option<Uuid>, Option<Uuid>)>(prepared, values)
            .await?;
        let Some((verdict, parent, parent_token, dead)) = row else {
            return self.node_self(at).await;
        };
        let verdict = verdict_row(child, token, verdict)
            .map_err(|Corrupt(detail)| corrupt(&prepared.text, format!("{at:?}: {detail}")))?;
        node(
            &prepared.text,
            at,
            (parent, parent_token, dead),
            vec![verdict],
        )
    }

    async fn node_all(&self, at: ProfileKey) -> Result<Node, PortError> {
        let prepared = &self.0.statements.node_all;
        let mut columns = SelfColumns::default();
        let mut verdicts = Vec::new();
        self.pages(prepared, partition(at), |page| {
            for row in page.rows::<(
                Option<Uuid>,
                Option<Uuid>,
                Option<String>,
                Option<Uuid>,
                Option<Uuid>,
                Option<Uuid>,
            )>()? {
                let (child, token, verdict, parent, parent_token, dead) = row?;
                // Every row repeats these, as its page found them: of the last page, so that they are not older than any
                // absence on the pages before.
                columns = (parent, parent_token, dead);
                // A partition with nothing but these shows as one row without a key.
                if let (Some(child), Some(token)) = (child, token) {
                    let (child, token) = (ProfileId::from_uuid(child), LinkToken::from_uuid(token));
                    verdicts.push(verdict_row(child, token, verdict)?);
                }
            }
            Ok(())
        })
        .await?;
        node(&prepared.text, at, columns, verdicts)
    }

    async fn links_of(&self, at: ProfileKey) -> Result<Vec<LinkEvidence>, PortError> {
        let mut links = Vec::new();
        self.pages(&self.0.statements.node_links, partition(at), |page| {
            for row in page.rows::<(
                Option<Uuid>,
                Option<Uuid>,
                Option<String>,
                Option<i64>,
                Option<Vec<u8>>,
            )>()? {
                let (child, token, verdict, decided_at, evidence) = row?;
                // A partition with nothing but a pointer or a mark shows as one row without a key.
                let (Some(child), Some(token)) = (child, token) else {
                    continue;
                };
                let (child, token) = (ProfileId::from_uuid(child), LinkToken::from_uuid(token));
                if verdict_row(child, token, verdict)?.verdict != Verdict::Linked {
                    continue;
                }
                let decided_at = decided_at
                    .ok_or_else(|| Corrupt(format!("no time under {child}, {token:?}")))?;
                links.push(LinkEvidence {
                    child,
                    token,
                    decided_at: Micros::from_micros(decided_at),
                    evidence: evidence.unwrap_or_default().into(),
                });
            }
            Ok(())
        })
        .await?;
        Ok(links)
    }

    async fn try_one(&self, statement: &Conditional) -> Decision {
        let statements = &self.0.statements;
        match statement {
            Conditional::Claim {
                key,
                expected,
                id,
                profile,
                added_at,
                place,
                by_request,
            } => {
                let values = (
                    profile.as_uuid(),
                    id.as_uuid(),
                    added_at.as_micros(),
                    i32::from(*place),
                    by_request.as_uuid(),
                    key.as_bytes().as_slice(),
                    expected.map(|e| e.as_uuid()),
                );
                self.attempt(&statements.claim, values).await
            }
            Conditional::Release {
                key,
                expected,
                id,
                by_request,
            } => {
                let values = (
                    id.as_uuid(),
                    by_request.as_uuid(),
                    key.as_bytes().as_slice(),
                    expected.as_uuid(),
                );
                self.attempt(&statements.release, values).await
            }
            Conditional::Share {
                key,
                profile,
                expected,
                as_read,
                id,
                stamp,
                added_at,
                place,
                by_request,
            } => {
                let values = (
                    stamp.as_uuid(),
                    id.as_uuid(),
                    added_at.as_micros(),
                    i32::from(*place),
                    by_request.as_uuid(),
                    key.as_bytes().as_slice(),
                    profile.as_uuid(),
                    expected.map(|e| e.as_uuid()),
                );
                let Some(read) = as_read else {
                    return self.attempt(&statements.share, values).await;
                };
                let (stamp, id, added_at, place, by_request, key, profile, expected) = values;
                let read = read.map(|e| e.as_uuid());
                let values = (
                    stamp, id, added_at, place, by_request, key, profile, expected, read,
                );
                self.attempt(&statements.share_as_read, values).await
            }
            Conditional::Unshare {
                key,
                profile,
                expected,
                id,
                stamp,
                by_request,
            } => {
                let values = (
                    stamp.as_uuid(),
                    id.as_uuid(),
                    by_request.as_uuid(),
                    key.as_bytes().as_slice(),
                    profile.as_uuid(),
                    expected.as_uuid(),
                );
                self.attempt(&statements.unshare, values).await
            }
            Conditional::Point {
                child,
                expected,
                parent,
                token,
            } => {
                let (store, profile) = partition(*child);
                let expected = expected.map(|e| e.as_uuid());
                let values = (parent.as_uuid(), token.as_uuid(), store, profile, expected);
                self.attempt(&statements.point, values).await
            }
            Conditional::Link {
                parent,
                child,
                token,
                expected,
                decided_at,
                evidence,
            } => {
                let (store, profile) = partition(*parent);
                let values = (
                    decided_at.as_micros(),
                    evidence.as_ref(),
                    store,
                    profile,
                    child.as_uuid(),
                    token.as_uuid(),
                    expected.map(|e| e.as_uuid()),
                );
                self.attempt(&statements.link, values).await
            }
            Conditional::Void {
                parent,
                child,
                token,
                decided_at,
            } => {
                let (store, profile) = partition(*parent);
                let values = (
                    decided_at.as_micros(),
                    store,
                    profile,
                    child.as_uuid(),
                    token.as_uuid(),
                );
                self.attempt(&statements.void, values).await
            }
            Conditional::Kill {
                profile: at,
                expected,
                id,
            } => {
                let (store, profile) = partition(*at);
                let values = (id.as_uuid(), store, profile, expected.map(|e| e.as_uuid()));
                self.attempt(&statements.kill, values).await
            }
        }
    }
}

fn shared_claim(
    profile: Uuid,
    (released, id, added_at, place, by_request): OwnerColumns,
) -> Result<SharedClaim, Corrupt> {
    Ok(SharedClaim {
        profile: ProfileId::from_uuid(profile),
        released: released.ok_or_else(|| Corrupt(format!("claim {id}: neither owned nor free")))?,
        id: ClaimId::from_uuid(id),
        added_at: Micros::from_micros(added_at),
        place: u16::try_from(place).map_err(|_| Corrupt(format!("claim {id}: place {place}")))?,
        by_request: RequestId::from_uuid(by_request),
    })
}

/// The partition key of a profile.
pub(crate) fn partition(at: ProfileKey) -> (Uuid, Uuid) {
    (at.store.as_uuid(), at.profile.as_uuid())
}

fn node(
    text: &Text,
    at: ProfileKey,
    (parent, token, dead): SelfColumns,
    verdicts: Vec<VerdictRow>,
) -> Result<Node, PortError> {
    let pointer = match (parent, token) {
        (Some(parent), Some(token)) => Some(Pointer {
            parent: ProfileId::from_uuid(parent),
            token: LinkToken::from_uuid(token),
        }),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            return Err(corrupt(text, format!("{at:?}: half a pointer")));
        }
    };
    Ok(Node {
        pointer,
        dead: dead.map(DeleteId::from_uuid),
        verdicts,
    })
}

fn verdict_row(
    child: ProfileId,
    token: LinkToken,
    verdict: Option<String>,
) -> Result<VerdictRow, Corrupt> {
    let verdict = verdict
        .and_then(|text| outcome::verdict(&text))
        .ok_or_else(|| Corrupt(format!("no verdict under {child}, {token:?}")))?;
    Ok(VerdictRow {
        child,
        token,
        verdict,
    })
}
