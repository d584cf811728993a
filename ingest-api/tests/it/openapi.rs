//! The description that the service serves, and its examples.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{
    Answered, KEY_SECRET, NO_PROFILE, READ_KEY, STORE, Setup, TestService, check_error,
};

async fn served(service: &TestService) -> Value {
    let answer = service
        .bare(Method::GET, "/openapi.json")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "application/json");
    answer.json().await.unwrap()
}

/// Every operation: its method, its path, and what is said of it.
fn operations(description: &Value) -> Vec<(Method, String, Value)> {
    let mut all = Vec::new();
    for (path, place) in description["paths"].as_object().unwrap() {
        for (verb, operation) in place.as_object().unwrap() {
            if verb != "parameters" {
                let method = verb.to_uppercase().parse().unwrap();
                all.push((method, path.clone(), operation.clone()));
            }
        }
    }
    assert_eq!(all.len(), 27);
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn anybody_may_read_the_description() {
    let service = TestService::start().await;
    assert_eq!(served(&service).await, ingest_api::description(None));
    // Credentials that nobody has do not matter.
    let request = service.bare(Method::GET, "/openapi.json");
    let answer = request.basic_auth("nobody", Some("nothing")).send().await;
    assert_eq!(answer.unwrap().status(), 200);
    assert_eq!((service.watch.written(), service.watch.read()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_names_the_public_url() {
    let url = "https://kith.example/base";
    let setup = Setup {
        public_url: Some(url.to_owned()),
        ..Setup::default()
    };
    let service = TestService::start_with(setup).await;
    assert_eq!(served(&service).await["servers"], json!([{ "url": url }]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_cache_has_is_not_sent_again() {
    let service = TestService::start().await;
    for path in ["/openapi.json", "/docs"] {
        let first = service.bare(Method::GET, path).send().await.unwrap();
        assert_eq!(first.headers()["cache-control"], "public, max-age=300");
        assert!(first.headers().contains_key("twilio-request-id"));
        let tag = first.headers()["etag"].to_str().unwrap().to_owned();
        for (given, status) in [
            (tag.clone(), 304),
            (format!("\"other\", W/{tag}"), 304),
            ("\"other\"".to_owned(), 200),
        ] {
            let request = service.bare(Method::GET, path);
            let answer = request
                .header("if-none-match", &given)
                .send()
                .await
                .unwrap();
            assert_eq!(answer.status(), status, "{given}");
            assert_eq!(answer.headers()["etag"], tag.as_str());
            let body = answer.bytes().await.unwrap();
            assert_eq!(body.is_empty(), status == 304, "{given}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_html_that_may_load_nothing() {
    let service = TestService::start().await;
    let answer = service.bare(Method::GET, "/docs").send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "text/html; charset=utf-8");
    assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
    let policy = answer.headers()["content-security-policy"]
        .to_str()
        .unwrap();
    assert!(policy.starts_with("default-src 'none'; "), "{policy}");
    let html = answer.text().await.unwrap();
    assert!(html.starts_with("<!doctype html>"), "{html}");
    for (_, _, operation) in operations(&ingest_api::description(None)) {
        let name = operation["operationId"].as_str().unwrap();
        assert!(html.contains(name), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_can_only_be_read() {
    let service = TestService::start().await;
    for path in ["/openapi.json", "/docs"] {
        for method in [Method::POST, Method::DELETE] {
            let answered = Answered::of(service.bare(method, path)).await;
            assert_eq!(answered.is(405, 20004).header("allow"), Some("GET"));
        }
    }
    // Beside them a stranger learns nothing.
    for path in ["/openapi", "/docs/", "/openapi.json/x"] {
        Answered::of(service.bare(Method::GET, path))
            .await
            .is(401, 20003);
    }
}

/// Sends the example of every operation that has a body, each to a service that has what the example needs.
#[tokio::test(flavor = "multi_thread")]
async fn every_example_is_taken() {
    let mut taken = 0;
    for (method, path, operation) in operations(&ingest_api::description(None)) {
        let example = &operation["requestBody"]["content"]["application/json"]["example"];
        if example.is_null() {
            continue;
        }
        let service = TestService::start().await;
        let profile = service
            .create(json!({"email": "countess@example.com", "street": "St James's Square"}))
            .await;
        let path = path
            .replace("{storeId}", STORE)
            .replace("{profileId}", &profile)
            .replace("{idType}", "email")
            .replace("{traitGroupName}", "Contact");
        // The harness holds it, and its answer, against the description.
        let answered = Answered::of(service.request(method, &path).json(example)).await;
        let name = &operation["operationId"];
        assert!(answered.status < 300, "{name}: {}", answered.body);
        taken += 1;
    }
    assert_eq!(taken, 11);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_to_write_is_refused_to_a_key_that_may_only_read() {
    let service = TestService::start().await;
    for (method, path, operation) in operations(&ingest_api::description(None)) {
        let path = path
            .replace("{storeId}", STORE)
            .replace("{profileId}", NO_PROFILE)
            .replace("{idType}", "email");
        let request = service
            .bare(method, &path)
            .basic_auth(READ_KEY, Some(KEY_SECRET));
        let answered = Answered::of(request).await;
        let writes = operation["responses"].get("403").is_some();
        assert_eq!(
            answered.status == 403,
            writes,
            "{}",
            operation["operationId"]
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_wants_credentials_as_it_says() {
    let service = TestService::start().await;
    for (method, path, operation) in operations(&ingest_api::description(None)) {
        let answered = Answered::of(service.bare(method, &path.replace(['{', '}'], ""))).await;
        assert_eq!(answered.status, 401, "{}", operation["operationId"]);
        check_error(401, &answered.body);
    }
}
