//! Whether there is a cluster that lets us in, and if not, why: asked before topics are looked at or created, since the
//! client for topics keeps what it hears of its links to itself.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::client;
use crate::config::KafkaConfig;
use crate::context::{log, note};
use crate::error::SetupError;

/// How long to listen for reasons once it is clear that there is no answer. They are there already.
const LISTEN: Duration = Duration::from_millis(200);

/// Asks a broker.
pub(crate) async fn reach(config: &KafkaConfig, limit: Duration) -> Result<(), SetupError> {
    // A consumer without a group: the plainest client that the bindings have.
    let probe: BaseConsumer<ProbeContext> = client::admin(config)?
        .create_with_context(ProbeContext::default())
        .map_err(client::refused)?;
    let topic = config.traits_topic.clone();
    tokio::task::spawn_blocking(move || ask(&probe, &topic, limit))
        .await
        .unwrap_or(Err(SetupError::Unreachable {
            error: KafkaError::Canceled,
            reported: None,
        }))
}

fn ask(probe: &BaseConsumer<ProbeContext>, topic: &str, limit: Duration) -> Result<(), SetupError> {
    let Err(error) = probe.fetch_metadata(Some(topic), limit) else {
        return Ok(());
    };
    let start = Instant::now();
    while start.elapsed() < LISTEN {
        // The context hears of it, too.
        if let Some(Err(error)) = probe.poll(LISTEN / 4) {
            tracing::debug!(%error, "client error");
        }
    }
    let reported = probe.context().reported();
    Err(SetupError::Unreachable { error, reported })
}

#[derive(Default)]
struct ProbeContext {
    reported: Mutex<Option<String>>,
}

impl ProbeContext {
    /// What it last said about its links.
    fn reported(&self) -> Option<String> {
        let reported = self.reported.lock();
        reported.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ClientContext for ProbeContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log("probe", level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        note("probe", &error, reason);
        // That all brokers are down follows from the others, and says less.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            let reported = self.reported.lock();
            *reported.unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
        }
    }
}

impl ConsumerContext for ProbeContext {}
