//! Whether there is a cluster that lets us in, and if not, why: asked before topics are looked at or created, since the
//! client for topics keeps what it hears of its links to itself.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::client;
use crate::config::KafkaConfig;
use crate::context::{log, note};
use crate::error::{About, Reported, SetupError};

/// How long to listen for reasons once it is clear that there is no answer. They are there already.
const LISTEN: Duration = Duration::from_millis(200);
/// How long the first question waits. A link that broke may come back before the limit; who is not let in is not going to be, and need
/// not wait for it: that is looked at between two questions, each of which waits twice as long as the one before.
const FIRST_PATIENCE: Duration = Duration::from_secs(1);

/// Asks a broker.
pub(crate) async fn reach(config: &KafkaConfig, limit: Duration) -> Result<(), SetupError> {
    let probe = open(&client::admin(config)?)?;
    let topic = config.traits_topic.clone();
    tokio::task::spawn_blocking(move || ask(&probe, &topic, limit))
        .await
        .unwrap_or(Err(SetupError::Unreachable {
            error: KafkaError::Canceled,
            reported: None,
        }))
}

/// Has the client library read the files of certificates and of the key, as it does for each client, and keeps nothing of them. Nobody is
/// asked for anything.
///
/// # Errors
/// [`SetupError::Client`], naming the setting.
pub fn check_files(config: &KafkaConfig) -> Result<(), SetupError> {
    if config.security.protocol.is_tls() {
        let mut client = client::admin(config)?;
        // It has nobody to go to, and would say so.
        client.remove("bootstrap.servers");
        client.set_log_level(RDKafkaLogLevel::Error);
        open(&client)?;
    }
    Ok(())
}

/// A consumer without a group: the plainest client that the bindings have.
fn open(client: &ClientConfig) -> Result<BaseConsumer<ProbeContext>, SetupError> {
    client
        .create_with_context(ProbeContext::default())
        .map_err(client::refused)
}

fn ask(probe: &BaseConsumer<ProbeContext>, topic: &str, limit: Duration) -> Result<(), SetupError> {
    let deadline = Instant::now() + limit;
    let mut patience = FIRST_PATIENCE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        // The last question has the time of two: nothing is to end a moment before an answer.
        let asked = if patience * 2 > left { left } else { patience };
        let Err(error) = probe.fetch_metadata(Some(topic), asked) else {
            return Ok(());
        };
        listen(probe);
        let reported = probe.context().reported();
        let is_final = reported
            .as_ref()
            .is_some_and(|told| told.about != About::Link);
        if is_final || asked == left {
            return Err(SetupError::Unreachable { error, reported });
        }
        patience *= 2;
    }
}

/// Lets the context hear what there is.
fn listen(probe: &BaseConsumer<ProbeContext>) {
    let start = Instant::now();
    while start.elapsed() < LISTEN {
        if let Some(Err(error)) = probe.poll(LISTEN / 4) {
            tracing::debug!(%error, "client error");
        }
    }
}

#[derive(Default)]
struct ProbeContext {
    reported: Mutex<Option<Reported>>,
}

impl ProbeContext {
    /// What it said about its links.
    fn reported(&self) -> Option<Reported> {
        let reported = self.reported.lock();
        reported.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps what was said last, but not that a link broke where it was said why.
    fn keep(&self, new: Reported) {
        let mut kept = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        let tells_less = |old: &Reported| new.about == About::Link && old.about != About::Link;
        if !kept.as_ref().is_some_and(tells_less) {
            *kept = Some(new);
        }
    }
}

/// What an error with these words is about. A broker that does not take our certificate says so after our half of the handshake: to the
/// library that is a link that broke.
fn about(code: Option<RDKafkaErrorCode>, reason: &str) -> About {
    match code {
        Some(RDKafkaErrorCode::Authentication) => About::Login,
        Some(RDKafkaErrorCode::SSL) => About::Tls,
        None | Some(_) if reason.contains("SSL routines") => About::Tls,
        None | Some(_) => About::Link,
    }
}

impl ClientContext for ProbeContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log("probe", level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        note("probe", &error, reason);
        let code = error.rdkafka_error_code();
        // That all brokers are down follows from the others, and says less.
        if code != Some(RDKafkaErrorCode::AllBrokersDown) {
            self.keep(Reported {
                about: about(code, reason),
                reason: reason.to_owned(),
            });
        }
    }
}

impl ConsumerContext for ProbeContext {}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(said: &[(RDKafkaErrorCode, &str)]) -> (About, String) {
        let context = ProbeContext::default();
        for (code, reason) in said {
            context.error(KafkaError::Global(*code), reason);
        }
        let reported = context.reported().unwrap();
        (reported.about, reported.reason)
    }

    #[test]
    fn why_a_link_broke_is_kept_over_that_it_broke() {
        let broke = (RDKafkaErrorCode::BrokerTransportFailure, "disconnected");
        let down = (RDKafkaErrorCode::AllBrokersDown, "1/1 brokers are down");
        let login = (RDKafkaErrorCode::Authentication, "invalid credentials");
        let tls = (RDKafkaErrorCode::SSL, "certificate verify failed");
        assert_eq!(kept(&[broke, down]), (About::Link, broke.1.to_owned()));
        for (why, about) in [(login, About::Login), (tls, About::Tls)] {
            assert_eq!(kept(&[why, broke, down]), (about, why.1.to_owned()));
            assert_eq!(kept(&[broke, why]), (about, why.1.to_owned()));
        }
        let alert = "SSL routines::tlsv13 alert certificate required";
        let told = kept(&[(RDKafkaErrorCode::BrokerTransportFailure, alert), broke]);
        assert_eq!(told, (About::Tls, alert.to_owned()));
    }
}
