//! Changes of definitions, across processes: what one does the others see.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use kith_tests::api::Api;
use kith_tests::pair::{Pair, Shape};
use kith_tests::poll::until;
use reqwest::Method;
use serde_json::{Value, json};

/// How soon a change must be in force everywhere.
const SEEN_WITHIN: Duration = Duration::from_secs(5);

async fn two() -> Result<Pair> {
    let shape = Shape {
        ingests: 2,
        ..Shape::single()
    };
    Pair::servers(&shape).await
}

/// Waits until the other process answers a request with this status; the first answer must have another.
async fn seen(
    what: &str,
    by: &Api,
    (method, path, body): (Method, &str, Option<Value>),
    status: u16,
) -> Result<()> {
    let changed = Instant::now();
    until(SEEN_WITHIN, what, || async {
        let answer = by.send(method.clone(), path, body.as_ref()).await?;
        Ok((answer.status == status).then_some(()))
    })
    .await?;
    ensure!(changed.elapsed() < SEEN_WITHIN, "{:?}", changed.elapsed());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_a_store_is_seen_by_a_second_process_in_time() -> Result<()> {
    let pair = two().await?;
    let one = pair.apis[0].new_store("seen").await?;
    let other = one.at(&pair.apis[1]);
    let lookup = json!({ "idType": "crm-id", "value": "7" });
    let lookup = || (Method::POST, "/Profiles/Lookup", Some(lookup.clone()));
    // It knows the store as it is, and has just looked.
    let before = other.lookup("crm-id", "7").await?;
    ensure!(before.status == 400, "{}", before.body);

    one.change_settings(|settings| {
        if let Some(configs) = settings["identifierConfigs"].as_array_mut() {
            configs.push(json!({ "idType": "crm-id" }));
        }
    })
    .await?;
    ensure!(
        one.lookup("crm-id", "7").await?.status == 200,
        "here at once"
    );
    seen("the new type", &other, lookup(), 200).await?;

    let definition = json!({ "id": { "dataType": "STRING", "idTypePromotion": "crm-id" } });
    one.new_group("Crm", definition).await?;
    let create = json!({ "traits": { "Crm": { "id": "7" } } });
    let create = (Method::POST, "/Profiles", Some(create));
    seen("the new group", &other, create, 202).await?;
    ensure!(one.owners("crm-id", "7").await?.len() == 1);

    let deleted = one.define(Method::DELETE, &one.store_path(), None).await?;
    ensure!(deleted.status == 202, "{}", deleted.body);
    seen("the deletion", &other, lookup(), 404).await?;
    let operation = format!("/Operations/{}", deleted.header("operation-id"));
    until(Duration::from_secs(30), "the purge", || async {
        let operation = other.define(Method::GET, &operation, None).await?;
        Ok((operation.body["status"] == "COMPLETED").then_some(()))
    })
    .await?;
    pair.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn page_tokens_of_one_process_are_known_to_the_others_and_forged_ones_to_none() -> Result<()>
{
    let pair = two().await?;
    let api = &pair.apis[0];
    let mut stores = Vec::new();
    for name in ["a", "b", "c"] {
        let store = api.new_store(name).await?;
        store
            .contact(json!({ "email": format!("{name}1@example.com") }))
            .await?;
        store
            .contact(json!({ "email": format!("{name}2@example.com") }))
            .await?;
        stores.push(store);
    }
    let (one, other) = (&stores[0], stores[0].at(&pair.apis[1]));
    let page = one.send(Method::GET, "/Profiles?pageSize=1", None).await?;
    let token = page.body["meta"]["nextToken"].as_str().unwrap_or_default();
    let next = format!("/Profiles?pageSize=1&pageToken={token}");
    let here = one.send(Method::GET, &next, None).await?;
    let there = other.send(Method::GET, &next, None).await?;
    ensure!(
        here.status == 200 && here.body == there.body,
        "{}",
        there.body
    );
    ensure!(there.body["profiles"] != page.body["profiles"]);

    let page = api.define(Method::GET, "/Stores?pageSize=2", None).await?;
    let token = page.body["meta"]["nextToken"].as_str().unwrap_or_default();
    let next = |token: &str| format!("/Stores?pageSize=2&pageToken={token}");
    let rest = pair.apis[1].define(Method::GET, &next(token), None).await?;
    ensure!(rest.status == 200, "{}", rest.body);
    ensure!(
        rest.body["stores"].as_array().map(Vec::len) == Some(2),
        "{}",
        rest.body
    );
    let turned: String = token.chars().rev().collect();
    for forged in [turned.as_str(), "AAAA", &token[1..]] {
        let answer = pair.apis[1]
            .define(Method::GET, &next(forged), None)
            .await?;
        ensure!((answer.status, answer.body["code"].as_u64()) == (400, Some(520_046)));
    }
    pair.stop().await
}
