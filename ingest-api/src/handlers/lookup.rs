//! Lookup: who has this identifier? (`memory-api.md` 6.7)

use actix_web::HttpResponse;
use actix_web::web::Payload;
use kith_domain::id::ProfileId;
use kith_profiles::environment::Environment;
use serde::Serialize;

use super::identifiers::identifier;
use crate::call::{Answer, Call};
use crate::text_body::{self, ID_TYPE};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LookedUp<'a> {
    normalized_value: &'a str,
    profiles: &'a [ProfileId],
}

/// POST `/v1/Stores/{storeId}/Profiles/Lookup`
pub(crate) async fn lookup<E: Environment>(call: Call<E>, payload: Payload) -> Answer {
    call.answer(async {
        let store = call.store_id()?;
        let permit = call.admit_query()?;
        let store = call.store(store).await?;
        let [id_type, value] = text_body::parse([ID_TYPE, "value"], &call.body(payload).await?)?;
        let identifier = identifier(&store, &id_type, "value", &value)?;
        let value = identifier.value.clone();
        let profiles = call.ask(call.profiles().lookup(&store, identifier)).await?;
        drop(permit);
        Ok(HttpResponse::Ok().json(LookedUp {
            normalized_value: value.expose(),
            profiles: &profiles,
        }))
    })
    .await
}
