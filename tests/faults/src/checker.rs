//! Compares what callers were answered with what the API and the database say when everything is quiet.
//!
//! Pure: a history in, findings out. An identifier whose type has a limit below `KEPT` may be evicted, so nothing is
//! expected of it but the limit.

use std::collections::{BTreeMap, BTreeSet};

use kith_domain::id::ProfileId;
use kith_domain::identifier::Identifier;
use kith_domain::store::StoreRecord;

use crate::history::{Asked, Record, Seen, Sets, Told, writer};
use crate::rows::{self, Rows};

/// A limit that no run reaches.
const KEPT: u16 = 50;

/// How long after it was sent an attempt that failed may still take effect: its deadline twice, a freeze, and the way.
const EFFECT_MS: u64 = 10_000;

/// One line a finding; none means that history and store agree.
#[must_use]
pub fn findings(history: &[Record], seen: &Seen, rows: &Rows, store: &StoreRecord) -> Vec<String> {
    let checker = Checker {
        history,
        seen,
        rows,
        store,
    };
    let mut findings = rows::findings(rows, store);
    findings.extend(checker.answers());
    findings.extend(checker.identity());
    findings.extend(checker.strangers());
    findings.extend(checker.traits());
    findings.extend(checker.api());
    findings.extend(reads(history));
    findings
}

struct Checker<'a> {
    history: &'a [Record],
    seen: &'a Seen,
    rows: &'a Rows,
    store: &'a StoreRecord,
}

impl Checker<'_> {
    fn is_kept(&self, identifier: &Identifier) -> bool {
        let config = self.store.settings.config(&identifier.id_type);
        config.is_some_and(|config| config.limit >= KEPT && config.enforce_unique)
    }

    fn creates(&self) -> impl Iterator<Item = (&Record, &[Identifier], &[&'static str])> {
        self.history
            .iter()
            .filter_map(|record| match &record.asked {
                Asked::Create {
                    identifiers,
                    traits,
                } => Some((record, identifiers.as_slice(), traits.as_slice())),
                Asked::Fetch(_) | Asked::Lookup(_) => None,
            })
    }

    /// Invariant 3: a failure is a 503 that may be repeated, and nothing else.
    fn answers(&self) -> Vec<String> {
        let wrong = self.history.iter().filter_map(|record| match record.told {
            Told::Unexpected(status) => Some((record.number, status)),
            Told::Accepted(_)
            | Told::Here
            | Told::Moved(_)
            | Told::Owners(_)
            | Told::Unavailable
            | Told::Nothing => None,
        });
        wrong
            .map(|(number, status)| format!("request {number} was answered {status}"))
            .collect()
    }

    /// Invariants 1 and 2: everything that one acknowledged request carried leads to one live root, to which its answer
    /// leads; the root is not younger than the answer.
    fn identity(&self) -> Vec<String> {
        let mut findings = Vec::new();
        for (record, identifiers, _) in self.creates() {
            let Some(answer) = record.accepted() else {
                continue;
            };
            let number = record.number;
            let Some(root) = self.rows.root_of(answer) else {
                findings.push(format!("the answer {answer} of request {number} is gone"));
                continue;
            };
            if root > answer {
                findings.push(format!("{root} survives, though {answer} is older"));
            }
            if !self.rows.listing.contains(&root) {
                findings.push(format!("{root} was answered and has no row in the listing"));
            }
            for identifier in identifiers.iter().filter(|one| self.is_kept(one)) {
                let owner = self.rows.owner(self.store, identifier);
                if owner != Some(root) {
                    let id_type = &identifier.id_type;
                    findings.push(format!(
                        "request {number} is split: its answer leads to {root}, its {id_type} to {owner:?}"
                    ));
                }
            }
        }
        findings
    }

    /// One profile, one person: whatever no request ever joined leads to different roots.
    fn strangers(&self) -> Vec<String> {
        let mut sets = Sets::default();
        for (_, identifiers, _) in self.creates() {
            sets.join(identifiers, |_, _| {});
        }
        let mut people: BTreeMap<ProfileId, BTreeSet<usize>> = BTreeMap::new();
        let mut findings = Vec::new();
        for (root, held) in self.rows.identifiers(self.store) {
            for identifier in &held {
                match sets.find(identifier) {
                    Some(set) => {
                        people.entry(root).or_default().insert(set);
                    }
                    None => findings.push(format!("{root} has an identifier that nobody sent")),
                }
            }
        }
        for (root, sets) in people.iter().filter(|(_, sets)| sets.len() > 1) {
            findings.push(format!("{root} is {} people", sets.len()));
        }
        findings
    }

    /// Invariants 3 and 4: each canonical profile shows a trait that anybody acknowledged wrote, and no value that an
    /// acknowledged write to the same profile overwrote, sent after that value was acknowledged.
    fn traits(&self) -> Vec<String> {
        let mut findings = Vec::new();
        let beaten = self.beaten();
        let shown = self.rows.traits(self.store);
        let text = |root: ProfileId, name: &str| {
            let texts = shown.get(&root).map(Vec::as_slice).unwrap_or_default();
            texts.iter().find(|(shown, _, _)| shown == name)
        };
        let mut failed = BTreeSet::new();
        let mut sent: BTreeMap<u64, &[Identifier]> = BTreeMap::new();
        for (record, identifiers, _) in self.creates() {
            sent.insert(record.number, identifiers);
            if record.accepted().is_none() {
                failed.insert(record.number);
            }
        }
        let mut looked_at = BTreeSet::new();
        for (record, _, traits) in self.creates() {
            let Some(root) = record.accepted().and_then(|id| self.rows.root_of(id)) else {
                continue;
            };
            for name in traits {
                let Some((_, value, time)) = text(root, name) else {
                    findings.push(format!("{name} of {root} is lost"));
                    continue;
                };
                if !looked_at.insert((root, *name)) {
                    continue;
                }
                let Some(number) = writer(name, value) else {
                    findings.push(format!("{name} of {root} has a value that nobody wrote"));
                    continue;
                };
                if let Some(by) = beaten.get(&(number, name)) {
                    findings.push(format!(
                        "{name} of {root} is of request {number}, which request {by} overwrote"
                    ));
                }
                let kept = sent
                    .get(&number)
                    .and_then(|identifiers| identifiers.iter().find(|one| self.is_kept(one)));
                if kept.and_then(|one| self.rows.owner(self.store, one)) != Some(root) {
                    findings.push(format!("{name} of {root} was written for somebody else"));
                }
                // The clock row of a live root covers every acknowledged stamp of its set.
                let clock = self.rows.cells.get(&root).and_then(|cells| cells.clock);
                if !failed.contains(&number) && clock.is_none_or(|clock| clock < *time) {
                    findings.push(format!("the clock of {root} is behind its own {name}"));
                }
            }
        }
        findings
    }

    /// Which values were overwritten, and by which request: acknowledged before it was sent, and it named the same person.
    /// A value that an earlier attempt wrote, too, counts from when that attempt can have no effect any more.
    fn beaten(&self) -> BTreeMap<(u64, &'static str), u64> {
        let mut failed: BTreeMap<u64, u64> = BTreeMap::new();
        let mut events = Vec::new();
        for (record, identifiers, traits) in self.creates() {
            if record.accepted().is_some() {
                events.push((record.sent, true, record, identifiers, traits));
                events.push((record.answered, false, record, identifiers, traits));
            } else {
                let last = failed.entry(record.number).or_default();
                *last = record.sent_ms.max(*last);
            }
        }
        events.sort_unstable_by_key(|event| event.0);
        let mut sets = Sets::default();
        let mut standing: BTreeMap<(usize, &'static str), Vec<u64>> = BTreeMap::new();
        let mut beaten = BTreeMap::new();
        for (_, is_sent, record, identifiers, traits) in events {
            let kept: Vec<Identifier> = identifiers
                .iter()
                .filter(|one| self.is_kept(one))
                .cloned()
                .collect();
            if is_sent {
                let named: BTreeSet<usize> = kept.iter().filter_map(|one| sets.find(one)).collect();
                for set in named {
                    for name in traits {
                        let Some(values) = standing.get_mut(&(set, *name)) else {
                            continue;
                        };
                        values.retain(|number| {
                            let may_land = failed
                                .get(number)
                                .is_some_and(|sent| sent + EFFECT_MS > record.sent_ms);
                            if !may_land {
                                beaten.insert((*number, *name), record.number);
                            }
                            may_land
                        });
                    }
                }
            } else {
                let set = sets.join(&kept, |from, to| {
                    let moved: Vec<_> = standing
                        .range((from, "")..(from + 1, ""))
                        .map(|((_, name), _)| *name)
                        .collect();
                    for name in moved {
                        let values = standing.remove(&(from, name)).unwrap_or_default();
                        standing.entry((to, name)).or_default().extend(values);
                    }
                });
                for name in traits {
                    if let Some(set) = set {
                        standing
                            .entry((set, *name))
                            .or_default()
                            .push(record.number);
                    }
                }
            }
        }
        beaten
    }

    /// What the API says is what the database says.
    fn api(&self) -> Vec<String> {
        let mut findings = Vec::new();
        for (identifier, owners) in &self.seen.owners {
            let owner = self.rows.owner(self.store, identifier);
            let expected: Vec<_> = owner.into_iter().collect();
            if *owners != expected {
                let id_type = &identifier.id_type;
                findings.push(format!(
                    "a lookup of type {id_type} says {owners:?}, its claim {expected:?}"
                ));
            }
        }
        for (id, root) in &self.seen.roots {
            let expected = self.rows.root_of(*id);
            if *root != expected {
                findings.push(format!("{id} leads to {root:?}, its node to {expected:?}"));
            }
        }
        let traits = self.rows.traits(self.store);
        let held = self.rows.identifiers(self.store);
        for (root, shown) in &self.seen.traits {
            for (name, text, _) in traits.get(root).into_iter().flatten() {
                if shown.contains_key(name) && shown.get(name) != Some(text) {
                    findings.push(format!("{root} shows another {name} than its cells"));
                }
            }
        }
        for (root, shown) in &self.seen.identifiers {
            let shown: BTreeSet<_> = shown.iter().cloned().collect();
            if held.get(root).is_none_or(|held| *held != shown) {
                findings.push(format!("{root} shows other identifiers than its claims"));
            }
        }
        for root in &self.rows.canonical() {
            if !self.seen.listed.contains(root) {
                findings.push(format!("{root} is canonical and not listed"));
            }
        }
        for id in &self.seen.listed {
            if self.rows.root_of(*id) != Some(*id) {
                findings.push(format!("{id} is listed and not canonical"));
            }
        }
        findings
    }
}

/// What reads said while the run went on: what was known once stays known, and only ever to an older profile.
fn reads(history: &[Record]) -> Vec<String> {
    let mut events = Vec::new();
    for (index, record) in history.iter().enumerate() {
        if record.is_acknowledged() {
            events.push((record.sent, true, index));
            events.push((record.answered, false, index));
        }
    }
    events.sort_unstable();
    let mut owners: BTreeMap<&Identifier, Option<ProfileId>> = BTreeMap::new();
    let mut moved: BTreeMap<ProfileId, ProfileId> = BTreeMap::new();
    // What a read that was sent may not fall behind.
    let mut known = BTreeMap::new();
    let mut newest = BTreeMap::new();
    let mut findings = Vec::new();
    for (_, is_sent, index) in events {
        let record = &history[index];
        let number = record.number;
        match (&record.asked, &record.told, is_sent) {
            (Asked::Lookup(one), _, true) => {
                known.extend(owners.get(one).map(|owner| (index, *owner)));
            }
            (Asked::Lookup(one), Told::Owners(told), false) => {
                let before = known.remove(&index);
                let is_one = told.len() < 2 && (before.is_none() || told.len() == 1);
                let older = before.flatten();
                let is_older =
                    older.is_none_or(|older| told.first().is_some_and(|now| *now <= older));
                if !is_one || !is_older {
                    findings.push(format!(
                        "lookup {number} says {told:?}, and {before:?} was known when it was sent"
                    ));
                }
                if let Some(now) = told.first() {
                    let owner = owners.entry(one).or_insert(Some(*now));
                    *owner = Some(owner.map_or(*now, |owner| owner.min(*now)));
                }
            }
            (Asked::Create { identifiers, .. }, Told::Accepted(_), false) => {
                // Attached, to a profile that a lookup will tell.
                for one in identifiers
                    .iter()
                    .filter(|one| one.id_type.as_str() != crate::LIMITED)
                {
                    owners.entry(one).or_insert(None);
                }
            }
            (Asked::Fetch(id), _, true) => {
                newest.extend(moved.get(id).map(|to| (index, *to)));
            }
            (Asked::Fetch(id), told, false) => {
                let before = newest.remove(&index);
                match (told, before) {
                    (Told::Moved(to), before) if before.is_none_or(|before| *to <= before) => {
                        let oldest = moved.entry(*id).or_insert(*to);
                        *oldest = (*oldest).min(*to);
                    }
                    (Told::Here, None) => {}
                    _ => findings.push(format!(
                        "fetch {number} says {told:?}, and {before:?} was known when it was sent"
                    )),
                }
            }
            _ => {}
        }
    }
    findings
}

/// Acknowledged requests by what they turned out to be when they were sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mix {
    /// Creates of which no identifier was known.
    pub new: usize,
    /// Creates of one known person, nothing new.
    pub known: usize,
    /// Creates of one known person, with a further identifier.
    pub attaching: usize,
    /// Creates of two or more known people.
    pub merging: usize,
    /// Reads: by id, and by identifier.
    pub reads: usize,
    /// Attempts that were answered 503.
    pub unavailable: usize,
    /// Attempts that got no answer.
    pub unanswered: usize,
}

impl Mix {
    /// Sorts a history.
    #[must_use]
    pub fn of(history: &[Record]) -> Self {
        let mut mix = Self::default();
        let mut sets = Sets::default();
        let mut events = Vec::new();
        for record in history {
            match (&record.asked, &record.told) {
                (_, Told::Unavailable) => mix.unavailable += 1,
                (_, Told::Nothing) => mix.unanswered += 1,
                (Asked::Create { identifiers, .. }, Told::Accepted(_)) => {
                    events.push((record.sent, true, identifiers));
                    events.push((record.answered, false, identifiers));
                }
                (Asked::Fetch(_) | Asked::Lookup(_), _) if record.is_acknowledged() => {
                    mix.reads += 1;
                }
                _ => {}
            }
        }
        events.sort_unstable_by_key(|event| event.0);
        for (_, is_sent, identifiers) in events {
            if !is_sent {
                sets.join(identifiers, |_, _| {});
                continue;
            }
            let found: Vec<_> = identifiers.iter().map(|one| sets.find(one)).collect();
            let people: BTreeSet<_> = found.iter().flatten().collect();
            match people.len() {
                0 => mix.new += 1,
                1 if found.iter().all(Option::is_some) => mix.known += 1,
                1 => mix.attaching += 1,
                _ => mix.merging += 1,
            }
        }
        mix
    }

    /// How many requests were acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        self.new + self.known + self.attaching + self.merging + self.reads
    }
}

#[cfg(test)]
mod tests;
