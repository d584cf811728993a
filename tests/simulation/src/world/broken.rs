//! Engines that are wrong on purpose: each leaves out a condition, or tears apart what has to be one step
//! (`identity-protocol.md` 8, `trait-order.md` 10). Some schedule must miss it.

use std::collections::BTreeMap;

use kith_domain::id::{ProfileId, ProfileKey};
use kith_domain::identifier::ClaimKey;
use kith_domain::time::Micros;
use kith_domain::traits::TraitWrite;
use kith_profiles::ports::{
    CellBatch, CellRead, CellRows, CellWrite, Claim, Conditional, LinkRow, Node, Select, Verdict,
    VerdictRow,
};

use super::{Statement, World};
use crate::ports::wall_clock;

/// What is wrong with an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Broken {
    /// LINK takes a parent whose own pointer is not as read.
    LinkIgnoresPointer,
    /// LINK takes a dead parent.
    LinkIgnoresDead,
    /// POINT takes a dead child.
    PointIgnoresDead,
    /// CLAIM and RELEASE look at the owner only, not at the exact claim.
    ClaimByOwner,
    /// RELEASE takes whatever is there.
    ReleaseAnyClaim,
    /// A pointer without a verdict counts as linked.
    UndecidedFollowed,
    /// What was written without an answer is seen by one read and missed by the next.
    NotMonotone,
    /// The links and members of a profile that points are those that it had before it did.
    CopyReadBeforePoint,
    /// Below a link that is not settled nobody is found.
    UnsettledNotWalked,
    /// A link is settled in the cells of the root, not of the parent in the pointer.
    CopyAtRoot,
    /// A link is marked as settled first, with its child, and the members below are written then.
    MarkBeforeMembers,
    /// Member rows are read first, and the marks of links then.
    MembersThenMarks,
    /// There is no clock row: the newest trait that can be seen stands for it.
    ClockFromCells,
    /// The worker gives its own time to what it writes.
    WorkerStamps,
    /// The removal of a partition takes what is there, and nothing that is later.
    PurgeAtLastStamp,
    /// A removal is forgotten once the grace for late writes is over.
    RemovalCollected,
}

/// The links and members of a profile.
#[derive(Debug, Clone, Default)]
struct Below {
    verdicts: Vec<VerdictRow>,
    links: Vec<LinkRow>,
    members: Vec<ProfileId>,
}

/// What a broken engine keeps of former states.
#[derive(Debug, Clone, Default)]
pub(super) struct Shadow {
    /// Rows as they were before a write without an answer.
    claims: BTreeMap<ClaimKey, Option<Claim>>,
    nodes: BTreeMap<ProfileKey, Node>,
    /// What was below a profile before it pointed.
    below: BTreeMap<ProfileKey, Below>,
}

impl World {
    /// Before a statement is in flight.
    pub(super) fn on_departure(&mut self, statement: &Statement) {
        if self.broken == Some(Broken::CopyReadBeforePoint)
            && let Statement::Attempt(Conditional::Point { child, .. }) = statement
        {
            let rows = self.cells.get(child).cloned().unwrap_or_default();
            let node = self.nodes.get(child).cloned().unwrap_or_default();
            let below = Below {
                verdicts: node.verdicts,
                links: rows.links,
                members: rows.members,
            };
            self.shadow.below.insert(*child, below);
        }
    }

    /// The row that a conditional statement is about, before it is applied without an answer.
    pub(super) fn former(&self, statement: &Statement) -> Option<Former> {
        let Statement::Attempt(conditional) = statement else {
            return None;
        };
        match touched(conditional) {
            Touched::Claim(key) => Some(Former::Claim(key, self.claims.get(&key).copied())),
            Touched::Node(at) => {
                let node = self.nodes.get(&at).cloned().unwrap_or_default();
                Some(Former::Node(at, node))
            }
            Touched::Owners => None,
        }
    }

    /// After it was applied.
    pub(super) fn keep(&mut self, former: Option<Former>) {
        if self.broken != Some(Broken::NotMonotone) {
            return;
        }
        match former {
            Some(Former::Claim(key, claim)) => drop(self.shadow.claims.insert(key, claim)),
            Some(Former::Node(at, node)) => drop(self.shadow.nodes.insert(at, node)),
            None => {}
        }
    }

    /// After a conditional statement was answered: whatever was in flight at its partition is settled.
    pub(super) fn on_settled(&mut self, conditional: &Conditional) {
        match touched(conditional) {
            Touched::Claim(key) => drop(self.shadow.claims.remove(&key)),
            Touched::Node(at) => drop(self.shadow.nodes.remove(&at)),
            Touched::Owners => {}
        }
    }

    /// A claim as this read sees it.
    pub(super) fn seen_claim(&self, key: ClaimKey) -> Option<Claim> {
        match self.shadow.claims.get(&key) {
            Some(former) if self.steps.is_multiple_of(2) => *former,
            Some(_) | None => self.claims.get(&key).copied(),
        }
    }

    /// A node as this read sees it.
    pub(super) fn seen_node(&self, at: ProfileKey, has_verdicts: bool) -> Node {
        let mut node = match self.shadow.nodes.get(&at) {
            Some(former) if self.steps.is_multiple_of(2) => former.clone(),
            Some(_) | None => self.nodes.get(&at).cloned().unwrap_or_default(),
        };
        if let (true, Some(below)) = (has_verdicts, self.shadow.below.get(&at)) {
            node.verdicts.clone_from(&below.verdicts);
        }
        node
    }

    /// What this engine does for a statement, and what is left for a second step.
    pub(super) fn bend(&self, statement: Statement) -> (Statement, Option<Statement>) {
        match (self.broken, statement) {
            (Some(Broken::MembersThenMarks), Statement::ReadCells(read))
                if read.select.contains(&Select::LinksAndMembers) =>
            {
                let rows = self.cells.get(&read.at).cloned().unwrap_or_default();
                let rest = Statement::ReadMarks(read, rows.members);
                (Statement::Sleep, Some(rest))
            }
            (Some(Broken::MarkBeforeMembers), Statement::WriteCells(batch)) if settles(&batch) => {
                let is_child = |member: &ProfileId| {
                    let mut writes = batch.writes.iter();
                    writes.any(|one| matches!(one, CellWrite::Link(link) if link.child == *member))
                };
                let is_member = |write: &CellWrite| matches!(write, CellWrite::Member(member) if !is_child(member));
                let (members, marks) = batch.writes.iter().cloned().partition(is_member);
                let of = |writes| {
                    Statement::WriteCells(CellBatch {
                        writes,
                        ..batch.clone()
                    })
                };
                (of(marks), Some(of(members)))
            }
            (Some(Broken::CopyAtRoot), Statement::WriteCells(mut batch)) if settles(&batch) => {
                batch.at.profile = self.root_of(batch.at).unwrap_or(batch.at.profile);
                (Statement::WriteCells(batch), None)
            }
            (Some(Broken::WorkerStamps), Statement::WriteCells(mut batch))
                if (batch.writes.iter()).all(|write| matches!(write, CellWrite::Trait(..))) =>
            {
                batch.time = wall_clock(self.steps);
                (Statement::WriteCells(batch), None)
            }
            (_, statement) => (statement, None),
        }
    }

    /// The rows of a read as this engine gives them.
    pub(super) fn bend_rows(&self, read: &CellRead, rows: &mut CellRows) {
        match self.broken {
            Some(Broken::UnsettledNotWalked) if read.select.contains(&Select::LinksAndMembers) => {
                let node = self.nodes.get(&read.at).cloned().unwrap_or_default();
                for row in &node.verdicts {
                    if row.verdict == Verdict::Linked {
                        rows.links.retain(|link| link.token != row.token);
                        rows.links.push(LinkRow {
                            child: row.child,
                            token: row.token,
                            settled: true,
                        });
                        if !rows.members.contains(&row.child) {
                            rows.members.push(row.child);
                        }
                    }
                }
            }
            Some(Broken::CopyReadBeforePoint) if read.select.contains(&Select::LinksAndMembers) => {
                if let Some(below) = self.shadow.below.get(&read.at) {
                    rows.links.clone_from(&below.links);
                    rows.members.clone_from(&below.members);
                }
            }
            Some(Broken::ClockFromCells) => {
                let whole = self.cells.get(&read.at);
                let times = whole.into_iter().flat_map(|rows| &rows.traits);
                rows.clock = times.map(|cell| cell.time).max();
            }
            _ => {}
        }
    }

    /// The time of a partition's removal as this engine takes it.
    pub(super) fn purge_time(&self, at: ProfileKey, time: Micros) -> Micros {
        if self.broken != Some(Broken::PurgeAtLastStamp) {
            return time;
        }
        let written = self.written.get(&at).into_iter().flatten();
        written
            .map(|batch| batch.time)
            .max()
            .unwrap_or(time)
            .min(time)
    }

    /// The grace for late writes is over: removals of partitions are forgotten; and removals of traits, by an engine that
    /// takes them for such.
    pub fn end_grace(&mut self) {
        self.forget_purges();
        if self.broken == Some(Broken::RemovalCollected) {
            for rows in self.cells.values_mut() {
                rows.traits
                    .retain(|cell| !matches!(cell.value.decode(), Ok(TraitWrite::Removed)));
            }
        }
    }
}

/// A row before a write without an answer.
pub(super) enum Former {
    Claim(ClaimKey, Option<Claim>),
    Node(ProfileKey, Node),
}

enum Touched {
    Claim(ClaimKey),
    Node(ProfileKey),
    /// Owners of a shared value, of which nothing former is kept.
    Owners,
}

fn touched(conditional: &Conditional) -> Touched {
    match conditional {
        Conditional::Claim { key, .. } | Conditional::Release { key, .. } => Touched::Claim(*key),
        Conditional::Share { .. } | Conditional::Unshare { .. } => Touched::Owners,
        Conditional::Point { child, .. } => Touched::Node(*child),
        Conditional::Link { parent, .. } | Conditional::Void { parent, .. } => {
            Touched::Node(*parent)
        }
        Conditional::Kill { profile, .. } => Touched::Node(*profile),
    }
}

/// Whether a batch settles a link.
fn settles(batch: &CellBatch) -> bool {
    batch
        .writes
        .iter()
        .any(|write| matches!(write, CellWrite::Link(link) if link.settled))
}
