//! Which of several faults is answered (`memory-api.md` 2.8), and who is told what exists.

use kith_domain::store::StoreStatus;
use reqwest::Method;
use serde_json::json;

use crate::harness::{
    ACCOUNT, Answered, KEY_SECRET, NO_PROFILE, NO_STORE, OTHER_ACCOUNT, OTHER_STORE, OTHER_TOKEN,
    READ_KEY, STORE, TOKEN, TestService, idle_store, profiles, profiles_of,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_learns_nothing_but_that() {
    let service = TestService::start().await;
    let paths = [
        profiles(),
        profiles_of(NO_STORE),
        profiles_of("nonsense"),
        format!("{}/nonsense", profiles()),
        "/".to_owned(),
        "/v1/Nothing".to_owned(),
        "/livez".to_owned(),
    ];
    for path in &paths {
        for method in [Method::GET, Method::POST, Method::DELETE, Method::OPTIONS] {
            let answered = Answered::of(service.bare(method, path).body("nonsense")).await;
            answered.is(401, 20003);
            assert_eq!(
                answered.header("www-authenticate"),
                Some("Basic realm=\"kith\"")
            );
        }
    }
    assert_eq!((service.watch.written(), service.watch.read()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_nobody_has_are_all_alike() {
    let service = TestService::start().await;
    let users = [
        (ACCOUNT, "wrong"),
        (ACCOUNT, ""),
        (OTHER_ACCOUNT, TOKEN),
        (READ_KEY, "wrong"),
        ("AC00000000000000000000000000000009", TOKEN),
        ("", ""),
    ];
    for (user, password) in users {
        let request = service.bare(Method::GET, &profiles());
        Answered::of(request.basic_auth(user, Some(password)))
            .await
            .is(401, 20003);
    }
    let bearer = service.bare(Method::GET, &profiles()).bearer_auth(TOKEN);
    let answered = Answered::of(bearer).await;
    assert_eq!(
        answered.is(401, 20003).header("www-authenticate"),
        Some("Basic realm=\"kith\"")
    );
    for value in ["Basic", "Basic !", "Digest x", "nonsense"] {
        let request = service
            .bare(Method::GET, &profiles())
            .header("authorization", value);
        Answered::of(request).await.is(401, 20003);
    }
    assert_eq!((service.watch.written(), service.watch.read()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_are_checked_before_the_store_and_the_store_before_the_body() {
    let service = TestService::start().await;
    for store in [
        "nonsense",
        "mem_profile_00000000000000000000000000",
        "mem_store_8",
        "MEM_STORE_00000000000000000000000000",
    ] {
        service
            .post(&profiles_of(store), &json!([]))
            .await
            .is(400, 520_049);
        service
            .get(&format!("{}/nonsense", profiles_of(store)))
            .await
            .is(400, 520_049);
    }
    for profile in [
        "nonsense",
        STORE,
        "mem_profile_8zzzzzzzzzzzzzzzzzzzzzzzzz",
        "bulk",
    ] {
        for store in [STORE, NO_STORE, "mem_service_00000000000000000000000000"] {
            let path = format!("{}/{profile}", profiles_of(store));
            service.get(&path).await.is(400, 400);
            service
                .get(&format!("{path}/Identifiers"))
                .await
                .is(400, 400);
        }
    }
    let unknown = [
        NO_STORE,
        "mem_service_00000000000000000000000000",
        "mem_store_0000000000000000000000000u",
    ];
    for store in unknown {
        let request = service
            .request(Method::POST, &profiles_of(store))
            .body("nonsense");
        Answered::of(request).await.is(404, 520_041);
        service
            .get(&format!("{}?pageSize=0", profiles_of(store)))
            .await
            .is(404, 520_041);
        service
            .get(&format!("{}/{NO_PROFILE}", profiles_of(store)))
            .await
            .is(404, 520_041);
        service
            .post(&format!("{}/Lookup", profiles_of(store)), &json!([]))
            .await
            .is(404, 520_041);
    }
    assert_eq!(service.watch.written(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reading_key_is_refused_before_its_request_is_looked_at() {
    let service = TestService::start().await;
    for store in [STORE, NO_STORE, "nonsense"] {
        let request = service
            .bare(Method::POST, &profiles_of(store))
            .body("nonsense");
        Answered::of(request.basic_auth(READ_KEY, Some(KEY_SECRET)))
            .await
            .is(403, 403);
    }
    assert_eq!((service.watch.written(), service.watch.read()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_that_is_not_there_is_not_found() {
    let service = TestService::start().await;
    for profile in [NO_PROFILE, "mem_profile_0000000000000000000000000u"] {
        let path = format!("{}/{profile}", profiles());
        service.get(&path).await.is(404, 20404);
        service
            .get(&format!("{path}/Identifiers"))
            .await
            .is(404, 20404);
        // The query is looked at before the profile.
        service
            .get(&format!("{path}?traitGroups="))
            .await
            .is(400, 400);
    }
    assert_eq!(service.watch.written(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_accounts_store_is_like_one_that_does_not_exist() {
    let service = TestService::start().await;
    let profile = service.create(json!({"email": "ada@example.com"})).await;
    let written = service.watch.written();
    let body = json!({"traits": {"Contact": {"email": "ada@example.com"}}});
    let lookup = json!({"idType": "email", "value": "ada@example.com"});
    let as_other = |method, path: &str| {
        service
            .bare(method, path)
            .basic_auth(OTHER_ACCOUNT, Some(OTHER_TOKEN))
    };
    let mut seen = Vec::new();
    for store in [STORE, NO_STORE] {
        let path = profiles_of(store);
        for request in [
            as_other(Method::GET, &path),
            as_other(Method::GET, &format!("{path}/{profile}")),
            as_other(Method::GET, &format!("{path}/{profile}/Identifiers")),
            as_other(Method::POST, &format!("{path}/Lookup")).json(&lookup),
            as_other(Method::POST, &path).json(&body),
        ] {
            let read = service.watch.read();
            let answered = Answered::of(request).await;
            answered.is(404, 520_041);
            seen.push((answered.body, service.watch.read() - read));
        }
    }
    // Same answers, for the same number of statements.
    let (of_another, of_nobody) = seen.split_at(seen.len() / 2);
    assert_eq!(of_another, of_nobody);
    assert_eq!(service.watch.written(), written);

    // The same profile id means nothing in another store.
    let path = format!("{}/{profile}", profiles_of(OTHER_STORE));
    Answered::of(as_other(Method::GET, &path))
        .await
        .is(404, 20404);
    let path = format!("{}/Lookup", profiles_of(OTHER_STORE));
    let found = Answered::of(as_other(Method::POST, &path).json(&lookup)).await;
    assert_eq!(found.body["profiles"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_not_in_use_says_so() {
    let service = TestService::start().await;
    let being_made = "mem_store_00000000000000000000000005";
    let failed = "mem_store_00000000000000000000000006";
    service
        .add_store(idle_store(being_made, StoreStatus::Provisioning))
        .await;
    service
        .add_store(idle_store(failed, StoreStatus::Failed))
        .await;
    let body = json!({"traits": {"Contact": {"email": "ada@example.com"}}});
    service
        .post(&profiles_of(being_made), &body)
        .await
        .is(503, 520_042);
    service.get(&profiles_of(being_made)).await.is(503, 520_042);
    service
        .post(&profiles_of(failed), &body)
        .await
        .is(400, 520_042);
    assert_eq!(service.watch.written(), 0);
}
