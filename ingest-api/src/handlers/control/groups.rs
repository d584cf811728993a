//! Trait groups: create, list, fetch, update, delete (`memory-api.md` 5.2).

use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::http::header::ETAG;
use actix_web::web::Payload;
use indexmap::IndexMap;
use kith_domain::identifier::IdType;
use kith_domain::schema::{DataType, GroupBody, TraitDefinition, TraitGroup, ValidationRule};
use kith_profiles::definitions::Refusal;
use kith_profiles::environment::Environment;
use kith_profiles::ports::Definitions;
use serde::Serialize;

use super::{defined, done, subject};
use crate::call::{Answer, Call};
use crate::error::ApiError;
use crate::etag::etag;
use crate::handlers::Meta;
use crate::handlers::page::page;
use crate::query;
use crate::token::List;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Group<'a> {
    display_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traits: Option<IndexMap<&'a str, Definition<'a>>>,
    version: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Definition<'a> {
    data_type: DataType,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    validation_rule: Option<&'a ValidationRule>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_type_promotion: Option<&'a IdType>,
}

type Named<'a> = (&'a str, &'a TraitDefinition);

fn named(group: &TraitGroup) -> impl Iterator<Item = Named<'_>> {
    let traits = group.traits.iter();
    traits.map(|(name, definition)| (name.as_str(), definition))
}

/// A group with these traits, if any are wanted.
fn shown<'a>(group: &'a TraitGroup, traits: Option<Vec<Named<'a>>>) -> Group<'a> {
    let definition = |(name, definition): Named<'a>| {
        let TraitDefinition {
            id: _,
            data_type,
            description,
            validation_rule,
            id_type_promotion,
        } = definition;
        let shown = Definition {
            data_type: *data_type,
            description: description.as_deref(),
            validation_rule: validation_rule.as_ref(),
            id_type_promotion: id_type_promotion.as_ref(),
        };
        (name, shown)
    };
    Group {
        display_name: &group.name,
        description: group.description.as_deref(),
        traits: traits.map(|traits| traits.into_iter().map(definition).collect()),
        version: group.version,
    }
}

/// What tags call a group: a name that is given again names another group.
fn tag_id(group: &TraitGroup) -> String {
    group.created_at.as_micros().to_string()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Groups<'a> {
    trait_groups: Vec<Group<'a>>,
    meta: Meta,
}

/// GET `/v1/ControlPlane/Stores/{storeId}/TraitGroups`
pub(crate) async fn list_groups<E: Environment<Database: Definitions>>(call: Call<E>) -> Answer {
    call.answer_definition(async {
        call.store_id()?;
        let permit = call.admit_read()?;
        let store = defined(&call).await?;
        drop(permit);
        let paging = query::paging(call.query())?;
        let with_traits = query::include_traits(call.query())?.unwrap_or(false);
        let list = List {
            endpoint: "trait groups",
            account: &store.account,
            store: Some(store.id),
            profile: None,
            group: None,
            order: paging.order,
            key: call.token_key(),
        };
        let after = list.after(&paging)?;
        let all: Vec<&TraitGroup> = store.groups.iter().collect();
        let (groups, next_token) =
            page(&list, &paging, after.as_ref(), all, |group| position(group));
        let groups: Vec<Group<'_>> = groups
            .into_iter()
            .map(|group| shown(group, with_traits.then(|| named(group).collect())))
            .collect();
        Ok(HttpResponse::Ok().json(Groups {
            meta: Meta {
                key: "traitGroups",
                page_size: groups.len(),
                next_token,
            },
            trait_groups: groups,
        }))
    })
    .await
}

/// Where a group stands in the list: by age, then by name.
fn position(group: &TraitGroup) -> Vec<u8> {
    let mut bytes = group.created_at.as_micros().to_be_bytes().to_vec();
    bytes.extend(group.name.as_bytes());
    bytes
}

/// POST `/v1/ControlPlane/Stores/{storeId}/TraitGroups`
pub(crate) async fn create_group<E: Environment<Database: Definitions>>(
    call: Call<E>,
    payload: Payload,
) -> Answer {
    call.answer_definition(async {
        call.require_write()?;
        call.store_id()?;
        let permit = call.admit_query()?;
        let store = defined(&call).await?;
        let body = GroupBody::for_creation(&call.body(payload).await?)?;
        let subject = subject(&call, &store, "")?;
        let profiles = Arc::clone(call.profiles());
        let work = async move { profiles.create_group(&subject, &body).await };
        let operation = call.run("create group", permit, work).await??;
        done(&call, "Trait group creation accepted.", &operation)
    })
    .await
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Fetched<'a> {
    trait_group: Group<'a>,
    meta: Meta,
}

/// GET `/v1/ControlPlane/Stores/{storeId}/TraitGroups/{traitGroupName}`, with a page of its traits, by name.
pub(crate) async fn fetch_group<E: Environment<Database: Definitions>>(call: Call<E>) -> Answer {
    call.answer_definition(async {
        call.store_id()?;
        let permit = call.admit_read()?;
        let store = defined(&call).await?;
        drop(permit);
        let group = group_of(&call, &store)?;
        let paging = query::paging(call.query())?;
        let with_traits = query::include_traits(call.query())?.unwrap_or(true);
        let list = List {
            endpoint: "traits of a group",
            account: &store.account,
            store: Some(store.id),
            profile: None,
            group: Some(&group.name),
            order: paging.order,
            key: call.token_key(),
        };
        let after = list.after(&paging)?;
        let all = if with_traits {
            named(group).collect()
        } else {
            Vec::new()
        };
        let position = |(name, _): &Named<'_>| name.as_bytes().to_vec();
        let (traits, next_token) = page(&list, &paging, after.as_ref(), all, position);
        Ok(HttpResponse::Ok()
            .insert_header((ETAG, etag(&tag_id(group), group.version)))
            .json(Fetched {
                meta: Meta {
                    key: "traits",
                    page_size: traits.len(),
                    next_token,
                },
                trait_group: shown(group, with_traits.then_some(traits)),
            }))
    })
    .await
}

fn group_of<'a, E: Environment>(
    call: &Call<E>,
    store: &'a kith_domain::store::StoreRecord,
) -> Result<&'a TraitGroup, ApiError> {
    let group = store.group(call.segment("traitGroupName"));
    group.ok_or_else(|| Refusal::NoGroup.into())
}

/// PATCH `/v1/ControlPlane/Stores/{storeId}/TraitGroups/{traitGroupName}`
pub(crate) async fn update_group<E: Environment<Database: Definitions>>(
    call: Call<E>,
    payload: Payload,
) -> Answer {
    call.answer_definition(async {
        call.require_write()?;
        call.store_id()?;
        let permit = call.admit_query()?;
        let store = defined(&call).await?;
        let body = GroupBody::for_change(&call.body_if_any(payload).await?)?;
        let group = group_of(&call, &store)?;
        let subject = subject(&call, &store, &tag_id(group))?;
        let (profiles, name) = (Arc::clone(call.profiles()), group.name.clone());
        let work = async move { profiles.update_group(&subject, &name, &body).await };
        let operation = call.run("update group", permit, work).await??;
        done(&call, "Trait group update accepted.", &operation)
    })
    .await
}

/// DELETE `/v1/ControlPlane/Stores/{storeId}/TraitGroups/{traitGroupName}`
pub(crate) async fn delete_group<E: Environment<Database: Definitions>>(call: Call<E>) -> Answer {
    call.answer_definition(async {
        call.require_write()?;
        call.store_id()?;
        let permit = call.admit_query()?;
        let store = defined(&call).await?;
        let subject = subject(&call, &store, "")?;
        let (profiles, name) = (
            Arc::clone(call.profiles()),
            call.segment("traitGroupName").to_owned(),
        );
        let work = async move { profiles.delete_group(&subject, &name).await };
        let deleted = call.run("delete group", permit, work).await?;
        let operation = deleted.map_err(|refusal| ApiError::from(refusal).of_removal())?;
        done(&call, "Trait group deletion accepted.", &operation)
    })
    .await
}
