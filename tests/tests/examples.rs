//! The worked examples of `memory-api.md` 10, over HTTP, each on both pairs. Every example has people of its own, so all
//! run at once on one store.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use kith_tests::api::{Answer, Api, STORE};
use kith_tests::otlp::Receiver;
use kith_tests::pair::{Pair, Shape};
use libtest_mimic::{Arguments, Failed, Trial};
use rand::RngExt;
use reqwest::Method;
use serde_json::{Value, json};

fn main() -> Result<()> {
    let arguments = Arguments::from_args();
    let runtime = Arc::new(tokio::runtime::Runtime::new()?);
    if arguments.list {
        libtest_mimic::run(&arguments, trials(&runtime, "standalone", None)).exit();
    }
    // Every span of every example is kept, to be searched for what the examples sent.
    let (receiver, standalone, servers) = runtime.block_on(async {
        let receiver = Receiver::start().await?;
        let shape = Shape::single()
            .with(
                "OTEL_EXPORTER_OTLP_ENDPOINT",
                format!("http://{}", receiver.grpc),
            )
            .with("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
        let (standalone, servers) =
            tokio::try_join!(Pair::standalone(&shape), Pair::servers(&shape))?;
        anyhow::Ok((receiver, standalone, servers))
    })?;
    let mut all = Vec::new();
    for pair in [&standalone, &servers] {
        all.extend(trials(&runtime, pair.name, Some(pair.api().clone())));
    }
    let conclusion = libtest_mimic::run(&arguments, all);
    runtime.block_on(async {
        standalone.stop().await?;
        servers.stop().await?;
        // Run alone, an example has few spans.
        ensure!(
            arguments.filter.is_some() || receiver.spans().len() > 1_000,
            "spans are missing"
        );
        receiver.check_privacy()
    })?;
    conclusion.exit()
}

macro_rules! examples {
    ($runtime:expr, $pair:expr, $api:expr, [$($example:ident),* $(,)?]) => {
        vec![$({
            let (runtime, api) = (Arc::clone($runtime), $api.clone());
            Trial::test(format!("{}::{}", $pair, stringify!($example)), move || {
                let api = api.context("no pair")?;
                runtime.block_on($example(&api)).map_err(|error| Failed::from(format!("{error:#}")))
            })
        }),*]
    };
}

fn trials(runtime: &Arc<tokio::runtime::Runtime>, pair: &str, api: Option<Api>) -> Vec<Trial> {
    examples!(
        runtime,
        pair,
        api,
        [
            e01_new,
            e02_repeat,
            e03_second_identifier,
            e04_two_profiles_merged_by_one_request,
            e05_survivor_is_the_earliest_not_the_highest_rule,
            e06_three_way_merge,
            e07_chain_merge,
            e08_merge_of_already_merged,
            e09_two_merged_families_meet,
            e10_same_result_in_another_order,
            e11_email_equivalence,
            e12_phone_equivalence,
            e13_type_boundaries,
            e14_fifo_overflow,
            e15_lifo_overflow,
            e16_overflow_in_a_merge,
            e17_limit_1_replaces,
            e18_non_unique_type,
            e19_two_non_unique_types_agree,
            e20_type_outside_the_rules,
            e21_no_identifier,
            e22_identifier_of_the_wrong_type,
            e23_not_normalisable,
            e24_undefined_trait,
            e25_reading_a_merged_away_id,
            e26_patch_with_null,
            e27_patch_that_merges,
            e28_identifier_add_change_remove,
            e29_identifier_add_that_merges,
            e30_delete_one_by_policy,
            e31_delete_then_recreate,
            e32_deleting_a_survivor,
            e33_bulk_with_overlap,
            e34_two_promoted_traits_of_one_type,
            e35_concurrent_creates,
            e36_trait_conflict_on_merge,
            a_person_has_the_newest_of_every_trait,
        ]
    )
}

fn digits(count: usize) -> String {
    let mut rng = rand::rng();
    (0..count)
        .map(|_| char::from(b'0' + rng.random_range(0..10u8)))
        .collect()
}

fn email() -> String {
    format!("ada.{}@example.com", digits(12))
}

fn phone() -> String {
    format!("+1317{}", digits(7))
}

/// Ids carry the minting host's milliseconds: whoever compares ages leaves some between.
async fn older() {
    tokio::time::sleep(std::time::Duration::from_millis(3)).await;
}

async fn moved_to(api: &Api, from: &str, to: &str) -> Result<()> {
    let answer = api.get(from).await?;
    ensure!(
        answer.status == 301,
        "{from}: {} {}",
        answer.status,
        answer.body
    );
    ensure!(
        answer.header("canonical-profile-id") == to,
        "{from} leads to {:?}",
        answer.headers
    );
    Ok(())
}

async fn values(api: &Api, profile: &str, id_type: &str) -> Result<Vec<String>> {
    Ok(api
        .identifiers(profile)
        .await?
        .remove(id_type)
        .unwrap_or_default())
}

async fn nothing_written(api: &Api, id_type: &str, value: &str) -> Result<()> {
    let owners = api.owners(id_type, value).await?;
    ensure!(owners.is_empty(), "a refused request left {owners:?}");
    Ok(())
}

async fn e01_new(api: &Api) -> Result<()> {
    let local = format!("Ada{}", digits(10));
    let raw = format!("{local}@Example.com");
    let normal = raw.to_lowercase();
    let p1 = api
        .contact(json!({ "email": raw, "firstName": "Ada-Marker" }))
        .await?;
    ensure!(api.identifiers(&p1).await? == [("email".to_owned(), vec![normal.clone()])].into());
    let found = api
        .lookup("email", &format!(" {}", raw.to_uppercase()))
        .await?;
    ensure!(
        found.status == 200 && found.body["profiles"] == json!([p1]),
        "{}",
        found.body
    );
    ensure!(
        found.body["normalizedValue"] == json!(normal),
        "{}",
        found.body
    );
    let read = api.get(&p1).await?;
    ensure!(
        read.body["traits"]["Contact"]["email"] == json!(raw),
        "{}",
        read.body
    );
    ensure!(read.body["id"] == json!(p1), "{}", read.body);
    let created = read.body["createdAt"].as_str().context("no createdAt")?;
    ensure!(created.len() == 20 && created.ends_with('Z'), "{created}");
    api.until_trait(&p1, ("Contact", "firstName"), json!("Ada-Marker"))
        .await
}

async fn e02_repeat(api: &Api) -> Result<()> {
    let body = json!({ "email": email(), "firstName": "Ada" });
    let p1 = api.contact(body.clone()).await?;
    let before = api.identifiers(&p1).await?;
    ensure!(api.contact(body).await? == p1);
    ensure!(api.identifiers(&p1).await? == before);
    ensure!(
        api.list().await?.iter().filter(|id| **id == p1).count() == 1,
        "listed once"
    );
    Ok(())
}

async fn e03_second_identifier(api: &Api) -> Result<()> {
    let (a, b) = (email(), phone());
    let p1 = api.contact(json!({ "email": a })).await?;
    ensure!(api.contact(json!({ "email": a, "phone": b })).await? == p1);
    let ids = api.identifiers(&p1).await?;
    ensure!(
        ids == [
            ("email".to_owned(), vec![a]),
            ("phone".to_owned(), vec![b.clone()])
        ]
        .into()
    );
    ensure!(api.contact(json!({ "phone": b })).await? == p1);
    Ok(())
}

async fn e04_two_profiles_merged_by_one_request(api: &Api) -> Result<()> {
    let (a, b) = (email(), phone());
    let p1 = api.contact(json!({ "email": a })).await?;
    older().await;
    let p2 = api.contact(json!({ "phone": b })).await?;
    ensure!(api.contact(json!({ "email": a, "phone": b })).await? == p1);
    let ids = api.identifiers(&p1).await?;
    ensure!(
        ids == [
            ("email".to_owned(), vec![a]),
            ("phone".to_owned(), vec![b.clone()])
        ]
        .into()
    );
    ensure!(api.owners("phone", &b).await? == std::slice::from_ref(&p1));
    let listed = api.list().await?;
    ensure!(
        listed.contains(&p1) && !listed.contains(&p2),
        "canonical ids only"
    );
    moved_to(api, &p2, &p1).await
}

async fn e05_survivor_is_the_earliest_not_the_highest_rule(api: &Api) -> Result<()> {
    let (a, b) = (email(), phone());
    let p1 = api.contact(json!({ "phone": b })).await?;
    older().await;
    let p2 = api.contact(json!({ "email": a })).await?;
    ensure!(api.contact(json!({ "email": a, "phone": b })).await? == p1);
    moved_to(api, &p2, &p1).await
}

async fn e06_three_way_merge(api: &Api) -> Result<()> {
    let (a, b, w) = (email(), phone(), format!("whatsapp:{}", phone()));
    let p1 = api.contact(json!({ "email": a })).await?;
    older().await;
    let p2 = api.contact(json!({ "phone": b })).await?;
    older().await;
    let p3 = api.contact(json!({ "whatsapp": w })).await?;
    ensure!(
        api.contact(json!({ "email": a, "phone": b, "whatsapp": w }))
            .await?
            == p1
    );
    moved_to(api, &p2, &p1).await?;
    moved_to(api, &p3, &p1).await?;
    ensure!(api.identifiers(&p1).await?.len() == 3);
    Ok(())
}

async fn e07_chain_merge(api: &Api) -> Result<()> {
    let (a, b, c) = (email(), phone(), format!("chat-{}", digits(12)));
    let p1 = api.contact(json!({ "email": a })).await?;
    older().await;
    let p2 = api.contact(json!({ "phone": b })).await?;
    older().await;
    let p3 = api.contact(json!({ "chatId": c })).await?;
    ensure!(api.contact(json!({ "phone": b, "chatId": c })).await? == p2);
    ensure!(api.contact(json!({ "email": a, "phone": b })).await? == p1);
    moved_to(api, &p3, &p1).await?;
    ensure!(api.owners("chat", &c).await? == std::slice::from_ref(&p1));
    // E8, as far as it creates: what is merged already stays as it is.
    ensure!(api.contact(json!({ "phone": b, "chatId": c })).await? == p1);
    Ok(())
}

async fn e09_two_merged_families_meet(api: &Api) -> Result<()> {
    let (e1, e2, e3, e4) = (email(), email(), phone(), phone());
    let p1 = api.contact(json!({ "email": e1 })).await?;
    older().await;
    let p2 = api.contact(json!({ "email": e2 })).await?;
    older().await;
    let p3 = api.contact(json!({ "phone": e3 })).await?;
    older().await;
    let p4 = api.contact(json!({ "phone": e4 })).await?;
    ensure!(api.contact(json!({ "email": e1, "phone": e3 })).await? == p1);
    ensure!(api.contact(json!({ "email": e2, "phone": e4 })).await? == p2);
    // An identifier of P4 with one of P3: the same value under the type that each has.
    let w = format!("whatsapp:{}", phone());
    ensure!(api.contact(json!({ "phone": e3, "whatsapp": w })).await? == p1);
    ensure!(api.contact(json!({ "phone": e4, "whatsapp": w })).await? == p1);
    for from in [&p2, &p3, &p4] {
        moved_to(api, from, &p1).await?;
    }
    Ok(())
}

async fn e10_same_result_in_another_order(api: &Api) -> Result<()> {
    let mut results = Vec::new();
    for order in [["bw", "aw"], ["aw", "bw"]] {
        let (a, b, w) = (email(), phone(), format!("whatsapp:{}", phone()));
        let p1 = api.contact(json!({ "email": a })).await?;
        older().await;
        let p2 = api.contact(json!({ "phone": b })).await?;
        older().await;
        let p3 = api.contact(json!({ "whatsapp": w })).await?;
        for merge in order {
            let body = match merge {
                "bw" => json!({ "phone": b, "whatsapp": w }),
                _ => json!({ "email": a, "whatsapp": w }),
            };
            api.contact(body).await?;
        }
        moved_to(api, &p2, &p1).await?;
        moved_to(api, &p3, &p1).await?;
        let ids = api.identifiers(&p1).await?;
        ensure!(ids["email"] == [a] && ids["phone"] == [b] && ids["whatsapp"] == [w]);
        results.push(ids.len());
    }
    ensure!(results == [3, 3]);
    Ok(())
}

async fn e11_email_equivalence(api: &Api) -> Result<()> {
    let n = digits(12);
    let p1 = api
        .contact(json!({ "email": format!(" Ada{n}@EXAMPLE.com") }))
        .await?;
    for same in [
        format!("ada{n}@example.com"),
        format!("ada{n} @example.com"),
    ] {
        ensure!(api.contact(json!({ "email": same })).await? == p1, "{same}");
    }
    for other in [
        format!("ada{n}+x@example.com"),
        format!("a.da{n}@example.com"),
    ] {
        ensure!(
            api.contact(json!({ "email": other })).await? != p1,
            "{other}"
        );
    }
    Ok(())
}

async fn e12_phone_equivalence(api: &Api) -> Result<()> {
    let n = digits(4);
    let m = digits(3);
    let p1 = api
        .contact(json!({ "phone": format!("1-317-{m}-{n}") }))
        .await?;
    for same in [
        format!("(317) {m}-{n}"),
        format!("317{m}{n}"),
        format!("+1 317 {m} {n}"),
    ] {
        ensure!(api.contact(json!({ "phone": same })).await? == p1, "{same}");
    }
    ensure!(values(api, &p1, "phone").await? == [format!("+1317{m}{n}")]);
    let singapore = format!("65{}", digits(8));
    let abroad = api
        .contact(json!({ "phone": format!("+{singapore}") }))
        .await?;
    let home = api.contact(json!({ "phone": singapore })).await?;
    ensure!(
        abroad != home,
        "a foreign number without plus is read as one of the US"
    );
    ensure!(values(api, &home, "phone").await? == [format!("+1{singapore}")]);
    Ok(())
}

async fn e13_type_boundaries(api: &Api) -> Result<()> {
    let number = format!("+65{}", digits(8));
    let p1 = api
        .contact(json!({ "whatsapp": format!("whatsapp:{number}") }))
        .await?;
    let p2 = api.contact(json!({ "phone": number })).await?;
    let p3 = api.contact(json!({ "whatsapp": number })).await?;
    ensure!(p1 != p2 && p2 != p3 && p1 != p3, "three profiles");
    let n = digits(8);
    let upper = api.contact(json!({ "chatId": format!("Bob{n}") })).await?;
    ensure!(api.contact(json!({ "chatId": format!("bob{n}") })).await? != upper);
    Ok(())
}

/// A store whose type `id_type` has this limit and policy.
async fn limited(api: &Api, name: &str, id_type: &str, limit: u16, policy: &str) -> Result<Api> {
    let api = api.new_store(name).await?;
    let change = |settings: &mut Value| {
        for config in settings["identifierConfigs"]
            .as_array_mut()
            .into_iter()
            .flatten()
        {
            if config["idType"] == id_type {
                (config["limit"], config["limitPolicy"]) = (limit.into(), policy.into());
            }
        }
    };
    api.change_settings(change).await?;
    Ok(api)
}

async fn e14_fifo_overflow(api: &Api) -> Result<()> {
    let api = &limited(api, "e14", "email", 2, "fifo").await?;
    let (b, [a1, a2, a3]) = (phone(), [email(), email(), email()]);
    let p1 = api.contact(json!({ "phone": b, "email": a1 })).await?;
    for a in [&a2, &a3] {
        ensure!(api.contact(json!({ "phone": b, "email": a })).await? == p1);
    }
    ensure!(values(api, &p1, "email").await? == [a2, a3]);
    ensure!(api.owners("email", &a1).await?.is_empty());
    ensure!(api.contact(json!({ "email": a1 })).await? != p1);
    api.delete_store().await
}

async fn e15_lifo_overflow(api: &Api) -> Result<()> {
    let api = &limited(api, "e15", "email", 2, "lifo").await?;
    let (b, [a1, a2, a3]) = (phone(), [email(), email(), email()]);
    let p1 = api.contact(json!({ "phone": b, "email": a1 })).await?;
    for a in [&a2, &a3] {
        ensure!(api.contact(json!({ "phone": b, "email": a })).await? == p1);
    }
    ensure!(values(api, &p1, "email").await? == [a1, a2]);
    ensure!(api.get(&p1).await?.body["traits"]["Contact"]["email"] == json!(a3));
    ensure!(api.owners("email", &a3).await?.is_empty());
    ensure!(api.contact(json!({ "email": a3 })).await? != p1);
    api.delete_store().await
}

async fn e16_overflow_in_a_merge(api: &Api) -> Result<()> {
    for policy in ["fifo", "lifo"] {
        let name = format!("e16-{policy}");
        let api = &limited(api, &name, "email", 3, policy).await?;
        let (b, c, x) = (phone(), digits(12), [email(), email(), email(), email()]);
        let p1 = api.contact(json!({ "phone": b, "email": x[0] })).await?;
        older().await;
        let p2 = api.contact(json!({ "chatId": c, "email": x[1] })).await?;
        older().await;
        ensure!(api.contact(json!({ "phone": b, "email": x[2] })).await? == p1);
        older().await;
        ensure!(api.contact(json!({ "chatId": c, "email": x[3] })).await? == p2);
        ensure!(api.contact(json!({ "phone": b, "chatId": c })).await? == p1);
        let kept = if policy == "fifo" { &x[1..] } else { &x[..3] };
        ensure!(values(api, &p1, "email").await? == kept, "{policy}");
        api.delete_store().await?;
    }
    Ok(())
}

async fn e17_limit_1_replaces(api: &Api) -> Result<()> {
    let api = &limited(api, "e17", "phone", 1, "fifo").await?;
    let (a, [b1, b2]) = (email(), [phone(), phone()]);
    let p1 = api.contact(json!({ "email": a, "phone": b1 })).await?;
    ensure!(api.contact(json!({ "email": a, "phone": b2 })).await? == p1);
    ensure!(values(api, &p1, "phone").await? == [b2]);
    ensure!(api.owners("phone", &b1).await?.is_empty(), "it is free");
    api.delete_store().await
}

/// A store with types that are not unique, promoted from traits of `Home` of the same names; those `in_rules` match.
async fn homes(api: &Api, name: &str, types: &[&str], in_rules: bool) -> Result<Api> {
    let api = api.new_store(name).await?;
    let change = |settings: &mut Value| {
        for id_type in types {
            let config = json!({ "idType": id_type, "enforceUnique": false });
            if let Some(configs) = settings["identifierConfigs"].as_array_mut() {
                configs.push(config);
            }
            if let Some(rules) = settings["matchingRules"]
                .as_array_mut()
                .filter(|_| in_rules)
            {
                rules.push(json!(id_type));
            }
        }
    };
    api.change_settings(change).await?;
    let define = |id_type: &&str| {
        let definition = json!({ "dataType": "STRING", "idTypePromotion": id_type });
        ((*id_type).to_owned(), definition)
    };
    let traits = types.iter().map(define).collect();
    api.new_group("Home", Value::Object(traits)).await?;
    Ok(api)
}

async fn at_home(api: &Api, contact: Value, home: Value) -> Result<String> {
    let traits = json!({ "Contact": contact, "Home": home });
    api.create(traits).await?.accepted_id()
}

async fn e18_non_unique_type(api: &Api) -> Result<()> {
    let api = &homes(api, "e18", &["household"], true).await?;
    let (a1, a2, h) = (email(), email(), json!({ "household": "h" }));
    let p1 = at_home(api, json!({ "email": a1 }), h.clone()).await?;
    older().await;
    let p2 = at_home(api, json!({ "email": a2 }), h.clone()).await?;
    ensure!(p1 != p2, "the e-mail says new");
    ensure!(api.owners("household", "h").await? == [p1.clone(), p2.clone()]);
    ensure!(at_home(api, json!({}), h.clone()).await? == p1);
    ensure!(at_home(api, json!({ "email": a2 }), h).await? == p2);
    ensure!(api.get(&p2).await?.status == 200, "no merge");
    api.delete_store().await
}

async fn e19_two_non_unique_types_agree(api: &Api) -> Result<()> {
    let api = &homes(api, "e19", &["household", "deviceGroup"], true).await?;
    let both = json!({ "household": "h", "deviceGroup": "g" });
    let p1 = at_home(api, json!({ "email": email() }), both.clone()).await?;
    older().await;
    let p2 = at_home(
        api,
        json!({ "email": email() }),
        json!({ "household": "h" }),
    )
    .await?;
    ensure!(p1 != p2);
    ensure!(at_home(api, json!({}), both.clone()).await? == p1);
    let a = email();
    ensure!(at_home(api, json!({ "email": a }), both).await? == p1);
    ensure!(api.owners("email", &a).await? == [p1]);
    api.delete_store().await
}

async fn e20_type_outside_the_rules(api: &Api) -> Result<()> {
    let api = &homes(api, "e20", &["legacyId"], false).await?;
    let legacy = json!({ "legacyId": "7" });
    let p1 = at_home(api, json!({ "email": email() }), legacy.clone()).await?;
    ensure!(api.owners("legacyId", "7").await? == std::slice::from_ref(&p1));
    older().await;
    let p2 = at_home(api, json!({ "email": email() }), legacy).await?;
    ensure!(api.owners("legacyId", "7").await? == [p1, p2]);
    api.delete_store().await
}

async fn e21_no_identifier(api: &Api) -> Result<()> {
    let listed = api.list().await?.len();
    for traits in [
        json!({ "Contact": { "firstName": "Ada" } }),
        json!({}),
        json!({ "Contact": { "email": "" } }),
        json!({ "Contact": { "email": null, "firstName": "Ada" } }),
        json!({ "Contact": {} }),
    ] {
        let answer = api.create(traits.clone()).await?;
        ensure!(
            answer.status == 400 && answer.body["code"] == 400,
            "{traits}: {}",
            answer.body
        );
    }
    let answer = api
        .send(Method::POST, "/Profiles", Some(&json!({})))
        .await?;
    ensure!(
        answer.status == 400 && answer.body["code"] == 400,
        "{}",
        answer.body
    );
    // Others run beside this one: what is new must be theirs, that is, have an identifier.
    for profile in api.list().await?.iter().rev().skip(listed) {
        ensure!(
            !api.identifiers(profile).await?.is_empty(),
            "{profile} has no identifier"
        );
    }
    Ok(())
}

async fn e22_identifier_of_the_wrong_type(api: &Api) -> Result<()> {
    for wrong in [
        json!(42),
        json!(["wrong.type@example.com"]),
        json!({ "v": "wrong.type@example.com" }),
        json!(true),
    ] {
        let b = phone();
        let answer = api
            .create(json!({ "Contact": { "email": wrong, "phone": b } }))
            .await?;
        ensure!(
            answer.status == 400 && answer.body["code"] == 400,
            "{}",
            answer.body
        );
        let errors = answer.body["details"]["errors"]
            .as_array()
            .context("no details")?;
        ensure!(
            errors
                .iter()
                .any(|error| error["field"] == "traits.Contact.email"),
            "{errors:?}"
        );
        nothing_written(api, "phone", &b).await?;
    }
    Ok(())
}

async fn e23_not_normalisable(api: &Api) -> Result<()> {
    let a = email();
    let answer = api
        .create(json!({ "Contact": { "phone": "12345", "email": a } }))
        .await?;
    ensure!(
        answer.status == 400 && answer.body["code"] == 400,
        "{}",
        answer.body
    );
    nothing_written(api, "email", &a).await?;
    let answer = api.lookup("phone", "12345").await?;
    ensure!(
        answer.status == 400 && answer.body["code"] == 400,
        "{}",
        answer.body
    );
    Ok(())
}

async fn e24_undefined_trait(api: &Api) -> Result<()> {
    let a = email();
    for traits in [
        json!({ "Contact": { "email": a, "favouriteColour": "red" } }),
        json!({ "Contact": { "email": a }, "Nobody": { "x": 1 } }),
    ] {
        let answer = api.create(traits).await?;
        ensure!(
            answer.status == 400 && answer.body["code"] == 400,
            "{}",
            answer.body
        );
        nothing_written(api, "email", &a).await?;
    }
    Ok(())
}

async fn e25_reading_a_merged_away_id(api: &Api) -> Result<()> {
    let (a, b) = (email(), phone());
    let p1 = api.contact(json!({ "email": a })).await?;
    older().await;
    let p2 = api.contact(json!({ "phone": b })).await?;
    api.contact(json!({ "email": a, "phone": b })).await?;
    let base = format!("{}/v1/Stores/{STORE}/Profiles", api.base());
    for rest in [
        "?traitGroups=Contact",
        "",
        "/Identifiers",
        "/Identifiers/email",
        "/Traits?pageSize=3",
    ] {
        let answer = api
            .send(Method::GET, &format!("/Profiles/{p2}{rest}"), None)
            .await?;
        ensure!(answer.status == 301, "{rest}: {}", answer.status);
        let url = format!("{base}/{p1}{rest}");
        ensure!(answer.header("location") == url, "{:?}", answer.headers);
        ensure!(
            answer.header("canonical-profile-id") == p1
                && answer.header("cache-control") == "no-store"
        );
        let body = json!({ "message": "This resource has moved.", "uri": url });
        ensure!(answer.body == body, "{}", answer.body);
    }
    let deleted = write(api, Method::DELETE, &p2, "", None).await?;
    ensure!(deleted.status == 308, "{} {}", deleted.status, deleted.body);
    ensure!(api.get(&p1).await?.status == 200, "nothing is deleted");
    ensure!(api.owners("phone", &b).await? == [p1]);
    Ok(())
}

/// A write to a profile, and whatever came of it.
async fn write(
    api: &Api,
    method: Method,
    profile: &str,
    rest: &str,
    body: Option<Value>,
) -> Result<Answer> {
    let path = format!("/Profiles/{profile}{rest}");
    api.send(method, &path, body.as_ref()).await
}

/// A write that is accepted.
async fn accepted(
    api: &Api,
    method: Method,
    profile: &str,
    rest: &str,
    body: Option<Value>,
) -> Result<()> {
    let answer = write(api, method, profile, rest, body).await?;
    ensure!(answer.status == 202, "{} {}", answer.status, answer.body);
    Ok(())
}

fn contact(contact: Value) -> Option<Value> {
    Some(json!({ "traits": { "Contact": contact } }))
}

async fn e08_merge_of_already_merged(api: &Api) -> Result<()> {
    let (a, b, c) = (email(), phone(), digits(12));
    let p1 = api.contact(json!({ "email": a })).await?;
    older().await;
    let p2 = api.contact(json!({ "phone": b })).await?;
    older().await;
    let p3 = api.contact(json!({ "chatId": c })).await?;
    ensure!(api.contact(json!({ "phone": b, "chatId": c })).await? == p2);
    ensure!(api.contact(json!({ "email": a, "phone": b })).await? == p1);
    let before = api.identifiers(&p1).await?;
    ensure!(api.contact(json!({ "phone": b, "chatId": c })).await? == p1);
    ensure!(api.identifiers(&p1).await? == before, "nothing changes");
    let patched = write(
        api,
        Method::PATCH,
        &p3,
        "",
        contact(json!({ "city": "Rome" })),
    )
    .await?;
    ensure!(patched.status == 308, "{} {}", patched.status, patched.body);
    ensure!(patched.header("canonical-profile-id") == p1);
    Ok(())
}

async fn e26_patch_with_null(api: &Api) -> Result<()> {
    let a = email();
    let created = json!({ "email": a, "firstName": "Ada", "lastName": "Lovelace" });
    let p1 = api.contact(created).await?;
    api.until_trait(&p1, ("Contact", "firstName"), json!("Ada"))
        .await?;
    let first = contact(json!({ "firstName": null }));
    accepted(api, Method::PATCH, &p1, "", first).await?;
    api.until_trait(&p1, ("Contact", "firstName"), Value::Null)
        .await?;
    accepted(
        api,
        Method::PATCH,
        &p1,
        "",
        contact(json!({ "email": null })),
    )
    .await?;
    let read = api.get(&p1).await?;
    let left = json!({ "Contact": { "lastName": "Lovelace" } });
    ensure!(read.body["traits"] == left, "{}", read.body);
    ensure!(values(api, &p1, "email").await? == std::slice::from_ref(&a));
    ensure!(api.contact(json!({ "email": a })).await? == p1);
    Ok(())
}

async fn e27_patch_that_merges(api: &Api) -> Result<()> {
    let (a, b) = (email(), phone());
    let p1 = api.contact(json!({ "email": a })).await?;
    older().await;
    let p2 = api.contact(json!({ "phone": b })).await?;
    accepted(api, Method::PATCH, &p2, "", contact(json!({ "email": a }))).await?;
    moved_to(api, &p2, &p1).await?;
    ensure!(values(api, &p1, "email").await? == [a]);
    ensure!(values(api, &p1, "phone").await? == [b]);
    Ok(())
}

async fn e28_identifier_add_change_remove(api: &Api) -> Result<()> {
    let (a, b, b2) = (email(), phone(), phone());
    let p1 = api.contact(json!({ "email": a })).await?;
    let added = json!({ "idType": "phone", "value": b.trim_start_matches("+1") });
    accepted(api, Method::POST, &p1, "/Identifiers", Some(added)).await?;
    ensure!(values(api, &p1, "phone").await? == std::slice::from_ref(&b));
    let read = api.get(&p1).await?;
    ensure!(read.body["traits"]["Contact"]["phone"].is_null());
    let change = Some(json!({ "idType": "phone", "oldValue": b, "newValue": b2 }));
    let phones = "/Identifiers/phone";
    accepted(api, Method::PATCH, &p1, phones, change.clone()).await?;
    ensure!(values(api, &p1, "phone").await? == [b2]);
    ensure!(api.owners("phone", &b).await?.is_empty());
    let again = write(api, Method::PATCH, &p1, phones, change).await?;
    ensure!(again.status == 404, "{} {}", again.status, again.body);
    accepted(api, Method::DELETE, &p1, phones, None).await?;
    ensure!(values(api, &p1, "phone").await?.is_empty());
    let again = write(api, Method::DELETE, &p1, phones, None).await?;
    ensure!(again.status == 404, "{} {}", again.status, again.body);
    Ok(())
}

async fn e29_identifier_add_that_merges(api: &Api) -> Result<()> {
    let (a, b) = (email(), phone());
    let p1 = api.contact(json!({ "email": a })).await?;
    older().await;
    let p2 = api.contact(json!({ "phone": b })).await?;
    let added = json!({ "idType": "email", "value": a });
    accepted(api, Method::POST, &p2, "/Identifiers", Some(added)).await?;
    moved_to(api, &p2, &p1).await?;
    ensure!(values(api, &p1, "phone").await? == [b]);
    Ok(())
}

/// With the default settings, whose policy is fifo; the other one needs settings of its own.
async fn e30_delete_one_by_policy(api: &Api) -> Result<()> {
    let (b, [a1, a2, a3]) = (phone(), [email(), email(), email()]);
    let p1 = api.contact(json!({ "phone": b, "email": a1 })).await?;
    for more in [&a2, &a3] {
        ensure!(api.contact(json!({ "phone": b, "email": more })).await? == p1);
    }
    accepted(api, Method::DELETE, &p1, "/Identifiers/email", None).await?;
    ensure!(values(api, &p1, "email").await? == [a2.clone(), a3.clone()]);
    let all = "/Identifiers/email?removeAll=true";
    accepted(api, Method::DELETE, &p1, all, None).await?;
    ensure!(!api.identifiers(&p1).await?.contains_key("email"));
    ensure!(api.owners("email", &a1).await?.is_empty());

    let api = &limited(api, "e30", "email", 100, "lifo").await?;
    let p1 = api.contact(json!({ "phone": b, "email": a1 })).await?;
    for more in [&a2, &a3] {
        ensure!(api.contact(json!({ "phone": b, "email": more })).await? == p1);
    }
    accepted(api, Method::DELETE, &p1, "/Identifiers/email", None).await?;
    ensure!(values(api, &p1, "email").await? == [a1, a2]);
    api.delete_store().await
}

async fn e31_delete_then_recreate(api: &Api) -> Result<()> {
    let a = email();
    let p1 = api
        .contact(json!({ "email": a, "firstName": "of-the-first" }))
        .await?;
    accepted(api, Method::DELETE, &p1, "", None).await?;
    ensure!(api.get(&p1).await?.status == 404);
    ensure!(api.owners("email", &a).await?.is_empty());
    older().await;
    let p2 = api
        .contact(json!({ "email": a, "lastName": "Lovelace-anew" }))
        .await?;
    ensure!(p2 != p1);
    // By then the queued trait of the first one has long been read.
    api.until_trait(&p2, ("Contact", "lastName"), json!("Lovelace-anew"))
        .await?;
    let read = api.get(&p2).await?;
    let own = json!({ "Contact": { "email": a, "lastName": "Lovelace-anew" } });
    ensure!(read.body["traits"] == own, "{}", read.body);
    ensure!(api.get(&p1).await?.status == 404, "for ever");
    Ok(())
}

async fn e32_deleting_a_survivor(api: &Api) -> Result<()> {
    let (a, b) = (email(), phone());
    let p1 = api.contact(json!({ "email": a })).await?;
    older().await;
    let p2 = api.contact(json!({ "phone": b })).await?;
    ensure!(api.contact(json!({ "email": a, "phone": b })).await? == p1);
    accepted(api, Method::DELETE, &p1, "", None).await?;
    for gone in [&p1, &p2] {
        ensure!(api.get(gone).await?.status == 404);
    }
    let p3 = api.contact(json!({ "phone": b })).await?;
    ensure!(p3 != p1 && p3 != p2);
    Ok(())
}

async fn e33_bulk_with_overlap(api: &Api) -> Result<()> {
    let (a, b) = (email(), phone());
    let item = |contact: Value| json!({ "traits": { "Contact": contact } });
    let body = json!({ "profiles": [
        item(json!({ "email": a, "firstName": "A" })),
        item(json!({ "phone": b })),
        item(json!({ "email": a, "phone": b, "firstName": "B" })),
    ] });
    let answer = api.send(Method::PUT, "/Profiles/Bulk", Some(&body)).await?;
    ensure!(answer.status == 202, "{} {}", answer.status, answer.body);
    let owners = api.owners("email", &a).await?;
    ensure!(owners.len() == 1 && api.owners("phone", &b).await? == owners);
    let p1 = &owners[0];
    ensure!(values(api, p1, "email").await? == [a]);
    ensure!(values(api, p1, "phone").await? == [b]);
    api.until_trait(p1, ("Contact", "firstName"), json!("B"))
        .await
}

async fn e34_two_promoted_traits_of_one_type(api: &Api) -> Result<()> {
    let api = &api.new_store("e34").await?;
    let mail = json!({ "mail": { "dataType": "STRING", "idTypePromotion": "email" } });
    api.new_group("Work", mail).await?;
    let (a1, a2) = (email(), email());
    let traits = json!({ "Contact": { "email": a1 }, "Work": { "mail": a2 } });
    let p1 = api.create(traits).await?.accepted_id()?;
    ensure!(values(api, &p1, "email").await? == [a1.clone(), a2.clone()]);
    for a in [a1, a2] {
        ensure!(api.contact(json!({ "email": a })).await? == p1);
    }
    api.delete_store().await
}

async fn e36_trait_conflict_on_merge(api: &Api) -> Result<()> {
    let api = &api.new_store("e36").await?;
    let traits = json!({ "tier": { "dataType": "STRING" }, "points": { "dataType": "NUMBER" } });
    api.new_group("Loyalty", traits).await?;
    let (a, b) = (email(), phone());
    let of = |contact: Value, loyalty: Value| json!({ "Contact": contact, "Loyalty": loyalty });
    let gold = of(json!({ "email": a }), json!({ "tier": "gold" }));
    let p1 = api.create(gold).await?.accepted_id()?;
    older().await;
    let silver = json!({ "tier": "silver", "points": 5 });
    let p2 = api
        .create(of(json!({ "phone": b }), silver))
        .await?
        .accepted_id()?;
    ensure!(api.contact(json!({ "email": a, "phone": b })).await? == p1);
    moved_to(api, &p2, &p1).await?;
    api.until_trait(&p1, ("Loyalty", "points"), json!(5))
        .await?;
    api.until_trait(&p1, ("Loyalty", "tier"), json!("silver"))
        .await?;
    api.delete_store().await
}

async fn e35_concurrent_creates(api: &Api) -> Result<()> {
    for _ in 0..5 {
        let body = json!({ "email": email() });
        let answers =
            futures_util::future::try_join_all((0..8).map(|_| api.contact(body.clone()))).await?;
        let mut canonical = Vec::new();
        for id in &answers {
            let read = api.get(id).await?;
            canonical.push(match read.status {
                200 => id.clone(),
                301 => read.header("canonical-profile-id").to_owned(),
                other => anyhow::bail!("{other} for {id}"),
            });
        }
        canonical.dedup();
        ensure!(canonical.len() == 1, "{canonical:?}");
        let listed = api.list().await?;
        ensure!(
            answers
                .iter()
                .filter(|id| listed.contains(id))
                .all(|id| *id == canonical[0])
        );
        ensure!(
            listed.iter().filter(|id| **id == canonical[0]).count() == 1,
            "listed once"
        );
    }
    Ok(())
}

async fn a_person_has_the_newest_of_every_trait(api: &Api) -> Result<()> {
    let (a, b) = (email(), phone());
    let p1 = api
        .contact(json!({ "email": a, "firstName": "first-of-all", "city": "Rome" }))
        .await?;
    older().await;
    api.contact(json!({ "phone": b, "firstName": "second-of-all", "state": "Lazio" }))
        .await?;
    // A merge joins the traits; a later write wins over both.
    api.contact(json!({ "email": a, "phone": b })).await?;
    api.until_trait(&p1, ("Contact", "firstName"), json!("second-of-all"))
        .await?;
    api.until_trait(&p1, ("Contact", "city"), json!("Rome"))
        .await?;
    api.until_trait(&p1, ("Contact", "state"), json!("Lazio"))
        .await?;
    for i in 0..10 {
        api.contact(json!({ "phone": b, "firstName": format!("number-{i}"), "city": null }))
            .await?;
    }
    api.until_trait(&p1, ("Contact", "firstName"), json!("number-9"))
        .await?;
    api.until_trait(&p1, ("Contact", "city"), Value::Null)
        .await?;
    let read = api.get(&p1).await?;
    ensure!(
        read.body["traits"]["Contact"]["email"] == json!(a),
        "{}",
        read.body
    );
    Ok(())
}
