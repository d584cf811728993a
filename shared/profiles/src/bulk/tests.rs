use std::collections::BTreeSet;

use kith_domain::body::TraitWriteOf;
use kith_domain::identifier::{IdType, IdentifierValue};
use kith_domain::settings::IdentifierConfig;
use kith_domain::traits::{TraitValue, TraitWrite};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;

fn identifier((id_type, value): (&str, u8)) -> Identifier {
    Identifier {
        id_type: IdType::new(id_type),
        value: IdentifierValue::new(&value.to_string()),
    }
}

fn write(definition: u8, value: usize) -> TraitWriteOf {
    TraitWriteOf {
        definition: DefinitionId::from_uuid(Uuid::from_u128(definition.into())),
        write: TraitWrite::Set(TraitValue::String(value.to_string())),
        promoted: false,
    }
}

fn item(identifiers: &[(&str, u8)], writes: Vec<TraitWriteOf>) -> WriteSet {
    WriteSet {
        writes,
        identifiers: identifiers.iter().copied().map(identifier).collect(),
    }
}

/// Default types, a non-unique one in the rules, and one outside of them.
fn settings() -> IdentitySettings {
    let mut settings = IdentitySettings::default();
    let mut household = IdentifierConfig::new(IdType::new("household"));
    household.enforce_unique = false;
    let legacy = IdentifierConfig::new(IdType::new("legacyId"));
    settings.matching_rules.push(household.id_type.clone());
    settings.identifier_configs.extend([household, legacy]);
    settings
}

#[test]
fn items_that_share_an_identifier_become_one_create_over_others() {
    let items = vec![
        item(&[("email", 1)], vec![write(1, 10), write(2, 11)]),
        item(&[("chat", 9)], vec![write(1, 20)]),
        item(&[("phone", 2)], vec![write(3, 30)]),
        item(&[("phone", 2), ("email", 1)], vec![write(1, 40)]),
    ];
    let both = item(
        &[("email", 1), ("phone", 2)],
        vec![write(1, 40), write(2, 11), write(3, 30)],
    );
    let alone = item(&[("chat", 9)], vec![write(1, 20)]);
    assert_eq!(lines(&settings(), items), [vec![both], vec![alone]]);
}

#[test]
fn a_person_whose_items_are_large_together_gets_one_event_after_another() {
    let large = |value: &str, definition: u8| {
        let mut write = write(definition, 0);
        write.write = TraitWrite::Set(TraitValue::String(value.repeat(400 << 10)));
        write
    };
    let items = vec![
        item(&[("email", 1)], vec![large("a", 1)]),
        item(&[("email", 1), ("household", 5)], vec![large("b", 2)]),
        item(&[("household", 5)], vec![write(1, 20)]),
        item(&[("email", 1)], vec![large("c", 1)]),
        item(&[("email", 1)], vec![write(1, 30)]),
    ];
    assert!(bytes_of(&items[0]) > 400 << 10);
    let first = fold(items[..2].iter().cloned());
    let second = fold(items[3..].iter().cloned());
    // Of one person and of whoever shares a value with them, one line.
    let expected = [vec![first, second, items[2].clone()]];
    assert_eq!(lines(&settings(), items), expected);
}

#[test]
fn one_value_of_two_types_is_shared_by_nobody() {
    let items = vec![item(&[("email", 1)], vec![]), item(&[("phone", 1)], vec![])];
    assert_eq!(lines(&settings(), items).len(), 2);
}

#[test]
fn a_value_that_is_not_unique_keeps_items_apart_and_in_order() {
    let items = vec![
        item(&[("email", 1), ("household", 5)], vec![write(1, 10)]),
        item(&[("email", 2)], vec![write(1, 20)]),
        item(&[("household", 5)], vec![write(1, 30)]),
    ];
    let expected = [
        vec![items[0].clone(), items[2].clone()],
        vec![items[1].clone()],
    ];
    assert_eq!(lines(&settings(), items), expected);
}

#[test]
fn a_value_outside_the_rules_joins_nobody() {
    let items = vec![
        item(&[("email", 1), ("legacyId", 7)], vec![]),
        item(&[("email", 2), ("legacyId", 7)], vec![]),
    ];
    assert_eq!(lines(&settings(), items).len(), 2);
}

/// Items of a few identifiers each, out of few, so that chains form; each writes a few traits.
fn some_items() -> impl Strategy<Value = Vec<WriteSet>> {
    let types = prop::sample::select(vec!["email", "phone", "household", "legacyId"]);
    let identifiers = prop::collection::vec((types, 0..12u8), 1..4);
    let one = (identifiers, prop::collection::btree_set(0..6u8, 0..4));
    prop::collection::vec(one, 1..24).prop_map(|items| {
        let items = items.into_iter().enumerate();
        items
            .map(|(place, (mut identifiers, writes))| {
                identifiers.sort_unstable();
                identifiers.dedup();
                // A trait of its own tells which items a create has: the greatest of them is the first item's.
                let own = u8::MAX - u8::try_from(place).expect("few items");
                let writes = writes
                    .into_iter()
                    .chain([own])
                    .map(|definition| write(definition, place));
                item(&identifiers, writes.collect())
            })
            .collect()
    })
}

/// Who ends up together: the identifiers of every create, in no order.
fn people(lines: &[Vec<WriteSet>]) -> BTreeSet<Vec<Identifier>> {
    let creates = lines.iter().flatten();
    creates
        .map(|create| {
            let mut identifiers = create.identifiers.clone();
            identifiers.sort_unstable();
            identifiers
        })
        .collect()
}

/// The same by the definition: take whoever shares a unique value with somebody taken, until nobody does.
fn closure(settings: &IdentitySettings, items: &[WriteSet]) -> Vec<BTreeSet<usize>> {
    let mut left: BTreeSet<usize> = (0..items.len()).collect();
    let mut groups = Vec::new();
    while let Some(first) = left.pop_first() {
        let mut group = BTreeSet::from([first]);
        loop {
            let names = |place: &usize| in_rules(settings, &items[*place], true);
            let more: Vec<usize> = left
                .iter()
                .filter(|place| {
                    let own = names(place);
                    group
                        .iter()
                        .any(|other| names(other).iter().any(|one| own.contains(one)))
                })
                .copied()
                .collect();
            if more.is_empty() {
                break;
            }
            for place in more {
                left.remove(&place);
                group.insert(place);
            }
        }
        groups.push(group);
    }
    groups
}

proptest! {
    #[test]
    fn groups_are_the_same_whatever_the_order_of_items(
        (items, shuffled) in some_items().prop_flat_map(|items| {
            (Just(items.clone()), Just(items).prop_shuffle())
        })
    ) {
        let settings = settings();
        prop_assert_eq!(people(&lines(&settings, items)), people(&lines(&settings, shuffled)));
    }

    #[test]
    fn groups_are_the_closure_of_sharing_and_later_items_win(items in some_items()) {
        let settings = settings();
        let lines = lines(&settings, items.clone());
        let creates: Vec<&WriteSet> = lines.iter().flatten().collect();
        let groups = closure(&settings, &items);
        prop_assert_eq!(creates.len(), groups.len());
        for group in groups {
            // Identifiers once each, in document order; of every trait the last item's write.
            let mut identifiers: Vec<&Identifier> = Vec::new();
            let mut last: BTreeMap<DefinitionId, &TraitWriteOf> = BTreeMap::new();
            for place in group {
                for one in &items[place].identifiers {
                    if !identifiers.contains(&one) {
                        identifiers.push(one);
                    }
                }
                last.extend(items[place].writes.iter().map(|write| (write.definition, write)));
            }
            let own = creates.iter().any(|create| {
                let mut writes: Vec<&TraitWriteOf> = create.writes.iter().collect();
                writes.sort_by_key(|write| write.definition);
                create.identifiers.iter().eq(identifiers.iter().copied())
                    && writes.into_iter().eq(last.values().copied())
            });
            prop_assert!(own, "no create is this group");
        }
    }

    #[test]
    fn creates_that_share_a_value_in_the_rules_are_in_one_line_in_document_order(items in some_items()) {
        let settings = settings();
        let lines = lines(&settings, items.clone());
        for (number, line) in lines.iter().enumerate() {
            let first_of = |create: &WriteSet| create.writes.iter().map(|write| write.definition).max();
            for pair in line.windows(2) {
                prop_assert!(first_of(&pair[0]) > first_of(&pair[1]));
            }
            for other in &lines[number + 1..] {
                for unique in [true, false] {
                    let own: HashSet<&Identifier> =
                        line.iter().flat_map(|create| in_rules(&settings, create, unique)).collect();
                    let theirs = other.iter().flat_map(|create| in_rules(&settings, create, unique));
                    prop_assert!(theirs.into_iter().all(|one| !own.contains(one)));
                }
            }
        }
    }
}
