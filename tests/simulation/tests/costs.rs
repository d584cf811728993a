//! What a request costs: statements and sequential rounds, counted, and equal to the tables of `identity-protocol.md` 7 and
//! `trait-order.md` 8. What is more than there is named, with its reason, and stands in `docs/correctness.md`.

use std::time::Duration;

use kith_domain::id::{DeleteId, LinkToken, ProfileId, ProfileKey};
use kith_domain::identifier::IdType;
use kith_domain::settings::{IdentitySettings, LimitPolicy};
use kith_profiles::bulk::Bulk;
use kith_profiles::change::{Changed, Removal};
use kith_profiles::ports::{Node, Order, Pointer, Verdict, VerdictRow};
use kith_profiles::read::Located;
use kith_simulation::ports::lock;
use kith_simulation::solo::{Cost, Solo};
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(3_600);

type Contact<'a> = &'a [(&'a str, &'a str)];

const A: (&str, &str) = ("email", "a@example.com");
const A2: (&str, &str) = ("email", "b@example.com");
const B: (&str, &str) = ("phone", "+13175550100");
const C: (&str, &str) = ("chatId", "c");
const W: (&str, &str) = ("whatsapp", "w");
/// A trait that is not promoted.
const N: (&str, &str) = ("firstName", "Ada");

/// Rounds, claims, nodes, cells, conditional statements, plain writes, records.
const fn cost(counts: [usize; 7]) -> Cost {
    let [rounds, claims, nodes, cells, conditional, writes, records] = counts;
    Cost {
        rounds,
        claims,
        nodes,
        cells,
        conditional,
        writes,
        records,
    }
}

/// R3: clock row and promoted values, acknowledged before anything is published. The W of the page.
const STAMP: Cost = cost([1, 0, 0, 0, 0, 1, 0]);
/// Where the profile was found from another one: that one's clock row beside STAMP, and the promoted values, which wait for both,
/// beside PUBLISH (ADR 13). No rounds.
const START: Cost = cost([0, 0, 0, 0, 0, 2, 0]);
/// R4, and R5 beside it: the second look of `trait-order.md` 8.
const PUBLISH: Cost = cost([1, 0, 1, 0, 0, 0, 1]);
/// R5 alone, where there is nothing to publish.
const LOOK: Cost = cost([1, 0, 1, 0, 0, 0, 0]);
/// Identifier rows beside their claims; row of the listing and marks beside STAMP and PUBLISH: no rounds.
const ROWS: Cost = cost([0, 0, 0, 0, 0, 3, 0]);
/// Row of the listing, and the copy of members with its mark, likewise.
const COPY: Cost = cost([0, 0, 0, 0, 0, 2, 0]);
/// Limits are looked at where the new profile leads to by then (ADR 6), beside STAMP: no round.
const NEW_LIST: Cost = cost([0, 0, 1, 1, 0, 0, 0]);
/// The look at the target after its claims (step 7) and the list for its limits are two reads, the second beside STAMP, whose
/// round is the page's round for limits.
const LIST: Cost = cost([0, 0, 1, 1, 0, 0, 0]);
/// The row of the listing, of whoever a path names and nothing else would list: beside STAMP, no round.
const NAMED: Cost = cost([0, 0, 0, 0, 0, 1, 0]);
/// Removal of an identifier's row, after its claim was released.
const FORGET: Cost = cost([1, 0, 0, 0, 0, 1, 0]);

/// The event that asks for the purge of a dead set (ADR 11).
const ASK: Cost = cost([1, 0, 0, 0, 0, 0, 1]);

/// `trait-order.md` 8, merge: clocks are read, and carried up where they are newer, for all joined profiles at once.
const fn carry(joined: usize) -> Cost {
    cost([2, 0, 0, joined, 0, joined, 0])
}

/// COLLECT of the root, which walks what was linked just now, and of each linked profile for its copy. The page counts these
/// as "cells".
const fn collect(joined: usize) -> Cost {
    cost([0, 0, 1 + 2 * joined, 1 + 2 * joined, 0, 0, 0])
}

struct Row {
    case: &'static str,
    before: &'static [Contact<'static>],
    request: Contact<'static>,
    /// E-mail addresses that a profile may have.
    limit: u16,
    /// `identity-protocol.md` 7: rounds, k claims, nodes, cells, conditional statements.
    page: [usize; 5],
    more: &'static [Cost],
}

const CREATES: &[Row] = &[
    Row {
        case: "known, one identifier",
        before: &[&[A]],
        request: &[A, N],
        limit: 100,
        page: [2, 1, 1, 1, 0],
        more: &[STAMP, PUBLISH],
    },
    Row {
        case: "known, two identifiers",
        before: &[&[A, B]],
        request: &[A, B, N],
        limit: 100,
        page: [2, 2, 1, 1, 0],
        more: &[STAMP, PUBLISH],
    },
    Row {
        case: "known, one hop",
        before: &[&[A], &[B], &[A, B]],
        request: &[B, N],
        limit: 100,
        page: [3, 1, 2, 2, 0],
        more: &[STAMP, START, PUBLISH],
    },
    Row {
        case: "known, two hops, and a hint is left",
        before: &[&[A], &[B], &[C], &[B, C], &[A, B]],
        request: &[C, N],
        limit: 100,
        page: [4, 1, 3, 3, 0],
        more: &[STAMP, START, PUBLISH, cost([0, 0, 0, 0, 0, 1, 0])],
    },
    Row {
        case: "known, two hops, with the hint",
        before: &[&[A], &[B], &[C], &[B, C], &[A, B], &[C]],
        request: &[C, N],
        limit: 100,
        page: [3, 1, 2, 2, 0],
        more: &[STAMP, START, PUBLISH],
    },
    Row {
        case: "new, one identifier",
        before: &[],
        request: &[A, N],
        limit: 100,
        page: [2, 1, 0, 0, 1],
        more: &[STAMP, PUBLISH, ROWS, NEW_LIST],
    },
    Row {
        case: "new, two identifiers",
        before: &[],
        request: &[A, B, N],
        limit: 100,
        page: [2, 2, 0, 0, 2],
        more: &[STAMP, PUBLISH, ROWS, NEW_LIST],
    },
    Row {
        case: "attach one",
        before: &[&[A]],
        request: &[A, B, N],
        limit: 100,
        page: [4, 2, 2, 2, 1],
        more: &[STAMP, PUBLISH, ROWS, LIST],
    },
    Row {
        case: "attach two",
        before: &[&[A]],
        request: &[A, B, C, N],
        limit: 100,
        page: [4, 3, 2, 2, 2],
        more: &[STAMP, PUBLISH, ROWS, LIST],
    },
    Row {
        case: "attach one, evict one",
        before: &[&[B, A]],
        request: &[B, A2, N],
        limit: 1,
        page: [4 + 2, 2 + 2, 2, 2, 1 + 1],
        // Limits go beside STAMP and PUBLISH, and end with their removals: one round of the two is not their own.
        more: &[STAMP, PUBLISH, ROWS, LIST],
    },
    Row {
        case: "merge of two",
        before: &[&[A], &[B]],
        request: &[A, B, N],
        limit: 100,
        page: [5, 2, 2, 2, 2],
        more: &[carry(1), STAMP, START, PUBLISH, COPY, collect(1)],
    },
    Row {
        case: "merge of three",
        before: &[&[A], &[B], &[C]],
        request: &[A, B, C, N],
        limit: 100,
        page: [5, 3, 3, 3, 4],
        // A start more.
        more: &[
            carry(2),
            STAMP,
            START,
            cost([0, 0, 0, 0, 0, 1, 0]),
            PUBLISH,
            COPY,
            collect(2),
        ],
    },
    Row {
        case: "merge of two, and attach two",
        before: &[&[A], &[B]],
        request: &[A, B, C, W, N],
        limit: 100,
        page: [5, 4, 2, 2, 2 + 2],
        more: &[
            carry(1),
            STAMP,
            START,
            PUBLISH,
            COPY,
            collect(1),
            cost([0, 0, 0, 0, 0, 1, 0]),
        ],
    },
];

fn sum(page: [usize; 5], more: &[Cost]) -> Cost {
    let [rounds, claims, nodes, cells, conditional] = page;
    let page = cost([rounds, claims, nodes, cells, conditional, 0, 0]);
    more.iter().fold(page, |sum, one| sum + *one)
}

fn world(limit: u16) -> Solo {
    let mut settings = IdentitySettings::default();
    for config in &mut settings.identifier_configs {
        if config.id_type == IdType::new("email") {
            config.limit = limit;
            config.limit_policy = LimitPolicy::Fifo;
        }
    }
    Solo::new(settings)
}

/// Creates, and says whom and at what cost.
fn create(s: &mut Solo, contact: Contact<'_>) -> (ProfileId, Cost) {
    let (process, create) = (s.process(), s.create(contact, PATIENCE));
    let (accepted, cost) = s.run(async move { process.create(create).await });
    (accepted.expect("an answer").profile, cost)
}

#[test]
fn a_create_costs_what_the_tables_say() {
    for row in CREATES {
        let mut s = world(row.limit);
        for contact in row.before {
            create(&mut s, contact);
        }
        let (_, counted) = create(&mut s, row.request);
        assert_eq!(counted, sum(row.page, row.more), "{}", row.case);
    }
}

#[test]
fn a_patch_costs_what_the_tables_say() {
    for (case, contact, page, more) in [
        // FIND, and one node read, one cells read, one write and its round: the clock row rides in FIND's read of cells.
        (
            "nothing promoted",
            &[N][..],
            [1, 0, 1, 1, 0],
            &[STAMP, PUBLISH, NAMED][..],
        ),
        (
            "a known identifier",
            &[A, N],
            [2, 1, 1, 1, 0],
            &[STAMP, PUBLISH, NAMED],
        ),
        (
            "a new identifier",
            &[C, N],
            [4, 1, 2, 2, 1],
            &[STAMP, PUBLISH, ROWS, LIST],
        ),
    ] {
        let mut s = world(100);
        let (profile, _) = create(&mut s, &[A, B]);
        let (process, target, writes) =
            (s.process(), s.target(profile, PATIENCE), s.writes(contact));
        let (answer, counted) = s.run(async move { process.patch(&target, &writes).await });
        assert_eq!(answer.expect("an answer"), Located::Here(()), "{case}");
        assert_eq!(counted, sum(page, more), "{case}");
    }
}

#[test]
fn identifiers_cost_what_the_tables_say() {
    let identifier = |s: &Solo, one| s.writes(&[one]).identifiers.remove(0);
    let mut s = world(100);
    let (profile, _) = create(&mut s, &[A, B]);
    let (process, target, c) = (s.process(), s.target(profile, PATIENCE), identifier(&s, C));
    let (answer, counted) = s.run(async move { process.add_identifier(&target, c).await });
    assert_eq!(answer.expect("an answer"), Located::Here(()));
    assert_eq!(
        counted,
        sum([4, 1, 2, 2, 1], &[STAMP, LOOK, ROWS, LIST]),
        "add"
    );

    // CHANGE reads the list of the type beside FIND, not only the claim of the old value: a claim a value. It then is a RESOLVE of
    // the new value, which reads its claim and finds the profile once more: two rounds.
    let (process, target) = (s.process(), s.target(profile, PATIENCE));
    let (old, new) = (identifier(&s, A), identifier(&s, A2));
    let (answer, counted) =
        s.run(async move { process.change_identifier(&target, &old, new).await });
    assert_eq!(answer.expect("an answer"), Located::Here(Changed::Done));
    let (list, resolve) = (cost([0, 0, 0, 1, 0, 0, 0]), cost([2, 0, 1, 1, 0, 0, 0]));
    // STAMP goes beside the round for limits.
    let more = [
        cost([0, 0, 0, 0, 0, 1, 0]),
        LOOK,
        ROWS,
        FORGET,
        list,
        resolve,
    ];
    assert_eq!(counted, sum([6, 2, 3, 2, 2], &more), "change");

    // RELEASE of one by its policy: the list of the type says which. FIND and list, claims, RELEASE.
    let (process, target) = (s.process(), s.target(profile, PATIENCE));
    let email = IdType::new("email");
    let (answer, counted) = s.run(async move {
        process
            .remove_identifiers(&target, &email, Removal::One)
            .await
    });
    assert_eq!(answer.expect("an answer"), Located::Here(Changed::Done));
    assert_eq!(counted, sum([3, 1, 1, 1, 1], &[FORGET]), "remove");
}

/// FIND and COLLECT begin with the same reads of a root, so one round has both.
#[test]
fn a_read_of_a_profile_costs_one_round_and_one_more_for_its_members() {
    let mut s = world(100);
    let (root, _) = create(&mut s, &[A, N]);
    let (merged, _) = create(&mut s, &[B]);
    let read = |s: &mut Solo, profile| {
        let (process, store) = (s.process(), s.store.clone());
        let (traits, cost_of_traits) = s.run(async move { process.traits(&store, profile).await });
        let (process, store) = (s.process(), s.store.clone());
        let (idents, cost_of_idents) =
            s.run(async move { process.identifiers(&store, profile).await });
        let (traits, idents) = (traits.expect("an answer"), idents.expect("an answer"));
        let located = traits.map(drop);
        assert_eq!(located, idents.map(drop));
        // The values of identifiers are checked against their claims, in a round of their own.
        (located, cost_of_traits, cost_of_idents)
    };
    let (located, traits, idents) = read(&mut s, root);
    assert_eq!(located, Located::Here(()));
    assert_eq!(traits, cost([1, 0, 1, 1, 0, 0, 0]));
    assert_eq!(idents, cost([2, 1, 1, 1, 0, 0, 0]));

    let (target, _) = create(&mut s, &[A, B]);
    assert_eq!(target, root);
    let (located, traits, idents) = read(&mut s, root);
    assert_eq!(located, Located::Here(()));
    assert_eq!(traits, cost([2, 0, 1, 2, 0, 0, 0]));
    assert_eq!(idents, cost([3, 2, 1, 2, 0, 0, 0]));

    // Whoever is no root is found by a find of its own, after that round.
    let (located, traits, idents) = read(&mut s, merged);
    assert_eq!(located, Located::Moved(root));
    assert_eq!(traits, cost([1 + 2, 0, 1 + 2, 1 + 2, 0, 0, 0]));
    assert_eq!(idents, traits);
    let nobody = ProfileId::from_uuid(Uuid::nil());
    let (located, ..) = read(&mut s, nobody);
    assert_eq!(located, Located::Gone);
}

#[test]
fn a_deletion_costs_what_the_tables_say() {
    let mut s = world(100);
    let (older, _) = create(&mut s, &[A]);
    let (profile, _) = create(&mut s, &[B]);
    // A pointer that was refused stays in the node, and costs one read more.
    let (key, token) = (
        |profile| ProfileKey {
            store: s.store.id,
            profile,
        },
        LinkToken::from_uuid(Uuid::from_u128(1)),
    );
    let pointer = Some(Pointer {
        parent: older,
        token,
    });
    let refused = VerdictRow {
        child: profile,
        token,
        verdict: Verdict::Void,
    };
    {
        let mut world = lock(&s.world);
        world.nodes_mut().insert(
            key(profile),
            Node {
                pointer,
                ..Node::default()
            },
        );
        world.nodes_mut().insert(
            key(older),
            Node {
                verdicts: vec![refused],
                ..Node::default()
            },
        );
    }
    for (case, profile, page) in [
        (
            "with a refused pointer",
            profile,
            [2 + 1, 0, 1 + 1, 1 + 1, 1],
        ),
        ("without a pointer", older, [2, 0, 1, 1, 1]),
    ] {
        let (process, target) = (s.process(), s.target(profile, PATIENCE));
        let (answer, counted) = s.run(async move { process.delete(&target).await });
        assert_eq!(answer.expect("an answer"), Located::Here(()), "{case}");
        assert_eq!(counted, sum(page, &[ASK]), "{case}");
    }
}

#[test]
fn a_batch_costs_what_its_creates_cost_and_the_rounds_of_one() {
    let mut s = world(100);
    let items = [&[A, N][..], &[A, B], &[C, N], &[B, N], &[W]].map(|item| s.writes(item));
    let target = s.target(ProfileId::from_uuid(Uuid::nil()), PATIENCE);
    let bulk = Bulk {
        store: target.store,
        items: items.to_vec(),
        request: target.request,
        deadline: target.deadline,
    };
    let process = s.process();
    let (answer, counted) = s.run(async move { process.bulk(bulk).await });
    answer.expect("an answer");
    let one = |page| sum(page, &[STAMP, PUBLISH, ROWS, NEW_LIST]);
    let all = one([2, 2, 0, 0, 2]) + one([2, 1, 0, 0, 1]) + one([2, 1, 0, 0, 1]);
    assert_eq!(counted, Cost { rounds: 4, ..all });
}

/// A chain of merges, each into the next older profile, is as long as it can be: every profile points at the one before.
#[test]
fn a_chain_of_a_thousand_merges_costs_one_hop_and_one_round_of_members() {
    const LENGTH: usize = 1_000;
    let mut settings = IdentitySettings::default();
    for config in &mut settings.identifier_configs {
        config.limit = u16::MAX;
    }
    let mut s = Solo::new(settings);
    let name = |number: usize| (format!("e{number}@example.com"), format!("c{number}"));
    let profiles: Vec<ProfileId> = (0..LENGTH)
        .map(|number| {
            let (email, chat) = name(number);
            create(&mut s, &[("email", &email), ("chatId", &chat)]).0
        })
        .collect();
    for number in (1..LENGTH).rev() {
        let ((email, _), (_, chat)) = (name(number), name(number - 1));
        let (root, _) = create(&mut s, &[("email", &email), ("chatId", &chat)]);
        assert_eq!(root, profiles[number - 1]);
    }
    let (last, _) = name(LENGTH - 1);
    // The first walks, and leaves a hint; then it is one hop.
    let (root, walked) = create(&mut s, &[("email", &last), N]);
    assert_eq!(root, profiles[0]);
    assert_eq!(walked.rounds, 2 + (LENGTH - 1) + 2);
    let (root, hinted) = create(&mut s, &[("email", &last), N]);
    assert_eq!(root, profiles[0]);
    assert_eq!(
        hinted,
        sum([2 + 1, 1, 1 + 1, 1 + 1, 0], &[STAMP, START, PUBLISH])
    );

    // The root's node and cells, and all its members at once.
    let (process, store) = (s.process(), s.store.clone());
    let (answer, counted) = s.run(async move { process.traits(&store, root).await });
    assert!(matches!(answer, Ok(Located::Here(_))));
    assert_eq!(counted, cost([2, 0, 1, 1 + (LENGTH - 1), 0, 0, 0]));
}

/// Of eight neighbours four live, two are merged in a chain of three, and two are dead. Whose pointer was refused, or is not
/// decided yet, lives.
#[test]
fn a_page_over_merged_and_dead_profiles_is_two_reads_of_the_listing_and_a_hop() {
    const PROFILES: usize = 80;
    const PAGE: usize = 20;
    let mut s = world(100);
    let profiles: Vec<ProfileId> = (0..PROFILES)
        .map(|number| create(&mut s, &[("email", &format!("p{number}@example.com"))]).0)
        .collect();
    let key = |number: usize| ProfileKey {
        store: s.store.id,
        profile: profiles[number],
    };
    let token = |number: usize| LinkToken::from_uuid(Uuid::from_u128(number as u128));
    let mut live = Vec::new();
    for number in 0..PROFILES {
        let mut world = lock(&s.world);
        let nodes = world.nodes_mut();
        let mut point = |parent: usize, verdict: Option<Verdict>| {
            nodes.entry(key(number)).or_default().pointer = Some(Pointer {
                parent: profiles[parent],
                token: token(number),
            });
            let row = verdict.map(|verdict| VerdictRow {
                child: profiles[number],
                token: token(number),
                verdict,
            });
            nodes.entry(key(parent)).or_default().verdicts.extend(row);
        };
        match number % 8 {
            1 | 2 => point(number - 1, Some(Verdict::Linked)),
            4 | 6 => {
                let dead = DeleteId::from_uuid(Uuid::from_u128(number as u128));
                nodes.entry(key(number)).or_default().dead = Some(dead);
            }
            more => {
                live.push(profiles[number]);
                match (number, more) {
                    (3, _) => point(0, Some(Verdict::Void)),
                    (5, _) => point(0, None),
                    _ => {}
                }
            }
        }
    }

    let (mut found, mut after, mut costs) = (Vec::new(), None, Vec::new());
    loop {
        let (process, store) = (s.process(), s.store.clone());
        let (page, cost) =
            s.run(async move { process.page(&store, Order::Ascending, after, PAGE).await });
        let page = page.expect("a page");
        costs.push(cost);
        found.extend(page.profiles);
        after = page.next_after;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found, live);
    // Of the first 20 hints 10 live and 8 have a pointer, one of them without a verdict, which is one read more; of the next 26,
    // some more than are wanted, 6 have one.
    assert_eq!(costs[0], cost([7, 0, 20 + 8 + 1 + 26 + 6, 0, 0, 0, 0]));
    assert_eq!(costs.len(), 2);
}
