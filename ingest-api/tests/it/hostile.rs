//! What nobody sends who means well, to every operation that takes a body and to the connection itself: a clear refusal or a
//! closed connection, nothing written, and a service that goes on as if nothing had been.

use std::fmt::Write as _;

use reqwest::Method;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::harness::{Answered, STORE, TestService, profiles};
use crate::wire::{exchange, head, parsed, read_to_end};

/// An operation that takes a body, and a body that it would take with a text in the place of `{}`.
struct Taking {
    method: Method,
    path: String,
    body: &'static str,
}

/// Every operation that takes a body. `profile` is there.
fn taking(profile: &str) -> Vec<Taking> {
    let data = profiles();
    let control = format!("/v1/ControlPlane/Stores/{STORE}");
    let taking = |method, path, body| Taking { method, path, body };
    let (post, put, patch) = (Method::POST, Method::PUT, Method::PATCH);
    vec![
        taking(
            post.clone(),
            data.clone(),
            r#"{"traits": {"Contact": {"chatId": "{}"}}}"#,
        ),
        taking(
            put.clone(),
            format!("{data}/Bulk"),
            r#"{"profiles": [{"traits": {"Contact": {"chatId": "{}"}}}]}"#,
        ),
        taking(
            post.clone(),
            format!("{data}/Lookup"),
            r#"{"idType": "chat", "value": "{}"}"#,
        ),
        taking(
            patch.clone(),
            format!("{data}/{profile}"),
            r#"{"traits": {"Contact": {"firstName": "{}"}}}"#,
        ),
        taking(
            post.clone(),
            format!("{data}/{profile}/Identifiers"),
            r#"{"idType": "chat", "value": "{}"}"#,
        ),
        taking(
            patch.clone(),
            format!("{data}/{profile}/Identifiers/chat"),
            r#"{"idType": "chat", "oldValue": "first", "newValue": "{}"}"#,
        ),
        taking(
            post.clone(),
            "/v1/ControlPlane/Stores".to_owned(),
            r#"{"displayName": "hostile", "description": "{}"}"#,
        ),
        taking(patch.clone(), control.clone(), r#"{"description": "{}"}"#),
        taking(
            post,
            format!("{control}/TraitGroups"),
            r#"{"displayName": "hostile", "description": "{}"}"#,
        ),
        taking(
            patch,
            format!("{control}/TraitGroups/Loyalty"),
            r#"{"traits": {"tier": {"dataType": "STRING", "description": "{}"}}}"#,
        ),
        taking(
            put,
            format!("{control}/IdentityResolutionSettings"),
            r#"{"identifierConfigs": [{"idType": "{}"}], "matchingRules": ["{}"]}"#,
        ),
    ]
}

async fn send(service: &TestService, to: &Taking, body: impl Into<Vec<u8>>) -> Answered {
    let request = service.request(to.method.clone(), &to.path);
    let request = request.header("content-type", "application/json");
    Answered::of(request.body(body.into())).await
}

/// A service with one profile, and what it has written for it.
async fn service_with_profile() -> (TestService, String, usize) {
    let service = TestService::start().await;
    let profile = service.create(json!({"chatId": "first"})).await;
    let written = service.watch.written();
    (service, profile, written)
}

/// It wrote nothing since, and does what it is for.
async fn is_unharmed(service: &TestService, profile: &str, written: usize) {
    assert_eq!(service.watch.written(), written);
    assert_eq!(service.listed().await, json!([profile]));
    let good = service.create(json!({"email": "ada@example.com"})).await;
    assert_eq!(service.listed().await, json!([good, profile]));
    let store = service
        .get(&format!("/v1/ControlPlane/Stores/{STORE}"))
        .await;
    assert_eq!(store.body["version"], 1, "{}", store.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_is_no_text_is_refused_wherever_it_stands() {
    let (service, profile, written) = service_with_profile().await;
    // As they stand in the document, in bytes: some are no UTF-8.
    let texts: [&[u8]; 12] = [
        br"\u0000",
        br"before\u0000after",
        b"\0",
        b"\x01",
        br"\ud800",
        br"\udc00",
        br"\ud83d\u0041",
        br"\ud83d",
        b"\xff",
        b"\xc0\x80",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
    ];
    for to in taking(&profile) {
        for text in texts {
            let body: Vec<u8> = to
                .body
                .split("{}")
                .map(str::as_bytes)
                .collect::<Vec<_>>()
                .join(text);
            let answered = send(&service, &to, body).await;
            let told = format!("{} {} {text:?}: {answered:?}", to.method, to.path);
            assert_eq!(answered.status, 400, "{told}");
        }
    }
    is_unharmed(&service, &profile, written).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nul_in_a_value_is_named_by_its_field() {
    let (service, profile, written) = service_with_profile().await;
    let nul = "a\0b@example.com";
    let traits = [
        (json!({"Contact": {"email": nul}}), "traits.Contact.email"),
        (
            json!({"Contact": {"chatId": "c", "city": nul}}),
            "traits.Contact.city",
        ),
        (
            json!({"Contact": {"chatId": "c"}, "Loyalty": {"tags": ["x", nul]}}),
            "traits.Loyalty.tags",
        ),
    ];
    for (traits, field) in traits {
        let answered = service.post(&profiles(), &json!({"traits": traits})).await;
        answered.is(400, 400).names(&[field]);
    }
    for (id_type, path) in [
        ("chat", format!("{}/Lookup", profiles())),
        ("email", format!("{}/Lookup", profiles())),
        ("phone", format!("{}/{profile}/Identifiers", profiles())),
    ] {
        let body = json!({"idType": id_type, "value": nul});
        service
            .post(&path, &body)
            .await
            .is(400, 400)
            .names(&["value"]);
    }
    // A name with one is a name that nobody defined.
    let body = json!({"traits": {"Contact\0": {"chatId": "c"}}});
    service.post(&profiles(), &body).await.is(400, 400);
    let body = json!({"traits": {"Contact": {"chat\0Id": "c"}}});
    service.post(&profiles(), &body).await.is(400, 400);
    for path in [
        format!("{}/{profile}/Identifiers/chat%00", profiles()),
        format!("/v1/ControlPlane/Stores/{STORE}/TraitGroups/Contact%00"),
    ] {
        let answered = service.get(&path).await;
        assert!(
            (400..500).contains(&answered.status),
            "{path}: {answered:?}"
        );
    }
    is_unharmed(&service, &profile, written).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_of_another_shape_is_refused_by_every_operation() {
    let (service, profile, written) = service_with_profile().await;
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(5_000), close.repeat(5_000));
    let mut documents: Vec<String> = [
        "[]",
        "null",
        "true",
        "7",
        "\"text\"",
        "[{}]",
        "{",
        "}",
        "{}}",
        "{} {}",
        "{]",
        "{\"a\"}",
        "{\"a\":}",
        "{a: 1}",
        "{'a': 1}",
        "{\"a\": 01}",
        "{\"a\": .5}",
        "{\"a\": 1e999}",
        "{\"a\": +1}",
        "{\"a\": NaN}",
        "{\"a\": 1,}",
        "\u{feff}{}",
        "// {}\n{}",
        "{\"a\": \"\n\"}",
        "{\"a\": \"\\x41\"}",
        "{\"a\": tru}",
    ]
    .map(str::to_owned)
    .into();
    documents.push(deep("[", "]"));
    documents.push(deep("{\"traits\":", "}"));
    documents.push(format!("{{\"traits\": {}}}", deep("[", "]")));
    for to in taking(&profile) {
        for document in &documents {
            let answered = send(&service, &to, document.as_str()).await;
            let shown: String = document.chars().take(40).collect();
            let told = format!("{} {} {shown}: {answered:?}", to.method, to.path);
            assert_eq!(answered.status, 400, "{told}");
        }
        // The body that would do, with its first member twice.
        let first: String = to.body[1..].split(": ").next().unwrap().to_owned();
        let twice = format!("{{{first}: null, {}", &to.body[1..]).replace("{}", "twice");
        let answered = send(&service, &to, twice).await;
        let told = format!("{} {}: {answered:?}", to.method, to.path);
        assert_eq!(answered.status, 400, "{told}");
    }
    is_unharmed(&service, &profile, written).await;
}

/// A request for a profile with these lines in its head and this body, which closes its connection.
fn creation(more: &str, body: &[u8]) -> Vec<u8> {
    let more = format!("Content-Type: application/json\r\nConnection: close\r\n{more}");
    let mut request = head("POST", &profiles(), &more).into_bytes();
    request.extend_from_slice(body);
    request
}

/// Asserts a clear refusal or a closed connection.
fn is_refused(text: &str, what: &str) {
    if text.is_empty() {
        return;
    }
    // Whoever is told to go on first is refused after it.
    let text = text.trim_start_matches("HTTP/1.1 100 Continue\r\n\r\n");
    let (status, _) = parsed(text);
    assert!((400..500).contains(&status), "{what}: {status}");
}

const GOOD: &str = r#"{"traits": {"Contact": {"chatId": "second"}}}"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_body_in_a_frame_that_does_not_fit_is_refused() {
    let (service, profile, written) = service_with_profile().await;
    let length = format!("Content-Length: {}\r\n", GOOD.len());
    let chunked = "Transfer-Encoding: chunked\r\n";
    let long = "x".repeat(300_000);
    let frames: Vec<(&str, String, String)> = vec![
        (
            "a plus",
            format!("Content-Length: +{}\r\n", GOOD.len()),
            GOOD.into(),
        ),
        (
            "in sixteens",
            format!("Content-Length: 0x{:x}\r\n", GOOD.len()),
            GOOD.into(),
        ),
        (
            "past all numbers",
            "Content-Length: 99999999999999999999999999\r\n".into(),
            GOOD.into(),
        ),
        (
            "an empty length",
            "Content-Length: \r\n".into(),
            GOOD.into(),
        ),
        (
            "a coding that nobody knows",
            "Transfer-Encoding: zebra\r\n".into(),
            GOOD.into(),
        ),
        (
            "a chunk without a size",
            chunked.into(),
            format!("\r\n{GOOD}\r\n0\r\n\r\n"),
        ),
        (
            "a chunk of a negative size",
            chunked.into(),
            format!("-1\r\n{GOOD}\r\n0\r\n\r\n"),
        ),
        (
            "a chunk of no number",
            chunked.into(),
            format!("zz\r\n{GOOD}\r\n0\r\n\r\n"),
        ),
        (
            "a chunk past all numbers",
            chunked.into(),
            format!("fffffffffffffffffff\r\n{GOOD}"),
        ),
        (
            "a chunk that says too little",
            chunked.into(),
            format!("5\r\n{GOOD}\r\n0\r\n\r\n"),
        ),
        (
            "a chunk larger than a body",
            chunked.into(),
            format!("493e0\r\n{long}\r\n0\r\n\r\n"),
        ),
        (
            "an extension larger than a body",
            chunked.into(),
            format!("2;{long}\r\n{{}}\r\n0\r\n\r\n"),
        ),
        (
            "a line end in a header",
            format!("{length}X-A: 1\r\n X-B\0: 2\r\n"),
            GOOD.into(),
        ),
        (
            "a name with a blank",
            format!("{length}X A: 1\r\n"),
            GOOD.into(),
        ),
    ];
    for (what, more, body) in frames {
        let text = exchange(&service, &creation(&more, body.as_bytes())).await;
        is_refused(&text, what);
        assert_eq!(service.watch.written(), written, "{what}");
    }
    is_unharmed(&service, &profile, written).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compressed_body_is_refused_before_it_is_unpacked() {
    let (service, profile, written) = service_with_profile().await;
    // Ten bytes of a gzip head, and blocks of zeros that say that they go on for ever.
    let mut bomb = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    bomb.extend(std::iter::repeat_n([0xec, 0xc1, 0x01, 0x01, 0], 2_000).flatten());
    for coding in [
        "gzip",
        "br",
        "deflate",
        "zstd",
        "compress",
        "gzip, gzip",
        "GZIP",
        "nonsense",
    ] {
        let more = format!(
            "Content-Encoding: {coding}\r\nContent-Length: {}\r\n",
            bomb.len()
        );
        let text = exchange(&service, &creation(&more, &bomb)).await;
        let (status, body) = parsed(&text);
        assert_eq!((status, &body["code"]), (415, &json!(400)), "{coding}");
    }
    is_unharmed(&service, &profile, written).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_of_ten_thousand_lines_is_refused() {
    let (service, profile, written) = service_with_profile().await;
    let mut lines = format!("Content-Length: {}\r\n", GOOD.len());
    for line in 0..10_000 {
        write!(lines, "X-{line}: {line}\r\n").unwrap();
    }
    let text = exchange(&service, &creation(&lines, GOOD.as_bytes())).await;
    is_refused(&text, "10,000 headers");
    // Few enough to be read, and more than anybody needs: none of them is of interest.
    let mut lines = format!("Content-Length: {}\r\n", GOOD.len());
    for line in 0..40 {
        write!(lines, "X-Unknown-{line}: {line}\r\n").unwrap();
    }
    is_unharmed(&service, &profile, written).await;
    let text = exchange(&service, &creation(&lines, GOOD.as_bytes())).await;
    assert!(text.starts_with("HTTP/1.1 202"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_no_path_is_refused() {
    let (service, profile, written) = service_with_profile().await;
    let long = "x".repeat(100_000);
    let targets = [
        format!("{}?pageToken={long}", profiles()),
        format!("/{long}"),
        format!("{}?pageSize=%00", profiles()),
        format!("{}?pageSize=%ff", profiles()),
        format!("{}?pageToken=%ff%fe", profiles()),
        format!("{}/%", profiles()),
        format!("{}/%zz", profiles()),
        format!("{}/{profile}%00", profiles()),
        format!("{}/..%2f..%2fetc", profiles()),
        "*".to_owned(),
        "nonsense".to_owned(),
        "//".to_owned(),
    ];
    for target in &targets {
        let request = head("GET", target, "Connection: close\r\n");
        let text = exchange(&service, request.as_bytes()).await;
        is_refused(&text, &target[..target.len().min(60)]);
    }
    is_unharmed(&service, &profile, written).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_asks_first_is_not_told_to_send_what_is_too_large() {
    let (service, profile, written) = service_with_profile().await;
    let more = "Content-Length: 99999999\r\nExpect: 100-continue\r\n";
    let text = exchange(&service, &creation(more, b"")).await;
    let text = text.trim_start_matches("HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(parsed(text).0, 413);
    // Something else than to be told to go on cannot be expected.
    let more = format!("Content-Length: {}\r\nExpect: nonsense\r\n", GOOD.len());
    let text = exchange(&service, &creation(&more, b"")).await;
    is_refused(&text, "an expectation that nobody knows, and no body");
    is_unharmed(&service, &profile, written).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_closes_its_half_is_answered_all_the_same() {
    let (service, profile, _) = service_with_profile().await;
    let mut stream = TcpStream::connect(service.address).await.unwrap();
    let request = creation(
        &format!("Content-Length: {}\r\n", GOOD.len()),
        GOOD.as_bytes(),
    );
    stream.write_all(&request).await.unwrap();
    stream.shutdown().await.unwrap();
    let text = read_to_end(&mut stream).await;
    assert!(text.starts_with("HTTP/1.1 202"), "{text:?}");
    let created = service.lookup("chat", "second").await;
    assert_eq!(service.listed().await, json!([created[0], profile]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_dropped_at_any_byte_leaves_nothing_behind() {
    let (service, profile, written) = service_with_profile().await;
    let request = creation(
        &format!("Content-Length: {}\r\n", GOOD.len()),
        GOOD.as_bytes(),
    );
    for end in (0..request.len()).step_by(7) {
        let mut stream = TcpStream::connect(service.address).await.unwrap();
        stream.write_all(&request[..end]).await.unwrap();
        drop(stream);
    }
    is_unharmed(&service, &profile, written).await;
}
