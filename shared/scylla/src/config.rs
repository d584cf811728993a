//! What an operator says about the database.

use std::fmt;
use std::num::{NonZeroU16, NonZeroUsize};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use secrecy::SecretString;

use crate::error::ConfigError;
use crate::tls;

/// The server gives up on a conditional statement after two seconds and says so. A client that gives up first would never
/// hear which of its timeouts were contention, so ours lies a little above.
const CONDITIONAL_TIMEOUT_MIN: Duration = Duration::from_millis(2_200);

/// Which product speaks CQL at the other end. What differs is schema options and the shape of connection pools; statements
/// are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Dialect {
    /// ScyllaDB.
    #[default]
    Scylla,
    /// Apache Cassandra, 4.1 or later.
    Cassandra,
}

impl Dialect {
    /// The product's name in telemetry (OpenTelemetry's `db.system.name`).
    #[must_use]
    pub const fn system_name(self) -> &'static str {
        match self {
            Self::Scylla => "scylladb",
            Self::Cassandra => "cassandra",
        }
    }
}

/// Gives an enum the words by which settings and flags name its variants.
macro_rules! words {
    ($name:ident, $setting:literal, $allowed:literal, $($variant:ident = $word:literal),*) => {
        impl FromStr for $name {
            type Err = ConfigError;

            fn from_str(text: &str) -> Result<Self, ConfigError> {
                match text {
                    $($word => Ok(Self::$variant),)*
                    _ => Err(ConfigError::UnknownWord {
                        setting: $setting,
                        found: text.to_owned(),
                        allowed: $allowed,
                    }),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(Self::$variant => $word,)*
                })
            }
        }
    };
}

words!(
    Dialect,
    "dialect",
    "scylla, cassandra",
    Scylla = "scylla",
    Cassandra = "cassandra"
);
words!(
    Reach,
    "reach",
    "local, all",
    LocalDatacenter = "local",
    AllDatacenters = "all"
);
words!(
    Tablets,
    "tablets setting",
    "disabled, enabled, unspecified",
    Disabled = "disabled",
    Enabled = "enabled",
    Unspecified = "unspecified"
);

/// The name of a keyspace: a letter, then letters, digits and underscores, lower case, at most 48 characters. Such a name
/// needs no quotes anywhere, and it can be written into the text of a statement, where names cannot be bound.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Keyspace(String);

impl Keyspace {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Keyspace {
    fn default() -> Self {
        Self("kith".to_owned())
    }
}

impl FromStr for Keyspace {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let good = text.len() <= 48
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if good {
            Ok(Self(text.to_owned()))
        } else {
            Err(ConfigError::BadKeyspace(text.to_owned()))
        }
    }
}

impl fmt::Display for Keyspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How far a quorum reaches. Conditional statements are linearizable inside that reach only, so what must never be is two
/// data centres that both write with [`Reach::LocalDatacenter`] (`identity-protocol.md` 10, G2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Reach {
    /// `LOCAL_QUORUM` and `LOCAL_SERIAL`: for one writing data centre.
    #[default]
    LocalDatacenter,
    /// `QUORUM` and `SERIAL`, for reads and plain writes, too: for several writing data centres. Every statement then
    /// crosses the sea.
    AllDatacenters,
}

/// Whether a keyspace that ScyllaDB creates uses tablets. Ignored on Cassandra, and for a keyspace that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Tablets {
    /// Says `tablets = {'enabled': false}`. ScyllaDB before 2025.4 has no conditional statements on tablets, and everything
    /// here rests on those.
    #[default]
    Disabled,
    /// Says `tablets = {'enabled': true}`: ScyllaDB 2025.4 and later.
    Enabled,
    /// Says nothing: the server's default, and servers that do not know the word.
    Unspecified,
}

/// Settings of the database.
#[derive(Debug, Clone)]
pub struct CqlConfig {
    /// `KITH_CQL_NODES`: contact points, `host` or `host:port`. The others are found through them. Default `127.0.0.1:9042`.
    pub nodes: Vec<String>,
    /// `KITH_CQL_KEYSPACE`. Default `kith`.
    pub keyspace: Keyspace,
    /// `KITH_CQL_DIALECT`: `scylla` or `cassandra`. Default `scylla`.
    pub dialect: Dialect,
    /// `KITH_CQL_REPLICATION_FACTOR`: copies in each data centre, used when `migrate` creates the keyspace. Default 3.
    pub replication_factor: NonZeroU16,
    /// `KITH_CQL_LOCAL_DC`: the data centre whose nodes are asked. Default none: any node, which is right with one data
    /// centre only.
    pub local_dc: Option<String>,
    /// `KITH_CQL_USERNAME`. Default none: no authentication.
    pub username: Option<String>,
    /// What `KITH_CQL_PASSWORD_FILE` holds. Goes with the user name.
    pub password: Option<SecretString>,
    /// `KITH_CQL_CA_FILE`: PEM file of the authorities that vouch for the nodes, and the only ones that are trusted then. With it every
    /// connection is encrypted, and a node's certificate has to name the address at which it is reached. Default none: no TLS. A binary
    /// without the feature `ssl` refuses it, lest somebody takes a plain connection for an encrypted one.
    pub ca_file: Option<PathBuf>,
    /// `KITH_CQL_CERT_FILE`: PEM file of our certificate, and those above it, where nodes ask for one.
    pub cert_file: Option<PathBuf>,
    /// `KITH_CQL_KEY_FILE`: PEM file of its key, not encrypted.
    pub key_file: Option<PathBuf>,
    /// How long a read or a plain write may take, retries included. Default 2 s. Conditional statements get at least 2.2 s
    /// ([`CqlConfig::conditional_timeout`]); a request's own deadline may end the wait before.
    pub request_timeout: Duration,
    /// How long [`crate::Cql::connect`] may take in all. Default 30 s.
    pub connect_timeout: Duration,
    /// Connections to each node (Cassandra) or to each shard of each node (ScyllaDB). Default 1; a connection carries
    /// thousands of statements at once.
    pub pool_size: NonZeroUsize,
    /// How far a quorum reaches. Default: the local data centre.
    pub reach: Reach,
    /// Whether `migrate` asks ScyllaDB for tablets. Default: no.
    pub tablets: Tablets,
}

impl Default for CqlConfig {
    fn default() -> Self {
        Self {
            nodes: vec!["127.0.0.1:9042".to_owned()],
            keyspace: Keyspace::default(),
            dialect: Dialect::default(),
            replication_factor: NonZeroU16::MIN.saturating_add(2),
            local_dc: None,
            username: None,
            password: None,
            ca_file: None,
            cert_file: None,
            key_file: None,
            request_timeout: Duration::from_secs(2),
            connect_timeout: Duration::from_secs(30),
            pool_size: NonZeroUsize::MIN,
            reach: Reach::default(),
            tablets: Tablets::default(),
        }
    }
}

impl CqlConfig {
    /// Checks what types alone do not say.
    ///
    /// # Errors
    /// [`ConfigError`], naming the setting.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.nodes.is_empty() || self.nodes.iter().any(|node| node.trim().is_empty()) {
            return Err(ConfigError::NoNodes);
        }
        if self.username.is_some() != self.password.is_some() {
            return Err(ConfigError::HalfCredentials);
        }
        if self.ca_file.is_some() && !cfg!(feature = "ssl") {
            return Err(ConfigError::TlsUnsupported);
        }
        if self.cert_file.is_some() != self.key_file.is_some() {
            return Err(ConfigError::HalfCertificate);
        }
        if self.cert_file.is_some() && self.ca_file.is_none() {
            return Err(ConfigError::UselessCertificate);
        }
        if self.request_timeout.is_zero() || self.connect_timeout.is_zero() {
            return Err(ConfigError::ZeroTimeout);
        }
        Ok(())
    }

    /// Reads the files of certificates and keys, as connecting does, and keeps nothing of them.
    ///
    /// # Errors
    /// [`ConfigError::File`], naming the setting.
    pub fn check_files(&self) -> Result<(), ConfigError> {
        tls::context(self).map(drop)
    }

    /// How long a conditional statement may take: never less than the server itself takes to give up.
    #[must_use]
    pub fn conditional_timeout(&self) -> Duration {
        self.request_timeout.max(CONDITIONAL_TIMEOUT_MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_documented() {
        let config = CqlConfig::default();
        config.validate().unwrap();
        assert_eq!(config.replication_factor.get(), 3);
        assert_eq!(config.keyspace.as_str(), "kith");
        assert_eq!(config.dialect, Dialect::Scylla);
    }

    #[test]
    fn a_keyspace_needs_no_quotes() {
        for good in ["kith", "k", "kith_2"] {
            assert_eq!(good.parse::<Keyspace>().unwrap().as_str(), good);
        }
        let long = "k".repeat(49);
        for bad in ["", "Kith", "2k", "_k", "a-b", "a.b", "k; DROP", "é", &long] {
            assert!(bad.parse::<Keyspace>().is_err(), "{bad}");
        }
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        for word in ["scylla", "cassandra"] {
            assert_eq!(word.parse::<Dialect>().unwrap().to_string(), word);
        }
        for word in ["local", "all"] {
            assert_eq!(word.parse::<Reach>().unwrap().to_string(), word);
        }
        for word in ["disabled", "enabled", "unspecified"] {
            assert_eq!(word.parse::<Tablets>().unwrap().to_string(), word);
        }
        let error = "dynamo".parse::<Dialect>().unwrap_err().to_string();
        assert!(
            error.contains("dynamo") && error.contains("cassandra"),
            "{error}"
        );
    }

    #[test]
    fn tls_is_refused_rather_than_forgotten() {
        let config = CqlConfig {
            ca_file: Some("/etc/ssl/ca.pem".into()),
            ..CqlConfig::default()
        };
        let expected = match cfg!(feature = "ssl") {
            true => Ok(()),
            false => Err(ConfigError::TlsUnsupported),
        };
        assert_eq!(config.validate(), expected);
    }

    #[test]
    fn a_certificate_needs_its_key_and_an_authority_to_be_shown_to() {
        let file = || Some("/etc/kith/file.pem".into());
        let mut config = CqlConfig {
            cert_file: file(),
            ..CqlConfig::default()
        };
        assert_eq!(config.validate(), Err(ConfigError::HalfCertificate));
        config.key_file = file();
        assert_eq!(config.validate(), Err(ConfigError::UselessCertificate));
        config.cert_file = None;
        assert_eq!(config.validate(), Err(ConfigError::HalfCertificate));
    }

    #[test]
    fn a_user_needs_a_password_and_the_password_is_not_shown() {
        let mut config = CqlConfig {
            username: Some("kith".into()),
            ..CqlConfig::default()
        };
        assert!(matches!(
            config.validate(),
            Err(ConfigError::HalfCredentials)
        ));
        config.password = Some("hunter2".into());
        config.validate().unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn a_conditional_statement_outwaits_the_server() {
        let config = CqlConfig {
            request_timeout: Duration::from_millis(50),
            ..CqlConfig::default()
        };
        assert!(config.conditional_timeout() > Duration::from_secs(2));
    }
}
