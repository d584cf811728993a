//! The traits of a profile, one by one (`memory-api.md` 6.9).

use actix_web::HttpResponse;
use kith_domain::store::{VisibleTrait, visible};
use kith_domain::time::Micros;
use kith_profiles::environment::Environment;
use kith_profiles::ports::Order;
use serde::Serialize;
use serde_json::Value;

use super::Meta;
use crate::call::{Answer, Call};
use crate::error::ApiError;
use crate::query;
use crate::token::{List, NoToken};

/// Traits of a page at most.
const PAGE_SIZE_MAX: usize = 100;

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

/// Where a trait stands in the list: by time, then by group, then by name.
type Position<'a> = (Micros, &'a str, &'a str);

fn position<'a>(one: &VisibleTrait<'a>) -> Position<'a> {
    (one.time, one.group, one.name)
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
        let after = match paging.token.as_deref() {
            None => None,
            Some(token) => Some(list.position(token)?),
        };
        let after = after.as_deref().map(decoded).transpose()?;
        let located = call.ask(call.profiles().traits(&store, profile)).await?;
        drop(permit);
        let page = |id, traits| {
            let traits = visible(&store, &traits, filter.as_ref());
            let mut traits = traits.map_err(|corrupt| ApiError::Corrupt {
                store: store.id,
                detail: format!("{corrupt} of {id}"),
            })?;
            traits.sort_by(|a, b| position(a).cmp(&position(b)));
            if paging.order == Order::Descending {
                traits.reverse();
            }
            if let Some(after) = after {
                let is_after = |one: &VisibleTrait<'_>| match paging.order {
                    Order::Ascending => position(one) > after,
                    Order::Descending => position(one) < after,
                };
                traits.retain(is_after);
            }
            let size = paging.size.min(PAGE_SIZE_MAX);
            let has_more = traits.len() > size;
            traits.truncate(size);
            let last = traits.last().filter(|_| has_more);
            let next_token = last.map(|last| list.token(&encoded(position(last))));
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
        call.located(located, page, profile)
    })
    .await
}

/// A position as bytes: names hold no zero byte.
fn encoded((time, group, name): Position<'_>) -> Vec<u8> {
    let mut bytes = time.as_micros().to_be_bytes().to_vec();
    bytes.extend(group.as_bytes());
    bytes.push(0);
    bytes.extend(name.as_bytes());
    bytes
}

fn decoded(bytes: &[u8]) -> Result<Position<'_>, NoToken> {
    let (time, names) = bytes.split_first_chunk().ok_or(NoToken)?;
    let names = std::str::from_utf8(names).map_err(|_| NoToken)?;
    let (group, name) = names.split_once('\0').ok_or(NoToken)?;
    let time = Micros::from_micros(i64::from_be_bytes(*time));
    Ok((time, group, name))
}
