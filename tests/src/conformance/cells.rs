//! Plain rows of a profile.

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;
use kith_domain::id::{DefinitionId, ProfileKey};
use kith_domain::identifier::{IdType, IdentifierValue};
use kith_domain::traits::{CellBytes, TraitCell, TraitValue, TraitWrite};
use kith_profiles::ports::{
    CellBatch, CellRead, CellRows, CellWrite, Cells, Durability, IdentRow, LinkRow, Select,
};

use super::{DatabaseFixture, at, claim_id, definition, key, profile, token};

fn text(value: &str) -> CellBytes {
    CellBytes::from(&TraitWrite::Set(TraitValue::String(value.into())))
}

fn set(definition: DefinitionId, value: &str) -> CellWrite {
    CellWrite::Trait(definition, text(value))
}

fn ident(value: &str, settled: bool) -> IdentRow {
    IdentRow {
        id_type: IdType::new("email"),
        value: IdentifierValue::new(value),
        claim: claim_id(),
        added_at: at(11),
        settled,
    }
}

async fn write(
    cells: &impl Cells,
    at: ProfileKey,
    micros: i64,
    writes: Vec<CellWrite>,
) -> Result<()> {
    let batch = CellBatch {
        at,
        time: super::at(micros),
        writes,
    };
    Ok(cells.write(&[batch], Durability::Ordered).await?)
}

async fn read(cells: &impl Cells, at: ProfileKey, select: Vec<Select>) -> Result<CellRows> {
    let mut rows = cells.read(&[CellRead { at, select }]).await?;
    ensure!(rows.len() == 1, "one answer a read");
    Ok(rows.remove(0))
}

async fn value_of(
    cells: &impl Cells,
    at: ProfileKey,
    definition: DefinitionId,
) -> Result<Option<TraitCell>> {
    let rows = read(cells, at, vec![Select::Traits]).await?;
    Ok(rows
        .traits
        .into_iter()
        .find(|cell| cell.definition == definition))
}

fn everything() -> Vec<Select> {
    vec![
        Select::Clock,
        Select::Root,
        Select::Idents,
        Select::LinksAndMembers,
        Select::Traits,
    ]
}

pub(super) async fn a_partition_never_written_is_empty(f: &mut impl DatabaseFixture) -> Result<()> {
    let cells = f.database();
    ensure!(read(&cells, key(), everything()).await? == CellRows::default());
    ensure!(cells.read(&[]).await?.is_empty());
    cells.write(&[], Durability::Durable).await?;
    Ok(())
}

pub(super) async fn the_newest_trait_wins_in_any_order(f: &mut impl DatabaseFixture) -> Result<()> {
    let cells = f.database();
    for order in [[1, 2, 3], [3, 2, 1], [2, 3, 1], [3, 1, 2]] {
        let (at, definition) = (key(), definition());
        for time in order {
            write(
                &cells,
                at,
                time,
                vec![set(definition, &format!("at {time}"))],
            )
            .await?;
        }
        let cell = value_of(&cells, at, definition).await?;
        let newest = TraitCell {
            definition,
            value: text("at 3"),
            time: super::at(3),
        };
        ensure!(cell == Some(newest), "{order:?} gave {cell:?}");
    }
    // A removal is a value like any other.
    let (at, definition) = (key(), definition());
    write(
        &cells,
        at,
        5,
        vec![CellWrite::Trait(
            definition,
            CellBytes::from(&TraitWrite::Removed),
        )],
    )
    .await?;
    write(&cells, at, 4, vec![set(definition, "older")]).await?;
    let cell = value_of(&cells, at, definition).await?;
    ensure!(cell.is_some_and(|cell| cell.value.decode() == Ok(TraitWrite::Removed)));
    Ok(())
}

pub(super) async fn equal_times_keep_the_larger_bytes(f: &mut impl DatabaseFixture) -> Result<()> {
    let cells = f.database();
    for order in [["a", "b"], ["b", "a"]] {
        let (at, definition) = (key(), definition());
        for value in order {
            write(&cells, at, 9, vec![set(definition, value)]).await?;
        }
        let cell = value_of(&cells, at, definition).await?;
        ensure!(
            cell.is_some_and(|cell| cell.value == text("b")),
            "{order:?}"
        );
    }
    Ok(())
}

pub(super) async fn the_clock_row_is_a_max_register(f: &mut impl DatabaseFixture) -> Result<()> {
    let (cells, at) = (f.database(), key());
    try_join_all((1..=20).map(|time| {
        // 20 times in an order of no meaning.
        let time = time * 7 % 23;
        write(&cells, at, time, vec![CellWrite::Clock])
    }))
    .await?;
    let newest = (1..=20).map(|time| time * 7 % 23).max();
    ensure!(read(&cells, at, vec![Select::Clock]).await?.clock == newest.map(super::at));
    Ok(())
}

pub(super) async fn a_settled_mark_stays(f: &mut impl DatabaseFixture) -> Result<()> {
    let (cells, at) = (f.database(), key());
    let marked = ident("a", true);
    let unmarked = IdentRow {
        settled: false,
        ..marked.clone()
    };
    let link = LinkRow {
        child: profile(),
        token: token(),
        settled: true,
    };
    for (time, settled) in [(1, false), (2, true), (3, false)] {
        let row = if settled {
            marked.clone()
        } else {
            unmarked.clone()
        };
        let writes = vec![
            CellWrite::Ident(row),
            CellWrite::Link(LinkRow { settled, ..link }),
        ];
        write(&cells, at, time, writes).await?;
        let rows = read(&cells, at, vec![Select::Idents, Select::LinksAndMembers]).await?;
        ensure!(rows.idents.len() == 1 && rows.links.len() == 1, "{rows:?}");
        ensure!(
            rows.idents[0].settled == (time > 1) && rows.links[0].settled == (time > 1),
            "{rows:?}"
        );
        ensure!(rows.idents[0].added_at == super::at(11), "{rows:?}");
    }
    Ok(())
}

pub(super) async fn a_forgotten_identifier_row_stays_away(
    f: &mut impl DatabaseFixture,
) -> Result<()> {
    let (cells, at) = (f.database(), key());
    let row = ident("gone", true);
    let kept = ident("kept", false);
    let forget = CellWrite::ForgetIdent(row.id_type.clone(), row.value.clone(), row.claim);
    for (time, writes) in [
        (
            1,
            vec![
                CellWrite::Ident(row.clone()),
                CellWrite::Ident(kept.clone()),
            ],
        ),
        (5, vec![forget]),
        // Late, and at the same time: neither brings it back.
        (4, vec![CellWrite::Ident(row.clone())]),
        (5, vec![CellWrite::Ident(row.clone())]),
    ] {
        write(&cells, at, time, writes).await?;
    }
    ensure!(read(&cells, at, vec![Select::Idents]).await?.idents == [kept]);
    write(&cells, at, 6, vec![CellWrite::Ident(row.clone())]).await?;
    ensure!(
        read(&cells, at, vec![Select::Idents])
            .await?
            .idents
            .contains(&row),
        "written anew"
    );
    Ok(())
}

pub(super) async fn marks_and_rows_of_one_batch_come_together(
    f: &mut impl DatabaseFixture,
) -> Result<()> {
    let cells = f.database();
    for _ in 0..10 {
        let (at, link) = (
            key(),
            LinkRow {
                child: profile(),
                token: token(),
                settled: true,
            },
        );
        let members: Vec<_> = (0..40).map(|_| profile()).collect();
        let mut writes: Vec<CellWrite> = members.iter().map(|id| CellWrite::Member(*id)).collect();
        writes.push(CellWrite::Link(link));
        let reading = async {
            for _ in 0..10 {
                let rows = read(&cells, at, vec![Select::LinksAndMembers]).await?;
                let marked = rows.links.iter().any(|row| row.settled);
                ensure!(
                    !marked || rows.members.len() == members.len(),
                    "a mark without its rows"
                );
            }
            Ok(())
        };
        futures_util::try_join!(write(&cells, at, 3, writes), reading)?;
        let mut rows = read(&cells, at, vec![Select::LinksAndMembers]).await?;
        rows.members.sort_unstable();
        ensure!(rows.links == [link] && rows.members == members, "{rows:?}");
    }
    Ok(())
}

pub(super) async fn every_selection_gives_only_its_rows(
    f: &mut impl DatabaseFixture,
) -> Result<()> {
    let (cells, at) = (f.database(), key());
    let (row, link) = (
        ident("a", false),
        LinkRow {
            child: profile(),
            token: token(),
            settled: false,
        },
    );
    let (member, root, name) = (profile(), profile(), definition());
    write(
        &cells,
        at,
        8,
        vec![
            CellWrite::Clock,
            CellWrite::Ident(row.clone()),
            CellWrite::Link(link),
            CellWrite::Member(member),
            CellWrite::Root(root),
            set(name, "v"),
        ],
    )
    .await?;
    let cell = TraitCell {
        definition: name,
        value: text("v"),
        time: super::at(8),
    };
    let whole = CellRows {
        clock: Some(super::at(8)),
        root: Some(root),
        idents: vec![row],
        links: vec![link],
        members: vec![member],
        traits: vec![cell],
    };
    ensure!(read(&cells, at, everything()).await? == whole);
    let only = |select: Select| read(&cells, at, vec![select]);
    let none = CellRows::default;
    ensure!(
        only(Select::Clock).await?
            == CellRows {
                clock: whole.clock,
                ..none()
            }
    );
    ensure!(
        only(Select::Root).await?
            == CellRows {
                root: whole.root,
                ..none()
            }
    );
    ensure!(
        only(Select::Idents).await?
            == CellRows {
                idents: whole.idents.clone(),
                ..none()
            }
    );
    ensure!(
        only(Select::Traits).await?
            == CellRows {
                traits: whole.traits.clone(),
                ..none()
            }
    );
    let both = CellRows {
        links: whole.links.clone(),
        members: whole.members.clone(),
        ..none()
    };
    ensure!(only(Select::LinksAndMembers).await? == both);
    ensure!(read(&cells, at, vec![]).await? == none());
    Ok(())
}

pub(super) async fn exact_rows_are_found_by_their_whole_key(
    f: &mut impl DatabaseFixture,
) -> Result<()> {
    let (cells, at) = (f.database(), key());
    let rows: Vec<IdentRow> = ["a", "a", "b"]
        .iter()
        .map(|value| ident(value, true))
        .collect();
    let links: Vec<LinkRow> = (0..3)
        .map(|_| LinkRow {
            child: profile(),
            token: token(),
            settled: true,
        })
        .collect();
    let writes = rows.iter().cloned().map(CellWrite::Ident);
    write(
        &cells,
        at,
        2,
        writes
            .chain(links.iter().copied().map(CellWrite::Link))
            .collect(),
    )
    .await?;
    let exact = |row: &IdentRow| Select::Ident(row.id_type.clone(), row.value.clone(), row.claim);
    let found = read(&cells, at, vec![exact(&rows[0]), exact(&rows[2])]).await?;
    ensure!(
        found.idents.len() == 2
            && found.idents.contains(&rows[0])
            && found.idents.contains(&rows[2])
    );
    let absent = Select::Ident(rows[0].id_type.clone(), rows[0].value.clone(), claim_id());
    ensure!(read(&cells, at, vec![absent]).await?.idents.is_empty());
    let found = read(
        &cells,
        at,
        vec![Select::Link(links[1].child, links[1].token), Select::Clock],
    )
    .await?;
    ensure!(found.links == [links[1]] && found.members.is_empty() && found.clock.is_none());
    ensure!(
        read(&cells, at, vec![Select::Link(links[1].child, token())])
            .await?
            .links
            .is_empty()
    );
    Ok(())
}

pub(super) async fn many_rows_are_read_whole(f: &mut impl DatabaseFixture) -> Result<()> {
    let (cells, at) = (f.database(), key());
    let batches: Vec<CellBatch> = (0..60)
        .map(|_| CellBatch {
            at,
            time: super::at(4),
            writes: (0..100).map(|_| CellWrite::Member(profile())).collect(),
        })
        .collect();
    for some in batches.chunks(6) {
        cells.write(some, Durability::Ordered).await?;
    }
    let members = read(&cells, at, vec![Select::LinksAndMembers])
        .await?
        .members;
    ensure!(members.len() == 6_000, "{} of 6,000", members.len());
    Ok(())
}

pub(super) async fn text_is_kept_to_the_letter(f: &mut impl DatabaseFixture) -> Result<()> {
    let (cells, at) = (f.database(), key());
    let long = "ß\u{1F600}".repeat(500);
    for value in [
        "", " ", "\u{0}a", "a\u{0}", "é", "e\u{301}", "'; DROP", &long,
    ] {
        let (row, name) = (ident(value, false), definition());
        write(
            &cells,
            at,
            1,
            vec![CellWrite::Ident(row.clone()), set(name, value)],
        )
        .await?;
        let exact = Select::Ident(row.id_type.clone(), row.value.clone(), row.claim);
        ensure!(
            read(&cells, at, vec![exact]).await?.idents == [row],
            "{value:?}"
        );
        ensure!(
            value_of(&cells, at, name)
                .await?
                .is_some_and(|cell| cell.value == text(value))
        );
    }
    Ok(())
}

pub(super) async fn stores_and_profiles_do_not_mix(f: &mut impl DatabaseFixture) -> Result<()> {
    let cells = f.database();
    let (one, name) = (key(), definition());
    let others = [
        ProfileKey {
            store: super::store(),
            ..one
        },
        ProfileKey {
            profile: profile(),
            ..one
        },
    ];
    write(&cells, one, 5, vec![CellWrite::Clock, set(name, "mine")]).await?;
    for other in others {
        ensure!(read(&cells, other, everything()).await? == CellRows::default());
    }
    Ok(())
}

pub(super) async fn a_batch_is_repeated_without_effect(f: &mut impl DatabaseFixture) -> Result<()> {
    let (cells, at) = (f.database(), key());
    let writes = vec![
        CellWrite::Clock,
        CellWrite::Ident(ident("a", true)),
        CellWrite::Member(profile()),
        set(definition(), "v"),
    ];
    write(&cells, at, 6, writes.clone()).await?;
    let once = read(&cells, at, everything()).await?;
    write(&cells, at, 6, writes).await?;
    ensure!(read(&cells, at, everything()).await? == once);
    Ok(())
}

pub(super) async fn acknowledged_cells_survive_a_crash(f: &mut impl DatabaseFixture) -> Result<()> {
    let keys: Vec<ProfileKey> = (0..20).map(|_| key()).collect();
    let name = definition();
    let batches: Vec<CellBatch> = keys
        .iter()
        .map(|at| CellBatch {
            at: *at,
            time: super::at(3),
            writes: vec![CellWrite::Clock, set(name, "kept")],
        })
        .collect();
    f.database().write(&batches, Durability::Durable).await?;
    f.crash().await?;
    let cells = f.database();
    for at in keys {
        ensure!(
            value_of(&cells, at, name)
                .await?
                .is_some_and(|cell| cell.value == text("kept"))
        );
    }
    Ok(())
}

pub(super) async fn earlier_writes_are_durable_with_a_durable_one(
    f: &mut impl DatabaseFixture,
) -> Result<()> {
    let (early, late) = (key(), key());
    let cells = f.database();
    write(&cells, early, 3, vec![CellWrite::Clock]).await?;
    let batch = CellBatch {
        at: late,
        time: super::at(4),
        writes: vec![CellWrite::Clock],
    };
    cells.write(&[batch], Durability::Durable).await?;
    drop(cells);
    f.crash().await?;
    let cells = f.database();
    for at in [early, late] {
        ensure!(
            read(&cells, at, vec![Select::Clock]).await?.clock.is_some(),
            "lost"
        );
    }
    Ok(())
}

/// A write of every kind.
fn one_of_each() -> Vec<CellWrite> {
    vec![
        CellWrite::Clock,
        CellWrite::Ident(ident("a", true)),
        CellWrite::Link(LinkRow {
            child: profile(),
            token: token(),
            settled: true,
        }),
        CellWrite::Member(profile()),
        CellWrite::Root(profile()),
        set(definition(), "v"),
    ]
}

async fn purge(cells: &impl Cells, profiles: &[ProfileKey], micros: i64) -> Result<()> {
    let time = super::at(micros);
    Ok(cells.purge(profiles, time, Durability::Ordered).await?)
}

pub(super) async fn a_purge_leaves_nothing_of_its_partitions(
    f: &mut impl DatabaseFixture,
) -> Result<()> {
    let (cells, one) = (f.database(), key());
    let two = ProfileKey {
        profile: profile(),
        ..one
    };
    let others = [
        ProfileKey {
            store: super::store(),
            ..one
        },
        ProfileKey {
            profile: profile(),
            ..one
        },
    ];
    for at in [one, two, others[0], others[1]] {
        for time in [3, 7] {
            write(&cells, at, time, one_of_each()).await?;
        }
    }
    let kept = [
        read(&cells, others[0], everything()).await?,
        read(&cells, others[1], everything()).await?,
    ];
    ensure!(kept[0].clock.is_some() && kept[0].traits.len() == 2);
    purge(&cells, &[], 9).await?;
    // Repeating it changes nothing, and so does purging what has never been written.
    for _ in 0..2 {
        purge(&cells, &[one, two, key()], 7).await?;
        for at in [one, two] {
            ensure!(read(&cells, at, everything()).await? == CellRows::default());
        }
        for (other, kept) in others.into_iter().zip(&kept) {
            ensure!(read(&cells, other, everything()).await? == *kept);
        }
    }
    Ok(())
}

pub(super) async fn a_late_write_of_any_kind_stays_purged(
    f: &mut impl DatabaseFixture,
) -> Result<()> {
    let (cells, at) = (f.database(), key());
    let before = one_of_each();
    write(&cells, at, 2, before.clone()).await?;
    purge(&cells, &[at], 10).await?;
    // What was there again, and what never was; earlier, and at the very time.
    for late in [before, one_of_each()] {
        for time in [1, 9, 10] {
            for write_of in &late {
                write(&cells, at, time, vec![write_of.clone()]).await?;
                let rows = read(&cells, at, everything()).await?;
                ensure!(
                    rows == CellRows::default(),
                    "{write_of:?} at {time} gave {rows:?}"
                );
            }
            write(&cells, at, time, late.clone()).await?;
        }
    }
    let rows = read(&cells, at, everything()).await?;
    ensure!(rows == CellRows::default(), "{rows:?}");
    // A removed row leaves nothing, either.
    let gone = ident("gone", false);
    let forget = CellWrite::ForgetIdent(gone.id_type.clone(), gone.value.clone(), gone.claim);
    write(&cells, at, 9, vec![forget]).await?;
    write(&cells, at, 11, vec![CellWrite::Ident(gone.clone())]).await?;
    ensure!(read(&cells, at, everything()).await?.idents == [gone]);
    Ok(())
}

pub(super) async fn what_is_newer_than_a_purge_stays(f: &mut impl DatabaseFixture) -> Result<()> {
    let cells = f.database();
    let writes = one_of_each();
    let alone = key();
    write(&cells, alone, 11, writes.clone()).await?;
    let whole = read(&cells, alone, everything()).await?;
    ensure!(whole.clock.is_some() && whole.root.is_some() && whole.links.len() == 1);
    ensure!(whole.idents.len() == 1 && whole.members.len() == 1 && whole.traits.len() == 1);
    // Written before the purge or after it, over what it removes or not.
    for order in [
        "purge, write",
        "write, purge",
        "old, purge, write",
        "old, write, purge",
    ] {
        let at = key();
        for step in order.split(", ") {
            match step {
                "purge" => purge(&cells, &[at], 10).await?,
                "old" => write(&cells, at, 4, writes.clone()).await?,
                _ => write(&cells, at, 11, writes.clone()).await?,
            }
        }
        let rows = read(&cells, at, everything()).await?;
        ensure!(rows == whole, "{order} gave {rows:?}");
    }
    // A mark that was purged does not come back with its row.
    for order in [["purge", "write"], ["write", "purge"]] {
        let (at, row) = (key(), ident("a", true));
        let link = LinkRow {
            child: profile(),
            token: token(),
            settled: true,
        };
        write(
            &cells,
            at,
            4,
            vec![CellWrite::Ident(row.clone()), CellWrite::Link(link)],
        )
        .await?;
        let unmarked = IdentRow {
            settled: false,
            ..row
        };
        let open = LinkRow {
            settled: false,
            ..link
        };
        for step in order {
            if step == "purge" {
                purge(&cells, &[at], 10).await?;
            } else {
                let writes = vec![CellWrite::Ident(unmarked.clone()), CellWrite::Link(open)];
                write(&cells, at, 11, writes).await?;
            }
        }
        let rows = read(&cells, at, everything()).await?;
        ensure!(
            rows.idents == [unmarked] && rows.links == [open],
            "{order:?} gave {rows:?}"
        );
    }
    Ok(())
}

pub(super) async fn of_two_purges_the_later_time_counts(
    f: &mut impl DatabaseFixture,
) -> Result<()> {
    let cells = f.database();
    for order in [[5, 10], [10, 5]] {
        let at = key();
        for time in order {
            purge(&cells, &[at], time).await?;
        }
        write(&cells, at, 8, one_of_each()).await?;
        ensure!(
            read(&cells, at, everything()).await? == CellRows::default(),
            "{order:?}"
        );
        write(&cells, at, 11, vec![CellWrite::Clock]).await?;
        let clock = read(&cells, at, vec![Select::Clock]).await?.clock;
        ensure!(clock == Some(super::at(11)), "{order:?}");
    }
    Ok(())
}

pub(super) async fn acknowledged_purges_survive_a_crash(
    f: &mut impl DatabaseFixture,
) -> Result<()> {
    let keys: Vec<ProfileKey> = (0..20).map(|_| key()).collect();
    let cells = f.database();
    for at in &keys {
        write(&cells, *at, 3, one_of_each()).await?;
    }
    let time = super::at(10);
    cells.purge(&keys, time, Durability::Durable).await?;
    drop(cells);
    f.crash().await?;
    let cells = f.database();
    for at in keys {
        ensure!(
            read(&cells, at, everything()).await? == CellRows::default(),
            "came back"
        );
        write(&cells, at, 9, one_of_each()).await?;
        ensure!(
            read(&cells, at, everything()).await? == CellRows::default(),
            "a late write after the crash"
        );
        write(&cells, at, 11, vec![CellWrite::Clock]).await?;
        ensure!(read(&cells, at, vec![Select::Clock]).await?.clock.is_some());
    }
    Ok(())
}
