//! The rows of a store as the database holds them, and what must be true of them in every state
//! (`identity-protocol.md` 8, `trait-order.md` 10).

use std::collections::{BTreeMap, BTreeSet};

use kith_domain::id::ProfileId;
use kith_domain::identifier::{ClaimKey, Identifier};
use kith_domain::store::StoreRecord;
use kith_domain::time::Micros;
use kith_domain::traits::{TraitCell, TraitValue, TraitWrite, join};
use kith_profiles::ports::{CellRows, Claim, Node, Verdict};

/// Everything that the database has of one store.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    /// Claims by their keys.
    pub claims: BTreeMap<ClaimKey, Claim>,
    /// Nodes.
    pub nodes: BTreeMap<ProfileId, Node>,
    /// Cells.
    pub cells: BTreeMap<ProfileId, CellRows>,
    /// The listing.
    pub listing: BTreeSet<ProfileId>,
}

impl Rows {
    /// The live root of a profile, by its pointers that are linked; `None` if it is dead, or leads nowhere.
    #[must_use]
    pub fn root_of(&self, profile: ProfileId) -> Option<ProfileId> {
        let mut at = profile;
        for _ in 0..=self.nodes.len() {
            let Some(node) = self.nodes.get(&at) else {
                return Some(at);
            };
            if node.dead.is_some() {
                return None;
            }
            match node.pointer {
                Some(pointer) if self.is_linked(at, pointer.parent, pointer.token) => {
                    at = pointer.parent;
                }
                _ => return Some(at),
            }
        }
        None
    }

    fn is_linked(
        &self,
        child: ProfileId,
        parent: ProfileId,
        token: kith_domain::id::LinkToken,
    ) -> bool {
        let Some(node) = self.nodes.get(&parent) else {
            return false;
        };
        let mut rows = node.verdicts.iter();
        rows.any(|row| row.child == child && row.token == token && row.verdict == Verdict::Linked)
    }

    /// The live root that an identifier leads to.
    #[must_use]
    pub fn owner(&self, store: &StoreRecord, identifier: &Identifier) -> Option<ProfileId> {
        let claim = self.claims.get(&store.claim_secret.claim_key(identifier))?;
        self.root_of(claim.profile?)
    }

    /// The members of every live root, itself among them.
    #[must_use]
    pub fn sets(&self) -> BTreeMap<ProfileId, BTreeSet<ProfileId>> {
        let mut sets: BTreeMap<ProfileId, BTreeSet<ProfileId>> = BTreeMap::new();
        let owners = self.claims.values().filter_map(|claim| claim.profile);
        let all = self.nodes.keys().chain(self.cells.keys()).copied();
        for member in all.chain(owners) {
            if let Some(root) = self.root_of(member) {
                sets.entry(root).or_default().insert(member);
            }
        }
        sets
    }

    /// The live roots that own an identifier, themselves or through a member. Other partitions may have rows of claims that
    /// were lost, under ids that nobody was ever told.
    #[must_use]
    pub fn canonical(&self) -> BTreeSet<ProfileId> {
        let owners = self.claims.values().filter_map(|claim| claim.profile);
        owners.filter_map(|owner| self.root_of(owner)).collect()
    }

    /// The identifiers of each live root: rows whose claim is as they say.
    #[must_use]
    pub fn identifiers(&self, store: &StoreRecord) -> BTreeMap<ProfileId, BTreeSet<Identifier>> {
        let mut held: BTreeMap<ProfileId, BTreeSet<Identifier>> = BTreeMap::new();
        for (at, rows) in &self.cells {
            let Some(root) = self.root_of(*at) else {
                continue;
            };
            for row in &rows.idents {
                let identifier = Identifier {
                    id_type: row.id_type.clone(),
                    value: row.value.clone(),
                };
                let claim = self.claims.get(&store.claim_secret.claim_key(&identifier));
                if claim.is_some_and(|one| one.id == row.claim && one.profile == Some(*at)) {
                    held.entry(root).or_default().insert(identifier);
                }
            }
        }
        held
    }

    /// The texts of the traits of each live root, by name: the join of its members.
    #[must_use]
    pub fn traits(
        &self,
        store: &StoreRecord,
    ) -> BTreeMap<ProfileId, Vec<(String, String, Micros)>> {
        let mut names = BTreeMap::new();
        for group in &store.groups {
            for (name, definition) in &group.traits {
                names.insert(definition.id, name.clone());
            }
        }
        let mut cells: BTreeMap<ProfileId, Vec<(ProfileId, TraitCell)>> = BTreeMap::new();
        for (at, rows) in &self.cells {
            if let Some(root) = self.root_of(*at) {
                let own = rows.traits.iter().cloned().map(|cell| (*at, cell));
                cells.entry(root).or_default().extend(own);
            }
        }
        let texts = |cells| {
            let mut texts = Vec::new();
            for (definition, cell) in join(cells) {
                if let (Some(name), Ok(TraitWrite::Set(TraitValue::String(text)))) =
                    (names.get(&definition), cell.value.decode())
                {
                    texts.push((name.clone(), text, cell.time));
                }
            }
            texts
        };
        cells
            .into_iter()
            .map(|(root, cells)| (root, texts(cells)))
            .collect()
    }
}

/// What is wrong with the rows, whatever was asked and answered. One line a finding.
#[must_use]
pub fn findings(rows: &Rows, store: &StoreRecord) -> Vec<String> {
    let mut findings = Vec::new();
    let sets = rows.sets();
    for (at, node) in &rows.nodes {
        if let Some(pointer) = node.pointer
            && pointer.parent >= *at
        {
            let parent = pointer.parent;
            findings.push(format!("{at} points at {parent}, which is not older"));
        }
        for row in &node.verdicts {
            if row.verdict != Verdict::Linked {
                continue;
            }
            let pointer = rows.nodes.get(&row.child).and_then(|child| child.pointer);
            if pointer.is_none_or(|one| one.parent != *at || one.token != row.token) {
                let child = row.child;
                findings.push(format!("{child} is linked at {at} without pointing there"));
            }
        }
    }
    for (at, cells) in &rows.cells {
        for link in cells.links.iter().filter(|link| link.settled) {
            for member in below(rows, link.child) {
                if !cells.members.contains(&member) {
                    findings.push(format!(
                        "{at} settled a link and misses its member {member}"
                    ));
                }
            }
        }
        for member in &cells.members {
            if rows.root_of(*member) != rows.root_of(*at) {
                findings.push(format!("{at} names the stranger {member} as a member"));
            }
        }
    }
    for (root, members) in &sets {
        if members.first().is_some_and(|oldest| oldest < root) {
            findings.push(format!("{root} survives, and has an older member"));
        }
    }
    for root in rows.canonical().difference(&rows.listing) {
        findings.push(format!("{root} is canonical and has no row in the listing"));
    }
    for claim in rows.claims.values() {
        let Some(profile) = claim.profile else {
            continue;
        };
        if rows.root_of(profile).is_none() {
            findings.push(format!("a claim leads to {profile}, which leads nowhere"));
        }
        let cells = rows.cells.get(&profile);
        if !cells.is_some_and(|cells| cells.idents.iter().any(|row| row.claim == claim.id)) {
            findings.push(format!("a claim of {profile} has no identifier row"));
        }
    }
    for (root, held) in rows.identifiers(store) {
        let mut counts: BTreeMap<_, usize> = BTreeMap::new();
        for identifier in &held {
            *counts.entry(&identifier.id_type).or_default() += 1;
        }
        for (id_type, count) in counts {
            let config = store.settings.config(id_type);
            if config.is_some_and(|config| count > usize::from(config.limit)) {
                findings.push(format!("{root} has {count} values of {id_type}"));
            }
        }
    }
    findings
}

/// A member and everything that is linked below it.
fn below(rows: &Rows, member: ProfileId) -> BTreeSet<ProfileId> {
    let mut all = BTreeSet::new();
    let mut open = vec![member];
    while let Some(member) = open.pop() {
        if !all.insert(member) {
            continue;
        }
        if let Some(node) = rows.nodes.get(&member) {
            let linked = node.verdicts.iter();
            let linked = linked.filter(|row| row.verdict == Verdict::Linked);
            open.extend(linked.map(|row| row.child));
        }
    }
    all
}
