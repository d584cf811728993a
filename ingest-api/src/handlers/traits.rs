//! The traits of a profile, one by one (`memory-api.md` 6.9).

use actix_web::HttpResponse;
use kith_domain::store::{VisibleTrait, visible};
use kith_profiles::environment::Environment;
use serde::Serialize;
use serde_json::Value;

use super::Meta;
use super::page::page;
use crate::call::{Answer, Call};
use crate::error::ApiError;
use crate::query;
use crate::token::List;

#[derive(Serialize)]
struct Page<'a> {
    traits: Vec<Shown<'a>>,
    meta: Meta,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    name: &'a str,
    value: Value,
    trait_group: &'a str,
    timestamp: String,
}

/// Where a trait stands in the list: by time, then by group, then by name. Names hold no zero byte.
fn position(one: &VisibleTrait<'_>) -> Vec<u8> {
    let mut bytes = one.time.as_micros().to_be_bytes().to_vec();
    bytes.extend(one.group.as_bytes());
    bytes.push(0);
    bytes.extend(one.name.as_bytes());
    bytes
}

/// GET `/v1/Stores/{storeId}/Profiles/{profileId}/Traits`
pub(crate) async fn list_traits<E: Environment>(call: Call<E>) -> Answer {
    call.answer(async {
        let (store, profile) = call.ids()?;
        let permit = call.admit_read()?;
        let store = call.store(store).await?;
        let filter = query::trait_groups(call.query())?;
        let paging = query::paging(call.query())?;
        let profile = profile.ok_or(ApiError::NoProfile)?;
        let list = List {
            endpoint: "traits",
            account: &call.principal().account,
            store: Some(store.id),
            profile: Some(profile),
            group: None,
            order: paging.order,
            key: call.token_key(),
        };
        let after = list.after(&paging)?;
        let located = call.ask(call.profiles().traits(&store, profile)).await?;
        drop(permit);
        let answer = |id, traits| {
            let traits = visible(&store, &traits, filter.as_ref());
            let traits = traits.map_err(|corrupt| ApiError::Corrupt {
                store: store.id,
                detail: format!("{corrupt} of {id}"),
            })?;
            let (traits, next_token) = page(&list, &paging, after.as_ref(), traits, position);
            let traits: Vec<Shown<'_>> = traits
                .into_iter()
                .map(|one| Shown {
                    name: one.name,
                    value: one.value.into(),
                    trait_group: one.group,
                    timestamp: one.time.to_string(),
                })
                .collect();
            Ok(HttpResponse::Ok().json(Page {
                meta: Meta {
                    key: "traits",
                    page_size: traits.len(),
                    next_token,
                },
                traits,
            }))
        };
        call.located(located, answer, profile)
    })
    .await
}
