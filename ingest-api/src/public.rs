//! What everybody may read: the description of the API, for programs and for people. It says nothing of any account, so nobody
//! has to say who they are.

use std::future::{Ready, ready};

use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, ETAG, IF_NONE_MATCH, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::web::{Data, ServiceConfig, get, resource, to};
use actix_web::{HttpRequest, HttpResponse};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use bytes::Bytes;
use kith_profiles::environment::Environment;
use sha2::{Digest as _, Sha256};

use crate::app::App;
use crate::error::ApiError;
use crate::openapi::{Page, description, page};

const DESCRIPTION: &str = "/openapi.json";
const PAGE: &str = "/docs";
/// Another release may say something else.
const CACHE: &str = "public, max-age=300";

/// Whether a route is for everybody.
pub(crate) fn is_public(route: &str) -> bool {
    [DESCRIPTION, PAGE].contains(&route)
}

/// One document, as it is sent.
#[derive(Debug)]
struct Document {
    content_type: &'static str,
    policy: String,
    tag: String,
    body: Bytes,
}

impl Document {
    fn new(content_type: &'static str, policy: String, body: String) -> Self {
        let digest = Sha256::digest(&body);
        Self {
            content_type,
            policy,
            tag: format!("\"{}\"", BASE64_URL_SAFE_NO_PAD.encode(&digest[..16])),
            body: body.into(),
        }
    }

    /// The document, unless the caller has it.
    fn answer(&self, request: &HttpRequest) -> HttpResponse {
        let known = request.headers().get_all(IF_NONE_MATCH);
        let is_known = known
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .any(|tag| tag == "*" || tag.trim_start_matches("W/") == self.tag);
        let mut answer = if is_known {
            HttpResponse::NotModified()
        } else {
            HttpResponse::Ok()
        };
        answer
            .insert_header((ETAG, self.tag.as_str()))
            .insert_header((CACHE_CONTROL, CACHE));
        if is_known {
            return answer.finish();
        }
        answer
            .insert_header((CONTENT_SECURITY_POLICY, self.policy.as_str()))
            .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
            .content_type(self.content_type)
            .body(self.body.clone())
    }
}

/// The documents of a service, written when it is bound.
#[derive(Debug)]
pub(crate) struct Documents {
    description: Document,
    page: Document,
}

impl Documents {
    /// Of a service at this URL, if it has one.
    pub(crate) fn new(public_url: Option<&str>) -> Self {
        let description = description(public_url);
        let Page { html, policy } = page(&description);
        Self {
            description: Document::new(
                "application/json",
                "default-src 'none'".to_owned(),
                description.to_string(),
            ),
            page: Document::new("text/html; charset=utf-8", policy, html),
        }
    }
}

/// Adds the routes.
pub(crate) fn configure<E: Environment>(config: &mut ServiceConfig) {
    let refuse = || {
        to(|| {
            ready(Err::<HttpResponse, _>(ApiError::MethodNotAllowed(
                "GET".into(),
            )))
        })
    };
    config
        .service(
            resource(DESCRIPTION)
                .route(get().to(described::<E>))
                .default_service(refuse()),
        )
        .service(
            resource(PAGE)
                .route(get().to(shown::<E>))
                .default_service(refuse()),
        );
}

/// GET `/openapi.json`
fn described<E: Environment>(app: Data<App<E>>, request: HttpRequest) -> Ready<HttpResponse> {
    ready(app.documents.description.answer(&request))
}

/// GET `/docs`
fn shown<E: Environment>(app: Data<App<E>>, request: HttpRequest) -> Ready<HttpResponse> {
    ready(app.documents.page.answer(&request))
}
