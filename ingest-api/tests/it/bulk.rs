//! Many creates in one request.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{
    Answered, KEY_SECRET, NO_STORE, READ_KEY, TestService, profiles, profiles_of,
};

impl TestService {
    async fn bulk(&self, items: &Value) -> Answered {
        let path = format!("{}/Bulk", profiles());
        let body = json!({"profiles": items});
        Answered::of(self.request(Method::PUT, &path).json(&body)).await
    }
}

fn contact(contact: Value) -> Value {
    json!({"traits": {"Contact": contact}})
}

#[tokio::test(flavor = "multi_thread")]
async fn items_of_one_person_become_one_profile() {
    let service = TestService::start().await;
    let records = service.watch.published();
    let answered = service
        .bulk(&json!([
            contact(json!({"email": "ada@example.com", "firstName": "A"})),
            contact(json!({"phone": "+13175550100"})),
            contact(json!({"email": "ada@example.com", "phone": "317-555-0100", "firstName": "B"})),
            contact(json!({"chatId": "somebody else"})),
        ]))
        .await;
    assert_eq!(answered.status, 202, "{}", answered.body);
    let expected = json!({"message": "Profile batch accepted for processing."});
    assert_eq!(answered.body, expected);
    let listed = service.listed().await;
    assert_eq!(listed.as_array().unwrap().len(), 2);
    let owner = service.lookup("email", "ada@example.com").await;
    assert_eq!(owner, service.lookup("phone", "+13175550100").await);
    assert_ne!(owner, service.lookup("chat", "somebody else").await);
    // One event for what is not promoted; the other person has nothing of the kind.
    assert!(service.watch.published() > records);
    // Sent again it finds the same.
    service
        .bulk(&json!([contact(json!({"phone": "3175550100"}))]))
        .await;
    assert_eq!(service.listed().await, listed);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_wrong_item_refuses_all_and_is_named() {
    let service = TestService::start().await;
    let good = contact(json!({"email": "ada@example.com"}));
    let large: Vec<String> = (0..64).map(|_| "a".repeat(1024)).collect();
    let items = json!([
        good,
        contact(json!({"email": 42, "unknown": 1})),
        {},
        contact(json!({"firstName": "Ada"})),
        {"traits": {"Contact": {"email": "b@example.com"}, "Loyalty": {"tags": large}}},
    ]);
    service.bulk(&items).await.is(400, 400).names(&[
        "profiles[1].traits.Contact.email",
        "profiles[1].traits.Contact.unknown",
        "profiles[2].traits",
        "profiles[3].traits",
        "profiles[4]",
    ]);
    service
        .bulk(&json!([]))
        .await
        .is(400, 400)
        .names(&["profiles"]);
    let many: Vec<Value> = (0..1001)
        .map(|_| contact(json!({"email": "a@b"})))
        .collect();
    service
        .bulk(&json!(many))
        .await
        .is(400, 400)
        .names(&["profiles"]);
    let wrong: Vec<Value> = (0..30)
        .map(|_| contact(json!({"firstName": "Ada"})))
        .collect();
    let refused = service.bulk(&json!(wrong)).await;
    assert_eq!(
        refused.body["details"]["errors"].as_array().unwrap().len(),
        20
    );
    assert_eq!(service.watch.written(), 0);
    assert_eq!(service.listed().await, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_body_has_a_bound_of_its_own() {
    let service = TestService::start().await;
    let item = |n: usize| {
        let tags: Vec<String> = (0..30).map(|_| "a".repeat(1000)).collect();
        json!({"traits": {"Contact": {"email": format!("{n}@example.com")}, "Loyalty": {"tags": tags}}})
    };
    // Larger than what other bodies may be.
    let items: Vec<Value> = (0..4).map(item).collect();
    assert_eq!(service.bulk(&json!(items)).await.status, 202);
    let items: Vec<Value> = (0..5).map(item).collect();
    service.bulk(&json!(items)).await.is(413, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn bulk_is_a_write_of_a_store() {
    let service = TestService::start().await;
    let body = json!({"profiles": [contact(json!({"email": "ada@example.com"}))]});
    let path = format!("{}/Bulk", profiles());
    let reader = service
        .bare(Method::PUT, &path)
        .basic_auth(READ_KEY, Some(KEY_SECRET));
    Answered::of(reader.json(&body)).await.is(403, 403);
    let path = format!("{}/Bulk", profiles_of(NO_STORE));
    let nobodys = service.request(Method::PUT, &path).json(&body);
    Answered::of(nobodys).await.is(404, 520_041);
    assert_eq!(service.watch.written(), 0);
}
