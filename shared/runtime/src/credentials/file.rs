//! The credentials file.

use std::path::{Path, PathBuf};

use kith_domain::id::AccountSid;
use serde::Deserialize;

use super::{Access, SecretDigest, Users};

/// Thousands of accounts with several keys each.
const BYTES_MAX: u64 = 16 << 20;

/// The file as it was read, secrets and all.
pub(super) struct Text {
    path: PathBuf,
    text: String,
}

/// Reads the file at a path.
///
/// # Errors
/// Why it cannot be read.
pub(super) fn read(path: &Path) -> Result<Text, String> {
    let text = crate::config::read_bounded(path, BYTES_MAX)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let path = path.to_owned();
    Ok(Text { path, text })
}

impl Text {
    /// Tells this text from another.
    pub(super) fn digest(&self) -> SecretDigest {
        SecretDigest::of(&self.text)
    }

    /// Everybody in it.
    ///
    /// # Errors
    /// What is wrong and where, without a value of the file.
    pub(super) fn parse(&self) -> Result<Users, String> {
        let mut users =
            parse(&self.text).map_err(|reason| format!("{}: {reason}", self.path.display()))?;
        users.text = Some(self.digest());
        Ok(users)
    }
}

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
    auth_token: Option<Secrets>,
    auth_token_sha256: Option<Secrets>,
    #[serde(default)]
    api_key: Vec<ApiKey>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ApiKey {
    sid: Hidden,
    secret: Option<Secrets>,
    secret_sha256: Option<Secrets>,
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

/// A secret, or a list of the two that are valid during a rotation.
struct Secrets(Vec<String>);

impl<'de> Deserialize<'de> for Secrets {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let given = toml::Value::deserialize(deserializer)?;
        let given = given
            .as_array()
            .map_or(std::slice::from_ref(&given), Vec::as_slice);
        let texts: Option<Vec<String>> = given
            .iter()
            .map(|text| text.as_str().map(str::to_owned))
            .collect();
        let fault = "expected a text in quotes, or a list of two";
        texts
            .filter(|texts| matches!(texts.len(), 1 | 2))
            .map(Self)
            .ok_or_else(|| serde::de::Error::custom(fault))
    }
}

/// Parses the text of a file.
///
/// # Errors
/// What is wrong and where, without a value of the file.
pub(super) fn parse(text: &str) -> Result<Users, String> {
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
    let mut users = Users::default();
    for (at, account) in file.account.into_iter().enumerate() {
        let place = format!("account {}", at + 1);
        add_account(&mut users, account).map_err(|reason| format!("{place}: {reason}"))?;
    }
    Ok(users)
}

fn add_account(users: &mut Users, account: Account) -> Result<(), String> {
    let sid: AccountSid = account
        .sid
        .0
        .parse()
        .map_err(|_| "sid is not AC and 32 hexadecimal digits".to_owned())?;
    let token = digests("auth_token", account.auth_token, account.auth_token_sha256)?;
    match token {
        Some(token) => add(users, account.sid.0, token, &sid, Access::Write)?,
        // An account may be closed to all but its keys.
        None if !account.api_key.is_empty() => {}
        None => {
            return Err("has neither auth_token nor auth_token_sha256, and no api_key".to_owned());
        }
    }
    for (at, key) in account.api_key.into_iter().enumerate() {
        add_key(users, &sid, key).map_err(|reason| format!("api_key {}: {reason}", at + 1))?;
    }
    Ok(())
}

fn add_key(users: &mut Users, account: &AccountSid, key: ApiKey) -> Result<(), String> {
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
    let secret = digests("secret", key.secret, key.secret_sha256)?
        .ok_or("has neither secret nor secret_sha256")?;
    add(users, key.sid.0, secret, account, access)
}

fn add(
    users: &mut Users,
    user: String,
    digests: [SecretDigest; 2],
    account: &AccountSid,
    access: Access,
) -> Result<(), String> {
    users
        .add(user, digests, account.clone(), access)
        .map_err(|error| error.reason)
}

/// The digests of secrets that are given in one of two ways, or not at all: both of a rotation, or one twice.
fn digests(
    name: &str,
    plain: Option<Secrets>,
    sha256: Option<Secrets>,
) -> Result<Option<[SecretDigest; 2]>, String> {
    let digests: Vec<SecretDigest> = match (plain, sha256) {
        (Some(_), Some(_)) => return Err(format!("has both {name} and {name}_sha256")),
        (None, None) => return Ok(None),
        (Some(Secrets(plain)), None) if plain.iter().any(String::is_empty) => {
            return Err(format!("{name} is empty"));
        }
        (Some(Secrets(plain)), None) => plain.iter().map(|text| SecretDigest::of(text)).collect(),
        (None, Some(Secrets(sha256))) => sha256
            .iter()
            .map(|text| text.parse())
            .collect::<Result<_, ()>>()
            .map_err(|()| format!("{name}_sha256 is not 64 hexadecimal digits"))?,
    };
    let (first, last) = (digests.first(), digests.last());
    Ok(first.zip(last).map(|(first, last)| [*first, *last]))
}
