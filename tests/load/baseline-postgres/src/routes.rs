//! Requests and answers, as the API has them.

use actix_web::web::{self, Data, Json, Path, Query, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, http::header};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use kith_domain::id::{ProfileId, StoreId};
use serde::{Deserialize, Serialize};
use serde_json::json;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::contact::{self, Body, Contact, Refused};
use crate::database::{Database, Found};

/// The development account, which is the only one.
const ACCOUNT: &str = "AC00000000000000000000000000000000";
/// Its token.
const TOKEN: &str = "development";
/// Profiles of a page at most.
const PAGE_MAX: i64 = 1_000;

/// What callers ask.
pub(crate) fn public(config: &mut ServiceConfig) {
    let profiles = "/v1/Stores/{store}/Profiles";
    config
        .route(profiles, web::post().to(create))
        .route(profiles, web::get().to(list))
        .route(&format!("{profiles}/Lookup"), web::post().to(lookup))
        .route(&format!("{profiles}/{{profile}}"), web::get().to(fetch));
}

/// What the operator asks.
pub(crate) fn admin(config: &mut ServiceConfig) {
    config
        .route("/readyz", web::get().to(ready))
        .route("/metrics", web::get().to(metrics));
}

/// Why there is no good answer.
#[derive(Debug)]
enum Failure {
    Unauthorized,
    Refused,
    Unknown,
    Broken(anyhow::Error),
}

type Answer = Result<HttpResponse, Failure>;

#[derive(Serialize)]
struct Accepted {
    message: &'static str,
    id: ProfileId,
}

async fn create(
    request: HttpRequest,
    database: Data<Database>,
    store: Path<String>,
    body: Json<Body>,
) -> Answer {
    authorize(&request)?;
    let store = store_id(&store)?;
    let contact = Contact::new(body.into_inner(), now())?;
    let id = database.create(store, &contact, Uuid::now_v7()).await?;
    Ok(HttpResponse::Accepted().json(Accepted {
        message: "Profile resolved and accepted for processing.",
        id,
    }))
}

async fn fetch(
    request: HttpRequest,
    database: Data<Database>,
    path: Path<(String, String)>,
) -> Answer {
    authorize(&request)?;
    let (store, profile) = path.into_inner();
    let store = store_id(&store)?;
    let id: ProfileId = profile.parse().map_err(|_| Failure::Unknown)?;
    Ok(match database.fetch(store, id).await? {
        Found::Here(traits) => HttpResponse::Ok().json(json!({
            "id": id,
            "createdAt": id.created_at().to_string(),
            "traits": contact::shown(&traits),
        })),
        Found::Merged(root) => HttpResponse::MovedPermanently()
            .insert_header((
                header::LOCATION,
                format!("/v1/Stores/{store}/Profiles/{root}"),
            ))
            .insert_header(("Canonical-Profile-Id", root.to_string()))
            .json(json!({ "message": "The profile was merged." })),
        Found::Nobody => return Err(Failure::Unknown),
    })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    id_type: String,
    value: String,
}

async fn lookup(
    request: HttpRequest,
    database: Data<Database>,
    store: Path<String>,
    asked: Json<Asked>,
) -> Answer {
    authorize(&request)?;
    let store = store_id(&store)?;
    let identifier = contact::identifier(&asked.id_type, &asked.value)?;
    let profiles = database.lookup(store, &identifier).await?;
    let answer = json!({ "normalizedValue": identifier.value, "profiles": profiles });
    Ok(HttpResponse::Ok().json(answer))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Paging {
    #[serde(default = "page_size")]
    page_size: i64,
    /// The last profile of the page before.
    page_token: Option<ProfileId>,
    #[serde(default)]
    order_by: Order,
}

#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Order {
    Asc,
    #[default]
    Desc,
}

const fn page_size() -> i64 {
    50
}

async fn list(
    request: HttpRequest,
    database: Data<Database>,
    store: Path<String>,
    paging: Query<Paging>,
) -> Answer {
    authorize(&request)?;
    let store = store_id(&store)?;
    let size = paging.page_size.clamp(1, PAGE_MAX);
    let is_ascending = paging.order_by == Order::Asc;
    // One more than is shown: whether there is another page.
    let asked = database.list(store, is_ascending, paging.page_token, size + 1);
    let mut profiles = asked.await?;
    let mut meta = json!({ "key": "profiles" });
    let shown = usize::try_from(size).unwrap_or(usize::MAX);
    if profiles.len() > shown {
        profiles.truncate(shown);
        meta["nextToken"] = json!(profiles.last());
    }
    meta["pageSize"] = json!(profiles.len());
    Ok(HttpResponse::Ok().json(json!({ "profiles": profiles, "meta": meta })))
}

async fn ready(database: Data<Database>) -> Answer {
    database.syncs().await?;
    Ok(HttpResponse::Ok().finish())
}

async fn metrics(database: Data<Database>) -> Answer {
    let syncs = database.syncs().await?;
    Ok(HttpResponse::Ok().body(format!("postgres_wal_syncs_total {syncs}\n")))
}

fn authorize(request: &HttpRequest) -> Result<(), Failure> {
    let given = request.headers().get(header::AUTHORIZATION);
    let token = given.and_then(|given| given.as_bytes().strip_prefix(b"Basic "));
    let pair = token.and_then(|token| BASE64_STANDARD.decode(token).ok());
    match pair
        .as_deref()
        .and_then(|pair| std::str::from_utf8(pair).ok())
    {
        Some(pair) if pair.split_once(':') == Some((ACCOUNT, TOKEN)) => Ok(()),
        Some(_) | None => Err(Failure::Unauthorized),
    }
}

fn store_id(text: &str) -> Result<StoreId, Failure> {
    text.parse().map_err(|_| Failure::Refused)
}

/// The microsecond now.
fn now() -> i64 {
    let micros = OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000;
    i64::try_from(micros).unwrap_or(i64::MAX)
}

impl From<Refused> for Failure {
    fn from(_: Refused) -> Self {
        Self::Refused
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Broken(error)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Unauthorized => "Authenticate",
            Self::Refused => "The request is not valid",
            Self::Unknown => "The profile was not found",
            Self::Broken(_) => "An internal server error has occurred",
        })
    }
}

impl actix_web::ResponseError for Failure {
    fn error_response(&self) -> HttpResponse {
        let mut answer = match self {
            Self::Unauthorized => HttpResponse::Unauthorized(),
            Self::Refused => HttpResponse::BadRequest(),
            Self::Unknown => HttpResponse::NotFound(),
            Self::Broken(error) => {
                report(error);
                HttpResponse::InternalServerError()
            }
        };
        answer.json(json!({ "message": self.to_string() }))
    }
}

/// Says why a request failed. The server's own words are left out: they may quote a value.
fn report(error: &anyhow::Error) {
    let code = error
        .downcast_ref::<tokio_postgres::Error>()
        .and_then(tokio_postgres::Error::code)
        .map_or("none", tokio_postgres::error::SqlState::code);
    eprintln!("a request failed; code of the database: {code}");
}
