//! Paths and methods that are not.

use reqwest::Method;
use serde_json::json;

use crate::harness::{Answered, NO_PROFILE, STORE, TestService, profiles};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_route_is_not_found() {
    let service = TestService::start().await;
    let base = profiles();
    let paths = [
        "/".to_owned(),
        "/v1".to_owned(),
        "/v2/Stores".to_owned(),
        "/v1/Stores".to_owned(),
        "/v1/stores/x/profiles".to_owned(),
        format!("/{base}"),
        format!("{base}/"),
        format!("{base}/Imports"),
        format!("{base}/{NO_PROFILE}/"),
        format!("{base}/{NO_PROFILE}/Nothing"),
        format!("{base}/{NO_PROFILE}/Identifiers/email/more"),
        "/%00/%ff/..;/x".to_owned(),
    ];
    for path in &paths {
        for method in [
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
        ] {
            let request = service.request(method, path).body("nonsense");
            Answered::of(request).await.is(404, 20404);
        }
    }
    assert_eq!((service.watch.written(), service.watch.read()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_method_is_told_which_there_are() {
    let service = TestService::start().await;
    let base = profiles();
    let cases = [
        (base.clone(), "GET, POST"),
        (format!("{base}/Lookup"), "POST"),
        (format!("{base}/Bulk"), "PUT"),
        (format!("{base}/{NO_PROFILE}"), "GET, PATCH, DELETE"),
        (format!("{base}/{NO_PROFILE}/Traits"), "GET"),
        (format!("{base}/{NO_PROFILE}/Explain"), "GET"),
        (format!("{base}/{NO_PROFILE}/Identifiers"), "GET, POST"),
        (
            format!("{base}/{NO_PROFILE}/Identifiers/email"),
            "GET, PATCH, DELETE",
        ),
        // Methods are looked at before ids.
        (format!("{base}/nonsense"), "GET, PATCH, DELETE"),
        ("/v1/ControlPlane/Stores".to_owned(), "GET, POST"),
        (
            format!("/v1/ControlPlane/Stores/{STORE}"),
            "GET, PATCH, DELETE",
        ),
        (
            format!("/v1/ControlPlane/Stores/{STORE}/TraitGroups"),
            "GET, POST",
        ),
        (
            format!("/v1/ControlPlane/Stores/{STORE}/TraitGroups/Contact"),
            "GET, PATCH, DELETE",
        ),
        (
            format!("/v1/ControlPlane/Stores/{STORE}/IdentityResolutionSettings"),
            "GET, PUT",
        ),
        ("/v1/ControlPlane/Operations/x".to_owned(), "GET"),
    ];
    let methods = [
        "GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW",
    ];
    for (path, allowed) in &cases {
        for method in methods.iter().filter(|method| !allowed.contains(**method)) {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let answered = Answered::of(service.request(method, path)).await;
            assert_eq!(answered.is(405, 20004).header("allow"), Some(*allowed));
        }
    }
    assert_eq!((service.watch.written(), service.watch.read()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn head_is_a_method_that_is_not_there() {
    let service = TestService::start().await;
    let response = service
        .request(Method::HEAD, &profiles())
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 405);
    assert_eq!(response.headers()["allow"], "GET, POST");
    assert!(response.headers().contains_key("twilio-request-id"));
    // The connection goes on to be of use.
    assert_eq!(service.listed().await, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_has_an_id_of_its_own() {
    let service = TestService::start().await;
    let mut ids = std::collections::BTreeSet::new();
    for path in [profiles(), "/".to_owned()] {
        for _ in 0..10 {
            ids.insert(
                service
                    .get(&path)
                    .await
                    .header("twilio-request-id")
                    .unwrap()
                    .to_owned(),
            );
        }
    }
    assert_eq!(ids.len(), 20);
}
