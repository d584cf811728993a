//! The identity port: reads of claims and nodes, and the way of conditional statements to the leader.

use kith_domain::identifier::ClaimKey;
use kith_profiles::error::PortError;
use kith_profiles::ports::{
    Claim, Conditional, Durability, Identity, Node, NodeRead, Outcome, VerdictRow, Verdicts,
};

use crate::conditional;
use crate::database::View;
use crate::engine::Embedded;
use crate::error::ReadError;
use crate::layout::row::{NodeRow, Row, VerdictCell};
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

const fn evidence_bytes(statement: &Conditional) -> usize {
    match statement {
        Conditional::Link { evidence, .. } => evidence.len(),
        Conditional::Claim { .. }
        | Conditional::Release { .. }
        | Conditional::Point { .. }
        | Conditional::Void { .. }
        | Conditional::Kill { .. } => 0,
    }
}

/// The span of a round: of its table, or of both.
fn span(statements: &[Conditional]) -> Statement {
    let of_claims = |statement: &&Conditional| {
        matches!(
            statement,
            Conditional::Claim { .. } | Conditional::Release { .. }
        )
    };
    match statements.iter().filter(of_claims).count() {
        0 => statement!("attempt", "node"),
        claims if claims == statements.len() => statement!("attempt", "claim"),
        _ => statement!("attempt", "identity"),
    }
}
