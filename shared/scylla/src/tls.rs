//! TLS to the nodes, with the system's OpenSSL: what is made of the files that the settings name, and how a failure of it is told from
//! others.
//!
//! Trusted is what the operator's file holds, and nothing else: not the system's authorities, not for an hour. The driver checks that a
//! certificate names the address at which its node was reached, by number: it knows nodes by nothing else.

use std::fmt::Display;
use std::io;
use std::path::Path;

use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{self, SslConnector, SslMethod, SslVersion};
use openssl::x509::X509;
use openssl::x509::store::X509StoreBuilder;
use scylla::client::session::TlsContext;

use crate::config::CqlConfig;
use crate::error::ConfigError;

const CA_FILE: &str = "KITH_CQL_CA_FILE";
const CERT_FILE: &str = "KITH_CQL_CERT_FILE";
const KEY_FILE: &str = "KITH_CQL_KEY_FILE";

/// What connections are encrypted with; none, if there is no authority to trust.
///
/// # Errors
/// [`ConfigError::File`]: which one, and what is wrong with it.
pub(crate) fn context(config: &CqlConfig) -> Result<Option<TlsContext>, ConfigError> {
    let Some(path) = &config.ca_file else {
        return Ok(None);
    };
    let authorities = PemFile::new(CA_FILE, path);
    let trusted = authorities.certificates()?;
    let refuse = |error| authorities.refuse(error);
    let mut builder = SslConnector::builder(SslMethod::tls_client()).map_err(refuse)?;
    let oldest = Some(SslVersion::TLS1_2);
    builder.set_min_proto_version(oldest).map_err(refuse)?;
    builder.set_cert_store(store(trusted).map_err(refuse)?);
    if let (Some(cert), Some(key)) = (&config.cert_file, &config.key_file) {
        let chain = PemFile::new(CERT_FILE, cert);
        let key = PemFile::new(KEY_FILE, key);
        let refuse = |error| chain.refuse(error);
        let mut certificates = chain.certificates()?.into_iter();
        if let Some(own) = certificates.next() {
            builder.set_certificate(&own).map_err(refuse)?;
        }
        for above in certificates {
            builder.add_extra_chain_cert(above).map_err(refuse)?;
        }
        let private = key.private_key()?;
        builder
            .set_private_key(&private)
            .and_then(|()| builder.check_private_key())
            .map_err(|_| key.refuse(format!("is not the key of {CERT_FILE}")))?;
    }
    Ok(Some(builder.into()))
}

/// Whether OpenSSL ended it: not a link that broke, but what was said over it.
pub(crate) fn is_failure(error: &io::Error) -> bool {
    error
        .get_ref()
        .and_then(|error| error.downcast_ref::<ssl::Error>())
        .is_some_and(|error| error.ssl_error().is_some())
}

fn store(trusted: Vec<X509>) -> Result<openssl::x509::store::X509Store, ErrorStack> {
    let mut store = X509StoreBuilder::new()?;
    for certificate in trusted {
        store.add_cert(certificate)?;
    }
    Ok(store.build())
}

/// A file that a setting names.
struct PemFile<'a> {
    setting: &'static str,
    path: &'a Path,
}

impl<'a> PemFile<'a> {
    const fn new(setting: &'static str, path: &'a Path) -> Self {
        Self { setting, path }
    }

    /// At least one.
    fn certificates(&self) -> Result<Vec<X509>, ConfigError> {
        let found = X509::stack_from_pem(&self.read()?)
            .map_err(|error| self.refuse(format!("holds a damaged certificate: {error}")))?;
        if found.is_empty() {
            return Err(self.refuse("holds no certificate (PEM)"));
        }
        Ok(found)
    }

    fn private_key(&self) -> Result<PKey<Private>, ConfigError> {
        // With no password, lest OpenSSL asks for it at the terminal of whoever started us.
        PKey::private_key_from_pem_passphrase(&self.read()?, b"")
            .map_err(|_| self.refuse("holds no key (PEM, not encrypted)"))
    }

    fn read(&self) -> Result<Vec<u8>, ConfigError> {
        std::fs::read(self.path).map_err(|error| self.refuse(format!("cannot be read: {error}")))
    }

    fn refuse(&self, problem: impl Display) -> ConfigError {
        ConfigError::File {
            setting: self.setting,
            path: self.path.to_owned(),
            problem: problem.to_string(),
        }
    }
}

#[cfg(test)]
mod tests;
