//! Identifiers of a profile (`memory-api.md` 6.10).

use std::future::Future;
use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::web::Payload;
use bytes::Bytes;
use kith_domain::id::ProfileId;
use kith_domain::identifier::{IdType, Identifier, IdentifierValue};
use kith_domain::settings::IdentifierError;
use kith_domain::store::StoreRecord;
use kith_profiles::Profiles;
use kith_profiles::change::{Changed, Removal, Target};
use kith_profiles::environment::Environment;
use kith_profiles::error::Trouble;
use kith_profiles::read::Located;
use serde::Serialize;

use super::accepted;
use crate::call::{Answer, Call};
use crate::error::{ApiError, Invalid};
use crate::query;
use crate::text_body::{self, ID_TYPE};

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

impl<'a> IdentifierSet<'a> {
    fn of((id_type, values): &'a (IdType, Vec<IdentifierValue>)) -> Self {
        Self {
            id_type: id_type.as_str(),
            values: values.iter().map(IdentifierValue::expose).collect(),
        }
    }
}

/// GET `/v1/Stores/{storeId}/Profiles/{profileId}/Identifiers`
pub(crate) async fn list_identifiers<E: Environment>(call: Call<E>) -> Answer {
    read(call, |_, sets| {
        Ok(HttpResponse::Ok().json(Identifiers {
            identifiers: sets.iter().map(IdentifierSet::of).collect(),
        }))
    })
    .await
}

/// GET `/v1/Stores/{storeId}/Profiles/{profileId}/Identifiers/{idType}`
pub(crate) async fn fetch_identifier<E: Environment>(call: Call<E>) -> Answer {
    read(call, |id_type, sets| {
        let set = sets.iter().find(|(one, _)| *one == id_type);
        let set = set.ok_or(ApiError::NoIdentifier)?;
        Ok(HttpResponse::Ok().json(IdentifierSet::of(set)))
    })
    .await
}

async fn read<E: Environment>(
    call: Call<E>,
    shown: impl FnOnce(IdType, &[(IdType, Vec<IdentifierValue>)]) -> Answer,
) -> Answer {
    call.answer(async {
        let (store, profile) = call.ids()?;
        let permit = call.admit_read()?;
        let store = call.store(store).await?;
        let profile = profile.ok_or(ApiError::NoProfile)?;
        let located = call
            .ask(call.profiles().identifiers(&store, profile))
            .await?;
        drop(permit);
        call.located(located, |_, sets| shown(call.id_type(), &sets), profile)
    })
    .await
}

/// POST `/v1/Stores/{storeId}/Profiles/{profileId}/Identifiers`
pub(crate) async fn add_identifier<E: Environment>(call: Call<E>, payload: Payload) -> Answer {
    const MESSAGE: &str = "Identifier accepted for processing.";
    let body = |store: &StoreRecord, body: &[u8]| {
        let [id_type, value] = text_body::parse([ID_TYPE, "value"], body)?;
        Ok(identifier(store, &id_type, "value", &value))
    };
    write(
        call,
        payload,
        MESSAGE,
        body,
        async |profiles, target, new| {
            let added = profiles.add_identifier(&target, new).await?;
            Ok(added.map(|()| Changed::Done))
        },
    )
    .await
}

/// PATCH `/v1/Stores/{storeId}/Profiles/{profileId}/Identifiers/{idType}`
pub(crate) async fn change_identifier<E: Environment>(call: Call<E>, payload: Payload) -> Answer {
    const MESSAGE: &str = "Identifier update accepted.";
    let of_path = call.id_type();
    let body = |store: &StoreRecord, body: &[u8]| {
        let [id_type, old, new] = text_body::parse([ID_TYPE, "oldValue", "newValue"], body)?;
        if id_type != of_path.as_str() {
            let fault = Invalid::field(ID_TYPE, "must be the type of the path");
            return Err(ApiError::Invalid(fault));
        }
        let old = identifier(store, &id_type, "oldValue", &old);
        Ok(old.and_then(|old| Ok((old, identifier(store, &id_type, "newValue", &new)?))))
    };
    write(
        call,
        payload,
        MESSAGE,
        body,
        async |profiles, target, (old, new)| profiles.change_identifier(&target, &old, new).await,
    )
    .await
}

/// DELETE `/v1/Stores/{storeId}/Profiles/{profileId}/Identifiers/{idType}`
pub(crate) async fn remove_identifiers<E: Environment>(call: Call<E>) -> Answer {
    call.answer(async {
        call.require_write()?;
        let (store, profile) = call.ids()?;
        let permit = call.admit_write()?;
        let store = call.store(store).await?;
        let removal = if query::remove_all(call.query())? {
            Removal::All
        } else {
            Removal::One
        };
        let target = call.target(store, profile)?;
        let (profiles, id_type) = (Arc::clone(call.profiles()), call.id_type());
        // A type that is not configured is on no profile.
        let work = async move {
            if target.store.settings.config(&id_type).is_none() {
                let located = profiles.locate(&target.store, target.profile).await?;
                return Ok(located.map(|()| Changed::NotThere));
            }
            profiles
                .remove_identifiers(&target, &id_type, removal)
                .await
        };
        let located = call.run("remove_identifiers", permit, work).await?;
        changed(&call, located, profile, "Identifier removal accepted.")
    })
    .await
}

/// A write with a body that names identifiers. What is wrong with a value is told only if the profile is there
/// (`memory-api.md` 2.8).
async fn write<E: Environment, T: Send + 'static, F>(
    call: Call<E>,
    payload: Payload,
    message: &'static str,
    read: impl FnOnce(&StoreRecord, &[u8]) -> Result<Result<T, ApiError>, ApiError>,
    work: impl FnOnce(Arc<Profiles<E>>, Target, T) -> F + Send + 'static,
) -> Answer
where
    F: Future<Output = Result<Located<Changed>, Trouble>> + Send + 'static,
{
    call.answer(async {
        call.require_write()?;
        let (store, profile) = call.ids()?;
        let permit = call.admit_write()?;
        let store = call.store(store).await?;
        let body: Bytes = call.body(payload).await?;
        let identifiers = read(&store, &body)?;
        let target = call.target(store, profile)?;
        let identifiers = match identifiers {
            Ok(identifiers) => identifiers,
            Err(fault) => return call.refuse(&target, fault).await,
        };
        let profiles = Arc::clone(call.profiles());
        let work = async move { work(profiles, target, identifiers).await };
        let located = call.run("change_identifiers", permit, work).await?;
        changed(&call, located, profile, message)
    })
    .await
}

fn changed<E: Environment>(
    call: &Call<E>,
    located: Located<Changed>,
    profile: Option<ProfileId>,
    message: &'static str,
) -> Answer {
    let profile = profile.ok_or(ApiError::NoProfile)?;
    let answer = |_, changed| match changed {
        Changed::Done => Ok(accepted(message)),
        Changed::NotThere => Err(ApiError::NoIdentifier),
        Changed::AlreadyHere => Err(ApiError::IdentifierTaken),
    };
    call.located(located, answer, profile)
}

/// The identifier that a request names, its value in this field.
pub(super) fn identifier(
    store: &StoreRecord,
    id_type: &str,
    field: &'static str,
    value: &str,
) -> Result<Identifier, ApiError> {
    let id_type = IdType::new(id_type);
    store.settings.identifier(&id_type, value).map_err(|error| {
        let field = match error {
            IdentifierError::UnknownType => ID_TYPE,
            IdentifierError::Empty
            | IdentifierError::TooLong
            | IdentifierError::HasNul
            | IdentifierError::NotNormalizable => field,
        };
        ApiError::Invalid(Invalid::field(field, reason(error)))
    })
}

fn reason(error: IdentifierError) -> &'static str {
    match error {
        IdentifierError::UnknownType => "is not a configured identifier type",
        IdentifierError::Empty => "must not be empty",
        IdentifierError::TooLong => "must be at most 255 characters",
        IdentifierError::HasNul => "must not have the character U+0000",
        IdentifierError::NotNormalizable => "cannot be normalised",
    }
}
