use kith_domain::id::{ClaimId, DefinitionId, LinkToken, RequestId};
use kith_domain::identifier::{IdType, IdentifierValue};
use kith_domain::time::Micros;
use kith_domain::traits::{CellBytes, TraitCell, TraitValue, TraitWrite};
use kith_profiles::ports::{Claim, IdentRow, LinkRow, Pointer, Verdict, VerdictRow};
use kith_runtime::clock::SystemIds;
use uuid::Uuid;

use super::*;
use crate::history::value;

/// A damaged copy, and a word of the finding that it must lead to.
type Damage = (fn(&mut World), &'static str);

#[derive(Clone)]
struct World {
    history: Vec<Record>,
    seen: Seen,
    rows: Rows,
    store: StoreRecord,
}

impl World {
    fn findings(&self) -> Vec<String> {
        findings(&self.history, &self.seen, &self.rows, &self.store)
    }
}

fn profile(number: u128) -> ProfileId {
    ProfileId::from_uuid(Uuid::from_u128(number))
}

fn identifier(id_type: &str, text: &str) -> Identifier {
    Identifier {
        id_type: IdType::new(id_type),
        value: IdentifierValue::new(text),
    }
}

fn create(number: u64, sent: u64, answered: u64, emails: &[Identifier], told: Told) -> Record {
    Record {
        number,
        sent,
        answered,
        sent_ms: sent * 1_000,
        took_ms: 1,
        asked: Asked::Create {
            identifiers: emails.to_vec(),
            traits: vec!["firstName"],
        },
        told,
    }
}

fn first_name(store: &StoreRecord) -> DefinitionId {
    store.definition("Contact", "firstName").unwrap().id
}

/// Writes a claim with its row.
fn attach(world: &mut World, at: ProfileId, one: &Identifier, id: u128) {
    let key = world.store.claim_secret.claim_key(one);
    let claim = ClaimId::from_uuid(Uuid::from_u128(id));
    world.rows.claims.insert(
        key,
        Claim {
            profile: Some(at),
            id: claim,
            added_at: Micros::from_micros(1),
            place: 0,
            by_request: RequestId::from_uuid(Uuid::nil()),
        },
    );
    world
        .rows
        .cells
        .entry(at)
        .or_default()
        .idents
        .push(IdentRow {
            id_type: one.id_type.clone(),
            value: one.value.clone(),
            claim,
            added_at: Micros::from_micros(1),
            settled: true,
        });
}

fn write(world: &mut World, at: ProfileId, number: u64, time: i64) {
    let text = value("firstName", number);
    let write = TraitWrite::Set(TraitValue::String(text));
    let definition = first_name(&world.store);
    let cells = world.rows.cells.entry(at).or_default();
    cells.clock = Some(Micros::from_micros(time));
    cells.traits = vec![TraitCell {
        definition,
        value: CellBytes::from(&write),
        time: Micros::from_micros(time),
    }];
}

/// One writes a and then b; two is merged into one; three is somebody else.
fn right() -> World {
    let account = "AC00000000000000000000000000000000".parse().unwrap();
    let mut store = ingest_api::development_store(account, Micros::EPOCH, &SystemIds);
    let limited = IdType::new(crate::LIMITED);
    for config in &mut store.settings.identifier_configs {
        if config.id_type == limited {
            config.limit = 1;
        }
    }
    let (one, two, three) = (profile(1), profile(2), profile(3));
    let (a, b, c) = (
        identifier("email", "a"),
        identifier("email", "b"),
        identifier("email", "c"),
    );
    let mut world = World {
        history: vec![
            create(1, 1, 2, std::slice::from_ref(&a), Told::Accepted(one)),
            create(2, 3, 4, std::slice::from_ref(&b), Told::Accepted(two)),
            create(3, 5, 6, &[a.clone(), b.clone()], Told::Accepted(one)),
            create(4, 7, 8, std::slice::from_ref(&c), Told::Accepted(three)),
        ],
        seen: Seen::default(),
        rows: Rows::default(),
        store,
    };
    attach(&mut world, one, &a, 11);
    attach(&mut world, two, &b, 12);
    attach(&mut world, three, &c, 13);
    write(&mut world, one, 3, 30);
    write(&mut world, two, 2, 20);
    write(&mut world, three, 4, 40);
    let token = LinkToken::from_uuid(Uuid::from_u128(99));
    let pointer = Pointer { parent: one, token };
    world.rows.nodes.entry(two).or_default().pointer = Some(pointer);
    world.rows.nodes.entry(one).or_default().verdicts = vec![VerdictRow {
        child: two,
        token,
        verdict: Verdict::Linked,
    }];
    let cells = world.rows.cells.get_mut(&one).unwrap();
    cells.members = vec![two];
    cells.links = vec![LinkRow {
        child: two,
        token,
        settled: true,
    }];
    world.rows.listing = [one, two, three].into();
    let seen = &mut world.seen;
    seen.owners = [(a.clone(), one), (b.clone(), one), (c.clone(), three)]
        .map(|(identifier, owner)| (identifier, vec![owner]))
        .into();
    seen.roots = [(one, Some(one)), (two, Some(one)), (three, Some(three))].into();
    let shown = |number| BTreeMap::from([("firstName".to_owned(), value("firstName", number))]);
    seen.traits = [(one, shown(3)), (three, shown(4))].into();
    seen.identifiers = [(one, vec![a, b]), (three, vec![c])].into();
    seen.listed = [one, three].into();
    world
}

#[test]
fn what_is_right_has_no_findings() {
    assert_eq!(right().findings(), Vec::<String>::new());
}

#[test]
fn every_damage_is_found() {
    let damages: &[Damage] = &[
        (
            |w| w.history[0].told = Told::Unexpected(500),
            "answered 500",
        ),
        (
            |w| {
                let key = w.store.claim_secret.claim_key(&identifier("email", "b"));
                w.rows.claims.get_mut(&key).unwrap().profile = Some(profile(3));
            },
            "is split",
        ),
        (
            |w| {
                let key = w.store.claim_secret.claim_key(&identifier("email", "c"));
                w.rows.claims.remove(&key);
            },
            "is split",
        ),
        (
            |w| {
                let parent = profile(1);
                let token = LinkToken::from_uuid(Uuid::from_u128(98));
                w.rows.nodes.entry(profile(3)).or_default().pointer =
                    Some(Pointer { parent, token });
                let node = w.rows.nodes.get_mut(&parent).unwrap();
                node.verdicts.push(VerdictRow {
                    child: profile(3),
                    token,
                    verdict: Verdict::Linked,
                });
            },
            "is 2 people",
        ),
        (
            |w| {
                let pointer = &mut w.rows.nodes.get_mut(&profile(2)).unwrap().pointer;
                pointer.as_mut().unwrap().parent = profile(3);
            },
            "not older",
        ),
        (
            |w| w.rows.nodes.get_mut(&profile(2)).unwrap().pointer = None,
            "without pointing there",
        ),
        (
            |w| w.rows.cells.get_mut(&profile(1)).unwrap().members.clear(),
            "misses its member",
        ),
        (
            |w| {
                let cells = w.rows.cells.get_mut(&profile(1)).unwrap();
                cells.members.push(profile(3));
            },
            "stranger",
        ),
        (
            |w| w.rows.cells.get_mut(&profile(3)).unwrap().idents.clear(),
            "no identifier row",
        ),
        (
            |w| {
                w.rows.listing.remove(&profile(3));
            },
            "no row in the listing",
        ),
        (
            |w| {
                w.seen.listed.remove(&profile(3));
            },
            "not listed",
        ),
        (
            |w| {
                w.seen.listed.insert(profile(2));
            },
            "not canonical",
        ),
        (
            |w| w.rows.cells.get_mut(&profile(3)).unwrap().traits.clear(),
            "is lost",
        ),
        (
            // The first name of the first request wins, though the third came after its answer.
            |w| write(w, profile(1), 1, 31),
            "overwrote",
        ),
        (|w| write(w, profile(3), 77, 50), "somebody else"),
        (
            |w| {
                let cells = w.rows.cells.get_mut(&profile(3)).unwrap();
                cells.clock = Some(Micros::from_micros(39));
            },
            "behind its own",
        ),
        (
            |w| {
                let owners = &mut w.seen.owners;
                owners.insert(identifier("email", "c"), Vec::new());
            },
            "its claim",
        ),
        (
            |w| {
                w.seen.roots.insert(profile(2), None);
            },
            "its node",
        ),
        (
            |w| {
                let shown = w.seen.traits.get_mut(&profile(3)).unwrap();
                shown.insert("firstName".to_owned(), value("firstName", 1));
            },
            "than its cells",
        ),
        (
            |w| {
                w.seen.identifiers.insert(profile(3), Vec::new());
            },
            "than its claims",
        ),
        (
            |w| {
                let (chat, other) = (
                    identifier(crate::LIMITED, "d"),
                    identifier(crate::LIMITED, "e"),
                );
                attach(w, profile(3), &chat, 21);
                attach(w, profile(3), &other, 22);
            },
            "2 values of chat",
        ),
    ];
    for (damage, word) in damages {
        let mut world = right();
        damage(&mut world);
        let found = world.findings();
        assert!(
            found.iter().any(|finding| finding.contains(word)),
            "{word}: {found:?}"
        );
    }
}

#[test]
fn values_of_requests_that_overlap_may_end_either_way() {
    let mut world = right();
    // The first was not yet acknowledged when the third was sent.
    world.history[0].answered = 9;
    write(&mut world, profile(1), 1, 31);
    world.seen.traits.insert(
        profile(1),
        [("firstName".to_owned(), value("firstName", 1))].into(),
    );
    assert_eq!(world.findings(), Vec::<String>::new());
}

#[test]
fn an_attempt_that_failed_may_land_until_its_time_is_over() {
    let mut world = right();
    write(&mut world, profile(1), 1, 31);
    let shown = [("firstName".to_owned(), value("firstName", 1))].into();
    world.seen.traits.insert(profile(1), shown);
    let mut failed = world.history[0].clone();
    (failed.sent, failed.answered, failed.told) = (0, 0, Told::Nothing);
    world.history.insert(0, failed);
    assert_eq!(world.findings(), Vec::<String>::new());
    // The third came when no attempt of the first could land any more.
    world.history[3].sent_ms = EFFECT_MS + 1_001;
    assert!(world.findings()[0].contains("overwrote"));
}

#[test]
fn reads_never_go_back() {
    let read = |number, asked: &Asked, told: &Told| Record {
        number,
        sent: number * 2,
        answered: number * 2 + 1,
        sent_ms: 0,
        took_ms: 0,
        asked: asked.clone(),
        told: told.clone(),
    };
    let lookup = Asked::Lookup(identifier("email", "a"));
    let fetch = Asked::Fetch(profile(3));
    let owner = |number| Told::Owners(vec![profile(number)]);
    let cases = [
        (&lookup, owner(2), owner(1), 0),
        (&lookup, owner(1), owner(2), 1),
        (&lookup, owner(1), Told::Owners(Vec::new()), 1),
        (&lookup, Told::Owners(Vec::new()), owner(1), 0),
        (&fetch, Told::Here, Told::Moved(profile(2)), 0),
        (&fetch, Told::Moved(profile(2)), Told::Here, 1),
        (&fetch, Told::Moved(profile(2)), Told::Moved(profile(1)), 0),
        (&fetch, Told::Moved(profile(1)), Told::Moved(profile(2)), 1),
    ];
    for (asked, first, second, expected) in cases {
        let history = [read(1, asked, &first), read(2, asked, &second)];
        assert_eq!(reads(&history).len(), expected, "{first:?}, {second:?}");
        let mut overlapping = history;
        overlapping[1].sent = 1;
        assert_eq!(reads(&overlapping), Vec::<String>::new());
    }
    let known = create(
        1,
        1,
        2,
        &[identifier("email", "a")],
        Told::Accepted(profile(1)),
    );
    let history = [known, read(2, &lookup, &Told::Owners(Vec::new()))];
    assert_eq!(reads(&history).len(), 1, "acknowledged, and not found");
}

#[test]
fn requests_are_sorted_by_what_was_known_when_they_were_sent() {
    let world = right();
    let mut history = world.history;
    let more = [identifier("email", "c"), identifier("phone", "d")];
    history.push(create(5, 9, 10, &more, Told::Accepted(profile(3))));
    history.push(create(6, 11, 12, &more[1..], Told::Accepted(profile(3))));
    history.push(create(7, 13, 14, &more, Told::Unavailable));
    assert_eq!(
        Mix::of(&history),
        Mix {
            new: 3,
            known: 1,
            attaching: 1,
            merging: 1,
            unavailable: 1,
            ..Mix::default()
        }
    );
}
