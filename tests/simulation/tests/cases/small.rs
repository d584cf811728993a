//! Small cases, to be searched to their end.

use kith_domain::settings::{IdentitySettings, LimitPolicy};
use kith_simulation::case::Op;
use kith_simulation::exhaustive::Small;

/// Clients of one request each.
fn small(prelude: &[&[usize]], clients: Vec<Op>, unknown: u8) -> Small {
    Small {
        settings: IdentitySettings::default(),
        prelude: super::creates(prelude),
        clients: clients.into_iter().map(|op| vec![op]).collect(),
        unknown,
        crashes: true,
        probes: true,
        omission: None,
        broken: None,
    }
}

fn create(identifiers: &[usize]) -> Op {
    Op::Create(identifiers.to_vec())
}

/// Two create a person of one identifier.
pub(crate) fn one_identifier(unknown: u8) -> Small {
    small(&[], vec![create(&[0]), create(&[0])], unknown)
}

/// Two create one new person, from both ends.
pub(crate) fn two_creators(unknown: u8) -> Small {
    small(&[], vec![create(&[0, 1]), create(&[1, 0])], unknown)
}

/// A merge of two people, and a create that brings the younger one a new identifier.
pub(crate) fn a_create_and_a_merge(unknown: u8) -> Small {
    let clients = vec![create(&[0, 1]), create(&[1, 2])];
    small(&[&[0], &[1]], clients, unknown)
}

/// A create of what one person has and of something new, and the deletion of that person.
pub(crate) fn a_create_and_a_deletion(unknown: u8) -> Small {
    let clients = vec![create(&[0, 1]), Op::Delete(0)];
    small(&[&[0]], clients, unknown)
}

/// A merge of two people, and the deletion of one of them; a third is there.
pub(crate) fn a_merge_and_a_deletion(of: usize) -> Small {
    let clients = vec![create(&[0, 1]), Op::Delete(of)];
    small(&[&[0], &[1], &[2]], clients, 0)
}

/// Two merges of the same two people, and the deletion of one of them.
pub(crate) fn two_merges_and_a_deletion(of: usize, unknown: u8) -> Small {
    let clients = vec![create(&[0, 1]), create(&[1, 0]), Op::Delete(of)];
    small(&[&[0], &[1]], clients, unknown)
}

/// A merge of two people, and the deletions of both.
pub(crate) fn a_merge_and_two_deletions(unknown: u8) -> Small {
    let clients = vec![create(&[0, 1]), Op::Delete(0), Op::Delete(1)];
    small(&[&[0], &[1]], clients, unknown)
}

/// Two merges, one after the other, and the deletions of both people, likewise: whoever was deleted is there anew for the
/// second merge.
pub(crate) fn merges_and_deletions_in_turn(unknown: u8) -> Small {
    Small {
        clients: vec![
            vec![create(&[0, 1]), create(&[1, 0])],
            vec![Op::Delete(0), Op::Delete(1)],
        ],
        ..small(&[&[0], &[1]], Vec::new(), unknown)
    }
}

/// Two who each merge the two people and delete one of them.
pub(crate) fn a_merge_and_a_deletion_each(unknown: u8) -> Small {
    Small {
        clients: vec![
            vec![create(&[0, 1]), Op::Delete(0)],
            vec![create(&[1, 0]), Op::Delete(1)],
        ],
        ..small(&[&[0], &[1]], Vec::new(), unknown)
    }
}

/// Two merges that have one person in common, and the deletions of the older two.
pub(crate) fn two_merges_and_two_deletions(unknown: u8) -> Small {
    let clients = vec![
        create(&[0, 1]),
        create(&[1, 2]),
        Op::Delete(0),
        Op::Delete(1),
    ];
    small(&[&[0], &[1], &[2]], clients, unknown)
}

/// Two merges of the same two people, and the deletions of both.
pub(crate) fn one_merge_twice_and_two_deletions(unknown: u8) -> Small {
    let clients = vec![
        create(&[0, 1]),
        create(&[1, 0]),
        Op::Delete(0),
        Op::Delete(1),
    ];
    small(&[&[0], &[1]], clients, unknown)
}

/// One e-mail address a person: somebody brings a second one, while that person is merged into an older one.
pub(crate) fn an_eviction_and_a_merge(unknown: u8, policy: LimitPolicy) -> Small {
    let clients = vec![create(&[1, 2]), create(&[2, 4])];
    Small {
        settings: super::limited(1, policy),
        // A request for everybody would bring everything under the limit by itself.
        probes: false,
        ..small(&[&[1], &[0, 2]], clients, unknown)
    }
}

/// Two types of which a value may be several people's.
fn sharing() -> IdentitySettings {
    let mut settings = IdentitySettings::default();
    for config in &mut settings.identifier_configs {
        config.enforce_unique = !["whatsapp", "chat"].contains(&config.id_type.as_str());
    }
    settings
}

/// Two new people with one household and one device: they are one.
pub(crate) fn two_that_agree(unknown: u8) -> Small {
    Small {
        settings: sharing(),
        probes: false,
        ..small(&[], vec![create(&[0, 2, 3]), create(&[4, 2, 3])], unknown)
    }
}

/// Somebody agrees in two types with a person who is merged into an older one meanwhile.
pub(crate) fn a_match_and_a_merge(unknown: u8) -> Small {
    Small {
        settings: sharing(),
        probes: false,
        ..small(
            &[&[1], &[0, 2, 3]],
            vec![create(&[0, 1]), create(&[4, 2, 3])],
            unknown,
        )
    }
}

/// An address is changed into one that somebody else creates a person with.
pub(crate) fn a_change_and_a_create(unknown: u8) -> Small {
    let clients = vec![Op::Change(0, 4), create(&[4, 2])];
    small(&[&[0, 3]], clients, unknown)
}
