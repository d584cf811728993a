//! The metrics of the log: names, meaning, units, labels.

use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};

use std::time::Duration;

use kith_profiles::error::PublishError;
use rdkafka::error::KafkaError;

/// Time from handing a record to the client to its acknowledgement or error. Label `outcome`: `ok`, `full`, `too_large`,
/// `unavailable`.
pub const PUBLISH_SECONDS: &str = "kith_publish_seconds";

/// The same for dead letters.
pub const DEAD_LETTER_SECONDS: &str = "kith_dead_letter_seconds";

/// Changes of ownership that this consumer was told. Label `kind`: `assigned`, `revoked`, `lost`.
pub const REBALANCES: &str = "kith_log_rebalances_total";

/// Errors that the client library reported on its own account: links, brokers, authorisation. Labels `client`: `producer`,
/// `consumer`; `error`: the library's name of it. Only whether it grows means something: of a producer the bindings
/// report each event twice.
pub const CLIENT_ERRORS: &str = "kith_log_client_errors_total";

/// Records between the last one delivered and the next that the log still had: they were removed before they were read, so
/// retention is shorter than the lag. Anything but zero is a loss.
pub const RECORDS_MISSED: &str = "kith_log_records_missed_total";

/// Gives the recorder that is installed the meanings and units. Once, at start.
pub fn describe() {
    describe_histogram!(
        PUBLISH_SECONDS,
        Unit::Seconds,
        "Time to the acknowledgement of a record by the log, or to the error"
    );
    describe_histogram!(
        DEAD_LETTER_SECONDS,
        Unit::Seconds,
        "Time to the acknowledgement of a dead letter, or to the error"
    );
    describe_counter!(REBALANCES, Unit::Count, "Changes of partition ownership");
    describe_counter!(
        CLIENT_ERRORS,
        Unit::Count,
        "Errors that the Kafka client reported on its own account"
    );
    describe_counter!(
        RECORDS_MISSED,
        Unit::Count,
        "Records that retention removed before they were read"
    );
}

pub(crate) fn sent(name: &'static str, result: &Result<(), PublishError>, took: Duration) {
    histogram!(name, "outcome" => PublishError::outcome(result)).record(took.as_secs_f64());
}

pub(crate) fn rebalanced(kind: &'static str) {
    counter!(REBALANCES, "kind" => kind).increment(1);
}

pub(crate) fn client_error(client: &'static str, error: &KafkaError) {
    let code = error
        .rdkafka_error_code()
        .map_or_else(|| "other".to_owned(), |code| format!("{code:?}"));
    counter!(CLIENT_ERRORS, "client" => client, "error" => code).increment(1);
}

pub(crate) fn missed(records: u64) {
    counter!(RECORDS_MISSED).increment(records);
}
