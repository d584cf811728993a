//! FIND: from a profile to the root of its set. Reads only.
//!
//! Several finds go side by side, a hop of each in one round. Beside the first node of a find its identifier rows, its clock
//! row and its hint are read, beside each hop the clock row and the link row that the hop passes (`trait-order.md` R1). Where reads
//! are near, the hint is read only if the node has a pointer, after it.

use kith_domain::id::{LinkToken, ProfileId, ProfileKey, StoreId};
use kith_domain::time::Micros;

use crate::corrupt::not_older;
use crate::environment::{Environment, Omission};
use crate::error::PortError;
use crate::ports::{
    CellRead, CellRows, Database, Node, NodeRead, Pointer, Select, Verdict, Verdicts,
};

/// Where a find ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// At a live root. Its pointer, if any, was seen void.
    Live(Root),
    /// At a live root whose pointer has no verdict yet: it may stop being one.
    Undecided(Root),
    /// At a deletion: the whole set is dead.
    Dead,
}

/// A live root, as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Root {
    pub(crate) id: ProfileId,
    pub(crate) pointer: Option<Pointer>,
}

impl Root {
    /// The token that a condition on this root must name.
    pub(crate) fn token(&self) -> Option<LinkToken> {
        self.pointer.map(|pointer| pointer.token)
    }
}

/// A link that a find followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Passed {
    pub(crate) parent: ProfileId,
    pub(crate) child: ProfileId,
    pub(crate) token: LinkToken,
    pub(crate) settled: bool,
}

/// One find, finished.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) start: ProfileId,
    pub(crate) end: End,
    /// The links followed, in order. Links that a hint skipped are not among them: those are settled.
    pub(crate) passed: Vec<Passed>,
    /// Whether a hint was followed.
    pub(crate) hinted: bool,
    /// The clock row of every profile met, in order. That of the start only where [`find_all`] asked for it.
    pub(crate) clocks: Vec<Micros>,
    /// What was selected from the start's cells.
    pub(crate) rows: CellRows,
    /// Whether the start's node has ever been written.
    pub(crate) has_node: bool,
}

impl Found {
    /// What a stamp must be later than, as far as this find can tell: the newest clock row of every profile met.
    pub(crate) fn seen<E: Environment>(&self, env: &E) -> Micros {
        if env.omits(Omission::ClocksOfAllMet) {
            return self.clocks.last().copied().unwrap_or(Micros::EPOCH);
        }
        self.clocks.iter().copied().max().unwrap_or(Micros::EPOCH)
    }

    /// The live root, whatever its pointer.
    pub(crate) fn root(&self) -> Option<Root> {
        match self.end {
            End::Live(root) | End::Undecided(root) => Some(root),
            End::Dead => None,
        }
    }
}

/// Whether the set of a profile is dead: one read of its node, and the rest of a find only where it has a pointer.
///
/// # Errors
/// [`PortError`], as [`find_all`].
pub(crate) async fn is_dead<D: Database>(database: &D, at: ProfileKey) -> Result<bool, PortError> {
    let read = NodeRead {
        at,
        verdicts: Verdicts::None,
    };
    let node = database.nodes(&[read]).await?.pop().unwrap_or_default();
    if node.dead.is_some() || node.pointer.is_none() {
        return Ok(node.dead.is_some());
    }
    let found = find_all(database, at.store, vec![(at.profile, Vec::new())]).await?;
    Ok(found.iter().any(|found| found.end == End::Dead))
}

/// Whether a live profile that was found has ever been given anything: its node or its cells have a row.
///
/// # Errors
/// [`PortError`].
pub(crate) async fn exists<D: Database>(
    database: &D,
    store: StoreId,
    found: &Found,
) -> Result<bool, PortError> {
    if found.has_node || found.rows.clock.is_some() {
        return Ok(true);
    }
    // Without a clock row: a request that claimed for it has not been answered yet. The clock row is read again with the rest:
    // it may have been written since, by whoever's release took the rest away.
    let read = CellRead {
        at: ProfileKey {
            store,
            profile: found.start,
        },
        select: vec![Select::Clock, Select::Idents, Select::Traits],
    };
    let rows = database.read(&[read]).await?.pop().unwrap_or_default();
    Ok(is_given(&rows))
}

/// Whether rows of a profile's cells say that it was given something.
pub(crate) fn is_given(rows: &CellRows) -> bool {
    rows.clock.is_some() || !rows.idents.is_empty() || !rows.traits.is_empty()
}

struct Walk {
    found: Found,
    /// The profile reached so far, with its pointer.
    at: ProfileId,
    pointer: Option<Pointer>,
    done: bool,
}

impl Walk {
    fn finish(&mut self, end: End) {
        self.found.end = end;
        self.done = true;
    }

    /// Takes a node that belongs to the set for certain.
    fn arrive(&mut self, at: ProfileId, node: &Node) {
        self.at = at;
        self.pointer = node.pointer;
        if node.dead.is_some() {
            self.finish(End::Dead);
        } else if node.pointer.is_none() {
            self.finish(End::Live(Root {
                id: at,
                pointer: None,
            }));
        }
    }
}

/// Finds the roots of all `starts`, each with the rows wanted from its own cells (the clock row and the hint are among them).
/// Answers come in the order of the starts.
///
/// # Errors
/// [`PortError`], [`PortError::Corrupt`] where a pointer does not lead to an older profile.
pub(crate) async fn find_all<D: Database>(
    database: &D,
    store: StoreId,
    starts: Vec<(ProfileId, Vec<Select>)>,
) -> Result<Vec<Found>, PortError> {
    let walks = begin(database, store, starts, &[Select::Clock, Select::Root]).await?;
    to_their_ends(database, store, walks).await
}

/// The same for whoever stamps nothing: without the clock row of a start.
///
/// # Errors
/// As [`find_all`].
pub(crate) async fn find_roots<D: Database>(
    database: &D,
    store: StoreId,
    starts: Vec<(ProfileId, Vec<Select>)>,
) -> Result<Vec<Found>, PortError> {
    let walks = begin(database, store, starts, &[Select::Root]).await?;
    to_their_ends(database, store, walks).await
}

async fn to_their_ends<D: Database>(
    database: &D,
    store: StoreId,
    mut walks: Vec<Walk>,
) -> Result<Vec<Found>, PortError> {
    while walks.iter().any(|walk| !walk.done) {
        hop(database, store, &mut walks).await?;
    }
    Ok(walks.into_iter().map(|walk| walk.found).collect())
}

async fn begin<D: Database>(
    database: &D,
    store: StoreId,
    starts: Vec<(ProfileId, Vec<Select>)>,
    beside: &[Select],
) -> Result<Vec<Walk>, PortError> {
    let reads: Vec<NodeRead> = starts
        .iter()
        .map(|(profile, _)| NodeRead {
            at: ProfileKey {
                store,
                profile: *profile,
            },
            verdicts: Verdicts::None,
        })
        .collect();
    let mut cells: Vec<CellRead> = starts
        .into_iter()
        .map(|(profile, mut select)| {
            select.extend_from_slice(beside);
            CellRead {
                at: ProfileKey { store, profile },
                select,
            }
        })
        .collect();
    let (nodes, rows) = if D::IS_NEAR {
        let nodes = database.nodes(&reads).await?;
        for (cell, _) in (cells.iter_mut().zip(&nodes)).filter(|(_, node)| node.pointer.is_none()) {
            cell.select.retain(|select| *select != Select::Root);
        }
        let rows = database.read(&cells).await?;
        (nodes, rows)
    } else {
        futures_util::try_join!(database.nodes(&reads), database.read(&cells))?
    };
    let mut walks = Vec::with_capacity(reads.len());
    for ((read, node), rows) in reads.iter().zip(nodes).zip(rows) {
        let start = read.at.profile;
        let mut walk = Walk {
            found: Found {
                start,
                end: End::Dead,
                passed: Vec::new(),
                hinted: false,
                clocks: vec![rows.clock.unwrap_or(Micros::EPOCH)],
                rows,
                has_node: node != Node::default(),
            },
            at: start,
            pointer: None,
            done: false,
        };
        walk.arrive(start, &node);
        walks.push(walk);
    }
    Ok(walks)
}

/// What a walk reads next.
#[derive(Clone, Copy)]
enum Step {
    /// The parent in the pointer, with the verdict on it.
    Parent(Pointer),
    /// The ancestor that a hint names: reached once over `linked` verdicts, so a member of the set for ever.
    Hint(ProfileId),
}

async fn hop<D: Database>(
    database: &D,
    store: StoreId,
    walks: &mut [Walk],
) -> Result<(), PortError> {
    let mut steps = Vec::new();
    let mut reads = Vec::new();
    let mut cells = Vec::new();
    for (index, walk) in walks.iter().enumerate().filter(|(_, walk)| !walk.done) {
        let Some(pointer) = walk.pointer else {
            continue;
        };
        if pointer.parent >= walk.at {
            return Err(not_older("find", store, walk.at, pointer.parent));
        }
        let hint = (walk.at == walk.found.start)
            .then_some(walk.found.rows.root)
            .flatten()
            .filter(|ancestor| *ancestor < pointer.parent);
        let (step, to, verdicts, select) = match hint {
            Some(ancestor) => (
                Step::Hint(ancestor),
                ancestor,
                Verdicts::None,
                vec![Select::Clock],
            ),
            None => (
                Step::Parent(pointer),
                pointer.parent,
                Verdicts::Of(walk.at, pointer.token),
                vec![Select::Clock, Select::Link(walk.at, pointer.token)],
            ),
        };
        let at = ProfileKey { store, profile: to };
        steps.push((index, step));
        reads.push(NodeRead { at, verdicts });
        cells.push(CellRead { at, select });
    }
    let (nodes, rows) = futures_util::try_join!(database.nodes(&reads), database.read(&cells))?;
    for (((index, step), node), rows) in steps.into_iter().zip(nodes).zip(rows) {
        let walk = &mut walks[index];
        walk.found.clocks.push(rows.clock.unwrap_or(Micros::EPOCH));
        match step {
            // Whoever was ever linked to has a clock, but for crashes: this is nobody to start from.
            Step::Hint(_) if rows.clock.is_none() => walk.found.rows.root = None,
            Step::Hint(ancestor) => {
                walk.found.hinted = true;
                walk.arrive(ancestor, &node);
            }
            Step::Parent(pointer) => {
                let root = Root {
                    id: walk.at,
                    pointer: Some(pointer),
                };
                match verdict_of(&node, walk.at, pointer.token) {
                    Some(Verdict::Linked) => {
                        let settled = rows.links.iter().any(|link| {
                            link.child == walk.at && link.token == pointer.token && link.settled
                        });
                        walk.found.passed.push(Passed {
                            parent: pointer.parent,
                            child: walk.at,
                            token: pointer.token,
                            settled,
                        });
                        walk.arrive(pointer.parent, &node);
                    }
                    Some(Verdict::Void) => walk.finish(End::Live(root)),
                    None => walk.finish(End::Undecided(root)),
                }
            }
        }
    }
    Ok(())
}

/// The verdict on one pointer among the rows of a node read.
pub(crate) fn verdict_of(node: &Node, child: ProfileId, token: LinkToken) -> Option<Verdict> {
    node.verdicts
        .iter()
        .find(|row| row.child == child && row.token == token)
        .map(|row| row.verdict)
}
