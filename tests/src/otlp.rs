//! An OTLP receiver in this process, for gRPC and for HTTP with protobuf: it keeps every span it is sent.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::accept::Acceptor;
use crate::privacy;

/// A span, with the service that sent it.
#[derive(Debug, Clone)]
pub struct Received {
    /// `service.name` of its resource.
    pub service: String,
    /// The span.
    pub span: Span,
}

impl Received {
    /// The trace id in hexadecimal.
    #[must_use]
    pub fn trace(&self) -> String {
        hex(&self.span.trace_id)
    }

    /// The span id in hexadecimal.
    #[must_use]
    pub fn id(&self) -> String {
        hex(&self.span.span_id)
    }

    /// The parent's span id in hexadecimal; empty for a root.
    #[must_use]
    pub fn parent(&self) -> String {
        hex(&self.span.parent_span_id)
    }

    /// An attribute as text; empty if it is not there.
    #[must_use]
    pub fn attribute(&self, key: &str) -> String {
        use opentelemetry_proto::tonic::common::v1::any_value::Value;
        let found = self
            .span
            .attributes
            .iter()
            .find(|attribute| attribute.key == key);
        match found.and_then(|attribute| attribute.value.as_ref()?.value.as_ref()) {
            Some(Value::StringValue(text)) => text.clone(),
            Some(Value::IntValue(number)) => number.to_string(),
            Some(Value::BoolValue(value)) => value.to_string(),
            Some(Value::DoubleValue(number)) => number.to_string(),
            _ => String::new(),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

type Spans = Arc<Mutex<Vec<Received>>>;

/// A running receiver. Dropping it ends it.
#[derive(Debug)]
pub struct Receiver {
    /// Where `grpc` exporters send.
    pub grpc: SocketAddr,
    /// Where `http/protobuf` exporters send.
    pub http: SocketAddr,
    spans: Spans,
    serve_grpc: tokio::task::JoinHandle<()>,
    _serve_http: Acceptor,
}

impl Receiver {
    /// Starts a receiver on free ports of loopback.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start() -> Result<Self> {
        let spans = Spans::default();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let grpc = listener.local_addr()?;
        let service = TraceServiceServer::new(Collector(Arc::clone(&spans)));
        let incoming = tonic::transport::server::TcpIncoming::from(listener);
        let serving = tonic::transport::Server::builder().add_service(service);
        let serve_grpc = tokio::task::spawn(async move {
            if let Err(error) = serving.serve_with_incoming(incoming).await {
                eprintln!("the receiver ended: {error}");
            }
        });
        let kept = Arc::clone(&spans);
        let serve_http = Acceptor::start(move |connection| {
            let kept = Arc::clone(&kept);
            async move {
                if let Err(error) = answer_http(connection, &kept).await {
                    eprintln!("a connection of an exporter ended: {error:#}");
                }
            }
        })
        .await?;
        Ok(Self {
            grpc,
            http: serve_http.address(),
            spans,
            serve_grpc,
            _serve_http: serve_http,
        })
    }

    /// Every span so far.
    #[must_use]
    pub fn spans(&self) -> Vec<Received> {
        self.spans
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Searches all spans for values that were sent.
    ///
    /// # Errors
    /// When one is found.
    pub fn check_privacy(&self) -> Result<()> {
        for received in self.spans() {
            privacy::search(
                &format!("span {}", received.span.name),
                &format!("{:?}", received.span),
            )?;
        }
        Ok(())
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serve_grpc.abort();
    }
}

fn keep(spans: &Spans, request: ExportTraceServiceRequest) {
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    let mut kept = spans.lock().unwrap_or_else(PoisonError::into_inner);
    for resource_spans in request.resource_spans {
        let attributes = resource_spans
            .resource
            .map(|resource| resource.attributes)
            .unwrap_or_default();
        let service = attributes
            .into_iter()
            .find(|attribute| attribute.key == "service.name")
            .and_then(|attribute| match attribute.value?.value? {
                Value::StringValue(text) => Some(text),
                _ => None,
            })
            .unwrap_or_default();
        let spans = resource_spans
            .scope_spans
            .into_iter()
            .flat_map(|scope| scope.spans);
        kept.extend(spans.map(|span| Received {
            service: service.clone(),
            span,
        }));
    }
}

#[derive(Debug)]
struct Collector(Spans);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        keep(&self.0, request.into_inner());
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

/// Enough of HTTP/1.1 for an exporter: requests with a content length, one after another.
async fn answer_http(mut connection: TcpStream, spans: &Spans) -> Result<()> {
    let mut buffer = Vec::new();
    loop {
        let head = loop {
            if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            let mut chunk = [0; 16 << 10];
            let read = connection.read(&mut chunk).await?;
            if read == 0 {
                return Ok(());
            }
            buffer.extend_from_slice(&chunk[..read]);
        };
        let text = String::from_utf8_lossy(&buffer[..head]).to_lowercase();
        let length = text
            .lines()
            .find_map(|line| {
                line.strip_prefix("content-length:")?
                    .trim()
                    .parse::<usize>()
                    .ok()
            })
            .unwrap_or(0);
        while buffer.len() < head + length {
            let mut chunk = [0; 16 << 10];
            let read = connection.read(&mut chunk).await?;
            anyhow::ensure!(read > 0, "cut");
            buffer.extend_from_slice(&chunk[..read]);
        }
        keep(
            spans,
            ExportTraceServiceRequest::decode(&buffer[head..head + length])?,
        );
        buffer.drain(..head + length);
        let answer =
            "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
        connection.write_all(answer.as_bytes()).await?;
    }
}
