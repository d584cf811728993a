//! Identifiers of a profile (`memory-api.md` 6.10).

use actix_web::HttpResponse;
use kith_domain::identifier::{IdType, IdentifierValue};
use kith_profiles::environment::Environment;
use serde::Serialize;

use crate::call::{Answer, Call};
use crate::error::ApiError;

#[derive(Serialize)]
struct Identifiers<'a> {
    identifiers: Vec<IdentifierSet<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct IdentifierSet<'a> {
    id_type: &'a str,
    values: Vec<&'a str>,
}

/// GET `/v1/Stores/{storeId}/Profiles/{profileId}/Identifiers`
pub(crate) async fn list_identifiers<E: Environment>(call: Call<E>) -> Answer {
    call.answer(async {
        let (store, profile) = call.ids()?;
        let permit = call.admit_read()?;
        let store = call.store(store).await?;
        let profile = profile.ok_or(ApiError::NoProfile)?;
        let located = call
            .ask(call.profiles().identifiers(&store, profile))
            .await?;
        drop(permit);
        call.located(located, |_, sets| Ok(shown(&sets)), profile)
    })
    .await
}

fn shown(sets: &[(IdType, Vec<IdentifierValue>)]) -> HttpResponse {
    let identifiers = sets.iter().map(|(id_type, values)| IdentifierSet {
        id_type: id_type.as_str(),
        values: values.iter().map(IdentifierValue::expose).collect(),
    });
    HttpResponse::Ok().json(Identifiers {
        identifiers: identifiers.collect(),
    })
}
