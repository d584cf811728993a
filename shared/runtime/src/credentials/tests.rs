use std::collections::HashMap;

use super::*;
use crate::config::{SettingSet, table};

const FILE: &str = r#"
[[account]]
sid = "AC00000000000000000000000000000001"
auth_token = "token of one"
[[account.api_key]]
sid = "SK00000000000000000000000000000001"
secret = "secret of a key"
access = "read"
[[account.api_key]]
sid = "SK00000000000000000000000000000002"
# printf %s 'hashed secret' | sha256sum
secret_sha256 = "HASH"

[[account]]
sid = "AC00000000000000000000000000000002"
[[account.api_key]]
sid = "SK00000000000000000000000000000003"
secret = "secret of another"
access = "write"
"#;

fn hex(digest: SecretDigest) -> String {
    digest.0.iter().map(|byte| format!("{byte:02X}")).collect()
}

fn parsed() -> Users {
    let hash = hex(SecretDigest::of("hashed secret"));
    file::parse(&FILE.replace("HASH", &hash)).unwrap()
}

fn principal(account: u8, access: Access, user: &str) -> Option<Principal> {
    let account = format!("AC{account:032}").parse().unwrap();
    Some(Principal {
        account,
        access,
        user: user.into(),
    })
}

#[test]
fn the_digest_is_sha_256() {
    // FIPS 180-2, appendix B.1.
    let abc = "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD";
    assert_eq!(hex(SecretDigest::of("abc")), abc);
}

#[test]
fn every_way_to_give_a_secret_lets_its_user_in() {
    let credentials = parsed();
    for (user, password, expected) in [
        (
            "AC00000000000000000000000000000001",
            "token of one",
            (1, Access::Write),
        ),
        (
            "SK00000000000000000000000000000001",
            "secret of a key",
            (1, Access::Read),
        ),
        (
            "SK00000000000000000000000000000002",
            "hashed secret",
            (1, Access::Write),
        ),
        (
            "SK00000000000000000000000000000003",
            "secret of another",
            (2, Access::Write),
        ),
    ] {
        let (account, access) = expected;
        let expected = principal(account, access, user);
        assert_eq!(credentials.verify(user, password), expected, "{user}");
    }
}

#[test]
fn nothing_else_lets_anybody_in() {
    let credentials = parsed();
    for (user, password) in [
        ("AC00000000000000000000000000000001", "token of on"),
        ("AC00000000000000000000000000000001", "token of one "),
        ("AC00000000000000000000000000000001", ""),
        ("AC00000000000000000000000000000001", "secret of a key"),
        ("SK00000000000000000000000000000001", "token of one"),
        ("AC00000000000000000000000000000002", ""),
        ("AC00000000000000000000000000000003", "token of one"),
        ("ac00000000000000000000000000000001", "token of one"),
        ("", ""),
    ] {
        assert_eq!(
            credentials.verify(user, password),
            None,
            "{user} {password}"
        );
    }
}

#[test]
fn a_broken_file_is_refused_with_the_place_and_without_its_values() {
    let account = "[[account]]\nsid = \"AC00000000000000000000000000000001\"\n";
    let key = "[[account.api_key]]\nsid = \"SK00000000000000000000000000000001\"\n";
    for (text, expected) in [
        (String::new(), "names no account"),
        ("account = 5\n".to_owned(), "line 1: "),
        ("[[acount]]\n".to_owned(), "line 1: unknown field `acount`"),
        (
            format!("{account}auth_token = \"hunter2\nx = 1\n"),
            "line 3: ",
        ),
        (
            format!("{account}auth_token = 4815162342\n"),
            "line 3: expected a text in quotes",
        ),
        (
            format!("{account}auth_token = [\"hunter2\", \"hunter2\", \"hunter2\"]\n"),
            "line 3: expected a text in quotes, or a list of two",
        ),
        (
            format!("{account}auth_token = []\n"),
            "line 3: expected a text in quotes, or a list of two",
        ),
        (
            format!("{account}auth_token = [\"hunter2\", 4815162342]\n"),
            "line 3: expected a text in quotes, or a list of two",
        ),
        (
            format!("{account}auth_token = [\"hunter2\", \"\"]\n"),
            "account 1: auth_token is empty",
        ),
        (
            format!("{account}auth_tokens = \"hunter2\"\n"),
            "line 3: unknown field `auth_tokens`",
        ),
        (account.to_owned(), "account 1: has neither auth_token"),
        (
            format!("{account}auth_token = \"\"\n"),
            "account 1: auth_token is empty",
        ),
        (
            format!("{account}auth_token = \"hunter2\"\nauth_token_sha256 = \"hunter2\"\n"),
            "has both auth_token",
        ),
        (
            format!("{account}auth_token_sha256 = \"hunter2\"\n"),
            "auth_token_sha256 is not 64",
        ),
        (
            format!("{account}auth_token = \"hunter2\"\n").repeat(2),
            "account 2: names a user twice",
        ),
        (
            "[[account]]\nsid = \"hunter2\"\n".to_owned(),
            "account 1: sid is not AC",
        ),
        (
            format!("{account}{key}"),
            "account 1: api_key 1: has neither secret",
        ),
        (
            format!("{account}{key}secret = \"hunter2\"\naccess = \"hunter2\"\n"),
            "access is neither",
        ),
        (
            format!("{account}[[account.api_key]]\nsid = \"hunter2\"\n"),
            "sid is not SK",
        ),
        (
            format!("{account}{key}secret = \"hunter2\"\n{key}secret = \"b\"\n"),
            "api_key 2: names a user twice",
        ),
    ] {
        let Err(error) = file::parse(&text) else {
            panic!("{text} is no file of credentials")
        };
        assert!(
            error.contains(expected),
            "{error:?} should contain {expected:?}"
        );
        assert!(
            !error.contains("hunter2") && !error.contains("4815162342"),
            "{error}"
        );
        assert!(!error.contains('\n'), "{error}");
    }
}

fn load(
    flags: &[&str],
    development: Development,
    listeners: &[&str],
    variables: &[(&str, &str)],
) -> Result<Credentials, ConfigError> {
    let set = SettingSet::new("kith").take(table::HTTP);
    let command = set.command(clap::Command::new("kith"));
    let matches = set.parse(command, [&["kith"], flags].concat()).unwrap();
    let settings = set.load_from(&matches, &|_| None)?;
    let listeners: Vec<SocketAddr> = listeners.iter().map(|a| a.parse().unwrap()).collect();
    let variables: HashMap<&str, &str> = variables.iter().copied().collect();
    Credentials::load_from(&settings, development, &listeners, &|name| {
        variables.get(name).map(|text| (*text).to_owned())
    })
}

#[test]
fn on_loopback_there_is_a_development_account() {
    let loopback = ["127.0.0.1:8080", "[::1]:0", "[::ffff:127.0.0.1]:1"];
    let credentials = load(&[], Development::OnLoopback, &loopback, &[]).unwrap();
    let account = credentials.development_account().unwrap();
    assert_eq!(account.as_str(), DEVELOPMENT_ACCOUNT);
    assert!(
        credentials
            .verify(DEVELOPMENT_ACCOUNT, DEVELOPMENT_TOKEN)
            .is_some()
    );
    assert!(credentials.verify(DEVELOPMENT_ACCOUNT, "").is_none());
}

#[test]
fn the_development_account_may_come_from_the_environment() {
    let sid = "AC0123456789abcdef0123456789abcdef";
    let pair = [("TWILIO_ACCOUNT_SID", sid), ("TWILIO_AUTH_TOKEN", "mine")];
    let credentials = load(&[], Development::OnLoopback, &["127.0.0.1:1"], &pair).unwrap();
    assert!(credentials.verify(sid, "mine").is_some());
    assert!(
        credentials
            .verify(DEVELOPMENT_ACCOUNT, DEVELOPMENT_TOKEN)
            .is_none()
    );

    for (half, key) in [
        (&pair[..1], "TWILIO_AUTH_TOKEN"),
        (&pair[1..], "TWILIO_ACCOUNT_SID"),
    ] {
        let error = load(&[], Development::OnLoopback, &["127.0.0.1:1"], half).unwrap_err();
        assert_eq!(error.key, key);
    }
    let malformed = [("TWILIO_ACCOUNT_SID", "AC1"), ("TWILIO_AUTH_TOKEN", "mine")];
    let error = load(&[], Development::OnLoopback, &["127.0.0.1:1"], &malformed).unwrap_err();
    assert_eq!(error.key, "TWILIO_ACCOUNT_SID");
}

#[test]
fn anywhere_else_a_file_is_required() {
    for (development, listeners) in [
        (Development::Forbidden, &["127.0.0.1:1"][..]),
        (Development::OnLoopback, &["0.0.0.0:1"][..]),
        (Development::OnLoopback, &["[::]:1"][..]),
        (Development::OnLoopback, &["127.0.0.1:1", "10.0.0.1:1"][..]),
    ] {
        let error = load(&[], development, listeners, &[]).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("KITH_CREDENTIALS: is required"),
            "{error}"
        );
    }
}

#[test]
fn a_file_beats_the_development_account() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), FILE.replace("HASH", &"0".repeat(64))).unwrap();
    let flags = ["--credentials", file.path().to_str().unwrap()];
    let credentials = load(&flags, Development::OnLoopback, &["127.0.0.1:1"], &[]).unwrap();
    assert!(credentials.development_account().is_none());
    assert!(
        credentials
            .verify(DEVELOPMENT_ACCOUNT, DEVELOPMENT_TOKEN)
            .is_none()
    );
    assert!(
        credentials
            .verify("AC00000000000000000000000000000001", "token of one")
            .is_some()
    );

    std::fs::write(file.path(), "[[account]]\n").unwrap();
    let error = load(&flags, Development::OnLoopback, &["127.0.0.1:1"], &[]).unwrap_err();
    assert!(
        error.to_string().starts_with("KITH_CREDENTIALS (flag): "),
        "{error}"
    );
}

#[test]
fn two_secrets_of_a_user_are_valid_at_once_however_they_are_given() {
    let one = "AC00000000000000000000000000000001";
    let key = "SK00000000000000000000000000000001";
    let hashes = ["third", "fourth"].map(|secret| hex(SecretDigest::of(secret)));
    let text = format!(
        r#"
        [[account]]
        sid = "{one}"
        auth_token = ["first", "second"]
        [[account.api_key]]
        sid = "{key}"
        secret_sha256 = {hashes:?}
        access = "read"
        "#
    );
    let users = file::parse(&text).unwrap();
    for (user, password, access) in [
        (one, "first", Some(Access::Write)),
        (one, "second", Some(Access::Write)),
        (one, "third", None),
        (one, "", None),
        (key, "third", Some(Access::Read)),
        (key, "fourth", Some(Access::Read)),
        (key, "first", None),
    ] {
        let principal = access.and_then(|access| principal(1, access, user));
        assert_eq!(users.verify(user, password), principal, "{user} {password}");
    }
}

#[test]
fn debug_shows_no_secret_and_no_digest() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), FILE.replace("HASH", &"0".repeat(64))).unwrap();
    let shown = format!("{:?}", Credentials::read(file.path()).unwrap());
    assert_eq!(shown, "Credentials { users: 4, development: None }");
}
