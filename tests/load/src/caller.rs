//! A caller that measures: the API over kept-alive connections, with the time of every answer.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use reqwest::{Client, Method, RequestBuilder};
use serde::Deserialize;
use serde_json::{Value, json};

/// The development account, its token and its store.
pub use kith_tests::api::{ACCOUNT, STORE, TOKEN};

/// A caller of one base URL.
#[derive(Debug, Clone)]
pub struct Caller {
    client: Client,
    profiles: String,
}

/// A page of a listing.
#[derive(Debug, Clone, Deserialize)]
pub struct Page {
    /// The ids.
    pub profiles: Vec<String>,
    /// Where it goes on.
    pub meta: Meta,
}

/// What a page says of itself.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Meta {
    /// The token of the next page; `None` at the end.
    pub next_token: Option<String>,
}

impl Caller {
    /// A caller with the development account's credentials.
    ///
    /// # Errors
    /// When no client can be built.
    pub fn new(base: &str) -> Result<Self> {
        let client = Client::builder()
            .timeout(Duration::from_secs(60))
            .no_proxy()
            .tcp_nodelay(true)
            .build()?;
        Ok(Self {
            client,
            profiles: format!("{base}/v1/Stores/{STORE}/Profiles"),
        })
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("{}{path}", self.profiles))
            .basic_auth(ACCOUNT, Some(TOKEN))
    }

    /// Sends a request and reads the whole answer.
    async fn ask(&self, request: RequestBuilder) -> Result<(u16, Vec<u8>, Duration)> {
        let request = request.build()?;
        let began = Instant::now();
        let answer = self.client.execute(request).await?;
        let status = answer.status().as_u16();
        let body = answer.bytes().await?;
        Ok((status, body.into(), began.elapsed()))
    }

    /// The same, for an answer that must have this status.
    async fn answer(&self, request: RequestBuilder, expected: u16) -> Result<(Vec<u8>, Duration)> {
        let (status, body, took) = self.ask(request).await?;
        ensure!(
            status == expected,
            "{status} instead of {expected}: {}",
            String::from_utf8_lossy(&body)
        );
        Ok((body, took))
    }

    /// A page of the listing, oldest first.
    ///
    /// # Errors
    /// When it is not answered 200.
    pub async fn page(&self, size: usize, token: Option<&str>) -> Result<(Page, Duration)> {
        let mut path = format!("?orderBy=ASC&pageSize={size}");
        if let Some(token) = token {
            path = format!("{path}&pageToken={token}");
        }
        let (body, took) = self.answer(self.request(Method::GET, &path), 200).await?;
        Ok((serde_json::from_slice(&body)?, took))
    }

    /// Sends a batch, ready as bytes. `None` where it was answered 503: some of it may be done, and it can be sent again.
    ///
    /// # Errors
    /// When it is answered anything else.
    pub async fn bulk(&self, body: Vec<u8>) -> Result<Option<Duration>> {
        let request = self
            .request(Method::PUT, "/Bulk")
            .header("content-type", "application/json")
            .body(body);
        let (status, body, took) = self.ask(request).await?;
        let answer: Value = serde_json::from_slice(&body)?;
        if status == 503 {
            return Ok(None);
        }
        let said = json!({ "message": "Profile batch accepted for processing." });
        ensure!(status == 202 && answer == said, "{status}: {answer}");
        Ok(Some(took))
    }

    /// Whom a value belongs to.
    ///
    /// # Errors
    /// When it is not answered 200.
    pub async fn owners(&self, id_type: &str, value: &str) -> Result<Vec<String>> {
        let body = json!({ "idType": id_type, "value": value });
        let request = self
            .request(Method::POST, "/Lookup")
            .header("content-type", "application/json")
            .body(body.to_string());
        let (body, _) = self.answer(request, 200).await?;
        let answer: Value = serde_json::from_slice(&body)?;
        Ok(serde_json::from_value(answer["profiles"].clone())?)
    }

    /// The traits of a profile.
    ///
    /// # Errors
    /// When it is not answered 200.
    pub async fn traits(&self, profile: &str) -> Result<Value> {
        let request = self.request(Method::GET, &format!("/{profile}"));
        let (body, _) = self.answer(request, 200).await?;
        let answer: Value = serde_json::from_slice(&body)?;
        Ok(answer["traits"].clone())
    }
}
