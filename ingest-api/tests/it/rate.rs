//! The rate limit: who is refused, with what, and who is not.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use governor::Quota;
use kith_runtime::metrics::Metrics;
use reqwest::Method;
use serde_json::json;

use crate::harness::{
    Answered, KEY_SECRET, NO_STORE, OTHER_ACCOUNT, OTHER_STORE, OTHER_TOKEN, READ_KEY, Setup,
    TestService, WRITE_KEY, profiles, profiles_of,
};

fn limited(quota: Quota) -> Setup {
    let mut setup = Setup::default();
    setup.limits.rate = Some(quota);
    setup
}

/// So many, and no more while a test runs.
fn only(requests: u32) -> Setup {
    let burst = NonZeroU32::new(requests).unwrap();
    let hour = Duration::from_secs(3_600);
    limited(Quota::with_period(hour).unwrap().allow_burst(burst))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_one_too_many_is_429_and_costs_nothing() {
    let metrics = Metrics::install();
    let service = TestService::start_with(only(3)).await;
    service.create(json!({"email": "ada@example.com"})).await;
    // The account's keys share what it has, and what fails counts.
    let with_key = |key| {
        let request = service.bare(Method::POST, &profiles()).body("nonsense");
        request.basic_auth(key, Some(KEY_SECRET))
    };
    Answered::of(with_key(READ_KEY)).await.is(403, 403);
    Answered::of(with_key(WRITE_KEY)).await.is(415, 400);

    let (written, read) = (service.watch.written(), service.watch.read());
    for key in [READ_KEY, WRITE_KEY] {
        Answered::of(with_key(key)).await.is(429, 20429);
    }
    let answered = service.get(&profiles()).await;
    let after: u64 = answered
        .is(429, 20429)
        .header("retry-after")
        .unwrap()
        .parse()
        .unwrap();
    assert!((3_000..=3_600).contains(&after), "{after}");
    assert_eq!(
        (service.watch.written(), service.watch.read()),
        (written, read)
    );
    assert!(
        metrics
            .render()
            .contains("kith_http_refused_total{reason=\"rate_limit\"}")
    );

    // A stranger is that, and nothing else; other stores, other accounts and the control plane go on.
    Answered::of(service.bare(Method::GET, &profiles()))
        .await
        .is(401, 20003);
    service.get(&profiles_of(NO_STORE)).await.is(404, 520_041);
    assert_eq!(service.get("/v1/ControlPlane/Stores").await.status, 200);
    let as_other = |store| {
        let request = service.bare(Method::GET, &profiles_of(store));
        request.basic_auth(OTHER_ACCOUNT, Some(OTHER_TOKEN))
    };
    assert_eq!(Answered::of(as_other(OTHER_STORE)).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_somebody_else_is_limited_like_one_that_does_not_exist() {
    let service = TestService::start_with(only(2)).await;
    for store in [OTHER_STORE, NO_STORE] {
        for _ in 0..2 {
            service.get(&profiles_of(store)).await.is(404, 520_041);
        }
        service.get(&profiles_of(store)).await.is(429, 20429);
    }
    // Nothing of it was taken from its owner.
    let request = service.bare(Method::GET, &profiles_of(OTHER_STORE));
    let owner = Answered::of(request.basic_auth(OTHER_ACCOUNT, Some(OTHER_TOKEN))).await;
    assert_eq!(owner.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_about_no_store_share_one_limit() {
    let service = TestService::start_with(only(2)).await;
    assert_eq!(service.get("/v1/ControlPlane/Stores").await.status, 200);
    service.get(&profiles_of("nonsense")).await.is(400, 520_049);
    service.get("/v1/ControlPlane/Stores").await.is(429, 20429);
    service
        .get("/v1/ControlPlane/Operations/nonsense")
        .await
        .is(429, 20429);
    assert_eq!(service.get(&profiles()).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_as_long_as_is_said_is_let_in() {
    let one = NonZeroU32::MIN;
    let service = TestService::start_with(limited(Quota::per_second(one))).await;
    let deadline = Instant::now() + Duration::from_secs(10);
    let refused = loop {
        let answered = service.get(&profiles()).await;
        if answered.status == 429 {
            break answered;
        }
        assert!(Instant::now() < deadline, "nobody is refused");
    };
    assert_eq!(refused.is(429, 20429).header("retry-after"), Some("1"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(service.get(&profiles()).await.status, 200);
}
