//! Types whose values several profiles may own, at the level of use cases, on both engines' pairs: the worked examples E18 to
//! E20 of `memory-api.md` 10, and what sections 6.10, 8.5 and 8.6 say of such values.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kith_domain::id::ProfileId;
use kith_domain::identifier::IdType;
use kith_domain::schema::DataType;
use kith_domain::settings::{IdentifierConfig, LimitPolicy};
use kith_domain::store::StoreRecord;
use kith_kafka::KafkaLog;
use kith_profiles::change::{Changed, Removal};
use kith_profiles::ports::{Database, OwnerRows, OwnersRead, TraitLog};
use kith_profiles::read::Located;
use kith_scylla::Cql;
use kith_tests::engines::{embedded, kafka_topics, migrated_cql};
use kith_tests::examples;
use kith_tests::servers::cql_nodes;
use kith_tests::stage::{Make, PHONE, Stage, email, group, limit, store};
use serde_json::{Value, json};

/// A store with two types that are not unique, last in the rules, and one that is outside of them.
fn homes(change: impl FnOnce(&mut StoreRecord)) -> Arc<StoreRecord> {
    let store = store(|settings| {
        for name in ["household", "deviceGroup"] {
            let mut config = IdentifierConfig::new(IdType::new(name));
            config.enforce_unique = false;
            settings.identifier_configs.push(config);
            settings.matching_rules.push(IdType::new(name));
        }
        let legacy = IdentifierConfig::new(IdType::new("legacyId"));
        settings.identifier_configs.push(legacy);
    });
    let mut store = (*store).clone();
    store.groups.push(group(
        "Home",
        &[
            ("householdId", DataType::String, Some("household")),
            ("deviceGroup", DataType::String, Some("deviceGroup")),
        ],
    ));
    change(&mut store);
    Arc::new(store)
}

/// A body's traits: an e-mail address, a household and a group of devices, each if it is there.
fn person(name: Option<&str>, household: Option<&str>, devices: Option<&str>) -> Value {
    let mut traits = json!({});
    if let Some(name) = name {
        traits["Contact"] = json!({ "email": email(name) });
    }
    let mut home = json!({});
    if let Some(household) = household {
        home["householdId"] = json!(household);
    }
    if let Some(devices) = devices {
        home["deviceGroup"] = json!(devices);
    }
    traits["Home"] = home;
    traits
}

async fn e18_non_unique_type<D: Database, L: TraitLog + 'static>(
    make: Make<'_, D, L>,
) -> Result<()> {
    let s = make(homes(|_| {}));
    let p1 = s.create(person(Some("a1"), Some("h"), None)).await?;
    let p2 = s.create(person(Some("a2"), Some("h"), None)).await?;
    ensure!(p1 != p2, "the e-mail says new");
    ensure!(s.owners("household", "h").await? == [p1, p2]);
    ensure!(
        s.create(person(None, Some("h"), None)).await? == p1,
        "the earliest"
    );
    ensure!(s.create(person(Some("a2"), Some("h"), None)).await? == p2);
    for (profile, name) in [(p1, "a1"), (p2, "a2")] {
        ensure!(s.leads(profile).await? == Some(profile), "no merge");
        ensure!(s.values(profile, "email").await? == [email(name)]);
        ensure!(s.values(profile, "household").await? == ["h"]);
    }
    ensure!(s.listed().await? == [p1, p2]);
    // Nobody has it: somebody new, and then the same again.
    let p3 = s.create(person(None, Some("h3"), None)).await?;
    ensure!(p3 != p1 && p3 != p2);
    ensure!(s.create(person(None, Some("h3"), None)).await? == p3);
    ensure!(s.listed().await? == [p1, p2, p3]);
    Ok(())
}

async fn e19_two_non_unique_types_agree<D: Database, L: TraitLog + 'static>(
    make: Make<'_, D, L>,
) -> Result<()> {
    let s = make(homes(|_| {}));
    let p1 = s.create(person(Some("a1"), Some("h"), Some("g"))).await?;
    let p2 = s.create(person(Some("a2"), Some("h"), None)).await?;
    ensure!(s.create(person(None, Some("h"), Some("g"))).await? == p1);
    ensure!(s.create(person(Some("new"), Some("h"), Some("g"))).await? == p1);
    ensure!(s.values(p1, "email").await? == [email("a1"), email("new")]);
    ensure!(s.owners("email", &email("new")).await? == [p1]);
    ensure!(s.leads(p2).await? == Some(p2));
    ensure!(
        s.values(p1, "household").await? == ["h"],
        "once, whatever its members have"
    );
    ensure!(s.owners("household", "h").await? == [p1, p2]);
    // Two values of one type are no two types.
    let p3 = s.create(person(Some("a3"), Some("x"), None)).await?;
    let household = s.identifier("household", "y")?;
    ensure!(s.profiles.add_identifier(&s.target(p3), household).await? == Located::Here(()));
    let p4 = s.create(person(Some("a4"), Some("x"), None)).await?;
    let household = s.identifier("household", "y")?;
    ensure!(s.profiles.add_identifier(&s.target(p4), household).await? == Located::Here(()));
    ensure!(s.leads(p4).await? == Some(p4));
    Ok(())
}

async fn without_a_unique_value_the_best_rule_says_who<D: Database, L: TraitLog + 'static>(
    make: Make<'_, D, L>,
) -> Result<()> {
    let s = make(homes(|_| {}));
    let p1 = s.create(person(Some("a1"), None, Some("g"))).await?;
    let p2 = s.create(person(Some("a2"), Some("h"), None)).await?;
    // `household` comes first, and `deviceGroup` of another does not join the two.
    ensure!(s.create(person(None, Some("h"), Some("g"))).await? == p2);
    ensure!(
        s.values(p2, "deviceGroup").await? == ["g"],
        "it gains the other"
    );
    ensure!(s.leads(p1).await? == Some(p1));
    // Two that both types agree on are one.
    let p3 = s.create(person(None, Some("h3"), Some("g3"))).await?;
    let p4 = s.create(person(Some("a4"), Some("h3"), None)).await?;
    ensure!(p4 != p3);
    s.create(person(Some("a4"), None, Some("g4"))).await?;
    s.create(person(Some("a5"), Some("h3"), Some("g4"))).await?;
    ensure!(
        s.owners("email", &email("a5")).await? == [p4],
        "with the one it agrees with"
    );
    Ok(())
}

async fn e20_type_outside_the_rules<D: Database, L: TraitLog + 'static>(
    make: Make<'_, D, L>,
) -> Result<()> {
    let s = make(homes(|_| {}));
    let crm = |name: &str| json!({ "Contact": { "email": email(name) }, "Crm": { "legacyId": 7 } });
    let p1 = s.create(crm("a")).await?;
    ensure!(s.owners("legacyId", "7").await? == [p1]);
    let p2 = s.create(crm("a2")).await?;
    ensure!(p2 != p1);
    ensure!(s.owners("legacyId", "7").await? == [p1, p2]);
    // It never matches, so each request with nothing else makes somebody new, also at once.
    let alone = || s.create(json!({ "Crm": { "legacyId": 7 } }));
    let (p3, p4) = futures_util::try_join!(alone(), alone())?;
    let mut owners = vec![p1, p2, p3, p4];
    owners.sort_unstable();
    owners.dedup();
    ensure!(owners.len() == 4 && s.owners("legacyId", "7").await? == owners);
    Ok(())
}

async fn a_patch_gains_a_value_and_joins_where_two_agree<D: Database, L: TraitLog + 'static>(
    make: Make<'_, D, L>,
) -> Result<()> {
    let s = make(homes(|_| {}));
    let p1 = s.create(person(Some("a1"), Some("h"), Some("g"))).await?;
    let p2 = s.contact(json!({ "email": email("a2") })).await?;
    let patch = async |profile: ProfileId, traits: Value| {
        let writes = s.writes(&traits)?;
        anyhow::Ok(s.profiles.patch(&s.target(profile), &writes).await?)
    };
    ensure!(patch(p2, person(None, Some("h"), None)).await? == Located::Here(()));
    ensure!(s.leads(p2).await? == Some(p2), "one value never decides");
    ensure!(s.owners("household", "h").await? == [p1, p2]);
    ensure!(patch(p2, person(None, Some("h"), Some("g"))).await? == Located::Here(()));
    ensure!(s.leads(p2).await? == Some(p1), "two do");
    ensure!(s.owners("household", "h").await? == [p1]);
    ensure!(s.values(p1, "household").await? == ["h"]);
    Ok(())
}

async fn limits_count_values_and_not_rows<D: Database, L: TraitLog + 'static>(
    make: Make<'_, D, L>,
) -> Result<()> {
    for (policy, kept) in [
        (LimitPolicy::Fifo, ["h2", "h3"]),
        (LimitPolicy::Lifo, ["h1", "h2"]),
    ] {
        let s = make(homes(|store| {
            limit(&mut store.settings, "household", 2, policy)
        }));
        let p1 = s.create(person(Some("a"), Some("h1"), None)).await?;
        let other =
            s.create(json!({ "Contact": { "phone": PHONE }, "Home": { "householdId": "h1" } }));
        let p2 = other.await?;
        // Merged, the set has two rows of one value.
        ensure!(
            s.contact(json!({ "email": email("a"), "phone": PHONE }))
                .await?
                == p1
        );
        ensure!(s.leads(p2).await? == Some(p1));
        for household in ["h2", "h3"] {
            s.create(person(Some("a"), Some(household), None)).await?;
        }
        ensure!(s.values(p1, "household").await? == kept, "{policy:?}");
        let gone = if policy == LimitPolicy::Fifo {
            "h1"
        } else {
            "h3"
        };
        ensure!(
            s.owners("household", gone).await?.is_empty(),
            "evicted with every row"
        );
        ensure!(
            s.create(person(None, Some(gone), None)).await? != p1,
            "and free"
        );
        // What was evicted can come back.
        s.create(person(Some("a"), Some(gone), None)).await?;
        let back = s.values(p1, "household").await?.contains(&gone.to_owned());
        ensure!(back == (policy == LimitPolicy::Fifo), "{policy:?}");
    }
    Ok(())
}

async fn values_are_added_changed_and_removed<D: Database, L: TraitLog + 'static>(
    make: Make<'_, D, L>,
) -> Result<()> {
    let s = make(homes(|_| {}));
    let p1 = s.create(person(Some("a"), Some("h1"), None)).await?;
    let p2 = s
        .create(json!({ "Contact": { "phone": PHONE }, "Home": { "householdId": "h1" } }))
        .await?;
    s.contact(json!({ "email": email("a"), "phone": PHONE }))
        .await?;
    let p3 = s.create(person(Some("c"), Some("h1"), None)).await?;
    ensure!(s.leads(p2).await? == Some(p1));
    let h = |name: &str| s.identifier("household", name);
    let add = s.profiles.add_identifier(&s.target(p1), h("h2")?).await?;
    ensure!(add == Located::Here(()));
    ensure!(s.values(p1, "household").await? == ["h1", "h2"]);
    let change = async |old: &str, new: &str| {
        let (old, new) = (h(old)?, h(new)?);
        anyhow::Ok(
            s.profiles
                .change_identifier(&s.target(p1), &old, new)
                .await?,
        )
    };
    ensure!(change("h2", "h1").await? == Located::Here(Changed::AlreadyHere));
    ensure!(change("h9", "h8").await? == Located::Here(Changed::NotThere));
    ensure!(change("h1", "h3").await? == Located::Here(Changed::Done));
    ensure!(
        s.values(p1, "household").await? == ["h2", "h3"],
        "new ones are youngest"
    );
    ensure!(
        s.owners("household", "h1").await? == [p3],
        "of the set only, and whole"
    );
    let household = IdType::new("household");
    let remove = async |removal| {
        let target = s.target(p1);
        anyhow::Ok(
            s.profiles
                .remove_identifiers(&target, &household, removal)
                .await?,
        )
    };
    ensure!(remove(Removal::One).await? == Located::Here(Changed::Done));
    ensure!(
        s.values(p1, "household").await? == ["h3"],
        "the oldest goes"
    );
    s.profiles.add_identifier(&s.target(p1), h("h1")?).await?;
    ensure!(s.values(p1, "household").await? == ["h3", "h1"]);
    ensure!(remove(Removal::All).await? == Located::Here(Changed::Done));
    ensure!(s.values(p1, "household").await?.is_empty());
    ensure!(remove(Removal::All).await? == Located::Here(Changed::NotThere));
    ensure!(s.owners("household", "h1").await? == [p3]);
    Ok(())
}

async fn a_deletion_frees_and_a_purge_releases<D: Database, L: TraitLog + 'static>(
    make: Make<'_, D, L>,
) -> Result<()> {
    let s = make(homes(|_| {}));
    let p1 = s.create(person(None, Some("h"), Some("g"))).await?;
    let p2 = s.create(person(Some("b"), Some("h"), None)).await?;
    ensure!(s.profiles.delete(&s.target(p1)).await? == Located::Here(()));
    ensure!(s.owners("household", "h").await? == [p2]);
    ensure!(s.owners("deviceGroup", "g").await?.is_empty());
    ensure!(
        s.create(person(None, Some("h"), None)).await? == p2,
        "the dead are nobody"
    );
    let p3 = s.create(person(None, None, Some("g"))).await?;
    ensure!(p3 != p1 && s.owners("deviceGroup", "g").await? == [p3]);
    // A purge reads the store's secret from the store.
    s.database().create_store(&s.store).await?;
    s.apply().await?;
    let key = s
        .store
        .claim_secret
        .claim_key(&s.identifier("deviceGroup", "g")?);
    let rows = OwnerRows::All;
    let owners = s.database().owners(&[OwnersRead { key, rows }]).await?;
    let owners: Vec<(ProfileId, bool)> = owners[0]
        .rows
        .iter()
        .map(|row| (row.profile, row.released))
        .collect();
    ensure!(
        owners.contains(&(p1, true)) && owners.contains(&(p3, false)),
        "{owners:?}"
    );
    ensure!(s.owners("household", "h").await? == [p2] && s.leads(p2).await? == Some(p2));
    Ok(())
}

/// Settings change between requests: what was written before stays visible.
async fn values_stay_when_their_type_changes<D: Database, L: TraitLog + 'static>(
    make: Make<'_, D, L>,
) -> Result<()> {
    let shared = homes(|_| {});
    let unique = |is_unique: bool| {
        let mut store = (*shared).clone();
        store.settings_version += 1;
        for config in &mut store.settings.identifier_configs {
            config.enforce_unique |= is_unique;
        }
        Arc::new(store)
    };
    let s = make(Arc::clone(&shared));
    let p1 = s.create(person(Some("a1"), Some("h"), None)).await?;
    let p2 = s.create(person(Some("a2"), Some("h"), None)).await?;
    // Unique from now on.
    let s = make(unique(true));
    ensure!(s.owners("household", "h").await? == [p1, p2]);
    ensure!(s.values(p1, "household").await? == ["h"]);
    let p3 = s.create(person(None, Some("h"), None)).await?;
    ensure!(s.owners("household", "h").await? == [p1, p2, p3]);
    ensure!(
        s.create(person(Some("a4"), Some("h"), None)).await? == p3,
        "it is theirs alone"
    );
    let household = IdType::new("household");
    let target = s.target(p1);
    let removed = s
        .profiles
        .remove_identifiers(&target, &household, Removal::All)
        .await?;
    ensure!(
        removed == Located::Here(Changed::Done),
        "where it was written"
    );
    ensure!(s.owners("household", "h").await? == [p2, p3]);
    // And not any more: what was claimed alone matches as it did.
    let s = make(Arc::clone(&shared));
    ensure!(s.create(person(Some("a5"), Some("h"), None)).await? == p3);
    let p6 = s.create(person(Some("a6"), Some("h6"), None)).await?;
    ensure!(s.create(person(Some("a7"), Some("h6"), None)).await? != p6);
    ensure!(s.values(p3, "household").await? == ["h"]);
    Ok(())
}

/// Items that share only such a value stay apart, and the later one finds what the earlier one made.
async fn a_batch_is_as_its_items_one_after_another<D: Database, L: TraitLog + 'static>(
    make: Make<'_, D, L>,
) -> Result<()> {
    let s = make(homes(|_| {}));
    let mut items = [Some("a1"), Some("a2"), None].map(|name| person(name, Some("h"), None));
    for (item, tier) in items.iter_mut().zip(["first", "second", "third"]) {
        item["Loyalty"] = json!({ "tier": tier });
    }
    s.bulk(&items).await?;
    s.apply().await?;
    let [p1, p2] = s.listed().await?[..] else {
        anyhow::bail!("not two profiles");
    };
    ensure!(s.values(p1, "email").await? == [email("a1")]);
    ensure!(s.values(p2, "email").await? == [email("a2")]);
    ensure!(s.owners("household", "h").await? == [p1, p2]);
    ensure!(
        s.traits(p1).await?["Loyalty"]["tier"] == "third",
        "the earliest who has it"
    );
    ensure!(s.traits(p2).await?["Loyalty"]["tier"] == "second");
    Ok(())
}

async fn all<D: Database, L: TraitLog + 'static>(make: Make<'_, D, L>) -> Result<()> {
    examples!(
        make,
        [
            e18_non_unique_type,
            e19_two_non_unique_types_agree,
            e20_type_outside_the_rules,
            without_a_unique_value_the_best_rule_says_who,
            a_patch_gains_a_value_and_joins_where_two_agree,
            limits_count_values_and_not_rows,
            values_are_added_changed_and_removed,
            a_deletion_frees_and_a_purge_releases,
            values_stay_when_their_type_changes,
            a_batch_is_as_its_items_one_after_another,
        ]
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn shared_types_hold_on_the_embedded_pair() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let engine = embedded(&dir.path().join("data"))?;
    all(&|store| Stage::new(engine.clone(), engine.log(), &store)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn shared_types_hold_on_kafka_and_cassandra() -> Result<()> {
    let database = Cql::connect(&migrated_cql(cql_nodes()?).await?).await?;
    let log = KafkaLog::new(&kafka_topics().await?)?;
    log.warm(Duration::from_secs(30))
        .await
        .context("the broker")?;
    all(&|store| Stage::new(database.clone(), log.clone(), &store)).await
}
