//! The control plane: stores, trait groups, settings, operations (`memory-api.md` 5).

use actix_web::HttpResponse;
use actix_web::http::header::{LOCATION, RETRY_AFTER};
use kith_domain::operation::Operation;
use kith_domain::store::StoreRecord;
use kith_profiles::definitions::Subject;
use kith_profiles::environment::Environment;
use kith_profiles::ports::Definitions;
use serde::Serialize;

use crate::call::{Answer, Call};
use crate::error::ApiError;
use crate::etag;

mod groups;
mod operations;
mod settings;
mod stores;

pub(crate) use groups::{create_group, delete_group, fetch_group, list_groups, update_group};
pub(crate) use operations::fetch_operation;
pub(crate) use settings::{fetch_settings, replace_settings};
pub(crate) use stores::{create_store, delete_store, fetch_store, list_stores, update_store};

/// The header that names an operation.
pub(crate) const OPERATION_ID: &str = "Operation-Id";
/// When to ask for an operation: it is complete by then.
const ASK_AFTER_SECONDS: &str = "1";

/// The store of the path as it is now.
async fn defined<E: Environment<Database: Definitions>>(
    call: &Call<E>,
) -> Result<StoreRecord, ApiError> {
    let store = call.store_id()?;
    let account = &call.principal().account;
    let found = call.ask(call.profiles().defined(account, store)).await?;
    found.ok_or(ApiError::NoStore)
}

/// What a write to a part of the path's store is about: that part's id, as tags give it, and its version decide which tags of
/// the request fit.
fn subject<E: Environment>(
    call: &Call<E>,
    record: &StoreRecord,
    part: &str,
) -> Result<Subject, ApiError> {
    Ok(Subject {
        account: record.account.clone(),
        store: record.id,
        expected: etag::expected(call, part)?,
        deadline: call.deadline,
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Accepted<'a> {
    message: &'static str,
    status_url: &'a str,
}

/// The answer to a write, with where to ask for what became of it.
fn accepted<E: Environment>(
    call: &Call<E>,
    message: &'static str,
    operation: &str,
) -> HttpResponse {
    let status_url = operations::status_url(&call.base(), operation);
    HttpResponse::Accepted()
        .insert_header((OPERATION_ID, operation))
        .insert_header((LOCATION, status_url.as_str()))
        .insert_header((RETRY_AFTER, ASK_AFTER_SECONDS))
        .json(Accepted {
            message,
            status_url: &status_url,
        })
}

/// The answer to a write that is done.
fn done<E: Environment>(call: &Call<E>, message: &'static str, operation: &Operation) -> Answer {
    Ok(accepted(call, message, &operation.id.to_string()))
}
