//! The credentials file.

use kith_domain::id::AccountSid;
use serde::Deserialize;

use super::{Access, Credentials, SecretDigest};

/// Thousands of accounts with several keys each.
pub(super) const BYTES_MAX: u64 = 16 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    account: Vec<Account>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Account {
    sid: Hidden,
    auth_token: Option<Hidden>,
    auth_token_sha256: Option<Hidden>,
    #[serde(default)]
    api_key: Vec<ApiKey>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ApiKey {
    sid: Hidden,
    secret: Option<Hidden>,
    secret_sha256: Option<Hidden>,
    access: Option<Hidden>,
}

/// A text of the file. Its own type, because the errors of a derived one would show a value of the wrong type, and a
/// secret without quotes is just that.
struct Hidden(String);

impl<'de> Deserialize<'de> for Hidden {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if let toml::Value::String(text) = toml::Value::deserialize(deserializer)? {
            Ok(Self(text))
        } else {
            Err(serde::de::Error::custom("expected a text in quotes"))
        }
    }
}

/// Parses the text of a file.
///
/// # Errors
/// What is wrong and where, without a value of the file.
pub(super) fn parse(text: &str) -> Result<Credentials, String> {
    // Display of this error would quote the line, secret and all.
    let file: File = toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        format!(
            "line {}: {}",
            crate::config::line_of(text, at),
            error.message()
        )
    })?;
    if file.account.is_empty() {
        return Err("names no account".to_owned());
    }
    let mut credentials = Credentials::none();
    for (at, account) in file.account.into_iter().enumerate() {
        let place = format!("account {}", at + 1);
        add_account(&mut credentials, account).map_err(|reason| format!("{place}: {reason}"))?;
    }
    Ok(credentials)
}

fn add_account(credentials: &mut Credentials, account: Account) -> Result<(), String> {
    let sid: AccountSid = account
        .sid
        .0
        .parse()
        .map_err(|_| "sid is not AC and 32 hexadecimal digits".to_owned())?;
    let token = digest("auth_token", account.auth_token, account.auth_token_sha256)?;
    match token {
        Some(token) => add(credentials, account.sid.0, token, &sid, Access::Write)?,
        // An account may be closed to all but its keys.
        None if !account.api_key.is_empty() => {}
        None => {
            return Err("has neither auth_token nor auth_token_sha256, and no api_key".to_owned());
        }
    }
    for (at, key) in account.api_key.into_iter().enumerate() {
        add_key(credentials, &sid, key)
            .map_err(|reason| format!("api_key {}: {reason}", at + 1))?;
    }
    Ok(())
}

fn add_key(credentials: &mut Credentials, account: &AccountSid, key: ApiKey) -> Result<(), String> {
    let well_formed = key
        .sid
        .0
        .strip_prefix("SK")
        .is_some_and(|hex| hex.len() == 32 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if !well_formed {
        return Err("sid is not SK and 32 hexadecimal digits".to_owned());
    }
    let access = match key.access.as_ref().map(|access| access.0.as_str()) {
        None | Some("write") => Access::Write,
        Some("read") => Access::Read,
        Some(_) => return Err("access is neither \"read\" nor \"write\"".to_owned()),
    };
    let secret = digest("secret", key.secret, key.secret_sha256)?
        .ok_or("has neither secret nor secret_sha256")?;
    add(credentials, key.sid.0, secret, account, access)
}

fn add(
    credentials: &mut Credentials,
    user: String,
    digest: SecretDigest,
    account: &AccountSid,
    access: Access,
) -> Result<(), String> {
    credentials
        .add(user, digest, account.clone(), access)
        .map_err(|error| error.reason)
}

/// The digest of a secret that is given in one of two ways, or not at all.
fn digest(
    name: &str,
    plain: Option<Hidden>,
    sha256: Option<Hidden>,
) -> Result<Option<SecretDigest>, String> {
    match (plain, sha256) {
        (Some(_), Some(_)) => Err(format!("has both {name} and {name}_sha256")),
        (Some(Hidden(plain)), None) if plain.is_empty() => Err(format!("{name} is empty")),
        (Some(Hidden(plain)), None) => Ok(Some(SecretDigest::of(&plain))),
        (None, Some(Hidden(sha256))) => match sha256.parse() {
            Ok(digest) => Ok(Some(digest)),
            Err(()) => Err(format!("{name}_sha256 is not 64 hexadecimal digits")),
        },
        (None, None) => Ok(None),
    }
}
