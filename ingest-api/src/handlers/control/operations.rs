//! Operations: what became of a write (`memory-api.md` 5.4).

use actix_web::HttpResponse;
use actix_web::http::header::RETRY_AFTER;
use kith_domain::id::{IdError, OperationId};
use kith_domain::operation::{Operation, OperationStatus, Resource};
use kith_profiles::environment::Environment;
use kith_profiles::ports::Definitions;
use serde::Serialize;

use super::{ASK_AFTER_SECONDS, OPERATION_ID};
use crate::call::{Answer, Call};
use crate::error::ApiError;

/// Where to ask for an operation.
pub(super) fn status_url(base: &str, operation: &str) -> String {
    format!("{base}/v1/ControlPlane/Operations/{operation}")
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    operation_id: OperationId,
    status: OperationStatus,
    status_url: String,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    completed_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Completed>,
}

#[derive(Serialize)]
struct Completed {
    #[serde(rename = "type")]
    kind: &'static str,
    id: String,
}

/// GET `/v1/ControlPlane/Operations/{operationId}`
pub(crate) async fn fetch_operation<E: Environment<Database: Definitions>>(
    call: Call<E>,
) -> Answer {
    call.answer_definition(async {
        let id = call.segment("operationId").parse();
        let id: OperationId = id.map_err(|error| match error {
            IdError::Malformed => ApiError::MalformedOperationId,
            IdError::Unknown => ApiError::NoOperation,
        })?;
        // What is left of a deletion may be done here, and needs the log.
        let permit = call.admit_read()?;
        let account = &call.principal().account;
        let found = call.ask(call.profiles().operation(account, id)).await?;
        drop(permit);
        let operation = found.ok_or(ApiError::NoOperation)?;
        let text = operation.id.to_string();
        Ok(HttpResponse::Ok()
            .insert_header((OPERATION_ID, text.as_str()))
            .insert_header((RETRY_AFTER, ASK_AFTER_SECONDS))
            .json(shown(&call.base(), &text, &operation)))
    })
    .await
}

fn shown(base: &str, id: &str, operation: &Operation) -> Shown {
    let (result, path) = match &operation.resource {
        Resource::Store { store } => (store.to_string(), store.to_string()),
        Resource::Settings { store } => (
            store.to_string(),
            format!("{store}/IdentityResolutionSettings"),
        ),
        Resource::Group { store, name } => (name.clone(), format!("{store}/TraitGroups/{name}")),
    };
    let is_completed = operation.status == OperationStatus::Completed;
    Shown {
        operation_id: operation.id,
        status: operation.status,
        status_url: status_url(base, id),
        created_at: operation.created_at.to_string(),
        completed_at: operation.completed_at.map(|at| at.to_string()),
        // Names of groups need no escaping.
        result_url: (!operation.removes).then(|| format!("{base}/v1/ControlPlane/Stores/{path}")),
        result: is_completed.then_some(Completed {
            kind: "RESOURCE_ID",
            id: result,
        }),
    }
}
