//! A conditional statement whose outcome stays unknown until the deadline: the request says so and never guesses, and its
//! repetition gives the right answer, whether the statement was applied, is applied later, or never.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use kith_domain::id::{DeleteId, LinkToken, ProfileId, ProfileKey};
use kith_domain::identifier::IdType;
use kith_domain::settings::{IdentitySettings, LimitPolicy};
use kith_profiles::bulk::Bulk;
use kith_profiles::change::{Removal, Target};
use kith_profiles::create::Create;
use kith_profiles::error::Trouble;
use kith_profiles::ports::{Conditional, Pointer};
use kith_simulation::ports::lock;
use kith_simulation::solo::{Fate, Process, Solo};
use kith_simulation::world::{Statement, World};
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(3_600);
/// Some hundred statements of simulated time.
const DEADLINE: Duration = Duration::from_millis(300);

type Contact<'a> = &'a [(&'a str, &'a str)];

const A: (&str, &str) = ("email", "a@example.com");
const A2: (&str, &str) = ("email", "b@example.com");
const B: (&str, &str) = ("phone", "+13175550100");
const C: (&str, &str) = ("chatId", "c");
const N: (&str, &str) = ("firstName", "Ada");

type Work = Pin<Box<dyn Future<Output = Result<String, Trouble>> + Send>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// One of those who were there before, by number.
    Of(usize),
    /// Somebody who was not.
    New,
    Nobody,
}

use Owner::{New, Nobody, Of};

type Owners = &'static [((&'static str, &'static str), Owner)];

struct Case {
    name: &'static str,
    /// Who is there before: one profile each.
    before: &'static [Contact<'static>],
    /// What else is there, left by somebody who was given up.
    left: fn(&mut World, &[ProfileKey]),
    /// The statement that stays without an answer.
    silent: fn(&Conditional) -> bool,
    /// Sends the request, about the last of those before.
    send: fn(&Solo, Process, Target) -> Work,
    /// What the repetition answers if the statement was applied, and if it was not, and who has which identifier then.
    applied: (&'static str, Owners),
    lost: (&'static str, Owners),
}

fn nothing(_: &mut World, _: &[ProfileKey]) {}

/// The second points at the first, and nobody has decided.
fn pointer(world: &mut World, profiles: &[ProfileKey]) {
    let token = LinkToken::from_uuid(Uuid::from_u128(world.count()));
    let parent = profiles[0].profile;
    let node = world.nodes_mut().entry(profiles[1]).or_default();
    node.pointer = Some(Pointer { parent, token });
}

/// The same, and the first is dead.
fn pointer_at_the_dead(world: &mut World, profiles: &[ProfileKey]) {
    pointer(world, profiles);
    let node = world.nodes_mut().entry(profiles[0]).or_default();
    node.dead = Some(DeleteId::from_uuid(Uuid::nil()));
}

fn said<T: std::fmt::Debug>(answer: Result<T, Trouble>) -> Result<String, Trouble> {
    answer.map(|answer| format!("{answer:?}"))
}

fn create(s: &Solo, process: Process, target: Target, contact: Contact<'_>) -> Work {
    let create = Create {
        store: target.store,
        writes: s.writes(contact),
        request: target.request,
        deadline: target.deadline,
    };
    Box::pin(async move { said(process.create(create).await.map(drop)) })
}

const CASES: &[Case] = &[
    Case {
        name: "create, CLAIM",
        before: &[],
        left: nothing,
        silent: |one| matches!(one, Conditional::Claim { .. }),
        send: |s, process, target| create(s, process, target, &[A, B, N]),
        applied: ("()", &[(A, New), (B, New)]),
        lost: ("()", &[(A, New), (B, New)]),
    },
    Case {
        name: "attach, CLAIM",
        before: &[&[A]],
        left: nothing,
        silent: |one| matches!(one, Conditional::Claim { .. }),
        send: |s, process, target| create(s, process, target, &[A, C, N]),
        applied: ("()", &[(A, Of(0)), (C, Of(0))]),
        lost: ("()", &[(A, Of(0)), (C, Of(0))]),
    },
    Case {
        name: "merge, POINT",
        before: &[&[A], &[B]],
        left: nothing,
        silent: |one| matches!(one, Conditional::Point { .. }),
        send: |s, process, target| create(s, process, target, &[A, B]),
        applied: ("()", &[(A, Of(0)), (B, Of(0))]),
        lost: ("()", &[(A, Of(0)), (B, Of(0))]),
    },
    Case {
        name: "merge, LINK",
        before: &[&[A], &[B]],
        left: nothing,
        silent: |one| matches!(one, Conditional::Link { .. }),
        send: |s, process, target| create(s, process, target, &[A, B]),
        applied: ("()", &[(A, Of(0)), (B, Of(0))]),
        lost: ("()", &[(A, Of(0)), (B, Of(0))]),
    },
    Case {
        name: "a merge that settles, VOID",
        before: &[&[A], &[B], &[C]],
        left: pointer_at_the_dead,
        silent: |one| matches!(one, Conditional::Void { .. }),
        send: |s, process, target| create(s, process, target, &[B, C]),
        applied: ("()", &[(A, Nobody), (B, Of(1)), (C, Of(1))]),
        lost: ("()", &[(A, Nobody), (B, Of(1)), (C, Of(1))]),
    },
    Case {
        name: "an eviction, RELEASE",
        before: &[&[B, A]],
        left: nothing,
        silent: |one| matches!(one, Conditional::Release { .. }),
        send: |s, process, target| create(s, process, target, &[B, A2]),
        applied: ("()", &[(A, Nobody), (A2, Of(0)), (B, Of(0))]),
        lost: ("()", &[(A, Nobody), (A2, Of(0)), (B, Of(0))]),
    },
    Case {
        name: "patch, CLAIM",
        before: &[&[A]],
        left: nothing,
        silent: |one| matches!(one, Conditional::Claim { .. }),
        send: |s, process, target| {
            let writes = s.writes(&[C, N]);
            Box::pin(async move { said(process.patch(&target, &writes).await) })
        },
        applied: ("Here(())", &[(A, Of(0)), (C, Of(0))]),
        lost: ("Here(())", &[(A, Of(0)), (C, Of(0))]),
    },
    Case {
        name: "add, CLAIM",
        before: &[&[A]],
        left: nothing,
        silent: |one| matches!(one, Conditional::Claim { .. }),
        send: |s, process, target| {
            let c = s.writes(&[C]).identifiers.remove(0);
            Box::pin(async move { said(process.add_identifier(&target, c).await) })
        },
        applied: ("Here(())", &[(A, Of(0)), (C, Of(0))]),
        lost: ("Here(())", &[(A, Of(0)), (C, Of(0))]),
    },
    Case {
        name: "change, CLAIM of the new value",
        before: &[&[A]],
        left: nothing,
        silent: |one| matches!(one, Conditional::Claim { .. }),
        send: change,
        // Another request has put it there: that is all that the repetition can know.
        applied: ("Here(AlreadyHere)", &[(A, Of(0)), (A2, Of(0))]),
        lost: ("Here(Done)", &[(A, Nobody), (A2, Of(0))]),
    },
    Case {
        name: "change, RELEASE of the old value",
        before: &[&[A]],
        left: nothing,
        silent: |one| matches!(one, Conditional::Release { .. }),
        send: change,
        applied: ("Here(NotThere)", &[(A, Nobody), (A2, Of(0))]),
        lost: ("Here(AlreadyHere)", &[(A, Of(0)), (A2, Of(0))]),
    },
    Case {
        name: "remove, RELEASE",
        before: &[&[B, A]],
        left: nothing,
        silent: |one| matches!(one, Conditional::Release { .. }),
        send: |_, process, target| {
            let email = IdType::new("email");
            Box::pin(async move {
                said(
                    process
                        .remove_identifiers(&target, &email, Removal::All)
                        .await,
                )
            })
        },
        applied: ("Here(NotThere)", &[(A, Nobody), (B, Of(0))]),
        lost: ("Here(Done)", &[(A, Nobody), (B, Of(0))]),
    },
    Case {
        name: "delete, KILL",
        before: &[&[A, B]],
        left: nothing,
        silent: |one| matches!(one, Conditional::Kill { .. }),
        send: delete,
        applied: ("Gone", &[(A, Nobody), (B, Nobody)]),
        lost: ("Here(())", &[(A, Nobody), (B, Nobody)]),
    },
    Case {
        name: "a deletion that settles, LINK",
        before: &[&[A], &[B]],
        left: pointer,
        silent: |one| matches!(one, Conditional::Link { .. }),
        send: delete,
        applied: ("Moved", &[(A, Of(0)), (B, Of(0))]),
        lost: ("Moved", &[(A, Of(0)), (B, Of(0))]),
    },
    Case {
        name: "batch, CLAIM",
        before: &[&[A]],
        left: nothing,
        silent: |one| matches!(one, Conditional::Claim { .. }),
        send: |s, process, target| {
            let items = [&[A, N][..], &[B], &[A2, C], &[C]].map(|item| s.writes(item));
            let bulk = Bulk {
                store: target.store,
                items: items.to_vec(),
                request: target.request,
                deadline: target.deadline,
            };
            Box::pin(async move { said(process.bulk(bulk).await) })
        },
        applied: ("()", &[(A, Of(0)), (B, New), (A2, New), (C, New)]),
        lost: ("()", &[(A, Of(0)), (B, New), (A2, New), (C, New)]),
    },
];

fn change(s: &Solo, process: Process, target: Target) -> Work {
    let [old, new] = [A, A2].map(|one| s.writes(&[one]).identifiers.remove(0));
    Box::pin(async move { said(process.change_identifier(&target, &old, new).await) })
}

fn delete(_: &Solo, process: Process, target: Target) -> Work {
    Box::pin(async move { said(process.delete(&target).await) })
}

/// What becomes of the statement after the deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    WasApplied,
    Never,
    Late,
}

fn owner(s: &Solo, before: &[ProfileId], one: (&str, &str)) -> Owner {
    let identifier = s.writes(&[one]).identifiers.remove(0);
    let world = lock(&s.world);
    let claim = world
        .claims()
        .get(&s.store.claim_secret.claim_key(&identifier));
    let profile = claim.and_then(|claim| claim.profile);
    let root = profile.and_then(|profile| {
        world.root_of(ProfileKey {
            store: s.store.id,
            profile,
        })
    });
    match root {
        None => Nobody,
        Some(root) => before.iter().position(|one| *one == root).map_or(New, Of),
    }
}

fn has(s: &Solo, before: &[ProfileId], owners: Owners) -> bool {
    owners
        .iter()
        .all(|(one, expected)| owner(s, before, *one) == *expected)
}

fn try_out(case: &Case, then: Then) {
    let mut settings = IdentitySettings::default();
    if case.name.contains("eviction") {
        let email = IdType::new("email");
        for config in settings
            .identifier_configs
            .iter_mut()
            .filter(|one| one.id_type == email)
        {
            (config.limit, config.limit_policy) = (1, LimitPolicy::Fifo);
        }
    }
    let mut s = Solo::new(settings);
    let mut before = Vec::new();
    for contact in case.before {
        let (process, create) = (s.process(), s.create(contact, PATIENCE));
        let (accepted, _) = s.run(async move { process.create(create).await });
        before.push(accepted.expect("an answer").profile);
    }
    let keys: Vec<ProfileKey> = before
        .iter()
        .map(|profile| ProfileKey {
            store: s.store.id,
            profile: *profile,
        })
        .collect();
    (case.left)(&mut lock(&s.world), &keys);
    let about = before
        .last()
        .copied()
        .unwrap_or_else(|| ProfileId::from_uuid(Uuid::nil()));

    let target = s.target(about, DEADLINE);
    let work = (case.send)(&s, s.process(), target);
    let silent = case.silent;
    let (first, _) = s.run_under(work, move |statement| {
        let is_silent = matches!(statement, Statement::Attempt(one) if silent(one));
        match (is_silent, then) {
            (false, _) => Fate::Answered,
            (true, Then::WasApplied) => Fate::AppliedInSilence,
            (true, Then::Never | Then::Late) => Fate::Silence,
        }
    });
    assert!(
        matches!(first, Err(Trouble::Deadline { .. })),
        "{}, {then:?}: {first:?}",
        case.name
    );

    let target = s.target(about, PATIENCE);
    let work = (case.send)(&s, s.process(), target);
    let (again, _) = s.run(work);
    let (answer, owners) = if then == Then::WasApplied {
        case.applied
    } else {
        case.lost
    };
    let again = again.expect("an answer");
    assert!(
        again.starts_with(answer),
        "{}, {then:?}: {again}",
        case.name
    );
    assert!(has(&s, &before, owners), "{}, {then:?}", case.name);
    // Whatever is left lands, or never does: the statement was applied, or was not.
    let left = lock(&s.world).in_flight();
    for (flight, is_orphan) in left {
        assert!(is_orphan, "somebody still waits");
        let mut world = lock(&s.world);
        if then == Then::Late {
            world.execute(flight);
        } else {
            world.lose(flight);
        }
    }
    let is_right = has(&s, &before, case.applied.1) || has(&s, &before, case.lost.1);
    assert!(is_right, "{}, {then:?}: at the end", case.name);
}

#[test]
fn whoever_does_not_know_says_so_and_the_repetition_is_right() {
    for case in CASES {
        for then in [Then::WasApplied, Then::Never, Then::Late] {
            try_out(case, then);
        }
    }
}
