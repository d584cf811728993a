//! Export of traces by OTLP, as the standard variables say.
//!
//! | Variable | Meaning here |
//! |---|---|
//! | `OTEL_SDK_DISABLED` | `true`: no export, whatever the others say |
//! | `OTEL_TRACES_EXPORTER` | `otlp` or `none`; not set: `otlp` if there is an endpoint |
//! | `OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` | the collector; `http` only, no TLS is built in |
//! | `OTEL_EXPORTER_OTLP_PROTOCOL`, `OTEL_EXPORTER_OTLP_TRACES_PROTOCOL` | `grpc` or `http/protobuf`, which is the default |
//! | `OTEL_EXPORTER_OTLP_HEADERS`, `_TIMEOUT`, and those of `TRACES` | as in the specification |
//! | `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES` | the service, and what else describes it |
//! | `OTEL_TRACES_SAMPLER`, `OTEL_TRACES_SAMPLER_ARG` | which traces are recorded; `parentbased_always_on` by default |
//! | `OTEL_BSP_*` | queue and batches |
//! | `OTEL_PROPAGATORS` | must hold `tracecontext`, the only one there is |
//!
//! The SDK reads them by itself and takes a default for what it does not understand. Here, what decides whether and where
//! spans go is checked first, so that a typing error is told at start and not by traces that are missing.

use opentelemetry::KeyValue;
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider, TracerProviderBuilder,
};
use uuid::Uuid;

use super::drops::{CountedExporter, CountedProcessor, Queue};
use super::sampling::{SAMPLER, SAMPLER_ARG, Sampling, Traces};
use crate::config::ConfigError;

const DISABLED: &str = "OTEL_SDK_DISABLED";
const EXPORTER: &str = "OTEL_TRACES_EXPORTER";
const ENDPOINTS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
];
const PROTOCOLS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
];
const QUEUE: &str = "OTEL_BSP_MAX_QUEUE_SIZE";
const PROPAGATORS: &str = "OTEL_PROPAGATORS";
const NUMBERS: [&str; 5] = [
    QUEUE,
    "OTEL_BSP_SCHEDULE_DELAY",
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
    "OTEL_EXPORTER_OTLP_TIMEOUT",
    "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
];
const QUEUE_DEFAULT: usize = 2048;

/// How spans travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// OTLP over gRPC.
    Grpc,
    /// OTLP over HTTP, binary.
    HttpProtobuf,
}

/// Export as it was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Export {
    /// How spans travel.
    pub protocol: Protocol,
    /// Spans that wait for export; more are dropped.
    pub queue_max: usize,
    /// Which traces are kept.
    pub sampling: Sampling,
}

impl Export {
    /// Reads the variables. `None`: no export.
    ///
    /// # Errors
    /// Names the variable that is malformed, or asks for something that is not built in.
    pub fn from_environment(
        variable: &dyn Fn(&str) -> Result<Option<String>, ConfigError>,
    ) -> Result<Option<Self>, ConfigError> {
        let first =
            |names: [&'static str; 2]| -> Result<Option<(&'static str, String)>, ConfigError> {
                for name in names {
                    if let Some(text) = variable(name)? {
                        return Ok(Some((name, text)));
                    }
                }
                Ok(None)
            };
        // By the specification only "true" is true.
        if variable(DISABLED)?.is_some_and(|text| text.eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        let endpoint = first(ENDPOINTS)?;
        match variable(EXPORTER)?.as_deref() {
            Some("none") => return Ok(None),
            Some("otlp") => {}
            Some(other) => {
                return Err(ConfigError::new(
                    EXPORTER,
                    format!("expected otlp or none, got {other:?}"),
                ));
            }
            None if endpoint.is_none() => return Ok(None),
            None => {}
        }
        if let Some((name, endpoint)) = endpoint {
            check_endpoint(name, &endpoint)?;
        }
        let protocol = match first(PROTOCOLS)? {
            None => Protocol::HttpProtobuf,
            Some((_, text)) if text == "grpc" => Protocol::Grpc,
            Some((_, text)) if text == "http/protobuf" => Protocol::HttpProtobuf,
            Some((name, other)) => {
                let reason = format!("expected grpc or http/protobuf, got {other:?}");
                return Err(ConfigError::new(name, reason));
            }
        };
        let sampling = Sampling::named(
            variable(SAMPLER)?.as_deref(),
            variable(SAMPLER_ARG)?.as_deref(),
        )?;
        let mut queue_max = QUEUE_DEFAULT;
        for name in NUMBERS {
            let Some(text) = variable(name)? else {
                continue;
            };
            match text.parse::<usize>() {
                Ok(number) if number > 0 && name == QUEUE => queue_max = number,
                Ok(number) if number > 0 => {}
                _ => {
                    let reason = format!("expected a whole number above 0, got {text:?}");
                    return Err(ConfigError::new(name, reason));
                }
            }
        }
        if let Some(text) = variable(PROPAGATORS)?
            && !text.split(',').any(|one| one.trim() == "tracecontext")
        {
            return Err(ConfigError::new(
                PROPAGATORS,
                "must hold tracecontext, the only one there is",
            ));
        }
        Ok(Some(Self {
            protocol,
            queue_max,
            sampling,
        }))
    }

    /// Builds the pipeline. Within the runtime, which drives the connection of gRPC.
    ///
    /// # Errors
    /// The exporter cannot be built.
    pub(super) fn traces(self, service: &'static str) -> Result<Traces, ConfigError> {
        let builder = SpanExporter::builder();
        let exporter = match self.protocol {
            Protocol::Grpc => builder
                .with_tonic()
                .with_protocol(opentelemetry_otlp::Protocol::Grpc)
                .build(),
            Protocol::HttpProtobuf => builder
                .with_http()
                .with_protocol(opentelemetry_otlp::Protocol::HttpBinary)
                .build(),
        };
        let exporter = exporter.map_err(|error| ConfigError::new(EXPORTER, error))?;
        Ok(Traces::new(
            pipeline(exporter, self.queue_max, resource(service)),
            self.sampling,
        ))
    }
}

/// The pipeline from spans to an exporter: a queue, a thread, and counts of what is lost on the way.
pub(super) fn pipeline<E>(
    exporter: E,
    queue_max: usize,
    resource: Resource,
) -> TracerProviderBuilder
where
    E: opentelemetry_sdk::trace::SpanExporter + 'static,
{
    let queue = Queue::new(queue_max);
    let config = BatchConfigBuilder::default()
        .with_max_queue_size(queue_max)
        .build();
    let batches = BatchSpanProcessor::builder(CountedExporter::new(exporter, queue.clone()))
        .with_batch_config(config)
        .build();
    SdkTracerProvider::builder()
        .with_span_processor(CountedProcessor::new(batches, queue))
        .with_resource(resource)
}

/// What describes this process in its traces. What the environment says wins over what we know.
fn resource(service: &'static str) -> Resource {
    let given = Resource::builder().build();
    let absent = |key: &'static str| given.get(&key.into()).is_none();
    let mut builder = Resource::builder();
    // Of the name alone the SDK makes one up when nobody says it.
    let name = given
        .get(&"service.name".into())
        .map(|name| name.to_string());
    if name.is_none_or(|name| name.starts_with("unknown_service")) {
        builder = builder.with_service_name(service);
    }
    if absent("service.version") {
        builder =
            builder.with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    }
    if absent("service.instance.id") {
        builder = builder.with_attribute(KeyValue::new(
            "service.instance.id",
            Uuid::new_v4().to_string(),
        ));
    }
    builder.build()
}

/// Built without TLS: a collector stands beside its services. Better a line at start than an error for each batch.
fn check_endpoint(name: &'static str, endpoint: &str) -> Result<(), ConfigError> {
    let uri: Option<actix_web::http::Uri> = endpoint.parse().ok();
    match uri.as_ref().and_then(|uri| uri.scheme_str()) {
        Some("http") => Ok(()),
        Some("https") => Err(ConfigError::new(
            name,
            "https is not built in; send to a collector beside the service",
        )),
        _ => Err(ConfigError::new(
            name,
            format!("expected a URL like http://127.0.0.1:4318, got {endpoint:?}"),
        )),
    }
}
