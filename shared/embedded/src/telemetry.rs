//! Spans and metrics, by OpenTelemetry's names. No keys, no values.

use std::future::Future;
use std::time::Instant;

use kith_profiles::error::PortError;
use metrics::{Histogram, Unit, describe_gauge, describe_histogram, histogram};
use tracing::{Instrument, Span, debug_span, field};

/// How long a call of a port took, by `operation`, `collection` and `outcome` (`ok`, `unknown` or an error).
pub(crate) const STATEMENT_SECONDS: &str = "kith_db_statement_seconds";
/// How long a commit took: staging, journal and memtables.
pub(crate) const COMMIT_SECONDS: &str = "kith_embedded_commit_seconds";
/// How many jobs shared a commit.
pub(crate) const COMMIT_JOBS: &str = "kith_embedded_commit_jobs";
/// How long the disk took to sync the journal.
pub(crate) const SYNC_SECONDS: &str = "kith_embedded_sync_seconds";
/// How many writes wait for the leader.
pub(crate) const QUEUE_JOBS: &str = "kith_embedded_queue_jobs";

/// How many bytes are free on the disk of the data directory.
pub(crate) const DISK_FREE_BYTES: &str = "kith_disk_free_bytes";
/// How many have to be for writes to be taken.
pub(crate) const DISK_FREE_BYTES_MIN: &str = "kith_disk_free_bytes_min";

/// Gives the metrics their meaning, for whatever recorder is installed.
pub(crate) fn describe() {
    describe_histogram!(
        STATEMENT_SECONDS,
        Unit::Seconds,
        "calls of a port of the database, by operation, collection and outcome"
    );
    describe_histogram!(
        COMMIT_SECONDS,
        Unit::Seconds,
        "commits of the embedded engine, from staging to visible"
    );
    describe_histogram!(
        COMMIT_JOBS,
        Unit::Count,
        "writes that shared one commit of the embedded engine"
    );
    describe_histogram!(
        SYNC_SECONDS,
        Unit::Seconds,
        "syncs of the embedded engine's journal"
    );
    describe_gauge!(
        QUEUE_JOBS,
        Unit::Count,
        "writes that wait for the embedded engine"
    );
    describe_gauge!(
        DISK_FREE_BYTES,
        Unit::Bytes,
        "bytes that are free on the disk of the data directory"
    );
    describe_gauge!(
        DISK_FREE_BYTES_MIN,
        Unit::Bytes,
        "free bytes on that disk below which writes are refused"
    );
}

/// A call of a port: its span and its time.
pub(crate) struct Statement {
    span: Span,
    operation: &'static str,
    collection: &'static str,
    when_ok: fn() -> Histogram,
    began: Instant,
}

/// How a call ends that ends well.
const OK: &str = "ok";

/// How a call ended, in a word.
pub(crate) trait Outcome {
    /// `ok`, or the kind of trouble.
    fn label(&self) -> &'static str;
}

impl<T> Outcome for Result<T, PortError> {
    fn label(&self) -> &'static str {
        match self {
            Ok(_) => OK,
            Err(PortError::Unavailable { .. }) => "unavailable",
            Err(PortError::Corrupt { .. }) => "corrupt",
            Err(PortError::Fatal { .. }) => "fatal",
        }
    }
}

impl Outcome for Vec<kith_profiles::ports::Outcome> {
    fn label(&self) -> &'static str {
        if self.contains(&kith_profiles::ports::Outcome::Unknown) {
            "unknown"
        } else {
            OK
        }
    }
}

impl Statement {
    /// Begins a call. The name is the operation and the collection, as the conventions have it. `when_ok` is where the time of
    /// one that ends well belongs: a function of its own for each, so that its labels are made once, and not for each call.
    pub(crate) fn new(
        name: &'static str,
        operation: &'static str,
        collection: &'static str,
        when_ok: fn() -> Histogram,
    ) -> Self {
        // Of a level that only traces take, and of those only sampled ones: a request has several.
        let span = debug_span!(
            "statement",
            otel.name = name,
            otel.kind = "client",
            otel.status_code = field::Empty,
            db.system.name = "fjall",
            db.operation.name = operation,
            db.collection.name = collection,
            "error.type" = field::Empty,
        );
        Self {
            span,
            operation,
            collection,
            when_ok,
            began: Instant::now(),
        }
    }

    /// Runs a call that is done at once.
    pub(crate) fn run<T: Outcome>(self, call: impl FnOnce() -> T) -> T {
        let result = self.span.in_scope(call);
        self.end(&result);
        result
    }

    /// Waits for a call.
    pub(crate) async fn wait<T: Outcome>(self, call: impl Future<Output = T>) -> T {
        let result = call.instrument(self.span.clone()).await;
        self.end(&result);
        result
    }

    fn end<T: Outcome>(&self, result: &T) {
        let outcome = result.label();
        if outcome == OK {
            (self.when_ok)().record(self.began.elapsed());
            return;
        }
        self.span.record("error.type", outcome);
        self.span.record("otel.status_code", "ERROR");
        histogram!(
            STATEMENT_SECONDS,
            "operation" => self.operation,
            "collection" => self.collection,
            "outcome" => outcome,
        )
        .record(self.began.elapsed());
    }
}

/// A [`Statement`] with the name that its operation and collection give it.
macro_rules! statement {
    ($operation:literal, $collection:literal) => {
        $crate::telemetry::Statement::new(
            concat!($operation, " ", $collection),
            $operation,
            $collection,
            || {
                metrics::histogram!(
                    $crate::telemetry::STATEMENT_SECONDS,
                    "operation" => $operation,
                    "collection" => $collection,
                    "outcome" => "ok",
                )
            },
        )
    };
}

pub(crate) use statement;

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use metrics::{Counter, Gauge, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString};

    use super::*;

    /// Notes every value of every histogram, with its labels.
    #[derive(Default)]
    struct Notes(Arc<Mutex<Vec<(String, f64)>>>);

    struct Note(String, Arc<Mutex<Vec<(String, f64)>>>);

    impl HistogramFn for Note {
        fn record(&self, value: f64) {
            self.1.lock().unwrap().push((self.0.clone(), value));
        }
    }

    impl Recorder for Notes {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
            Counter::noop()
        }
        fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
            Gauge::noop()
        }
        fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
            let labels: Vec<_> = key
                .labels()
                .map(|label| format!("{}={}", label.key(), label.value()))
                .collect();
            let name = format!("{} {}", key.name(), labels.join(" "));
            Histogram::from_arc(Arc::new(Note(name, Arc::clone(&self.0))))
        }
    }

    #[test]
    fn a_statement_is_measured_with_its_operation_collection_and_outcome() {
        let notes = Notes::default();
        let seen = Arc::clone(&notes.0);
        metrics::with_local_recorder(&notes, || {
            statement!("read", "claim")
                .run(|| Ok::<(), PortError>(()))
                .unwrap();
            let gone = || PortError::Unavailable {
                operation: "read node",
                cause: None,
            };
            statement!("read", "node")
                .run(|| Err::<(), _>(gone()))
                .unwrap_err();
            let unknown = vec![kith_profiles::ports::Outcome::Unknown];
            statement!("attempt", "node").run(|| unknown);
        });
        let seen = seen.lock().unwrap();
        let names: Vec<_> = seen.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            [
                "kith_db_statement_seconds operation=read collection=claim outcome=ok",
                "kith_db_statement_seconds operation=read collection=node outcome=unavailable",
                "kith_db_statement_seconds operation=attempt collection=node outcome=unknown",
            ]
        );
        assert!(
            seen.iter()
                .all(|(_, seconds)| (0.0..10.0).contains(seconds))
        );
    }
}
