//! Built without OpenSSL: no connection is encrypted, and [`CqlConfig::validate`] refuses the settings that want it.

use std::io;

use scylla::client::session::TlsContext;

use crate::config::CqlConfig;
use crate::error::ConfigError;

/// None.
pub(crate) fn context(config: &CqlConfig) -> Result<Option<TlsContext>, ConfigError> {
    match config.ca_file {
        Some(_) => Err(ConfigError::TlsUnsupported),
        None => Ok(None),
    }
}

/// No.
pub(crate) fn is_failure(_: &io::Error) -> bool {
    false
}
