//! Which path and method is which operation. A path that exists answers other methods with those that it has; everything
//! else under the listener is no route.

use std::future::ready;

use actix_web::web::{self, ServiceConfig, get, post, to};
use actix_web::{HttpResponse, Resource};
use kith_profiles::environment::Environment;

use crate::error::ApiError;
use crate::handlers::{
    add_identifier, change_identifier, create, delete, fetch, fetch_identifier, list,
    list_identifiers, list_traits, lookup, patch, remove_identifiers,
};

/// Adds all routes. The first that matches is taken: words before ids.
pub(crate) fn configure<E: Environment>(config: &mut ServiceConfig) {
    config
        .service(
            resource("/v1/Stores/{storeId}/Profiles", "GET, POST")
                .route(get().to(list::<E>))
                .route(post().to(create::<E>)),
        )
        .service(
            resource("/v1/Stores/{storeId}/Profiles/Lookup", "POST").route(post().to(lookup::<E>)),
        )
        // Words of the contract that have no operation here yet: no ids either.
        .service(no_route("/v1/Stores/{storeId}/Profiles/Bulk"))
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
        )
        .default_service(to(|| ready(Err::<HttpResponse, _>(ApiError::NoRoute))));
}

/// A path, and the methods that it has.
fn resource(path: &'static str, methods: &'static str) -> Resource {
    let refuse = move || ready(Err::<HttpResponse, _>(ApiError::MethodNotAllowed(methods)));
    web::resource(path).default_service(to(refuse))
}

fn no_route(path: &'static str) -> Resource {
    web::resource(path).default_service(to(|| ready(Err::<HttpResponse, _>(ApiError::NoRoute))))
}
