//! The trace and the span of a request, by OpenTelemetry's names (`engineering.md` 1, 3.5).
//!
//! Paths of routes only: no query, no body, and no path that was not ours.

use std::sync::Arc;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage as _};
use kith_runtime::trace_context::{from_request, within};
use tracing::{Span, field, info_span};
use tracing_actix_web::RootSpanBuilder;

use crate::answer::{NO_ROUTE, method_label};

/// Works on a request within the trace that it brings. Outermost, because entering a span makes another context the
/// current one.
///
/// # Errors
/// Those of what is inside.
pub(crate) async fn carry<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let context = from_request(request.headers());
    // The span is made by the call itself.
    let answering = {
        let _attached = context.clone().attach();
        next.call(request)
    };
    within(context, answering).await
}

/// The pattern that the path of a request matched, or [`NO_ROUTE`]. Found once, as all routes are gone through for it.
#[derive(Debug, Clone)]
pub(crate) struct Route(pub(crate) Arc<str>);

/// Makes the span of a request.
pub(crate) struct HttpSpan;

impl RootSpanBuilder for HttpSpan {
    fn on_request_start(request: &ServiceRequest) -> Span {
        let method = method_label(request.method());
        let route = request.match_pattern();
        let label = route.as_deref().unwrap_or(NO_ROUTE);
        request.extensions_mut().insert(Route(label.into()));
        let name = match &route {
            Some(route) => format!("{method} {route}"),
            None => method.to_owned(),
        };
        info_span!(
            "request",
            "otel.name" = name,
            "otel.kind" = "server",
            "otel.status_code" = field::Empty,
            "http.request.method" = method,
            "http.route" = route,
            "http.response.status_code" = field::Empty,
            "error.type" = field::Empty,
            "kith.resolve.outcome" = field::Empty,
        )
    }

    fn on_request_end<B: MessageBody>(span: Span, outcome: &Result<ServiceResponse<B>, Error>) {
        let status = match outcome {
            Ok(response) => response.status(),
            Err(error) => error.as_response_error().status_code(),
        };
        span.record("http.response.status_code", status.as_u16());
    }
}
