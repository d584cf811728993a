//! What is the same for every answer: authentication before it, and its form after it.
//!
//! The middle one of three layers. Outside are the trace and the span of the request ([`span`](crate::span)), inside the
//! routes. Whatever comes out, an answer of ours or an error of the framework, leaves in the contract's form, with the id
//! of the request, and is counted and logged here, once.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::http::{ConnectionType, Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, HttpMessage as _, ResponseError as _};
use kith_domain::id::{ProfileId, RequestId, StoreId};
use kith_profiles::corrupt::is_first;
use kith_profiles::environment::Environment;
use kith_runtime::metrics::names;
use kith_runtime::trace_context::{failed, traceresponse_header};
use metrics::{SharedString, counter, histogram};
use tokio::task::yield_now;
use tracing::{Span, debug, error, info};

use crate::app::App;
use crate::audit;
use crate::auth::authenticate;
use crate::body::{self, Unread};
use crate::error::{ApiError, Invalid};
use crate::haste::Told;
use crate::public::is_public;
use crate::span::Route;

/// The header that every answer carries.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("twilio-request-id");
const TRACERESPONSE: HeaderName = HeaderName::from_static("traceresponse");

/// The route label of what is none.
pub(crate) const NO_ROUTE: &str = "none";

/// Authenticates a request, has it answered, and sees to the answer.
///
/// # Errors
/// None: an error of the routes is an answer.
pub(crate) async fn answer<E: Environment>(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let began = Instant::now();
    let method = method_label(request.method());
    let id = request_id(&request);
    let app = request.app_data::<Data<App<E>>>().cloned();
    let route = request.extensions().get::<Route>().cloned();
    let (Some(app), Some(Route(route))) = (app, route) else {
        return Err(ApiError::Internal.into());
    };

    // The framework hands a request over before it has looked at its body, and ends the connection of one that is answered at
    // once, although most bodies came with their heads. Under overload every refusal would cost a new connection.
    if !body::is_absent(request.headers()) {
        yield_now().await;
    }

    // Before anything else, so that a stranger does not learn what exists.
    let mut response = if is_public(&route) {
        next.call(request).await?.map_into_boxed_body()
    } else {
        match authenticate(&app.service.credentials, request.headers()) {
            Ok(principal) => {
                request.extensions_mut().insert(principal);
                request.extensions_mut().insert(id);
                next.call(request).await?.map_into_boxed_body()
            }
            Err(error) => {
                let answer = actix_web::HttpResponse::from_error(error);
                request.into_response(answer)
            }
        }
    };

    let fault = fault(&response);
    if let Some(error) = &fault {
        // Made anew, so that nothing of a framework's error is left in it.
        response = response.into_response(error.error_response());
    }
    let unread = response.request().extensions_mut().remove::<Unread>();
    if let Some(unread) = unread {
        response = response.map_body(|_, answer| BoxBody::new(unread.under(answer)));
    }
    let status = response.status();
    let is_ending = app.is_ending.load(Ordering::Relaxed);
    finish(&mut response, id, is_ending);
    let seconds = began.elapsed().as_secs_f64();
    tell(&response, id, method, &route, seconds, fault.as_ref());
    audit::note(&response, id, method, &route);
    histogram!(names::HTTP_REQUEST_SECONDS, "route" => Arc::clone(&route)).record(seconds);
    count(method, route.into(), status);
    // After everything that tells how long the work took: this is none.
    if let Some(retry_after) = fault.and_then(|fault| fault.overload())
        && let Some(told) = response.request().conn_data::<Told>()
        && !is_ending
    {
        app.haste.keep_back(told, retry_after).await;
    }
    Ok(response)
}

/// Counts an answer.
pub(crate) fn count(method: &'static str, route: SharedString, status: StatusCode) {
    let status = status.as_str().to_owned();
    counter!(names::HTTP_REQUESTS, "method" => method, "route" => route, "status" => status)
        .increment(1);
}

/// The id that the tracing layer gave the request, in the form of the contract.
fn request_id(request: &ServiceRequest) -> RequestId {
    let given = request
        .extensions()
        .get::<tracing_actix_web::RequestId>()
        .copied();
    RequestId::from_uuid(given.map_or_else(uuid::Uuid::new_v4, |id| *id))
}

/// The error that an answer is, if it is one: one of ours, or what the framework's amounts to.
fn fault(response: &ServiceResponse) -> Option<ApiError> {
    let error = response.response().error()?;
    if let Some(ours) = error.as_error::<ApiError>() {
        return Some(ours.clone());
    }
    let foreign = match error.as_response_error().status_code() {
        StatusCode::NOT_FOUND => ApiError::NoRoute,
        status if status.is_client_error() => {
            ApiError::Invalid(Invalid::whole("The request is not valid"))
        }
        _ => ApiError::Internal,
    };
    Some(foreign)
}

fn finish(response: &mut ServiceResponse, id: RequestId, is_ending: bool) {
    let response = response.response_mut();
    if is_ending {
        // The client goes elsewhere for its next request, and this connection need not be cut.
        response
            .head_mut()
            .set_connection_type(ConnectionType::Close);
    }
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
        headers.insert(REQUEST_ID, value);
    }
    if let Some(Ok(value)) = traceresponse_header().map(|text| HeaderValue::from_str(&text)) {
        headers.insert(TRACERESPONSE, value);
    }
}

/// One line a request. Ids of the path are told, nothing else of it.
fn tell(
    response: &ServiceResponse,
    request: RequestId,
    method: &'static str,
    route: &str,
    seconds: f64,
    fault: Option<&ApiError>,
) {
    let status = response.status().as_u16();
    let Some(fault) = fault.filter(|_| response.status().is_server_error()) else {
        debug!(%request, method, route, status, seconds, "request answered");
        return;
    };
    failed(&Span::current(), fault.kind());
    let path = response.request().match_info();
    let store = path
        .get("storeId")
        .and_then(|text| text.parse::<StoreId>().ok());
    let profile = path
        .get("profileId")
        .and_then(|text| text.parse::<ProfileId>().ok());
    let (store, profile) = (
        store.map(|id| id.to_string()),
        profile.map(|id| id.to_string()),
    );
    let (store, profile) = (store.as_deref(), profile.as_deref());
    let cause = fault.cause();
    let kind = fault.kind();
    // Every request about the profile meets the row: it is told once, and goes on being counted.
    if fault.corrupt_row().is_some_and(is_first) {
        error!(%request, method, route, status, seconds, store, profile, kind, error = cause, "request met corrupt data");
    } else {
        info!(%request, method, route, status, seconds, store, profile, kind, error = cause, "request failed");
    }
}

/// The method, if it is one that everybody knows: labels and span names have few values.
pub(crate) fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "_OTHER",
    }
}
