use kith_domain::id::{AccountSid, ClaimId, ProfileKey, StoreId};
use kith_domain::identifier::{ClaimSecret, IdType, IdentifierValue};
use kith_domain::store::{StoreRecord, StoreStatus};
use kith_profiles::ports::{
    CellBatch, CellRead, CellRows, CellWrite, Cells, Control, Created, Definitions, Durability,
    IdentRow, LinkRow, Listing, Order, Select,
};
use uuid::Uuid;

use crate::harness::{Home, at, cells, definition, micros, store, text, uuid, write};

fn ident(value: &str, claim: ClaimId, settled: bool) -> IdentRow {
    IdentRow {
        id_type: IdType::new("email"),
        value: IdentifierValue::new(value),
        claim,
        added_at: micros(1),
        settled,
    }
}

#[tokio::test]
async fn every_kind_of_row_is_read_as_it_was_written() {
    let home = Home::new();
    let engine = home.open();
    let claim = ClaimId::from_uuid(uuid());
    let link = LinkRow {
        child: at(5).profile,
        token: kith_domain::id::LinkToken::from_uuid(uuid()),
        settled: false,
    };
    let writes = vec![
        CellWrite::Clock,
        CellWrite::Ident(ident("a@b.c", claim, true)),
        CellWrite::Link(link),
        CellWrite::Member(at(5).profile),
        CellWrite::Root(at(0).profile),
        CellWrite::Trait(definition(1), text("v")),
    ];
    write(&engine, at(1), 9, writes, Durability::Ordered).await;
    let rows = cells(&engine, at(1)).await;
    assert_eq!(rows.clock, Some(micros(9)));
    assert_eq!(rows.root, Some(at(0).profile));
    assert_eq!(rows.idents, [ident("a@b.c", claim, true)]);
    assert_eq!(rows.links, [link]);
    assert_eq!(rows.members, [at(5).profile]);
    assert_eq!(rows.traits.len(), 1);
    assert_eq!(rows.traits[0].value, text("v"));
    assert_eq!(cells(&engine, at(2)).await, CellRows::default());

    let one = |select| CellRead {
        at: at(1),
        select: vec![select],
    };
    let other = ClaimId::from_uuid(uuid());
    let of = |claim| Select::Ident(IdType::new("email"), IdentifierValue::new("a@b.c"), claim);
    let reads = [
        one(of(claim)),
        one(of(other)),
        one(Select::Link(link.child, link.token)),
    ];
    let found = Cells::read(&engine, &reads).await.unwrap();
    assert_eq!(found[0].idents.len(), 1);
    assert_eq!(found[0].clock, None, "what was not selected is empty");
    assert_eq!(found[1], CellRows::default());
    assert_eq!(found[2].links, [link]);
}

#[tokio::test]
async fn the_newest_time_wins_whatever_the_order() {
    let home = Home::new();
    let engine = home.open();
    let write_trait = |value| {
        vec![
            CellWrite::Clock,
            CellWrite::Trait(definition(1), text(value)),
        ]
    };
    for (time, value) in [(5, "b"), (3, "z"), (5, "a"), (4, "y")] {
        write(
            &engine,
            at(1),
            time,
            write_trait(value),
            Durability::Ordered,
        )
        .await;
    }
    let rows = cells(&engine, at(1)).await;
    assert_eq!(rows.clock, Some(micros(5)));
    assert_eq!(
        (rows.traits[0].time, &rows.traits[0].value),
        (micros(5), &text("b"))
    );

    let claim = ClaimId::from_uuid(uuid());
    let row = ident("a", claim, true);
    let forget = CellWrite::ForgetIdent(row.id_type.clone(), row.value.clone(), claim);
    write(&engine, at(1), 7, vec![forget.clone()], Durability::Ordered).await;
    write(
        &engine,
        at(1),
        7,
        vec![CellWrite::Ident(row.clone())],
        Durability::Ordered,
    )
    .await;
    assert_eq!(cells(&engine, at(1)).await.idents, []);
    let later = IdentRow {
        settled: false,
        ..row
    };
    write(
        &engine,
        at(1),
        8,
        vec![CellWrite::Ident(later.clone())],
        Durability::Ordered,
    )
    .await;
    assert_eq!(cells(&engine, at(1)).await.idents, [later]);
}

#[tokio::test]
async fn an_identifier_too_long_for_a_key_is_refused_and_never_found() {
    let home = Home::new();
    let engine = home.open();
    let row = ident(&"x".repeat(70_000), ClaimId::from_uuid(uuid()), false);
    let read = CellRead {
        at: at(1),
        select: vec![Select::Ident(
            row.id_type.clone(),
            row.value.clone(),
            row.claim,
        )],
    };
    let batch = kith_profiles::ports::CellBatch {
        at: at(1),
        time: micros(1),
        writes: vec![CellWrite::Ident(row)],
    };
    assert!(
        Cells::write(&engine, &[batch], Durability::Ordered)
            .await
            .is_err()
    );
    assert_eq!(
        Cells::read(&engine, &[read]).await.unwrap(),
        [CellRows::default()]
    );
}

#[tokio::test]
async fn a_listing_goes_both_ways_from_anywhere_and_stays_in_its_store() {
    let home = Home::new();
    let engine = home.open();
    let other = StoreId::from_uuid(Uuid::from_u128(1));
    for profile in [3, 1, 2, 2] {
        Listing::add(&engine, at(profile), Durability::Ordered)
            .await
            .unwrap();
    }
    let elsewhere = ProfileKey {
        store: other,
        profile: at(4).profile,
    };
    Listing::add(&engine, elsewhere, Durability::Durable)
        .await
        .unwrap();
    let page = async |order, after: Option<u128>, limit| {
        let after = after.map(|profile| at(profile).profile);
        engine.page(store(), order, after, limit).await.unwrap()
    };
    let ids = |profiles: &[u128]| -> Vec<_> { profiles.iter().map(|p| at(*p).profile).collect() };
    assert_eq!(page(Order::Ascending, None, 10).await, ids(&[1, 2, 3]));
    assert_eq!(page(Order::Ascending, Some(1), 1).await, ids(&[2]));
    assert_eq!(page(Order::Ascending, Some(3), 10).await, ids(&[]));
    assert_eq!(page(Order::Descending, None, 2).await, ids(&[3, 2]));
    assert_eq!(page(Order::Descending, Some(2), 2).await, ids(&[1]));
    // A place that holds no profile any more is a place all the same.
    assert_eq!(page(Order::Descending, Some(u128::MAX), 1).await, ids(&[3]));
    assert_eq!(page(Order::Descending, Some(0), 1).await, ids(&[]));
}

#[tokio::test]
async fn a_store_is_made_once_and_named_in_its_account() {
    let home = Home::new();
    let account = |digit: char| -> AccountSid {
        format!("AC{}", digit.to_string().repeat(32))
            .parse()
            .unwrap()
    };
    let record = |id: u128, account: AccountSid, name: &str| StoreRecord {
        id: StoreId::from_uuid(Uuid::from_u128(id)),
        account,
        display_name: name.into(),
        description: None,
        status: StoreStatus::Active,
        version: 1,
        settings: kith_domain::settings::IdentitySettings::default(),
        settings_version: 1,
        schema_version: 1,
        claim_secret: ClaimSecret::from_bytes([7; 32]),
        groups: Vec::new(),
        places: Default::default(),
    };
    let first = record(2, account('1'), "first");
    {
        let engine = home.open();
        assert_eq!(engine.create_store(&first).await.unwrap(), Created::Now);
        let again = record(2, account('2'), "second");
        assert_eq!(engine.create_store(&again).await.unwrap(), Created::Already);
        engine
            .create_store(&record(1, account('1'), "third"))
            .await
            .unwrap();
    }
    let engine = home.open();
    assert_eq!(engine.store(first.id).await.unwrap(), Some(first.clone()));
    let ids = [StoreId::from_uuid(Uuid::from_u128(1)), first.id];
    assert_eq!(
        engine.account(&account('1')).await.unwrap().store_ids(),
        ids
    );
    assert_eq!(engine.account(&account('2')).await.unwrap().store_ids(), []);
    assert_eq!(
        engine.store(StoreId::from_uuid(uuid())).await.unwrap(),
        None
    );
}

/// What a profile's rows are by the rules, without any of the ways in which the engine saves itself a look.
#[derive(Debug, Default, Clone, Copy)]
struct Expected {
    clock: Option<i64>,
    written: Option<i64>,
    purged: Option<i64>,
}

impl Expected {
    fn after(mut self, kind: usize, time: i64) -> Self {
        match kind {
            _ if Some(time) <= self.purged && kind < 2 => {}
            0 => self.clock = self.clock.max(Some(time)),
            1 => self.written = self.written.max(Some(time)),
            _ => {
                self.purged = self.purged.max(Some(time));
                let newer = |row: &i64| Some(*row) > self.purged;
                self.clock = self.clock.filter(newer);
                self.written = self.written.filter(newer);
            }
        }
        self
    }
}

#[tokio::test]
async fn a_purge_covers_what_is_not_newer_whatever_was_written_before_and_after_it() {
    const TIMES: usize = 3;
    const STEPS: u32 = 4;
    const CHOICES: usize = 3 * TIMES;
    let home = Home::new();
    let engine = home.open();
    // Every sequence of steps, each at a profile of its own: the clock row, a trait, or a purge, at each of some times.
    let profiles: Vec<(usize, ProfileKey)> = (0..CHOICES.pow(STEPS))
        .map(|sequence| (sequence, at(sequence as u128 + 1)))
        .collect();
    let mut expected = vec![Expected::default(); profiles.len()];
    for step in 0..STEPS {
        let mut batches = Vec::new();
        let mut purges = vec![Vec::new(); TIMES];
        for ((sequence, at), expected) in profiles.iter().zip(&mut expected) {
            let choice = sequence / CHOICES.pow(step) % CHOICES;
            let (kind, place) = (choice / TIMES, choice % TIMES);
            let time = place as i64 + 1;
            let write = match kind {
                0 => CellWrite::Clock,
                1 => CellWrite::Trait(definition(1), text(&time.to_string())),
                _ => {
                    purges[place].push(*at);
                    *expected = expected.after(kind, time);
                    continue;
                }
            };
            *expected = expected.after(kind, time);
            batches.push(CellBatch {
                at: *at,
                time: micros(time),
                writes: vec![write],
            });
        }
        engine.write(&batches, Durability::Ordered).await.unwrap();
        for (place, profiles) in purges.iter().enumerate() {
            let time = micros(place as i64 + 1);
            let purged = engine.purge(profiles, time, Durability::Ordered);
            purged.await.unwrap();
        }
    }
    for ((sequence, at), expected) in profiles.into_iter().zip(expected) {
        let rows = cells(&engine, at).await;
        let written = rows.traits.first().map(|cell| cell.value.clone());
        assert_eq!(
            (rows.clock, written),
            (
                expected.clock.map(micros),
                expected.written.map(|time| text(&time.to_string()))
            ),
            "sequence {sequence}: {expected:?}"
        );
    }
}
