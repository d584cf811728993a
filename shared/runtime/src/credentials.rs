//! Who may call: the accounts of the `KITH_CREDENTIALS` file, and the check of a user and a password.
//!
//! Only SHA-256 digests of secrets are kept. Secrets of this kind are long and random, made by a machine, so a slow hash
//! would buy nothing but latency on every request. Errors about the file name places in it, never what stands there.
//!
//! A user may have two secrets, so that one can be replaced while clients still send the other; the file is
//! [watched](Credentials::watch), so that neither step needs a restart.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use kith_domain::id::AccountSid;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::config::table::CREDENTIALS;
use crate::config::{ConfigError, Settings};

mod file;
mod watch;

#[cfg(test)]
mod tests;

pub use watch::WATCH_EVERY;

/// The account that `kith serve` has on loopback when nothing else is said.
pub const DEVELOPMENT_ACCOUNT: &str = "AC00000000000000000000000000000000";
/// Its password.
pub const DEVELOPMENT_TOKEN: &str = "development";

/// What a credential may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Operations that change nothing; Lookup is one.
    Read,
    /// Everything.
    Write,
}

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The account that the credential belongs to.
    pub account: AccountSid,
    /// What it may do.
    pub access: Access,
    /// The name that the credential goes by: the account's sid, or that of an API key.
    pub user: Arc<str>,
}

/// Whether a process may go without a credentials file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Development {
    /// Never.
    Forbidden,
    /// While every listener is on loopback.
    OnLoopback,
}

/// The accounts and API keys of a process. Clones are the same: what one [watches](Self::watch), all go by.
#[derive(Clone)]
pub struct Credentials {
    users: Arc<ArcSwap<Users>>,
    /// Where they were read.
    file: Option<PathBuf>,
    development: Option<AccountSid>,
}

/// Everybody who may call, as one reading of the file has them.
#[derive(Default)]
struct Users {
    by_name: HashMap<String, User>,
    /// The text of that reading.
    text: Option<SecretDigest>,
}

#[derive(Clone)]
struct User {
    /// The one secret twice, or the two of a rotation.
    digests: [SecretDigest; 2],
    principal: Principal,
}

/// The SHA-256 of a secret.
#[derive(Clone, Copy, PartialEq, Eq)]
struct SecretDigest([u8; 32]);

impl SecretDigest {
    fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret.as_bytes()).into())
    }

    fn matches(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

impl FromStr for SecretDigest {
    type Err = ();

    /// Reads 64 hexadecimal digits.
    fn from_str(text: &str) -> Result<Self, ()> {
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(());
        }
        let mut digest = [0; 32];
        for (at, byte) in digest.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).map_err(|_| ())?;
        }
        Ok(Self(digest))
    }
}

impl Credentials {
    /// Loads the credentials of a process that listens at `listeners`.
    ///
    /// Without a file, and only if `development` allows it and every listener is on loopback, there is one account:
    /// `TWILIO_ACCOUNT_SID` and `TWILIO_AUTH_TOKEN` of the environment, or else [`DEVELOPMENT_ACCOUNT`].
    ///
    /// # Errors
    /// No file where one is needed; a file that cannot be read or is malformed; one of the two variables without the
    /// other.
    pub fn load(
        settings: &Settings,
        development: Development,
        listeners: &[SocketAddr],
    ) -> Result<Self, ConfigError> {
        Self::load_from(settings, development, listeners, &|name| {
            std::env::var(name).ok()
        })
    }

    fn load_from(
        settings: &Settings,
        development: Development,
        listeners: &[SocketAddr],
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        if let Some(path) = settings.get_opt::<PathBuf>(&CREDENTIALS)? {
            return Self::read(&path).map_err(|reason| settings.refuse(&CREDENTIALS, reason));
        }
        let open = listeners.iter().find(|address| !is_loopback(address.ip()));
        match (development, open) {
            (Development::OnLoopback, None) => Self::development(variable),
            (Development::OnLoopback, Some(address)) => Err(settings.refuse(
                &CREDENTIALS,
                format!("is required, because {address} is not on loopback"),
            )),
            (Development::Forbidden, _) => {
                Err(settings.refuse(&CREDENTIALS, "is required, and has no default"))
            }
        }
    }

    /// Reads a credentials file.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn read(path: &Path) -> Result<Self, String> {
        Ok(Self {
            users: Arc::new(ArcSwap::from_pointee(file::read(path)?.parse()?)),
            file: Some(path.to_owned()),
            development: None,
        })
    }

    /// The development account alone, whatever file there is: `TWILIO_ACCOUNT_SID` and `TWILIO_AUTH_TOKEN` of the
    /// environment, or else [`DEVELOPMENT_ACCOUNT`].
    ///
    /// # Errors
    /// One of the two variables without the other, or no account's sid.
    pub fn of_environment() -> Result<Self, ConfigError> {
        Self::development(&|name| std::env::var(name).ok())
    }

    fn development(variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        const SID: &str = "TWILIO_ACCOUNT_SID";
        const TOKEN: &str = "TWILIO_AUTH_TOKEN";
        let set = |name| variable(name).filter(|text| !text.is_empty());
        let (sid, token) = match (set(SID), set(TOKEN)) {
            (Some(sid), Some(token)) => (sid, token),
            (None, None) => (DEVELOPMENT_ACCOUNT.to_owned(), DEVELOPMENT_TOKEN.to_owned()),
            // Half a pair is somebody who expects to log in with the other half.
            (Some(_), None) => {
                return Err(ConfigError::new(TOKEN, format!("is required with {SID}")));
            }
            (None, Some(_)) => {
                return Err(ConfigError::new(SID, format!("is required with {TOKEN}")));
            }
        };
        let account = AccountSid::from_str(&sid)
            .map_err(|_| ConfigError::new(SID, "is not AC and 32 hexadecimal digits"))?;
        let mut users = Users::default();
        let digests = [SecretDigest::of(&token); 2];
        users.add(sid, digests, account.clone(), Access::Write)?;
        Ok(Self {
            users: Arc::new(ArcSwap::from_pointee(users)),
            file: None,
            development: Some(account),
        })
    }

    /// Who this is, if the password is right.
    ///
    /// Takes the same time whether the user is unknown or the password wrong, and however much of it is right.
    #[must_use]
    pub fn verify(&self, user: &str, password: &str) -> Option<Principal> {
        self.users.load().verify(user, password)
    }

    /// Everybody who has credentials here now, in order.
    #[must_use]
    pub fn accounts(&self) -> BTreeSet<AccountSid> {
        self.users.load().accounts()
    }

    /// The development account, if this process runs on it: its store has to be there before the first request.
    #[must_use]
    pub fn development_account(&self) -> Option<&AccountSid> {
        self.development.as_ref()
    }
}

impl Users {
    /// Adds a user; a user twice is an error, because one of its secrets would silently not work.
    fn add(
        &mut self,
        user: String,
        digests: [SecretDigest; 2],
        account: AccountSid,
        access: Access,
    ) -> Result<(), ConfigError> {
        let principal = Principal {
            account,
            access,
            user: user.as_str().into(),
        };
        match self.by_name.insert(user, User { digests, principal }) {
            None => Ok(()),
            Some(_) => Err(ConfigError::new(
                CREDENTIALS.variable(),
                "names a user twice",
            )),
        }
    }

    fn verify(&self, user: &str, password: &str) -> Option<Principal> {
        let given = SecretDigest::of(password);
        let known = self.by_name.get(user);
        // An unknown user is compared with a digest that no password has, so that it costs the same.
        let digests = known.map_or([SecretDigest([0; 32]); 2], |user| user.digests);
        let right = (digests[0].matches(&given) | digests[1].matches(&given))
            & Choice::from(u8::from(known.is_some()));
        known
            .filter(|_| bool::from(right))
            .map(|user| user.principal.clone())
    }

    fn accounts(&self) -> BTreeSet<AccountSid> {
        let users = self.by_name.values();
        users.map(|user| user.principal.account.clone()).collect()
    }
}

/// Tells how many, and nothing else.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("users", &self.users.load().by_name.len())
            .field("development", &self.development)
            .finish()
    }
}

/// `::ffff:127.0.0.1` is loopback, too.
fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}
