//! A caller: the operations over HTTP, with the whole answer kept.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::header::HeaderMap;
use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::poll::until;
use crate::privacy;
use crate::process::Process;

/// The development account.
pub const ACCOUNT: &str = "AC00000000000000000000000000000000";
/// Its token.
pub const TOKEN: &str = "development";
/// Its store.
pub const STORE: &str = "mem_store_00000000000000000000000000";

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body; `Null` if it is not JSON.
    pub body: Value,
}

impl Answer {
    /// A header as text; empty if it is not there.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// Checks that it says what an outage says: 503, with a time after which to try again.
    ///
    /// # Errors
    /// When it does not.
    pub fn is_outage(&self) -> Result<()> {
        ensure!(
            self.status == 503 && self.body["code"] == 20503,
            "{} {}",
            self.status,
            self.body
        );
        let after: u64 = self.header("retry-after").parse().context("Retry-After")?;
        ensure!((1..=60).contains(&after), "{after}");
        Ok(())
    }

    /// The `id` of the body.
    ///
    /// # Errors
    /// When the answer is not a 202 with one.
    pub fn accepted_id(&self) -> Result<String> {
        ensure!(self.status == 202, "{} {}", self.status, self.body);
        Ok(self.body["id"].as_str().context("no id")?.to_owned())
    }
}

/// A caller of one base URL. Does not follow redirects.
#[derive(Debug, Clone)]
pub struct Api {
    client: Client,
    base: String,
    account: String,
    token: String,
    store: String,
}

impl Api {
    /// A caller of a process that answers HTTP.
    ///
    /// # Errors
    /// When it does not, or the client cannot be made.
    pub fn of(process: &Process) -> Result<Self> {
        Self::new(&format!("http://{}", process.listen()?))
    }

    /// A caller with the development account's credentials.
    ///
    /// # Errors
    /// When no client can be built.
    pub fn new(base: &str) -> Result<Self> {
        let client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(10))
            .no_proxy()
            .build()?;
        Ok(Self {
            client,
            base: base.trim_end_matches('/').to_owned(),
            account: ACCOUNT.into(),
            token: TOKEN.into(),
            store: STORE.into(),
        })
    }

    /// The base URL.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The store's id.
    #[must_use]
    pub fn store(&self) -> &str {
        &self.store
    }

    /// Sends a request to a path below the store.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer> {
        self.send_with(method, path, body, &[]).await
    }

    /// Sends a request with more headers.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn send_with(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> Result<Answer> {
        let url = format!("{}/v1/Stores/{}{path}", self.base, self.store);
        self.request(method, url, body, headers).await
    }

    async fn request(
        &self,
        method: Method,
        url: String,
        body: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> Result<Answer> {
        let mut request = self
            .client
            .request(method, url)
            .basic_auth(&self.account, Some(&self.token));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            privacy::sent(body);
            request = request
                .header("content-type", "application/json")
                .body(body.to_string());
        }
        let answer = request.send().await?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let bytes = answer.bytes().await?;
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Ok(Answer {
            status,
            headers,
            body,
        })
    }

    /// Sends a request to a path below the control plane.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn define(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer> {
        let url = format!("{}/v1/ControlPlane{path}", self.base);
        self.request(method, url, body, &[]).await
    }

    /// A write to the control plane that must be accepted; the resource of its operation, which must be complete.
    ///
    /// # Errors
    /// When it is not.
    pub async fn defined(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<String> {
        let answer = self.define(method, path, body).await?;
        ensure!(answer.status == 202, "{} {}", answer.status, answer.body);
        let operation = format!("/Operations/{}", answer.header("operation-id"));
        let operation = self.define(Method::GET, &operation, None).await?.body;
        ensure!(operation["status"] == "COMPLETED", "{operation}");
        let id = operation["result"]["id"].as_str().context("no result")?;
        Ok(id.to_owned())
    }

    /// A caller of a new store.
    ///
    /// # Errors
    /// When it is not created.
    pub async fn new_store(&self, name: &str) -> Result<Self> {
        let body = json!({ "displayName": name });
        let store = self.defined(Method::POST, "/Stores", Some(&body)).await?;
        Ok(Self {
            store,
            ..self.clone()
        })
    }

    /// The same store, by another process.
    #[must_use]
    pub fn at(&self, other: &Self) -> Self {
        Self {
            base: other.base.clone(),
            ..self.clone()
        }
    }

    /// The path of the store below the control plane.
    #[must_use]
    pub fn store_path(&self) -> String {
        format!("/Stores/{}", self.store)
    }

    /// Deletes the store.
    ///
    /// # Errors
    /// When it is not accepted.
    pub async fn delete_store(&self) -> Result<()> {
        let answer = self
            .define(Method::DELETE, &self.store_path(), None)
            .await?;
        ensure!(answer.status == 202, "{} {}", answer.status, answer.body);
        Ok(())
    }

    /// Changes the store's settings.
    ///
    /// # Errors
    /// When they are not accepted.
    pub async fn change_settings(&self, change: impl FnOnce(&mut Value)) -> Result<()> {
        let path = format!("{}/IdentityResolutionSettings", self.store_path());
        let mut settings = self.define(Method::GET, &path, None).await?.body;
        change(&mut settings);
        self.defined(Method::PUT, &path, Some(&settings)).await?;
        Ok(())
    }

    /// Creates a trait group.
    ///
    /// # Errors
    /// When it is not accepted.
    pub async fn new_group(&self, name: &str, traits: Value) -> Result<()> {
        let path = format!("{}/TraitGroups", self.store_path());
        let body = json!({ "displayName": name, "traits": traits });
        self.defined(Method::POST, &path, Some(&body)).await?;
        Ok(())
    }

    /// Create with these traits.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn create(&self, traits: Value) -> Result<Answer> {
        self.send(
            Method::POST,
            "/Profiles",
            Some(&json!({ "traits": traits })),
        )
        .await
    }

    /// Create with these `Contact` traits; the id of the answer, which must be a 202.
    ///
    /// # Errors
    /// When it is not.
    pub async fn contact(&self, contact: Value) -> Result<String> {
        self.create(json!({ "Contact": contact }))
            .await?
            .accepted_id()
    }

    /// GET of a profile.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn get(&self, profile: &str) -> Result<Answer> {
        self.send(Method::GET, &format!("/Profiles/{profile}"), None)
            .await
    }

    /// The identifiers of a profile by type; GET must be answered 200.
    ///
    /// # Errors
    /// When it is not.
    pub async fn identifiers(&self, profile: &str) -> Result<BTreeMap<String, Vec<String>>> {
        let answer = self
            .send(
                Method::GET,
                &format!("/Profiles/{profile}/Identifiers"),
                None,
            )
            .await?;
        ensure!(answer.status == 200, "{} {}", answer.status, answer.body);
        let sets = answer.body["identifiers"]
            .as_array()
            .context("no identifiers")?;
        sets.iter()
            .map(|set| {
                let values = serde_json::from_value(set["values"].clone())?;
                Ok((
                    set["idType"].as_str().context("no idType")?.to_owned(),
                    values,
                ))
            })
            .collect()
    }

    /// Lookup, whole.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn lookup(&self, id_type: &str, value: &str) -> Result<Answer> {
        let body = json!({ "idType": id_type, "value": value });
        self.send(Method::POST, "/Profiles/Lookup", Some(&body))
            .await
    }

    /// The profiles of a Lookup, which must be answered 200.
    ///
    /// # Errors
    /// When it is not.
    pub async fn owners(&self, id_type: &str, value: &str) -> Result<Vec<String>> {
        let answer = self.lookup(id_type, value).await?;
        ensure!(answer.status == 200, "{} {}", answer.status, answer.body);
        Ok(serde_json::from_value(answer.body["profiles"].clone())?)
    }

    /// All profiles of the store, newest first.
    ///
    /// # Errors
    /// When a page is not answered 200.
    pub async fn list(&self) -> Result<Vec<String>> {
        let mut all = Vec::new();
        let mut query = String::from("?pageSize=1000");
        loop {
            let answer = self
                .send(Method::GET, &format!("/Profiles{query}"), None)
                .await?;
            ensure!(answer.status == 200, "{} {}", answer.status, answer.body);
            ensure!(answer.body["meta"]["key"] == "profiles", "{}", answer.body);
            let page: Vec<String> = serde_json::from_value(answer.body["profiles"].clone())?;
            all.extend(page);
            match answer.body["meta"]["nextToken"].as_str() {
                Some(token) => query = format!("?pageSize=1000&pageToken={token}"),
                None => return Ok(all),
            }
        }
    }

    /// Waits until a trait of a profile has this value (`Null`: until it is not there).
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn until_trait(&self, profile: &str, name: (&str, &str), value: Value) -> Result<()> {
        until(
            Duration::from_secs(20),
            &format!("{}.{}", name.0, name.1),
            || async {
                let answer = self.get(profile).await?;
                ensure!(answer.status == 200, "{} for {profile}", answer.status);
                Ok((answer.body["traits"][name.0][name.1] == value).then_some(()))
            },
        )
        .await
    }
}
