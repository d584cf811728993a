//! The audit log: one line for each request that would change the control plane, done or refused, and who sent it.
//!
//! Lines of the target [`TARGET`], beside the others: always written, whatever `RUST_LOG` says
//! (`kith_runtime::telemetry`). They have ids and names of credentials, and never a body.

use actix_web::HttpMessage as _;
use actix_web::dev::ServiceResponse;
use actix_web::http::Method;
use kith_domain::id::{RequestId, StoreId};
use kith_runtime::credentials::Principal;
use kith_runtime::telemetry::AUDIT as TARGET;
use tracing::info;

use crate::handlers::control::OPERATION_ID;

/// Where the control plane begins.
const CONTROL_PLANE: &str = "/v1/ControlPlane/";

/// Notes an answer, if what was asked for would have changed the control plane.
pub(crate) fn note(response: &ServiceResponse, id: RequestId, method: &'static str, route: &str) {
    let request = response.request();
    if !route.starts_with(CONTROL_PLANE) || !changes(request.method()) {
        return;
    }
    let principal = request.extensions().get::<Principal>().cloned();
    let (account, credential) = match &principal {
        Some(principal) => (Some(principal.account.as_str()), Some(&*principal.user)),
        None => (None, None),
    };
    // What is no id is not told: it may be anything. Nor are names that callers chose; the operation has them.
    let store = request.match_info().get("storeId");
    let store = store.and_then(|text| text.parse::<StoreId>().ok());
    let store = store.map(|store| store.to_string());
    let store = store.as_deref();
    let operation = response.headers().get(OPERATION_ID);
    let operation = operation.and_then(|value| value.to_str().ok());
    let peer = request.peer_addr().map(|peer| peer.ip().to_string());
    let peer = peer.as_deref();
    let status = response.status().as_u16();
    info!(
        target: TARGET,
        request = %id, method, route, status, account, credential, store, operation, peer,
        "control plane write"
    );
}

/// Whether a method asks for a change.
fn changes(method: &Method) -> bool {
    matches!(
        *method,
        Method::POST | Method::PUT | Method::PATCH | Method::DELETE
    )
}
