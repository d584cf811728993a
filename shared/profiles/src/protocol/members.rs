//! The members of a set: COLLECT and COPY (`identity-protocol.md` 6).
//!
//! Once a pointer that ends `linked` stands, no link into its child can succeed, so the child's links never change again,
//! and a settled link can carry the whole subtree: with all links settled, collecting is one round whatever the depth.

use std::collections::BTreeSet;

use kith_domain::id::{LinkToken, ProfileId, ProfileKey, StoreId};

use crate::corrupt::not_pointing;
use crate::error::PortError;
use crate::ports::{
    CellRead, CellRows, CellWrite, Database, LinkRow, Node, NodeRead, Pointer, Select, Verdict,
    Verdicts,
};
use crate::protocol::find::is_given;

/// A set as seen from one profile: everybody below it, itself included, and what was selected from each one's cells.
#[derive(Debug, Clone, Default)]
pub(crate) struct Members {
    /// Every member with its rows. The order is the order of discovery: the profile itself first.
    pub(crate) rows: Vec<(ProfileId, CellRows)>,
    /// The profile's own pointer: with one, it may be no root any more.
    pub(crate) pointer: Option<Pointer>,
}

impl Members {
    /// The rows of one member alone.
    pub(crate) fn only(mut self, member: ProfileId) -> Self {
        self.rows.retain(|(id, _)| *id == member);
        self
    }

    /// The ids, the profile asked for first.
    pub(crate) fn ids(&self) -> impl Iterator<Item = ProfileId> + '_ {
        self.rows.iter().map(|(id, _)| *id)
    }
}

/// COLLECT for several profiles side by side, each with the rows wanted of every member.
///
/// # Errors
/// [`PortError`], [`PortError::Corrupt`] where a link's child does not point at the profile that has the link.
pub(crate) async fn collect_all<D: Database>(
    database: &D,
    store: StoreId,
    of: &[ProfileId],
    select: &[Select],
) -> Result<Vec<Members>, PortError> {
    Walk::new(store, of, select).finish(database).await
}

/// COLLECT for one profile.
///
/// # Errors
/// [`PortError`].
pub(crate) async fn collect<D: Database>(
    database: &D,
    store: StoreId,
    of: ProfileId,
    select: &[Select],
) -> Result<Members, PortError> {
    let mut sets = collect_all(database, store, &[of], select).await?;
    Ok(sets.pop().unwrap_or_default())
}

/// COLLECT for a profile that is likely a root. `None` where its first round does not say that it is a live root that was given
/// something; a find will tell what it is.
///
/// # Errors
/// [`PortError`].
pub(crate) async fn collect_if_root<D: Database>(
    database: &D,
    store: StoreId,
    of: ProfileId,
    select: &[Select],
) -> Result<Option<Members>, PortError> {
    let of = [of];
    let mut walk = Walk::new(store, &of, select);
    let (node_reads, mut cell_reads) = walk.reads();
    if !D::IS_NEAR {
        // Where several nodes have copies, a read makes good what it selects: whoever sees a value has the clock row of its batch made
        // good with it, for the stamps that come after. Where there is one, it would be a look into every table for nothing.
        for read in &mut cell_reads {
            read.select.push(Select::Clock);
        }
    }
    let (nodes, rows) =
        futures_util::try_join!(database.nodes(&node_reads), database.read(&cell_reads))?;
    let is_root = |node: &Node| node.dead.is_none() && node.pointer.is_none();
    let exists = |(node, rows): (&Node, &CellRows)| !node.verdicts.is_empty() || is_given(rows);
    if !nodes.iter().all(is_root) || !nodes.iter().zip(&rows).all(exists) {
        return Ok(None);
    }
    walk.take(nodes, rows)?;
    Ok(walk.finish(database).await?.pop())
}

/// A COLLECT on its way, for several profiles side by side.
struct Walk<'a> {
    store: StoreId,
    of: &'a [ProfileId],
    /// The rows wanted of every member.
    select: &'a [Select],
    sets: Vec<Members>,
    known: Vec<BTreeSet<ProfileId>>,
    /// Profiles whose links are still to be looked at, each with its set and with the pointer that led to it.
    unwalked: Vec<(usize, ProfileId, Option<Pointer>)>,
    /// Members known through a settled link, each with its set: only their rows are wanted.
    unread: Vec<(usize, ProfileId)>,
}

impl<'a> Walk<'a> {
    fn new(store: StoreId, of: &'a [ProfileId], select: &'a [Select]) -> Self {
        let starts = of.iter().copied().enumerate();
        Self {
            store,
            of,
            select,
            sets: vec![Members::default(); of.len()],
            known: of.iter().map(|id| BTreeSet::from([*id])).collect(),
            unwalked: starts.map(|(set, profile)| (set, profile, None)).collect(),
            unread: Vec::new(),
        }
    }

    async fn finish<D: Database>(mut self, database: &D) -> Result<Vec<Members>, PortError> {
        while !self.unwalked.is_empty() || !self.unread.is_empty() {
            let (nodes, cells) = self.reads();
            let (nodes, rows) =
                futures_util::try_join!(database.nodes(&nodes), database.read(&cells))?;
            self.take(nodes, rows)?;
        }
        Ok(self.sets)
    }

    /// What the next round reads: a node and cells of everybody unwalked, then cells of everybody unread.
    fn reads(&self) -> (Vec<NodeRead>, Vec<CellRead>) {
        let store = self.store;
        let nodes = self.unwalked.iter().map(|(_, profile, _)| NodeRead {
            at: ProfileKey {
                store,
                profile: *profile,
            },
            verdicts: Verdicts::All,
        });
        let walked = self.unwalked.iter().map(|(_, profile, _)| {
            let mut select = self.select.to_vec();
            select.push(Select::LinksAndMembers);
            (*profile, select)
        });
        let read = self.unread.iter();
        let read = read.map(|(_, profile)| (*profile, self.select.to_vec()));
        let cells = walked.chain(read).map(|(profile, select)| CellRead {
            at: ProfileKey { store, profile },
            select,
        });
        (nodes.collect(), cells.collect())
    }

    /// Takes the answers to [`reads`](Self::reads).
    fn take(&mut self, nodes: Vec<Node>, rows: Vec<CellRows>) -> Result<(), PortError> {
        let (unwalked, unread) = (
            std::mem::take(&mut self.unwalked),
            std::mem::take(&mut self.unread),
        );
        let mut rows = rows.into_iter();
        for (((set, profile, linked), node), rows) in
            unwalked.into_iter().zip(nodes).zip(rows.by_ref())
        {
            // A link never changes, nor does the pointer that it is about.
            if let Some(Pointer { parent, .. }) = linked
                && linked != node.pointer
            {
                return Err(not_pointing("collect", self.store, profile, parent));
            }
            for verdict in node
                .verdicts
                .iter()
                .filter(|row| row.verdict == Verdict::Linked)
            {
                if verdict.child <= profile {
                    return Err(not_pointing("collect", self.store, verdict.child, profile));
                }
                // A mark without the child's member row was seen alone by somebody, and the rest of its batch may be lost: a read
                // repairs the rows that it selects, and finds select the mark only.
                let settled = rows.members.contains(&verdict.child)
                    && rows.links.iter().any(|link| {
                        link.child == verdict.child && link.token == verdict.token && link.settled
                    });
                // Below a settled link the member rows hold the whole subtree, the child included.
                if !settled && self.known[set].insert(verdict.child) {
                    let pointer = Pointer {
                        parent: profile,
                        token: verdict.token,
                    };
                    self.unwalked.push((set, verdict.child, Some(pointer)));
                }
            }
            for member in &rows.members {
                if self.known[set].insert(*member) {
                    self.unread.push((set, *member));
                }
            }
            if profile == self.of[set] {
                self.sets[set].pointer = node.pointer;
            }
            self.sets[set].rows.push((profile, rows));
        }
        for ((set, profile), rows) in unread.into_iter().zip(rows) {
            self.sets[set].rows.push((profile, rows));
        }
        if self.select.is_empty() {
            // Nothing is wanted of them but that they are members.
            for (set, profile) in self.unread.drain(..) {
                self.sets[set].rows.push((profile, CellRows::default()));
            }
        }
        Ok(())
    }
}

/// COPY: the writes to the parent's cells that settle one link, in one batch: a read may not see the mark without the rows.
pub(crate) fn copy(child: ProfileId, token: LinkToken, below: &Members) -> Vec<CellWrite> {
    let mut writes: Vec<CellWrite> = below.ids().map(CellWrite::Member).collect();
    writes.push(CellWrite::Link(LinkRow {
        child,
        token,
        settled: true,
    }));
    writes
}
