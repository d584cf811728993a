//! Where a merged profile lives now (`memory-api.md` 2.7).

use std::net::SocketAddr;

use actix_web::http::header::{CACHE_CONTROL, HOST, LOCATION};
use actix_web::http::uri::Authority;
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse};
use kith_domain::id::ProfileId;
use serde::Serialize;

/// The header that names the canonical profile.
const CANONICAL: &str = "Canonical-Profile-Id";
/// Which segment of `/v1/Stores/{storeId}/Profiles/{profileId}...` is the profile's id; what is before the first slash counts.
const PROFILE_SEGMENT: usize = 5;

#[derive(Serialize)]
struct Moved<'a> {
    message: &'static str,
    uri: &'a str,
}

/// Where the service listens, for a caller that does not say how it came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) scheme: &'static str,
    pub(crate) address: SocketAddr,
}

/// The answer that sends the caller to the canonical profile: same origin, rest of the path and query as they were sent.
///
/// The origin is the public one if that is set, else what the request says; a client drops its credentials on the way to
/// any other. Headers of proxies are not believed: whoever runs one sets the public URL.
pub(crate) fn moved(
    request: &HttpRequest,
    public_url: Option<&str>,
    origin: &Origin,
    to: ProfileId,
) -> HttpResponse {
    let base = base(request, public_url, origin);
    let target = rewritten(request.uri().path(), request.uri().query(), to);
    let uri = format!("{base}{target}");
    // Clients may change the method of a 301, so writes get a 308.
    let status = if *request.method() == Method::GET {
        StatusCode::MOVED_PERMANENTLY
    } else {
        StatusCode::PERMANENT_REDIRECT
    };
    HttpResponse::build(status)
        .insert_header((LOCATION, uri.as_str()))
        .insert_header((CANONICAL, to.to_string()))
        // The canonical profile may be deleted, and these statuses are kept for ever otherwise.
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(Moved {
            message: "This resource has moved.",
            uri: &uri,
        })
}

/// Scheme and authority that the client used, or was told to use.
pub(crate) fn base(request: &HttpRequest, public_url: Option<&str>, origin: &Origin) -> String {
    match public_url {
        Some(url) => url.to_owned(),
        None => format!(
            "{}://{}",
            origin.scheme,
            host(request).unwrap_or_else(|| origin.address.to_string())
        ),
    }
}

/// Host and port that the client used, if it says so in a form that can stand in a URL.
fn host(request: &HttpRequest) -> Option<String> {
    let named = match request.uri().authority() {
        Some(authority) => authority.as_str(),
        None => request.headers().get(HOST)?.to_str().ok()?,
    };
    let authority: Authority = named.parse().ok()?;
    (!authority.host().is_empty() && !named.contains('@')).then(|| named.to_owned())
}

/// The request's own target with another profile in it, byte for byte otherwise.
fn rewritten(path: &str, query: Option<&str>, to: ProfileId) -> String {
    let mut target = String::with_capacity(path.len() + query.map_or(0, str::len) + 1);
    for (at, segment) in path.split('/').enumerate() {
        if at > 0 {
            target.push('/');
        }
        if at == PROFILE_SEGMENT {
            target.push_str(&to.to_string());
        } else {
            target.push_str(segment);
        }
    }
    if let Some(query) = query {
        target.push('?');
        target.push_str(query);
    }
    target
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use uuid::Uuid;

    use super::*;

    const OLD: &str = "/v1/Stores/mem_store_00000000000000000000000000/Profiles/mem_profile_00000000000000000000000001";
    const NEW: &str = "/v1/Stores/mem_store_00000000000000000000000000/Profiles/mem_profile_00000000000000000000000000";

    fn origin() -> Origin {
        Origin {
            scheme: "http",
            address: "127.0.0.1:9".parse().unwrap(),
        }
    }

    fn location(request: TestRequest, public_url: Option<&str>) -> String {
        let request = request.to_http_request();
        let to = ProfileId::from_uuid(Uuid::nil());
        let response = moved(&request, public_url, &origin(), to);
        let location = response.headers().get(LOCATION).unwrap();
        location.to_str().unwrap().to_owned()
    }

    #[test]
    fn the_rest_of_path_and_query_is_kept_byte_for_byte() {
        let request =
            TestRequest::get().uri(&format!("{OLD}/Identifiers/e%6Dail?a=%20b&a=&c=%C3%A9"));
        assert_eq!(
            location(request, Some("https://kith.example")),
            format!("https://kith.example{NEW}/Identifiers/e%6Dail?a=%20b&a=&c=%C3%A9")
        );
    }

    #[test]
    fn without_a_public_url_the_origin_is_the_requests() {
        for (host, origin) in [
            ("kith.example:8080", "http://kith.example:8080"),
            ("[::1]:80", "http://[::1]:80"),
            ("user@kith.example", "http://127.0.0.1:9"),
            ("not a host", "http://127.0.0.1:9"),
            ("", "http://127.0.0.1:9"),
        ] {
            let request = TestRequest::get().uri(OLD).insert_header((HOST, host));
            assert_eq!(location(request, None), format!("{origin}{NEW}"));
        }
        let forwarded = TestRequest::get()
            .uri(OLD)
            .insert_header((HOST, "kith.example"))
            .insert_header(("X-Forwarded-Host", "evil.example"))
            .insert_header(("X-Forwarded-Proto", "gopher"));
        assert_eq!(
            location(forwarded, None),
            format!("http://kith.example{NEW}")
        );
    }

    #[test]
    fn reads_get_301_and_writes_308() {
        for (method, status) in [
            (Method::GET, 301),
            (Method::PATCH, 308),
            (Method::DELETE, 308),
        ] {
            let request = TestRequest::default()
                .method(method)
                .uri(OLD)
                .to_http_request();
            let to = ProfileId::from_uuid(Uuid::nil());
            let response = moved(&request, None, &origin(), to);
            assert_eq!(response.status().as_u16(), status);
            assert_eq!(response.headers().get(CACHE_CONTROL).unwrap(), "no-store");
            assert_eq!(response.headers().get(CANONICAL).unwrap(), &to.to_string());
        }
    }
}
