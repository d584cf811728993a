//! The members of a set: COLLECT and COPY (`identity-protocol.md` 6).
//!
//! Once a pointer that ends `linked` stands, no link into its child can succeed, so the child's links never change again,
//! and a settled link can carry the whole subtree: with all links settled, collecting is one round whatever the depth.

use std::collections::BTreeSet;

use kith_domain::id::{LinkToken, ProfileId, ProfileKey, StoreId};

use crate::corrupt::not_pointing;
use crate::error::PortError;
use crate::ports::{
    CellRead, CellRows, CellWrite, Database, LinkRow, NodeRead, Pointer, Select, Verdict, Verdicts,
};

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
    let mut sets: Vec<Members> = vec![Members::default(); of.len()];
    let mut known: Vec<BTreeSet<ProfileId>> = of.iter().map(|id| BTreeSet::from([*id])).collect();
    // Profiles still to be walked (their links looked at), with the pointer that led to them, and members known through a
    // settled link (rows wanted only).
    let starts = of.iter().copied().enumerate();
    let mut walk: Vec<(usize, ProfileId, Option<Pointer>)> =
        starts.map(|(set, profile)| (set, profile, None)).collect();
    let mut fetch: Vec<(usize, ProfileId)> = Vec::new();
    while !walk.is_empty() || !fetch.is_empty() {
        let nodes: Vec<NodeRead> = walk
            .iter()
            .map(|(_, profile, _)| NodeRead {
                at: ProfileKey {
                    store,
                    profile: *profile,
                },
                verdicts: Verdicts::All,
            })
            .collect();
        let cells: Vec<CellRead> = walk
            .iter()
            .map(|(_, profile, _)| {
                let mut select = select.to_vec();
                select.push(Select::LinksAndMembers);
                CellRead {
                    at: ProfileKey {
                        store,
                        profile: *profile,
                    },
                    select,
                }
            })
            .chain(fetch.iter().map(|(_, profile)| CellRead {
                at: ProfileKey {
                    store,
                    profile: *profile,
                },
                select: select.to_vec(),
            }))
            .collect();
        let (nodes, rows) = futures_util::try_join!(database.nodes(&nodes), database.read(&cells))?;
        let mut rows = rows.into_iter();
        let mut next_walk = Vec::new();
        let mut next_fetch = Vec::new();
        for (((set, profile, linked), node), rows) in walk.into_iter().zip(nodes).zip(rows.by_ref())
        {
            // A link never changes, nor does the pointer that it is about.
            if let Some(Pointer { parent, .. }) = linked
                && linked != node.pointer
            {
                return Err(not_pointing("collect", store, profile, parent));
            }
            for verdict in node
                .verdicts
                .iter()
                .filter(|row| row.verdict == Verdict::Linked)
            {
                if verdict.child <= profile {
                    return Err(not_pointing("collect", store, verdict.child, profile));
                }
                let settled = rows.links.iter().any(|link| {
                    link.child == verdict.child && link.token == verdict.token && link.settled
                });
                // Below a settled link the member rows hold the whole subtree, the child included.
                if !settled && known[set].insert(verdict.child) {
                    let pointer = Pointer {
                        parent: profile,
                        token: verdict.token,
                    };
                    next_walk.push((set, verdict.child, Some(pointer)));
                }
            }
            for member in &rows.members {
                if known[set].insert(*member) {
                    next_fetch.push((set, *member));
                }
            }
            if profile == of[set] {
                sets[set].pointer = node.pointer;
            }
            sets[set].rows.push((profile, rows));
        }
        for ((set, profile), rows) in fetch.into_iter().zip(rows) {
            sets[set].rows.push((profile, rows));
        }
        walk = next_walk;
        fetch = if select.is_empty() {
            // Nothing is wanted of them but that they are members.
            for (set, profile) in next_fetch {
                sets[set].rows.push((profile, CellRows::default()));
            }
            Vec::new()
        } else {
            next_fetch
        };
    }
    Ok(sets)
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
