//! A real OpenTelemetry Collector, the program of `tests/deploy/collector`, as `deploy/compose` configures it; but on ports of its
//! own, and with a file in Jaeger's place.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kith_tests::poll::until;
use kith_tests::process::free_address;
use kith_tests::servers::workspace;
use serde_json::json;
use tempfile::TempDir;

/// By then it listens.
const PATIENCE: Duration = Duration::from_secs(60);

/// A span, as the Collector understood it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Span {
    pub(crate) service: String,
    pub(crate) trace: String,
    pub(crate) parent: String,
    pub(crate) id: String,
    pub(crate) kind: String,
}

/// A running Collector. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Collector {
    /// Where `grpc` exporters send.
    pub(crate) grpc: SocketAddr,
    /// Where `http/protobuf` exporters send.
    pub(crate) http: SocketAddr,
    /// Where it shows metrics of its own.
    pub(crate) metrics: SocketAddr,
    child: Child,
    dir: TempDir,
}

/// The configuration that is shipped.
pub(crate) fn shipped() -> PathBuf {
    workspace().join("deploy/compose/otel-collector.yaml")
}

/// The program.
pub(crate) fn program() -> Result<Command> {
    let path = workspace().join("tests/deploy/bin/collector");
    ensure!(
        path.exists(),
        "{} is missing: run `make verify-deploy`",
        path.display()
    );
    let mut program = Command::new(path);
    program.stdin(Stdio::null());
    Ok(program)
}

impl Collector {
    /// Starts one, and waits until it listens.
    pub(crate) async fn start() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let (grpc, http, metrics) = (free_address()?, free_address()?, free_address()?);
        // What is said twice counts as said here.
        let here = json!({
            "receivers": { "otlp": { "protocols": {
                "grpc": { "endpoint": grpc.to_string() },
                "http": { "endpoint": http.to_string() },
            } } },
            "exporters": { "debug": {
                "verbosity": "detailed",
                "use_internal_logger": false,
                "output_paths": [dir.path().join("spans")],
            } },
            "service": {
                "telemetry": { "metrics": { "readers": [{ "pull": { "exporter": { "prometheus": {
                    "host": metrics.ip().to_string(), "port": metrics.port(),
                } } } }] } },
                "pipelines": { "traces": { "exporters": ["debug"] } },
            },
        });
        let file = dir.path().join("here.yaml");
        // JSON is YAML, too.
        fs::write(&file, serde_json::to_vec(&here)?)?;
        let child = program()?
            .arg(format!("--config=file:{}", shipped().display()))
            .arg(format!("--config=file:{}", file.display()))
            .stdout(Stdio::null())
            .stderr(fs::File::create(dir.path().join("log"))?)
            .spawn()?;
        let collector = Self {
            grpc,
            http,
            metrics,
            child,
            dir,
        };
        let listens = until(PATIENCE, "the Collector listens", || async {
            for address in [grpc, http, metrics] {
                tokio::net::TcpStream::connect(address).await?;
            }
            Ok(Some(()))
        });
        listens.await.with_context(|| collector.text("log"))?;
        Ok(collector)
    }

    fn text(&self, file: &str) -> String {
        fs::read_to_string(self.dir.path().join(file)).unwrap_or_default()
    }

    /// Everything that it was sent, as text.
    pub(crate) fn printed(&self) -> String {
        self.text("spans")
    }

    /// Every span that it was sent, whole.
    pub(crate) fn spans(&self) -> Vec<Span> {
        spans(&self.printed())
    }
}

/// The spans of what the exporter prints: a resource with its attributes, and then its spans, a line for each of their fields.
fn spans(printed: &str) -> Vec<Span> {
    let (mut spans, mut service) = (Vec::<Span>::new(), String::new());
    for line in printed.lines() {
        if let Some(name) = line.strip_prefix("     -> service.name: Str(") {
            service = name.trim_end_matches(')').to_owned();
        } else if line.starts_with("Span #") {
            let service = service.clone();
            spans.push(Span {
                service,
                ..Span::default()
            });
        } else if let (Some(span), Some((field, value))) = (spans.last_mut(), line.split_once(": "))
        {
            let value = value.to_owned();
            // Attributes and links have more in front of their names.
            match field.strip_prefix("    ").map(str::trim_end) {
                Some("Trace ID") => span.trace = value,
                Some("Parent ID") => span.parent = value,
                Some("ID") => span.id = value,
                Some("Kind") => span.kind = value,
                _ => {}
            }
        }
    }
    // What is printed while it is read may end in the middle of a span.
    spans.retain(|span| !span.kind.is_empty());
    spans
}

impl Drop for Collector {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn spans_are_read_from_what_is_printed() {
    let printed = "ResourceSpans #0\nResource attributes:\n     -> service.name: Str(kith)\nScopeSpans #0\nSpan #0\n    \
                   Trace ID       : 01\n    Parent ID      : 02\n    ID             : 03\n    Name           : a: b\n    \
                   Kind           : Server\nLinks:\nSpanLink #0\n     -> Trace ID: 09\n     -> ID: 09\nSpan #1\n    \
                   Trace ID       : 01\n";
    let spans = spans(printed);
    let [span] = &spans[..] else {
        panic!("{spans:?}");
    };
    assert_eq!(
        [
            &span.service,
            &span.trace,
            &span.parent,
            &span.id,
            &span.kind
        ],
        ["kith", "01", "02", "03", "Server"]
    );
}
