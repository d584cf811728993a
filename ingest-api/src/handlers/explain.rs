//! Why a profile is what it is: an operation of our own, beside the contract (`docs/api.md`).

use actix_web::HttpResponse;
use kith_domain::id::{ProfileId, RequestId};
use kith_domain::identifier::{IdType, IdentifierValue};
use kith_profiles::environment::Environment;
use kith_profiles::explain::{Carrier, Explanation, Merge, Origin};
use serde::Serialize;

use crate::call::{Answer, Call};
use crate::error::ApiError;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Explained<'a> {
    id: ProfileId,
    created_at: String,
    members: Vec<Member>,
    identifiers: Vec<Claimed<'a>>,
    merges: Vec<Merged<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Member {
    id: ProfileId,
    created_at: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Claimed<'a> {
    id_type: &'a IdType,
    value: &'a str,
    profile_id: ProfileId,
    added_at: String,
    request_id: RequestId,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Merged<'a> {
    profile_id: ProfileId,
    into: ProfileId,
    merged_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<RequestId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    settings_version: Option<u32>,
    identifiers: Vec<Carried<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Carried<'a> {
    id_type: &'a IdType,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile_id: Option<ProfileId>,
}

/// GET `/v1/Stores/{storeId}/Profiles/{profileId}/Explain`
pub(crate) async fn explain<E: Environment>(call: Call<E>) -> Answer {
    call.answer(async {
        let (store, profile) = call.ids()?;
        let permit = call.admit_read()?;
        let store = call.store(store).await?;
        let profile = profile.ok_or(ApiError::NoProfile)?;
        let located = call.ask(call.profiles().explain(&store, profile)).await?;
        drop(permit);
        let answer = |id, explanation| Ok(HttpResponse::Ok().json(explained(id, &explanation)));
        call.located(located, answer, profile)
    })
    .await
}

fn explained(id: ProfileId, explanation: &Explanation) -> Explained<'_> {
    let member = |id: &ProfileId| Member {
        id: *id,
        created_at: id.created_at().to_string(),
    };
    Explained {
        id,
        created_at: id.created_at().to_string(),
        members: explanation.members.iter().map(member).collect(),
        identifiers: explanation.identifiers.iter().map(claimed).collect(),
        merges: explanation.merges.iter().map(merged).collect(),
    }
}

fn claimed(origin: &Origin) -> Claimed<'_> {
    Claimed {
        id_type: &origin.id_type,
        value: origin.value.expose(),
        profile_id: origin.member,
        added_at: origin.added_at.to_string(),
        request_id: origin.request,
    }
}

fn merged(merge: &Merge) -> Merged<'_> {
    let reason = merge.reason.as_ref();
    let identifiers = reason.map(|reason| reason.identifiers.iter().map(carried).collect());
    Merged {
        profile_id: merge.profile,
        into: merge.into,
        merged_at: merge.at.to_string(),
        request_id: reason.map(|reason| reason.request),
        settings_version: reason.map(|reason| reason.settings_version),
        identifiers: identifiers.unwrap_or_default(),
    }
}

fn carried(carrier: &Carrier) -> Carried<'_> {
    let held = carrier.held.as_ref();
    Carried {
        id_type: &carrier.id_type,
        value: held.map(|(value, _): &(IdentifierValue, _)| value.expose()),
        profile_id: held.map(|(_, member)| *member),
    }
}
