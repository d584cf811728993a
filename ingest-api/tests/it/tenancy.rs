//! Two accounts on one service: whatever one of them asks about the other's things, it is answered as if they were not there, and
//! the database is asked the same. Every operation that there is.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{
    ACCOUNT, Answered, NO_PROFILE, OTHER_ACCOUNT, OTHER_STORE, OTHER_TOKEN, STORE, TestService,
    profiles_of, store_record,
};

/// Every operation: its method, its path and a body that would do.
const OPERATIONS: [(&str, &str, &str); 27] = [
    ("GET", "/v1/Stores/{s}/Profiles", ""),
    ("POST", "/v1/Stores/{s}/Profiles", TRAITS),
    ("POST", "/v1/Stores/{s}/Profiles/Lookup", IDENTIFIER),
    ("PUT", "/v1/Stores/{s}/Profiles/Bulk", BULK),
    ("GET", "/v1/Stores/{s}/Profiles/{p}", ""),
    ("PATCH", "/v1/Stores/{s}/Profiles/{p}", TRAITS),
    ("DELETE", "/v1/Stores/{s}/Profiles/{p}", ""),
    ("GET", "/v1/Stores/{s}/Profiles/{p}/Traits", ""),
    ("GET", "/v1/Stores/{s}/Profiles/{p}/Explain", ""),
    ("GET", "/v1/Stores/{s}/Profiles/{p}/Identifiers", ""),
    (
        "POST",
        "/v1/Stores/{s}/Profiles/{p}/Identifiers",
        IDENTIFIER,
    ),
    ("GET", "/v1/Stores/{s}/Profiles/{p}/Identifiers/email", ""),
    (
        "PATCH",
        "/v1/Stores/{s}/Profiles/{p}/Identifiers/email",
        CHANGE,
    ),
    (
        "DELETE",
        "/v1/Stores/{s}/Profiles/{p}/Identifiers/email",
        "",
    ),
    ("GET", "/v1/ControlPlane/Stores", ""),
    ("POST", "/v1/ControlPlane/Stores", NAME),
    ("GET", "/v1/ControlPlane/Stores/{s}", ""),
    ("PATCH", "/v1/ControlPlane/Stores/{s}", NAME),
    ("DELETE", "/v1/ControlPlane/Stores/{s}", ""),
    ("GET", "/v1/ControlPlane/Stores/{s}/TraitGroups", ""),
    ("POST", "/v1/ControlPlane/Stores/{s}/TraitGroups", NAME),
    ("GET", "/v1/ControlPlane/Stores/{s}/TraitGroups/Contact", ""),
    (
        "PATCH",
        "/v1/ControlPlane/Stores/{s}/TraitGroups/Contact",
        "{}",
    ),
    (
        "DELETE",
        "/v1/ControlPlane/Stores/{s}/TraitGroups/Loyalty",
        "",
    ),
    (
        "GET",
        "/v1/ControlPlane/Stores/{s}/IdentityResolutionSettings",
        "",
    ),
    (
        "PUT",
        "/v1/ControlPlane/Stores/{s}/IdentityResolutionSettings",
        SETTINGS,
    ),
    ("GET", "/v1/ControlPlane/Operations/{o}", ""),
];
const TRAITS: &str = r#"{"traits": {"Contact": {"email": "ada@example.com"}}}"#;
const BULK: &str = r#"{"profiles": [{"traits": {"Contact": {"email": "ada@example.com"}}}]}"#;
const IDENTIFIER: &str = r#"{"idType": "email", "value": "ada@example.com"}"#;
const CHANGE: &str =
    r#"{"idType": "email", "oldValue": "ada@example.com", "newValue": "b@example.com"}"#;
const NAME: &str = r#"{"displayName": "of-the-second"}"#;
const SETTINGS: &str =
    r#"{"identifierConfigs": [{"idType": "email"}], "matchingRules": ["email"]}"#;

/// What one request came to: all of it that a caller or the database could tell apart, without the ids that it named.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
    statements: Vec<String>,
    written: usize,
}

/// A request of the second account, about these ids.
async fn seen(
    service: &TestService,
    (method, path, body): (&str, &str, &str),
    ids: &[(&str, &str)],
) -> Seen {
    let blot = |text: &str| {
        ids.iter()
            .fold(text.to_owned(), |text, (place, id)| text.replace(id, place))
    };
    let path = ids
        .iter()
        .fold(path.to_owned(), |path, (place, id)| path.replace(place, id));
    let mut request = service
        .bare(method.parse::<Method>().unwrap(), &path)
        .basic_auth(OTHER_ACCOUNT, Some(OTHER_TOKEN));
    if !body.is_empty() {
        request = request
            .header("content-type", "application/json")
            .body(body.to_owned());
    }
    drop(service.watch.statements());
    let written = service.watch.written();
    let answered = Answered::of(request).await;
    // Names of the contract's own, and those that differ with every answer.
    let headers = answered.headers.iter().filter(|(name, _)| {
        !["date", "twilio-request-id", "traceresponse"].contains(&name.as_str())
    });
    Seen {
        status: answered.status,
        headers: headers
            .map(|(name, value)| (name.to_string(), blot(value.to_str().unwrap())))
            .collect(),
        body: blot(&answered.body.to_string()),
        statements: service
            .watch
            .statements()
            .iter()
            .map(|one| blot(one))
            .collect(),
        written: service.watch.written() - written,
    }
}

/// A store id that nobody used before.
fn store_id(number: usize) -> String {
    format!("mem_store_0000000000000000000000{number:04}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_another_account_is_like_one_that_is_not_there() {
    let service = TestService::start().await;
    let mut walked = 0;
    for (place, operation) in OPERATIONS.into_iter().enumerate() {
        if !operation.1.contains("{s}") {
            continue;
        }
        // Both are met for the first time: what is known of a store for two seconds tells nothing here.
        let (foreign, absent) = (store_id(1_000 + place), store_id(2_000 + place));
        service.add_store(store_record(ACCOUNT, &foreign)).await;
        let created = service
            .post(
                &profiles_of(&foreign),
                &serde_json::from_str(TRAITS).unwrap(),
            )
            .await;
        let profile = created.body["id"].as_str().unwrap();
        let of_another = seen(&service, operation, &[("{s}", &foreign), ("{p}", profile)]).await;
        let of_nobody = seen(
            &service,
            operation,
            &[("{s}", &absent), ("{p}", NO_PROFILE)],
        )
        .await;
        assert_eq!(of_another, of_nobody, "{operation:?}");
        assert_eq!(of_another.status, 404, "{operation:?}: {of_another:?}");
        assert!(of_another.body.contains("520041"), "{of_another:?}");
        assert_eq!(of_another.written, 0, "{operation:?}");
        assert!(!of_another.statements.is_empty(), "{operation:?}");

        // Nothing became of it where it was meant for, either.
        let path = format!("{}/{profile}", profiles_of(&foreign));
        let kept = service.get(&path).await;
        assert_eq!(kept.body["traits"]["Contact"]["email"], "ada@example.com");
        let path = format!("/v1/ControlPlane/Stores/{foreign}");
        assert_eq!(service.get(&path).await.body["version"], 1);
        walked += 1;
    }
    assert_eq!(walked, 24);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_of_another_account_is_like_one_that_is_not_there() {
    let service = TestService::start().await;
    let profile = service.create(json!({"email": "ada@example.com"})).await;
    // The store is known before, so that the first operation is like the others.
    let first = ("GET", "/v1/Stores/{s}/Profiles", "");
    seen(&service, first, &[("{s}", OTHER_STORE)]).await;
    let mut walked = 0;
    for operation in OPERATIONS {
        if !operation.1.contains("{p}") {
            continue;
        }
        let store = ("{s}", OTHER_STORE);
        let of_another = seen(&service, operation, &[store, ("{p}", &profile)]).await;
        let of_nobody = seen(&service, operation, &[store, ("{p}", NO_PROFILE)]).await;
        let without_store = |seen: &Seen| {
            let statements = seen.statements.iter();
            // Read again every two seconds, whoever asks.
            let statements = statements.filter(|one| !one.starts_with("store "));
            statements.cloned().collect::<Vec<_>>()
        };
        assert_eq!(without_store(&of_another), without_store(&of_nobody));
        assert!(!without_store(&of_another).is_empty(), "{operation:?}");
        let answer = |seen: Seen| (seen.status, seen.headers, seen.body, seen.written);
        let (of_another, of_nobody) = (answer(of_another), answer(of_nobody));
        assert_eq!(of_another, of_nobody, "{operation:?}");
        assert_eq!(of_another.0, 404, "{operation:?}: {of_another:?}");
        assert_eq!(of_another.3, 0, "{operation:?}");
        walked += 1;
    }
    assert_eq!(walked, 10);
    assert_eq!(service.listed().await, json!([profile]));
    assert_eq!(
        service.lookup("email", "ada@example.com").await,
        json!([profile])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_of_another_account_is_like_one_that_is_not_there() {
    let service = TestService::start().await;
    let body: Value = serde_json::from_str(NAME).unwrap();
    let made = service.post("/v1/ControlPlane/Stores", &body).await;
    let foreign = made.header("operation-id").unwrap().to_owned();
    let path = format!("/v1/ControlPlane/Operations/{foreign}");
    assert_eq!(service.get(&path).await.status, 200);
    let absent = "mem_operation_00000000000000000000000009";
    let operation = ("GET", "/v1/ControlPlane/Operations/{o}", "");
    let of_another = seen(&service, operation, &[("{o}", &foreign)]).await;
    let of_nobody = seen(&service, operation, &[("{o}", absent)]).await;
    assert_eq!(of_another, of_nobody);
    assert_eq!(of_another.status, 404);
    assert!(of_another.body.contains("520052"), "{of_another:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_names_no_id_is_about_the_own_account_alone() {
    let service = TestService::start().await;
    let person = json!({"email": "ada@example.com", "phone": "+13175550100"});
    let theirs = service.create(person).await;
    let store = ("{s}", OTHER_STORE);
    let about = async |operation: (&str, &str)| {
        let found = OPERATIONS
            .into_iter()
            .find(|(method, path, _)| (*method, *path) == operation);
        let seen = seen(&service, found.unwrap(), &[store]).await;
        (
            seen.status,
            serde_json::from_str::<Value>(&seen.body).unwrap(),
        )
    };
    // The same values name somebody else.
    let lookup = ("POST", "/v1/Stores/{s}/Profiles/Lookup");
    assert_eq!(about(lookup).await.1["profiles"], json!([]));
    let (status, body) = about(("POST", "/v1/Stores/{s}/Profiles")).await;
    assert_eq!(status, 202);
    let own = body["id"].clone();
    assert_ne!(own, json!(theirs));
    assert_eq!(about(("PUT", "/v1/Stores/{s}/Profiles/Bulk")).await.0, 202);
    assert_eq!(about(lookup).await.1["profiles"], json!([own]));
    let (_, listed) = about(("GET", "/v1/Stores/{s}/Profiles")).await;
    assert_eq!(listed["profiles"], json!([own]));
    assert_eq!(service.listed().await, json!([theirs]));

    // Names of stores are taken in the own account only.
    let body: Value = serde_json::from_str(NAME).unwrap();
    let first = service.post("/v1/ControlPlane/Stores", &body).await;
    assert_eq!(first.status, 202, "{}", first.body);
    assert_eq!(about(("POST", "/v1/ControlPlane/Stores")).await.0, 202);
    let (_, stores) = about(("GET", "/v1/ControlPlane/Stores")).await;
    let stores = stores["stores"].as_array().unwrap();
    assert_eq!(stores.len(), 2, "{stores:?}");
    // Its own store is blotted out by what the request named.
    assert!(stores.contains(&json!("{s}")) && !stores.contains(&json!(STORE)));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_of_every_path_was_walked() {
    let service = TestService::start().await;
    let mut walked: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (method, path, _) in OPERATIONS {
        walked
            .entry(path.trim_end_matches("Contact").trim_end_matches("Loyalty"))
            .or_default()
            .insert(method);
    }
    let description = ingest_api::description(None);
    assert_eq!(
        walked.len(),
        description["paths"].as_object().unwrap().len()
    );
    for (path, methods) in walked {
        let path = path.replace("{s}", STORE).replace("{p}", NO_PROFILE);
        let path = if path.ends_with("TraitGroups/") {
            format!("{path}Contact")
        } else {
            path
        };
        let request = service.request(Method::from_bytes(b"BREW").unwrap(), &path);
        let answered = Answered::of(request).await;
        let allowed = answered.is(405, 20004).header("allow").unwrap();
        assert_eq!(
            allowed.split(", ").collect::<BTreeSet<_>>(),
            methods,
            "{path}"
        );
    }
}
