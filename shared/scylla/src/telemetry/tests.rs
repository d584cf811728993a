use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Mutex;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusBuilder;
use scylla::errors::{DbError, ExecutionError, RequestAttemptError, WriteType};
use scylla::statement::Consistency;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use super::*;
use crate::statements::{ALL, STORE_BATCH};

/// All that spans and events said, by field.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<BTreeMap<String, String>>>);

impl Seen {
    fn get(&self, field: &str) -> Option<String> {
        self.0.lock().unwrap().get(field).cloned()
    }
}

impl Visit for &Seen {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.lock().unwrap().insert(
            field.name().to_owned(),
            format!("{value:?}").replace('"', ""),
        );
    }
}

impl<S: tracing::Subscriber> Layer<S> for Seen {
    fn on_new_span(&self, attributes: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        attributes.record(&mut &*self);
    }

    fn on_record(&self, _: &Id, values: &Record<'_>, _: Context<'_, S>) {
        values.record(&mut &*self);
    }

    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        event.record(&mut &*self);
    }
}

fn telemetry() -> Telemetry {
    Telemetry {
        system: "cassandra",
        namespace: "kith".into(),
    }
}

fn link() -> &'static Text {
    ALL.iter().find(|text| text.word == "link").unwrap()
}

/// What spans and logs say, and what metrics do, of one conditional statement.
fn observe(
    text: &Text,
    result: Result<Option<bool>, StatementError>,
) -> (Option<Option<bool>>, Seen, String) {
    let recorder = PrometheusBuilder::new().build_recorder();
    let seen = Seen::default();
    let subscriber = tracing_subscriber::registry().with(seen.clone());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let answer = tracing::subscriber::with_default(subscriber, || {
        metrics::with_local_recorder(&recorder, || {
            runtime.block_on(telemetry().conditional(text, async { result }, |applied| *applied))
        })
    });
    (answer, seen, recorder.handle().render())
}

fn write_timeout() -> StatementError {
    let class = DbError::WriteTimeout {
        consistency: Consistency::LocalSerial,
        received: 1,
        required: 2,
        write_type: WriteType::Cas,
    };
    let attempt = RequestAttemptError::DbError(class, "contention".to_owned());
    StatementError::new(ExecutionError::LastAttemptError(attempt))
}

#[test]
fn a_span_says_what_was_sent_and_where() {
    let (answer, seen, metrics) = observe(link(), Ok(Some(true)));
    assert_eq!(answer, Some(Some(true)));
    for (field, value) in [
        ("otel.name", "UPDATE node"),
        ("otel.kind", "client"),
        ("db.system.name", "cassandra"),
        ("db.namespace", "kith"),
        ("db.operation.name", "UPDATE"),
        ("db.collection.name", "node"),
        ("kith.statement", "link"),
    ] {
        assert_eq!(seen.get(field).as_deref(), Some(value), "{field}");
    }
    assert_eq!(seen.get("error.type"), None);
    let line = r#"kith_db_statement_seconds_count{operation="link",collection="node",outcome="applied"} 1"#;
    assert!(metrics.contains(line), "{metrics}");
    assert!(!metrics.contains(UNKNOWN_OUTCOMES), "{metrics}");
}

#[test]
fn a_refusal_is_no_error() {
    let (answer, seen, metrics) = observe(link(), Ok(Some(false)));
    assert_eq!(answer, Some(Some(false)));
    assert_eq!(seen.get("error.type"), None);
    assert!(metrics.contains(r#"outcome="refused"} 1"#), "{metrics}");
}

#[test]
fn an_unknown_outcome_is_counted_logged_and_marked() {
    let timeout = StatementError::new(ExecutionError::RequestTimeout(Duration::from_secs(2)));
    let cases = [
        (Err(write_timeout()), "write_timeout"),
        (Err(timeout), "client_timeout"),
        (Ok(None), "bad_response"),
    ];
    for (result, kind) in cases {
        let (answer, seen, metrics) = observe(&STORE_BATCH, result);
        assert_eq!(answer, None, "{kind}");
        assert_eq!(seen.get("error.type").as_deref(), Some(kind));
        assert_eq!(seen.get("otel.status_code").as_deref(), Some("ERROR"));
        let message =
            format!("outcome of conditional statement 'create store_control' is unknown ({kind})");
        assert_eq!(seen.get("message"), Some(message));
        let line =
            r#"kith_db_unknown_outcomes_total{operation="create",collection="store_control"} 1"#;
        assert!(metrics.contains(line), "{metrics}");
        assert!(metrics.contains(r#"outcome="unknown"} 1"#), "{metrics}");
    }
}
