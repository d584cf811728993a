//! A service of its own for each test, and the requests to it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use ingest_api::{Admission, Bound, Limits, Service, bind, development_store};
use kith_described::{Description, Exchange};
use kith_domain::id::{AccountSid, StoreId};
use kith_domain::schema::TraitDefinition;
use kith_domain::store::{StoreRecord, StoreStatus};
use kith_domain::time::Micros;
use kith_embedded::{Embedded, EmbeddedLog, Options};
use kith_profiles::Profiles;
use kith_profiles::environment::Parts;
use kith_profiles::ports::{Control as _, Definitions as _, TokenKey};
use kith_profiles::retries::RetryBudget;
use kith_runtime::breaker::{BreakerConfig, Dependency, GuardedLog};
use kith_runtime::clock::{SystemClock, SystemIds};
use kith_runtime::credentials::Credentials;
use kith_runtime::health::Health;
use kith_runtime::lifecycle::{Lifecycle, Stage};
use kith_runtime::tls::ListenerTls;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

use crate::watched::{Watch, WatchedDatabase, WatchedLog};

type Environment =
    Parts<WatchedDatabase<Embedded>, GuardedLog<WatchedLog<EmbeddedLog>>, SystemClock, SystemIds>;

pub(crate) const ACCOUNT: &str = "AC00000000000000000000000000000001";
pub(crate) const TOKEN: &str = "token of the first";
pub(crate) const OTHER_ACCOUNT: &str = "AC00000000000000000000000000000002";
pub(crate) const OTHER_TOKEN: &str = "token of the second";
pub(crate) const READ_KEY: &str = "SK00000000000000000000000000000001";
pub(crate) const WRITE_KEY: &str = "SK00000000000000000000000000000002";
pub(crate) const KEY_SECRET: &str = "secret of a key";

/// The store of the first account.
pub(crate) const STORE: &str = "mem_store_00000000000000000000000000";
/// The same for the second.
pub(crate) const OTHER_STORE: &str = "mem_store_00000000000000000000000002";
/// No store of anybody.
pub(crate) const NO_STORE: &str = "mem_store_00000000000000000000000009";
/// No profile of anybody.
pub(crate) const NO_PROFILE: &str = "mem_profile_00000000000000000000000009";

/// What a test wants otherwise.
pub(crate) struct Setup {
    pub(crate) limits: Limits,
    pub(crate) public_url: Option<String>,
    pub(crate) breaker: BreakerConfig,
    /// Who may call; `None`: the accounts and keys above.
    pub(crate) credentials: Option<Credentials>,
    pub(crate) tls: Option<ListenerTls>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            limits: Limits {
                request_deadline: Duration::from_millis(2_500),
                body_bytes_max: 64 * 1024,
                bulk_bytes_max: 128 * 1024,
                requests_in_flight_max: 64,
                rate: None,
            },
            public_url: None,
            breaker: BreakerConfig::default(),
            credentials: None,
            tls: None,
        }
    }
}

pub(crate) struct TestService {
    pub(crate) address: SocketAddr,
    pub(crate) watch: Arc<Watch>,
    pub(crate) health: Health,
    pub(crate) lifecycle: Option<Lifecycle>,
    embedded: Embedded,
    client: Client,
    /// Last: the directory goes after the engine.
    _directory: TempDir,
}

impl TestService {
    pub(crate) async fn start() -> Self {
        Self::start_with(Setup::default()).await
    }

    pub(crate) async fn start_with(setup: Setup) -> Self {
        let directory = TempDir::new().unwrap();
        let options = Options::new(directory.path(), Arc::new(|| Micros::from_micros(1)));
        let embedded = Embedded::open(options).unwrap();
        make_stores(&embedded).await;

        let health = Health::new();
        let mut lifecycle = Lifecycle::new(Duration::from_secs(20), health.clone());
        let stage = lifecycle.stage("http");
        let watch = Watch::new();
        let token_key = embedded.token_key().await.unwrap();
        let bound = service(
            &embedded,
            &watch,
            &stage,
            directory.path(),
            (setup, token_key),
        );
        let address = bound.local_address();
        stage.component("http", |shutdown| async move {
            Ok(bound
                .serve(async move { shutdown.requested().await })
                .await?)
        });
        let client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(20))
            .build()
            .unwrap();
        Self {
            address,
            watch,
            health,
            lifecycle: Some(lifecycle),
            embedded,
            client,
            _directory: directory,
        }
    }

    /// A request without credentials.
    pub(crate) fn bare(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("http://{}{path}", self.address))
    }

    /// A request of the first account.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.bare(method, path).basic_auth(ACCOUNT, Some(TOKEN))
    }

    pub(crate) async fn get(&self, path: &str) -> Answered {
        Answered::of(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answered {
        Answered::of(self.request(Method::POST, path).json(body)).await
    }

    /// Creates a profile of the first account's store; its id.
    pub(crate) async fn create(&self, contact: Value) -> String {
        let answered = self
            .post(&profiles(), &json!({"traits": {"Contact": contact}}))
            .await;
        assert_eq!(answered.status, 202, "{}", answered.body);
        // Ids carry milliseconds, and the examples count on their order.
        tokio::time::sleep(Duration::from_millis(2)).await;
        answered.body["id"].as_str().unwrap().to_owned()
    }

    /// Whom Lookup finds.
    pub(crate) async fn lookup(&self, id_type: &str, value: &str) -> Value {
        let body = json!({"idType": id_type, "value": value});
        let answered = self.post(&format!("{}/Lookup", profiles()), &body).await;
        assert_eq!(answered.status, 200, "{}", answered.body);
        answered.body["profiles"].clone()
    }

    /// The first page of the list.
    pub(crate) async fn listed(&self) -> Value {
        self.get(&profiles()).await.body["profiles"].clone()
    }

    /// Changes a store behind the service's back.
    pub(crate) async fn add_store(&self, record: StoreRecord) {
        self.embedded.create_store(&record).await.unwrap();
    }
}

/// Path of the profiles of the first account's store.
pub(crate) fn profiles() -> String {
    profiles_of(STORE)
}

pub(crate) fn profiles_of(store: &str) -> String {
    format!("/v1/Stores/{store}/Profiles")
}

fn service(
    embedded: &Embedded,
    watch: &Arc<Watch>,
    stage: &Stage,
    directory: &std::path::Path,
    (setup, token_key): (Setup, TokenKey),
) -> Bound {
    let database = Dependency::new("database", setup.breaker);
    let log = Dependency::new("log", setup.breaker);
    let watched = WatchedLog {
        inner: embedded.log(),
        watch: Arc::clone(watch),
    };
    let environment: Environment = Parts {
        database: WatchedDatabase {
            inner: embedded.clone(),
            watch: Arc::clone(watch),
        },
        log: GuardedLog::new(watched, log.clone()),
        clock: SystemClock::new(),
        ids: SystemIds,
        retries: RetryBudget::default(),
    };
    let service = Service {
        profiles: Arc::new(Profiles::new(environment)),
        credentials: setup.credentials.unwrap_or_else(|| credentials(directory)),
        public_url: setup.public_url,
        token_key,
        limits: setup.limits,
        admission: Admission::new(setup.limits.bounds(), database, log),
        stage: stage.clone(),
    };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    bind(service, listener, setup.tls.as_ref()).unwrap()
}

fn credentials(directory: &std::path::Path) -> Credentials {
    let text = format!(
        r#"
        [[account]]
        sid = "{ACCOUNT}"
        auth_token = "{TOKEN}"
        [[account.api_key]]
        sid = "{READ_KEY}"
        secret = "{KEY_SECRET}"
        access = "read"
        [[account.api_key]]
        sid = "{WRITE_KEY}"
        secret = "{KEY_SECRET}"
        [[account]]
        sid = "{OTHER_ACCOUNT}"
        auth_token = "{OTHER_TOKEN}"
        "#
    );
    let path = directory.with_extension("credentials.toml");
    std::fs::write(&path, text).unwrap();
    let credentials = Credentials::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    credentials
}

async fn make_stores(embedded: &Embedded) {
    embedded
        .create_store(&store_record(ACCOUNT, STORE))
        .await
        .unwrap();
    embedded
        .create_store(&store_record(OTHER_ACCOUNT, OTHER_STORE))
        .await
        .unwrap();
}

/// A store with the defaults and a second group, which has a trait of every type.
pub(crate) fn store_record(account: &str, store: &str) -> StoreRecord {
    let account: AccountSid = account.parse().unwrap();
    let mut record = development_store(account, Micros::from_micros(1), &SystemIds);
    record.id = store.parse::<StoreId>().unwrap();
    record.display_name = format!("test-{store}").replace('_', "-");
    let mut loyalty = record.groups[0].clone();
    "Loyalty".clone_into(&mut loyalty.name);
    let types = json!({"tier": "STRING", "points": "NUMBER", "member": "BOOLEAN", "tags": "ARRAY"});
    let define = |(name, data_type): (&String, &Value)| {
        let id = Uuid::new_v4();
        let definition = json!({"id": id.to_string(), "dataType": data_type});
        let definition: TraitDefinition = serde_json::from_value(definition).unwrap();
        (name.clone(), definition)
    };
    loyalty.traits = types.as_object().unwrap().iter().map(define).collect();
    record.groups.push(loyalty);
    record
}

/// A store that is not in use.
pub(crate) fn idle_store(store: &str, status: StoreStatus) -> StoreRecord {
    StoreRecord {
        status,
        ..store_record(ACCOUNT, store)
    }
}

/// An answer, checked for what every answer must have.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

impl Answered {
    pub(crate) async fn of(request: RequestBuilder) -> Self {
        let (client, request) = request.build_split();
        let request = request.unwrap();
        let (method, path) = (request.method().clone(), request.url().path().to_owned());
        let sent = request.body().and_then(reqwest::Body::as_bytes);
        let sent: Option<Value> = sent.and_then(|bytes| serde_json::from_slice(bytes).ok());
        let response = client.execute(request).await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {text:?}"));
        let answered = Self {
            status,
            headers,
            body,
        };
        answered.check();
        answered.check_description(&method, &path, sent.as_ref());
        answered
    }

    /// Holds the exchange against what the service says of itself.
    fn check_description(&self, method: &Method, path: &str, sent: Option<&Value>) {
        static DESCRIPTION: LazyLock<Description> =
            LazyLock::new(|| Description::new(&ingest_api::description(None)).unwrap());
        let headers: BTreeMap<String, String> = self
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect();
        let checked = DESCRIPTION.check(&Exchange {
            method: method.as_str(),
            path,
            sent,
            status: self.status,
            headers: &headers,
            answered: &self.body,
        });
        if let Err(fault) = checked {
            panic!("{fault}");
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    fn check(&self) {
        assert_eq!(self.header("content-type"), Some("application/json"));
        let id = self
            .header("twilio-request-id")
            .expect("every answer has an id");
        let hex = id.strip_prefix("RQ").unwrap();
        assert!(
            hex.len() == 32 && hex.bytes().all(|b| b.is_ascii_hexdigit()),
            "{id}"
        );
        if self.status >= 400 {
            check_error(self.status, &self.body);
        }
        if matches!(self.status, 408 | 429 | 503) {
            let after = self.header("retry-after").unwrap();
            assert!(after.parse::<u32>().unwrap() >= 1, "{after}");
        }
    }

    /// Asserts status and code of an error.
    #[track_caller]
    pub(crate) fn is(&self, status: u16, code: u32) -> &Self {
        assert_eq!(
            (self.status, &self.body["code"]),
            (status, &code.into()),
            "{}",
            self.body
        );
        self
    }

    /// Asserts that `details` name exactly these fields.
    #[track_caller]
    pub(crate) fn names(&self, fields: &[&str]) -> &Self {
        let errors = self.body["details"]["errors"].as_array();
        let named: Vec<&str> = errors
            .into_iter()
            .flatten()
            .map(|error| error["field"].as_str().unwrap())
            .collect();
        assert_eq!(named, fields, "{}", self.body);
        self
    }
}

/// Asserts that a body is one of the contract's errors.
pub(crate) fn check_error(status: u16, body: &Value) {
    let members = body.as_object().unwrap();
    for name in members.keys() {
        let known = ["code", "message", "more_info", "status", "details"];
        assert!(known.contains(&name.as_str()), "{name} in {body}");
    }
    assert_eq!(body["status"], status);
    assert!(
        (100..=999_999).contains(&body["code"].as_u64().unwrap()),
        "{body}"
    );
    let message = body["message"].as_str().unwrap();
    assert!(!message.is_empty() && message.chars().count() <= 1024);
    assert!(body["more_info"].as_str().unwrap().starts_with("https://"));
}

/// Waits until something holds.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds().await {
        assert!(Instant::now() < deadline, "still not: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
