//! What the suites run: small situations, and one in which anybody does anything.

#![expect(dead_code, reason = "each suite takes what it needs")]

pub(crate) mod small;

use std::collections::BTreeSet;

use kith_domain::identifier::IdType;
use kith_domain::settings::{IdentitySettings, LimitPolicy};
use kith_simulation::run::{Case, Op};
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

pub(crate) fn creates(list: &[&[usize]]) -> Vec<Op> {
    list.iter().map(|one| Op::Create(one.to_vec())).collect()
}

/// Each client on a process of its own, nothing lost.
pub(crate) fn case(prelude: &[&[usize]], clients: Vec<Vec<Op>>) -> Case {
    Case {
        settings: IdentitySettings::default(),
        prelude: creates(prelude),
        processes: clients.len(),
        clients,
        omission: None,
        broken: None,
        probes: true,
        unknown_permille: 0,
        crash_permille: 0,
        clock_step_permille: 0,
        early_permille: 0,
        workers: false,
    }
}

/// The same, with answers lost and clients given up.
pub(crate) fn faulty(case: Case) -> Case {
    Case {
        unknown_permille: 60,
        crash_permille: 8,
        clock_step_permille: 10,
        early_permille: 300,
        ..case
    }
}

/// Three create one new person.
pub(crate) fn creators() -> Case {
    case(
        &[],
        vec![
            creates(&[&[0, 1]]),
            creates(&[&[1, 0]]),
            creates(&[&[1, 2]]),
        ],
    )
}

/// Four clients of two processes want one person.
pub(crate) fn flights() -> Case {
    let clients = vec![
        creates(&[&[0, 1]]),
        creates(&[&[0, 1]]),
        creates(&[&[0, 1], &[1, 2]]),
        creates(&[&[0]]),
    ];
    Case {
        processes: 2,
        ..case(&[], clients)
    }
}

/// Four merges in a ring.
pub(crate) fn crossing_merges() -> Case {
    let ring: [&[usize]; 4] = [&[0, 1], &[1, 2], &[2, 3], &[3, 0]];
    let clients = ring.iter().map(|one| creates(&[one])).collect();
    case(&[&[0], &[1], &[2], &[3]], clients)
}

/// Merges and a newcomer, with answers lost and clients given up.
pub(crate) fn lost_answers() -> Case {
    let clients = vec![
        creates(&[&[0, 1], &[4]]),
        creates(&[&[1, 2], &[0]]),
        creates(&[&[2, 0], &[4, 5]]),
    ];
    faulty(case(&[&[0], &[1], &[2]], clients))
}

/// Two merges and two deletions, and somebody who attaches to what may be dying. Every second run with faults.
pub(crate) fn merges_and_deletions(seed: u64) -> Case {
    let clients = vec![
        creates(&[&[0, 1]]),
        creates(&[&[1, 2]]),
        vec![Op::Delete(0), Op::Create(vec![0, 3])],
        vec![Op::Delete(1), Op::Create(vec![1])],
    ];
    let case = case(&[&[0], &[1], &[2]], clients);
    if seed.is_multiple_of(2) {
        case
    } else {
        faulty(case)
    }
}

/// A change of an e-mail address against a create of the new one and a merge.
pub(crate) fn a_merge_and_a_change() -> Case {
    let clients = vec![
        vec![Op::Change(0, 4)],
        creates(&[&[4, 2]]),
        creates(&[&[0, 1]]),
    ];
    Case {
        unknown_permille: 30,
        ..case(&[&[0, 3], &[1]], clients)
    }
}

fn limited(limit: u16, policy: LimitPolicy) -> IdentitySettings {
    let mut settings = IdentitySettings::default();
    let email = IdType::new("email");
    for config in &mut settings.identifier_configs {
        if config.id_type == email {
            config.limit = limit;
            config.limit_policy = policy;
        }
    }
    settings
}

/// One e-mail address a person, where adders and a merge bring two. Every second run with crashes.
pub(crate) fn limits(seed: u64) -> Case {
    let policy = if seed.is_multiple_of(2) {
        LimitPolicy::Fifo
    } else {
        LimitPolicy::Lifo
    };
    let clients = match seed % 3 {
        0 => vec![creates(&[&[1, 0]]), creates(&[&[1, 4]])],
        1 => vec![
            creates(&[&[0, 1]]),
            creates(&[&[4, 1]]),
            creates(&[&[1, 2]]),
        ],
        _ => vec![
            creates(&[&[1, 2]]),
            creates(&[&[2, 4]]),
            creates(&[&[0, 1]]),
        ],
    };
    let prelude: &[&[usize]] = match seed % 3 {
        0 => &[],
        1 => &[&[1]],
        _ => &[&[0, 1], &[4, 2]],
    };
    let case = Case {
        settings: limited(1, policy),
        // A probe of everybody would bring everything under the limit by itself.
        probes: false,
        ..case(prelude, clients)
    };
    if seed % 4 < 2 {
        case
    } else {
        Case {
            crash_permille: 25,
            ..case
        }
    }
}

fn some(rng: &mut SmallRng) -> Vec<usize> {
    let mut all: Vec<usize> = (0..6).collect();
    all.shuffle(rng);
    // A body has one value a trait.
    let mut seen = BTreeSet::new();
    all.retain(|one| seen.insert(one % 4));
    all.truncate(rng.random_range(1..=3));
    all
}

fn any(rng: &mut SmallRng) -> Op {
    let of = rng.random_range(0..6);
    match rng.random_range(0..16) {
        0 | 1 => Op::Delete(of),
        2 => Op::Patch(of, some(rng)),
        3 => Op::Add(of, rng.random_range(0..6)),
        4 => Op::Change(of % 2, of % 2 + 4),
        5 => Op::Remove(of),
        6 => Op::Lookup(of),
        7 => Op::Fetch(of),
        8 => Op::List(of),
        9 => Op::Clear(of),
        _ => Op::Create(some(rng)),
    }
}

/// So many clients do anything, with everything that can go wrong.
fn anything(seed: u64, clients: usize, each: usize) -> Case {
    let mut rng = SmallRng::seed_from_u64(seed ^ 0x9e37_79b9);
    let prelude = (0..3).map(|_| Op::Create(some(&mut rng))).collect();
    let clients: Vec<Vec<Op>> = (0..clients)
        .map(|_| (0..each).map(|_| any(&mut rng)).collect())
        .collect();
    Case {
        prelude,
        unknown_permille: 40,
        crash_permille: 4,
        clock_step_permille: 5,
        early_permille: 200,
        ..case(&[], clients)
    }
}

/// Four clients on two to four processes do anything.
pub(crate) fn everything(seed: u64) -> Case {
    Case {
        processes: 2 + usize::try_from(seed % 3).unwrap_or(0),
        ..anything(seed, 4, 2)
    }
}

/// Eight clients, each on a process of its own or two on each, do anything.
pub(crate) fn crowd(seed: u64) -> Case {
    Case {
        processes: 8 - 4 * usize::try_from(seed % 2).unwrap_or(0),
        ..anything(seed, 8, 1)
    }
}

/// Two clients do anything while workers read the log, are given up, and have partitions taken away.
pub(crate) fn workers(seed: u64) -> Case {
    Case {
        workers: true,
        ..anything(seed, 2, 3)
    }
}

/// A deletion that workers purge, and a write to that person from another host, whose clock may be behind.
pub(crate) fn a_write_and_a_purge() -> Case {
    Case {
        workers: true,
        ..case(&[&[0]], vec![vec![Op::Delete(0)], creates(&[&[0]])])
    }
}

/// Writers of one person, whom two merges move meanwhile, on hosts whose clocks are minutes apart.
pub(crate) fn order_over_merges(_: u64) -> Case {
    let clients = vec![
        creates(&[&[2], &[2]]),
        creates(&[&[1, 2]]),
        creates(&[&[0, 1]]),
        creates(&[&[0], &[2]]),
    ];
    case(&[&[0], &[1], &[2]], clients)
}

/// A merge against the deletion of the younger profile.
pub(crate) fn a_merge_and_a_deletion() -> Case {
    case(
        &[&[0], &[1]],
        vec![creates(&[&[0, 1]]), vec![Op::Delete(1)]],
    )
}

/// A create that attaches to one profile and merges another, and the deletion of both, one after the other.
pub(crate) fn an_attach_and_two_deletions() -> Case {
    case(
        &[&[0], &[1]],
        vec![creates(&[&[0, 1]]), vec![Op::Delete(0), Op::Delete(1)]],
    )
}

/// A release whose answer is lost, and whoever takes the value since.
pub(crate) fn a_release_and_newcomers() -> Case {
    let clients = vec![
        vec![Op::Remove(0)],
        vec![Op::Lookup(0), Op::Create(vec![0])],
        vec![Op::Lookup(1), Op::Lookup(0), Op::Create(vec![0, 1])],
    ];
    Case {
        unknown_permille: 100,
        ..case(&[&[0, 1]], clients)
    }
}

/// Merges that make chains, clients given up, and whoever passes over what they left.
pub(crate) fn chains() -> Case {
    let clients = vec![
        creates(&[&[1, 2], &[2]]),
        creates(&[&[0, 1], &[2]]),
        vec![Op::List(2), Op::Create(vec![2, 3]), Op::List(0)],
    ];
    Case {
        crash_permille: 15,
        ..case(&[&[0], &[1], &[2], &[3]], clients)
    }
}

/// Merges, and whoever lists meanwhile.
pub(crate) fn merges_and_lists() -> Case {
    let clients = vec![
        creates(&[&[0, 1]]),
        creates(&[&[1, 2]]),
        vec![Op::List(0), Op::List(0), Op::List(0)],
        vec![Op::List(1), Op::List(2), Op::Lookup(2)],
    ];
    case(&[&[0], &[1], &[2]], clients)
}

/// Somebody makes a profile and may die; others write to it by its id, and take its identifier away.
pub(crate) fn named_and_unlisted() -> Case {
    let clients = vec![
        creates(&[&[2]]),
        vec![Op::Clear(2), Op::Remove(2)],
        vec![Op::Patch(2, vec![])],
    ];
    Case {
        crash_permille: 40,
        // A probe would find everybody and list them.
        probes: false,
        ..case(&[], clients)
    }
}

/// Values that are removed while others are written.
pub(crate) fn removals() -> Case {
    let clients = vec![
        vec![Op::Clear(0), Op::Fetch(1)],
        vec![Op::Create(vec![1]), Op::Clear(1)],
        creates(&[&[0, 1]]),
    ];
    Case {
        // A probe would write a newer value over every removal.
        probes: false,
        ..case(&[&[0], &[1]], clients)
    }
}

/// A merge against the deletion of the older profile, and whoever sees that the younger one lives on.
pub(crate) fn a_merge_and_the_deletion_of_the_older() -> Case {
    case(
        &[&[0], &[1]],
        vec![creates(&[&[0, 1]]), vec![Op::Delete(0), Op::Lookup(1)]],
    )
}

/// One profile, deleted twice, and whoever looks.
pub(crate) fn two_deletions() -> Case {
    let clients = vec![
        vec![Op::Delete(0)],
        vec![Op::Delete(0), Op::Lookup(0)],
        vec![Op::Lookup(0), Op::Lookup(0), Op::Create(vec![0, 1])],
    ];
    Case {
        unknown_permille: 150,
        ..case(&[&[0]], clients)
    }
}

/// Writes that wait in the log, from hosts whose clocks are minutes apart.
pub(crate) fn queued() -> Case {
    let writes = || vec![Op::Patch(0, Vec::new()), Op::Patch(0, Vec::new())];
    case(&[&[0]], vec![writes(), writes(), writes()])
}
