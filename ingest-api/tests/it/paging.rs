//! Lists, page by page.

use kith_domain::id::StoreId;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{
    ACCOUNT, Answered, OTHER_ACCOUNT, OTHER_STORE, OTHER_TOKEN, TestService, profiles, profiles_of,
    store_record,
};

async fn filled(count: usize) -> (TestService, Vec<String>) {
    let service = TestService::start().await;
    let mut ids = Vec::new();
    for at in 0..count {
        ids.push(
            service
                .create(json!({"email": format!("{at}@example.com")}))
                .await,
        );
    }
    (service, ids)
}

async fn walk(service: &TestService, query: &str) -> Vec<String> {
    let mut ids = Vec::new();
    let mut token = None;
    loop {
        let token_part = token
            .map(|t: String| format!("&pageToken={t}"))
            .unwrap_or_default();
        let page = service
            .get(&format!("{}?{query}{token_part}", profiles()))
            .await;
        assert_eq!(page.status, 200);
        let items = page.body["profiles"].as_array().unwrap();
        assert_eq!(page.body["meta"]["key"], "profiles");
        assert_eq!(page.body["meta"]["pageSize"], items.len());
        ids.extend(items.iter().map(|id| id.as_str().unwrap().to_owned()));
        match page.body["meta"].get("nextToken") {
            None => return ids,
            Some(next) => token = Some(next.as_str().unwrap().to_owned()),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_join_to_the_list_in_both_orders_whatever_their_size() {
    let (service, mut ids) = filled(5).await;
    for size in [1, 2, 3, 5, 6, 1000, 5_000] {
        assert_eq!(
            walk(&service, &format!("orderBy=ASC&pageSize={size}")).await,
            ids
        );
    }
    ids.reverse();
    for size in [1, 2, 5, 50] {
        assert_eq!(walk(&service, &format!("pageSize={size}")).await, ids);
    }
    assert_eq!(walk(&service, "orderBy=DESC").await, ids);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_parameters_are_refused() {
    let service = TestService::start().await;
    for (query, field) in [
        ("pageSize=0", "pageSize"),
        ("pageSize=-5", "pageSize"),
        ("pageSize=ten", "pageSize"),
        ("pageSize=", "pageSize"),
        ("orderBy=asc", "orderBy"),
        ("orderBy=", "orderBy"),
        ("pageToken=nonsense", "pageToken"),
        ("pageToken=", "pageToken"),
    ] {
        let answered = service.get(&format!("{}?{query}", profiles())).await;
        answered.is(400, 400).names(&[field]);
    }
    let long = "A".repeat(4097);
    let answered = service
        .get(&format!("{}?pageToken={long}", profiles()))
        .await;
    answered.is(400, 400).names(&["pageToken"]);
    service
        .get(&format!("{}?pageSize=1&pageSize=2", profiles()))
        .await
        .is(400, 400);
    assert_eq!(service.watch.written(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_does_not_fit_is_refused() {
    let (service, _) = filled(3).await;
    let page = service.get(&format!("{}?pageSize=1", profiles())).await;
    let token = page.body["meta"]["nextToken"].as_str().unwrap();
    let refused = |answered: &Answered| {
        answered.is(400, 400).names(&["pageToken"]);
    };

    // The other order.
    refused(
        &service
            .get(&format!("{}?orderBy=ASC&pageToken={token}", profiles()))
            .await,
    );
    // Changed, cut, and longer than sent.
    for at in [0, 1, 20, token.len() - 2] {
        let mut changed = token.to_owned();
        let other = if &token[at..=at] == "A" { "B" } else { "A" };
        changed.replace_range(at..=at, other);
        refused(
            &service
                .get(&format!("{}?pageToken={changed}", profiles()))
                .await,
        );
    }
    refused(
        &service
            .get(&format!("{}?pageToken={}", profiles(), &token[..10]))
            .await,
    );
    refused(
        &service
            .get(&format!("{}?pageToken={token}A", profiles()))
            .await,
    );
    // Of another store of the account, and of another account.
    let second = "mem_store_00000000000000000000000007";
    service.add_store(store_record(ACCOUNT, second)).await;
    assert!(second.parse::<StoreId>().is_ok());
    refused(
        &service
            .get(&format!("{}?pageToken={token}", profiles_of(second)))
            .await,
    );
    let path = format!("{}?pageToken={token}", profiles_of(OTHER_STORE));
    let request = service
        .bare(Method::GET, &path)
        .basic_auth(OTHER_ACCOUNT, Some(OTHER_TOKEN));
    refused(&Answered::of(request).await);
    // Another page size is no other list.
    let rest = service
        .get(&format!("{}?pageSize=9&pageToken={token}", profiles()))
        .await;
    assert_eq!(rest.body["profiles"].as_array().map(Vec::len), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn merged_profiles_are_not_listed_and_the_list_still_ends() {
    let (service, ids) = filled(3).await;
    service
        .create(json!({"email": "0@example.com", "phone": "+13175550100"}))
        .await;
    let phone = service
        .create(json!({"phone": "+13175550101", "email": "1@example.com"}))
        .await;
    assert_eq!(phone, ids[1]);
    let merged = service
        .create(json!({"phone": "+13175550101", "email": "0@example.com"}))
        .await;
    assert_eq!(merged, ids[0]);
    let expected = [ids[0].clone(), ids[2].clone()];
    assert_eq!(walk(&service, "orderBy=ASC&pageSize=1").await, expected);
    assert_eq!(
        service.listed().await,
        Value::from(vec![ids[2].clone(), ids[0].clone()])
    );
}
