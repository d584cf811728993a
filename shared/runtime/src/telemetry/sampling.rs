//! Which traces are kept, decided before anything of them is made.
//!
//! The SDK decides when a span begins, and by then most of what a span costs is spent: its fields are noted, it has a place in
//! the registry, and is looked up there whenever work on it goes on. So `Head` decides when a context arrives, by the same
//! sampler. A trace that is not kept is left out: its context goes on through log lines, answers and records, as without
//! export, and no layer hears of its spans.
//!
//! The filters of layers cannot do that alone. A span that all of them refuse when they are asked is made all the same, for
//! nobody (`tracing-subscriber` 0.3.23 looks whether all 64 filters that there could be refuse it); what a layer without a
//! filter refuses is not.

use opentelemetry::trace::{SpanContext, SpanId, SpanKind, TraceContextExt as _, TraceFlags};
use opentelemetry::{Context, TraceId};
use opentelemetry_sdk::trace::{
    IdGenerator, RandomIdGenerator, Sampler, SamplingDecision, SdkTracerProvider,
    ShouldSample as _, TracerProviderBuilder,
};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Metadata, Subscriber, dispatcher};
use tracing_subscriber::{Layer, layer};

use super::trace_interest;
use crate::config::ConfigError;

pub(super) const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
pub(super) const SAMPLER_ARG: &str = "OTEL_TRACES_SAMPLER_ARG";

/// Which traces are kept. All samplers of the SDK are one of these.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// Whoever began a trace has decided on it.
    pub is_parent_based: bool,
    /// The part of the others that is kept, from 0 to 1: those with the least ids.
    pub part: f64,
}

impl Sampling {
    /// What the SDK does if nobody says otherwise.
    pub const ALL_AS_BEGUN: Self = Self {
        is_parent_based: true,
        part: 1.0,
    };

    /// The sampler of a name. The SDK would take its default for one that it does not know, and 1 for a bad ratio.
    pub(super) fn named(name: Option<&str>, argument: Option<&str>) -> Result<Self, ConfigError> {
        let Some(name) = name else {
            return Ok(Self::ALL_AS_BEGUN);
        };
        let own = name.strip_prefix("parentbased_");
        let part = match own.unwrap_or(name) {
            "always_on" => 1.0,
            "always_off" => 0.0,
            "traceidratio" => {
                let ratio = argument.and_then(|text| text.parse::<f64>().ok());
                let ratio = ratio.filter(|ratio| (0.0..=1.0).contains(ratio));
                ratio
                    .ok_or_else(|| ConfigError::new(SAMPLER_ARG, "expected a number from 0 to 1"))?
            }
            _ => {
                return Err(ConfigError::new(
                    SAMPLER,
                    format!("unknown sampler {name:?}"),
                ));
            }
        };
        Ok(Self {
            is_parent_based: own.is_some(),
            part,
        })
    }

    fn sampler(self) -> Sampler {
        let of_roots = Sampler::TraceIdRatioBased(self.part);
        if self.is_parent_based {
            Sampler::ParentBased(Box::new(of_roots))
        } else {
            of_roots
        }
    }
}

/// Where spans go, and which.
#[derive(Debug, Clone)]
pub(super) struct Traces {
    pub(super) provider: SdkTracerProvider,
    sampling: Sampling,
}

impl Traces {
    pub(super) fn new(builder: TracerProviderBuilder, sampling: Sampling) -> Self {
        let builder = builder
            .with_sampler(sampling.sampler())
            .with_id_generator(Ids::default());
        Self {
            provider: builder.build(),
            sampling,
        }
    }

    /// The layer that decides, beside log lines that show at most this.
    pub(super) fn head(&self, lines: Option<LevelFilter>) -> Head {
        Head {
            lines: lines.unwrap_or(LevelFilter::TRACE),
            sampler: self.sampling.sampler(),
            ids: RandomIdGenerator::default(),
        }
    }
}

/// Decides on traces, and refuses for all layers what no log line shows and no trace keeps.
#[derive(Debug)]
pub(super) struct Head {
    lines: LevelFilter,
    sampler: Sampler,
    ids: RandomIdGenerator,
}

impl Head {
    /// The context in which it is decided; `None`: as it arrived.
    fn decide(&self, arrived: &Context) -> Option<Context> {
        let parent = arrived.span().span_context().clone();
        let trace = if parent.is_valid() {
            parent.trace_id()
        } else {
            self.ids.new_trace_id()
        };
        let kind = SpanKind::Server;
        let decided = self
            .sampler
            .should_sample(Some(arrived), trace, "", &kind, &[], &[]);
        if decided.decision == SamplingDecision::Drop {
            let (span, flags) = (self.ids.new_span_id(), TraceFlags::default());
            let own = SpanContext::new(trace, span, flags, false, decided.trace_state);
            Some(arrived.with_remote_span_context(own))
        } else if parent.is_valid() {
            None
        } else {
            Some(arrived.with_value(Drawn(trace)))
        }
    }
}

impl<S: Subscriber> Layer<S> for Head {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if *metadata.level() <= self.lines {
            Interest::always()
        } else {
            trace_interest(metadata)
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: layer::Context<'_, S>) -> bool {
        *metadata.level() <= self.lines || !Context::map_current(is_left_out)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.lines.max(LevelFilter::DEBUG))
    }
}

/// Decides whether the trace of a context that arrived, or that begins with one that is empty, is kept by this process. To be
/// done once, and the work done within what it gives. Without export there is nothing to decide.
pub(crate) fn decided(arrived: Context) -> Context {
    dispatcher::get_default(|dispatch| dispatch.downcast_ref::<Head>()?.decide(&arrived))
        .unwrap_or(arrived)
}

/// Whether work in this context belongs to a trace that this process does not keep. One that others do not keep, but this
/// one does, has their context until its first span begins.
pub(super) fn is_left_out(context: &Context) -> bool {
    let span = context.span();
    let own = span.span_context();
    own.is_valid() && !own.is_sampled() && !own.is_remote()
}

/// The id of a trace that is kept, and has no span yet.
#[derive(Debug)]
struct Drawn(TraceId);

/// The ids that the SDK draws by itself, but for traces that were decided on by their id.
#[derive(Debug, Default)]
struct Ids(RandomIdGenerator);

impl IdGenerator for Ids {
    fn new_trace_id(&self) -> TraceId {
        Context::map_current(|context| context.get::<Drawn>().map(|drawn| drawn.0))
            .unwrap_or_else(|| self.0.new_trace_id())
    }

    fn new_span_id(&self) -> SpanId {
        self.0.new_span_id()
    }
}
