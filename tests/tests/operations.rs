//! The worked examples of `memory-api.md` 10 at the level of use cases, settings and groups given, on both engines' pairs.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kith_domain::id::{ProfileId, ProfileKey};
use kith_domain::identifier::{IdType, Identifier};
use kith_domain::settings::{IdentifierConfig, LimitPolicy};
use kith_kafka::KafkaLog;
use kith_profiles::change::{Changed, Removal};
use kith_profiles::ports::{CellBatch, CellWrite, Database, Durability, TraitLog};
use kith_profiles::read::Located;
use kith_scylla::Cql;
use kith_tests::engines::{embedded, kafka_topics, migrated_cql, now};
use kith_tests::examples;
use kith_tests::servers::cql_nodes;
use kith_tests::stage::{Make, PHONE, Stage, email, limit, store};
use serde_json::json;
use uuid::Uuid;

async fn e08_merge_of_already_merged<D: Database, L: TraitLog + 'static>(
    make: Make<'_, D, L>,
) -> Result<()> {
    let s = make(store(|_| {}));
    let p1 = s.contact(json!({ "email": email("a") })).await?;
    let p2 = s.contact(json!({ "phone": PHONE })).await?;
    let p3 = s.contact(json!({ "chatId": "c" })).await?;
    ensure!(s.contact(json!({ "phone": PHONE, "chatId": "c" })).await? == p2);
    ensure!(
        s.contact(json!({ "email": email("a"), "phone": PHONE }))
            .await?
            == p1
    );
    ensure!(s.contact(json!({ "phone": PHONE, "chatId": "c" })).await? == p1);
    ensure!(s.patch(p3, json!({ "firstName": "x" })).await? == Located::Moved(p1));
    Ok(())
}

async fn e14_fifo_overflow<D: Database, L: TraitLog + 'static>(make: Make<'_, D, L>) -> Result<()> {
    let s = make(store(|settings| {
        limit(settings, "email", 2, LimitPolicy::Fifo)
    }));
    let p1 = s
        .contact(json!({ "phone": PHONE, "email": email("a1") }))
        .await?;
    for name in ["a2", "a3"] {
        ensure!(
            s.contact(json!({ "phone": PHONE, "email": email(name) }))
                .await?
                == p1
        );
    }
    ensure!(s.values(p1, "email").await? == [email("a2"), email("a3")]);
    ensure!(s.owners("email", &email("a1")).await?.is_empty());
    ensure!(s.contact(json!({ "email": email("a1") })).await? != p1);
    Ok(())
}

async fn e15_lifo_overflow<D: Database, L: TraitLog + 'static>(make: Make<'_, D, L>) -> Result<()> {
    let s = make(store(|settings| {
        limit(settings, "email", 2, LimitPolicy::Lifo)
    }));
    let p1 = s
        .contact(json!({ "phone": PHONE, "email": email("a1") }))
        .await?;
    for name in ["a2", "a3"] {
        ensure!(
            s.contact(json!({ "phone": PHONE, "email": email(name) }))
                .await?
                == p1
        );
    }
    ensure!(s.values(p1, "email").await? == [email("a1"), email("a2")]);
    ensure!(
        s.traits(p1).await?["Contact"]["email"] == email("a3"),
        "the trait is kept all the same"
    );
    ensure!(s.owners("email", &email("a3")).await?.is_empty());
    ensure!(s.contact(json!({ "email": email("a3") })).await? != p1);
    Ok(())
}

async fn e16_overflow_in_a_merge<D: Database, L: TraitLog + 'static>(
    make: Make<'_, D, L>,
) -> Result<()> {
    for (policy, kept) in [
        (LimitPolicy::Fifo, ["x2", "x3", "x4"]),
        (LimitPolicy::Lifo, ["x1", "x2", "x3"]),
    ] {
        let s = make(store(|settings| limit(settings, "email", 3, policy)));
        let p1 = s
            .contact(json!({ "phone": PHONE, "email": email("x1") }))
            .await?;
        s.contact(json!({ "chatId": "c", "email": email("x2") }))
            .await?;
        s.contact(json!({ "phone": PHONE, "email": email("x3") }))
            .await?;
        s.contact(json!({ "chatId": "c", "email": email("x4") }))
            .await?;
        ensure!(s.contact(json!({ "phone": PHONE, "chatId": "c" })).await? == p1);
        ensure!(
            s.values(p1, "email").await? == kept.map(email),
            "{policy:?}"
        );
    }
    Ok(())
}

async fn e17_limit_1_replaces<D: Database, L: TraitLog + 'static>(
    make: Make<'_, D, L>,
) -> Result<()> {
    let s = make(store(|settings| {
        limit(settings, "phone", 1, LimitPolicy::Fifo)
    }));
    let p1 = s
        .contact(json!({ "email": email("a"), "phone": PHONE }))
        .await?;
    ensure!(
        s.contact(json!({ "email": email("a"), "phone": "+13175550101" }))
            .await?
            == p1
    );
    ensure!(s.values(p1, "phone").await? == ["+13175550101"]);
    ensure!(s.owners("phone", PHONE).await?.is_empty());
    Ok(())
}

async fn e26_patch_with_null<D: Database, L: TraitLog + 'static>(
    make: Make<'_, D, L>,
) -> Result<()> {
    let s = make(store(|_| {}));
    let contact = json!({ "email": email("a"), "firstName": "Ada", "lastName": "Lovelace" });
    let p1 = s.contact(contact).await?;
    s.apply().await?;
    ensure!(s.patch(p1, json!({ "firstName": null })).await? == Located::Here(()));
    s.apply().await?;
    ensure!(
        s.traits(p1).await?
            == json!({ "Contact": { "email": email("a"), "lastName": "Lovelace" } })
    );
    ensure!(s.patch(p1, json!({ "email": null })).await? == Located::Here(()));
    s.apply().await?;
    ensure!(s.traits(p1).await? == json!({ "Contact": { "lastName": "Lovelace" } }));
    ensure!(
        s.values(p1, "email").await? == [email("a")],
        "the identifier stays"
    );
    ensure!(s.contact(json!({ "email": email("a") })).await? == p1);
    // Nothing to write, nobody to write to.
    ensure!(s.patch(p1, json!({})).await? == Located::Here(()));
    ensure!(
        s.patch(
            ProfileId::from_uuid(Uuid::now_v7()),
            json!({ "firstName": "x" })
        )
        .await?
            == Located::Gone
    );
    Ok(())
}

async fn e27_patch_that_merges<D: Database, L: TraitLog + 'static>(
    make: Make<'_, D, L>,
) -> Result<()> {
    let s = make(store(|_| {}));
    let p1 = s.contact(json!({ "email": email("a") })).await?;
    let p2 = s.contact(json!({ "phone": PHONE })).await?;
    ensure!(s.patch(p2, json!({ "email": email("a") })).await? == Located::Here(()));
    ensure!(s.leads(p2).await? == Some(p1));
    ensure!(s.ids(p1).await?.len() == 2);
    Ok(())
}

async fn e29_identifier_add_that_merges<D: Database, L: TraitLog + 'static>(
    make: Make<'_, D, L>,
) -> Result<()> {
    let s = make(store(|_| {}));
    let p1 = s.contact(json!({ "email": email("a") })).await?;
    let p2 = s.contact(json!({ "phone": PHONE })).await?;
    let added = s
        .profiles
        .add_identifier(&s.target(p2), s.identifier("email", &email("a"))?)
        .await?;
    ensure!(added == Located::Here(()) && s.leads(p2).await? == Some(p1));
    Ok(())
}

async fn e28_identifier_add_change_remove<D: Database, L: TraitLog + 'static>(
    make: Make<'_, D, L>,
) -> Result<()> {
    let s = make(store(|_| {}));
    let p1 = s.contact(json!({ "email": email("a") })).await?;
    let (old, new) = (
        s.identifier("phone", "317-555-0100")?,
        s.identifier("phone", "+13175550101")?,
    );
    ensure!(
        s.profiles
            .add_identifier(&s.target(p1), old.clone())
            .await?
            == Located::Here(())
    );
    ensure!(s.values(p1, "phone").await? == [PHONE]);
    s.apply().await?;
    ensure!(
        s.traits(p1).await? == json!({ "Contact": { "email": email("a") } }),
        "no trait appears"
    );
    let stage = &s;
    let change = |old: Identifier, new: Identifier| async move {
        Ok::<_, anyhow::Error>(
            stage
                .profiles
                .change_identifier(&stage.target(p1), &old, new)
                .await?,
        )
    };
    ensure!(change(old.clone(), new.clone()).await? == Located::Here(Changed::Done));
    ensure!(s.values(p1, "phone").await? == ["+13175550101"]);
    ensure!(s.owners("phone", PHONE).await?.is_empty());
    ensure!(change(old.clone(), new.clone()).await? == Located::Here(Changed::NotThere));
    s.profiles
        .add_identifier(&s.target(p1), old.clone())
        .await?;
    ensure!(change(old, new).await? == Located::Here(Changed::AlreadyHere));
    let phone = IdType::new("phone");
    let remove = || async {
        s.profiles
            .remove_identifiers(&s.target(p1), &phone, Removal::All)
            .await
    };
    ensure!(remove().await? == Located::Here(Changed::Done));
    ensure!(s.ids(p1).await?.len() == 1);
    ensure!(remove().await? == Located::Here(Changed::NotThere));
    Ok(())
}

async fn e30_delete_one_by_policy<D: Database, L: TraitLog + 'static>(
    make: Make<'_, D, L>,
) -> Result<()> {
    for (policy, kept) in [
        (LimitPolicy::Fifo, ["a2", "a3"]),
        (LimitPolicy::Lifo, ["a1", "a2"]),
    ] {
        let s = make(store(|settings| limit(settings, "email", 100, policy)));
        let p1 = s
            .contact(json!({ "phone": PHONE, "email": email("a1") }))
            .await?;
        for name in ["a2", "a3"] {
            s.contact(json!({ "phone": PHONE, "email": email(name) }))
                .await?;
        }
        let removed = s
            .profiles
            .remove_identifiers(&s.target(p1), &IdType::new("email"), Removal::One)
            .await?;
        ensure!(removed == Located::Here(Changed::Done));
        ensure!(
            s.values(p1, "email").await? == kept.map(email),
            "{policy:?}"
        );
    }
    Ok(())
}

async fn e31_delete_then_recreate<D: Database, L: TraitLog + 'static>(
    make: Make<'_, D, L>,
) -> Result<()> {
    // A queued trait arrives late.
    let s = make(store(|_| {}));
    let p1 = s
        .contact(json!({ "email": email("a"), "firstName": "Late" }))
        .await?;
    ensure!(s.profiles.delete(&s.target(p1)).await? == Located::Here(()));
    ensure!(s.leads(p1).await?.is_none() && s.owners("email", &email("a")).await?.is_empty());
    ensure!(s.listed().await?.is_empty());
    let p2 = s.contact(json!({ "email": email("a") })).await?;
    ensure!(p2 != p1);
    s.apply().await?;
    ensure!(s.leads(p1).await?.is_none(), "a late trait revives nobody");
    ensure!(
        s.traits(p2).await? == json!({ "Contact": { "email": email("a") } }),
        "no old traits"
    );
    ensure!(
        s.owners("email", &email("a")).await? == [p2],
        "claimed anew"
    );
    ensure!(s.profiles.delete(&s.target(p1)).await? == Located::Gone);
    ensure!(s.patch(p1, json!({ "firstName": "x" })).await? == Located::Gone);
    Ok(())
}

async fn e32_deleting_a_survivor<D: Database, L: TraitLog + 'static>(
    make: Make<'_, D, L>,
) -> Result<()> {
    let s = make(store(|_| {}));
    let p1 = s.contact(json!({ "email": email("a") })).await?;
    let p2 = s.contact(json!({ "phone": PHONE })).await?;
    s.contact(json!({ "email": email("a"), "phone": PHONE }))
        .await?;
    ensure!(
        s.profiles.delete(&s.target(p2)).await? == Located::Moved(p1),
        "E25: nothing is deleted"
    );
    ensure!(s.leads(p1).await? == Some(p1));
    ensure!(s.profiles.delete(&s.target(p1)).await? == Located::Here(()));
    ensure!(s.leads(p1).await?.is_none() && s.leads(p2).await?.is_none());
    let p3 = s.contact(json!({ "phone": PHONE })).await?;
    ensure!(p3 != p1 && p3 != p2);
    s.apply().await?;
    ensure!(s.owners("phone", PHONE).await? == [p3]);
    Ok(())
}

async fn e34_two_promoted_traits_of_one_type<D: Database, L: TraitLog + 'static>(
    make: Make<'_, D, L>,
) -> Result<()> {
    let s = make(store(|_| {}));
    let both = json!({ "Contact": { "email": email("a1") }, "Work": { "mail": email("a2") } });
    let p1 = s.create(both).await?;
    ensure!(
        s.values(p1, "email").await? == [email("a1"), email("a2")],
        "document order"
    );
    ensure!(s.owners("email", &email("a1")).await? == s.owners("email", &email("a2")).await?);
    Ok(())
}

async fn e36_trait_conflict_on_merge<D: Database, L: TraitLog + 'static>(
    make: Make<'_, D, L>,
) -> Result<()> {
    let s = make(store(|_| {}));
    let one = json!({ "Contact": { "email": email("a") }, "Loyalty": { "tier": "gold" } });
    let two =
        json!({ "Contact": { "phone": PHONE }, "Loyalty": { "tier": "silver", "points": 5 } });
    let p1 = s.create(one).await?;
    s.create(two).await?;
    ensure!(
        s.contact(json!({ "email": email("a"), "phone": PHONE }))
            .await?
            == p1
    );
    s.apply().await?;
    ensure!(s.traits(p1).await?["Loyalty"] == json!({ "tier": "silver", "points": 5 }));
    Ok(())
}

/// Settings change between two requests: a type that is no longer configured stops matching.
async fn a_type_that_is_left_out_stops_matching<D: Database, L: TraitLog + 'static>(
    make: Make<'_, D, L>,
) -> Result<()> {
    let before = store(|settings| {
        settings
            .identifier_configs
            .push(IdentifierConfig::new(IdType::new("legacyId")));
        settings.matching_rules.push(IdType::new("legacyId"));
    });
    let s = make(Arc::clone(&before));
    let both = json!({ "Contact": { "email": email("a") }, "Crm": { "legacyId": 7 } });
    let p1 = s.create(both).await?;
    ensure!(s.create(json!({ "Crm": { "legacyId": 7 } })).await? == p1);
    let mut after = (*before).clone();
    after
        .settings
        .identifier_configs
        .retain(|config| config.id_type != IdType::new("legacyId"));
    after
        .settings
        .matching_rules
        .retain(|rule| *rule != IdType::new("legacyId"));
    after.settings_version += 1;
    let s = make(Arc::new(after));
    let other = json!({ "Contact": { "email": email("b") }, "Crm": { "legacyId": 7 } });
    ensure!(s.create(other).await? != p1, "no longer an identifier");
    ensure!(s.ids(p1).await?.keys().eq(["email"]), "nor shown");
    Ok(())
}

async fn who_has_nothing_to_show_is_there<D: Database, L: TraitLog + 'static>(
    make: Make<'_, D, L>,
) -> Result<()> {
    let s = make(store(|_| {}));
    let without_identifiers = s.contact(json!({ "email": email("a") })).await?;
    let removed = s
        .profiles
        .remove_identifiers(
            &s.target(without_identifiers),
            &IdType::new("email"),
            Removal::All,
        )
        .await?;
    ensure!(removed == Located::Here(Changed::Done));
    ensure!(s.ids(without_identifiers).await?.is_empty());
    ensure!(s.leads(without_identifiers).await? == Some(without_identifiers));

    let [only_a_clock, nobody] = [(); 2].map(|()| ProfileId::from_uuid(Uuid::now_v7()));
    let batch = CellBatch {
        at: ProfileKey {
            store: s.target(only_a_clock).store.id,
            profile: only_a_clock,
        },
        time: now(),
        writes: vec![CellWrite::Clock],
    };
    s.database().write(&[batch], Durability::Durable).await?;
    ensure!(s.traits(only_a_clock).await? == json!({}));
    ensure!(s.ids(only_a_clock).await?.is_empty());
    ensure!(s.leads(nobody).await?.is_none());
    Ok(())
}

async fn all<D: Database, L: TraitLog + 'static>(make: Make<'_, D, L>) -> Result<()> {
    examples!(
        make,
        [
            e08_merge_of_already_merged,
            e14_fifo_overflow,
            e15_lifo_overflow,
            e16_overflow_in_a_merge,
            e17_limit_1_replaces,
            e26_patch_with_null,
            e27_patch_that_merges,
            e28_identifier_add_change_remove,
            e29_identifier_add_that_merges,
            e30_delete_one_by_policy,
            e31_delete_then_recreate,
            e32_deleting_a_survivor,
            e34_two_promoted_traits_of_one_type,
            e36_trait_conflict_on_merge,
            a_type_that_is_left_out_stops_matching,
            who_has_nothing_to_show_is_there,
        ]
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_hold_on_the_embedded_pair() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let engine = embedded(&dir.path().join("data"))?;
    all(&|store| Stage::new(engine.clone(), engine.log(), &store)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_hold_on_kafka_and_cassandra() -> Result<()> {
    let database = Cql::connect(&migrated_cql(cql_nodes()?).await?).await?;
    let log = KafkaLog::new(&kafka_topics().await?)?;
    log.warm(Duration::from_secs(30))
        .await
        .context("the broker")?;
    all(&|store| Stage::new(database.clone(), log.clone(), &store)).await
}
