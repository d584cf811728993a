//! What only a raw connection can do: slow, broken and malformed requests.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use governor::Quota;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{
    ACCOUNT, NO_STORE, Setup, TOKEN, TestService, check_error, profiles, profiles_of,
};

/// Sends bytes and reads until the server closes.
pub(crate) async fn exchange(service: &TestService, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(service.address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    read_to_end(&mut stream).await
}

pub(crate) async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = stream.read_to_end(&mut bytes);
    let read = tokio::time::timeout(Duration::from_secs(15), read)
        .await
        .expect("closed in time");
    // A client that still has something to send is reset after the answer.
    drop(read);
    String::from_utf8(bytes).unwrap()
}

/// Status and body of an answer that closes its connection, checked for what every answer must have.
pub(crate) fn parsed(text: &str) -> (u16, Value) {
    let (head, body) = text
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("no answer: {text:?}"));
    let head = head.to_ascii_lowercase();
    assert!(head.contains("\r\ntwilio-request-id: rq"), "{head}");
    assert!(
        head.contains("\r\ncontent-type: application/json"),
        "{head}"
    );
    assert!(head.contains("\r\nconnection: close"), "{head}");
    let status = head[9..12].parse().unwrap();
    assert_eq!(head.contains("\r\nretry-after: 1\r\n"), status == 408);
    let body: Value = serde_json::from_str(body).unwrap();
    check_error(status, &body);
    (status, body)
}

pub(crate) fn head(method: &str, path: &str, more: &str) -> String {
    let credentials = BASE64_STANDARD.encode(format!("{ACCOUNT}:{TOKEN}"));
    format!(
        "{method} {path} HTTP/1.1\r\nHost: kith\r\nAuthorization: Basic {credentials}\r\n{more}\r\n"
    )
}

fn json_head(length: &str) -> String {
    head(
        "POST",
        &profiles(),
        &format!("Content-Type: application/json\r\n{length}\r\n"),
    )
}

fn quick() -> Setup {
    let mut setup = Setup::default();
    setup.limits.request_deadline = Duration::from_millis(1_000);
    setup
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_body_is_408_and_the_connection_ends() {
    let service = TestService::start_with(quick()).await;
    for length in ["Content-Length: 100", "Transfer-Encoding: chunked"] {
        let began = Instant::now();
        let text = exchange(&service, json_head(length).as_bytes()).await;
        let (status, body) = parsed(&text);
        assert_eq!((status, &body["code"]), (408, &json!(400)));
        assert!(
            began.elapsed() >= Duration::from_millis(700),
            "{:?}",
            began.elapsed()
        );
    }
    // Bytes that drip in do not buy time.
    let mut stream = TcpStream::connect(service.address).await.unwrap();
    stream
        .write_all(json_head("Content-Length: 100").as_bytes())
        .await
        .unwrap();
    let began = Instant::now();
    let mut buffer = [0; 2048];
    let first = loop {
        tokio::select! {
            read = stream.read(&mut buffer) => break read.unwrap(),
            () = tokio::time::sleep(Duration::from_millis(100)) => stream.write_all(b" ").await.unwrap(),
        }
    };
    assert!(buffer[..first].starts_with(b"HTTP/1.1 408"));
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(service.watch.written(), 0);
}

/// One answer, of a connection that goes on.
pub(crate) async fn answer_of(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let read = tokio::time::timeout(Duration::from_secs(15), stream.read_buf(&mut bytes));
        let read = read.await.expect("answered in time").unwrap();
        assert!(read > 0, "the connection ended: {bytes:?}");
        let text = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head.split("content-length: ").nth(1).unwrap();
        let length: usize = length.lines().next().unwrap().parse().unwrap();
        if body.len() == length {
            return text;
        }
    }
}

/// Under overload a new connection for each refusal would make it worse.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_whose_body_had_come_leaves_the_connection_to_the_next_request() {
    let mut setup = Setup::default();
    setup.limits.rate = Some(Quota::per_second(NonZeroU32::MIN));
    let service = TestService::start_with(setup).await;
    let body = r#"{"traits":{"Contact":{"email":"kept@example.com"}}}"#;
    let create = |path: &str| {
        let length = body.len();
        let more = format!("Content-Type: application/json\r\nContent-Length: {length}\r\n");
        head("POST", path, &more) + body
    };
    let profiles = profiles();
    let stranger = create(&profiles).replace("Basic ", "Bearer ");
    let elsewhere = create(&profiles_of(NO_STORE));
    let mut stream = TcpStream::connect(service.address).await.unwrap();
    for (request, status) in [
        (&create(&profiles), "202"),
        (&create(&profiles), "429"),
        (&create(&profiles), "429"),
        (&stranger, "401"),
        (&elsewhere, "404"),
        (&stranger, "401"),
    ] {
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = answer_of(&mut stream).await;
        assert!(
            answer.starts_with(&format!("http/1.1 {status} ")),
            "{answer}"
        );
        assert!(!answer.contains("connection: close"), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_says_it_is_too_large_is_refused_unread() {
    let service = TestService::start().await;
    let text = exchange(
        &service,
        json_head("Content-Length: 99999999999").as_bytes(),
    )
    .await;
    let (status, body) = parsed(&text);
    assert_eq!((status, &body["code"]), (413, &json!(400)));
    assert_eq!(service.watch.written(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_in_chunks_is_bounded_too() {
    let service = TestService::start().await;
    let mut request = json_head("Transfer-Encoding: chunked").into_bytes();
    for _ in 0..100 {
        request.extend_from_slice(format!("400\r\n{}\r\n", " ".repeat(1024)).as_bytes());
    }
    let (status, body) = parsed(&exchange(&service, &request).await);
    assert_eq!((status, &body["code"]), (413, &json!(400)));
    assert_eq!(service.watch.written(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_in_chunks_is_read() {
    let service = TestService::start().await;
    let body = r#"{"traits": {"Contact": {"email": "ada@example.com"}}}"#;
    let (one, two) = body.split_at(20);
    let more =
        "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n";
    let mut request = head("POST", &profiles(), more);
    for part in [one, two, ""] {
        request.push_str(&format!("{:x}\r\n{part}\r\n", part.len()));
    }
    let text = exchange(&service, request.as_bytes()).await;
    assert!(text.starts_with("HTTP/1.1 202"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_breaks_off_leaves_nothing() {
    let service = TestService::start_with(quick()).await;
    let mut stream = TcpStream::connect(service.address).await.unwrap();
    let request = format!("{}{{\"traits\"", json_head("Content-Length: 100"));
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let text = read_to_end(&mut stream).await;
    if !text.is_empty() {
        assert_eq!(parsed(&text).0, 400);
    }
    assert_eq!(service.watch.written(), 0);
    assert_eq!(service.listed().await, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_http_is_400_in_the_contracts_form() {
    let service = TestService::start().await;
    let both = json_head("Content-Length: 2\r\nTransfer-Encoding: chunked");
    for request in [
        "nonsense\r\n\r\n",
        "GET / HTTP/1.1\r\nno colon\r\n\r\n",
        "GET /\u{e9} HTTP/9.9\r\n\r\n",
        "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}\u{1}\r\n\r\n",
        &json_head("Content-Length: -1"),
        &json_head("Content-Length: 1\r\nContent-Length: 2"),
        &both,
    ] {
        let text = exchange(&service, request.as_bytes()).await;
        let (status, body) = parsed(&text);
        assert_eq!((status, &body["code"]), (400, &json!(400)), "{request:?}");
    }
    assert_eq!(service.watch.written(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_too_large_is_431_in_the_contracts_form() {
    let service = TestService::start().await;
    let mut request = head("GET", &profiles(), "");
    request.truncate(request.len() - 2);
    request.push_str(&format!("X-Long: {}\r\n\r\n", "x".repeat(200_000)));
    let (status, body) = parsed(&exchange(&service, request.as_bytes()).await);
    assert_eq!((status, &body["code"]), (431, &json!(400)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_too_slow_is_408_in_the_contracts_form() {
    let service = TestService::start().await;
    let (status, body) = parsed(&exchange(&service, b"GET / HTTP/1.1\r\nHost: k").await);
    assert_eq!((status, &body["code"]), (408, &json!(400)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_request_after_a_good_one_does_not_disturb_its_answer() {
    let service = TestService::start().await;
    let request = format!("{}nonsense\r\n\r\n", head("GET", &profiles(), ""));
    let text = exchange(&service, request.as_bytes()).await;
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    let second = &text[text.find("HTTP/1.1 400").unwrap()..];
    assert_eq!(parsed(second).0, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_asks_first_is_told_to_go_on() {
    let service = TestService::start().await;
    let body = r#"{"traits": {"Contact": {"email": "ada@example.com"}}}"#;
    let more = format!(
        "Content-Type: application/json\r\nContent-Length: {}\r\nExpect: 100-continue\r\nConnection: close\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(service.address).await.unwrap();
    stream
        .write_all(head("POST", &profiles(), &more).as_bytes())
        .await
        .unwrap();
    let mut buffer = [0; 25];
    stream.read_exact(&mut buffer).await.unwrap();
    assert_eq!(&buffer, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(body.as_bytes()).await.unwrap();
    let text = read_to_end(&mut stream).await;
    assert!(text.starts_with("HTTP/1.1 202"), "{text}");
}
