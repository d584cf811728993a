//! TLS at the listener: a certificate and its key, read from two files and followed as they change.
//!
//! TLS 1.2 and 1.3, HTTP/1.1 only. Clients are not asked for certificates: who calls is told by credentials.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{DEFAULT_VERSIONS, ServerConfig};
use tokio_rustls::TlsAcceptor;
use tracing::{info, warn};

use crate::config::{
    ConfigError, Setting, Settings,
    table::{TLS_CERT_FILE, TLS_KEY_FILE},
};
use crate::lifecycle::{ComponentError, Shutdown};
use crate::looks::look_every;

#[cfg(test)]
mod tests;

/// How often a process looks at the two files. A change is in force after two looks.
pub const WATCH_EVERY: Duration = Duration::from_secs(10);

/// The certificate of a listener. Clones are the same: what one [watches](Self::watch), all show.
#[derive(Clone)]
pub struct ListenerTls {
    shown: Arc<Shown>,
    files: Files,
    config: Arc<ServerConfig>,
}

impl ListenerTls {
    /// The certificate that settings name; `None` if they name none.
    ///
    /// # Errors
    /// Names the setting whose file cannot be read, or is not what it should be.
    pub fn from_settings(settings: &Settings) -> Result<Option<Self>, ConfigError> {
        let cert: Option<PathBuf> = settings.get_opt(&TLS_CERT_FILE)?;
        let key: Option<PathBuf> = settings.get_opt(&TLS_KEY_FILE)?;
        let (Some(cert), Some(key)) = (cert, key) else {
            return Ok(None);
        };
        Self::read(Files { cert, key })
            .map(Some)
            .map_err(|fault| settings.refuse(fault.setting, fault.reason))
    }

    fn read(files: Files) -> Result<Self, Fault> {
        let key = files.read()?.certified()?;
        let shown = Arc::new(Shown(ArcSwap::from_pointee(key)));
        let versions = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(DEFAULT_VERSIONS)
            .map_err(|error| Fault::of_certificate(&error))?;
        let resolver: Arc<dyn ResolvesServerCert> = shown.clone();
        let mut config = versions.with_no_client_auth().with_cert_resolver(resolver);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            shown,
            files,
            config: Arc::new(config),
        })
    }

    /// What takes connections.
    #[must_use]
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.config))
    }

    /// Shows what the files have, looking at them `every` so often, until the stage is shut down. Files that are no
    /// certificate and its key change nothing, and a log line says it.
    ///
    /// # Errors
    /// Never, but for a bug.
    pub async fn watch(self, every: Duration, shutdown: Shutdown) -> Result<(), ComponentError> {
        look_every(every, shutdown, Watched::new(self), Watched::look).await
    }
}

/// Tells nothing of the key.
impl fmt::Debug for ListenerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ListenerTls")
            .field(&self.files.cert)
            .finish()
    }
}

/// The certificate that is shown now.
struct Shown(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shown")
    }
}

/// Where certificate and key are.
#[derive(Clone)]
struct Files {
    cert: PathBuf,
    key: PathBuf,
}

/// What is in them.
#[derive(Clone, PartialEq, Eq)]
struct Pems {
    cert: Vec<u8>,
    key: Vec<u8>,
}

/// What is wrong with one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fault {
    setting: &'static Setting,
    reason: String,
}

impl Fault {
    fn of_certificate(reason: &dyn fmt::Display) -> Self {
        Self {
            setting: &TLS_CERT_FILE,
            reason: reason.to_string(),
        }
    }

    fn of_key(reason: &dyn fmt::Display) -> Self {
        Self {
            setting: &TLS_KEY_FILE,
            reason: reason.to_string(),
        }
    }
}

impl Files {
    fn read(&self) -> Result<Pems, Fault> {
        let cert = std::fs::read(&self.cert)
            .map_err(|error| Fault::of_certificate(&format_args!("cannot be read: {error}")))?;
        let key = std::fs::read(&self.key)
            .map_err(|error| Fault::of_key(&format_args!("cannot be read: {error}")))?;
        Ok(Pems { cert, key })
    }
}

impl Pems {
    /// The chain and its key, if they belong together.
    fn certified(&self) -> Result<CertifiedKey, Fault> {
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&self.cert)
            .collect::<Result<_, _>>()
            .map_err(|error| Fault::of_certificate(&error))?;
        if chain.is_empty() {
            return Err(Fault::of_certificate(&"holds no certificate (PEM)"));
        }
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|_| Fault::of_key(&"holds no private key (PEM)"))?;
        CertifiedKey::from_der(chain, key, &ring::default_provider())
            .map_err(|error| Fault::of_certificate(&format_args!("and its key: {error}")))
    }
}

/// The files between two looks. They are taken once they were read twice in a row: half a file may be a certificate, too.
struct Watched {
    tls: ListenerTls,
    seen: Option<Result<Pems, Fault>>,
    judged: Option<Result<Pems, Fault>>,
}

impl Watched {
    /// What the files have is judged at first, too: they may have changed since the start.
    const fn new(tls: ListenerTls) -> Self {
        Self {
            tls,
            seen: None,
            judged: None,
        }
    }

    /// Looks once.
    fn look(&mut self) {
        let read = self.tls.files.read();
        let again = self.seen.as_ref() == Some(&read);
        self.seen = Some(read);
        if again && self.judged != self.seen {
            self.judged.clone_from(&self.seen);
            self.judge();
        }
    }

    fn judge(&self) {
        let Some(read) = &self.judged else { return };
        match read.clone().and_then(|pems| pems.certified()) {
            Ok(key) if key.cert == self.tls.shown.0.load().cert => {}
            Ok(key) => {
                self.tls.shown.0.store(Arc::new(key));
                info!("the listener shows another certificate");
            }
            Err(Fault { setting, reason }) => {
                let setting = setting.variable();
                warn!(
                    setting,
                    error = reason,
                    "the listener's certificate is refused, the one before stays"
                );
            }
        }
    }
}
