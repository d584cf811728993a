//! Stores: create, list, fetch, update, delete (`memory-api.md` 5.1).

use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::http::header::ETAG;
use actix_web::web::Payload;
use kith_domain::id::StoreId;
use kith_domain::store::{StoreBody, StoreStatus};
use kith_profiles::environment::Environment;
use kith_profiles::ports::Definitions;
use serde::Serialize;
use serde_json::Value;
use tracing::warn;

use super::{accepted, defined, done, subject};
use crate::call::{Answer, Call, WRITES_FOR};
use crate::etag::etag;
use crate::handlers::Meta;
use crate::handlers::page::page;
use crate::query;
use crate::token::List;

#[derive(Serialize)]
struct Page {
    stores: Vec<StoreId>,
    meta: Meta,
}

/// GET `/v1/ControlPlane/Stores`
pub(crate) async fn list_stores<E: Environment<Database: Definitions>>(call: Call<E>) -> Answer {
    call.answer_definition(async {
        let permit = call.admit_read()?;
        let paging = query::paging(call.query())?;
        let account = &call.principal().account;
        let list = List {
            endpoint: "stores",
            account,
            store: None,
            profile: None,
            group: None,
            order: paging.order,
            key: call.token_key(),
        };
        let after = list.after(&paging)?;
        let stores = call.ask(call.profiles().stores_of(account)).await?;
        drop(permit);
        let position = |id: &StoreId| id.as_uuid().as_bytes().to_vec();
        let (stores, next_token) = page(&list, &paging, after.as_ref(), stores, position);
        Ok(HttpResponse::Ok().json(Page {
            meta: Meta {
                key: "stores",
                page_size: stores.len(),
                next_token,
            },
            stores,
        }))
    })
    .await
}

/// POST `/v1/ControlPlane/Stores`
pub(crate) async fn create_store<E: Environment<Database: Definitions>>(
    call: Call<E>,
    payload: Payload,
) -> Answer {
    call.answer_definition(async {
        call.require_write()?;
        let permit = call.admit_query()?;
        let body = StoreBody::for_creation(&call.body(payload).await?)?;
        let account = call.principal().account.clone();
        let (profiles, deadline) = (Arc::clone(call.profiles()), call.deadline);
        let work = async move { profiles.create_store(&account, &body, deadline).await };
        let operation = call.run("create store", permit, work).await??;
        done(&call, "Store creation accepted.", &operation)
    })
    .await
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Store<'a> {
    id: StoreId,
    display_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    status: StoreStatus,
    /// Required by the contract, and of a product that is not here.
    intelligence_service_id: Value,
    version: u32,
}

/// GET `/v1/ControlPlane/Stores/{storeId}`
pub(crate) async fn fetch_store<E: Environment<Database: Definitions>>(call: Call<E>) -> Answer {
    call.answer_definition(async {
        call.store_id()?;
        let permit = call.admit_read()?;
        let store = defined(&call).await?;
        drop(permit);
        Ok(HttpResponse::Ok()
            .insert_header((ETAG, etag(&store.id.to_string(), store.version)))
            .json(Store {
                id: store.id,
                display_name: &store.display_name,
                description: store.description.as_deref(),
                status: store.status,
                intelligence_service_id: Value::Null,
                version: store.version,
            }))
    })
    .await
}

/// PATCH `/v1/ControlPlane/Stores/{storeId}`
pub(crate) async fn update_store<E: Environment<Database: Definitions>>(
    call: Call<E>,
    payload: Payload,
) -> Answer {
    call.answer_definition(async {
        call.require_write()?;
        call.store_id()?;
        let permit = call.admit_query()?;
        let store = defined(&call).await?;
        let body = StoreBody::for_change(&call.body_if_any(payload).await?)?;
        let subject = subject(&call, &store, &store.id.to_string())?;
        let profiles = Arc::clone(call.profiles());
        let work = async move { profiles.update_store(&subject, &body).await };
        let operation = call.run("update store", permit, work).await??;
        done(&call, "Store update accepted.", &operation)
    })
    .await
}

/// DELETE `/v1/ControlPlane/Stores/{storeId}`
pub(crate) async fn delete_store<E: Environment<Database: Definitions>>(call: Call<E>) -> Answer {
    call.answer_definition(async {
        call.require_write()?;
        let store = call.store_id()?;
        let permit = call.admit_write()?;
        let account = call.principal().account.clone();
        let (profiles, deadline) = (Arc::clone(call.profiles()), call.deadline);
        let (stage, longest) = (call.stage().clone(), WRITES_FOR * call.request_deadline());
        let work = async move {
            let deleted = profiles.delete_store(&account, store, deadline).await?;
            let Ok(ending) = deleted else {
                return Ok(deleted);
            };
            let left = ending.clone();
            let shutdown = stage.shutdown();
            drop(stage.task("finish deletion", async move {
                let finished = tokio::select! {
                    finished = profiles.finish_deletion(&left, longest) => finished,
                    // Whoever starts next goes on with it.
                    () = shutdown.requested() => return,
                };
                if let Err(error) = finished {
                    let error: &dyn std::error::Error = &error;
                    warn!(store = %left.store, error, "a deletion is still to be finished");
                }
            }));
            Ok(Ok(ending))
        };
        let ending = call.run("delete store", permit, work).await??;
        let operation = ending.operation.to_string();
        Ok(accepted(&call, "Store deletion accepted.", &operation))
    })
    .await
}
