//! Changes of stores and their definitions, and operations.

use anyhow::{Result, ensure};
use futures_util::future::join_all;
use kith_domain::id::{AccountSid, OperationId, StoreId};
use kith_domain::operation::{Operation, OperationStatus, Resource};
use kith_domain::schema::TraitGroup;
use kith_domain::store::StoreRecord;
use kith_profiles::ports::{
    Account, AccountStore, AccountWrite, Control, Created, Definitions, StorePart, StoreWrite,
    Written,
};
use uuid::Uuid;

use super::listing_control::{account, record};
use super::{DatabaseFixture, at, uuid};

fn row(name: &str) -> AccountStore {
    AccountStore {
        store: StoreId::from_uuid(Uuid::now_v7()),
        display_name: Some(name.into()),
        description: Some("Ünïcode \" ' description".into()),
        version: 3,
        ending: None,
    }
}

fn write(account: &AccountSid, known: &Account, row: &AccountStore) -> AccountWrite {
    AccountWrite {
        account: account.clone(),
        expected: known.revision,
        revision: uuid(),
        row: row.clone(),
    }
}

/// Writes a row to an account that nobody else writes to; the account after it.
async fn put(
    database: &impl Definitions,
    account: &AccountSid,
    row: &AccountStore,
) -> Result<Account> {
    let known = database.account(account).await?;
    let write = write(account, &known, row);
    ensure!(database.write_account(&write).await? == Written::Applied);
    let known = database.account(account).await?;
    ensure!(known.revision == Some(write.revision));
    Ok(known)
}

pub(super) async fn an_account_is_written_under_its_revision(
    f: &mut impl DatabaseFixture,
) -> Result<()> {
    let (database, account) = (f.database(), account()?);
    ensure!(database.account(&account).await? == Account::default());
    let (one, mut two) = (row("one"), row("two"));
    let first = write(&account, &Account::default(), &one);
    ensure!(database.write_account(&first).await? == Written::Applied);
    ensure!(
        database.write_account(&first).await? == Written::Refused,
        "sent again"
    );
    let known = database.account(&account).await?;
    ensure!(known.revision == Some(first.revision) && known.stores == [one.clone()]);
    let stale = write(&account, &Account::default(), &two);
    ensure!(database.write_account(&stale).await? == Written::Refused);

    let known = put(&database, &account, &two).await?;
    ensure!(
        known.stores == [one.clone(), two.clone()],
        "in order of age"
    );
    ensure!(database.account(&account).await?.store_ids() == [one.store, two.store]);
    ensure!(database.account(&self::account()?).await? == Account::default());

    // Deleted, and something is owed; then nothing is.
    two.display_name = None;
    two.description = None;
    two.ending = Some(OperationId::from_uuid(uuid()));
    put(&database, &account, &two).await?;
    f.crash().await?;
    let database = f.database();
    let known = database.account(&account).await?;
    ensure!(known.stores.len() == 2 && known.stores[1].ending == two.ending);
    ensure!(known.stores[1].display_name.is_none());
    ensure!(database.account(&account).await?.store_ids() == [one.store]);
    two.ending = None;
    let known = put(&database, &account, &two).await?;
    ensure!(known.stores == [one], "{known:?}");
    Ok(())
}

pub(super) async fn of_many_writes_on_one_revision_one_is_applied(
    f: &mut impl DatabaseFixture,
) -> Result<()> {
    let (database, account) = (f.database(), account()?);
    let known = put(&database, &account, &row("first")).await?;
    let writes: Vec<AccountWrite> = (0..8)
        .map(|n| write(&account, &known, &row(&format!("{n}"))))
        .collect();
    let answers = join_all(writes.iter().map(|write| database.write_account(write))).await;
    let answers = answers.into_iter().collect::<Result<Vec<_>, _>>()?;
    let known = database.account(&account).await?;
    let standing = writes.iter().zip(&answers).filter(|(write, answer)| {
        // An answer that did not come may be that of the one that was applied.
        **answer != Written::Refused && known.revision == Some(write.revision)
    });
    ensure!(standing.count() == 1, "{answers:?}");
    ensure!(
        answers
            .iter()
            .filter(|answer| **answer == Written::Applied)
            .count()
            <= 1
    );
    ensure!(known.stores.len() == 2);
    Ok(())
}

pub(super) async fn a_store_that_is_made_has_no_name_yet(
    f: &mut impl DatabaseFixture,
) -> Result<()> {
    let (database, account) = (f.database(), account()?);
    let made = record(&account);
    ensure!(database.make_store(&made).await? == Created::Now);
    ensure!(database.make_store(&made).await? == Created::Already);
    ensure!(database.store(made.id).await? == Some(made.clone()));
    ensure!(database.account(&account).await?.store_ids().is_empty());
    // One that was never named can be deleted.
    ensure!(database.delete_store(&account, made.id).await?);
    ensure!(database.store(made.id).await?.is_none());
    ensure!(database.is_deleted(made.id).await?);
    ensure!(database.make_store(&made).await? == Created::Already);
    Ok(())
}

pub(super) async fn a_created_store_is_named_whole(f: &mut impl DatabaseFixture) -> Result<()> {
    let (database, account) = (f.database(), account()?);
    let created = record(&account);
    database.create_store(&created).await?;
    let known = database.account(&account).await?;
    let expected = AccountStore {
        store: created.id,
        display_name: Some(created.display_name),
        description: created.description,
        version: created.version,
        ending: None,
    };
    ensure!(known.stores == [expected], "{known:?}");
    Ok(())
}

pub(super) async fn what_a_deleted_store_owes_stays_in_its_account(
    f: &mut impl DatabaseFixture,
) -> Result<()> {
    let (database, account) = (f.database(), account()?);
    let created = record(&account);
    database.create_store(&created).await?;
    let mut row = database.account(&account).await?.stores.remove(0);
    row.ending = Some(OperationId::from_uuid(uuid()));
    put(&database, &account, &row).await?;
    ensure!(database.delete_store(&account, created.id).await?);
    let known = database.account(&account).await?;
    ensure!(known.stores.len() == 1, "{known:?}");
    ensure!(known.stores[0].ending == row.ending);
    ensure!(known.stores[0].display_name.is_none());
    ensure!(database.account(&account).await?.store_ids().is_empty());
    Ok(())
}

fn group(like: &StoreRecord, name: &str, age: i64) -> TraitGroup {
    let mut group = like.groups[0].clone();
    name.clone_into(&mut group.name);
    group.created_at = at(1_700_000_000_000_000 + age);
    group
}

pub(super) async fn a_part_of_a_store_is_written_under_its_version(
    f: &mut impl DatabaseFixture,
) -> Result<()> {
    let (database, account) = (f.database(), account()?);
    let mut expected = record(&account);
    let store = expected.id;
    let write = |expected: u32, part: StorePart| StoreWrite {
        store,
        expected,
        part,
    };
    let mut settings = expected.settings.clone();
    settings.identifier_configs.truncate(2);
    settings.matching_rules.truncate(1);
    let put_settings = write(1, StorePart::Settings(settings.clone()));
    ensure!(
        database.write_store(&put_settings).await? == Written::Refused,
        "no store"
    );
    database.create_store(&expected).await?;
    ensure!(database.write_store(&put_settings).await? == Written::Applied);
    ensure!(
        database.write_store(&put_settings).await? == Written::Refused,
        "sent again"
    );
    (expected.settings, expected.settings_version) = (settings, 2);

    let younger = group(&expected, "A \" younger", 2);
    let mut older = group(&expected, "older", 1);
    for (version, part) in [
        (1, StorePart::Group(younger.clone())),
        (2, StorePart::Group(older.clone())),
    ] {
        let write = write(version, part);
        ensure!(database.write_store(&write).await? == Written::Applied);
        ensure!(
            database.write_store(&write).await? == Written::Refused,
            "sent again"
        );
    }
    older.version = 9;
    older.traits.clear();
    let replaced = write(3, StorePart::Group(older.clone()));
    ensure!(database.write_store(&replaced).await? == Written::Applied);
    expected.groups.extend([older.clone(), younger]);
    expected.schema_version = 4;
    f.crash().await?;
    let database = f.database();
    ensure!(database.store(store).await? == Some(expected.clone()));

    let gone = write(4, StorePart::NoGroup("A \" younger".into()));
    ensure!(database.write_store(&gone).await? == Written::Applied);
    ensure!(
        database.write_store(&gone).await? == Written::Refused,
        "sent again"
    );
    expected.groups.pop();
    expected.schema_version = 5;
    ensure!(database.store(store).await? == Some(expected));

    database.delete_store(&account, store).await?;
    for late in [
        write(2, put_settings.part),
        write(5, StorePart::Group(older)),
    ] {
        ensure!(
            database.write_store(&late).await? == Written::Refused,
            "deleted"
        );
    }
    ensure!(database.store(store).await?.is_none());
    Ok(())
}

pub(super) async fn of_many_groups_on_one_version_one_is_applied(
    f: &mut impl DatabaseFixture,
) -> Result<()> {
    let (database, account) = (f.database(), account()?);
    let record = record(&account);
    database.create_store(&record).await?;
    let writes: Vec<StoreWrite> = (0..8)
        .map(|n| StoreWrite {
            store: record.id,
            expected: 1,
            part: StorePart::Group(group(&record, &format!("group-{n}"), n)),
        })
        .collect();
    let answers = join_all(writes.iter().map(|write| database.write_store(write))).await;
    let answers = answers.into_iter().collect::<Result<Vec<_>, _>>()?;
    ensure!(
        answers
            .iter()
            .filter(|answer| **answer == Written::Applied)
            .count()
            <= 1
    );
    let now = database.store(record.id).await?;
    let now = now.ok_or_else(|| anyhow::anyhow!("no store"))?;
    ensure!(
        (now.groups.len(), now.schema_version) == (2, 2),
        "{answers:?}"
    );
    Ok(())
}

pub(super) async fn an_operation_is_kept_for_its_account(
    f: &mut impl DatabaseFixture,
) -> Result<()> {
    let (database, account) = (f.database(), account()?);
    let now = at(1_700_000_000_000_000);
    let id = || OperationId::from_uuid(Uuid::now_v7());
    let store = StoreId::from_uuid(uuid());
    let (one, two) = (id(), id());
    ensure!(database.operation(&account, one).await?.is_none());
    let deletion = Operation::deletion(one, now, store);
    database.put_operation(&account, &deletion).await?;
    let resource = Resource::Group {
        store,
        name: "Work".into(),
    };
    let completed = Operation::completed(two, now, resource, false);
    database.put_operation(&account, &completed).await?;
    ensure!(database.operation(&account, one).await? == Some(deletion.clone()));
    ensure!(
        database.operation(&self::account()?, one).await?.is_none(),
        "not theirs"
    );
    // Whatever the clock of whoever completes it says.
    let done = deletion.done(at(1));
    database.put_operation(&account, &done).await?;
    database.put_operation(&account, &done).await?;
    f.crash().await?;
    let database = f.database();
    let found = database.operation(&account, one).await?;
    ensure!(found == Some(done), "{found:?}");
    ensure!(found.is_some_and(|found| found.status == OperationStatus::Completed));
    ensure!(database.operation(&account, two).await? == Some(completed));
    Ok(())
}

pub(super) async fn the_key_of_page_tokens_is_the_same_for_ever(
    f: &mut impl DatabaseFixture,
) -> Result<()> {
    let key = f.database().token_key().await?;
    ensure!(key.expose() != &[0; 32], "a key, and not its place");
    ensure!(f.database().token_key().await? == key);
    // A durable write of this process makes everything before it durable.
    f.database().create_store(&record(&account()?)).await?;
    f.crash().await?;
    ensure!(f.database().token_key().await? == key);
    Ok(())
}
