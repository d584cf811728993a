//! Plain rows: the newest time wins, whatever the order, and nothing that was not said is changed.

use std::collections::BTreeSet;

use kith_domain::id::{ClaimId, DefinitionId, LinkToken, ProfileId, ProfileKey};
use kith_domain::identifier::{IdType, IdentifierValue};
use kith_domain::traits::{CellBytes, TraitCell, TraitValue, TraitWrite};
use kith_profiles::ports::{
    CellBatch, CellRead, CellRows, CellWrite, Cells, Durability, IdentRow, LinkRow, Select,
};
use kith_scylla::Cql;
use uuid::Uuid;

use crate::harness::{at, key, profile, raw, token, with_cql};

async fn write(cql: &Cql, at: ProfileKey, time: i64, writes: Vec<CellWrite>) {
    let batch = CellBatch {
        at,
        time: crate::harness::at(time),
        writes,
    };
    cql.write(&[batch], Durability::Durable).await.unwrap();
}

async fn read(cql: &Cql, at: ProfileKey, select: &[Select]) -> CellRows {
    cql.read(&[CellRead {
        at,
        select: select.to_vec(),
    }])
    .await
    .unwrap()
    .remove(0)
}

const EVERYTHING: [Select; 5] = [
    Select::Clock,
    Select::Root,
    Select::Idents,
    Select::LinksAndMembers,
    Select::Traits,
];

fn bytes(text: &str) -> CellBytes {
    CellBytes::from(&TraitWrite::Set(TraitValue::String(text.to_owned())))
}

fn definition() -> DefinitionId {
    DefinitionId::from_uuid(Uuid::new_v4())
}

fn ident(value: &str, settled: bool) -> IdentRow {
    IdentRow {
        id_type: IdType::new("email"),
        value: IdentifierValue::new(value),
        claim: ClaimId::from_uuid(Uuid::new_v4()),
        added_at: at(77),
        settled,
    }
}

fn select(row: &IdentRow) -> Select {
    Select::Ident(row.id_type.clone(), row.value.clone(), row.claim)
}

#[tokio::test]
async fn the_clock_row_is_a_max_register() {
    with_cql(async |cql, _| {
        let at = key();
        assert_eq!(read(&cql, at, &EVERYTHING).await, CellRows::default());
        for (time, expected) in [(50, 50), (70, 70), (60, 70), (70, 70), (71, 71)] {
            write(&cql, at, time, vec![CellWrite::Clock]).await;
            let clock = read(&cql, at, &[Select::Clock]).await.clock;
            assert_eq!(clock, Some(crate::harness::at(expected)));
        }
    })
    .await;
}

#[tokio::test]
async fn a_trait_has_its_newest_write_and_of_two_at_once_the_larger_bytes() {
    with_cql(async |cql, _| {
        let (early, late, low, high) =
            (bytes("late is larger"), bytes("a"), bytes("a"), bytes("b"));
        let removed = CellBytes::from(&TraitWrite::Removed);
        assert!(low.as_slice() < high.as_slice() && removed.as_slice() < low.as_slice());
        let cases = [
            ([(5, &early), (6, &late)], (6, &late)),
            ([(5, &low), (5, &high)], (5, &high)),
            ([(5, &removed), (5, &low)], (5, &low)),
            ([(5, &high), (6, &removed)], (6, &removed)),
        ];
        for (writes, (time, value)) in cases {
            for order in [[0, 1], [1, 0]] {
                let (at, definition) = (key(), definition());
                for (time, value) in order.map(|n| writes[n]) {
                    let write_one = CellWrite::Trait(definition, value.clone());
                    write(&cql, at, time, vec![write_one.clone()]).await;
                    write(&cql, at, time, vec![write_one, CellWrite::Clock]).await;
                }
                let expected = TraitCell {
                    definition,
                    value: value.clone(),
                    time: crate::harness::at(time),
                };
                let found = read(&cql, at, &[Select::Traits]).await.traits;
                assert_eq!(found, std::slice::from_ref(&expected));
                let (first, second) = (writes[order[0]], writes[order[1]]);
                let cell = |(time, value): (i64, &CellBytes)| TraitCell {
                    definition,
                    value: value.clone(),
                    time: crate::harness::at(time),
                };
                let winner = if cell(second).replaces(&cell(first)) {
                    second
                } else {
                    first
                };
                assert_eq!(cell(winner), expected, "the rule of the domain");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn the_same_definition_twice_in_one_batch_follows_the_same_rule() {
    with_cql(async |cql, _| {
        for values in [["a", "b"], ["b", "a"]] {
            let (at, definition) = (key(), definition());
            let writes = values.map(|value| CellWrite::Trait(definition, bytes(value)));
            write(&cql, at, 9, writes.to_vec()).await;
            assert_eq!(
                read(&cql, at, &[Select::Traits]).await.traits[0].value,
                bytes("b")
            );
        }
    })
    .await;
}

#[tokio::test]
async fn a_mark_is_set_once_and_never_taken_back() {
    with_cql(async |cql, _| {
        let (at, child, token) = (key(), profile(), token());
        let link = |settled| {
            CellWrite::Link(LinkRow {
                child,
                token,
                settled,
            })
        };
        let row = ident("a@example.com", false);
        let settled = IdentRow {
            settled: true,
            ..row.clone()
        };

        write(
            &cql,
            at,
            5,
            vec![link(false), CellWrite::Ident(row.clone())],
        )
        .await;
        let before = read(&cql, at, &[select(&row), Select::Link(child, token)]).await;
        assert_eq!(before.idents, std::slice::from_ref(&row));
        assert_eq!(
            before.links,
            [LinkRow {
                child,
                token,
                settled: false
            }]
        );

        write(
            &cql,
            at,
            6,
            vec![link(true), CellWrite::Ident(settled.clone())],
        )
        .await;
        write(
            &cql,
            at,
            7,
            vec![link(false), CellWrite::Ident(row.clone())],
        )
        .await;
        let after = read(&cql, at, &[select(&row), Select::Link(child, token)]).await;
        assert_eq!(after.idents, std::slice::from_ref(&settled));
        assert_eq!(
            after.links,
            [LinkRow {
                child,
                token,
                settled: true
            }]
        );
        assert_eq!(read(&cql, at, &[Select::Idents]).await.idents, [settled]);
    })
    .await;
}

#[tokio::test]
async fn an_identifier_row_that_was_removed_stays_removed() {
    with_cql(async |cql, _| {
        let at = key();
        let (gone, kept) = (
            ident("gone@example.com", true),
            ident("gone@example.com", true),
        );
        write(
            &cql,
            at,
            5,
            vec![
                CellWrite::Ident(gone.clone()),
                CellWrite::Ident(kept.clone()),
            ],
        )
        .await;
        let forget = CellWrite::ForgetIdent(gone.id_type.clone(), gone.value.clone(), gone.claim);
        write(&cql, at, 8, vec![forget.clone()]).await;
        assert_eq!(
            read(&cql, at, &[Select::Idents]).await.idents,
            std::slice::from_ref(&kept)
        );
        // Late writes of the row, and the removal once more beside something else.
        write(&cql, at, 7, vec![CellWrite::Ident(gone.clone())]).await;
        write(&cql, at, 8, vec![forget, CellWrite::Clock]).await;
        assert_eq!(
            read(&cql, at, &[select(&gone), select(&kept)]).await.idents,
            [kept]
        );
    })
    .await;
}

#[tokio::test]
async fn a_read_has_what_was_selected_and_nothing_else() {
    with_cql(async |cql, _| {
        let at = key();
        let (one, two) = (ident("a@example.com", false), ident("b@example.com", true));
        let (child, token, ancestor, member, definition) =
            (profile(), token(), profile(), profile(), definition());
        write(
            &cql,
            at,
            9,
            vec![
                CellWrite::Clock,
                CellWrite::Root(ancestor),
                CellWrite::Ident(one.clone()),
                CellWrite::Ident(two.clone()),
                CellWrite::Link(LinkRow {
                    child,
                    token,
                    settled: true,
                }),
                CellWrite::Member(member),
                CellWrite::Trait(definition, bytes("gold")),
            ],
        )
        .await;
        let all = CellRows {
            clock: Some(crate::harness::at(9)),
            root: Some(ancestor),
            idents: vec![one.clone(), two.clone()],
            links: vec![LinkRow {
                child,
                token,
                settled: true,
            }],
            members: vec![member],
            traits: vec![TraitCell {
                definition,
                value: bytes("gold"),
                time: crate::harness::at(9),
            }],
        };
        let whole = read(&cql, at, &EVERYTHING).await;
        let sorted = |mut rows: CellRows| {
            rows.idents.sort_by(|a, b| a.value.cmp(&b.value));
            rows
        };
        assert_eq!(sorted(whole), all);
        let cases = [
            (vec![], CellRows::default()),
            (
                vec![Select::Clock],
                CellRows {
                    clock: all.clock,
                    ..CellRows::default()
                },
            ),
            (
                vec![Select::Root],
                CellRows {
                    root: all.root,
                    ..CellRows::default()
                },
            ),
            (
                vec![Select::Idents],
                CellRows {
                    idents: all.idents.clone(),
                    ..CellRows::default()
                },
            ),
            (
                vec![select(&two), Select::Clock, Select::Root, select(&two)],
                CellRows {
                    idents: vec![two],
                    clock: all.clock,
                    root: all.root,
                    ..CellRows::default()
                },
            ),
            (
                vec![Select::LinksAndMembers, Select::Link(child, token)],
                CellRows {
                    links: all.links.clone(),
                    members: all.members.clone(),
                    ..CellRows::default()
                },
            ),
            (
                vec![
                    Select::Link(child, token),
                    Select::Link(child, LinkToken::from_uuid(Uuid::nil())),
                ],
                CellRows {
                    links: all.links.clone(),
                    ..CellRows::default()
                },
            ),
            (
                vec![select(&one), Select::Traits, Select::Clock],
                CellRows {
                    idents: vec![one],
                    traits: all.traits.clone(),
                    clock: all.clock,
                    ..CellRows::default()
                },
            ),
        ];
        for (select, expected) in cases {
            assert_eq!(
                sorted(read(&cql, at, &select).await),
                expected,
                "{select:?}"
            );
        }
        // Another profile, another store: nothing.
        let stranger = ProfileKey {
            store: crate::harness::store(),
            ..at
        };
        assert_eq!(read(&cql, stranger, &EVERYTHING).await, CellRows::default());
    })
    .await;
}

#[tokio::test]
async fn a_set_larger_than_a_page_is_written_and_read_whole() {
    with_cql(async |cql, _| {
        let (at, child, token) = (key(), profile(), token());
        let members: BTreeSet<ProfileId> = (0..2_500).map(|_| profile()).collect();
        let mut writes: Vec<_> = members
            .iter()
            .map(|member| CellWrite::Member(*member))
            .collect();
        writes.push(CellWrite::Link(LinkRow {
            child,
            token,
            settled: true,
        }));
        write(&cql, at, 5, writes).await;
        let rows = read(&cql, at, &[Select::LinksAndMembers]).await;
        assert_eq!(
            rows.links,
            [LinkRow {
                child,
                token,
                settled: true
            }]
        );
        assert_eq!(rows.members.len(), members.len());
        assert_eq!(rows.members.into_iter().collect::<BTreeSet<_>>(), members);
    })
    .await;
}

#[tokio::test]
async fn a_batch_larger_than_a_statement_is_written_whole_under_one_time() {
    with_cql(async |cql, config| {
        let at = key();
        let traits: Vec<_> = (0..3_000)
            .map(|n| (definition(), bytes(&format!("{n}{}", "x".repeat(1_000)))))
            .collect();
        let mut writes = vec![CellWrite::Clock, CellWrite::Ident(ident("a@example.com", true))];
        writes.extend(traits.iter().map(|(definition, bytes)| CellWrite::Trait(*definition, bytes.clone())));
        write(&cql, at, 1_700_000_000_000_000, writes).await;
        let rows = read(&cql, at, &EVERYTHING).await;
        assert_eq!((rows.clock, rows.idents.len()), (Some(crate::harness::at(1_700_000_000_000_000)), 1));
        let found: BTreeSet<_> = rows.traits.into_iter().map(|cell| (cell.definition, cell.value)).collect();
        assert_eq!(found, traits.into_iter().collect());

        let times = format!("SELECT writetime(value), writetime(time) FROM {}.cells WHERE store = ? AND profile = ?", config.keyspace);
        let session = raw(&config).await;
        let result = session.query_unpaged(times, (at.store.as_uuid(), at.profile.as_uuid())).await.unwrap();
        for row in result.into_rows_result().unwrap().rows::<(Option<i64>, Option<i64>)>().unwrap() {
            let (value, time) = row.unwrap();
            assert_eq!(value.unwrap_or(1_700_000_000_000_000), 1_700_000_000_000_000);
            assert_eq!(time, Some(1_700_000_000_000_000));
        }
    })
    .await;
}

#[tokio::test]
async fn answers_come_in_the_order_of_the_reads() {
    with_cql(async |cql, _| {
        let keys = [key(), key(), key()];
        let batches = [(keys[0], 5), (keys[2], 7)].map(|(at, time)| CellBatch {
            at,
            time: crate::harness::at(time),
            writes: vec![CellWrite::Clock],
        });
        cql.write(&batches, Durability::Ordered).await.unwrap();
        let reads = keys.map(|at| CellRead {
            at,
            select: vec![Select::Clock],
        });
        let clocks: Vec<_> = cql
            .read(&reads)
            .await
            .unwrap()
            .into_iter()
            .map(|rows| rows.clock)
            .collect();
        assert_eq!(
            clocks,
            [
                Some(crate::harness::at(5)),
                None,
                Some(crate::harness::at(7))
            ]
        );
        cql.write(&[], Durability::Durable).await.unwrap();
        write(&cql, keys[1], 5, vec![]).await;
    })
    .await;
}

#[tokio::test]
async fn exact_rows_beyond_what_one_statement_names_are_all_found() {
    with_cql(async |cql, _| {
        let at = key();
        let rows: Vec<_> = (0..130)
            .map(|n| ident(&format!("{n}@example.com"), false))
            .collect();
        write(
            &cql,
            at,
            5,
            rows.iter().cloned().map(CellWrite::Ident).collect(),
        )
        .await;
        let selects: Vec<_> = rows.iter().map(select).chain([Select::Clock]).collect();
        assert_eq!(read(&cql, at, &selects).await.idents.len(), 130);
    })
    .await;
}
