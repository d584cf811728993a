//! Which path and method is which operation: the table of [`operation`](crate::operation), each row with its handler. A path
//! that exists answers other methods with those that it has; everything else under the listener is no route.

use std::future::ready;

use actix_web::web::{self, ServiceConfig, to};
use actix_web::{HttpResponse, Route};
use kith_profiles::environment::Environment;
use kith_profiles::ports::Definitions;

use crate::error::ApiError;
use crate::handlers::control::{
    create_group, create_store, delete_group, delete_store, fetch_group, fetch_operation,
    fetch_settings, fetch_store, list_groups, list_stores, replace_settings, update_group,
    update_store,
};
use crate::handlers::{
    add_identifier, bulk, change_identifier, create, delete, explain, fetch, fetch_identifier,
    list, list_identifiers, list_traits, lookup, patch, remove_identifiers,
};
use crate::operation::{Name, PLACES, Place};
use crate::public;

/// Adds all routes. The first that matches is taken.
pub(crate) fn configure<E: Environment<Database: Definitions>>(config: &mut ServiceConfig) {
    public::configure::<E>(config);
    for place in &PLACES {
        let mut resource = web::resource(place.path);
        for operation in place.operations {
            let route = web::method(operation.verb.method());
            resource = resource.route(handled::<E>(operation.name, route));
        }
        let refused = refusal_of(place);
        config.service(
            resource.default_service(to(move || ready(Err::<HttpResponse, _>(refused.clone())))),
        );
    }
    config.default_service(to(|| ready(Err::<HttpResponse, _>(ApiError::NoRoute))));
}

/// What a path answers methods that it does not have.
fn refusal_of(place: &Place) -> ApiError {
    if place.operations.is_empty() {
        return ApiError::NoRoute;
    }
    let methods: Vec<_> = place
        .operations
        .iter()
        .map(|operation| operation.verb.method().to_string())
        .collect();
    ApiError::MethodNotAllowed(methods.join(", ").into())
}

/// The route of an operation, with its handler.
fn handled<E: Environment<Database: Definitions>>(name: Name, route: Route) -> Route {
    match name {
        Name::ListStores => route.to(list_stores::<E>),
        Name::CreateStore => route.to(create_store::<E>),
        Name::FetchStore => route.to(fetch_store::<E>),
        Name::PatchStore => route.to(update_store::<E>),
        Name::DeleteStore => route.to(delete_store::<E>),
        Name::ListTraitGroups => route.to(list_groups::<E>),
        Name::CreateTraitGroup => route.to(create_group::<E>),
        Name::FetchTraitGroup => route.to(fetch_group::<E>),
        Name::PatchTraitGroup => route.to(update_group::<E>),
        Name::DeleteTraitGroup => route.to(delete_group::<E>),
        Name::FetchIdentityResolutionSettings => route.to(fetch_settings::<E>),
        Name::UpdateIdentityResolutionSettings => route.to(replace_settings::<E>),
        Name::FetchOperation => route.to(fetch_operation::<E>),
        Name::ListProfiles => route.to(list::<E>),
        Name::CreateProfile => route.to(create::<E>),
        Name::FetchProfile => route.to(fetch::<E>),
        Name::PatchProfileTraits => route.to(patch::<E>),
        Name::DeleteProfile => route.to(delete::<E>),
        Name::CreateProfilesLookup => route.to(lookup::<E>),
        Name::UpdateProfilesBulk => route.to(bulk::<E>),
        Name::ListProfileTraits => route.to(list_traits::<E>),
        Name::ExplainProfile => route.to(explain::<E>),
        Name::ListProfileIdentifiers => route.to(list_identifiers::<E>),
        Name::CreateProfileIdentifier => route.to(add_identifier::<E>),
        Name::FetchProfileIdentifier => route.to(fetch_identifier::<E>),
        Name::PatchProfileIdentifier => route.to(change_identifier::<E>),
        Name::DeleteProfileIdentifier => route.to(remove_identifiers::<E>),
    }
}
