use std::path::Path;

use rcgen::{CertifiedKey as Made, generate_simple_self_signed};
use tempfile::TempDir;

use super::*;

fn made(name: &str) -> Made<rcgen::KeyPair> {
    generate_simple_self_signed([name.to_owned()]).unwrap()
}

fn files(dir: &Path) -> Files {
    Files {
        cert: dir.join("cert.pem"),
        key: dir.join("key.pem"),
    }
}

fn write(files: &Files, made: &Made<rcgen::KeyPair>) {
    std::fs::write(&files.cert, made.cert.pem()).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
}

fn shown(tls: &ListenerTls) -> Vec<u8> {
    tls.shown.0.load().cert[0].to_vec()
}

#[test]
fn a_file_that_is_not_what_it_should_be_is_named_and_its_content_is_not() {
    let dir = TempDir::new().unwrap();
    let files = files(dir.path());
    let fault = |files: &Files| ListenerTls::read(files.clone()).unwrap_err();
    assert_eq!(fault(&files).setting, &TLS_CERT_FILE);
    let (one, other) = (made("one.example"), made("other.example"));
    write(&files, &one);
    ListenerTls::read(files.clone()).unwrap();

    std::fs::write(&files.key, other.signing_key.serialize_pem()).unwrap();
    assert_eq!(fault(&files).setting, &TLS_CERT_FILE, "not its key");
    std::fs::write(&files.key, "hunter2").unwrap();
    let wrong = fault(&files);
    assert_eq!(wrong.setting, &TLS_KEY_FILE);
    assert!(!wrong.reason.contains("hunter2"), "{}", wrong.reason);
    std::fs::remove_file(&files.key).unwrap();
    assert_eq!(fault(&files).setting, &TLS_KEY_FILE);
    write(&files, &one);
    std::fs::write(&files.cert, "no certificate").unwrap();
    assert_eq!(fault(&files).setting, &TLS_CERT_FILE);
}

#[test]
fn files_that_changed_since_the_start_are_shown() {
    let dir = TempDir::new().unwrap();
    let files = files(dir.path());
    write(&files, &made("one.example"));
    let tls = ListenerTls::read(files.clone()).unwrap();
    let other = made("other.example");
    write(&files, &other);
    let mut watched = Watched::new(tls.clone());
    (0..2).for_each(|_| watched.look());
    assert_eq!(shown(&tls), other.cert.der().to_vec());
}

#[test]
fn another_certificate_is_shown_once_it_is_whole_and_nothing_else_ever() {
    let dir = TempDir::new().unwrap();
    let files = files(dir.path());
    let (one, other) = (made("one.example"), made("other.example"));
    write(&files, &one);
    let tls = ListenerTls::read(files.clone()).unwrap();
    let mut watched = Watched::new(tls.clone());
    (0..2).for_each(|_| watched.look());
    assert_eq!(shown(&tls), one.cert.der().to_vec());

    // Certificate first, its key later: as copies of two files go.
    std::fs::write(&files.cert, other.cert.pem()).unwrap();
    (0..3).for_each(|_| watched.look());
    assert_eq!(shown(&tls), one.cert.der().to_vec());
    write(&files, &other);
    watched.look();
    assert_eq!(shown(&tls), one.cert.der().to_vec(), "read once only");
    watched.look();
    assert_eq!(shown(&tls), other.cert.der().to_vec());

    std::fs::remove_file(&files.cert).unwrap();
    (0..3).for_each(|_| watched.look());
    assert_eq!(shown(&tls), other.cert.der().to_vec());
    write(&files, &one);
    (0..2).for_each(|_| watched.look());
    assert_eq!(shown(&tls), one.cert.der().to_vec());
}
