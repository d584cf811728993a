//! Which path and method is which operation. A path that exists answers other methods with those that it has; everything
//! else under the listener is no route.

use std::future::ready;

use actix_web::web::{self, ServiceConfig, get, post, to};
use actix_web::{HttpResponse, Resource};
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

/// Adds all routes. The first that matches is taken: words before ids.
pub(crate) fn configure<E: Environment<Database: Definitions>>(config: &mut ServiceConfig) {
    configure_profiles::<E>(config);
    configure_definitions::<E>(config);
    config.default_service(to(|| ready(Err::<HttpResponse, _>(ApiError::NoRoute))));
}

fn configure_profiles<E: Environment>(config: &mut ServiceConfig) {
    config
        .service(
            resource("/v1/Stores/{storeId}/Profiles", "GET, POST")
                .route(get().to(list::<E>))
                .route(post().to(create::<E>)),
        )
        .service(
            resource("/v1/Stores/{storeId}/Profiles/Lookup", "POST").route(post().to(lookup::<E>)),
        )
        .service(
            resource("/v1/Stores/{storeId}/Profiles/Bulk", "PUT").route(web::put().to(bulk::<E>)),
        )
        // A word of the contract that has no operation here yet: no id either.
        .service(no_route("/v1/Stores/{storeId}/Profiles/Imports"))
        .service(
            resource(
                "/v1/Stores/{storeId}/Profiles/{profileId}",
                "GET, PATCH, DELETE",
            )
            .route(get().to(fetch::<E>))
            .route(web::patch().to(patch::<E>))
            .route(web::delete().to(delete::<E>)),
        )
        .service(
            resource("/v1/Stores/{storeId}/Profiles/{profileId}/Traits", "GET")
                .route(get().to(list_traits::<E>)),
        )
        // Our own, not the contract's.
        .service(
            resource("/v1/Stores/{storeId}/Profiles/{profileId}/Explain", "GET")
                .route(get().to(explain::<E>)),
        )
        .service(
            resource(
                "/v1/Stores/{storeId}/Profiles/{profileId}/Identifiers",
                "GET, POST",
            )
            .route(get().to(list_identifiers::<E>))
            .route(post().to(add_identifier::<E>)),
        )
        .service(
            resource(
                "/v1/Stores/{storeId}/Profiles/{profileId}/Identifiers/{idType}",
                "GET, PATCH, DELETE",
            )
            .route(get().to(fetch_identifier::<E>))
            .route(web::patch().to(change_identifier::<E>))
            .route(web::delete().to(remove_identifiers::<E>)),
        );
}

fn configure_definitions<E: Environment<Database: Definitions>>(config: &mut ServiceConfig) {
    config
        .service(
            resource("/v1/ControlPlane/Stores", "GET, POST")
                .route(get().to(list_stores::<E>))
                .route(post().to(create_store::<E>)),
        )
        .service(
            resource("/v1/ControlPlane/Stores/{storeId}", "GET, PATCH, DELETE")
                .route(get().to(fetch_store::<E>))
                .route(web::patch().to(update_store::<E>))
                .route(web::delete().to(delete_store::<E>)),
        )
        .service(
            resource("/v1/ControlPlane/Stores/{storeId}/TraitGroups", "GET, POST")
                .route(get().to(list_groups::<E>))
                .route(post().to(create_group::<E>)),
        )
        .service(
            resource(
                "/v1/ControlPlane/Stores/{storeId}/TraitGroups/{group}",
                "GET, PATCH, DELETE",
            )
            .route(get().to(fetch_group::<E>))
            .route(web::patch().to(update_group::<E>))
            .route(web::delete().to(delete_group::<E>)),
        )
        .service(
            resource(
                "/v1/ControlPlane/Stores/{storeId}/IdentityResolutionSettings",
                "GET, PUT",
            )
            .route(get().to(fetch_settings::<E>))
            .route(web::put().to(replace_settings::<E>)),
        )
        .service(
            resource("/v1/ControlPlane/Operations/{operationId}", "GET")
                .route(get().to(fetch_operation::<E>)),
        );
}

/// A path, and the methods that it has.
fn resource(path: &'static str, methods: &'static str) -> Resource {
    let refuse = move || ready(Err::<HttpResponse, _>(ApiError::MethodNotAllowed(methods)));
    web::resource(path).default_service(to(refuse))
}

fn no_route(path: &'static str) -> Resource {
    web::resource(path).default_service(to(|| ready(Err::<HttpResponse, _>(ApiError::NoRoute))))
}
