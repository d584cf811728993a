//! Which profiles a request names, given who owns its identifiers: one unique value decides, non-unique values decide only
//! when two types agree or when there is nothing better (`memory-api.md` 8.3, 8.6).

use std::collections::{BTreeMap, BTreeSet};

use crate::id::ProfileId;
use crate::identifier::IdType;
use crate::settings::IdentitySettings;

/// One identifier of a request is owned by one profile. An identifier of a non-unique type may give many of these.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Match {
    /// The identifier's type.
    pub id_type: IdType,
    /// The canonical profile: merges followed, dead ones left out.
    pub owner: ProfileId,
}

/// The profiles that a request names: none is a new profile, one is that one, more are to be merged into the smallest.
///
/// `has_unique_in_rules` says whether the request holds an identifier of a unique type in the rules, owned or not
/// ([`IdentitySettings::has_unique_in_rules`]). Matches may come in any order and repeat; those of a type outside the
/// matching rules, or no longer configured, count for nothing.
#[must_use]
pub fn candidates(
    settings: &IdentitySettings,
    has_unique_in_rules: bool,
    matches: &[Match],
) -> BTreeSet<ProfileId> {
    let mut decided = BTreeSet::new();
    let mut shared: BTreeMap<ProfileId, BTreeSet<usize>> = BTreeMap::new();
    for Match { id_type, owner } in matches {
        let (Some(rule), Some(config)) = (settings.rule_of(id_type), settings.config(id_type))
        else {
            continue;
        };
        if config.enforce_unique {
            decided.insert(*owner);
        } else {
            shared.entry(*owner).or_default().insert(rule);
        }
    }
    let agreed = shared.iter().filter(|(_, rules)| rules.len() >= 2);
    decided.extend(agreed.map(|(owner, _)| *owner));
    if decided.is_empty() && !has_unique_in_rules {
        // The best rule that matched, and of its owners the earliest.
        let best = shared
            .iter()
            .filter_map(|(owner, rules)| Some((*rules.first()?, *owner)))
            .min();
        decided.extend(best.map(|(_, owner)| owner));
    }
    decided
}

#[cfg(test)]
mod tests;
