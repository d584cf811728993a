//! What the operations refuse, each time with nothing written.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answered, TestService, profiles};

/// Asserts that nothing was written, by ports and by what can be read.
async fn nothing_was_written(service: &TestService) {
    assert_eq!(service.watch.written(), 0);
    assert_eq!(service.listed().await, json!([]));
    assert_eq!(service.lookup("email", "ada@example.com").await, json!([]));
    assert_eq!(service.lookup("phone", "+13175550100").await, json!([]));
}

async fn create_text(service: &TestService, text: impl Into<String>) -> Answered {
    let request = service.request(Method::POST, &profiles()).body(text.into());
    Answered::of(request.header("content-type", "application/json")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_json_is_refused() {
    let service = TestService::start().await;
    let deep = format!(
        "{{\"traits\":{}{}}}",
        "[".repeat(10_000),
        "]".repeat(10_000)
    );
    for text in [
        "",
        " ",
        "{",
        "nonsense",
        r#"{"traits": {"Contact": {"email": "ada@example.com"}}"#,
        r#"{"traits": {"Contact": {"email": "ada@example.com",}}}"#,
        r#"{"traits": {"Contact": {"email": "ada@example.com"}}} {}"#,
        r#"{'traits': {}}"#,
        "{\"traits\": {\"Contact\": {\"email\": \"\u{1}\"}}}",
        r#"{"traits": {"Contact": {"email": "\ud800"}}}"#,
        r#"{"traits": {"Contact": {"email": NaN}}}"#,
        r#"{"traits": {"Loyalty": {"points": 1e999}}}"#,
        &deep,
    ] {
        create_text(&service, text).await.is(400, 400);
    }
    let request = service
        .request(Method::POST, &profiles())
        .body(vec![b'{', b'"', 0xff, b'"']);
    Answered::of(request.header("content-type", "application/json"))
        .await
        .is(400, 400);
    nothing_was_written(&service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_another_shape_is_refused_with_the_fields() {
    let service = TestService::start().await;
    let email = r#""email": "ada@example.com""#;
    let cases: &[(String, &[&str])] = &[
        ("[]".into(), &["body"]),
        ("null".into(), &["body"]),
        (r#"{"traits": []}"#.into(), &["traits"]),
        (
            r#"{"traits": {"Contact": null}}"#.into(),
            &["traits.Contact"],
        ),
        (
            format!(r#"{{"traits": {{"Contact": {{{email}}}}}, "extra": 1}}"#),
            &["extra"],
        ),
        (
            format!(r#"{{"traits": {{"Contact": {{{email}}}}}, "traits": {{}}}}"#),
            &["traits"],
        ),
        (
            format!(r#"{{"traits": {{"Contact": {{{email}}}, "Contact": {{}}}}}}"#),
            &["traits.Contact"],
        ),
        (
            format!(r#"{{"traits": {{"Contact": {{{email}, {email}}}}}}}"#),
            &["traits.Contact.email"],
        ),
    ];
    for (text, fields) in cases {
        create_text(&service, text).await.is(400, 400).names(fields);
    }
    nothing_was_written(&service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_an_identifier_is_refused() {
    let service = TestService::start().await;
    for body in [
        json!({}),
        json!({"traits": null}),
        json!({"traits": {}}),
        json!({"traits": {"Contact": {}}}),
        json!({"traits": {"Contact": {"firstName": "Ada"}}}),
        json!({"traits": {"Contact": {"email": ""}}}),
        json!({"traits": {"Contact": {"email": "  "}}}),
        json!({"traits": {"Contact": {"email": null, "firstName": "Ada"}}}),
    ] {
        service.post(&profiles(), &body).await.is(400, 400);
    }
    nothing_was_written(&service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_trait_refuses_the_whole_request_and_is_named() {
    let service = TestService::start().await;
    let long = "x".repeat(1025);
    let cases: &[(Value, &str)] = &[
        (
            json!({"Contact": {"email": 42, "phone": "+13175550100"}}),
            "traits.Contact.email",
        ),
        (
            json!({"Contact": {"email": ["a@x"]}}),
            "traits.Contact.email",
        ),
        (
            json!({"Contact": {"email": {"v": "a@x"}}}),
            "traits.Contact.email",
        ),
        (json!({"Contact": {"email": true}}), "traits.Contact.email"),
        (
            json!({"Contact": {"phone": "12345", "email": "ada@example.com"}}),
            "traits.Contact.phone",
        ),
        (
            json!({"Contact": {"email": "no at", "phone": "+13175550100"}}),
            "traits.Contact.email",
        ),
        (
            json!({"Contact": {"email": format!("{}@x", "a".repeat(254))}}),
            "traits.Contact.email",
        ),
        (
            json!({"Contact": {"email": "ada@example.com", "favouriteColour": "red"}}),
            "traits.Contact.favouriteColour",
        ),
        (
            json!({"Contact": {"email": "ada@example.com"}, "Pets": {"cat": "Mia"}}),
            "traits.Pets",
        ),
        (
            json!({"contact": {"email": "ada@example.com"}}),
            "traits.contact",
        ),
        (
            json!({"Contact": {"email": "ada@example.com", "firstName": long}}),
            "traits.Contact.firstName",
        ),
        (
            json!({"Contact": {"email": "ada@example.com", "first_name": "a", "firstName": "b"}}),
            "traits.Contact.firstName",
        ),
        (
            json!({"Contact": {"email": "ada@example.com"}, "Loyalty": {"points": "7"}}),
            "traits.Loyalty.points",
        ),
        (
            json!({"Contact": {"email": "ada@example.com"}, "Loyalty": {"points": 2_147_483_648_u32}}),
            "traits.Loyalty.points",
        ),
        (
            json!({"Contact": {"email": "ada@example.com"}, "Loyalty": {"member": "true"}}),
            "traits.Loyalty.member",
        ),
        (
            json!({"Contact": {"email": "ada@example.com"}, "Loyalty": {"tags": [["nested"]]}}),
            "traits.Loyalty.tags",
        ),
        (
            json!({"Contact": {"email": "ada@example.com"}, "Loyalty": {"tags": [null]}}),
            "traits.Loyalty.tags",
        ),
        (
            json!({"Contact": {"email": "ada@example.com"}, "Loyalty": {"tags": vec![1; 101]}}),
            "traits.Loyalty.tags",
        ),
    ];
    for (traits, field) in cases {
        let answered = service.post(&profiles(), &json!({"traits": traits})).await;
        answered.is(400, 400).names(&[field]);
        assert!(
            !answered.body.to_string().contains("ada@"),
            "{}",
            answered.body
        );
    }
    nothing_was_written(&service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_the_limits_of_a_body_is_refused() {
    let service = TestService::start().await;
    let many = |count: usize, name: &str| -> Value {
        let members = (0..count).map(|at| (format!("{name}{at}"), json!({})));
        members.collect::<serde_json::Map<_, _>>().into()
    };
    let body = json!({"traits": many(51, "group")});
    service
        .post(&profiles(), &body)
        .await
        .is(400, 400)
        .names(&["traits"]);
    let body = json!({"traits": {"Contact": many(100, "trait")}});
    service
        .post(&profiles(), &body)
        .await
        .is(400, 400)
        .names(&["traits.Contact"]);
    nothing_was_written(&service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_not_plain_json_is_refused() {
    let service = TestService::start().await;
    let body = r#"{"traits": {"Contact": {"email": "ada@example.com"}}}"#;
    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonx",
        "json",
        "",
    ] {
        let request = service.request(Method::POST, &profiles()).body(body);
        Answered::of(request.header("content-type", content_type))
            .await
            .is(415, 400);
    }
    Answered::of(service.request(Method::POST, &profiles()).body(body))
        .await
        .is(415, 400);
    let zipped = service.request(Method::POST, &profiles()).body(body);
    let zipped = zipped
        .header("content-type", "application/json")
        .header("content-encoding", "gzip");
    Answered::of(zipped).await.is(415, 400);
    nothing_was_written(&service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_large_is_refused() {
    let service = TestService::start().await;
    let padding = " ".repeat(64 * 1024 - 2);
    create_text(&service, format!("{{}}{padding}"))
        .await
        .is(400, 400);
    create_text(&service, format!("{{}} {padding}"))
        .await
        .is(413, 400);
    create_text(&service, format!("{{}}{}", " ".repeat(10 << 20)))
        .await
        .is(413, 400);
    nothing_was_written(&service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_lookup_is_refused() {
    let service = TestService::start().await;
    let path = format!("{}/Lookup", profiles());
    let long = "x".repeat(256);
    let cases: &[(Value, &[&str])] = &[
        (json!({}), &["idType", "value"]),
        (json!([]), &["body"]),
        (json!({"idType": "email"}), &["value"]),
        (json!({"value": "ada@example.com"}), &["idType"]),
        (json!({"idType": 1, "value": null}), &["idType", "value"]),
        (
            json!({"idType": "email", "value": "ada@example.com", "extra": 1}),
            &["extra"],
        ),
        (
            json!({"idType": "e", "value": "ada@example.com"}),
            &["idType"],
        ),
        (
            json!({"idType": "x".repeat(31), "value": "ada@example.com"}),
            &["idType"],
        ),
        (
            json!({"idType": "phone_number", "value": "+13175550100"}),
            &["idType"],
        ),
        (
            json!({"idType": "Email", "value": "ada@example.com"}),
            &["idType"],
        ),
        (json!({"idType": "email", "value": ""}), &["value"]),
        (json!({"idType": "email", "value": " \t "}), &["value"]),
        (json!({"idType": "email", "value": "no at"}), &["value"]),
        (json!({"idType": "phone", "value": "12345"}), &["value"]),
        (json!({"idType": "chat", "value": long}), &["value"]),
    ];
    for (body, fields) in cases {
        service.post(&path, body).await.is(400, 400).names(fields);
    }
    for text in ["", "{", r#"{"idType":"email","value":"a@b"} x"#] {
        let request = service.request(Method::POST, &path).body(text);
        let request = request.header("content-type", "application/json");
        Answered::of(request).await.is(400, 400);
    }
    let twice = r#"{"idType":"email","value":"a@b","idType":"email"}"#;
    let request = service.request(Method::POST, &path).body(twice);
    let request = request.header("content-type", "application/json");
    Answered::of(request).await.is(400, 400).names(&["idType"]);
    nothing_was_written(&service).await;
}
