//! Profiles: create, list, fetch, patch, delete (`memory-api.md` 6.1 to 6.5).

use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::web::Payload;
use kith_domain::body::{TraitsBody, WriteSet, validate};
use kith_domain::id::ProfileId;
use kith_domain::store::{StoreRecord, grouped, visible};
use kith_profiles::create::Create;
use kith_profiles::environment::Environment;
use serde::Serialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{Meta, accepted};
use crate::call::{Answer, Call};
use crate::error::{ApiError, Invalid};
use crate::query;
use crate::token::{List, NoToken};

#[derive(Serialize)]
struct Accepted {
    message: &'static str,
    id: ProfileId,
}

/// POST `/v1/Stores/{storeId}/Profiles`
pub(crate) async fn create<E: Environment>(call: Call<E>, payload: Payload) -> Answer {
    call.answer(async {
        call.require_write()?;
        let store = call.store_id()?;
        let permit = call.admit_write()?;
        let store = call.store(store).await?;
        let writes = create_body(&store, &call.body(payload).await?)?;
        let (profiles, create) = (
            Arc::clone(call.profiles()),
            Create {
                store,
                writes,
                request: call.id,
                deadline: call.deadline,
            },
        );
        let work = async move { profiles.create(create).await };
        let accepted = call.run("create", permit, work).await?;
        Ok(HttpResponse::Accepted().json(Accepted {
            message: "Profile resolved and accepted for processing.",
            id: accepted.profile,
        }))
    })
    .await
}

/// What a body writes, provided that it names somebody.
fn create_body(store: &StoreRecord, body: &[u8]) -> Result<WriteSet, ApiError> {
    let body = TraitsBody::parse(body)?;
    if body.is_empty() {
        let fault = "Traits are required to create a profile";
        return Err(ApiError::Invalid(Invalid::whole(fault)));
    }
    let writes = validate(&body, &store.groups, &store.settings)?;
    if writes.identifiers.is_empty() {
        let fault = "At least one identifier is required: a promoted trait with a value";
        return Err(ApiError::Invalid(Invalid::whole(fault)));
    }
    Ok(writes)
}

#[derive(Serialize)]
struct Page {
    profiles: Vec<ProfileId>,
    meta: Meta,
}

/// GET `/v1/Stores/{storeId}/Profiles`
pub(crate) async fn list<E: Environment>(call: Call<E>) -> Answer {
    call.answer(async {
        let store = call.store_id()?;
        let permit = call.admit_read()?;
        let store = call.store(store).await?;
        let paging = query::paging(call.query())?;
        let list = List {
            endpoint: "profiles",
            account: &call.principal().account,
            store: Some(store.id),
            profile: None,
            group: None,
            order: paging.order,
            key: call.token_key(),
        };
        let after = match list.after(&paging)? {
            None => None,
            Some(position) => {
                let id = Uuid::from_slice(&position).map_err(|_| NoToken)?;
                Some(ProfileId::from_uuid(id))
            }
        };
        let page = call
            .profiles()
            .page(&store, paging.order, after, paging.size);
        let page = call.ask(page).await?;
        drop(permit);
        Ok(HttpResponse::Ok().json(Page {
            meta: Meta {
                key: "profiles",
                page_size: page.profiles.len(),
                next_token: page
                    .next_after
                    .map(|after| list.token(after.as_uuid().as_bytes())),
            },
            profiles: page.profiles,
        }))
    })
    .await
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Fetched {
    id: ProfileId,
    created_at: String,
    traits: Map<String, Value>,
}

/// GET `/v1/Stores/{storeId}/Profiles/{profileId}`
pub(crate) async fn fetch<E: Environment>(call: Call<E>) -> Answer {
    call.answer(async {
        let (store, profile) = call.ids()?;
        let permit = call.admit_read()?;
        let store = call.store(store).await?;
        let filter = query::trait_groups(call.query())?;
        let profile = profile.ok_or(ApiError::NoProfile)?;
        let located = call.ask(call.profiles().traits(&store, profile)).await?;
        drop(permit);
        let fetched = |id: ProfileId, traits| {
            let traits = visible(&store, &traits, filter.as_ref());
            let traits = traits.map_err(|corrupt| ApiError::Corrupt {
                store: store.id,
                detail: format!("{corrupt} of {id}"),
            })?;
            Ok(HttpResponse::Ok().json(Fetched {
                id,
                created_at: id.created_at().to_string(),
                traits: grouped(traits),
            }))
        };
        call.located(located, fetched, profile)
    })
    .await
}

/// PATCH `/v1/Stores/{storeId}/Profiles/{profileId}`
pub(crate) async fn patch<E: Environment>(call: Call<E>, payload: Payload) -> Answer {
    call.answer(async {
        call.require_write()?;
        let (store, profile) = call.ids()?;
        let permit = call.admit_write()?;
        let store = call.store(store).await?;
        let body = TraitsBody::parse(&call.body(payload).await?)?;
        let writes = validate(&body, &store.groups, &store.settings);
        let target = call.target(store, profile)?;
        let writes = match writes {
            Ok(writes) => writes,
            Err(faults) => return call.refuse(&target, faults.into()).await,
        };
        let profile = target.profile;
        let profiles = Arc::clone(call.profiles());
        let work = async move { profiles.patch(&target, &writes).await };
        let located = call.run("patch", permit, work).await?;
        let message = "Trait modifications accepted for processing.";
        call.located(located, |_, ()| Ok(accepted(message)), profile)
    })
    .await
}

/// DELETE `/v1/Stores/{storeId}/Profiles/{profileId}`
pub(crate) async fn delete<E: Environment>(call: Call<E>) -> Answer {
    call.answer(async {
        call.require_write()?;
        let (store, profile) = call.ids()?;
        let permit = call.admit_write()?;
        let store = call.store(store).await?;
        let target = call.target(store, profile)?;
        let profile = target.profile;
        let profiles = Arc::clone(call.profiles());
        let work = async move { profiles.delete(&target).await };
        let located = call.run("delete", permit, work).await?;
        let message = "Profile accepted for deletion.";
        call.located(located, |_, ()| Ok(accepted(message)), profile)
    })
    .await
}
