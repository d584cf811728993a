//! How to talk to brokers, and how to prove who we are.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use secrecy::{ExposeSecret, SecretString};

use super::check::{invalid, missing};
use super::setting;
use crate::error::ConfigError;

/// How to talk to brokers.
#[derive(Debug, Clone, Default)]
pub struct SecurityConfig {
    /// The protocol. Default plaintext.
    pub protocol: SecurityProtocol,
    /// How to prove who we are; needed by the SASL protocols.
    pub sasl_mechanism: Option<SaslMechanism>,
    /// Who we are; needed by the SASL protocols.
    pub sasl_username: Option<String>,
    /// The proof; needed by the SASL protocols.
    pub sasl_password: Option<SecretString>,
    /// PEM file of the authorities to trust; by default the system's.
    pub ca_file: Option<PathBuf>,
    /// PEM file of our certificate, where brokers ask for one.
    pub cert_file: Option<PathBuf>,
    /// PEM file of its key.
    pub key_file: Option<PathBuf>,
}

impl SecurityConfig {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let protocol = self.protocol;
        if protocol.is_tls() && !cfg!(feature = "ssl") {
            return Err(ConfigError::NeedsTls {
                setting: setting::SECURITY_PROTOCOL,
                value: protocol.as_str(),
            });
        }
        for (setting, given) in [
            (setting::CA_FILE, self.ca_file.is_some()),
            (setting::CERT_FILE, self.cert_file.is_some()),
            (setting::KEY_FILE, self.key_file.is_some()),
        ] {
            if given && !protocol.is_tls() {
                return Err(ConfigError::Useless {
                    setting,
                    because: "the security protocol is without TLS",
                });
            }
        }
        match (&self.cert_file, &self.key_file) {
            (Some(_), None) => return Err(missing(setting::KEY_FILE, "there is a certificate")),
            (None, Some(_)) => return Err(missing(setting::CERT_FILE, "there is a key")),
            (None, None) | (Some(_), Some(_)) => {}
        }
        self.validate_sasl()
    }

    fn validate_sasl(&self) -> Result<(), ConfigError> {
        let password = self.sasl_password.as_ref().map(|p| p.expose_secret());
        for (setting, given) in [
            (setting::SASL_MECHANISM, self.sasl_mechanism.is_some()),
            (setting::SASL_USERNAME, self.sasl_username.is_some()),
            (setting::SASL_PASSWORD, password.is_some()),
        ] {
            if self.protocol.is_sasl() && !given {
                return Err(missing(setting, "the security protocol is one with SASL"));
            }
            if !self.protocol.is_sasl() && given {
                return Err(ConfigError::Useless {
                    setting,
                    because: "the security protocol is without SASL",
                });
            }
        }
        for (setting, value) in [
            (setting::SASL_USERNAME, self.sasl_username.as_deref()),
            (setting::SASL_PASSWORD, password),
        ] {
            if value.is_some_and(|text| text.is_empty() || text.contains('\0')) {
                return Err(invalid(
                    setting,
                    "unusable",
                    "it must not be empty nor contain NUL",
                ));
            }
        }
        match self.sasl_mechanism {
            Some(mechanism) if mechanism.needs_openssl() && !cfg!(feature = "ssl") => {
                Err(ConfigError::NeedsTls {
                    setting: setting::SASL_MECHANISM,
                    value: mechanism.as_str(),
                })
            }
            None | Some(_) => Ok(()),
        }
    }
}

/// Kafka's security protocols.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum SecurityProtocol {
    /// Neither encrypted nor authenticated.
    #[default]
    Plaintext,
    /// Encrypted; authenticated by certificate if we have one.
    Ssl,
    /// Authenticated, not encrypted.
    SaslPlaintext,
    /// Encrypted and authenticated.
    SaslSsl,
}

impl SecurityProtocol {
    /// Kafka's name of it, in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plaintext => "plaintext",
            Self::Ssl => "ssl",
            Self::SaslPlaintext => "sasl_plaintext",
            Self::SaslSsl => "sasl_ssl",
        }
    }

    pub(crate) const fn is_tls(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }

    pub(crate) const fn is_sasl(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }
}

impl FromStr for SecurityProtocol {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let lower = text.to_ascii_lowercase();
        [
            Self::Plaintext,
            Self::Ssl,
            Self::SaslPlaintext,
            Self::SaslSsl,
        ]
        .into_iter()
        .find(|protocol| protocol.as_str() == lower)
        .ok_or_else(|| {
            invalid(
                setting::SECURITY_PROTOCOL,
                text,
                "it is one of plaintext, ssl, sasl_plaintext, sasl_ssl",
            )
        })
    }
}

impl fmt::Display for SecurityProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How to prove who we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SaslMechanism {
    /// The password itself: for encrypted links.
    Plain,
    /// Salted challenge and response with SHA-256.
    ScramSha256,
    /// Salted challenge and response with SHA-512.
    ScramSha512,
}

impl SaslMechanism {
    /// Kafka's name of it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }

    /// The client library takes its hash functions from OpenSSL.
    const fn needs_openssl(self) -> bool {
        matches!(self, Self::ScramSha256 | Self::ScramSha512)
    }
}

impl FromStr for SaslMechanism {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let upper = text.to_ascii_uppercase();
        [Self::Plain, Self::ScramSha256, Self::ScramSha512]
            .into_iter()
            .find(|mechanism| mechanism.as_str() == upper)
            .ok_or_else(|| {
                invalid(
                    setting::SASL_MECHANISM,
                    text,
                    "it is one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512",
                )
            })
    }
}

impl fmt::Display for SaslMechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
