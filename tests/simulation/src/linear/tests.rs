use super::{Asked, Call, Explained, Facts, IDENTIFIERS, Place, Problem, Profile, Told, explain};

const A: u8 = 0;
const B: u8 = 1;

fn call(sent: u64, asked: Asked<Profile>, answered: Option<(u64, Told<Profile>)>) -> Call {
    Call {
        sent,
        answered,
        asked,
        makes: Vec::new(),
        unsure: false,
    }
}

/// A create that may make a profile.
fn create(sent: u64, ids: u8, makes: &[Profile], answered: Option<(u64, Profile)>) -> Call {
    Call {
        makes: makes.to_vec(),
        ..call(
            sent,
            Asked::Resolve { ids, at: None },
            answered.map(|(at, profile)| (at, Told::At(profile))),
        )
    }
}

fn explained(calls: Vec<Call>, places: &[Place], owners: [Option<Profile>; 2]) -> Explained {
    let mut all = [None; IDENTIFIERS];
    all[..2].copy_from_slice(&owners);
    explain(&Problem {
        calls,
        now: Facts {
            places: places.to_vec(),
            owners: all,
        },
        limits: Vec::new(),
    })
}

/// Two profiles, each with an identifier.
fn two() -> Vec<Call> {
    vec![
        create(1, 1 << A, &[0], Some((2, 0))),
        create(3, 1 << B, &[1], Some((4, 1))),
    ]
}

const APART: [Place; 2] = [Place::Under(0), Place::Under(1)];
const JOINED: [Place; 2] = [Place::Under(0), Place::Under(0)];
const DEAD: [Place; 2] = [Place::Dead, Place::Dead];

#[test]
fn an_acknowledged_merge_is_there_and_one_without_an_answer_may_be() {
    let merge = |answered| {
        let mut calls = two();
        calls.push(create(5, 0b11, &[], answered));
        calls
    };
    let joined = [Some(0), Some(0)];
    assert_eq!(
        explained(merge(Some((6, 0))), &JOINED, joined),
        Explained::Yes
    );
    assert_eq!(explained(merge(None), &JOINED, joined), Explained::Yes);
    assert_eq!(
        explained(merge(None), &APART, [Some(0), Some(1)]),
        Explained::Yes
    );
    let split = explained(merge(Some((6, 0))), &APART, [Some(0), Some(1)]);
    assert_eq!(split, Explained::No);
    let answer = explained(merge(Some((6, 1))), &APART, [Some(0), Some(1)]);
    assert_eq!(
        answer,
        Explained::No,
        "the answer is not in what was joined"
    );
}

#[test]
fn the_earliest_survives() {
    let mut calls = two();
    calls.push(create(5, 0b11, &[], Some((6, 1))));
    let late = [Place::Under(1), Place::Under(1)];
    assert_eq!(explained(calls, &late, [Some(1), Some(1)]), Explained::No);
}

#[test]
fn a_deletion_takes_the_set_joined_before_it_and_nothing_else() {
    let deleted = |merged: (u64, u64), deleted: (u64, u64)| {
        let mut calls = two();
        calls.push(create(merged.0, 0b11, &[], Some((merged.1, 0))));
        calls.push(call(
            deleted.0,
            Asked::Delete(0),
            Some((deleted.1, Told::Done)),
        ));
        calls
    };
    assert_eq!(
        explained(deleted((5, 6), (7, 8)), &DEAD, [None, None]),
        Explained::Yes
    );
    assert_eq!(
        explained(deleted((5, 8), (6, 7)), &DEAD, [None, None]),
        Explained::Yes
    );
    let after = explained(deleted((7, 8), (5, 6)), &DEAD, [None, None]);
    assert_eq!(
        after,
        Explained::No,
        "the merge was sent after the deletion"
    );
    let alive = [Place::Dead, Place::Under(1)];
    let after = explained(deleted((7, 8), (5, 6)), &alive, [Some(1), Some(1)]);
    assert_eq!(after, Explained::No, "the answer is dead");
}

#[test]
fn two_deletions_one_after_the_other_are_not_one() {
    // The order that the look after a claim protects: both deletions say that they did it, and a create that was answered with
    // the first one's victim took the second one's identifier.
    let mut calls = two();
    calls.push(create(5, 0b11, &[], Some((12, 0))));
    calls.push(call(6, Asked::Delete(0), Some((7, Told::Done))));
    calls.push(call(8, Asked::Delete(1), Some((9, Told::Done))));
    assert_eq!(explained(calls, &DEAD, [None, None]), Explained::No);
}

#[test]
fn a_reader_sees_what_was_acknowledged_before_it_asked() {
    let read = |sent, told| {
        let mut calls = two();
        calls.push(create(5, 0b11, &[], Some((8, 0))));
        calls.push(call(sent, Asked::Lookup(B), Some((sent + 1, told))));
        explained(calls, &JOINED, [Some(0), Some(0)])
    };
    assert_eq!(read(6, Told::Owner(Some(1))), Explained::Yes);
    assert_eq!(read(6, Told::Owner(Some(0))), Explained::Yes);
    assert_eq!(read(9, Told::Owner(Some(0))), Explained::Yes);
    assert_eq!(read(9, Told::Owner(Some(1))), Explained::No);
    assert_eq!(read(9, Told::Owner(None)), Explained::No);
}

#[test]
fn a_list_is_as_many_lookups_as_there_are_identifiers() {
    let list = |sent, listed| {
        let mut calls = two();
        calls.push(create(5, 0b11, &[], Some((8, 0))));
        let told = Told::Listed(listed);
        calls.push(call(sent, Asked::List(0), Some((sent + 1, told))));
        explained(calls, &JOINED, [Some(0), Some(0)])
    };
    assert_eq!(list(6, 0b01), Explained::Yes);
    assert_eq!(list(6, 0b11), Explained::Yes);
    assert_eq!(list(9, 0b11), Explained::Yes);
    assert_eq!(list(9, 0b01), Explained::No);
    assert_eq!(list(6, 0b10), Explained::No);
}

#[test]
fn a_release_takes_one_value_and_only_an_unknown_outcome_excuses_none() {
    let released = |unsure, owner| {
        let mut calls = two();
        let remove = Asked::Remove { at: 0, ids: 1 << A };
        calls.push(Call {
            unsure,
            ..call(5, remove, Some((6, Told::Done)))
        });
        explained(calls, &APART, [owner, Some(1)])
    };
    assert_eq!(released(false, None), Explained::Yes);
    assert_eq!(released(false, Some(0)), Explained::No);
    assert_eq!(released(true, Some(0)), Explained::Yes);
}

#[test]
fn a_resolve_may_act_on_an_owner_that_a_release_beside_it_took_away_and_no_later_one() {
    let merged = |sent| {
        let mut calls = two();
        let remove = Asked::Remove { at: 0, ids: 1 << A };
        calls.push(call(5, remove, Some((7, Told::Done))));
        calls.push(create(sent, 0b11, &[], Some((sent + 4, 0))));
        explained(calls, &JOINED, [None, Some(0)])
    };
    assert_eq!(merged(6), Explained::Yes);
    assert_eq!(merged(8), Explained::No);
}

#[test]
fn a_create_keeps_the_id_that_it_made_and_nobody_else_does() {
    // Its claim was released before it knew of it, and it claims again for the same id.
    let again = |makes: &[Profile]| {
        let remove = Asked::Remove { at: 0, ids: 1 << A };
        let calls = vec![
            create(1, 1 << A, makes, Some((8, 0))),
            call(2, Asked::Lookup(A), Some((3, Told::Owner(Some(0))))),
            call(4, remove, Some((5, Told::Done))),
            create(6, 1 << B, &[0, 1], None),
        ];
        explained(calls, &[Place::Under(0), Place::Unborn], [Some(0), None])
    };
    assert_eq!(again(&[0]), Explained::Yes);
    assert_eq!(again(&[]), Explained::No);
}

#[test]
fn a_profile_that_nobody_was_answered_about_may_be_gone_once_nothing_leads_to_it() {
    let gone = |maker, released| {
        let mut calls = vec![create(1, 1 << A, &[0], maker)];
        calls.push(call(3, Asked::Lookup(A), Some((4, Told::Owner(Some(0))))));
        if released {
            let remove = Asked::Remove { at: 0, ids: 1 << A };
            calls.push(call(5, remove, Some((6, Told::Done))));
        }
        calls.push(call(7, Asked::Fetch(0), Some((8, Told::Gone))));
        let owner = (!released).then_some(0);
        explained(calls, &[Place::Under(0)], [owner, None])
    };
    assert_eq!(gone(None, true), Explained::Yes);
    assert_eq!(gone(None, false), Explained::No);
    assert_eq!(gone(Some((2, 0)), true), Explained::No);
}
