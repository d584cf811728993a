//! API keys: what one that may only read may do, and the rotation of secrets while requests go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kith_runtime::credentials::Credentials;
use kith_runtime::metrics::Metrics;
use reqwest::Method;
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::RwLock;

use crate::harness::{
    ACCOUNT, Answered, KEY_SECRET, NO_PROFILE, READ_KEY, STORE, Setup, TestService, WRITE_KEY,
    eventually, profiles,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_may_only_read_is_refused_whatever_would_write() {
    let service = TestService::start().await;
    let writes = [
        (Method::POST, "/v1/ControlPlane/Stores"),
        (Method::PATCH, "/v1/ControlPlane/Stores/{s}"),
        (Method::DELETE, "/v1/ControlPlane/Stores/{s}"),
        (Method::POST, "/v1/ControlPlane/Stores/{s}/TraitGroups"),
        (
            Method::PATCH,
            "/v1/ControlPlane/Stores/{s}/TraitGroups/Contact",
        ),
        (
            Method::DELETE,
            "/v1/ControlPlane/Stores/{s}/TraitGroups/Contact",
        ),
        (
            Method::PUT,
            "/v1/ControlPlane/Stores/{s}/IdentityResolutionSettings",
        ),
        (Method::POST, "/v1/Stores/{s}/Profiles"),
        (Method::PUT, "/v1/Stores/{s}/Profiles/Bulk"),
        (Method::PATCH, "/v1/Stores/{s}/Profiles/{p}"),
        (Method::DELETE, "/v1/Stores/{s}/Profiles/{p}"),
        (Method::POST, "/v1/Stores/{s}/Profiles/{p}/Identifiers"),
        (
            Method::PATCH,
            "/v1/Stores/{s}/Profiles/{p}/Identifiers/email",
        ),
        (
            Method::DELETE,
            "/v1/Stores/{s}/Profiles/{p}/Identifiers/email",
        ),
    ];
    let answered = async |key, method: &Method, path: &str| {
        let request = service.bare(method.clone(), path).body("nonsense");
        let request = request.basic_auth(key, Some(KEY_SECRET));
        Answered::of(request).await
    };
    for (method, path) in &writes {
        for (store, profile) in [(STORE, NO_PROFILE), ("nonsense", "nonsense")] {
            let path = path.replace("{s}", store).replace("{p}", profile);
            answered(READ_KEY, method, &path).await.is(403, 403);
        }
    }
    assert_eq!((service.watch.written(), service.watch.read()), (0, 0));
    // Another key is told what is wrong with them.
    for (method, path) in &writes {
        let path = path.replace("{s}", "nonsense").replace("{p}", "nonsense");
        let status = answered(WRITE_KEY, method, &path).await.status;
        assert!(matches!(status, 400 | 415), "{method} {path}: {status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_may_only_read_reads_everything() {
    let service = TestService::start().await;
    let profile = service.create(json!({"email": "ada@example.com"})).await;
    let control = format!("/v1/ControlPlane/Stores/{STORE}");
    let with_key = |method, path: &str| {
        let request = service.bare(method, path);
        request.basic_auth(READ_KEY, Some(KEY_SECRET))
    };
    for path in [
        profiles(),
        format!("{}/{profile}", profiles()),
        format!("{}/{profile}/Traits", profiles()),
        format!("{}/{profile}/Identifiers", profiles()),
        format!("{}/{profile}/Identifiers/email", profiles()),
        "/v1/ControlPlane/Stores".to_owned(),
        format!("{control}/TraitGroups"),
        format!("{control}/TraitGroups/Contact"),
        format!("{control}/IdentityResolutionSettings"),
        control,
    ] {
        let answered = Answered::of(with_key(Method::GET, &path)).await;
        assert_eq!(answered.status, 200, "{path}: {}", answered.body);
    }
    let lookup = with_key(Method::POST, &format!("{}/Lookup", profiles()));
    let body = json!({"idType": "email", "value": "ada@example.com"});
    let found = Answered::of(lookup.json(&body)).await;
    assert_eq!(found.body["profiles"], json!([profile]));
}

/// The file of a deployment whose key has these secrets.
fn file_with(secrets: &[&str]) -> String {
    format!(
        r#"
        [[account]]
        sid = "{ACCOUNT}"
        [[account.api_key]]
        sid = "{WRITE_KEY}"
        secret = {secrets:?}
        "#
    )
}

fn secret(number: usize) -> String {
    format!("secret number {number}")
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_with_a_valid_secret_is_refused_while_secrets_are_rotated() {
    const ROTATIONS: usize = 5;
    let metrics = Metrics::install();
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("credentials.toml");
    let write = |text: &str| std::fs::write(&path, text).unwrap();
    write(&file_with(&[&secret(0)]));
    let credentials = Credentials::read(&path).unwrap();
    let mut service = TestService::start_with(Setup {
        credentials: Some(credentials.clone()),
        ..Setup::default()
    })
    .await;
    let stage = service.lifecycle.as_mut().unwrap().stage("credentials");
    stage.component("credentials", |shutdown| {
        credentials.watch(Duration::from_millis(20), shutdown)
    });
    let service = Arc::new(service);
    let with = |service: &TestService, secret: &str| {
        let request = service.bare(Method::GET, &profiles());
        request.basic_auth(WRITE_KEY, Some(secret))
    };

    // Whoever sends a request holds on to its secret, so that it is not taken away meanwhile.
    let current = Arc::new(RwLock::new(0));
    let answered = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (service, current) = (Arc::clone(&service), Arc::clone(&current));
            let answered = Arc::clone(&answered);
            stage.task("client", async move {
                loop {
                    let number = current.read().await;
                    if *number > ROTATIONS {
                        return;
                    }
                    let answer = Answered::of(with(&service, &secret(*number))).await;
                    assert_eq!(answer.status, 200, "{}", answer.body);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();

    for number in 1..=ROTATIONS {
        let (old, new) = (secret(number - 1), secret(number));
        let status_of = async |secret: &str| Answered::of(with(&service, secret)).await.status;
        assert_eq!(status_of(&new).await, 401);
        write(&file_with(&[&old, &new]));
        eventually("the new secret is valid", async || {
            status_of(&new).await == 200
        })
        .await;
        *current.write().await = number;

        // An accident on the way changes nothing.
        write(&file_with(&[&new]).replace(WRITE_KEY, "nobody"));
        eventually("the file is refused", async || {
            metrics
                .render()
                .lines()
                .any(|line| line == "kith_credentials_stale 1")
        })
        .await;
        assert_eq!((status_of(&old).await, status_of(&new).await), (200, 200));

        write(&file_with(&[&new]));
        eventually("the old secret is not", async || {
            status_of(&old).await == 401
        })
        .await;
        assert!(
            metrics
                .render()
                .lines()
                .any(|line| line == "kith_credentials_stale 0")
        );
        let before = answered.load(Ordering::Relaxed);
        eventually("requests go on", async || {
            answered.load(Ordering::Relaxed) > before
        })
        .await;
    }
    *current.write().await = ROTATIONS + 1;
    for client in clients {
        client.await.unwrap();
    }
}
