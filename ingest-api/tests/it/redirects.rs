//! Profiles that were merged away.

use serde_json::json;

use crate::harness::{Answered, STORE, Setup, TestService, profiles};

/// Three profiles in a chain, and the first of them.
async fn chain(service: &TestService) -> [String; 3] {
    let one = service.create(json!({"email": "ada@example.com"})).await;
    let two = service.create(json!({"phone": "+13175550100"})).await;
    let three = service.create(json!({"chatId": "c"})).await;
    let joined = service
        .create(json!({"phone": "+13175550100", "chatId": "c"}))
        .await;
    assert_eq!(joined, two);
    let joined = service
        .create(json!({"email": "ada@example.com", "phone": "+13175550100"}))
        .await;
    assert_eq!(joined, one);
    [one, two, three]
}

fn leads_to(answered: &Answered, location: &str, canonical: &str) {
    assert_eq!(answered.status, 301);
    assert_eq!(answered.header("location"), Some(location));
    assert_eq!(answered.header("canonical-profile-id"), Some(canonical));
    assert_eq!(answered.header("cache-control"), Some("no-store"));
    let body = json!({"message": "This resource has moved.", "uri": location});
    assert_eq!(answered.body, body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merged_id_leads_straight_to_the_canonical_profile() {
    let service = TestService::start().await;
    let [one, two, three] = chain(&service).await;
    let base = format!("http://{}{}", service.address, profiles());
    for merged in [two, three] {
        let answered = service.get(&format!("{}/{merged}", profiles())).await;
        leads_to(&answered, &format!("{base}/{one}"), &one);
        let answered = service
            .get(&format!("{}/{merged}/Identifiers", profiles()))
            .await;
        leads_to(&answered, &format!("{base}/{one}/Identifiers"), &one);
        let answered = service
            .get(&format!("{}/{merged}/Explain", profiles()))
            .await;
        leads_to(&answered, &format!("{base}/{one}/Explain"), &one);
    }
    assert_eq!(
        service.get(&format!("{}/{one}", profiles())).await.status,
        200
    );
    assert_eq!(service.lookup("chat", "c").await, json!([one]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_query_is_kept_as_it_was_sent() {
    let service = TestService::start().await;
    let [one, two, _] = chain(&service).await;
    let query = "?traitGroups=Contact%2C%20Loyalty&x=%C3%A9+&y";
    let answered = service.get(&format!("{}/{two}{query}", profiles())).await;
    let location = format!("http://{}{}/{one}{query}", service.address, profiles());
    leads_to(&answered, &location, &one);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_url_is_the_base_of_all_redirects() {
    let service = TestService::start_with(Setup {
        public_url: Some("https://memory.kith.example/base".to_owned()),
        ..Setup::default()
    })
    .await;
    let [one, two, _] = chain(&service).await;
    let answered = service.get(&format!("{}/{two}", profiles())).await;
    let location = format!("https://memory.kith.example/base/v1/Stores/{STORE}/Profiles/{one}");
    leads_to(&answered, &location, &one);
}
