//! What is true in every state, every unfinished request counted as crashed (`identity-protocol.md` 8, `trait-order.md` 10).

use std::collections::BTreeMap;

use kith_domain::id::{ProfileId, ProfileKey};
use kith_domain::store::StoreRecord;
use kith_profiles::ports::{Node, Pointer, Verdict};

use crate::history::History;
use crate::world::World;

/// True in every state, whatever is still under way.
#[must_use]
pub fn state_findings(world: &World, history: &History, store: &StoreRecord) -> Vec<String> {
    let mut findings = Vec::new();
    for (at, node) in world.nodes() {
        if let Some(Pointer { parent, .. }) = node.pointer
            && parent >= at.profile
        {
            findings.push(format!(
                "{} points at {parent}, which is not older",
                at.profile
            ));
        }
        for row in node
            .verdicts
            .iter()
            .filter(|row| row.verdict == Verdict::Linked)
        {
            let child = world.nodes().get(&ProfileKey {
                profile: row.child,
                ..*at
            });
            let pointer = child.and_then(|node| node.pointer);
            if pointer
                .is_none_or(|pointer| pointer.parent != at.profile || pointer.token != row.token)
            {
                findings.push(format!(
                    "{} is linked at {} without pointing there",
                    row.child, at.profile
                ));
            }
            findings.extend(copied(world, *at, row.child, row.token));
        }
    }
    findings.extend(cell_findings(world));
    findings.extend(order_findings(world, history, store));
    // The clock row of a live root covers every acknowledged stamp of its set.
    for create in &history.creates {
        let Some((_, profile)) = create.answer else {
            continue;
        };
        let (Some(root), Some(stamp)) = (
            world.root_of(ProfileKey {
                store: store.id,
                profile,
            }),
            world.stamps.get(&create.request),
        ) else {
            continue;
        };
        let clock = world
            .cells()
            .get(&ProfileKey {
                store: store.id,
                profile: root,
            })
            .and_then(|rows| rows.clock);
        if clock.is_none_or(|clock| clock < *stamp) {
            findings.push(format!(
                "the clock of {root} is {clock:?}, below the acknowledged {stamp:?}"
            ));
        }
    }
    findings
}

/// Where a link is settled and the child is a member, the parent's member rows hold everybody below it.
fn copied(
    world: &World,
    parent: ProfileKey,
    child: ProfileId,
    token: kith_domain::id::LinkToken,
) -> Vec<String> {
    let rows = world.cells().get(&parent).cloned().unwrap_or_default();
    let is_settled = rows.members.contains(&child)
        && rows
            .links
            .iter()
            .any(|link| link.child == child && link.token == token && link.settled);
    if !is_settled {
        return Vec::new();
    }
    let mut below = vec![child];
    let mut findings = Vec::new();
    while let Some(member) = below.pop() {
        if !rows.members.contains(&member) {
            findings.push(format!(
                "{} settled a link and misses its member {member}",
                parent.profile
            ));
        }
        if let Some(node) = world.nodes().get(&ProfileKey {
            profile: member,
            ..parent
        }) {
            let linked = node
                .verdicts
                .iter()
                .filter(|row| row.verdict == Verdict::Linked);
            below.extend(linked.map(|row| row.child));
        }
    }
    findings
}

/// What the rows of links, members and hints say is so.
fn cell_findings(world: &World) -> Vec<String> {
    let mut findings = Vec::new();
    for (at, rows) in world.cells() {
        let node = world.nodes().get(at);
        for link in rows.links.iter().filter(|link| link.settled) {
            let is_linked = node.is_some_and(|node| {
                node.verdicts.iter().any(|row| {
                    row.child == link.child
                        && row.token == link.token
                        && row.verdict == Verdict::Linked
                })
            });
            if !is_linked {
                findings.push(format!(
                    "{} settled a link of {} that is not there",
                    at.profile, link.child
                ));
            }
        }
        for member in &rows.members {
            if !is_above(world, *at, *member, false) {
                findings.push(format!("{} has a stranger, {member}", at.profile));
            }
        }
        // A find from a hint does not meet the rows that it skips. Of a dead set they may be purged, its root's among them.
        if let Some(ancestor) = rows.root
            && world.root_of(*at).is_some()
        {
            let above = ProfileKey {
                profile: ancestor,
                ..*at
            };
            if !is_above(world, above, at.profile, true) {
                findings.push(format!(
                    "{} has a hint at {ancestor}, over links that are not settled",
                    at.profile
                ));
            }
        }
    }
    findings
}

/// Whether a profile is in the set of another one, over linked verdicts, and settled ones if that is asked. Ends within the
/// number of nodes: every pointer leads to an older profile, or was found not to.
fn is_above(world: &World, above: ProfileKey, below: ProfileId, is_settled: bool) -> bool {
    let mut at = ProfileKey {
        profile: below,
        ..above
    };
    for _ in 0..=world.nodes().len() {
        if at == above {
            return true;
        }
        let Some(pointer) = world.nodes().get(&at).and_then(|node| node.pointer) else {
            return false;
        };
        let parent = ProfileKey {
            profile: pointer.parent,
            ..at
        };
        let is_linked = world.nodes().get(&parent).is_some_and(|node| {
            node.verdicts.iter().any(|row| {
                row.child == at.profile
                    && row.token == pointer.token
                    && row.verdict == Verdict::Linked
            })
        });
        let has_mark = || {
            let rows = world.cells().get(&parent);
            rows.is_some_and(|rows| {
                let mut links = rows.links.iter();
                links.any(|link| {
                    link.child == at.profile && link.token == pointer.token && link.settled
                })
            })
        };
        if !is_linked || (is_settled && !has_mark()) {
            return false;
        }
        at = parent;
    }
    false
}

/// Stamps: given once; of two writes to one live profile, the first acknowledged before the second was sent, the second has the
/// later one; and what an acknowledged request promoted is there, or something newer.
fn order_findings(world: &World, history: &History, store: &StoreRecord) -> Vec<String> {
    let mut findings = Vec::new();
    if let Some(request) = world.restamped {
        findings.push(format!("{request:?} has two stamps"));
    }
    for create in &history.creates {
        let (Some((_, profile)), Some(stamp)) = (create.answer, world.stamps.get(&create.request))
        else {
            continue;
        };
        for older in &create.after {
            let older = &history.creates[*older];
            let is_later = older.answer.is_none()
                || world
                    .stamps
                    .get(&older.request)
                    .is_none_or(|older| older < stamp);
            if !is_later {
                findings.push(format!(
                    "{:?} was acknowledged before {:?} was sent, and is not stamped before it",
                    older.request, create.request
                ));
            }
        }
        let at = ProfileKey {
            store: store.id,
            profile,
        };
        if world.root_of(at).is_none() {
            continue;
        }
        // Cells never move: what was promoted is in the partition of the profile that was answered, unless that was not the
        // target, as with a patch.
        let targets = world
            .log
            .iter()
            .filter(|event| event.request == create.request);
        for event in targets {
            let rows = world.cells().get(&ProfileKey {
                profile: event.profile,
                ..at
            });
            for promoted in &event.traits {
                let definition = promoted.0;
                let is_promoted = store
                    .groups
                    .iter()
                    .flat_map(|group| &group.traits)
                    .any(|(_, one)| one.id == definition && one.id_type_promotion.is_some());
                let is_there = rows.is_some_and(|rows| {
                    let mut cells = rows.traits.iter();
                    cells.any(|cell| cell.definition == definition && cell.time >= *stamp)
                });
                if is_promoted && !is_there {
                    findings.push(format!(
                        "{:?} was acknowledged, and a trait that it promoted is not there",
                        create.request
                    ));
                }
            }
        }
    }
    findings
}

/// What may not change from one state to a later one: marks and verdicts stand, and a link keeps its pointer.
#[must_use]
pub fn changed_findings(former: &BTreeMap<ProfileKey, Node>, world: &World) -> Vec<String> {
    let mut findings = Vec::new();
    for (at, former) in former {
        let node = world.nodes().get(at);
        if former.dead.is_some() && node.and_then(|node| node.dead) != former.dead {
            findings.push(format!("the mark on {} changed", at.profile));
        }
        for row in &former.verdicts {
            if !node.is_some_and(|node| node.verdicts.contains(row)) {
                findings.push(format!(
                    "the verdict on {} at {} changed",
                    row.child, at.profile
                ));
            }
        }
    }
    findings
}
