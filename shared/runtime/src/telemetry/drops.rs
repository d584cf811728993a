//! Counts of the spans that are lost on the way out.
//!
//! The SDK drops silently when its queue is full, and counts only for itself. So a processor in front of it keeps the
//! same limit: a place is taken when a span enters the queue and given back when the exporter gets it, so the SDK's queue
//! never has more in it than places are taken, and what finds no place is counted here instead of dropped there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use metrics::counter;
use opentelemetry::Context;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{BatchSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor};
use tracing::{info, warn};

use crate::metrics::names::SPANS_DROPPED;

/// The places of a queue.
#[derive(Debug, Clone)]
pub(super) struct Queue {
    taken: Arc<AtomicUsize>,
    max: usize,
}

impl Queue {
    pub(super) fn new(max: usize) -> Self {
        Self {
            taken: Arc::default(),
            max,
        }
    }

    fn take(&self) -> bool {
        self.taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
                (taken < self.max).then_some(taken + 1)
            })
            .is_ok()
    }

    fn give_back(&self, places: usize) {
        self.taken.fetch_sub(places, Ordering::Relaxed);
    }
}

fn dropped(reason: &'static str, spans: usize) {
    counter!(SPANS_DROPPED, "reason" => reason).increment(u64::try_from(spans).unwrap_or(u64::MAX));
}

/// In front of the SDK's queue.
#[derive(Debug)]
pub(super) struct CountedProcessor {
    inner: BatchSpanProcessor,
    queue: Queue,
    shut_down: AtomicBool,
}

impl CountedProcessor {
    pub(super) fn new(inner: BatchSpanProcessor, queue: Queue) -> Self {
        Self {
            inner,
            queue,
            shut_down: AtomicBool::new(false),
        }
    }
}

impl SpanProcessor for CountedProcessor {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.inner.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if self.shut_down.load(Ordering::Relaxed) {
            dropped("shut_down", 1);
        } else if self.queue.take() {
            self.inner.on_end(span);
        } else {
            dropped("queue_full", 1);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.shut_down.store(true, Ordering::Relaxed);
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// Behind the SDK's queue.
#[derive(Debug)]
pub(super) struct CountedExporter<E> {
    inner: E,
    queue: Queue,
    failing: AtomicBool,
}

impl<E> CountedExporter<E> {
    pub(super) fn new(inner: E, queue: Queue) -> Self {
        Self {
            inner,
            queue,
            failing: AtomicBool::new(false),
        }
    }
}

impl<E: SpanExporter> SpanExporter for CountedExporter<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        self.queue.give_back(spans);
        let result = self.inner.export(batch).await;
        let was_failing = self.failing.swap(result.is_err(), Ordering::Relaxed);
        match &result {
            Err(error) => {
                dropped("export_failed", spans);
                // Once for each outage, not once for each batch.
                if !was_failing {
                    warn!(%error, "spans cannot be exported");
                }
            }
            Ok(()) if was_failing => info!("spans can be exported again"),
            Ok(()) => {}
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}
