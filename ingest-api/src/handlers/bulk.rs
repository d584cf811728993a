//! Bulk: up to a thousand creates in one request (`memory-api.md` 6.6).

use std::sync::Arc;

use actix_web::web::Payload;
use kith_domain::body::{BulkBody, ERRORS_MAX, FieldError, TraitsBody, WriteSet, validate};
use kith_domain::store::StoreRecord;
use kith_profiles::bulk::{Bulk, bytes_of};
use kith_profiles::environment::Environment;

use super::accepted;
use crate::call::{Answer, Call};
use crate::error::ApiError;

/// PUT `/v1/Stores/{storeId}/Profiles/Bulk`
pub(crate) async fn bulk<E: Environment>(call: Call<E>, payload: Payload) -> Answer {
    call.answer(async {
        call.require_write()?;
        let store = call.store_id()?;
        let permit = call.admit_write_of(call.bulk_bytes_max())?;
        let store = call.store(store).await?;
        let body = BulkBody::parse(&call.body_of(payload, call.bulk_bytes_max()).await?)?;
        let batch = Bulk {
            items: items(&store, body, call.body_bytes_max())?,
            store,
            request: call.id,
            deadline: call.deadline,
        };
        let profiles = Arc::clone(call.profiles());
        let work = async move { profiles.bulk(batch).await };
        call.run_apart("bulk", permit, work).await?;
        Ok(accepted("Profile batch accepted for processing."))
    })
    .await
}

/// What the items write. One that is wrong refuses all, and the first faults of each are told.
fn items(store: &StoreRecord, body: BulkBody, bytes_max: usize) -> Result<Vec<WriteSet>, ApiError> {
    let mut errors: Vec<FieldError> = Vec::new();
    let mut items = Vec::with_capacity(body.items.len());
    for (place, body) in body.items.into_iter().enumerate() {
        match item(store, &body, place, bytes_max) {
            Ok(item) => items.push(item),
            Err(faults) => errors.extend(faults),
        }
        if errors.len() >= ERRORS_MAX {
            errors.truncate(ERRORS_MAX);
            break;
        }
    }
    if errors.is_empty() {
        Ok(items)
    } else {
        Err(errors.into())
    }
}

fn item(
    store: &StoreRecord,
    body: &TraitsBody,
    place: usize,
    bytes_max: usize,
) -> Result<WriteSet, Vec<FieldError>> {
    let fault = |member: &str, reason: String| {
        Err(vec![FieldError {
            field: format!("profiles[{place}]{member}"),
            reason: reason.into(),
        }])
    };
    if body.is_empty() {
        return fault(".traits", "is required to create a profile".to_owned());
    }
    let writes = validate(body, &store.groups, &store.settings)?;
    if writes.identifiers.is_empty() {
        let reason = "must have at least one identifier: a promoted trait with a value";
        return fault(".traits", reason.to_owned());
    }
    // Found too large by the log, it would be so after its identifiers were claimed.
    if bytes_of(&writes) > bytes_max {
        return fault("", format!("is larger than {bytes_max} bytes"));
    }
    Ok(writes)
}
