//! What callers were answered, and whether the store still says so.
//!
//! Each acknowledged create is a fact: its identifiers belong together, and its traits were written after every create that
//! had been acknowledged when it was sent. A create without an answer may have taken effect, or not.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// One create as its caller saw it.
#[derive(Debug, Clone)]
pub struct Event {
    /// Order of sending and of answers, over all callers: a count that only grows.
    pub sent: u64,
    /// When it was answered; `None` if it was not, or not with 202.
    pub acknowledged: Option<u64>,
    /// The identifiers, as (type, normalised value).
    pub identifiers: Vec<(String, String)>,
    /// The traits that are not identifiers, as (name, value).
    pub traits: BTreeMap<String, Value>,
    /// The id of the answer.
    pub profile: Option<String>,
}

/// What the store says of one profile.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// Which profile each identifier leads to, by Lookup.
    pub owners: BTreeMap<(String, String), Vec<String>>,
    /// What each id that was ever answered leads to, after redirects; `None` if it is gone.
    pub roots: BTreeMap<String, Option<String>>,
    /// The traits of each canonical profile.
    pub traits: BTreeMap<String, BTreeMap<String, Value>>,
    /// The profiles listed.
    pub listed: BTreeSet<String>,
}

/// Compares a history with what the store says when everything is quiet. One line a finding; none means that it is right.
#[must_use]
pub fn findings(history: &[Event], observed: &Observed) -> Vec<String> {
    let mut findings = Vec::new();
    let acknowledged: Vec<&Event> = history
        .iter()
        .filter(|event| event.acknowledged.is_some())
        .collect();

    // Invariant 1: whatever one acknowledged request carried together resolves to one id, which its answer redirects to.
    for event in &acknowledged {
        let mut owners = BTreeSet::new();
        for identifier in &event.identifiers {
            match observed.owners.get(identifier).map(Vec::as_slice) {
                Some([one]) => {
                    owners.insert(one.clone());
                }
                other => findings.push(format!(
                    "an identifier of type {} of request {} leads to {other:?}",
                    identifier.0, event.sent
                )),
            }
        }
        if let Some(answered) = &event.profile {
            match observed.roots.get(answered) {
                Some(Some(root)) => {
                    owners.insert(root.clone());
                }
                other => findings.push(format!(
                    "the answer {answered} of request {} leads to {other:?}",
                    event.sent
                )),
            }
        }
        if owners.len() > 1 {
            findings.push(format!("request {} is split over {owners:?}", event.sent));
        }
    }

    // Invariant 2: the canonical id is the smallest that any request of the component was answered.
    let mut answers: BTreeMap<&String, BTreeSet<&String>> = BTreeMap::new();
    for event in &acknowledged {
        if let Some(answered) = &event.profile
            && let Some(Some(root)) = observed.roots.get(answered)
        {
            answers.entry(root).or_default().insert(answered);
        }
    }
    for (root, ids) in &answers {
        if ids.first().is_some_and(|smallest| smallest < root) {
            findings.push(format!(
                "{root} survives, though {:?} is older",
                ids.first()
            ));
        }
        if !observed.listed.contains(*root) {
            findings.push(format!("{root} is canonical and not listed"));
        }
    }

    // Invariants 3 and 4: the value of a trait is that of a write which no acknowledged write of the same profile followed.
    let mut writes: BTreeMap<(&String, &String), Vec<&Event>> = BTreeMap::new();
    for event in history {
        // An unanswered create may have written wherever one of its identifiers leads.
        let leads = event
            .identifiers
            .iter()
            .find_map(|identifier| observed.owners.get(identifier)?.first());
        let answered = event
            .profile
            .as_ref()
            .and_then(|id| observed.roots.get(id)?.as_ref());
        if let Some(root) = answered.or(leads) {
            for name in event.traits.keys() {
                writes.entry((root, name)).or_default().push(event);
            }
        }
    }
    for ((root, name), events) in writes {
        let last_sent = events
            .iter()
            .filter(|event| event.acknowledged.is_some())
            .map(|event| event.sent)
            .max();
        let Some(last_sent) = last_sent else { continue };
        // Whatever was acknowledged before the last acknowledged one was sent has been overwritten.
        let possible: Vec<&Value> = events
            .iter()
            .filter(|event| event.acknowledged.is_none_or(|at| at > last_sent))
            .filter_map(|event| event.traits.get(name))
            .collect();
        let value = observed
            .traits
            .get(root)
            .and_then(|traits| traits.get(name));
        match value {
            None => findings.push(format!("trait {name} of {root} is lost")),
            Some(value) if !possible.contains(&value) => {
                findings.push(format!(
                    "trait {name} of {root} has a value that was overwritten, or nobody's"
                ));
            }
            Some(_) => {}
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(
        sent: u64,
        acknowledged: Option<u64>,
        email: &str,
        value: &str,
        profile: &str,
    ) -> Event {
        Event {
            sent,
            acknowledged,
            identifiers: vec![("email".into(), email.into())],
            traits: BTreeMap::from([("firstName".into(), json!(value))]),
            profile: acknowledged.map(|_| profile.to_owned()),
        }
    }

    fn history() -> Vec<Event> {
        vec![
            event(1, Some(2), "a", "one", "P1"),
            event(3, Some(4), "a", "two", "P1"),
            event(5, Some(6), "b", "other", "P2"),
        ]
    }

    fn right() -> Observed {
        let email = |value: &str| ("email".to_owned(), value.to_owned());
        Observed {
            owners: BTreeMap::from([
                (email("a"), vec!["P1".into()]),
                (email("b"), vec!["P2".into()]),
            ]),
            roots: BTreeMap::from([
                ("P1".into(), Some("P1".into())),
                ("P2".into(), Some("P2".into())),
            ]),
            traits: BTreeMap::from([
                (
                    "P1".into(),
                    BTreeMap::from([("firstName".into(), json!("two"))]),
                ),
                (
                    "P2".into(),
                    BTreeMap::from([("firstName".into(), json!("other"))]),
                ),
            ]),
            listed: BTreeSet::from(["P1".into(), "P2".into()]),
        }
    }

    #[test]
    fn what_is_right_has_no_findings() {
        assert_eq!(findings(&history(), &right()), Vec::<String>::new());
    }

    #[test]
    fn an_older_value_and_a_missing_one_are_found() {
        let mut stale = right();
        stale.traits.insert(
            "P1".into(),
            BTreeMap::from([("firstName".into(), json!("one"))]),
        );
        assert_eq!(findings(&history(), &stale).len(), 1);
        let mut lost = right();
        lost.traits.insert("P2".into(), BTreeMap::new());
        assert_eq!(findings(&history(), &lost).len(), 1);
    }

    #[test]
    fn an_unanswered_write_may_stand_or_not() {
        let mut history = history();
        history.push(event(7, None, "a", "three", ""));
        assert_eq!(findings(&history, &right()), Vec::<String>::new());
        let mut landed = right();
        landed.traits.insert(
            "P1".into(),
            BTreeMap::from([("firstName".into(), json!("three"))]),
        );
        assert_eq!(findings(&history, &landed), Vec::<String>::new());
    }

    #[test]
    fn writes_that_overlap_may_end_either_way() {
        let history = vec![
            event(1, Some(4), "a", "one", "P1"),
            event(2, Some(3), "a", "two", "P1"),
            event(5, Some(6), "b", "other", "P2"),
        ];
        for value in ["one", "two"] {
            let mut observed = right();
            observed.traits.insert(
                "P1".into(),
                BTreeMap::from([("firstName".into(), json!(value))]),
            );
            assert_eq!(findings(&history, &observed), Vec::<String>::new());
        }
    }

    #[test]
    fn split_identities_younger_survivors_and_unlisted_ones_are_found() {
        let mut history = history();
        history[2].identifiers.push(("email".into(), "a".into()));
        assert!(
            findings(&history, &right())
                .iter()
                .any(|finding| finding.contains("split"))
        );
        let mut younger = right();
        younger.roots.insert("P1".into(), Some("P2".into()));
        assert!(
            findings(&self::history(), &younger)
                .iter()
                .any(|finding| finding.contains("older"))
        );
        let mut unlisted = right();
        unlisted.listed.remove("P2");
        assert_eq!(findings(&self::history(), &unlisted).len(), 1);
    }
}
