//! Explain: why a profile is what it is.

use kith_domain::store::StoreStatus;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{
    Answered, KEY_SECRET, NO_PROFILE, NO_STORE, OTHER_ACCOUNT, OTHER_TOKEN, READ_KEY, TestService,
    idle_store, profiles, profiles_of,
};

fn explain(profile: &str) -> String {
    format!("{}/{profile}/Explain", profiles())
}

/// Replaces what a test does not know by what it is.
fn shown(mut body: Value) -> Value {
    fn blank(value: &mut Value) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(blank),
            Value::Object(members) => {
                for (name, value) in members {
                    let text = value.as_str().unwrap_or_default();
                    match name.as_str() {
                        "createdAt" | "addedAt" | "mergedAt" => {
                            assert!(text.len() == 20 && text.ends_with('Z'), "{text}");
                            *value = "then".into();
                        }
                        "requestId" => {
                            assert!(text.len() == 34 && text.starts_with("RQ"), "{text}");
                            *value = "RQ".into();
                        }
                        _ => blank(value),
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    blank(&mut body);
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merged_profile_says_who_came_from_where_and_why() {
    let service = TestService::start().await;
    let one = service.create(json!({"email": "ada@example.com"})).await;
    let two = service.create(json!({"phone": "+13175550100"})).await;
    let joined = json!({"email": "Ada@example.com", "phone": "+1 317 555 0100"});
    assert_eq!(service.create(joined).await, one);

    let answered = service.get(&explain(&one)).await;
    assert_eq!(answered.status, 200, "{}", answered.body);
    let whole = json!({
        "id": one,
        "createdAt": "then",
        "members": [
            {"id": one, "createdAt": "then"},
            {"id": two, "createdAt": "then"},
        ],
        "identifiers": [
            {
                "idType": "email", "value": "ada@example.com", "profileId": one,
                "addedAt": "then", "requestId": "RQ",
            },
            {
                "idType": "phone", "value": "+13175550100", "profileId": two,
                "addedAt": "then", "requestId": "RQ",
            },
        ],
        "merges": [{
            "profileId": two,
            "into": one,
            "mergedAt": "then",
            "requestId": "RQ",
            "settingsVersion": 1,
            "identifiers": [
                {"idType": "email", "value": "ada@example.com", "profileId": one},
                {"idType": "phone", "value": "+13175550100", "profileId": two},
            ],
        }],
    });
    assert_eq!(shown(answered.body), whole);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_request_that_is_named_is_the_one_that_was_answered() {
    let service = TestService::start().await;
    let body = |contact: Value| json!({"traits": {"Contact": contact}});
    let first = service
        .post(&profiles(), &body(json!({"email": "ada@example.com"})))
        .await;
    service.create(json!({"phone": "+13175550100"})).await;
    let contact = json!({"email": "ada@example.com", "phone": "+13175550100"});
    let merging = service.post(&profiles(), &body(contact)).await;
    let one = first.body["id"].as_str().unwrap();

    let explained = service.get(&explain(one)).await.body;
    let request = |answered: &Answered| answered.header("twilio-request-id").unwrap().to_owned();
    assert_eq!(explained["identifiers"][0]["requestId"], request(&first));
    assert_eq!(explained["merges"][0]["requestId"], request(&merging));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_is_gone_is_not_shown_again() {
    let service = TestService::start().await;
    let one = service.create(json!({"email": "ada@example.com"})).await;
    let two = service.create(json!({"phone": "+13175550100"})).await;
    let contact = json!({"email": "ada@example.com", "phone": "+13175550100"});
    service.create(contact).await;
    let phone = format!("{}/{one}/Identifiers/phone", profiles());
    let removed = Answered::of(service.request(Method::DELETE, &phone)).await;
    assert_eq!(removed.status, 202, "{}", removed.body);

    let explained = service.get(&explain(&one)).await.body;
    assert!(
        !explained.to_string().contains("13175550100"),
        "{explained}"
    );
    assert_eq!(explained["members"][1]["id"], two);
    let carried = json!([
        {"idType": "email", "value": "ada@example.com", "profileId": one},
        {"idType": "phone"},
    ]);
    assert_eq!(explained["merges"][0]["identifiers"], carried);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_refused_as_a_fetch_is() {
    let service = TestService::start().await;
    let idle = "mem_store_00000000000000000000000007";
    service
        .add_store(idle_store(idle, StoreStatus::Provisioning))
        .await;
    let one = service.create(json!({"email": "ada@example.com"})).await;
    let mut paths = Vec::new();
    for store in [
        profiles(),
        profiles_of("nonsense"),
        profiles_of(NO_STORE),
        profiles_of(idle),
    ] {
        for profile in [
            "nonsense",
            NO_PROFILE,
            "mem_profile_0000000000000000000000000u",
        ] {
            paths.push(format!("{store}/{profile}"));
        }
    }
    for path in &paths {
        let fetched = service.get(path).await;
        let explained = service.get(&format!("{path}/Explain")).await;
        assert!(fetched.status >= 400, "{path}");
        assert_eq!(
            (explained.status, &explained.body),
            (fetched.status, &fetched.body),
            "{path}"
        );
    }
    let bare = service.bare(Method::GET, &explain(&one));
    Answered::of(bare).await.is(401, 20003);
    // Another account learns nothing, and a key that only reads may read this.
    let request = service.bare(Method::GET, &explain(&one));
    let stranger = request.basic_auth(OTHER_ACCOUNT, Some(OTHER_TOKEN));
    Answered::of(stranger).await.is(404, 520_041);
    let request = service.bare(Method::GET, &explain(&one));
    let reader = request.basic_auth(READ_KEY, Some(KEY_SECRET));
    assert_eq!(Answered::of(reader).await.status, 200);

    let path = format!("{}/{one}", profiles());
    let deleted = Answered::of(service.request(Method::DELETE, &path)).await;
    assert_eq!(deleted.status, 202);
    service.get(&explain(&one)).await.is(404, 20404);
}
