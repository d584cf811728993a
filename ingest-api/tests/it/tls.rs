//! A listener that shows a certificate: everything is as it is without, and nothing is said in the clear.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Command;
use kith_runtime::config::{SettingSet, table};
use kith_runtime::tls::ListenerTls;
use rcgen::generate_simple_self_signed;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::harness::{ACCOUNT, Setup, TOKEN, TestService, profiles};

/// A service behind a certificate of its own, and a client that trusts it.
async fn encrypted() -> (TestService, TlsConnector) {
    let dir = TempDir::new().unwrap();
    let made = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let set = SettingSet::new("test").take(table::HTTP);
    let arguments = [
        "test",
        "--tls-cert-file",
        cert.to_str().unwrap(),
        "--tls-key-file",
        key.to_str().unwrap(),
    ];
    let matches = set.parse(set.command(Command::new("test")), arguments);
    let settings = set.load_from(&matches.unwrap(), &|_| None).unwrap();
    let service = TestService::start_with(Setup {
        tls: ListenerTls::from_settings(&settings).unwrap(),
        ..Setup::default()
    })
    .await;
    (service, trusting(made.cert.der().clone()))
}

fn trusting(cert: CertificateDer<'static>) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(cert).unwrap();
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

/// Sends bytes and reads what comes until the connection ends.
async fn exchange(service: &TestService, client: &TlsConnector, bytes: &str) -> String {
    let io = TcpStream::connect(service.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut io = client.connect(name, io).await.unwrap();
    io.write_all(bytes.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // An answer has a length; how the connection ends is not what is looked at.
    let _ended = io.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

fn request(method: &str, path: &str, body: &str) -> String {
    let authorization = STANDARD.encode(format!("{ACCOUNT}:{TOKEN}"));
    format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {authorization}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn body(answer: &str) -> Value {
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_answered_over_tls_as_without_and_urls_say_so() {
    let (service, client) = encrypted().await;
    let create = r#"{"traits":{"Contact":{"email":"tls@example.com","firstName":"Ada"}}}"#;
    let answer = exchange(&service, &client, &request("POST", &profiles(), create)).await;
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    assert!(body(&answer)["id"].is_string(), "{answer}");

    let store = r#"{"displayName":"encrypted"}"#;
    let answer = request("POST", "/v1/ControlPlane/Stores", store);
    let answer = exchange(&service, &client, &answer).await;
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    let url = body(&answer)["statusUrl"].as_str().unwrap().to_owned();
    assert!(url.starts_with("https://localhost/v1/"), "{url}");

    // What never reaches the application has the contract's form here, too.
    let answer = exchange(&service, &client, "NO HTTP AT ALL\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(body(&answer)["code"].is_number(), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_speak_tls_or_trusts_somebody_else_gets_no_answer() {
    let (service, _) = encrypted().await;
    let mut io = TcpStream::connect(service.address).await.unwrap();
    let sent = request("GET", &profiles(), "");
    io.write_all(sent.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // An alert of TLS, or nothing.
    let _ended = io.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");

    let other = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let client = trusting(other.cert.der().clone());
    let io = TcpStream::connect(service.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    assert!(client.connect(name, io).await.is_err());
}
