//! Stores: made once, whoever repeats it.

use kith_domain::id::{AccountSid, DefinitionId, OperationId};
use kith_domain::identifier::ClaimSecret;
use kith_domain::operation::{KEPT_FOR, Operation};
use kith_domain::schema::TraitGroup;
use kith_domain::settings::IdentitySettings;
use kith_domain::store::{StoreRecord, StoreStatus};
use kith_profiles::ports::{Control, Created, Definitions};
use uuid::Uuid;

use crate::harness::{at, raw, store, with_cql};

pub(crate) fn account(n: u8) -> AccountSid {
    format!("AC{n:032x}").parse().unwrap()
}

fn group(name: &str, created_at: i64) -> TraitGroup {
    TraitGroup {
        name: name.to_owned(),
        description: Some(format!("what we know of {name}'s \"people\"")),
        version: 1,
        created_at: at(created_at),
        traits: [
            ("plan".to_owned(), definition("STRING")),
            ("age".to_owned(), definition("NUMBER")),
        ]
        .into_iter()
        .collect(),
    }
}

fn definition(data_type: &str) -> kith_domain::schema::TraitDefinition {
    let id = DefinitionId::from_uuid(Uuid::new_v4());
    serde_json::from_value(serde_json::json!({ "id": id, "dataType": data_type })).unwrap()
}

pub(crate) fn record(account: AccountSid) -> StoreRecord {
    StoreRecord {
        id: store(),
        account,
        display_name: "people".to_owned(),
        description: None,
        status: StoreStatus::Active,
        version: 1,
        settings: IdentitySettings::default(),
        settings_version: 1,
        schema_version: 3,
        claim_secret: ClaimSecret::from_bytes([7; 32]),
        // Not in the order of their names.
        groups: vec![group("Contact", 1), group("Zebra", 2), group("Account", 3)],
        places: Default::default(),
    }
}

#[tokio::test]
async fn a_store_is_made_once_with_everything_in_it() {
    with_cql(async |cql, _| {
        let record = record(account(1));
        assert_eq!(cql.store(record.id).await.unwrap(), None);
        assert_eq!(cql.account(&account(1)).await.unwrap().store_ids(), []);
        assert_eq!(cql.create_store(&record).await.unwrap(), Created::Now);
        assert_eq!(cql.store(record.id).await.unwrap(), Some(record.clone()));
        assert_eq!(
            cql.account(&account(1)).await.unwrap().store_ids(),
            [record.id]
        );

        let changed = StoreRecord {
            display_name: "other".to_owned(),
            groups: vec![group("New", 9)],
            ..record.clone()
        };
        assert_eq!(cql.create_store(&changed).await.unwrap(), Created::Already);
        assert_eq!(cql.store(record.id).await.unwrap(), Some(record));
    })
    .await;
}

#[tokio::test]
async fn a_store_without_groups_can_be_made_and_read() {
    with_cql(async |cql, _| {
        let bare = StoreRecord {
            groups: vec![],
            description: Some("d".to_owned()),
            ..record(account(1))
        };
        assert_eq!(cql.create_store(&bare).await.unwrap(), Created::Now);
        assert_eq!(cql.store(bare.id).await.unwrap(), Some(bare));
    })
    .await;
}

#[tokio::test]
async fn the_stores_of_an_account_come_by_age_and_from_it_alone() {
    with_cql(async |cql, _| {
        let mut records: Vec<_> = (0..3).map(|_| record(account(1))).collect();
        records.push(StoreRecord {
            id: "mem_store_00000000000000000000000000".parse().unwrap(),
            ..record(account(1))
        });
        for record in &records {
            cql.create_store(record).await.unwrap();
        }
        let foreign = record(account(2));
        cql.create_store(&foreign).await.unwrap();
        let mut ids: Vec<_> = records.iter().map(|record| record.id).collect();
        ids.sort_unstable();
        assert_eq!(cql.account(&account(1)).await.unwrap().store_ids(), ids);
        assert_eq!(
            cql.account(&account(2)).await.unwrap().store_ids(),
            [foreign.id]
        );
    })
    .await;
}

#[tokio::test]
async fn what_a_crash_left_between_store_and_account_the_repetition_finishes() {
    with_cql(async |cql, config| {
        let record = record(account(1));
        cql.create_store(&record).await.unwrap();
        let unnamed = format!(
            "DELETE FROM {}.account_store WHERE account = ? AND store = ?",
            config.keyspace
        );
        let values = (record.account.as_str(), record.id.as_uuid());
        raw(&config)
            .await
            .query_unpaged(unnamed, values)
            .await
            .unwrap();
        assert_eq!(cql.account(&account(1)).await.unwrap().store_ids(), []);
        assert_eq!(cql.create_store(&record).await.unwrap(), Created::Already);
        assert_eq!(
            cql.account(&account(1)).await.unwrap().store_ids(),
            [record.id]
        );
    })
    .await;
}

#[tokio::test]
async fn nobody_lists_a_store_of_somebody_else() {
    with_cql(async |cql, _| {
        let record = record(account(1));
        cql.create_store(&record).await.unwrap();
        let thief = StoreRecord {
            account: account(2),
            ..record.clone()
        };
        assert_eq!(cql.create_store(&thief).await.unwrap(), Created::Already);
        assert_eq!(cql.account(&account(2)).await.unwrap().store_ids(), []);
        assert_eq!(cql.store(record.id).await.unwrap(), Some(record));
    })
    .await;
}

#[tokio::test]
async fn an_operation_goes_by_itself_after_a_week() {
    with_cql(async |cql, config| {
        let id = OperationId::from_uuid(Uuid::now_v7());
        // Long done by the clock of whoever did it: what counts is when it was kept.
        let operation = Operation::deletion(id, at(1), store());
        cql.put_operation(&account(1), &operation).await.unwrap();
        let text = format!("SELECT TTL(body) FROM {}.operation", config.keyspace);
        let rows = raw(&config).await.query_unpaged(text, ()).await.unwrap();
        let rows = rows.into_rows_result().unwrap();
        let (left,) = rows.first_row::<(i32,)>().unwrap();
        let week = i32::try_from(KEPT_FOR.as_secs()).unwrap();
        assert!((week - 60..=week).contains(&left), "{left}");
        let done = operation.done(at(2));
        cql.put_operation(&account(1), &done).await.unwrap();
        assert_eq!(cql.operation(&account(1), id).await.unwrap(), Some(done));
    })
    .await;
}
