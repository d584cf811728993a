use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::settings::IdentifierConfig;

fn profile(n: u128) -> ProfileId {
    ProfileId::from_uuid(Uuid::from_u128(n))
}

/// Types by name and whether they are unique; all but those called `outside` are rules, in this order.
fn settings(types: &[(&str, bool)]) -> IdentitySettings {
    let config = |(name, unique): &(&str, bool)| IdentifierConfig {
        enforce_unique: *unique,
        ..IdentifierConfig::new(IdType::new(name))
    };
    let rules = types
        .iter()
        .filter(|(name, _)| !name.starts_with("outside"));
    IdentitySettings {
        identifier_configs: types.iter().map(config).collect(),
        matching_rules: rules.map(|(name, _)| IdType::new(name)).collect(),
        ..IdentitySettings::default()
    }
}

fn home() -> IdentitySettings {
    settings(&[
        ("email", true),
        ("phone", true),
        ("household", false),
        ("deviceGroup", false),
        ("outsideUnique", true),
        ("outsideShared", false),
    ])
}

/// Whom a request names, given the types of its identifiers with the profiles that own each.
fn named(settings: &IdentitySettings, request: &[(&str, &[u128])]) -> Vec<u128> {
    let unique = |name: &str| {
        let id_type = IdType::new(name);
        settings.rule_of(&id_type).is_some() && settings.config(&id_type).unwrap().enforce_unique
    };
    let matches: Vec<_> = request
        .iter()
        .flat_map(|(name, owners)| {
            let matched = |owner: &u128| Match {
                id_type: IdType::new(name),
                owner: profile(*owner),
            };
            owners.iter().map(matched)
        })
        .collect();
    let has_unique = request.iter().any(|(name, _)| unique(name));
    let found = candidates(settings, has_unique, &matches);
    found
        .into_iter()
        .map(|owner| owner.as_uuid().as_u128())
        .collect()
}

#[test]
fn nobody_owns_them_and_nobody_is_named() {
    assert_eq!(named(&home(), &[("email", &[]), ("household", &[])]), []);
    assert_eq!(named(&home(), &[]), []);
}

#[test]
fn every_owner_of_a_unique_value_is_named() {
    // E4, E5, E6: the order of the rules decides nothing.
    assert_eq!(named(&home(), &[("email", &[2]), ("phone", &[1])]), [1, 2]);
    assert_eq!(named(&home(), &[("phone", &[1]), ("email", &[])]), [1]);
}

#[test]
fn a_shared_value_never_decides_beside_a_unique_one() {
    // E18: the e-mail says new, whether it was seen before or not.
    assert_eq!(named(&home(), &[("email", &[]), ("household", &[1])]), []);
    assert_eq!(
        named(&home(), &[("email", &[2]), ("household", &[1, 2])]),
        [2]
    );
}

#[test]
fn a_request_with_shared_values_only_goes_to_the_earliest_of_the_best_rule() {
    // E18
    assert_eq!(named(&home(), &[("household", &[2, 1])]), [1]);
    assert_eq!(
        named(&home(), &[("household", &[2, 3]), ("deviceGroup", &[1])]),
        [2]
    );
    assert_eq!(
        named(&home(), &[("household", &[]), ("deviceGroup", &[3])]),
        [3]
    );
}

#[test]
fn two_types_that_agree_decide() {
    // E19
    assert_eq!(
        named(&home(), &[("household", &[1, 2]), ("deviceGroup", &[1])]),
        [1]
    );
    let compound = [
        ("email", &[][..]),
        ("household", &[1, 2]),
        ("deviceGroup", &[1]),
    ];
    assert_eq!(named(&home(), &compound), [1]);
    // They decide beside a unique owner, and for more than one profile.
    let merging = [
        ("email", &[3][..]),
        ("household", &[1, 2]),
        ("deviceGroup", &[2, 1]),
    ];
    assert_eq!(named(&home(), &merging), [1, 2, 3]);
}

#[test]
fn two_values_of_one_type_do_not_agree() {
    let twice = [("email", &[][..]), ("household", &[1]), ("household", &[1])];
    assert_eq!(named(&home(), &twice), []);
}

#[test]
fn a_type_outside_the_rules_never_matches() {
    // E20
    assert_eq!(
        named(&home(), &[("email", &[]), ("outsideUnique", &[1])]),
        []
    );
    assert_eq!(named(&home(), &[("outsideUnique", &[1])]), []);
    assert_eq!(named(&home(), &[("outsideShared", &[1])]), []);
    // It agrees with nothing, and is no unique identifier that a shared one would give way to.
    assert_eq!(
        named(
            &home(),
            &[("email", &[]), ("household", &[1]), ("outsideShared", &[1])]
        ),
        []
    );
    assert_eq!(
        named(&home(), &[("household", &[1]), ("outsideUnique", &[2])]),
        [1]
    );
}

#[test]
fn a_type_no_longer_configured_never_matches() {
    let mut settings = home();
    settings
        .identifier_configs
        .retain(|config| config.id_type.as_str() != "phone");
    let gone = [Match {
        id_type: IdType::new("phone"),
        owner: profile(1),
    }];
    assert!(candidates(&settings, false, &gone).is_empty());
}

/// The pseudo-code of the contract, line by line.
fn as_written(
    settings: &IdentitySettings,
    has_unique: bool,
    matches: &[Match],
) -> BTreeSet<ProfileId> {
    let (mut u, mut n) = (BTreeSet::new(), BTreeSet::new());
    let mut first = None;
    for rule in &settings.matching_rules {
        for one in matches.iter().filter(|one| one.id_type == *rule) {
            if settings.config(rule).unwrap().enforce_unique {
                u.insert(one.owner);
            } else {
                n.insert((one.owner, rule));
                first.get_or_insert(rule);
            }
        }
    }
    let types_of = |p: ProfileId| n.iter().filter(|(owner, _)| *owner == p).count();
    let mut c = u;
    c.extend(n.iter().map(|(p, _)| *p).filter(|p| types_of(*p) >= 2));
    if c.is_empty()
        && !has_unique
        && let Some(first) = first
    {
        c.extend(
            n.iter()
                .filter(|(_, rule)| *rule == first)
                .map(|(p, _)| *p)
                .min(),
        );
    }
    c
}

fn any_matches() -> impl Strategy<Value = Vec<Match>> {
    const NAMES: [&str; 6] = [
        "email",
        "phone",
        "household",
        "deviceGroup",
        "outsideUnique",
        "outsideShared",
    ];
    let one = (proptest::sample::select(&NAMES[..]), 0u128..4).prop_map(|(name, owner)| Match {
        id_type: IdType::new(name),
        owner: profile(owner),
    });
    proptest::collection::vec(one, 0..8)
}

proptest! {
    #[test]
    fn it_is_the_contracts_rule(matches in any_matches(), has_unique: bool) {
        prop_assert_eq!(
            candidates(&home(), has_unique, &matches),
            as_written(&home(), has_unique, &matches)
        );
    }

    #[test]
    fn order_and_repetition_change_nothing(
        (matches, other) in any_matches().prop_flat_map(|matches| {
            let twice = [matches.clone(), matches.clone()].concat();
            (Just(matches), Just(twice).prop_shuffle())
        }),
        has_unique: bool,
    ) {
        prop_assert_eq!(
            candidates(&home(), has_unique, &matches),
            candidates(&home(), has_unique, &other)
        );
    }

    #[test]
    fn another_owned_unique_value_only_adds(matches in any_matches(), owner in 0u128..4) {
        let mut more = matches.clone();
        more.push(Match { id_type: IdType::new("email"), owner: profile(owner) });
        let (before, after) = (candidates(&home(), true, &matches), candidates(&home(), true, &more));
        prop_assert!(before.is_subset(&after) && after.contains(&profile(owner)));
    }
}
