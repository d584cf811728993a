//! Lookup: who has this identifier? (`memory-api.md` 6.7)

use actix_web::HttpResponse;
use actix_web::web::Payload;
use kith_domain::id::ProfileId;
use kith_domain::identifier::{IdType, Identifier};
use kith_domain::settings::IdentifierError;
use kith_domain::store::StoreRecord;
use kith_profiles::environment::Environment;
use serde::Serialize;

use crate::call::{Answer, Call};
use crate::error::{ApiError, Invalid};
use crate::lookup_body::LookupBody;

/// Profiles in an answer at most.
const PROFILES_MAX: usize = 100;

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
        let identifier = identifier(&store, &call.body(payload).await?)?;
        let value = identifier.value.clone();
        let mut profiles = call.ask(call.profiles().lookup(&store, identifier)).await?;
        drop(permit);
        profiles.truncate(PROFILES_MAX);
        Ok(HttpResponse::Ok().json(LookedUp {
            normalized_value: value.expose(),
            profiles: &profiles,
        }))
    })
    .await
}

/// The identifier that a body names.
fn identifier(store: &StoreRecord, body: &[u8]) -> Result<Identifier, ApiError> {
    let body = LookupBody::parse(body)?;
    let id_type = IdType::new(&body.id_type);
    store
        .settings
        .identifier(&id_type, &body.value)
        .map_err(|error| {
            let field = match error {
                IdentifierError::UnknownType => "idType",
                IdentifierError::Empty
                | IdentifierError::TooLong
                | IdentifierError::NotNormalizable => "value",
            };
            ApiError::Invalid(Invalid::field(field, reason(error)))
        })
}

fn reason(error: IdentifierError) -> &'static str {
    match error {
        IdentifierError::UnknownType => "is not a configured identifier type",
        IdentifierError::Empty => "must not be empty",
        IdentifierError::TooLong => "must be at most 255 characters",
        IdentifierError::NotNormalizable => "cannot be normalised",
    }
}
