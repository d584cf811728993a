//! Identity resolution settings: fetch, replace (`memory-api.md` 5.3).

use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::http::header::ETAG;
use actix_web::web::Payload;
use kith_domain::identifier::IdType;
use kith_domain::settings::{IdentifierConfig, IdentitySettings};
use kith_profiles::environment::Environment;
use kith_profiles::ports::Definitions;
use serde::Serialize;

use super::{defined, done, subject};
use crate::call::{Answer, Call};
use crate::etag::etag;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Settings<'a> {
    identifier_configs: &'a [IdentifierConfig],
    matching_rules: &'a [IdType],
    version: u32,
}

/// GET `/v1/ControlPlane/Stores/{storeId}/IdentityResolutionSettings`
pub(crate) async fn fetch_settings<E: Environment<Database: Definitions>>(call: Call<E>) -> Answer {
    call.answer_definition(async {
        call.store_id()?;
        let permit = call.admit_read()?;
        let store = defined(&call).await?;
        drop(permit);
        Ok(HttpResponse::Ok()
            .insert_header((ETAG, etag(&store.id.to_string(), store.settings_version)))
            .json(Settings {
                identifier_configs: &store.settings.identifier_configs,
                matching_rules: &store.settings.matching_rules,
                version: store.settings_version,
            }))
    })
    .await
}

/// PUT `/v1/ControlPlane/Stores/{storeId}/IdentityResolutionSettings`
pub(crate) async fn replace_settings<E: Environment<Database: Definitions>>(
    call: Call<E>,
    payload: Payload,
) -> Answer {
    call.answer_definition(async {
        call.require_write()?;
        call.store_id()?;
        let permit = call.admit_query()?;
        let store = defined(&call).await?;
        let settings = IdentitySettings::parse(&call.body(payload).await?)?;
        let subject = subject(&call, &store, &store.id.to_string())?;
        let profiles = Arc::clone(call.profiles());
        let work = async move { profiles.replace_settings(&subject, &settings).await };
        let operation = call.run("replace settings", permit, work).await??;
        done(
            &call,
            "Identity resolution settings update accepted.",
            &operation,
        )
    })
    .await
}
