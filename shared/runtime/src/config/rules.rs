//! What two settings together may not say.

use std::time::Duration;

use super::table::{
    CQL_CA_FILE, CQL_CERT_FILE, CQL_KEY_FILE, CQL_PASSWORD_FILE, CQL_USERNAME, KAFKA_CA_FILE,
    KAFKA_CERT_FILE, KAFKA_KEY_FILE, KAFKA_SASL_MECHANISM, KAFKA_SASL_PASSWORD_FILE,
    KAFKA_SASL_USERNAME, KAFKA_SECURITY_PROTOCOL, RATE_LIMIT, RATE_LIMIT_BURST, REQUEST_DEADLINE,
    SHUTDOWN_GRACE, TLS_CERT_FILE, TLS_KEY_FILE,
};
use super::{ConfigError, Setting, Settings};

/// Checks the settings against each other. One that a binary does not take contradicts nothing.
pub(super) fn check(settings: &Settings) -> Result<(), ConfigError> {
    needs(settings, &CQL_USERNAME, &CQL_PASSWORD_FILE)?;
    needs(settings, &CQL_PASSWORD_FILE, &CQL_USERNAME)?;
    needs(settings, &CQL_CERT_FILE, &CQL_KEY_FILE)?;
    needs(settings, &CQL_KEY_FILE, &CQL_CERT_FILE)?;
    // It starts TLS; without it nobody would be shown a certificate.
    needs(settings, &CQL_CERT_FILE, &CQL_CA_FILE)?;
    needs(settings, &RATE_LIMIT_BURST, &RATE_LIMIT)?;
    needs(settings, &TLS_CERT_FILE, &TLS_KEY_FILE)?;
    needs(settings, &TLS_KEY_FILE, &TLS_CERT_FILE)?;

    let protocol = settings.text(&KAFKA_SECURITY_PROTOCOL).unwrap_or_default();
    for setting in [
        &KAFKA_SASL_MECHANISM,
        &KAFKA_SASL_USERNAME,
        &KAFKA_SASL_PASSWORD_FILE,
    ] {
        match (
            protocol.starts_with("SASL_"),
            settings.text(setting).is_some(),
        ) {
            (true, false) => {
                return Err(settings.refuse(setting, format!("is required with {protocol}")));
            }
            // Somebody who gives a password and sends none would believe the connection is guarded.
            (false, true) => return Err(without_effect(settings, setting, protocol)),
            (true, true) | (false, false) => {}
        }
    }
    for setting in [&KAFKA_CA_FILE, &KAFKA_CERT_FILE, &KAFKA_KEY_FILE] {
        if settings.text(setting).is_some() && !protocol.ends_with("SSL") {
            return Err(without_effect(settings, setting, protocol));
        }
    }
    needs(settings, &KAFKA_CERT_FILE, &KAFKA_KEY_FILE)?;
    needs(settings, &KAFKA_KEY_FILE, &KAFKA_CERT_FILE)?;

    let grace: Option<Duration> = settings.get_opt(&SHUTDOWN_GRACE)?;
    let deadline: Option<Duration> = settings.get_opt(&REQUEST_DEADLINE)?;
    if let (Some(grace), Some(deadline)) = (grace, deadline)
        && grace <= deadline
    {
        return Err(settings.refuse(
            &SHUTDOWN_GRACE,
            format!(
                "must be longer than {}, or requests are cut off",
                REQUEST_DEADLINE.variable()
            ),
        ));
    }
    Ok(())
}

fn needs(settings: &Settings, one: &Setting, other: &Setting) -> Result<(), ConfigError> {
    if settings.text(one).is_some() && settings.text(other).is_none() {
        let reason = format!("is required with {}", one.variable());
        return Err(settings.refuse(other, reason));
    }
    Ok(())
}

fn without_effect(settings: &Settings, setting: &Setting, protocol: &str) -> ConfigError {
    let reason = format!(
        "has no effect with {} {protocol}",
        KAFKA_SECURITY_PROTOCOL.variable()
    );
    settings.refuse(setting, reason)
}
