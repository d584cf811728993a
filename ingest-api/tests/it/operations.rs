//! What the operations answer when all is well.

use serde_json::json;

use crate::harness::{Answered, KEY_SECRET, READ_KEY, STORE, TestService, WRITE_KEY, profiles};
use reqwest::Method;

#[tokio::test(flavor = "multi_thread")]
async fn a_created_profile_can_be_read_at_once() {
    let service = TestService::start().await;
    let sent = json!({"traits": {"Contact": {"email": "Ada@Example.com", "firstName": "Ada"}}});
    let created = service.post(&profiles(), &sent).await;
    assert_eq!(created.status, 202);
    let id = created.body["id"].as_str().unwrap();
    assert_eq!(
        created.body,
        json!({"message": "Profile resolved and accepted for processing.", "id": id})
    );

    let fetched = service.get(&format!("{}/{id}", profiles())).await;
    assert_eq!(fetched.status, 200);
    assert_eq!(fetched.body["id"], id);
    assert_eq!(
        fetched.body["traits"],
        json!({"Contact": {"email": "Ada@Example.com"}})
    );
    let created_at = fetched.body["createdAt"].as_str().unwrap();
    assert_eq!(created_at.len(), "2025-01-01T12:00:00Z".len());
    assert!(created_at.ends_with('Z'));

    let identifiers = service
        .get(&format!("{}/{id}/Identifiers", profiles()))
        .await;
    assert_eq!(identifiers.status, 200);
    assert_eq!(
        identifiers.body,
        json!({"identifiers": [{"idType": "email", "values": ["ada@example.com"]}]})
    );

    let lookup = json!({"idType": "email", "value": " ADA@example.com"});
    let found = service
        .post(&format!("{}/Lookup", profiles()), &lookup)
        .await;
    assert_eq!(found.status, 200);
    assert_eq!(
        found.body,
        json!({"normalizedValue": "ada@example.com", "profiles": [id]})
    );

    let listed = service.get(&profiles()).await;
    assert_eq!(listed.status, 200);
    assert_eq!(
        listed.body,
        json!({"profiles": [id], "meta": {"key": "profiles", "pageSize": 1}})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_found_is_an_answer_with_all_members() {
    let service = TestService::start().await;
    let lookup = json!({"idType": "phone", "value": "317-555-6789"});
    let found = service
        .post(&format!("{}/Lookup", profiles()), &lookup)
        .await;
    assert_eq!(found.status, 200);
    assert_eq!(
        found.body,
        json!({"normalizedValue": "+13175556789", "profiles": []})
    );
    let listed = service.get(&profiles()).await;
    assert_eq!(
        listed.body,
        json!({"profiles": [], "meta": {"key": "profiles", "pageSize": 0}})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_filter_leaves_groups_out_and_ignores_unknown_names() {
    let service = TestService::start().await;
    let id = service.create(json!({"email": "ada@example.com"})).await;
    let path = format!("{}/{id}?traitGroups", profiles());
    let contact = json!({"Contact": {"email": "ada@example.com"}});
    assert_eq!(
        service.get(&format!("{path}=Contact,None")).await.body["traits"],
        contact
    );
    assert_eq!(
        service.get(&format!("{path}=Loyalty")).await.body["traits"],
        json!({})
    );
    service
        .get(&format!("{path}="))
        .await
        .is(400, 400)
        .names(&["traitGroups"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn content_types_of_other_clients_are_taken() {
    let service = TestService::start().await;
    let body = r#"{"traits": {"Contact": {"email": "ada@example.com"}}}"#;
    for content_type in ["application/json; charset=utf-8", "Application/JSON;x=y"] {
        let request = service.request(Method::POST, &profiles()).body(body);
        let answered = Answered::of(request.header("content-type", content_type)).await;
        assert_eq!(answered.status, 202, "{content_type}");
    }
    let form = "application/x-www-form-urlencoded";
    let list = service
        .request(Method::GET, &profiles())
        .header("content-type", form);
    assert_eq!(Answered::of(list.header("accept", "*/*")).await.status, 200);
    let picky = service
        .request(Method::GET, &profiles())
        .header("accept", "text/html");
    assert_eq!(
        Answered::of(picky.header("x-pre-auth-context", "AC1"))
            .await
            .status,
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_read_and_write_as_they_may() {
    let service = TestService::start().await;
    let body = json!({"traits": {"Contact": {"email": "ada@example.com"}}});
    let create = |user: &str| {
        let request = service.bare(Method::POST, &profiles()).json(&body);
        Answered::of(request.basic_auth(user, Some(KEY_SECRET)))
    };
    create(READ_KEY).await.is(403, 403);
    assert_eq!(service.watch.written(), 0);
    assert_eq!(create(WRITE_KEY).await.status, 202);

    let lookup = json!({"idType": "email", "value": "ada@example.com"});
    let lookup = service
        .bare(Method::POST, &format!("{}/Lookup", profiles()))
        .json(&lookup);
    let found = Answered::of(lookup.basic_auth(READ_KEY, Some(KEY_SECRET))).await;
    assert_eq!(found.status, 200);
    let list = service.bare(Method::GET, &profiles());
    let listed = Answered::of(list.basic_auth(READ_KEY, Some(KEY_SECRET))).await;
    assert_eq!(listed.body["profiles"], found.body["profiles"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_creates_of_one_person_are_one_profile() {
    let service = TestService::start().await;
    let body = json!({"traits": {"Contact": {"email": "ada@example.com"}}});
    let path = profiles();
    let creates = (0..32).map(|_| service.post(&path, &body));
    let answers = futures_util::future::join_all(creates).await;
    let ids: Vec<_> = answers
        .iter()
        .map(|answered| answered.body["id"].clone())
        .collect();
    assert!(answers.iter().all(|answered| answered.status == 202));
    let listed = service.listed().await;
    assert_eq!(listed.as_array().unwrap().len(), 1);
    for id in ids {
        let path = format!("/v1/Stores/{STORE}/Profiles/{}", id.as_str().unwrap());
        let fetched = service.get(&path).await;
        let canonical = fetched
            .header("canonical-profile-id")
            .map(Into::into)
            .unwrap_or(id);
        assert_eq!(canonical, listed[0]);
    }
}
