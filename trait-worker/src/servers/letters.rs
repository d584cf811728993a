//! `dead-letters`: what was put aside, looked at and sent to the traits topic again.
//!
//! A letter stays where it is. What was sent again is told by a receipt behind it (`kith_profiles::letters::Buried`), written when the
//! records are acknowledged: whoever dies in between sends them once more, which changes nothing. Payloads, keys and the
//! headers of strangers are personal data, and are shown for one letter at a time, when asked for.

use std::time::Duration;

use clap::Subcommand;
use kith_kafka::KafkaConfig;
use kith_profiles::error::PortError;
use kith_profiles::ports::LogRecord;
use kith_runtime::config::{ConfigError, Settings};
use kith_runtime::lifecycle::{ComponentError, Exit};
use kith_runtime::output::note;
use kith_servers::doctor::chain;

mod list;
mod redrive;
mod show;
mod survey;

use redrive::Redrive;
use trait_worker::letters::{List, Show};

/// A log that is silent for so long is away.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// Records and bytes that are taken together.
const BATCH_RECORDS: usize = 500;
const BATCH_BYTES: usize = 4 << 20;
/// How long leaving the log may take.
const CLOSE: Duration = Duration::from_secs(5);

/// What is asked for.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Letters {
    /// Print the dead letters, one line each, with no content
    ///
    /// Tab separated: PARTITION:OFFSET of the letter, when it was put aside, the reason, what this version says of the record
    /// now (ok, or the reason), TOPIC:PARTITION:OFFSET where it was read, bytes of the key, bytes of the payload, how often it had
    /// been redriven before, and whether it was redriven since.
    List(List),
    /// Print what is known of one letter
    Show(Show),
    /// Send letters to the traits topic again, as they were
    ///
    /// Each with its own key, payload, headers and time. Letters that were sent before are left out. May be interrupted and given
    /// again. A record that is still invalid comes back as a new letter, which says how often it was redriven.
    Redrive(Redrive),
}

/// Does it.
pub(crate) async fn run(
    asked: Letters,
    settings: &Settings,
    kafka: KafkaConfig,
) -> Result<Exit, ConfigError> {
    let looked = match asked {
        Letters::List(list) => list::run(&list, &kafka).await,
        Letters::Show(show) => show::run(&show, &kafka).await,
        Letters::Redrive(redrive) => return redrive::run(redrive, settings, kafka).await,
    };
    Ok(match looked {
        Ok(exit) => exit,
        Err(error) => {
            note(&chain(&*error));
            Exit::Failed
        }
    })
}

/// The next letters and receipts of a reader; none at the end. A log that is silent is an error.
async fn next(reader: &mut kith_kafka::TopicReader) -> Result<Vec<LogRecord>, ComponentError> {
    batch(reader, BATCH_RECORDS).await
}

async fn batch(
    reader: &mut kith_kafka::TopicReader,
    records_max: usize,
) -> Result<Vec<LogRecord>, ComponentError> {
    let records = reader.batch(records_max, BATCH_BYTES);
    match tokio::time::timeout(SILENCE_MAX, records).await {
        Ok(records) => Ok(records?),
        Err(elapsed) => Err(PortError::unavailable("read", elapsed).into()),
    }
}
