use std::path::PathBuf;

use secrecy::SecretString;

use super::*;

fn sasl(protocol: SecurityProtocol) -> SecurityConfig {
    SecurityConfig {
        protocol,
        sasl_mechanism: Some(SaslMechanism::Plain),
        sasl_username: Some("kith".to_owned()),
        sasl_password: Some(SecretString::from("hunter2")),
        ..SecurityConfig::default()
    }
}

fn with(security: SecurityConfig) -> KafkaConfig {
    KafkaConfig {
        security,
        ..KafkaConfig::default()
    }
}

#[test]
fn the_defaults_are_valid() {
    assert_eq!(KafkaConfig::default().validate(), Ok(()));
}

#[test]
fn the_dead_letter_topic_is_named_after_the_traits_topic() {
    let mut config = KafkaConfig::default();
    assert_eq!(config.dead_letter_topic(), "kith.traits.dead");
    config.dead_letter_topic = Some("elsewhere".to_owned());
    assert_eq!(config.dead_letter_topic(), "elsewhere");
}

#[test]
fn dead_letters_do_not_go_where_they_came_from() {
    let config = KafkaConfig {
        dead_letter_topic: Some("kith.traits".to_owned()),
        ..KafkaConfig::default()
    };
    assert!(matches!(
        config.validate(),
        Err(ConfigError::Invalid {
            setting: setting::DEAD_LETTER_TOPIC,
            ..
        })
    ));
}

#[test]
fn sasl_without_tls_needs_no_openssl_for_plain() {
    assert_eq!(
        with(sasl(SecurityProtocol::SaslPlaintext)).validate(),
        Ok(())
    );
}

#[test]
fn tls_without_openssl_is_an_error_that_names_the_setting() {
    let result = with(sasl(SecurityProtocol::SaslSsl)).validate();
    if cfg!(feature = "ssl") {
        assert_eq!(result, Ok(()));
    } else {
        assert_eq!(
            result,
            Err(ConfigError::NeedsTls {
                setting: setting::SECURITY_PROTOCOL,
                value: "sasl_ssl",
            })
        );
    }
}

#[test]
fn scram_without_openssl_is_an_error_that_names_the_setting() {
    let mut security = sasl(SecurityProtocol::SaslPlaintext);
    security.sasl_mechanism = Some(SaslMechanism::ScramSha512);
    let result = with(security).validate();
    if cfg!(feature = "ssl") {
        assert_eq!(result, Ok(()));
    } else {
        assert_eq!(
            result,
            Err(ConfigError::NeedsTls {
                setting: setting::SASL_MECHANISM,
                value: "SCRAM-SHA-512",
            })
        );
    }
}

#[test]
fn credentials_that_nobody_would_use_are_refused() {
    assert!(matches!(
        with(sasl(SecurityProtocol::Plaintext)).validate(),
        Err(ConfigError::Useless {
            setting: setting::SASL_MECHANISM,
            ..
        })
    ));
    let security = SecurityConfig {
        ca_file: Some(PathBuf::from("/ca.pem")),
        ..SecurityConfig::default()
    };
    assert!(matches!(
        with(security).validate(),
        Err(ConfigError::Useless {
            setting: setting::CA_FILE,
            ..
        })
    ));
}

#[test]
fn a_sasl_protocol_without_a_password_is_refused() {
    let mut security = sasl(SecurityProtocol::SaslPlaintext);
    security.sasl_password = None;
    assert!(matches!(
        with(security).validate(),
        Err(ConfigError::Missing {
            setting: setting::SASL_PASSWORD,
            ..
        })
    ));
}

#[test]
fn the_password_is_not_in_the_debug_form() {
    let text = format!("{:?}", with(sasl(SecurityProtocol::SaslPlaintext)));
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn a_topic_cannot_ask_for_more_replicas_in_sync_than_it_has() {
    let mut config = KafkaConfig::default();
    config.topics.replication_factor = 1;
    assert!(matches!(
        config.validate(),
        Err(ConfigError::Invalid {
            setting: setting::MIN_INSYNC_REPLICAS,
            ..
        })
    ));
    config.topics.min_insync_replicas = 1;
    assert_eq!(config.validate(), Ok(()));
}

#[test]
fn names_of_protocols_and_mechanisms_are_kafkas_in_any_case() {
    assert_eq!("SASL_SSL".parse(), Ok(SecurityProtocol::SaslSsl));
    assert_eq!("plaintext".parse(), Ok(SecurityProtocol::Plaintext));
    assert_eq!("scram-sha-256".parse(), Ok(SaslMechanism::ScramSha256));
    assert!("tls".parse::<SecurityProtocol>().is_err());
    assert!("GSSAPI".parse::<SaslMechanism>().is_err());
}

#[test]
fn topic_names_follow_kafkas_rule() {
    for bad in ["", ".", "..", "a b", "ä", &"x".repeat(250)] {
        let config = KafkaConfig {
            traits_topic: bad.to_owned(),
            dead_letter_topic: Some("dead".to_owned()),
            ..KafkaConfig::default()
        };
        assert!(config.validate().is_err(), "{bad:?}");
    }
}
