//! The operations, one file a resource: parse, ask or run one use case, reply.

use actix_web::HttpResponse;
use serde::Serialize;

mod bulk;
pub(crate) mod control;
mod explain;
mod identifiers;
mod lookup;
pub(crate) mod page;
mod profiles;
mod traits;

pub(crate) use bulk::bulk;
pub(crate) use explain::explain;
pub(crate) use identifiers::{
    add_identifier, change_identifier, fetch_identifier, list_identifiers, remove_identifiers,
};
pub(crate) use lookup::lookup;
pub(crate) use profiles::{create, delete, fetch, list, patch};
pub(crate) use traits::list_traits;

/// What a page says of itself.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    key: &'static str,
    page_size: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

/// The answer to a write that has nothing else to tell.
fn accepted(message: &'static str) -> HttpResponse {
    #[derive(Serialize)]
    struct Accepted {
        message: &'static str,
    }

    HttpResponse::Accepted().json(Accepted { message })
}
