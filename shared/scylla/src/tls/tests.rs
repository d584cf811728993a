use std::path::PathBuf;

use openssl::asn1::Asn1Time;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::symm::Cipher;
use openssl::x509::X509NameBuilder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::error::{ConnectError, SessionError};
use crate::session::Cql;

/// A folder of this test's own.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("kith-tls-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

fn key() -> PKey<Private> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

/// A certificate that signs itself, as PEM.
fn certificate(key: &PKey<Private>) -> Vec<u8> {
    let mut name = X509NameBuilder::new().unwrap();
    name.append_entry_by_text("CN", "somebody").unwrap();
    let name = name.build();
    let mut builder = X509::builder().unwrap();
    builder.set_subject_name(&name).unwrap();
    builder.set_issuer_name(&name).unwrap();
    builder.set_pubkey(key).unwrap();
    let from = Asn1Time::days_from_now(0).unwrap();
    let until = Asn1Time::days_from_now(1).unwrap();
    builder.set_not_before(&from).unwrap();
    builder.set_not_after(&until).unwrap();
    builder.sign(key, MessageDigest::sha256()).unwrap();
    builder.build().to_pem().unwrap()
}

fn trusting(path: PathBuf) -> CqlConfig {
    CqlConfig {
        ca_file: Some(path),
        ..CqlConfig::default()
    }
}

/// Which setting is refused, and why.
fn refused(config: &CqlConfig) -> (&'static str, String) {
    match context(config) {
        Err(ConfigError::File {
            setting, problem, ..
        }) => (setting, problem),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("taken"),
    }
}

#[test]
fn without_an_authority_nothing_is_encrypted() {
    assert!(context(&CqlConfig::default()).unwrap().is_none());
}

#[test]
fn several_authorities_in_one_file_are_trusted() {
    let folder = Folder::new();
    let both = [certificate(&key()), certificate(&key())].concat();
    let config = trusting(folder.file("ca.pem", both));
    assert!(context(&config).unwrap().is_some());
}

#[test]
fn a_file_of_authorities_that_is_no_use_is_named_with_its_setting() {
    let folder = Folder::new();
    let gone = refused(&trusting(folder.0.join("gone.pem")));
    assert_eq!(gone.0, CA_FILE);
    assert!(
        gone.1.starts_with("cannot be read: No such file"),
        "{}",
        gone.1
    );
    for content in ["", "password\n"] {
        let empty = refused(&trusting(folder.file("empty.pem", content)));
        assert_eq!(empty, (CA_FILE, "holds no certificate (PEM)".to_owned()));
    }
    let mut torn = certificate(&key());
    torn.truncate(torn.len() / 2);
    let torn = refused(&trusting(folder.file("torn.pem", torn)));
    assert!(
        torn.1.starts_with("holds a damaged certificate: "),
        "{}",
        torn.1
    );
}

#[test]
fn a_certificate_of_ours_goes_with_its_own_key_and_no_other() {
    let folder = Folder::new();
    let (own, other) = (key(), key());
    let pem = |key: &PKey<Private>| key.private_key_to_pem_pkcs8().unwrap();
    let mut config = trusting(folder.file("ca.pem", certificate(&other)));
    config.cert_file = Some(folder.file("cert.pem", certificate(&own)));
    config.key_file = Some(folder.file("key.pem", pem(&own)));
    assert!(context(&config).unwrap().is_some());

    config.key_file = Some(folder.file("other.pem", pem(&other)));
    let of_another = "is not the key of KITH_CQL_CERT_FILE";
    assert_eq!(refused(&config), (KEY_FILE, of_another.to_owned()));

    let none = "holds no key (PEM, not encrypted)";
    let locked = own.private_key_to_pem_pkcs8_passphrase(Cipher::aes_128_cbc(), b"hunter2");
    for content in [locked.unwrap(), b"no key".to_vec()] {
        config.key_file = Some(folder.file("no_key.pem", content));
        assert_eq!(refused(&config), (KEY_FILE, none.to_owned()));
    }
    config.cert_file = Some(folder.file("no_cert.pem", pem(&own)));
    let none = "holds no certificate (PEM)";
    assert_eq!(refused(&config), (CERT_FILE, none.to_owned()));
}

#[test]
fn what_openssl_says_of_a_link_that_broke_is_no_failure_of_tls() {
    let broke = io::Error::from(io::ErrorKind::ConnectionReset);
    assert!(!is_failure(&broke));
    assert!(!is_failure(&io::Error::other("something else")));
}

/// What comes of connecting to somebody who reads what is said, answers with this, and hangs up.
async fn connect_to(answer: &[u8]) -> SessionError {
    let folder = Folder::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = trusting(folder.file("ca.pem", certificate(&key())));
    config.nodes = vec![listener.local_addr().unwrap().to_string()];
    let answering = async {
        loop {
            let (mut link, _) = listener.accept().await.unwrap();
            let mut heard = [0; 4_096];
            assert!(link.read(&mut heard).await.unwrap() > 0);
            link.write_all(answer).await.unwrap();
        }
    };
    let connected = tokio::select! {
        connected = Cql::connect(&config) => connected,
        () = answering => panic!("it ended"),
    };
    let error = connected.unwrap_err();
    if let ConnectError::Session(error) = error {
        error
    } else {
        panic!("{error}")
    }
}

#[tokio::test]
async fn a_node_without_tls_is_told_from_one_that_is_away() {
    // An error of CQL's, as of a node that cannot read what we said.
    let plain = connect_to(b"\x84\0\0\0\0\0\0\0\0").await;
    assert!(matches!(plain, SessionError::Untrusted(_)), "{plain:?}");
    let folder = Folder::new();
    let mut away = trusting(folder.file("ca.pem", certificate(&key())));
    away.nodes = vec!["127.0.0.1:1".to_owned()];
    let away = Cql::connect(&away).await.unwrap_err();
    let is_so = matches!(away, ConnectError::Session(SessionError::Unreachable(_)));
    assert!(is_so, "{away:?}");
}
