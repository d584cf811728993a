//! The identity port: reads of claims, owners and nodes, and the way of conditional statements to the leader.

use kith_domain::id::{ProfileId, ProfileKey};
use kith_domain::identifier::ClaimKey;
use kith_profiles::error::PortError;
use kith_profiles::ports::{
    Claim, Conditional, Durability, Identity, LinkEvidence, Node, NodeRead, Outcome, OwnerRows,
    Owners, OwnersRead, SharedClaim, Verdict, VerdictRow, Verdicts,
};

use crate::conditional;
use crate::database::View;
use crate::engine::Embedded;
use crate::error::ReadError;
use crate::layout::row::{NodeRow, OwnerCell, Row, VerdictCell};
use crate::layout::{Space, key};
use crate::telemetry::{Statement, statement};

impl Identity for Embedded {
    async fn claims(&self, keys: &[ClaimKey]) -> Result<Vec<Option<Claim>>, PortError> {
        statement!("read", "claim").run(|| {
            self.check("read claim")?;
            let view = self.view();
            keys.iter()
                .map(|claim| view.row(Space::Claims, &key::claim(claim)))
                .collect::<Result<_, _>>()
                .map_err(|error| error.port("read claim"))
        })
    }

    async fn owners(&self, reads: &[OwnersRead]) -> Result<Vec<Owners>, PortError> {
        statement!("read", "shared_claim").run(|| {
            self.check("read owners")?;
            let view = self.view();
            reads
                .iter()
                .map(|read| owners(&view, read))
                .collect::<Result<_, _>>()
                .map_err(|error| error.port("read owners"))
        })
    }

    async fn nodes(&self, reads: &[NodeRead]) -> Result<Vec<Node>, PortError> {
        statement!("read", "node").run(|| {
            self.check("read node")?;
            let view = self.view();
            reads
                .iter()
                .map(|read| node(&view, read))
                .collect::<Result<_, _>>()
                .map_err(|error| error.port("read node"))
        })
    }

    async fn links(&self, of: &[ProfileKey]) -> Result<Vec<Vec<LinkEvidence>>, PortError> {
        statement!("read", "node").run(|| {
            self.check("read links")?;
            let view = self.view();
            of.iter()
                .map(|at| links(&view, at))
                .collect::<Result<_, _>>()
                .map_err(|error| error.port("read links"))
        })
    }

    async fn attempt(&self, statements: &[Conditional], durability: Durability) -> Vec<Outcome> {
        let count = statements.len();
        if count == 0 {
            return Vec::new();
        }
        let bytes = count * 256 + statements.iter().map(evidence_bytes).sum::<usize>();
        let statements = statements.to_vec();
        span(&statements)
            .wait(async {
                self.submit(durability, bytes, move |group| {
                    statements
                        .iter()
                        .map(|statement| conditional::attempt(group, statement))
                        .collect()
                })
                .await
                // Refused, or cut off: nobody can say, and the same statements can be sent again.
                .unwrap_or_else(|_| vec![Outcome::Unknown; count])
            })
            .await
    }
}

fn owners(view: &View, read: &OwnersRead) -> Result<Owners, ReadError> {
    match read.rows {
        OwnerRows::Of(profile) => {
            let cell = view.row::<OwnerCell>(Space::Claims, &key::owner(&read.key, profile))?;
            let row = cell.map(|cell| shared_claim(profile, cell));
            Ok(Owners {
                stamp: None,
                rows: row.into_iter().collect(),
            })
        }
        OwnerRows::All => {
            // Every owner that is added or released leaves a stamp. Most values have never had several, and a scan would begin in
            // every table to find none.
            let Some(stamp) = view.row(Space::Claims, &key::owners_stamp(&read.key))? else {
                return Ok(Owners::default());
            };
            let rows = view.prefix(Space::Claims, &key::owners(&read.key));
            let rows = rows.map(|row| {
                let (name, value) = row?;
                let claim = key::owner_of(&name)
                    .and_then(|profile| Ok(shared_claim(profile, OwnerCell::decode(&value)?)));
                claim.map_err(ReadError::row(Space::Claims))
            });
            Ok(Owners {
                stamp: Some(stamp),
                rows: rows.collect::<Result<_, _>>()?,
            })
        }
    }
}

fn shared_claim(profile: ProfileId, cell: OwnerCell) -> SharedClaim {
    SharedClaim {
        profile,
        released: cell.released,
        id: cell.id,
        added_at: cell.added_at,
        place: cell.place,
        by_request: cell.by_request,
    }
}

fn node(view: &View, read: &NodeRead) -> Result<Node, ReadError> {
    let NodeRow { pointer, dead } = view
        .row(Space::Nodes, &key::node(&read.at))?
        .unwrap_or_default();
    let verdicts = match read.verdicts {
        Verdicts::None => Vec::new(),
        Verdicts::Of(child, token) => view
            .row::<VerdictCell>(Space::Nodes, &key::verdict(&read.at, child, token))?
            .map(|cell| VerdictRow {
                child,
                token,
                verdict: cell.verdict,
            })
            .into_iter()
            .collect(),
        Verdicts::All => view
            .prefix(Space::Nodes, &key::verdicts(&read.at))
            .map(|row| {
                let (name, value) = row?;
                verdict_row(&name, &value).map_err(ReadError::row(Space::Nodes))
            })
            .collect::<Result<_, _>>()?,
    };
    Ok(Node {
        pointer,
        dead,
        verdicts,
    })
}

fn verdict_row(name: &[u8], value: &[u8]) -> Result<VerdictRow, crate::layout::CorruptRow> {
    let (child, token) = key::verdict_name(name)?;
    Ok(VerdictRow {
        child,
        token,
        verdict: VerdictCell::decode(value)?.verdict,
    })
}

fn links(view: &View, at: &ProfileKey) -> Result<Vec<LinkEvidence>, ReadError> {
    let mut links = Vec::new();
    for row in view.prefix(Space::Nodes, &key::verdicts(at)) {
        let (name, value) = row?;
        let link =
            key::verdict_name(&name).and_then(|name| Ok((name, VerdictCell::decode(&value)?)));
        let ((child, token), cell) = link.map_err(ReadError::row(Space::Nodes))?;
        if cell.verdict == Verdict::Linked {
            links.push(LinkEvidence {
                child,
                token,
                decided_at: cell.decided_at,
                evidence: cell.evidence.into(),
            });
        }
    }
    Ok(links)
}

const fn evidence_bytes(statement: &Conditional) -> usize {
    match statement {
        Conditional::Link { evidence, .. } => evidence.len(),
        Conditional::Claim { .. }
        | Conditional::Release { .. }
        | Conditional::Share { .. }
        | Conditional::Unshare { .. }
        | Conditional::Point { .. }
        | Conditional::Void { .. }
        | Conditional::Kill { .. } => 0,
    }
}

/// The span of a round: of its table, or of several.
fn span(statements: &[Conditional]) -> Statement {
    let all = |table: fn(&Conditional) -> bool| statements.iter().all(table);
    if all(|one| matches!(one, Conditional::Claim { .. } | Conditional::Release { .. })) {
        statement!("attempt", "claim")
    } else if all(|one| matches!(one, Conditional::Share { .. } | Conditional::Unshare { .. })) {
        statement!("attempt", "shared_claim")
    } else if all(|one| {
        matches!(
            one,
            Conditional::Point { .. }
                | Conditional::Link { .. }
                | Conditional::Void { .. }
                | Conditional::Kill { .. }
        )
    }) {
        statement!("attempt", "node")
    } else {
        statement!("attempt", "identity")
    }
}
